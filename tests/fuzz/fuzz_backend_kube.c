// SPDX-License-Identifier: MIT
/*
 * Fuzzes the kube backend with answers of the API server, in any order, with the time that passes
 * between them: errors, lost answers, patches that are carried out late, a kubelet that puts off
 * and refuses, and somebody else who resizes the same pod. Each byte of an input is what happens
 * next. Then the server behaves well, and the last word on the size must become true.
 */
#include <cjson/cJSON.h>
#include <errno.h>
#include <inttypes.h>

#include "backend/backend_kube.h"
#include "base/file.h"
#include "base/log.h"
#include "base/quantity.h"
#include "kube/kube_json.h"
#include "played.h"

#define POD_MAX	 2048
#define LATE_MAX 4
/* An API server gives up a request after so long, and carries it out no more. */
#define LATE_NS (55 * NS_PER_S)
/* Retry-After and the time in doubt are a minute each, the longest poll is half of one. */
#define SETTLED_NS	    (200 * NS_PER_S)
#define REQUESTS_OF_SETTLED 400

enum {
	ASLEEP_MILLICPU = 10,
	FULL_REQUEST = 250,
	FULL_LIMIT = 1000,
	OTHER_LIMIT = 2000
};

struct fuzz_late {
	char *body;
	uint64_t until_ns;
};

/* The pod as the API server has it, and what the kubelet has made of it. */
static struct {
	struct kube_cpu spec, actual;
	int64_t generation, observed;
	int restarts, uid;
	bool is_guaranteed, is_terminating, is_there;
	const char *pending; /* a reason */
	struct fuzz_late late[LATE_MAX];
	size_t late_len;
	char *state_file;
	/* What the caller of the backend knows. */
	struct backend_kube *backend;
	struct timer *retry; /* to prepare it */
	bool is_prepared, is_preparing, is_gone, must_grow;
	bool waits, was_refused;
	enum backend_size wanted;
	bool is_watched;
} world;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* --- the state file --- */

int file_read(const char *path, char **out)
{
	(void)path;
	*out = world.state_file ? strdup(world.state_file) : NULL;
	return *out ? 0 : -ENOENT;
}

int file_replace(const char *path, const char *text)
{
	(void)path;
	free(world.state_file);
	world.state_file = strdup(text);
	return 0;
}

/* --- the pod --- */

static bool world_is_full_limit(int64_t millicpu)
{
	return millicpu == FULL_LIMIT || millicpu == OTHER_LIMIT;
}

static void world_resize(struct kube_cpu to)
{
	if (world.spec.request_millicpu == to.request_millicpu &&
	    world.spec.limit_millicpu == to.limit_millicpu)
		return;
	world.spec = to;
	world.generation++;
	world.pending = NULL;
}

static void world_actuate(void)
{
	world.observed = world.generation;
	world.actual = world.spec;
	world.pending = NULL;
}

static void world_print(char out[POD_MAX], int uid)
{
	char pending[256] = "";

	if (world.pending)
		snprintf(pending, sizeof(pending),
			 "{\"type\":\"PodResizePending\",\"status\":\"True\",\"reason\":\"%s\","
			 "\"message\":\"no room\"}",
			 world.pending);
	snprintf(out, POD_MAX,
		 "{\"kind\":\"Pod\",\"metadata\":{\"name\":\"web\",\"uid\":\"u%d\","
		 "\"generation\":%" PRId64 "%s},\"spec\":{\"containers\":[{\"name\":\"app\","
		 "\"resources\":{\"requests\":{\"cpu\":\"%" PRId64 "m\"},"
		 "\"limits\":{\"cpu\":\"%" PRId64 "m\"}}}]},\"status\":{\"qosClass\":\"%s\","
		 "\"phase\":\"Running\",\"observedGeneration\":%" PRId64 ",\"conditions\":[%s],"
		 "\"containerStatuses\":[{\"name\":\"app\",\"started\":true,\"ready\":true,"
		 "\"restartCount\":%d,\"allocatedResources\":{\"cpu\":\"%" PRId64 "m\"},"
		 "\"resources\":{\"requests\":{\"cpu\":\"%" PRId64 "m\"},"
		 "\"limits\":{\"cpu\":\"%" PRId64 "m\"}}}]}}",
		 uid, world.generation,
		 world.is_terminating ? ",\"deletionTimestamp\":\"2026-01-01T00:00:00Z\"" : "",
		 world.spec.request_millicpu, world.spec.limit_millicpu,
		 world.is_guaranteed ? "Guaranteed" : "Burstable", world.observed, pending,
		 world.restarts, world.actual.request_millicpu, world.actual.request_millicpu,
		 world.actual.limit_millicpu);
}

/* --- patches --- */

static int64_t patch_cpu(const cJSON *resources, const char *list, int64_t otherwise)
{
	const char *text = kube_json_text(kube_json_get(resources, list), "cpu", NULL);
	int64_t millicpu = otherwise;

	if (text)
		FUZZ_CHECK(quantity_parse_kube_cpu(text, &millicpu) == 0);
	return millicpu;
}

/* What no patch may ever hold, whatever the server has answered before. */
static void patch_check(struct kube_cpu to)
{
	FUZZ_CHECK(to.limit_millicpu == ASLEEP_MILLICPU || world_is_full_limit(to.limit_millicpu));
	FUZZ_CHECK(to.request_millicpu >= 1 && to.request_millicpu <= to.limit_millicpu);
	if (to.limit_millicpu == ASLEEP_MILLICPU)
		FUZZ_CHECK(to.request_millicpu == (world.is_guaranteed ? ASLEEP_MILLICPU : 1));
	if (world.is_guaranteed)
		FUZZ_CHECK(to.request_millicpu == to.limit_millicpu);
}

/* false: it is for another pod. */
static bool patch_apply(const char *body, bool is_dry)
{
	_cleanup_(kube_json_free) cJSON *root = cJSON_Parse(body);
	const char *uid = kube_json_text(kube_json_get(root, "metadata"), "uid", "");
	const cJSON *containers = kube_json_list(kube_json_get(root, "spec"), "containers");
	const cJSON *resources = kube_json_get(cJSON_GetArrayItem(containers, 0), "resources");
	struct kube_cpu to = {
		.request_millicpu = patch_cpu(resources, "requests", world.spec.request_millicpu),
		.limit_millicpu = patch_cpu(resources, "limits", world.spec.limit_millicpu),
	};

	FUZZ_CHECK(root && cJSON_GetArraySize(containers) == 1);
	FUZZ_CHECK(uid[0] == 'u');
	if (atoi(uid + 1) != world.uid)
		return false;
	patch_check(to);
	if (!is_dry)
		world_resize(to);
	return true;
}

static void late_keep(const char *body)
{
	if (world.late_len == LATE_MAX)
		return;
	world.late[world.late_len++] = (struct fuzz_late){
		.body = strdup(body),
		.until_ns = played.now_ns + LATE_NS,
	};
}

static void late_apply(void)
{
	struct fuzz_late late;

	if (!world.late_len)
		return;
	late = world.late[0];
	world.late_len--;
	memmove(world.late, world.late + 1, world.late_len * sizeof(late));
	if (played.now_ns < late.until_ns && world.is_there)
		patch_apply(late.body, false);
	free(late.body);
}

static bool request_is_patch(const struct kube_request *request)
{
	return request->body && !strstr(request->path, "dryRun");
}

static void on_cancelled(const struct kube_request *request)
{
	if (request_is_patch(request))
		late_keep(request->body);
}

/* --- answers --- */

static void answer_text(struct kube_request *request, long status, const char *body)
{
	played_answer(request, &(struct kube_answer){ .status = status, .body = body });
}

static const char no_pod[] = "{\"kind\":\"Status\",\"message\":\"pods \\\"web\\\" not found\"}";
static const char other_uid[] =
	"{\"kind\":\"Status\",\"details\":{\"causes\":[{\"field\":\"metadata.uid\"}]}}";

static void answer_well(struct kube_request *request)
{
	char pod[POD_MAX];

	if (!strstr(request->path, "/pods/")) {
		answer_text(request, 200, "{\"resources\":[{\"name\":\"pods/resize\"}]}");
	} else if (!world.is_there) {
		answer_text(request, 404, no_pod);
	} else if (request->body &&
		   !patch_apply(request->body, strstr(request->path, "dryRun") != NULL)) {
		answer_text(request, 422, other_uid);
	} else {
		world_print(pod, world.uid);
		answer_text(request, 200, pod);
	}
}

/* It was carried out, but the answer is lost or spoiled. */
static void answer_lost(struct kube_request *request, bool is_cut)
{
	char pod[POD_MAX];

	if (request_is_patch(request) && world.is_there)
		patch_apply(request->body, false);
	world_print(pod, world.uid);
	pod[strlen(pod) / 2] = '\0';
	answer_text(request, is_cut ? 200 : 0, is_cut ? pod : NULL);
}

static void answer_badly(struct kube_request *request, unsigned int how)
{
	static const struct kube_answer answers[] = {
		{ .status = 0 },
		{ .status = 500 },
		{ .status = 503, .retry_after_s = 1, .body = "not now" },
		{ .status = 429, .retry_after_s = 30, .body = "Too many requests" },
		{ .status = 429, .retry_after_s = -1 },
		{ .status = 429, .retry_after_s = INT64_MAX },
		{ .status = 409, .body = "{\"message\":\"the object has been modified\"}" },
		{ .status = 401, .body = "Unauthorized" },
		{ .status = 403, .body = "{\"message\":\"User \\\"x\\\" cannot patch\"}" },
		{ .status = 403,
		  .body = "{\"details\":{\"causes\":[{\"reason\":\"NodeCapacity\"}]}}" },
		{ .status = 422, .body = "{\"message\":\"maxLimitRequestRatio\"}" },
		{ .status = 200, .body = "[" },
		{ .status = 200, .body = "" },
		{ .status = 504, .body = "{\"message\":\"Timeout\"}", .is_too_long = true },
	};
	const struct kube_answer *answer = &answers[how % ARRAY_LEN(answers)];

	/* What a 200 says was done. One without an answer may be done later. */
	if (answer->status == 200 && request_is_patch(request) && world.is_there)
		patch_apply(request->body, false);
	else if ((!answer->status || answer->status >= 500) && request_is_patch(request))
		late_keep(request->body);
	played_answer(request, answer);
}

/* --- the caller --- */

static void on_done(void *arg, enum backend_size size, int r)
{
	(void)arg;
	FUZZ_CHECK(size == world.wanted);
	FUZZ_CHECK(r <= 0);
	if (size == BACKEND_FULL) {
		/* Once for each resize; after a refusal once more. */
		FUZZ_CHECK(world.waits || (world.was_refused && r == 0));
		FUZZ_CHECK(r == 0 || r == BACKEND_REFUSED);
		world.was_refused = r != 0;
	}
	world.waits = false;
	world.must_grow = size == BACKEND_ASLEEP && r < 0;
}

static void on_restarted(void *arg)
{
	(void)arg;
	FUZZ_CHECK(!world.is_watched);
	world.must_grow = true;
}

static void on_gone(void *arg)
{
	(void)arg;
	FUZZ_CHECK(!world.is_watched && !world.is_gone);
	world.is_gone = true;
}

static void on_prepared(void *arg, struct kube_pod *pod, int r)
{
	(void)arg;
	FUZZ_CHECK(world.is_preparing && (pod != NULL) == (r == 0));
	kube_pod_free(&pod);
	world.is_preparing = false;
	world.is_prepared = r == 0;
	if (r < 0)
		timer_in_ns(world.retry, NS_PER_S);
	world.is_gone = r == -ESRCH;
	world.must_grow = r == 0 && !backend_kube_is_full(world.backend);
}

static void caller_resize(enum backend_size size)
{
	if (!world.is_prepared || world.is_gone)
		return;
	world.wanted = size;
	world.waits = true;
	world.must_grow = false;
	backend_resize(backend_kube_as_backend(world.backend), size);
}

static void caller_prepare(void)
{
	if (world.is_prepared || world.is_preparing || world.is_gone ||
	    timer_is_pending(world.retry))
		return;
	world.is_preparing = true;
	if (backend_kube_prepare(world.backend, on_prepared, NULL) < 0) {
		world.is_preparing = false;
		timer_in_ns(world.retry, NS_PER_S);
	}
}

static void caller_on_retry(void *arg)
{
	(void)arg;
	caller_prepare();
}

/* As a target does: what cannot fall asleep, or was started anew, gets its full size. */
static void caller_go_on(void)
{
	caller_prepare();
	if (world.must_grow)
		caller_resize(BACKEND_FULL);
}

/* --- what happens --- */

static void happen_to_pod(unsigned int what)
{
	const struct kube_cpu other = { world.is_guaranteed ? OTHER_LIMIT : 300, OTHER_LIMIT };

	switch (what % 8) {
	case 0:
	case 1:
		world_actuate();
		break;
	case 2:
		world.observed = world.generation;
		break;
	case 3:
		world.observed = world.generation;
		world.pending = "Deferred";
		break;
	case 4:
		world.observed = world.generation;
		world.pending = "Infeasible";
		break;
	case 5:
		world_resize(other);
		break;
	case 6:
		world.restarts++;
		break;
	default:
		late_apply();
	}
}

static void happen_to_request(struct kube_request *request, unsigned int what)
{
	if (what < 16)
		answer_badly(request, what);
	else if (what < 20)
		answer_lost(request, what & 1);
	else
		answer_well(request);
}

static void happen_rarely(unsigned int what)
{
	if (what == 0) {
		world.uid++;
		world.spec.limit_millicpu = FULL_LIMIT;
		world.spec.request_millicpu = world.is_guaranteed ? FULL_LIMIT : FULL_REQUEST;
		world_actuate();
	} else if (what == 1) {
		world.is_terminating = true;
	} else if (what == 2) {
		world.is_there = false;
	} else {
		played.refuses = !played.refuses;
	}
}

/* Two bits say to whom, the rest what. */
static void happen(uint8_t byte)
{
	unsigned int what = byte >> 2;

	if ((byte & 3) == 0 && played.requests)
		happen_to_request(what & 32 ? played.requests->prev : played.requests, what & 31);
	else if ((byte & 3) == 1)
		played_timer();
	else if ((byte & 3) == 2)
		happen_to_pod(what);
	else if (what < 24)
		caller_resize(BACKEND_FULL);
	else if (what < 48)
		caller_resize(BACKEND_ASLEEP);
	else if (what >= 60)
		happen_rarely(what - 60);
	caller_go_on();
}

/* --- the end --- */

/* From here on the server and the kubelet do what they are asked. */
static void settle(void)
{
	uint64_t until_ns = played.now_ns + SETTLED_NS, started = played.started;

	played.refuses = false;
	while (played.now_ns < until_ns) {
		late_apply();
		world_actuate();
		caller_go_on();
		if (played.requests)
			answer_well(played.requests);
		else if (!played_timer())
			break;
	}
	FUZZ_CHECK(played.started - started < REQUESTS_OF_SETTLED); /* it does not spin */
}

static void check_settled(void)
{
	if (!world.is_there || world.is_terminating || world.uid != 0)
		return; /* nobody has this pod any more */
	FUZZ_CHECK(world.is_gone || world.is_prepared);
	if (world.is_gone || !world.is_prepared)
		return;
	FUZZ_CHECK(!world.waits && !world.must_grow);
	if (world.wanted == BACKEND_FULL) {
		FUZZ_CHECK(world_is_full_limit(world.spec.limit_millicpu));
		FUZZ_CHECK(world.spec.request_millicpu >= FULL_REQUEST);
		FUZZ_CHECK(backend_kube_is_full(world.backend));
	} else {
		FUZZ_CHECK(world.spec.limit_millicpu == ASLEEP_MILLICPU || world.is_watched);
	}
}

static void begin(uint8_t flags)
{
	static const struct kube_size_choice choice = { .asleep_millicpu = ASLEEP_MILLICPU };
	struct backend_kube_settings settings = {
		.namespace = "default",
		.name = "web",
		.state_file = "state",
		.choice = choice,
		.restarted = on_restarted,
		.gone = on_gone,
	};

	played_reset();
	memset(&world, 0, sizeof(world));
	played.cancelled = on_cancelled;
	world.is_there = true;
	world.is_guaranteed = flags & 1;
	world.is_watched = settings.is_watched = flags & 2;
	world.generation = 1;
	world.spec.limit_millicpu = FULL_LIMIT;
	world.spec.request_millicpu = world.is_guaranteed ? FULL_LIMIT : FULL_REQUEST;
	world_actuate();
	world.retry = timer_new(NULL, caller_on_retry, NULL);
	FUZZ_CHECK(backend_kube_new(&world.backend, NULL, NULL, &settings) == 0);
	backend_kube_as_backend(world.backend)->done = on_done;
}

/* An earlier doze has died while it slept. */
static void begin_asleep(void)
{
	char text[512];
	int asleep_request = world.is_guaranteed ? ASLEEP_MILLICPU : 1;

	snprintf(text, sizeof(text),
		 "{\"version\":1,\"podUID\":\"u0\",\"containers\":[{\"name\":\"app\","
		 "\"requestMillicpu\":%" PRId64 ",\"limitMillicpu\":%" PRId64 ","
		 "\"asleepRequestMillicpu\":%d,\"asleepLimitMillicpu\":%d}]}",
		 world.spec.request_millicpu, world.spec.limit_millicpu, asleep_request,
		 ASLEEP_MILLICPU);
	file_replace("state", text);
	world_resize((struct kube_cpu){ asleep_request, ASLEEP_MILLICPU });
	world_actuate();
}

static void end(void)
{
	backend_kube_free(&world.backend);
	timer_free(&world.retry);
	played.cancelled = NULL;
	while (world.late_len)
		late_apply();
	free(world.state_file);
	FUZZ_CHECK(!played.requests && !played.timers);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1 || size > 512)
		return 0;
	log_set_level(LOG_LEVEL_ERROR);
	begin(data[0]);
	if (data[0] & 4)
		begin_asleep();
	caller_go_on();
	if (data[0] & 8) { /* nothing is wrong while it prepares itself */
		while (played.requests)
			answer_well(played.requests);
	}
	for (size_t i = 1; i < size; i++)
		happen(data[i]);
	settle();
	check_settled();
	end();
	return 0;
}
