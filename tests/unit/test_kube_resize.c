// SPDX-License-Identifier: MIT
/* Whose pod an answer of the API server is. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "backend/kube_resize.h"
#include "lib/test.h"

#define POD(uid) "{\"kind\":\"Pod\",\"metadata\":{\"name\":\"web-0\",\"uid\":\"" uid "\"}}"
#define IMMUTABLE                                                                                  \
	"{\"kind\":\"Status\",\"reason\":\"Invalid\",\"details\":{\"causes\":[{\"reason\":"        \
	"\"FieldValueInvalid\",\"message\":\"field is immutable\",\"field\":\"metadata.uid\"}]}}"

#define NO_PATH                                                                                    \
	"{\"kind\":\"Status\",\"message\":\"the server could not find the requested resource\","   \
	"\"reason\":\"NotFound\",\"details\":{},\"code\":404}"

struct row {
	const char *ours; /* the uid of the pod that was planned for */
	long status;
	const char *body;
	int r;
};

TEST(a_pod_of_the_same_name_is_another_one)
{
	static const struct row rows[] = {
		/* ours   status  body                   */
		{ "u1", 200, POD("u1"), 0 },
		{ "u1", 200, POD("u2"), -ESRCH }, /* of a StatefulSet, on another node */
		{ "", 200, POD("u2"), 0 },	  /* the first that is read */
		{ "u1", 404, "{}", -ESRCH },
		{ "u1", 404, NO_PATH, -EINVAL },  /* Kubernetes before 1.33 */
		{ "u1", 422, IMMUTABLE, -ESRCH }, /* to a patch, which names the uid */
		{ "u1", 422, "{}", -EINVAL },
		{ "u1", 200, "{", -EIO },
		{ "u1", 0, "", -EIO },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct kube_answer answer = {
			.status = rows[i].status,
			.body = rows[i].body,
			.body_len = strlen(rows[i].body),
		};
		struct kube_resize resize = { .name = "web-0" };
		struct kube_pod *pod = NULL;

		snprintf(resize.sizes.pod_uid, sizeof(resize.sizes.pod_uid), "%s", rows[i].ours);
		print_message("row %zu\n", i);
		assert_int_equal(kube_resize_read(&resize, &answer, &pod), rows[i].r);
		assert_int_equal(pod != NULL, rows[i].r == 0);
		kube_pod_free(&pod);
	}
}

TEST(the_limits_alone_are_asked_for_first_and_with_the_requests_where_that_is_refused)
{
	struct kube_resize resize = { .sizes = { .qos = KUBE_QOS_BURSTABLE } };

	assert_int_equal(kube_resize_first_step(&resize), KUBE_STEP_LIMIT);
	assert_true(kube_resize_has_other_step(&resize, KUBE_STEP_LIMIT));
	assert_int_equal(kube_resize_first_step(&resize), KUBE_STEP_FULL);
	assert_false(kube_resize_has_other_step(&resize, KUBE_STEP_FULL));
	assert_int_equal(kube_resize_first_step(&resize), KUBE_STEP_LIMIT);

	resize.sizes.qos = KUBE_QOS_GUARANTEED;
	assert_int_equal(kube_resize_first_step(&resize), KUBE_STEP_FULL);
	assert_false(kube_resize_has_other_step(&resize, KUBE_STEP_FULL));
}

TEST(what_is_refused_is_not_what_is_busy_or_gone)
{
	static const struct {
		long status;
		bool is_refused, is_denied;
		int r;
	} rows[] = {
		{ 200, false, false, 0 },      { 400, true, true, -EINVAL },
		{ 401, false, true, -EAGAIN }, { 403, true, true, -EACCES },
		{ 404, false, false, -ESRCH }, { 409, false, false, -EAGAIN },
		{ 422, true, true, -EINVAL },  { 429, false, false, -EAGAIN },
		{ 500, false, false, -EIO },   { 503, false, false, -EIO },
		{ 0, false, false, -EIO },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct kube_answer answer = { .status = rows[i].status, .body = "{}" };

		print_message("row %zu\n", i);
		assert_int_equal(kube_resize_is_refused(&answer), rows[i].is_refused);
		assert_int_equal(kube_resize_is_denied(&answer), rows[i].is_denied);
		assert_int_equal(kube_resize_errno(&answer), rows[i].r);
	}
}
