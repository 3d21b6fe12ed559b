// SPDX-License-Identifier: MIT
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "lib/test.h"
#include "pod/node_plan.h"

#define ID "containerd://0123456789abcdef"

/* A pod with these annotations, this phase, this status of its Ready condition. */
#define POD(annotations, phase, ready, more)                                                           \
	"{\"kind\":\"Pod\",\"metadata\":{\"name\":\"web\",\"namespace\":\"shop\",\"uid\":\"u1\"," more \
	"\"annotations\":{" annotations "}},\"spec\":{\"priority\":7,\"containers\":["                 \
	"{\"name\":\"app\"},{\"name\":\"log\"}]},"                                                     \
	"\"status\":{\"phase\":\"" phase                                                               \
	"\",\"podIP\":\"10.0.0.7\",\"conditions\":[{\"type\":\"Ready\","                               \
	"\"status\":\"" ready "\"}],\"containerStatuses\":["                                           \
	"{\"name\":\"app\",\"containerID\":\"" ID "\",\"started\":true,\"ready\":true},"               \
	"{\"name\":\"log\",\"containerID\":\"" ID "\",\"started\":true,\"ready\":true}]}}"
#define ENABLED "\"doze.dev/enabled\":\"true\""

struct row {
	const char *story, *pod;
	enum node_plan_wish wish;
	size_t containers_len;
	const char *error; /* a part of it */
};

static const struct row rows[] = {
	{ "ours, running and ready", POD(ENABLED, "Running", "True", ""), NODE_PLAN_SEAT, 2, "" },
	{ "without an annotation", POD("", "Running", "True", ""), NODE_PLAN_LEAVE_ALONE, 0, "" },
	{ "said not to be ours", POD("\"doze.dev/enabled\":\"false\"", "Running", "True", ""),
	  NODE_PLAN_LEAVE_ALONE, 0, "" },
	{ "settings alone do not make it ours",
	  POD("\"doze.dev/idle-after\":\"5m\"", "Running", "True", ""), NODE_PLAN_LEAVE_ALONE, 0,
	  "" },
	{ "neither true nor false", POD("\"doze.dev/enabled\":\"True\"", "Running", "True", ""),
	  NODE_PLAN_REFUSE, 0, "doze.dev/enabled: 'True'" },
	{ "a value that is none",
	  POD(ENABLED ",\"doze.dev/idle-after\":\"soon\"", "Running", "True", ""), NODE_PLAN_REFUSE,
	  0, "doze.dev/idle-after: 'soon'" },
	{ "no such setting", POD(ENABLED ",\"doze.dev/idle\":\"5m\"", "Running", "True", ""),
	  NODE_PLAN_REFUSE, 0, "doze.dev/idle: '5m'" },
	{ "a container of another pod",
	  POD(ENABLED ",\"doze.dev/containers\":\"app,web\"", "Running", "True", ""),
	  NODE_PLAN_REFUSE, 0, "doze.dev/containers: 'web'" },
	{ "one container alone",
	  POD(ENABLED ",\"doze.dev/containers\":\"log\"", "Running", "True", ""), NODE_PLAN_SEAT, 1,
	  "" },
	{ "not ready", POD(ENABLED, "Running", "False", ""), NODE_PLAN_WAIT, 2, "" },
	{ "not running yet", POD(ENABLED, "Pending", "True", ""), NODE_PLAN_WAIT, 2, "" },
	{ "over", POD(ENABLED, "Succeeded", "False", ""), NODE_PLAN_LEAVE_ALONE, 0, "" },
	{ "failed", POD(ENABLED, "Failed", "False", ""), NODE_PLAN_LEAVE_ALONE, 0, "" },
	{ "being deleted",
	  POD(ENABLED, "Running", "True", "\"deletionTimestamp\":\"2026-01-01T00:00:00Z\","),
	  NODE_PLAN_LET_GO, 0, "" },
	{ "being deleted, and its annotation is wrong",
	  POD("\"doze.dev/enabled\":\"?\"", "Running", "True",
	      "\"deletionTimestamp\":\"2026-01-01T00:00:00Z\","),
	  NODE_PLAN_LET_GO, 0, "" },
};

static struct config defaults;

static void read_defaults(void)
{
	char name[] = "node", flag[] = "--node-name=n";
	char *argv[] = { name, flag, NULL };
	char error[CONFIG_ERROR_MAX];

	assert_int_equal(config_parse(&defaults, CONFIG_NODE, 2, argv, error), 0);
}

struct test_fixture test_around_all = { read_defaults, NULL };

static struct kube_pod *parse(const char *text)
{
	struct kube_pod *pod = NULL;

	assert_int_equal(kube_pod_parse(&pod, text, strlen(text)), 0);
	return pod;
}

TEST(each_pod_gets_its_wish)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_(kube_pod_free) struct kube_pod *pod = parse(rows[i].pod);
		_cleanup_(freep) struct node_plan *plan = malloc(sizeof(*plan));

		print_message("  %s\n", rows[i].story);
		node_plan_read(plan, pod, &defaults);
		assert_int_equal(plan->wish, rows[i].wish);
		if (rows[i].containers_len)
			assert_int_equal(plan->containers_len, rows[i].containers_len);
		assert_non_null(strstr(plan->error, rows[i].error));
		assert_int_equal(*plan->error != '\0', rows[i].wish == NODE_PLAN_REFUSE);
		config_free(&plan->config);
	}
}

TEST(annotations_come_before_the_defaults)
{
	_cleanup_(kube_pod_free) struct kube_pod *pod = parse(
		POD(ENABLED ",\"doze.dev/idle-after\":\"42s\",\"doze.dev/asleep\":\"reclaim\","
			    "\"doze.dev/group\":\"shop\"",
		    "Running", "True", ""));
	_cleanup_(freep) struct node_plan *plan = malloc(sizeof(*plan));

	node_plan_read(plan, pod, &defaults);
	assert_int_equal(plan->config.target.idle_ns / NS_PER_S, 42);
	assert_int_equal(plan->config.asleep, CONFIG_ASLEEP_RECLAIM);
	assert_string_equal(plan->config.group, "shop");
	assert_int_equal(plan->config.target.wake_timeout_ns, defaults.target.wake_timeout_ns);
	assert_int_equal(pod->priority, 7);
	config_free(&plan->config);
}

static bool has_same_fingerprint(const char *one, const char *other)
{
	_cleanup_(kube_pod_free) struct kube_pod *a = parse(one);
	_cleanup_(kube_pod_free) struct kube_pod *b = parse(other);
	_cleanup_(freep) char *left = node_plan_fingerprint(a);
	_cleanup_(freep) char *right = node_plan_fingerprint(b);

	assert_non_null(left);
	assert_non_null(right);
	return strcmp(left, right) == 0;
}

TEST(fingerprint_differs_with_what_matters_alone)
{
	static const char pod[] = POD(ENABLED, "Running", "True", "");

	assert_true(has_same_fingerprint(pod, POD(ENABLED, "Running", "False", "")));
	assert_true(has_same_fingerprint(
		pod, POD(ENABLED ",\"other/annotation\":\"x\"", "Running", "True", "")));
	assert_false(has_same_fingerprint(
		pod, POD(ENABLED ",\"doze.dev/idle-after\":\"5m\"", "Running", "True", "")));
	assert_false(has_same_fingerprint(
		POD("\"doze.dev/a\":\"1,2:b\"", "Running", "True", ""),
		POD("\"doze.dev/a\":\"1\",\"doze.dev/b\":\"\"", "Running", "True", "")));
}
