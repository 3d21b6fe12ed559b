/* SPDX-License-Identifier: MIT */
/*
 * An API server and a clock that a fuzzer plays. It is linked instead of kube/kube.c and
 * base/timer.c, and clock_gettime() is wrapped (tests.mk): requests wait until they are answered,
 * timers until the time is moved to them.
 */
#ifndef DOZE_FUZZ_PLAYED_H
#define DOZE_FUZZ_PLAYED_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <utlist.h>

#include "base/timer.h"
#include "base/util.h"
#include "kube/kube.h"

#define FUZZ_CHECK(claim)                                                                          \
	do {                                                                                       \
		if (!(claim)) {                                                                    \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #claim);                \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

struct kube_request {
	char method[8], path[8192];
	char *body; /* NULL: none */
	kube_answer_fn answer;
	kube_bytes_fn bytes;
	void *arg;
	bool has_begun; /* of a stream: 200 */
	struct kube_request *prev, *next;
};

struct timer {
	timer_fn fn;
	void *arg;
	uint64_t due_ns; /* 0: it does not run */
	struct timer *prev, *next;
};

static struct {
	uint64_t now_ns;
	struct kube_request *requests; /* oldest first */
	struct timer *timers;
	uint64_t started; /* requests, ever */
	bool refuses;	  /* no memory: no request can be started */
	/* One was given up; it may be carried out all the same. */
	void (*cancelled)(const struct kube_request *request);
} played;

/* --- the clock --- */

int __wrap_clock_gettime(clockid_t clock, struct timespec *out);

int __wrap_clock_gettime(clockid_t clock, struct timespec *out)
{
	(void)clock;
	out->tv_sec = (time_t)(played.now_ns / NS_PER_S);
	out->tv_nsec = (long)(played.now_ns % NS_PER_S);
	return 0;
}

struct timer *timer_new(struct event_base *base, timer_fn fn, void *arg)
{
	struct timer *t = calloc(1, sizeof(*t));

	(void)base;
	FUZZ_CHECK(t);
	*t = (struct timer){ .fn = fn, .arg = arg };
	DL_APPEND(played.timers, t);
	return t;
}

void timer_free(struct timer **t)
{
	if (*t)
		DL_DELETE(played.timers, *t);
	free(*t);
	*t = NULL;
}

void timer_in_ns(struct timer *t, uint64_t ns)
{
	t->due_ns = played.now_ns + ns;
}

void timer_stop(struct timer *t)
{
	t->due_ns = 0;
}

bool timer_is_pending(const struct timer *t)
{
	return t->due_ns != 0;
}

/* Moves the time to the timer that is due first. false: none runs. */
static bool played_timer(void)
{
	struct timer *t, *first = NULL;

	DL_FOREACH(played.timers, t)
	{
		if (t->due_ns && (!first || t->due_ns < first->due_ns))
			first = t;
	}
	if (!first)
		return false;
	played.now_ns = max_u64(played.now_ns, first->due_ns);
	first->due_ns = 0;
	first->fn(first->arg);
	return true;
}

/* --- requests --- */

static struct kube_request *played_start(const char *method, const char *path, const char *body,
					 kube_answer_fn answer, void *arg)
{
	struct kube_request *request = played.refuses ? NULL : calloc(1, sizeof(*request));

	if (!request)
		return NULL;
	snprintf(request->method, sizeof(request->method), "%s", method);
	snprintf(request->path, sizeof(request->path), "%s", path);
	request->body = body ? strdup(body) : NULL;
	request->answer = answer;
	request->arg = arg;
	DL_APPEND(played.requests, request);
	played.started++;
	return request;
}

static void played_free(struct kube_request *request)
{
	DL_DELETE(played.requests, request);
	free(request->body);
	free(request);
}

struct kube_request *kube_start(struct kube *k, const char *method, const char *path,
				const char *body, kube_answer_fn answer, void *arg)
{
	(void)k;
	return played_start(method, path, body, answer, arg);
}

struct kube_request *kube_start_stream(struct kube *k, const char *path, long timeout_s,
				       kube_bytes_fn bytes, kube_answer_fn answer, void *arg)
{
	struct kube_request *request = played_start("GET", path, NULL, answer, arg);

	(void)k;
	FUZZ_CHECK(timeout_s > 0);
	if (request)
		request->bytes = bytes;
	return request;
}

void kube_cancel(struct kube_request **request)
{
	if (!*request)
		return;
	if (played.cancelled)
		played.cancelled(*request);
	played_free(*request);
	*request = NULL;
}

void kube_give_up(struct kube_request **request, unsigned int waited_ms)
{
	(void)waited_ms;
	kube_cancel(request);
}

void kube_redirect(struct kube_request *request, kube_answer_fn answer, void *arg)
{
	request->answer = answer;
	request->arg = arg;
}

/* As kube.c does: the request is there until its answer has been heard. */
static void played_answer(struct kube_request *request, const struct kube_answer *answer)
{
	struct kube_answer whole = *answer;

	if (!whole.body)
		whole.body = "";
	whole.body_len = strlen(whole.body);
	if (!whole.status)
		whole.transport = "the connection has broken";
	request->answer(request->arg, &whole);
	played_free(request);
}

/* A piece of a stream, the first time after its beginning. */
static inline void played_bytes(struct kube_request *request, const char *bytes, size_t len)
{
	bool goes_on = true;

	if (!request->has_begun) {
		request->has_begun = true;
		goes_on = request->bytes(request->arg, "", 0);
	}
	if (goes_on && len)
		goes_on = request->bytes(request->arg, bytes, len);
	if (!goes_on)
		played_answer(request, &(struct kube_answer){ 0 });
}

static void played_reset(void)
{
	FUZZ_CHECK(!played.requests && !played.timers); /* all were given back */
	memset(&played, 0, sizeof(played));
	played.now_ns = 1000 * NS_PER_S;
	srandom(1);
}

#endif
