// SPDX-License-Identifier: MIT
/* PATCH, read back, try again; see the header for the order. */
#include "backend/backend_kube.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/timer.h"
#include "base/util.h"

/* How often the pod is read while something is being waited for: growing from the first. */
#define KUBE_POLL_MIN_NS (20 * NS_PER_MS)
#define KUBE_POLL_MAX_NS (30 * NS_PER_S)
/* At most, while it waits to be refused. */
#define KUBE_POLL_PENDING_NS (500 * NS_PER_MS)
/* And while it sleeps, to see a container that was started anew. */
#define KUBE_ASLEEP_POLL_NS (5 * NS_PER_S)

#define KUBE_SHRINK_TIMEOUT_NS (30 * NS_PER_S)

/* A resize that is put off for longer is refused: a node's DiskPressure may take hours. */
#define KUBE_DEFERRED_MAX_NS (3 * NS_PER_S)
/* So long after a patch, one that does not say what it has judged has judged that one. */
#define KUBE_JUDGED_NS (1 * NS_PER_S)
/* And so long it is not asked again: growing from the first. */
#define KUBE_REFUSED_MIN_NS (60 * NS_PER_S)
#define KUBE_REFUSED_MAX_NS (3600 * NS_PER_S)

/* A patch down without an answer may still be carried out, until the API server gives it up. */
#define KUBE_DOUBT_NS (60 * NS_PER_S)

#define KUBE_RETRY_AFTER_MAX_S 60

/* A random part of every pause, so that a recovering server is not met by all at once. */
#define KUBE_JITTER_NS (50 * NS_PER_MS)

enum kube_phase {
	KUBE_IDLE,
	KUBE_SHRINK_READ, /* GET before the patch down */
	KUBE_SHRINK_PATCH,
	KUBE_SHRINK_CHECK, /* GET until it is actuated */
	KUBE_ASLEEP,	   /* GET now and then */
	KUBE_GROW_PATCH,
	KUBE_GROW_GRANT, /* Guaranteed: GET until it is granted */
	KUBE_RESTORE, /* full as far as the target is concerned; requests, and the order, remain */
};

struct backend_kube {
	struct backend base;
	struct backend_kube_settings settings;
	struct kube *kube;
	struct kube_sizes sizes;
	struct timer *timer;
	enum kube_phase phase;
	struct kube_request *request; /* of the phase */
	struct kube_request *down;    /* a patch down that was superseded while in flight */
	uint64_t poll_ns, shrink_until_ns;
	uint64_t shrink_not_before_ns; /* Retry-After */
	uint64_t asked_ns;	       /* when the last patch down was answered */
	uint64_t refused_until_ns, refused_pause_ns;
	uint64_t doubt_until_ns;
	int restart_counts[KUBE_CONTAINERS_MAX]; /* when it fell asleep */
	bool has_resize_path, has_said_pending, is_gone;
	bool has_said_unread; /* in this phase */
	bool may_be_small;    /* a patch down was sent, and full has not been seen since */
	bool was_small;	      /* before that patch */
	bool was_refused;     /* that patch, by the kubelet */
	size_t prepare_step;
	backend_kube_ready_fn ready;
	void *ready_arg;
};

static void kube_next(struct backend_kube *b);

/* --- requests --- */

static void kube_path(const struct backend_kube *b, char *out, size_t room, const char *suffix)
{
	snprintf(out, room, "/api/v1/namespaces/%s/pods/%s%s", b->settings.namespace,
		 b->settings.name, suffix);
}

static struct kube_request *kube_get_pod(struct backend_kube *b, kube_answer_fn answer)
{
	char path[512];

	kube_path(b, path, sizeof(path), "");
	return kube_start(b->kube, "GET", path, NULL, answer, b);
}

static struct kube_request *kube_patch(struct backend_kube *b, enum kube_step step,
				       const char *query, kube_answer_fn answer)
{
	_cleanup_(freep) char *body = kube_size_patch(&b->sizes, step);
	char path[512], suffix[128];

	snprintf(suffix, sizeof(suffix), "%s?fieldManager=doze%s",
		 b->has_resize_path ? "/resize" : "", query);
	kube_path(b, path, sizeof(path), suffix);
	return body ? kube_start(b->kube, "PATCH", path, body, answer, b) : NULL;
}

/* --- what an answer means --- */

static int kube_errno(const struct kube_answer *a)
{
	if (a->status >= 200 && a->status < 300)
		return 0;
	switch (a->status) {
	case 401:
	case 403:
		return -EACCES;
	case 404:
		return -ESRCH;
	case 409:
	case 429:
		return -EAGAIN;
	case 400:
	case 415:
	case 422:
		return -EINVAL;
	default:
		return -EIO;
	}
}

/* A 403 of RBAC says which right is missing; the one of a quota or a full node is no RBAC. */
static void kube_explain(const struct backend_kube *b, const struct kube_answer *a,
			 const char *doing, const char *rule)
{
	char message[KUBE_ERROR_MAX], whole[3 * KUBE_ERROR_MAX];
	bool is_rbac;

	kube_answer_message(a, message, sizeof(message));
	is_rbac = a->status == 403 && strstr(message, " cannot ") != NULL;
	snprintf(whole, sizeof(whole), "%s '%s/%s': %s%s%s (HTTP %ld)", doing,
		 b->settings.namespace, b->settings.name, message,
		 is_rbac ? ": its Role lacks the rule " : "", is_rbac ? rule : "", a->status);
	log_err(0, "%s", whole);
	if (b->settings.problem)
		b->settings.problem(b->settings.arg, "ResizeRefused", whole);
}

#define KUBE_RULE_GET "resources: [pods], verbs: [get]"

static const char *kube_rule_patch(const struct backend_kube *b)
{
	return b->has_resize_path ? "resources: [pods/resize], verbs: [patch]"
				  : "resources: [pods], verbs: [patch]";
}

static void kube_note_gone(struct backend_kube *b)
{
	if (b->is_gone)
		return;
	b->is_gone = true;
	log_info("the pod is gone or going", "pod=%s/%s", b->settings.namespace, b->settings.name);
	if (!b->settings.is_watched)
		b->settings.gone(b->settings.arg);
}

static struct kube_pod *kube_read(const struct kube_answer *a)
{
	struct kube_pod *pod = NULL;

	if (kube_errno(a) == 0)
		kube_pod_parse(&pod, a->body, a->body_len);
	return pod;
}

/* The same for the reads that are repeated: why one fails is said once in a phase. */
static struct kube_pod *kube_read_again(struct backend_kube *b, const struct kube_answer *a)
{
	struct kube_pod *pod = kube_read(a);

	if (kube_errno(a) == -ESRCH || (pod && pod->is_terminating)) {
		kube_note_gone(b);
	} else if (!pod && !b->has_said_unread) {
		b->has_said_unread = true;
		kube_explain(b, a, "cannot read the pod", KUBE_RULE_GET);
	}
	return pod;
}

/* --- timers --- */

static void kube_wait(struct backend_kube *b, uint64_t pause_ns)
{
	uint64_t jitter_ns = (uint64_t)random() % KUBE_JITTER_NS;

	timer_in_ns(b->timer, pause_ns + (pause_ns > KUBE_POLL_MIN_NS ? jitter_ns : 0));
}

static void kube_wait_longer(struct backend_kube *b)
{
	kube_wait(b, b->poll_ns);
	b->poll_ns = min_u64(2 * b->poll_ns, KUBE_POLL_MAX_NS);
}

static uint64_t kube_retry_after_ns(const struct kube_answer *a)
{
	if (a->retry_after_s <= 0)
		return 0;
	return min_u64((uint64_t)a->retry_after_s, KUBE_RETRY_AFTER_MAX_S) * NS_PER_S;
}

/* As long as the server wants, or else longer than the last time. */
static void kube_wait_after(struct backend_kube *b, const struct kube_answer *a)
{
	uint64_t pause_ns = kube_retry_after_ns(a);

	if (!pause_ns) {
		kube_wait_longer(b);
		return;
	}
	b->shrink_not_before_ns = monotonic_ns() + pause_ns;
	kube_wait(b, pause_ns);
}

static void kube_on_timer(void *arg)
{
	kube_next(arg);
}

static void kube_enter(struct backend_kube *b, enum kube_phase phase)
{
	timer_stop(b->timer);
	b->phase = phase;
	b->poll_ns = KUBE_POLL_MIN_NS;
	b->has_said_unread = false;
}

/* Nothing is left to do; but what is in doubt is looked at now and then. */
static void kube_settle(struct backend_kube *b)
{
	bool is_in_doubt = monotonic_ns() < b->doubt_until_ns;

	kube_enter(b, is_in_doubt ? KUBE_RESTORE : KUBE_IDLE);
	if (is_in_doubt)
		kube_wait(b, KUBE_ASLEEP_POLL_NS);
}

/* Of a patch down: only a refusal proves that it never will be carried out. */
static void kube_note_doubt(struct backend_kube *b, const struct kube_answer *a)
{
	if (a->status == 0 || a->status >= 500)
		b->doubt_until_ns = monotonic_ns() + KUBE_DOUBT_NS;
}

/* --- down --- */

static void kube_done(struct backend_kube *b, enum backend_size size, int r)
{
	b->base.done(b->base.done_arg, size, r);
}

static void kube_note_retry_after(struct backend_kube *b, const struct kube_answer *a)
{
	b->shrink_not_before_ns = monotonic_ns() + kube_retry_after_ns(a);
}

static void kube_shrink_failed(struct backend_kube *b, int r)
{
	kube_enter(b, KUBE_IDLE);
	kube_done(b, BACKEND_ASLEEP, r);
}

static int kube_write_state(struct backend_kube *b)
{
	_cleanup_(freep) char *text = kube_size_format(&b->sizes);
	int r = text ? file_replace(b->settings.state_file, text) : -ENOMEM;

	return r < 0 ? log_err(r, "cannot write the state file '%s'", b->settings.state_file) : 0;
}

/*
 * Not before the kubelet, too, has found the containers started and ready, and has done what it was
 * asked for before: what their cgroups say by then is their full size.
 */
static bool kube_is_settled(const struct backend_kube *b, const struct kube_pod *pod)
{
	if (kube_size_is_moving(&b->sizes, pod))
		return false;
	for (size_t i = 0; i < b->sizes.len; i++) {
		const struct kube_container *c = kube_pod_find(pod, b->sizes.sizes[i].name);

		if (!c || !c->is_started || !c->is_ready)
			return false;
	}
	return true;
}

static int kube_plan_quietly(struct backend_kube *b, const struct kube_pod *pod,
			     char error[KUBE_SIZE_ERROR_MAX])
{
	struct kube_sizes known = b->sizes;
	int r = kube_size_plan(&b->sizes, pod, &b->settings.choice, &known, error);

	if (r < 0)
		b->sizes = known;
	return r;
}

static int kube_plan(struct backend_kube *b, const struct kube_pod *pod)
{
	char error[KUBE_SIZE_ERROR_MAX];
	int r = kube_plan_quietly(b, pod, error);

	return r < 0 ? log_err(r, "cannot put the pod '%s/%s' to sleep: %s", b->settings.namespace,
			       b->settings.name, error)
		     : 0;
}

static void kube_note_restarts(struct backend_kube *b, const struct kube_pod *pod)
{
	for (size_t i = 0; i < b->sizes.len; i++) {
		const struct kube_container *c = kube_pod_find(pod, b->sizes.sizes[i].name);

		b->restart_counts[i] = c ? c->restart_count : 0;
	}
}

static bool kube_has_restarted(const struct backend_kube *b, const struct kube_pod *pod)
{
	for (size_t i = 0; i < b->sizes.len; i++) {
		const struct kube_container *c = kube_pod_find(pod, b->sizes.sizes[i].name);

		if (c && c->restart_count != b->restart_counts[i])
			return true;
	}
	return false;
}

static void kube_on_shrink_patch(void *arg, const struct kube_answer *a)
{
	struct backend_kube *b = arg;
	int r = kube_errno(a);

	b->request = NULL;
	kube_note_doubt(b, a);
	if (a->status >= 400 && a->status < 500)
		b->may_be_small = b->was_small;
	if (r == -ESRCH)
		kube_note_gone(b);
	if (r < 0) {
		kube_explain(b, a, "cannot shrink the pod", kube_rule_patch(b));
		kube_note_retry_after(b, a);
		kube_shrink_failed(b, r);
		return;
	}
	b->asked_ns = monotonic_ns();
	kube_enter(b, KUBE_SHRINK_CHECK);
	kube_wait_longer(b);
}

static void kube_on_shrink_read(void *arg, const struct kube_answer *a)
{
	struct backend_kube *b = arg;
	_cleanup_(kube_pod_free) struct kube_pod *pod = kube_read(a);
	int r = pod ? 0 : -EIO;

	b->request = NULL;
	if (!pod)
		kube_explain(b, a, "cannot read the pod", KUBE_RULE_GET);
	if (kube_errno(a) == -ESRCH || (pod && pod->is_terminating))
		kube_note_gone(b);
	if (pod && (pod->is_terminating || !kube_is_settled(b, pod)))
		r = -EAGAIN;
	if (r == 0)
		r = kube_plan(b, pod);
	if (r == 0)
		r = kube_write_state(b);
	if (r < 0) {
		kube_note_retry_after(b, a);
		kube_shrink_failed(b, r);
		return;
	}
	kube_note_restarts(b, pod);
	b->was_small = b->may_be_small;
	b->may_be_small = true;
	b->was_refused = false;
	kube_enter(b, KUBE_SHRINK_PATCH);
	kube_next(b);
}

static bool kube_has_refused(const struct backend_kube *b, const struct kube_pod *pod)
{
	uint64_t since_ns = monotonic_ns() - b->asked_ns;

	if (!pod->pending_reason || !kube_size_is_observed(pod))
		return false;
	if (strcmp(pod->pending_reason, "Infeasible") == 0)
		return pod->observed_generation || since_ns >= KUBE_JUDGED_NS;
	return since_ns >= KUBE_DEFERRED_MAX_NS;
}

static void kube_explain_refusal(const struct backend_kube *b, const struct kube_pod *pod)
{
	char escaped[KUBE_ERROR_MAX], whole[2 * KUBE_ERROR_MAX];

	log_escape(escaped, sizeof(escaped), pod->pending_message);
	snprintf(whole, sizeof(whole), "the kubelet refuses to shrink the pod '%s/%s': %s: %s",
		 b->settings.namespace, b->settings.name, pod->pending_reason, escaped);
	log_err(0, "%s", whole);
	if (b->settings.problem)
		b->settings.problem(b->settings.arg, "ResizeRefused", whole);
}

/* It would be asked in vain each time; and meanwhile its spec says what it has. */
static void kube_take_refusal(struct backend_kube *b, const struct kube_pod *pod)
{
	kube_explain_refusal(b, pod);
	b->was_refused = true;
	b->refused_pause_ns = min_u64(max_u64(2 * b->refused_pause_ns, KUBE_REFUSED_MIN_NS),
				      KUBE_REFUSED_MAX_NS);
	b->refused_until_ns = monotonic_ns() + b->refused_pause_ns;
	kube_enter(b, KUBE_RESTORE);
	kube_next(b);
	kube_done(b, BACKEND_ASLEEP, -EINVAL);
}

static void kube_on_shrink_check(void *arg, const struct kube_answer *a)
{
	struct backend_kube *b = arg;
	_cleanup_(kube_pod_free) struct kube_pod *pod = kube_read_again(b, a);

	b->request = NULL;
	if (b->is_gone) {
		kube_shrink_failed(b, -ESRCH);
	} else if (pod && kube_size_is_actuated(&b->sizes, pod, KUBE_STEP_ASLEEP)) {
		kube_enter(b, KUBE_ASLEEP);
		if (!b->settings.is_watched)
			kube_wait(b, KUBE_ASLEEP_POLL_NS);
		b->refused_pause_ns = 0;
		kube_done(b, BACKEND_ASLEEP, 0);
	} else if (pod && kube_has_refused(b, pod)) {
		kube_take_refusal(b, pod);
	} else if (monotonic_ns() >= b->shrink_until_ns) {
		kube_shrink_failed(b, log_err(-ETIMEDOUT,
					      "the kubelet does not shrink the pod '%s/%s'",
					      b->settings.namespace, b->settings.name));
	} else {
		if (pod && pod->pending_reason)
			b->poll_ns = min_u64(b->poll_ns, KUBE_POLL_PENDING_NS);
		kube_wait_after(b, a);
	}
}

static void kube_on_asleep_read(void *arg, const struct kube_answer *a)
{
	struct backend_kube *b = arg;
	_cleanup_(kube_pod_free) struct kube_pod *pod = kube_read_again(b, a);

	b->request = NULL;
	kube_wait(b, max_u64(KUBE_ASLEEP_POLL_NS, kube_retry_after_ns(a)));
	if (!b->is_gone && pod && kube_has_restarted(b, pod))
		b->settings.restarted(b->settings.arg);
}

/* --- up --- */

static void kube_say_pending(struct backend_kube *b, const char *reason, const char *message)
{
	char escaped[KUBE_ERROR_MAX];

	if (b->has_said_pending)
		return;
	b->has_said_pending = true;
	log_escape(escaped, sizeof(escaped), message);
	log_warn("the cluster does not grant the full size yet",
		 "pod=%s/%s reason=%s message=\"%s\"", b->settings.namespace, b->settings.name,
		 reason, escaped);
	if (b->settings.problem)
		b->settings.problem(b->settings.arg, "ResizePending", message);
}

static enum kube_step kube_first_step(const struct backend_kube *b)
{
	return b->sizes.qos == KUBE_QOS_GUARANTEED ? KUBE_STEP_FULL : KUBE_STEP_LIMIT;
}

static void kube_grown(struct backend_kube *b)
{
	kube_enter(b, KUBE_RESTORE);
	kube_wait_longer(b);
	kube_done(b, BACKEND_FULL, 0);
}

/* After an answer that says no: in a while again. The target goes on waiting, up to its timeout. */
static void kube_grow_refused(struct backend_kube *b, const struct kube_answer *a)
{
	char message[KUBE_ERROR_MAX], reason[64];

	if (kube_errno(a) == -EACCES && !b->has_said_pending)
		kube_explain(b, a, "cannot grow the pod", kube_rule_patch(b));
	kube_answer_message(a, message, sizeof(message));
	kube_answer_reason(a, reason, sizeof(reason));
	kube_say_pending(b, *reason ? reason : "none", message);
	kube_wait_after(b, a);
}

static void kube_on_grow_patch(void *arg, const struct kube_answer *a)
{
	struct backend_kube *b = arg;
	int r = kube_errno(a);

	b->request = NULL;
	if (r == -ESRCH) {
		kube_note_gone(b);
		kube_grown(b); /* nothing is left to wait for: open the gate */
	} else if (a->status == 409 && b->poll_ns == KUBE_POLL_MIN_NS) {
		b->poll_ns *= 2; /* at once, but not for ever */
		kube_next(b);	 /* on fresh data, which the server has and we need not */
	} else if (r < 0) {
		kube_grow_refused(b, a);
	} else if (kube_first_step(b) == KUBE_STEP_LIMIT) {
		kube_grown(b);
	} else {
		kube_enter(b, KUBE_GROW_GRANT);
		kube_wait_longer(b);
	}
}

static void kube_on_grow_grant(void *arg, const struct kube_answer *a)
{
	struct backend_kube *b = arg;
	_cleanup_(kube_pod_free) struct kube_pod *pod = kube_read_again(b, a);

	b->request = NULL;
	if (b->is_gone || (pod && kube_size_is_granted(&b->sizes, pod, KUBE_STEP_FULL))) {
		kube_grown(b);
		return;
	}
	if (pod && pod->pending_reason)
		kube_say_pending(b, pod->pending_reason, pod->pending_message);
	if (pod && !kube_size_is_asked(&b->sizes, pod, KUBE_STEP_FULL))
		kube_enter(b, KUBE_GROW_PATCH); /* a patch down came after ours */
	kube_wait_after(b, a);
}

static void kube_on_restore_patch(void *arg, const struct kube_answer *a)
{
	struct backend_kube *b = arg;

	b->request = NULL;
	if (kube_errno(a) == -ESRCH) {
		kube_note_gone(b);
		kube_enter(b, KUBE_IDLE);
	} else if (kube_errno(a) < 0) {
		kube_grow_refused(b, a);
	} else {
		kube_wait_longer(b);
	}
}

/*
 * A patch down was carried out late: the limits first, as for any wake. One that was refused is
 * taken back as a whole: then nothing is left to be done. Once full has been seen, a size that is
 * neither is somebody else's choice.
 */
static bool kube_start_restore(struct backend_kube *b, const struct kube_pod *pod)
{
	bool is_small = kube_size_is_asked(&b->sizes, pod, KUBE_STEP_ASLEEP);
	enum kube_step step = is_small && !b->was_refused ? kube_first_step(b) : KUBE_STEP_FULL;

	if (!is_small && (!b->may_be_small || kube_size_is_asked(&b->sizes, pod, KUBE_STEP_FULL)))
		return false;
	b->may_be_small = true;
	b->request = kube_patch(b, step, "", kube_on_restore_patch);
	return b->request != NULL;
}

static bool kube_is_restored(const struct backend_kube *b, const struct kube_pod *pod)
{
	if (!b->may_be_small)
		return true;
	return !b->down && kube_size_is_asked(&b->sizes, pod, KUBE_STEP_FULL) &&
	       kube_size_is_actuated(&b->sizes, pod, KUBE_STEP_FULL);
}

static void kube_on_restore_read(void *arg, const struct kube_answer *a)
{
	struct backend_kube *b = arg;
	_cleanup_(kube_pod_free) struct kube_pod *pod = kube_read_again(b, a);

	b->request = NULL;
	if (b->is_gone) {
		kube_enter(b, KUBE_IDLE);
		return;
	}
	if (pod && kube_start_restore(b, pod))
		return;
	if (pod && pod->pending_reason)
		kube_say_pending(b, pod->pending_reason, pod->pending_message);
	if (pod && kube_is_restored(b, pod)) {
		if (b->may_be_small && b->has_said_pending)
			log_info("the full size is granted", "pod=%s/%s", b->settings.namespace,
				 b->settings.name);
		b->may_be_small = false;
		kube_settle(b);
		return;
	}
	kube_wait_after(b, a);
}

/* The answer to a patch down that we no longer want: if it came last, it counts. */
static void kube_on_superseded(void *arg, const struct kube_answer *a)
{
	struct backend_kube *b = arg;

	b->down = NULL;
	kube_note_doubt(b, a);
	if (b->phase == KUBE_GROW_GRANT || b->phase == KUBE_RESTORE || b->phase == KUBE_IDLE) {
		kube_cancel(&b->request);
		kube_enter(b, b->phase == KUBE_GROW_GRANT ? KUBE_GROW_GRANT : KUBE_RESTORE);
		kube_next(b);
	}
}

/* --- the phases --- */

static struct kube_request *kube_start_phase(struct backend_kube *b)
{
	switch (b->phase) {
	case KUBE_SHRINK_READ:
		return kube_get_pod(b, kube_on_shrink_read);
	case KUBE_SHRINK_PATCH:
		return kube_patch(b, KUBE_STEP_ASLEEP, "", kube_on_shrink_patch);
	case KUBE_SHRINK_CHECK:
		return kube_get_pod(b, kube_on_shrink_check);
	case KUBE_ASLEEP:
		return kube_get_pod(b, kube_on_asleep_read);
	case KUBE_GROW_PATCH:
		return kube_patch(b, kube_first_step(b), "", kube_on_grow_patch);
	case KUBE_GROW_GRANT:
		return kube_get_pod(b, kube_on_grow_grant);
	case KUBE_RESTORE:
		return kube_get_pod(b, kube_on_restore_read);
	case KUBE_IDLE:
		break;
	}
	return NULL;
}

static void kube_next(struct backend_kube *b)
{
	if (b->phase == KUBE_IDLE)
		return;
	kube_cancel(&b->request);
	b->request = kube_start_phase(b);
	if (!b->request)
		kube_wait_longer(b); /* no memory, or no token to be read: in a while */
}

static void kube_shrink(struct backend_kube *b)
{
	uint64_t now_ns = monotonic_ns();

	if (now_ns < b->refused_until_ns) {
		kube_done(b, BACKEND_ASLEEP, -EINVAL);
		return;
	}
	kube_cancel(&b->request);
	if (b->down) /* whoever wants it, it may still be carried out */
		b->doubt_until_ns = now_ns + KUBE_DOUBT_NS;
	kube_cancel(&b->down);
	kube_enter(b, KUBE_SHRINK_READ);
	b->shrink_until_ns = now_ns + KUBE_SHRINK_TIMEOUT_NS;
	if (now_ns < b->shrink_not_before_ns)
		kube_wait(b, b->shrink_not_before_ns - now_ns);
	else
		kube_next(b);
}

static void kube_grow(struct backend_kube *b)
{
	if (!b->may_be_small) {
		kube_cancel(&b->request);
		kube_settle(b);
		kube_done(b, BACKEND_FULL, 0);
		return;
	}
	/* It cannot be taken back, and the patch up does not wait for it. */
	if (b->phase == KUBE_SHRINK_PATCH && b->request) {
		kube_redirect(b->request, kube_on_superseded, b);
		b->down = TAKE_PTR(b->request);
	}
	kube_enter(b, KUBE_GROW_PATCH);
	b->has_said_pending = false;
	kube_next(b);
}

static void backend_kube_resize(struct backend *base, enum backend_size size)
{
	struct backend_kube *b = (struct backend_kube *)base;

	if (size == BACKEND_ASLEEP)
		kube_shrink(b);
	else
		kube_grow(b);
}

/* The cgroup of another container cannot be seen from here. */
static int backend_kube_usage_us(struct backend *base, uint64_t *out)
{
	(void)base;
	(void)out;
	return -ENODEV;
}

static void backend_kube_free(struct backend **base)
{
	struct backend_kube *b = (struct backend_kube *)*base;

	kube_cancel(&b->request);
	kube_cancel(&b->down);
	timer_free(&b->timer);
	free(b);
	*base = NULL;
}

static const struct backend_ops backend_kube_ops = {
	.name = "kube",
	.resize = backend_kube_resize,
	.usage_us = backend_kube_usage_us,
	.free = backend_kube_free,
};

int backend_kube_new(struct backend **out, struct event_base *base, struct kube *kube,
		     const struct backend_kube_settings *settings)
{
	_cleanup_(backend_free) struct backend *owned = NULL;
	struct backend_kube *b = calloc(1, sizeof(*b));

	if (!b)
		return log_err(-ENOMEM, "cannot make the kube backend");
	owned = &b->base;
	b->base.ops = &backend_kube_ops;
	b->settings = *settings;
	b->kube = kube;
	b->has_resize_path = true;
	b->timer = timer_new(base, kube_on_timer, b);
	if (!b->timer)
		return log_err(-ENOMEM, "cannot make the kube backend");
	*out = TAKE_PTR(owned);
	return 0;
}

const struct kube_sizes *backend_kube_sizes(const struct backend *base)
{
	return &((const struct backend_kube *)base)->sizes;
}

bool backend_kube_is_full(const struct backend *base)
{
	return !((const struct backend_kube *)base)->may_be_small;
}

/* --- preparing: one question after the other --- */

static void kube_prepare_next(struct backend_kube *b);

static void kube_prepared(struct backend_kube *b, struct kube_pod *pod, int r)
{
	b->ready(b->ready_arg, pod, r);
}

/* Kubernetes 1.33 and newer list pods/resize; 1.27 to 1.32 take the patch on the pod itself. */
static void kube_on_discovery(void *arg, const struct kube_answer *a)
{
	struct backend_kube *b = arg;

	b->request = NULL;
	if (kube_errno(a) == 0)
		b->has_resize_path = strstr(a->body, "\"pods/resize\"") != NULL;
	if (!b->has_resize_path)
		log_warn("the API server has no pods/resize: patching the pod itself", NULL);
	kube_prepare_next(b);
}

/* What full is may be known from before a crash. */
static void kube_read_state(struct backend_kube *b, const struct kube_pod *pod)
{
	_cleanup_(freep) char *text = NULL;
	int r = file_read(b->settings.state_file, &text);

	if (r == -ENOENT)
		return;
	if (r == 0)
		r = kube_size_parse(&b->sizes, text, pod->uid);
	if (r == -ESTALE)
		log_warn("the state file is of another pod", "file=%s", b->settings.state_file);
	else if (r < 0)
		log_err(r, "cannot use the state file '%s'", b->settings.state_file);
	if (r < 0)
		b->sizes = (struct kube_sizes){ 0 };
}

/* -EAGAIN: worth another try. */
static int kube_prepare_errno(const struct kube_answer *a)
{
	int r = kube_errno(a);

	return r == -EIO ? -EAGAIN : r;
}

static void kube_on_prepare_read(void *arg, const struct kube_answer *a)
{
	struct backend_kube *b = arg;
	_cleanup_(kube_pod_free) struct kube_pod *pod = kube_read(a);
	int r = kube_prepare_errno(a);

	b->request = NULL;
	if (r == 0 && !pod)
		r = -EINVAL;
	if (r < 0) {
		kube_explain(b, a, "cannot read the pod", KUBE_RULE_GET);
		kube_prepared(b, NULL, r);
		return;
	}
	kube_read_state(b, pod);
	r = kube_plan(b, pod);
	if (r == 0) {
		b->may_be_small = !kube_size_is_asked(&b->sizes, pod, KUBE_STEP_FULL);
		kube_prepare_next(b);
	} else {
		kube_prepared(b, NULL, r);
	}
}

static void kube_on_dry_run(void *arg, const struct kube_answer *a)
{
	struct backend_kube *b = arg;
	int r = kube_prepare_errno(a);

	b->request = NULL;
	if (r < 0)
		kube_explain(b, a, "the API server refuses the sizes of the pod",
			     kube_rule_patch(b));
	/* One that sleeps already is not left alone: it is woken, as soon as that is allowed. */
	if (r == 0 || (r != -EAGAIN && b->may_be_small))
		kube_prepare_next(b);
	else
		kube_prepared(b, NULL, r);
}

static void kube_on_prepare_last(void *arg, const struct kube_answer *a)
{
	struct backend_kube *b = arg;
	_cleanup_(kube_pod_free) struct kube_pod *pod = kube_read(a);
	int r;

	b->request = NULL;
	r = pod ? 0 : -EAGAIN;
	kube_prepared(b, TAKE_PTR(pod), r);
}

static struct kube_request *kube_prepare_start(struct backend_kube *b)
{
	switch (b->prepare_step++) {
	case 0:
		return kube_start(b->kube, "GET", "/api/v1", NULL, kube_on_discovery, b);
	case 1:
		return kube_get_pod(b, kube_on_prepare_read);
	case 2:
		return kube_patch(b, KUBE_STEP_ASLEEP, "&dryRun=All", kube_on_dry_run);
	case 3:
		return kube_patch(b, kube_first_step(b), "&dryRun=All", kube_on_dry_run);
	case 4:
		return kube_patch(b, KUBE_STEP_FULL, "&dryRun=All", kube_on_dry_run);
	default:
		return kube_get_pod(b, kube_on_prepare_last);
	}
}

static void kube_prepare_next(struct backend_kube *b)
{
	b->request = kube_prepare_start(b);
	if (!b->request)
		kube_prepared(b, NULL, -ENOMEM);
}

int backend_kube_adopt(struct backend *base, const struct kube_pod *pod,
		       char error[KUBE_SIZE_ERROR_MAX])
{
	struct backend_kube *b = (struct backend_kube *)base;
	int r;

	kube_read_state(b, pod);
	r = kube_plan_quietly(b, pod, error);
	if (r == 0)
		b->may_be_small = !kube_size_is_asked(&b->sizes, pod, KUBE_STEP_FULL);
	return r;
}

int backend_kube_prepare(struct backend *base, backend_kube_ready_fn ready, void *arg)
{
	struct backend_kube *b = (struct backend_kube *)base;

	b->ready = ready;
	b->ready_arg = arg;
	b->prepare_step = 0;
	b->request = kube_prepare_start(b);
	return b->request ? 0 : log_err(-ENOMEM, "cannot ask the API server");
}
