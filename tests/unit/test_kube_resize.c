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
