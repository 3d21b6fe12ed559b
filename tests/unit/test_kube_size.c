// SPDX-License-Identifier: MIT
/* What full and asleep are for a pod, the patches between them, how far the kubelet has come. */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/kube_size.h"
#include "base/file.h"
#include "base/util.h"
#include "lib/test.h"

#define NAMES_MAX 3

/* Containers of a Pod, in JSON. */
#define CPU(request, limit)                                                                        \
	"\"resources\":{\"requests\":{\"cpu\":\"" request "\"},\"limits\":{\"cpu\":\"" limit "\"}}"
#define BOX(name, request, limit) "{\"name\":\"" name "\"," CPU(request, limit) "}"
#define SIDECAR(name, request, limit)                                                              \
	"{\"name\":\"" name "\",\"restartPolicy\":\"Always\"," CPU(request, limit) "}"
#define RESTARTS                                                                                   \
	"\"resizePolicy\":[{\"resourceName\":\"cpu\",\"restartPolicy\":\"RestartContainer\"}]"
#define RESTARTING(name, request, limit)                                                           \
	"{\"name\":\"" name "\"," RESTARTS "," CPU(request, limit) "}"
#define PROBED(name, probe, request, limit)                                                        \
	"{\"name\":\"" name "\",\"" probe                                                          \
	"\":{\"exec\":{\"command\":[\"x\"]}}," CPU(request, limit) "}"
#define UNLIMITED(name) "{\"name\":\"" name "\",\"resources\":{\"requests\":{\"cpu\":\"1\"}}}"
#define LIMIT_ALONE(name, limit)                                                                   \
	"{\"name\":\"" name "\",\"resources\":{\"limits\":{\"cpu\":\"" limit "\"}}}"

/* A state file of pod U, and the annotation, whose quotes are part of JSON's text. */
#define STATE(containers) "{\"version\":1,\"podUID\":\"U\",\"containers\":[" containers "]}"
#define SLEPT(name, request, limit, asleep_request, asleep_limit)                                  \
	"{\"name\":\"" name "\",\"requestMillicpu\":" #request ",\"limitMillicpu\":" #limit        \
	",\"asleepRequestMillicpu\":" #asleep_request ",\"asleepLimitMillicpu\":" #asleep_limit    \
	"}"
#define SAVED(name, request, limit) SLEPT(name, request, limit, 1, 10)

#define NOT_KNOWN(name)                                                                                \
	"container '" name "' is asleep already, and what its full size was is not known: give "       \
	"the pod the annotation doze.dev/full='{\"" name                                               \
	"\":{\"request\":\"...\",\"limit\":\"...\"}}', resize it to its full size, or delete it: its " \
	"owner makes a new one, which has it"

static struct kube_pod *parse(const char *text)
{
	struct kube_pod *pod = NULL;

	if (kube_pod_parse(&pod, text, strlen(text)) < 0)
		fail_msg("no pod: %s", text);
	return pod;
}

static struct kube_pod *parse_recorded(const char *name)
{
	_cleanup_(freep) char *text = NULL;
	char path[128];

	snprintf(path, sizeof(path), "tests/unit/pods/%s.json", name);
	if (file_read(path, &text) < 0)
		fail_msg("cannot read %s: tests are run from the root of the repository", path);
	return parse(text);
}

static struct kube_pod *build(const char *qos, const char *sidecars, const char *containers,
			      const char *annotation)
{
	char text[8192];

	snprintf(text, sizeof(text),
		 "{\"kind\":\"Pod\",\"metadata\":{\"name\":\"web-0\",\"uid\":\"U\","
		 "\"annotations\":{%s%s}},\"spec\":{\"initContainers\":[%s],\"containers\":[%s]},"
		 "\"status\":{\"qosClass\":\"%s\"}}",
		 annotation ? "\"doze.dev/full\":" : "", annotation ? annotation : "",
		 sidecars ? sidecars : "", containers, qos);
	return parse(text);
}

/* "app 250/1000 1/10, ..." is: full request and limit, asleep request and limit; -1 is none. */
static void describe(const struct kube_sizes *sizes, char *out, size_t room)
{
	size_t len = 0;

	*out = '\0';
	for (size_t i = 0; i < sizes->len; i++) {
		const struct kube_size *s = &sizes->sizes[i];

		len += (size_t)snprintf(
			out + len, room - len, "%s%s %" PRId64 "/%" PRId64 " %" PRId64 "/%" PRId64,
			i ? ", " : "", s->name, s->full.request_millicpu, s->full.limit_millicpu,
			s->asleep.request_millicpu, s->asleep.limit_millicpu);
	}
}

static const struct plan_row {
	const char *story;
	const char *qos, *sidecars, *containers;
	const char *names[NAMES_MAX]; /* none: all that may sleep */
	bool only_known, is_kept;
	uint32_t asleep; /* 0: 10m */
	const char *state, *annotation;
	const char *plan; /* or else: */
	const char *error;
} plans[] = {
	{ .story = "an exec probe is run in the sleeping container, and needs CPU there",
	  .qos = "Burstable",
	  .containers = PROBED("app", "livenessProbe", "250m", "1") "," BOX("log", "100m", "500m"),
	  .plan = "app 250/1000 1/100, log 100/500 1/100" },
	{ .story = "so does one of readiness",
	  .qos = "Guaranteed",
	  .containers = PROBED("app", "readinessProbe", "1", "1"),
	  .plan = "app 1000/1000 100/100" },
	{ .story = "more than that is left as it was chosen",
	  .qos = "Burstable",
	  .containers = PROBED("app", "startupProbe", "250m", "1"),
	  .asleep = 200,
	  .plan = "app 250/1000 1/200" },
	{ .story = "the exec probe of a container that does not sleep needs nothing",
	  .qos = "Burstable",
	  .containers = PROBED("doze", "livenessProbe", "20m", "30m") "," BOX("app", "250m", "1"),
	  .plan = "app 250/1000 1/10" },
	{ .story = "Burstable keeps its request below its limit",
	  .qos = "Burstable",
	  .containers = BOX("app", "250m", "1"),
	  .plan = "app 250/1000 1/10" },
	{ .story = "Burstable, although the request is the limit",
	  .qos = "Burstable",
	  .containers = BOX("app", "1", "1"),
	  .plan = "app 1000/1000 1/10" },
	{ .story = "Guaranteed keeps them equal",
	  .qos = "Guaranteed",
	  .containers = BOX("app", "500m", "500m"),
	  .plan = "app 500/500 10/10" },
	{ .story = "a request of 0 stays 0",
	  .qos = "Burstable",
	  .containers = BOX("app", "0", "1"),
	  .plan = "app 0/1000 0/10" },
	{ .story = "a request that is not there is not added",
	  .qos = "Burstable",
	  .containers = LIMIT_ALONE("app", "1"),
	  .plan = "app -1/1000 -1/10" },
	{ .story = "several containers",
	  .qos = "Burstable",
	  .containers = BOX("app", "250m", "1") "," BOX("cache", "1m", "20m"),
	  .plan = "app 250/1000 1/10, cache 1/20 1/10" },
	{ .story = "native sidecars and doze itself stay awake",
	  .qos = "Burstable",
	  .sidecars = SIDECAR("proxy", "100m", "200m"),
	  .containers = BOX("doze", "20m", "20m") "," BOX("app", "250m", "1"),
	  .plan = "app 250/1000 1/10" },
	{ .story = "a proxy stays awake: the traffic of the others goes through it",
	  .qos = "Burstable",
	  .containers = BOX("istio-proxy", "100m",
			    "2") "," BOX("app", "250m", "1") "," BOX("vault-agent", "100m", "2"),
	  .plan = "app 250/1000 1/10" },
	{ .story = "unless it is named",
	  .qos = "Burstable",
	  .containers = BOX("istio-proxy", "100m", "2") "," BOX("app", "250m", "1"),
	  .names = { "istio-proxy" },
	  .plan = "istio-proxy 100/2000 1/10" },
	{ .story = "one without a limit stays awake",
	  .qos = "Burstable",
	  .containers = UNLIMITED("log") "," BOX("app", "250m", "1"),
	  .plan = "app 250/1000 1/10" },
	{ .story = "one that would restart stays awake",
	  .qos = "Burstable",
	  .containers = RESTARTING("db", "1", "1") "," BOX("app", "250m", "1"),
	  .plan = "app 250/1000 1/10" },
	{ .story = "one smaller than asleep stays as it is",
	  .qos = "Burstable",
	  .containers = BOX("tiny", "1m", "9m") "," BOX("app", "250m", "1"),
	  .plan = "app 250/1000 1/10" },

	{ .story = "named containers alone",
	  .qos = "Burstable",
	  .containers = BOX("app", "250m", "1") "," BOX("cache", "1m", "20m"),
	  .names = { "cache" },
	  .plan = "cache 1/20 1/10" },
	{ .story = "a named sidecar sleeps too, and comes first",
	  .qos = "Burstable",
	  .sidecars = SIDECAR("proxy", "100m", "200m"),
	  .containers = BOX("app", "250m", "1"),
	  .names = { "app", "proxy" },
	  .plan = "proxy 100/200 1/10, app 250/1000 1/10" },
	{ .story = "a named container that is not there",
	  .qos = "Burstable",
	  .containers = BOX("app", "250m", "1"),
	  .names = { "app", "web" },
	  .error = "containers: the pod 'web-0' has no container 'web'" },
	{ .story = "a named container without a limit",
	  .qos = "Burstable",
	  .containers = UNLIMITED("app"),
	  .names = { "app" },
	  .error = "container 'app' has no CPU limit, and one that is added can never be taken "
		   "away again" },
	{ .story = "a named container that would restart",
	  .qos = "Burstable",
	  .containers = RESTARTING("app", "1", "2"),
	  .names = { "app" },
	  .error = "container 'app' restarts when its CPU is resized (resizePolicy "
		   "RestartContainer)" },
	{ .story = "a named container that is smaller than asleep",
	  .qos = "Burstable",
	  .containers = BOX("app", "1m", "15m"),
	  .names = { "app" },
	  .asleep = 20,
	  .error = "container 'app' has a CPU limit below the asleep size" },

	{ .story = "BestEffort",
	  .qos = "BestEffort",
	  .containers = "{\"name\":\"app\"}",
	  .error = "the pod 'web-0' is BestEffort, which Kubernetes cannot resize: give its "
		   "containers CPU requests and limits" },
	{ .story = "no limit, and nobody else either",
	  .qos = "Burstable",
	  .containers = UNLIMITED("app"),
	  .error = "container 'app' has no CPU limit, and one that is added can never be taken "
		   "away again" },
	{ .story = "a limit of 0, which means none",
	  .qos = "Burstable",
	  .containers = BOX("app", "0", "0"),
	  .error = "container 'app' has no CPU limit, and one that is added can never be taken "
		   "away again" },
	{ .story = "doze alone",
	  .qos = "Burstable",
	  .containers = BOX("doze", "20m", "20m"),
	  .error = "the pod 'web-0' has no container to put to sleep" },

	{ .story = "asleep is 20m, Burstable",
	  .qos = "Burstable",
	  .containers = BOX("app", "250m", "1"),
	  .asleep = 20,
	  .plan = "app 250/1000 1/20" },
	{ .story = "asleep is 20m, Guaranteed",
	  .qos = "Guaranteed",
	  .containers = BOX("app", "250m", "250m"),
	  .asleep = 20,
	  .plan = "app 250/250 20/20" },
	{ .story = "10m is no sleep where asleep is 20m",
	  .qos = "Burstable",
	  .containers = BOX("app", "1m", "10m") "," BOX("b", "1", "2"),
	  .asleep = 20,
	  .plan = "b 1000/2000 1/20" },

	{ .story = "asleep already, and the state file knows",
	  .qos = "Burstable",
	  .containers = BOX("app", "1m", "10m"),
	  .state = STATE(SAVED("app", 250, 1000)),
	  .plan = "app 250/1000 1/10" },
	{ .story = "asleep already, Guaranteed",
	  .qos = "Guaranteed",
	  .containers = BOX("app", "10m", "10m"),
	  .state = STATE(SLEPT("app", 500, 500, 10, 10)),
	  .plan = "app 500/500 10/10" },
	{ .story = "asleep already, and the annotation knows",
	  .qos = "Burstable",
	  .containers = BOX("app", "1m", "10m"),
	  .annotation = "\"{\\\"app\\\":{\\\"request\\\":\\\"250m\\\",\\\"limit\\\":\\\"1\\\"}}\"",
	  .plan = "app 250/1000 1/10" },
	{ .story = "the state file is believed before the annotation",
	  .qos = "Burstable",
	  .containers = BOX("app", "1m", "10m"),
	  .state = STATE(SAVED("app", 250, 1000)),
	  .annotation = "\"{\\\"app\\\":{\\\"request\\\":\\\"1\\\",\\\"limit\\\":\\\"2\\\"}}\"",
	  .plan = "app 250/1000 1/10" },
	{ .story = "where the state file does not know one, the annotation may",
	  .qos = "Burstable",
	  .containers = BOX("app", "1m", "10m") "," BOX("b", "1m", "10m"),
	  .state = STATE(SAVED("app", 250, 1000)),
	  .annotation = "\"{\\\"b\\\":{\\\"request\\\":\\\"1\\\",\\\"limit\\\":\\\"2\\\"}}\"",
	  .plan = "app 250/1000 1/10, b 1000/2000 1/10" },
	{ .story = "a request that the annotation leaves out is the limit, as in a manifest",
	  .qos = "Burstable",
	  .containers = BOX("app", "1m", "10m"),
	  .annotation = "\"{\\\"app\\\":{\\\"limit\\\":\\\"1\\\"}}\"",
	  .plan = "app 1000/1000 1/10" },
	{ .story = "the same, Guaranteed",
	  .qos = "Guaranteed",
	  .containers = BOX("app", "10m", "10m"),
	  .annotation = "\"{\\\"app\\\":{\\\"limit\\\":\\\"1\\\"}}\"",
	  .plan = "app 1000/1000 10/10" },
	{ .story = "asleep already, and nobody knows",
	  .qos = "Burstable",
	  .containers = BOX("app", "1m", "10m"),
	  .error = NOT_KNOWN("app") },
	{ .story = "asleep already, although the request is another",
	  .qos = "Burstable",
	  .containers = BOX("app", "5m", "10m"),
	  .error = NOT_KNOWN("app") },
	{ .story = "asleep already, and only others are known",
	  .qos = "Burstable",
	  .containers = BOX("app", "1m", "10m"),
	  .state = STATE(SAVED("b", 250, 1000)),
	  .annotation = "\"{\\\"c\\\":{\\\"request\\\":\\\"1\\\",\\\"limit\\\":\\\"2\\\"}}\"",
	  .error = NOT_KNOWN("app") },
	{ .story = "an annotation without a limit",
	  .qos = "Burstable",
	  .containers = BOX("app", "1m", "10m"),
	  .annotation = "\"{\\\"app\\\":{\\\"request\\\":\\\"1\\\"}}\"",
	  .error = NOT_KNOWN("app") },
	{ .story = "an annotation that says unlimited",
	  .qos = "Burstable",
	  .containers = BOX("app", "1m", "10m"),
	  .annotation = "\"{\\\"app\\\":{\\\"request\\\":\\\"0\\\",\\\"limit\\\":\\\"0\\\"}}\"",
	  .error = NOT_KNOWN("app") },
	{ .story = "an annotation whose request is above its limit",
	  .qos = "Burstable",
	  .containers = BOX("app", "1m", "10m"),
	  .annotation = "\"{\\\"app\\\":{\\\"request\\\":\\\"2\\\",\\\"limit\\\":\\\"1\\\"}}\"",
	  .error = NOT_KNOWN("app") },
	{ .story = "an annotation that is no amount of CPU",
	  .qos = "Burstable",
	  .containers = BOX("app", "1m", "10m"),
	  .annotation = "\"{\\\"app\\\":{\\\"request\\\":\\\"some\\\",\\\"limit\\\":\\\"2\\\"}}\"",
	  .error = NOT_KNOWN("app") },
	{ .story = "an annotation that is no JSON",
	  .qos = "Burstable",
	  .containers = BOX("app", "1m", "10m"),
	  .annotation = "\"app: 1\"",
	  .error = NOT_KNOWN("app") },
	{ .story = "a full size that somebody has changed is the new one",
	  .qos = "Burstable",
	  .containers = BOX("app", "500m", "2"),
	  .state = STATE(SAVED("app", 250, 1000)),
	  .annotation = "\"{\\\"app\\\":{\\\"request\\\":\\\"1\\\",\\\"limit\\\":\\\"4\\\"}}\"",
	  .plan = "app 500/2000 1/10" },
	{ .story = "half awake: the limit is back, the request is not",
	  .qos = "Burstable",
	  .containers = BOX("app", "1m", "1"),
	  .state = STATE(SAVED("app", 250, 1000)),
	  .plan = "app 250/1000 1/10" },
	{ .story = "a small request under another limit is somebody's choice",
	  .qos = "Burstable",
	  .containers = BOX("app", "1m", "2"),
	  .state = STATE(SAVED("app", 250, 1000)),
	  .plan = "app 1/2000 1/10" },

	{ .story = "it fell asleep at 20m, and asleep is 10m now",
	  .qos = "Burstable",
	  .containers = BOX("app", "1m", "20m"),
	  .state = STATE(SLEPT("app", 250, 1000, 1, 20)),
	  .plan = "app 250/1000 1/20" },
	{ .story = "it fell asleep at 10m, and asleep is 20m now",
	  .qos = "Burstable",
	  .containers = BOX("app", "1m", "10m"),
	  .names = { "app" },
	  .asleep = 20,
	  .state = STATE(SLEPT("app", 250, 1000, 1, 10)),
	  .plan = "app 250/1000 1/10" },
	{ .story = "the same, Guaranteed",
	  .qos = "Guaranteed",
	  .containers = BOX("app", "10m", "10m"),
	  .asleep = 20,
	  .state = STATE(SLEPT("app", 500, 500, 10, 10)),
	  .plan = "app 500/500 10/10" },
	{ .story = "awake again, the size asleep is that of now",
	  .qos = "Burstable",
	  .containers = BOX("app", "250m", "1"),
	  .state = STATE(SLEPT("app", 250, 1000, 1, 20)),
	  .plan = "app 250/1000 1/10" },
	{ .story = "smaller than full, and not as it fell asleep, is somebody's choice",
	  .qos = "Burstable",
	  .containers = BOX("app", "1m", "500m"),
	  .state = STATE(SLEPT("app", 250, 1000, 1, 20)),
	  .plan = "app 1/500 1/10" },
	{ .story = "one that sleeps, and is no longer named",
	  .qos = "Burstable",
	  .containers = BOX("app", "1m", "10m") "," BOX("log", "1m", "10m"),
	  .names = { "app" },
	  .state = STATE(SLEPT("app", 250, 1000, 1, 10) "," SLEPT("log", 100, 200, 1, 10)),
	  .plan = "app 250/1000 1/10, log 100/200 1/10" },
	{ .story = "one that has slept once, and is no longer named",
	  .qos = "Burstable",
	  .containers = BOX("app", "1m", "10m") "," BOX("log", "100m", "200m"),
	  .names = { "app" },
	  .state = STATE(SLEPT("app", 250, 1000, 1, 10) "," SLEPT("log", 100, 200, 1, 10)),
	  .plan = "app 250/1000 1/10" },
	{ .story = "what is known alone: a sidecar that was named, and none that only looks asleep",
	  .qos = "Burstable",
	  .sidecars = SIDECAR("proxy", "1m", "10m"),
	  .containers = BOX("app", "1m", "10m") "," UNLIMITED("log"),
	  .only_known = true,
	  .state = STATE(SLEPT("proxy", 100, 200, 1, 10)),
	  .plan = "proxy 100/200 1/10" },
	{ .story = "what is known alone, and nothing is",
	  .qos = "Burstable",
	  .containers = BOX("app", "1m", "10m"),
	  .only_known = true,
	  .error = NOT_KNOWN("app") },
	{ .story = "as it was kept before it fell asleep: what it fell asleep with is in the state",
	  .qos = "Burstable",
	  .containers = BOX("app", "250m", "1"),
	  .is_kept = true,
	  .asleep = 20,
	  .state = STATE(SLEPT("app", 300, 2000, 1, 10)),
	  .plan = "app 300/2000 1/10" },
	{ .story = "as it was kept, and the state is lost: it was full",
	  .qos = "Burstable",
	  .containers = BOX("app", "250m", "1"),
	  .is_kept = true,
	  .plan = "app 250/1000 1/10" },
	{ .story = "as it was kept, asleep already, and the state is lost",
	  .qos = "Burstable",
	  .containers = BOX("app", "1m", "10m"),
	  .is_kept = true,
	  .error = NOT_KNOWN("app") },
};

static int plan_row(struct kube_sizes *out, const struct plan_row *row,
		    char error[KUBE_SIZE_ERROR_MAX])
{
	_cleanup_(kube_pod_free) struct kube_pod *pod = build(row->qos, row->sidecars,
							      row->containers, row->annotation);
	struct kube_size_choice choice = {
		.names = row->names,
		.own_name = "doze",
		.asleep_millicpu = row->asleep ? row->asleep : 10,
		.only_known = row->only_known,
	};
	struct kube_sizes known;

	pod->is_kept = row->is_kept;
	while (choice.names_len < NAMES_MAX && row->names[choice.names_len])
		choice.names_len++;
	if (row->state)
		assert_int_equal(kube_size_parse(&known, row->state, "U"), 0);
	return kube_size_plan(out, pod, &choice, row->state ? &known : NULL, error);
}

TEST(a_plan_follows_the_rules_of_kubernetes)
{
	for (size_t i = 0; i < ARRAY_LEN(plans); i++) {
		const struct plan_row *row = &plans[i];
		char error[KUBE_SIZE_ERROR_MAX] = "", plan[512];
		struct kube_sizes sizes;
		int r = plan_row(&sizes, row, error);

		print_message("  %s\n", row->story);
		assert_int_equal(r, row->plan			    ? 0
				    : strstr(error, "is not known") ? -ENODATA
								    : -EINVAL);
		assert_string_equal(error, row->plan ? "" : row->error);
		if (!row->plan)
			continue;
		describe(&sizes, plan, sizeof(plan));
		assert_string_equal(plan, row->plan);
		assert_string_equal(sizes.pod_uid, "U");
	}
}

static struct kube_sizes plan_of(const struct kube_pod *pod)
{
	static const struct kube_size_choice choice = { .asleep_millicpu = 10 };
	char error[KUBE_SIZE_ERROR_MAX];
	struct kube_sizes sizes;

	if (kube_size_plan(&sizes, pod, &choice, NULL, error) < 0)
		fail_msg("%s", error);
	return sizes;
}

TEST(doze_sleeps_too_where_its_own_name_is_not_known)
{
	_cleanup_(kube_pod_free) struct kube_pod *pod = build("Burstable", NULL,
							      BOX("doze", "20m", "40m"), NULL);
	struct kube_sizes sizes = plan_of(pod);

	assert_int_equal(sizes.len, 1);
}

/* clang-format off */
static const struct {
	const char *story, *qos, *sidecars, *containers;
	enum kube_step step;
	const char *patch;
} patches[] = {
	{ "asleep, Burstable", "Burstable", NULL, BOX("app", "250m", "1"), KUBE_STEP_ASLEEP,
	  "{\"metadata\":{\"uid\":\"U\"},\"spec\":{\"containers\":[{\"name\":\"app\","
	  "\"resources\":{\"requests\":{\"cpu\":\"1m\"},\"limits\":{\"cpu\":\"10m\"}}}]}}" },
	{ "the limit alone, Burstable", "Burstable", NULL, BOX("app", "250m", "1"), KUBE_STEP_LIMIT,
	  "{\"metadata\":{\"uid\":\"U\"},\"spec\":{\"containers\":[{\"name\":\"app\","
	  "\"resources\":{\"requests\":{\"cpu\":\"1m\"},\"limits\":{\"cpu\":\"1000m\"}}}]}}" },
	{ "full, Burstable", "Burstable", NULL, BOX("app", "250m", "1"), KUBE_STEP_FULL,
	  "{\"metadata\":{\"uid\":\"U\"},\"spec\":{\"containers\":[{\"name\":\"app\","
	  "\"resources\":{\"requests\":{\"cpu\":\"250m\"},\"limits\":{\"cpu\":\"1000m\"}}}]}}" },

	{ "asleep, Guaranteed", "Guaranteed", NULL, BOX("app", "500m", "500m"), KUBE_STEP_ASLEEP,
	  "{\"metadata\":{\"uid\":\"U\"},\"spec\":{\"containers\":[{\"name\":\"app\","
	  "\"resources\":{\"requests\":{\"cpu\":\"10m\"},\"limits\":{\"cpu\":\"10m\"}}}]}}" },
	{ "full, Guaranteed", "Guaranteed", NULL, BOX("app", "500m", "500m"), KUBE_STEP_FULL,
	  "{\"metadata\":{\"uid\":\"U\"},\"spec\":{\"containers\":[{\"name\":\"app\","
	  "\"resources\":{\"requests\":{\"cpu\":\"500m\"},\"limits\":{\"cpu\":\"500m\"}}}]}}" },

	{ "no request is none in any patch", "Burstable", NULL, LIMIT_ALONE("app", "1"),
	  KUBE_STEP_ASLEEP,
	  "{\"metadata\":{\"uid\":\"U\"},\"spec\":{\"containers\":[{\"name\":\"app\","
	  "\"resources\":{\"limits\":{\"cpu\":\"10m\"}}}]}}" },
	{ "two containers", "Burstable", NULL, BOX("a", "250m", "1") "," BOX("b", "0", "2"),
	  KUBE_STEP_FULL,
	  "{\"metadata\":{\"uid\":\"U\"},\"spec\":{\"containers\":["
	  "{\"name\":\"a\",\"resources\":{\"requests\":{\"cpu\":\"250m\"},"
	  "\"limits\":{\"cpu\":\"1000m\"}}},"
	  "{\"name\":\"b\",\"resources\":{\"requests\":{\"cpu\":\"0m\"},"
	  "\"limits\":{\"cpu\":\"2000m\"}}}]}}" },
};
/* clang-format on */

TEST(a_patch_says_just_what_changes)
{
	for (size_t i = 0; i < ARRAY_LEN(patches); i++) {
		_cleanup_(kube_pod_free) struct kube_pod *pod =
			build(patches[i].qos, patches[i].sidecars, patches[i].containers, NULL);
		struct kube_sizes sizes = plan_of(pod);
		_cleanup_(freep) char *patch = kube_size_patch(&sizes, patches[i].step);

		print_message("  %s\n", patches[i].story);
		assert_string_equal(patch, patches[i].patch);
	}
}

TEST(a_sidecar_is_patched_among_the_init_containers)
{
	static const char *const names[] = { "proxy", "app" };
	static const struct kube_size_choice choice = {
		.names = names,
		.names_len = 2,
		.asleep_millicpu = 10,
	};
	_cleanup_(kube_pod_free) struct kube_pod *pod =
		build("Burstable", SIDECAR("proxy", "100m", "200m"), BOX("app", "250m", "1"), NULL);
	_cleanup_(freep) char *patch = NULL;
	char error[KUBE_SIZE_ERROR_MAX];
	struct kube_sizes sizes;

	assert_int_equal(kube_size_plan(&sizes, pod, &choice, NULL, error), 0);
	patch = kube_size_patch(&sizes, KUBE_STEP_LIMIT);
	assert_string_equal(
		patch,
		"{\"metadata\":{\"uid\":\"U\"},\"spec\":{"
		"\"initContainers\":[{\"name\":\"proxy\",\"resources\":{\"requests\":"
		"{\"cpu\":\"1m\"},\"limits\":{\"cpu\":\"200m\"}}}],"
		"\"containers\":[{\"name\":\"app\",\"resources\":{\"requests\":{\"cpu\":\"1m\"},"
		"\"limits\":{\"cpu\":\"1000m\"}}}]}}");
}

enum reached {
	NOTHING = 0,
	ASKED = 1 << 0,
	GRANTED = 1 << 1,
	ACTUATED = 1 << 2,
	ALL = ASKED | GRANTED | ACTUATED,
};

/* clang-format off */
static const struct {
	const char *file;
	struct kube_cpu full;
	enum reached asleep, limit, at_full;
} progress[] = {
	/* One resize down and one up of a Guaranteed pod, as a watch has seen them. */
	{ "guaranteed-awake",          { 500, 500 },   NOTHING,         NOTHING,  ALL },
	/* What is reported was so before anybody asked. */
	{ "guaranteed-asleep-asked",   { 500, 500 },   ASKED,           NOTHING,  NOTHING },
	{ "guaranteed-asleep-granted", { 500, 500 },   ASKED | GRANTED,
	  GRANTED | ACTUATED, NOTHING },
	{ "guaranteed-asleep-done",    { 500, 500 },   ALL,             GRANTED,  NOTHING },
	{ "guaranteed-full-asked",     { 500, 500 },   NOTHING,         NOTHING,  ASKED },
	{ "guaranteed-full-granted",   { 500, 500 },   NOTHING,         NOTHING,  ASKED | GRANTED },
	{ "guaranteed-full-done",      { 500, 500 },   NOTHING,         NOTHING,  ALL },

	{ "burstable-awake",           { 250, 1000 },  NOTHING,         NOTHING,  ALL },
	{ "burstable-limit-asked",     { 10, 1000 },   NOTHING,         NOTHING,  ASKED },
	{ "burstable-at-1m",           { 250, 1000 },  GRANTED,         GRANTED,  NOTHING },
	/* One that waits is neither granted nor actuated, whatever it looks like. */
	{ "burstable-deferred",        { 1900, 1900 }, NOTHING,         NOTHING,  ASKED },
	{ "burstable-deferred",        { 250, 1000 },  NOTHING,         NOTHING,  NOTHING },
	/* Memory that cannot shrink stops CPU as well. */
	{ "burstable-error",           { 250, 1000 },  NOTHING,         NOTHING,  ASKED | GRANTED },
};
/* clang-format on */

static enum reached reach(const struct kube_sizes *sizes, const struct kube_pod *pod,
			  enum kube_step step)
{
	enum reached is = NOTHING;

	if (kube_size_is_asked(sizes, pod, step))
		is |= ASKED;
	if (kube_size_is_granted(sizes, pod, step))
		is |= GRANTED;
	if (kube_size_is_actuated(sizes, pod, step))
		is |= ACTUATED;
	return is;
}

TEST(the_kubelet_is_followed_step_by_step)
{
	for (size_t i = 0; i < ARRAY_LEN(progress); i++) {
		_cleanup_(kube_pod_free) struct kube_pod *pod = parse_recorded(progress[i].file);
		bool is_guaranteed = pod->qos == KUBE_QOS_GUARANTEED;
		struct kube_sizes sizes = {
			.qos = pod->qos,
			.sizes = { { .name = "app",
				     .full = progress[i].full,
				     .asleep = { is_guaranteed ? 10 : 1, 10 } } },
			.len = 1,
		};

		print_message("  %s\n", progress[i].file);
		assert_int_equal(reach(&sizes, pod, KUBE_STEP_ASLEEP), progress[i].asleep);
		assert_int_equal(reach(&sizes, pod, KUBE_STEP_LIMIT), progress[i].limit);
		assert_int_equal(reach(&sizes, pod, KUBE_STEP_FULL), progress[i].at_full);
		/* All of the containers count, and one that is gone has reached nothing. */
		sizes.sizes[sizes.len++] = (struct kube_size){ .name = "gone" };
		assert_int_equal(reach(&sizes, pod, KUBE_STEP_ASLEEP), NOTHING);
		assert_int_equal(reach(&sizes, pod, KUBE_STEP_FULL), NOTHING);
	}
}

/* What servers report of a pod on its way from asleep to a request of 250m and a limit of 500m. */
static const struct {
	const char *story;
	int64_t generation, observed, allocated_millicpu, limit_millicpu;
	bool is_granted, is_actuated;
} reports[] = {
	{ "1.34, before the kubelet has judged", 4, 3, 1, 500, false, false },
	{ "1.34, the limit alone", 4, 4, 1, 500, false, false },
	{ "1.34, granted", 4, 4, 250, 10, true, false },
	{ "1.34, done", 4, 4, 250, 500, true, true },
	{ "1.33 does not say what it has judged", 4, 0, 1, 500, false, false },
	{ "1.33, granted", 4, 0, 250, 10, true, false },
	{ "1.33, done", 4, 0, 250, 500, true, true },
	{ "1.32 does not say what it has allocated", 0, 0, KUBE_CPU_NONE, 10, false, false },
	{ "1.32, done", 0, 0, KUBE_CPU_NONE, 500, true, true },
	{ "allocated is not said, but judged it is", 4, 4, KUBE_CPU_NONE, 10, true, false },
};

TEST(what_a_server_does_not_report_counts_as_done)
{
	_cleanup_(kube_pod_free) struct kube_pod *pod = build("Burstable", NULL,
							      BOX("app", "250m", "500m"), NULL);
	struct kube_sizes sizes = plan_of(pod);

	for (size_t i = 0; i < ARRAY_LEN(reports); i++) {
		print_message("  %s\n", reports[i].story);
		pod->generation = reports[i].generation;
		pod->observed_generation = reports[i].observed;
		pod->containers[0].allocated_millicpu = reports[i].allocated_millicpu;
		pod->containers[0].actual.limit_millicpu = reports[i].limit_millicpu;
		assert_int_equal(kube_size_is_granted(&sizes, pod, KUBE_STEP_FULL),
				 reports[i].is_granted);
		assert_int_equal(kube_size_is_actuated(&sizes, pod, KUBE_STEP_FULL),
				 reports[i].is_actuated);
	}
}

/* clang-format off */
static const struct {
	const char *file;
	bool is_moving;
} moving[] = {
	{ "guaranteed-awake",          false },
	{ "guaranteed-asleep-asked",   true },
	{ "guaranteed-asleep-granted", true },
	{ "guaranteed-asleep-done",    false },
	{ "guaranteed-full-asked",     true },
	{ "guaranteed-full-granted",   true },
	{ "guaranteed-full-done",      false },
	{ "burstable-awake",           false },
	{ "burstable-limit-asked",     true },
	{ "burstable-deferred",        false }, /* it may be so for ever */
	{ "best-effort",               false },
};
/* clang-format on */

TEST(a_resize_that_is_under_way_is_seen)
{
	static const struct kube_sizes sizes = { .sizes = { { .name = "app" } }, .len = 1 };

	for (size_t i = 0; i < ARRAY_LEN(moving); i++) {
		_cleanup_(kube_pod_free) struct kube_pod *pod = parse_recorded(moving[i].file);

		print_message("  %s\n", moving[i].file);
		assert_int_equal(kube_size_is_moving(&sizes, pod), moving[i].is_moving);
	}
}

/* clang-format off */
static const struct {
	const char *story, *resources, *sidecars, *containers;
	int64_t app, whole;
} limits[] = {
	{ "the sum, of the full sizes", "{}", SIDECAR("proxy", "100m", "200m"),
	  BOX("app", "1m", "10m") "," BOX("b", "1", "2"), 1000, 3200 },
	{ "one without bounds, and so is the pod", "{}", NULL,
	  BOX("app", "1m", "10m") "," UNLIMITED("b"), 1000, KUBE_CPU_NONE },
	{ "the pod has its own", "{\"limits\":{\"cpu\":\"1500m\"}}", NULL,
	  BOX("app", "1m", "10m") "," UNLIMITED("b"), 1000, 1500 },
};
/* clang-format on */

TEST(the_full_limit_of_a_pod_is_the_sum)
{
	static const struct kube_sizes sizes = {
		.sizes = { { .name = "app", .full = { 250, 1000 } } },
		.len = 1,
	};

	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		_cleanup_(kube_pod_free) struct kube_pod *pod = NULL;
		char text[2048];

		print_message("  %s\n", limits[i].story);
		snprintf(
			text, sizeof(text),
			"{\"kind\":\"Pod\",\"metadata\":{\"name\":\"web\",\"uid\":\"U\"},\"spec\":{\"resources\":%s,"
			"\"initContainers\":[%s],\"containers\":[%s]}}",
			limits[i].resources, limits[i].sidecars ? limits[i].sidecars : "",
			limits[i].containers);
		pod = parse(text);
		assert_int_equal(kube_size_full_limit(&sizes, kube_pod_find(pod, "app")),
				 limits[i].app);
		assert_int_equal(kube_size_full_pod_limit(&sizes, pod), limits[i].whole);
		assert_int_equal(kube_size_full_limit(NULL, kube_pod_find(pod, "app")), 10);
	}
}

TEST(the_state_file_holds_what_full_and_asleep_are)
{
	_cleanup_(kube_pod_free) struct kube_pod *pod =
		build("Burstable", NULL, BOX("a", "250m", "1") "," LIMIT_ALONE("b", "2"), NULL);
	struct kube_sizes sizes = plan_of(pod), known;
	_cleanup_(freep) char *text = kube_size_format(&sizes);

	assert_string_equal(text,
			    STATE(SLEPT("a", 250, 1000, 1, 10) "," SLEPT("b", -1, 2000, -1, 10)));
	assert_int_equal(kube_size_parse(&known, text, "U"), 0);
	assert_string_equal(known.pod_uid, "U");
	assert_int_equal(known.len, sizes.len);
	for (size_t i = 0; i < known.len; i++) {
		assert_string_equal(known.sizes[i].name, sizes.sizes[i].name);
		assert_memory_equal(&known.sizes[i].full, &sizes.sizes[i].full,
				    sizeof(struct kube_cpu));
		assert_memory_equal(&known.sizes[i].asleep, &sizes.sizes[i].asleep,
				    sizeof(struct kube_cpu));
	}
}

/* The widest that there is: every container, each with the longest name. */
TEST(a_state_file_of_many_containers_comes_back)
{
	struct kube_sizes sizes = { .pod_uid = "U", .len = KUBE_CONTAINERS_MAX }, known;
	_cleanup_(freep) char *text = NULL;

	for (size_t i = 0; i < sizes.len; i++) {
		snprintf(sizes.sizes[i].name, sizeof(sizes.sizes[i].name), "%063zu", i);
		sizes.sizes[i].full = (struct kube_cpu){ 1000000000, 1000000000 };
		sizes.sizes[i].asleep = sizes.sizes[i].full;
	}
	text = kube_size_format(&sizes);
	assert_int_equal(kube_size_parse(&known, text, "U"), 0);
	assert_int_equal(known.len, KUBE_CONTAINERS_MAX);
	assert_string_equal(known.sizes[63].name, sizes.sizes[63].name);
	assert_int_equal(known.sizes[63].full.limit_millicpu, 1000000000);
}

TEST(a_state_file_cut_at_any_byte_is_refused)
{
	static const char text[] = STATE(SAVED("a", 250, 1000) "," SAVED("b", -1, 2000));
	struct kube_sizes known;

	for (size_t len = 0; len < sizeof(text) - 1; len++) {
		_cleanup_(freep) char *cut = strndup(text, len);

		assert_int_equal(kube_size_parse(&known, cut, "U"), -EINVAL);
	}
}

#define LIST	"\"containers\":["
#define NAME_63 "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg"

/* clang-format off */
static const struct {
	int r;
	const char *text;
} states[] = {
	{ 0,       STATE(SAVED("app", 250, 1000)) },
	{ 0,       STATE(SAVED("app", 0, 1)) },
	{ 0,       STATE(SAVED(NAME_63, 0, 1)) },
	{ 0,       " " STATE(SAVED("app", 250, 1000)) "\n" },
	{ 0,       STATE(SLEPT("app", 250, 1000, 1, 10)) },
	{ 0,       STATE(SLEPT("app", 250, 1000, -1, 20)) },
	{ -EINVAL, STATE(SLEPT("app", 250, 1000, 20, 10)) },
	{ -EINVAL, STATE(SLEPT("app", 250, 1000, 1, 0)) },
	{ -EINVAL, STATE(SLEPT("app", 250, 1000, 1, "10")) },
	{ -EINVAL, STATE(SLEPT("app", 250, 1000, 1, 10) "," SLEPT("b", 1, 20, 1, -1)) },
	{ -ESTALE, "{\"version\":1,\"podUID\":\"V\"," LIST SAVED("app", 250, 1000) "]}" },
	{ -ESTALE, "{\"version\":1,\"podUID\":\"UU\",\"containers\":[]}" },
	{ -EINVAL, "{\"version\":2,\"podUID\":\"U\"," LIST SAVED("app", 250, 1000) "]}" },
	{ -EINVAL, "{\"version\":\"1\",\"podUID\":\"U\"," LIST SAVED("app", 250, 1000) "]}" },
	{ -EINVAL, "{\"podUID\":\"U\"," LIST SAVED("app", 250, 1000) "]}" },
	{ -EINVAL, "{\"version\":1,\"containers\":[" SAVED("app", 250, 1000) "]}" },
	{ -EINVAL, "{\"version\":1,\"podUID\":7,\"containers\":[" SAVED("app", 250, 1000) "]}" },
	{ -EINVAL, "{\"version\":1,\"podUID\":\"U\"}" },
	{ -EINVAL, "{\"version\":1,\"podUID\":\"U\",\"containers\":{}}" },
	{ -EINVAL, STATE("") },
	{ -EINVAL, STATE("null") },
	{ -EINVAL, STATE("7") },
	{ -EINVAL, STATE("{\"requestMillicpu\":1,\"limitMillicpu\":2}") },
	{ -EINVAL, STATE("{\"name\":\"app\",\"limitMillicpu\":2}") },
	{ -EINVAL, STATE("{\"name\":\"app\",\"requestMillicpu\":1}") },
	{ -EINVAL, STATE("{\"name\":\"app\",\"requestMillicpu\":\"1\",\"limitMillicpu\":2}") },
	{ -EINVAL, STATE("{\"name\":\"app\",\"requestMillicpu\":1,\"limitMillicpu\":2}") },
	{ -EINVAL, STATE(SAVED("", 250, 1000)) },
	{ -EINVAL, STATE(SAVED(NAME_63 "g", 250, 1000)) },
	{ -EINVAL, STATE(SAVED("app", -2, 1000)) },
	{ -EINVAL, STATE(SAVED("app", 250, 0)) }, /* would mean unlimited */
	{ -EINVAL, STATE(SAVED("app", 250, -1)) },
	{ -EINVAL, STATE(SAVED("app", 250, 1e300)) },
	{ -EINVAL, STATE(SAVED("app", -1e300, 1000)) },
	{ -EINVAL, STATE(SAVED("app", 250, 1000) "," SAVED("b", 250, 0)) },
	{ -EINVAL, "" },
	{ -EINVAL, "null" },
	{ -EINVAL, "[]" },
	{ -EINVAL, "{}" },
};
/* clang-format on */

TEST(a_state_file_that_is_none_of_ours_is_refused)
{
	for (size_t i = 0; i < ARRAY_LEN(states); i++) {
		struct kube_sizes known;
		int r = kube_size_parse(&known, states[i].text, "U");

		if (r != states[i].r)
			fail_msg("%d for: %s", r, states[i].text);
	}
}

TEST(a_state_file_of_too_many_containers_is_refused)
{
	char text[256 * KUBE_CONTAINERS_MAX] = "{\"version\":1,\"podUID\":\"U\",\"containers\":[";
	struct kube_sizes known;

	for (int i = 0; i <= KUBE_CONTAINERS_MAX; i++)
		strcat(text, i ? "," SAVED("app", 250, 1000) : SAVED("app", 250, 1000));
	strcat(text, "]}");
	assert_int_equal(kube_size_parse(&known, text, "U"), -EINVAL);
}
