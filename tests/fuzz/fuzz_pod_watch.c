// SPDX-License-Identifier: MIT
/*
 * Fuzzes the watch of a node's pods: lists and watches that end anywhere, events that are cut,
 * doubled or of another kind, errors with a Retry-After, and the time between them. Two bytes of an
 * input are what happens next. Then the server behaves well, and what is known must be what is
 * there.
 */
#include <inttypes.h>
#include <stdarg.h>

#include "base/log.h"
#include "kube/pod_watch.h"
#include "played.h"

#define PODS	  8
#define STREAM	  (1 << 16)
#define INPUT_MAX 1024
/* Retry-After is a minute, and the longest pause 45 s. */
#define SETTLED_NS	    (300 * NS_PER_S)
#define REQUESTS_OF_SETTLED 1000

static struct {
	unsigned int there; /* bits: the pods that the server has */
	uint64_t version;
	char stream[STREAM]; /* what the server has written and the network has not brought yet */
	size_t stream_len;
	/* What the watch has told. */
	struct pod_watch *watch;
	unsigned int known;
	unsigned int lists;
	bool is_refused;
} world;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* --- what is told --- */

static unsigned int bit_of(const char *uid)
{
	FUZZ_CHECK(uid[0] == 'u' && uid[1] >= '0' && uid[1] < '0' + PODS && !uid[2]);
	return 1U << (uid[1] - '0');
}

static void on_put(void *arg, struct kube_pod *pod)
{
	(void)arg;
	world.known |= bit_of(pod->uid);
	kube_pod_free(&pod);
}

/* Of one that could not be read there was no word before. */
static void on_gone(void *arg, const char *uid)
{
	(void)arg;
	world.known &= ~bit_of(uid);
}

/* One that has no uid could not be told of again. */
static void on_unreadable(void *arg, const struct pod_watch_unreadable *pod)
{
	(void)arg;
	FUZZ_CHECK(*pod->name->uid && *pod->why && pod->text);
}

static void on_listed(void *arg)
{
	(void)arg;
	world.lists++;
}

static void on_refused(void *arg, const char *why)
{
	(void)arg;
	FUZZ_CHECK(why);
	world.is_refused = *why != '\0';
}

/* --- what the server writes --- */

static void write_text(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void write_text(const char *format, ...)
{
	va_list arguments;
	size_t room = STREAM - world.stream_len;
	int len;

	va_start(arguments, format);
	len = vsnprintf(world.stream + world.stream_len, room, format, arguments);
	va_end(arguments);
	if (len > 0 && (size_t)len < room)
		world.stream_len += (size_t)len;
}

static void write_pod(unsigned int pod, uint64_t version)
{
	write_text("{\"kind\":\"Pod\",\"metadata\":{\"name\":\"p%u\",\"namespace\":\"n\","
		   "\"uid\":\"u%u\",\"resourceVersion\":\"%" PRIu64 "\"}}",
		   pod, pod, version);
}

static void write_event(const char *type, unsigned int pod)
{
	write_text("{\"type\":\"%s\",\"object\":", type);
	write_pod(pod, world.version);
	write_text("}\n");
}

static void write_list(unsigned int pods, const char *more)
{
	const char *comma = "";

	write_text("{\"kind\":\"PodList\",\"metadata\":{\"resourceVersion\":\"%" PRIu64
		   "\",\"continue\":\"%s\"},\"items\":[",
		   world.version, more);
	for (unsigned int pod = 0; pod < PODS; pod++) {
		if (!(pods & 1U << pod))
			continue;
		write_text("%s", comma);
		write_pod(pod, world.version);
		comma = ",";
	}
	write_text("]}");
}

static void write_something(unsigned int what, unsigned int pod)
{
	static const char *const odd[] = {
		"{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"Pod\",\"metadata\":{"
		"\"resourceVersion\":\"7\"}}}\n",
		"{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410}}\n",
		"{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":500}}\n",
		"{\"type\":\"ADDED\",\"object\":{\"kind\":\"Pod\",\"metadata\":{\"name\":\"p1\","
		"\"namespace\":\"n\",\"uid\":\"u1\"},\"spec\":[}}\n",
		"{\"type\":\"NEW\",\"object\":{\"kind\":\"Pod\",\"metadata\":{\"name\":\"p2\","
		"\"namespace\":\"n\",\"uid\":\"u2\"}}}\n",
		"\n",
		"[]\n",
		"{\"kind\":\"PodList\",\"items\":null}",
		"{\"items\":[{},[],7,\"\\\"\",{\"metadata\":{\"uid\":\"u3\"}}],\"metadata\":{"
		"\"resourceVersion\":\"9\",\"continue\":\"x%&\"}}",
	};

	switch (what % 8) {
	case 0:
		world.version++;
		world.there |= 1U << pod;
		write_event("ADDED", pod);
		break;
	case 1:
		world.version++;
		write_event("MODIFIED", pod);
		break;
	case 2:
		world.version++;
		world.there &= ~(1U << pod);
		write_event("DELETED", pod);
		break;
	case 3: /* a change that this watch is not told */
		world.version++;
		world.there ^= 1U << pod;
		break;
	case 4:
		write_list(world.there, pod & 1 ? "more" : "");
		break;
	case 5:
		write_list(world.there & pod, "");
		break;
	default:
		write_text("%s", odd[(what / 8 + pod) % ARRAY_LEN(odd)]);
	}
}

/* --- what the network brings --- */

static void bring(size_t len)
{
	char piece[STREAM];

	len = min_u64(len, world.stream_len);
	memcpy(piece, world.stream, len);
	world.stream_len -= len;
	memmove(world.stream, world.stream + len, world.stream_len);
	if (played.requests)
		played_bytes(played.requests, piece, len);
}

static void end_request(unsigned int how)
{
	static const struct kube_answer answers[] = {
		{ .status = 200 },
		{ .status = 0 },
		{ .status = 410, .body = "{\"code\":410}" },
		{ .status = 504, .body = "{\"message\":\"Too large resource version\"}" },
		{ .status = 429, .retry_after_s = 30 },
		{ .status = 429, .retry_after_s = INT64_MAX },
		{ .status = 503, .retry_after_s = -7 },
		{ .status = 401, .body = "Unauthorized" },
		{ .status = 403, .body = "{\"message\":\"no\"}" },
		{ .status = 500 },
	};

	world.stream_len = 0; /* the next one has a connection of its own */
	if (played.requests)
		played_answer(played.requests, &answers[how % ARRAY_LEN(answers)]);
}

static void happen(uint8_t what, uint8_t how)
{
	switch (what & 3) {
	case 0:
		write_something(what >> 2, how % PODS);
		break;
	case 1:
		bring(how == 255 ? STREAM : how);
		break;
	case 2:
		end_request(how);
		break;
	default:
		if (what & 128)
			played.refuses = !played.refuses;
		played_timer();
	}
}

/* --- the end --- */

static uint64_t version_of(const char *path)
{
	const char *version = strstr(path, "resourceVersion=");

	return version ? strtoull(version + strlen("resourceVersion="), NULL, 10) : 0;
}

/* A watch of a version from which on all is known waits for ever. */
static bool answer_well(struct kube_request *request)
{
	world.stream_len = 0;
	if (!strstr(request->path, "&watch=1")) {
		write_list(world.there, "");
		bring(STREAM);
		if (played.requests)
			end_request(0);
	} else if (version_of(request->path) != world.version) {
		end_request(2);
	} else if (!request->has_begun) {
		played_bytes(request, "", 0);
	} else {
		return false;
	}
	return true;
}

static void settle(void)
{
	uint64_t until_ns = played.now_ns + SETTLED_NS, started = played.started;

	played.refuses = false;
	if (played.requests)
		end_request(1);
	world.version += 1000000; /* and not one that was ever said before */
	while (played.now_ns < until_ns) {
		if (!played.requests || !answer_well(played.requests))
			FUZZ_CHECK(played_timer()); /* whatever happens, it goes on */
	}
	FUZZ_CHECK(played.started - started < REQUESTS_OF_SETTLED);
	FUZZ_CHECK(world.known == world.there && !world.is_refused && world.lists);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct pod_watch_settings settings = {
		.node = "node 1",
		.put = on_put,
		.gone = on_gone,
		.unreadable = on_unreadable,
		.listed = on_listed,
		.refused = on_refused,
	};

	if (size > INPUT_MAX)
		return 0;
	log_set_level(LOG_LEVEL_ERROR);
	played_reset();
	memset(&world, 0, sizeof(world));
	world.version = 10;
	FUZZ_CHECK(pod_watch_new(&world.watch, NULL, NULL, &settings) == 0);
	for (size_t i = 0; i + 1 < size; i += 2)
		happen(data[i], data[i + 1]);
	settle();
	pod_watch_free(&world.watch);
	FUZZ_CHECK(!played.requests && !played.timers);
	return 0;
}
