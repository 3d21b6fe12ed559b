// SPDX-License-Identifier: MIT
/* PATCH, read back, try again; see the header for the order. */
#include "backend/backend_kube.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/timer.h"
#include "base/util.h"

/* How often the pod is read while something is being waited for: growing from the first. */
#define BACKEND_KUBE_POLL_MIN_NS (20 * NS_PER_MS)
#define BACKEND_KUBE_POLL_MAX_NS (30 * NS_PER_S)
/* At most, while a resize is pending: it may be refused. */
#define BACKEND_KUBE_POLL_PENDING_NS (500 * NS_PER_MS)
/* While it sleeps, to see a container that was started anew. */
#define BACKEND_KUBE_ASLEEP_POLL_NS (5 * NS_PER_S)

#define BACKEND_KUBE_SHRINK_TIMEOUT_NS (30 * NS_PER_S)

/* A resize that is put off for longer is refused: a node's DiskPressure may take hours. */
#define BACKEND_KUBE_DEFERRED_MAX_NS (3 * NS_PER_S)
/* A status may not say which patch it is about. So long after ours, it is about ours. */
#define BACKEND_KUBE_JUDGED_NS (1 * NS_PER_S)
/* A size up that was refused is asked for again after so long: growing, up to the longest poll. */
#define BACKEND_KUBE_GROW_REFUSED_NS (1 * NS_PER_S)
/* Somebody else resizes the pod while we do: so long for the kubelet to do what they want. */
#define BACKEND_KUBE_RELEARN_NS (1 * NS_PER_S)
/* At most, while our token is not good: another one comes, and is good at once. */
#define BACKEND_KUBE_TOKEN_NS (5 * NS_PER_S)
/* After a refusal to shrink nobody asks again for so long: growing from the first. */
#define BACKEND_KUBE_REFUSED_MIN_NS (60 * NS_PER_S)
#define BACKEND_KUBE_REFUSED_MAX_NS (3600 * NS_PER_S)

/* A patch without an answer may still be carried out, until the API server gives it up. */
#define BACKEND_KUBE_DOUBT_NS (60 * NS_PER_S)

#define BACKEND_KUBE_RETRY_AFTER_MAX_S 60

/* A random part of every pause, so that a recovering server is not met by all at once. */
#define BACKEND_KUBE_JITTER_NS (50 * NS_PER_MS)

enum backend_kube_phase {
	BACKEND_KUBE_IDLE,
	BACKEND_KUBE_SHRINK_READ, /* GET before the patch down */
	BACKEND_KUBE_SHRINK_PATCH,
	BACKEND_KUBE_SHRINK_CHECK, /* GET until it is actuated */
	BACKEND_KUBE_ASLEEP,	   /* GET now and then */
	BACKEND_KUBE_GROW_PATCH,
	BACKEND_KUBE_GROW_GRANT, /* Guaranteed: GET until it is granted */
	/*
	 * The target has what it waits for. It is left to get the requests, and to see which patch
	 * the server has carried out last.
	 */
	BACKEND_KUBE_RESTORE,
};

struct backend_kube {
	struct backend backend;
	struct backend_kube_settings settings;
	struct kube_resize pod;
	struct kube_prepare prepare;
	struct timer *timer;
	enum backend_kube_phase phase;
	struct kube_request *request; /* of the phase */
	bool is_patching;	      /* and it is a patch */
	struct kube_request *down;    /* a patch down that was superseded while in flight */
	uint64_t poll_ns, shrink_until_ns;
	uint64_t shrink_not_before_ns; /* Retry-After */
	uint64_t asked_ns;	       /* when the last patch was answered */
	uint64_t refused_until_ns, refused_pause_ns;
	uint64_t doubt_until_ns; /* 0: nothing is in doubt */
	uint64_t looked_ns;	 /* when the last read was begun */
	bool has_said_pending, is_gone;
	bool is_grow_refused; /* and not granted since */
	bool waits;	      /* up: done() was not called yet */
	enum kube_step step;  /* of the last patch */
	bool has_said_unread; /* in this phase */
	bool was_small;	      /* pod.may_be_small, before the last patch down */
	bool was_refused;     /* the last patch down, by the kubelet */
};

static void backend_kube_next(struct backend_kube *b);

static void backend_kube_note_gone(struct backend_kube *b)
{
	if (b->is_gone)
		return;
	b->is_gone = true;
	log_info("the pod is gone or going", "pod=%s/%s", b->pod.namespace, b->pod.name);
	if (!b->settings.is_watched)
		b->settings.gone(b->settings.arg);
}

/* For reads that are repeated: why one fails is said once in a phase. */
static struct kube_pod *backend_kube_read_again(struct backend_kube *b, const struct kube_answer *a)
{
	struct kube_pod *pod = NULL;
	int r = kube_resize_read(&b->pod, a, &pod);

	if (r == -ESRCH || (pod && pod->is_terminating)) {
		backend_kube_note_gone(b);
	} else if (!pod && !b->has_said_unread) {
		b->has_said_unread = true;
		kube_resize_explain_get(&b->pod, a, r);
	}
	return pod;
}

/* --- timers --- */

static void backend_kube_wait(struct backend_kube *b, uint64_t pause_ns)
{
	uint64_t jitter_ns = (uint64_t)random() % BACKEND_KUBE_JITTER_NS;

	timer_in_ns(b->timer, pause_ns + (pause_ns > BACKEND_KUBE_POLL_MIN_NS ? jitter_ns : 0));
}

static void backend_kube_wait_longer(struct backend_kube *b)
{
	backend_kube_wait(b, b->poll_ns);
	b->poll_ns = min_u64(2 * b->poll_ns, BACKEND_KUBE_POLL_MAX_NS);
}

static uint64_t backend_kube_retry_after_ns(const struct kube_answer *a)
{
	if (a->retry_after_s <= 0)
		return 0;
	return min_u64((uint64_t)a->retry_after_s, BACKEND_KUBE_RETRY_AFTER_MAX_S) * NS_PER_S;
}

/* As long as the server wants, or else longer than the last time. */
static void backend_kube_wait_after(struct backend_kube *b, const struct kube_answer *a)
{
	uint64_t pause_ns = backend_kube_retry_after_ns(a);

	if (!pause_ns) {
		backend_kube_wait_longer(b);
		return;
	}
	b->shrink_not_before_ns = monotonic_ns() + pause_ns;
	backend_kube_wait(b, pause_ns);
}

static void backend_kube_on_timer(void *arg)
{
	backend_kube_next(arg);
}

static void backend_kube_enter(struct backend_kube *b, enum backend_kube_phase phase)
{
	timer_stop(b->timer);
	b->phase = phase;
	b->poll_ns = BACKEND_KUBE_POLL_MIN_NS;
	b->has_said_unread = false;
}

/* Nothing is left to do. What is in doubt is looked at now and then: soon, and later seldom. */
static void backend_kube_settle(struct backend_kube *b)
{
	uint64_t since_ns = monotonic_ns() + BACKEND_KUBE_DOUBT_NS - b->doubt_until_ns;

	if (!b->doubt_until_ns) {
		backend_kube_enter(b, BACKEND_KUBE_IDLE);
		return;
	}
	backend_kube_enter(b, BACKEND_KUBE_RESTORE);
	backend_kube_wait(b, min_u64(max_u64(since_ns, BACKEND_KUBE_ASLEEP_POLL_NS),
				     BACKEND_KUBE_POLL_MAX_NS));
}

/* --- doubt: a patch that nobody has an answer to may be carried out behind those after it --- */

static void backend_kube_doubt(struct backend_kube *b)
{
	b->doubt_until_ns = monotonic_ns() + BACKEND_KUBE_DOUBT_NS;
}

/* Only a refusal proves that a patch will never be carried out. */
static void backend_kube_note_doubt(struct backend_kube *b, const struct kube_answer *a)
{
	if (a->status == 0 || a->status >= 500)
		backend_kube_doubt(b);
}

/* What a read has found that was begun before the end of the doubt may be changed after it. */
static void backend_kube_note_look(struct backend_kube *b)
{
	if (b->looked_ns >= b->doubt_until_ns)
		b->doubt_until_ns = 0;
}

/* One that is given up is in doubt as well. */
static void backend_kube_cancel(struct backend_kube *b)
{
	if (b->request && b->is_patching)
		backend_kube_doubt(b);
	b->is_patching = false;
	kube_cancel(&b->request);
}

static struct kube_request *backend_kube_get(struct backend_kube *b, kube_answer_fn answer)
{
	b->looked_ns = monotonic_ns();
	b->is_patching = false;
	return kube_resize_get(&b->pod, answer, b);
}

static struct kube_request *backend_kube_patch(struct backend_kube *b, enum kube_step step,
					       kube_answer_fn answer)
{
	b->step = step;
	b->is_patching = true;
	return kube_resize_patch(&b->pod, step, "", answer, b);
}

/* --- down --- */

static void backend_kube_note_retry_after(struct backend_kube *b, const struct kube_answer *a)
{
	b->shrink_not_before_ns = monotonic_ns() + backend_kube_retry_after_ns(a);
}

static void backend_kube_shrink_failed(struct backend_kube *b, int r)
{
	backend_kube_enter(b, BACKEND_KUBE_IDLE);
	backend_done(&b->backend, BACKEND_ASLEEP, r);
}

static void backend_kube_on_shrink_patch(void *arg, const struct kube_answer *a)
{
	struct backend_kube *b = arg;
	int r = kube_resize_errno(a);

	b->request = NULL;
	backend_kube_note_doubt(b, a);
	if (a->status >= 400 && a->status < 500)
		b->pod.may_be_small = b->was_small;
	if (r == -ESRCH)
		backend_kube_note_gone(b);
	if (r < 0) {
		kube_resize_explain_patch(&b->pod, a, "cannot shrink the pod");
		backend_kube_note_retry_after(b, a);
		backend_kube_shrink_failed(b, r);
		return;
	}
	b->asked_ns = monotonic_ns();
	backend_kube_enter(b, BACKEND_KUBE_SHRINK_CHECK);
	backend_kube_wait_longer(b);
}

static void backend_kube_on_shrink_read(void *arg, const struct kube_answer *a)
{
	struct backend_kube *b = arg;
	_cleanup_(kube_pod_free) struct kube_pod *pod = NULL;
	int r = kube_resize_read(&b->pod, a, &pod);

	b->request = NULL;
	if (r == -ESRCH || (pod && pod->is_terminating))
		backend_kube_note_gone(b);
	else if (r < 0)
		kube_resize_explain_get(&b->pod, a, r);
	if (r < 0)
		r = r == -ESRCH ? r : -EIO; /* to read it is no refusal to resize it */
	if (pod && (pod->is_terminating || !kube_size_is_settled(&b->pod.sizes, pod)))
		r = -EAGAIN;
	if (r == 0)
		r = kube_resize_plan_aloud(&b->pod, pod);
	if (r == 0)
		r = kube_resize_keep(&b->pod);
	if (r < 0) {
		backend_kube_note_retry_after(b, a);
		backend_kube_shrink_failed(b, r);
		return;
	}
	b->was_small = b->pod.may_be_small;
	b->pod.may_be_small = true;
	b->was_refused = false;
	backend_kube_enter(b, BACKEND_KUBE_SHRINK_PATCH);
	backend_kube_next(b);
}

static bool backend_kube_has_refused(const struct backend_kube *b, const struct kube_pod *pod)
{
	uint64_t since_ns = monotonic_ns() - b->asked_ns;

	if (!pod->pending_reason || !kube_size_is_observed(pod))
		return false;
	if (strcmp(pod->pending_reason, "Infeasible") == 0)
		return pod->observed_generation || since_ns >= BACKEND_KUBE_JUDGED_NS;
	return since_ns >= BACKEND_KUBE_DEFERRED_MAX_NS;
}

/*
 * Its spec is given the full size back, so that it says what the pod has; and the kubelet, which
 * would refuse again, is left alone for a while.
 */
static void backend_kube_take_refusal(struct backend_kube *b, const struct kube_pod *pod)
{
	char escaped[KUBE_ERROR_MAX], whole[2 * KUBE_ERROR_MAX];

	log_escape(escaped, sizeof(escaped), pod->pending_message);
	snprintf(whole, sizeof(whole), "the kubelet refuses to shrink the pod '%s/%s': %s: %s",
		 b->pod.namespace, b->pod.name, pod->pending_reason, escaped);
	kube_resize_refused(&b->pod, whole);
	b->was_refused = true;
	b->refused_pause_ns = min_u64(max_u64(2 * b->refused_pause_ns, BACKEND_KUBE_REFUSED_MIN_NS),
				      BACKEND_KUBE_REFUSED_MAX_NS);
	b->refused_until_ns = monotonic_ns() + b->refused_pause_ns;
	backend_kube_enter(b, BACKEND_KUBE_RESTORE);
	backend_kube_next(b);
	backend_done(&b->backend, BACKEND_ASLEEP, -EINVAL);
}

static void backend_kube_on_shrink_check(void *arg, const struct kube_answer *a)
{
	struct backend_kube *b = arg;
	_cleanup_(kube_pod_free) struct kube_pod *pod = backend_kube_read_again(b, a);

	b->request = NULL;
	if (b->is_gone) {
		backend_kube_shrink_failed(b, -ESRCH);
	} else if (pod && kube_size_is_actuated(&b->pod.sizes, pod, KUBE_STEP_ASLEEP)) {
		backend_kube_enter(b, BACKEND_KUBE_ASLEEP);
		if (!b->settings.is_watched)
			backend_kube_wait(b, BACKEND_KUBE_ASLEEP_POLL_NS);
		b->refused_pause_ns = 0;
		backend_done(&b->backend, BACKEND_ASLEEP, 0);
	} else if (pod && backend_kube_has_refused(b, pod)) {
		backend_kube_take_refusal(b, pod);
	} else if (monotonic_ns() >= b->shrink_until_ns) {
		backend_kube_shrink_failed(b, log_err(-ETIMEDOUT,
						      "the kubelet does not shrink the pod '%s/%s'",
						      b->pod.namespace, b->pod.name));
	} else if (pod && !kube_size_is_asked(&b->pod.sizes, pod, KUBE_STEP_ASLEEP)) {
		/* Somebody has asked for another size after us: that is full from now on. */
		kube_resize_plan_aloud(&b->pod, pod);
		kube_resize_keep(&b->pod);
		backend_kube_enter(b, BACKEND_KUBE_SHRINK_READ);
		backend_kube_wait(b, BACKEND_KUBE_RELEARN_NS);
	} else {
		if (pod && pod->pending_reason)
			b->poll_ns = min_u64(b->poll_ns, BACKEND_KUBE_POLL_PENDING_NS);
		backend_kube_wait_after(b, a);
	}
}

static void backend_kube_shrink(struct backend_kube *b);

/* What somebody else has asked for is the full size from then on: it is planned for anew. */
static void backend_kube_shrink_again(struct backend_kube *b)
{
	log_warn("somebody has undone the sleep: it is set again", "pod=%s/%s", b->pod.namespace,
		 b->pod.name);
	backend_kube_shrink(b);
}

static void backend_kube_on_asleep_read(void *arg, const struct kube_answer *a)
{
	struct backend_kube *b = arg;
	_cleanup_(kube_pod_free) struct kube_pod *pod = backend_kube_read_again(b, a);

	b->request = NULL;
	backend_kube_wait(b, max_u64(BACKEND_KUBE_ASLEEP_POLL_NS, backend_kube_retry_after_ns(a)));
	if (b->is_gone || !pod)
		return;
	if (kube_size_has_restarted(&b->pod.sizes, pod))
		b->settings.restarted(b->settings.arg);
	else if (!kube_size_is_asked(&b->pod.sizes, pod, KUBE_STEP_ASLEEP))
		backend_kube_shrink_again(b);
}

/* --- up --- */

static void backend_kube_say_pending(struct backend_kube *b, const char *reason,
				     const char *message)
{
	char escaped[KUBE_ERROR_MAX];

	if (b->has_said_pending)
		return;
	b->has_said_pending = true;
	log_escape(escaped, sizeof(escaped), message);
	log_warn("the cluster does not grant the full size yet",
		 "pod=%s/%s reason=%s message=\"%s\"", b->pod.namespace, b->pod.name, reason,
		 escaped);
	if (b->pod.problem)
		b->pod.problem(b->pod.arg, "ResizePending", message);
}

static void backend_kube_grown(struct backend_kube *b)
{
	bool is_told = b->waits || b->is_grow_refused;

	backend_kube_enter(b, BACKEND_KUBE_RESTORE);
	backend_kube_wait_longer(b);
	b->waits = false;
	b->is_grow_refused = false;
	if (is_told)
		backend_done(&b->backend, BACKEND_FULL, 0);
}

/* Nobody is kept waiting for it any longer; we go on asking. */
static void backend_kube_tell_grow_refused(struct backend_kube *b)
{
	bool is_told = b->waits;

	b->poll_ns = max_u64(b->poll_ns, BACKEND_KUBE_GROW_REFUSED_NS);
	b->waits = false;
	b->is_grow_refused = true;
	if (is_told)
		backend_done(&b->backend, BACKEND_FULL, BACKEND_REFUSED);
}

/* The answer says no, or is none: we ask again in a while. */
static void backend_kube_note_not_grown(struct backend_kube *b, const struct kube_answer *a)
{
	char message[KUBE_ERROR_MAX], reason[64];

	if (kube_resize_errno(a) == -EACCES && !b->has_said_pending)
		kube_resize_explain_patch(&b->pod, a, "cannot grow the pod");
	kube_answer_message(a, message, sizeof(message));
	kube_answer_reason(a, reason, sizeof(reason));
	backend_kube_say_pending(b, *reason ? reason : "none", message);
	if (kube_resize_is_denied(a))
		b->poll_ns = max_u64(b->poll_ns, BACKEND_KUBE_GROW_REFUSED_NS);
	if (a->status == 401)
		b->poll_ns = min_u64(b->poll_ns, BACKEND_KUBE_TOKEN_NS);
	backend_kube_wait_after(b, a);
}

static void backend_kube_on_no_grow(struct backend_kube *b, const struct kube_answer *a)
{
	if (kube_resize_is_refused(a) && kube_resize_has_other_step(&b->pod, b->step)) {
		backend_kube_next(b);
		return;
	}
	backend_kube_note_not_grown(b, a);
	if (kube_resize_is_denied(a))
		backend_kube_tell_grow_refused(b);
}

static void backend_kube_on_grow_patch(void *arg, const struct kube_answer *a)
{
	struct backend_kube *b = arg;
	int r = kube_resize_errno(a);

	b->request = NULL;
	backend_kube_note_doubt(b, a);
	if (r == -ESRCH) {
		backend_kube_note_gone(b);
		backend_kube_grown(b); /* nothing is left to wait for: open the gate */
	} else if (a->status == 409 && b->poll_ns == BACKEND_KUBE_POLL_MIN_NS) {
		/* At once again, but not for ever: the server merges it into the newest pod. */
		b->poll_ns *= 2;
		backend_kube_next(b);
	} else if (r < 0) {
		backend_kube_on_no_grow(b, a);
	} else if (b->step == KUBE_STEP_LIMIT) {
		backend_kube_grown(b);
	} else {
		b->asked_ns = monotonic_ns();
		backend_kube_enter(b, BACKEND_KUBE_GROW_GRANT);
		backend_kube_wait_longer(b);
	}
}

static void backend_kube_on_grow_grant(void *arg, const struct kube_answer *a)
{
	struct backend_kube *b = arg;
	_cleanup_(kube_pod_free) struct kube_pod *pod = backend_kube_read_again(b, a);

	b->request = NULL;
	if (b->is_gone || (pod && kube_size_is_granted(&b->pod.sizes, pod, KUBE_STEP_FULL))) {
		backend_kube_grown(b);
		return;
	}
	if (pod && pod->pending_reason)
		backend_kube_say_pending(b, pod->pending_reason, pod->pending_message);
	if (pod && !kube_size_is_asked(&b->pod.sizes, pod, KUBE_STEP_FULL))
		backend_kube_enter(b, BACKEND_KUBE_GROW_PATCH); /* a patch down came after ours */
	else if (kube_resize_is_denied(a) || (pod && backend_kube_has_refused(b, pod)))
		backend_kube_tell_grow_refused(b);
	backend_kube_wait_after(b, a);
}

static void backend_kube_on_restore_patch(void *arg, const struct kube_answer *a)
{
	struct backend_kube *b = arg;

	b->request = NULL;
	backend_kube_note_doubt(b, a);
	if (kube_resize_errno(a) == -ESRCH) {
		backend_kube_note_gone(b);
		backend_kube_enter(b, BACKEND_KUBE_IDLE);
	} else if (kube_resize_errno(a) < 0) {
		if (kube_resize_is_refused(a))
			kube_resize_has_other_step(&b->pod, b->step);
		backend_kube_note_not_grown(b, a);
	} else {
		backend_kube_wait_longer(b);
	}
}

/*
 * Whether the spec asks for less than full because of us. Once full has been seen, a size that no
 * patch of ours asks for is somebody else's choice.
 */
static bool backend_kube_is_ours(const struct backend_kube *b, const struct kube_pod *pod)
{
	if (kube_size_is_asked(&b->pod.sizes, pod, KUBE_STEP_FULL))
		return false;
	return b->pod.may_be_small || kube_size_is_asked(&b->pod.sizes, pod, KUBE_STEP_ASLEEP) ||
	       kube_size_is_asked(&b->pod.sizes, pod, KUBE_STEP_LIMIT);
}

/*
 * After a patch down that was carried out late the limits come first, as for any wake. One that was
 * refused is taken back as a whole.
 */
static bool backend_kube_start_restore(struct backend_kube *b, const struct kube_pod *pod)
{
	bool is_small = kube_size_is_asked(&b->pod.sizes, pod, KUBE_STEP_ASLEEP);

	if (!backend_kube_is_ours(b, pod))
		return false;
	b->pod.may_be_small = true;
	b->request = backend_kube_patch(
		b, is_small && !b->was_refused ? kube_resize_first_step(&b->pod) : KUBE_STEP_FULL,
		backend_kube_on_restore_patch);
	return b->request != NULL;
}

static bool backend_kube_is_restored(const struct backend_kube *b, const struct kube_pod *pod)
{
	if (!b->pod.may_be_small)
		return true;
	return !b->down && kube_size_is_asked(&b->pod.sizes, pod, KUBE_STEP_FULL) &&
	       kube_size_is_actuated(&b->pod.sizes, pod, KUBE_STEP_FULL);
}

static void backend_kube_on_restore_read(void *arg, const struct kube_answer *a)
{
	struct backend_kube *b = arg;
	_cleanup_(kube_pod_free) struct kube_pod *pod = backend_kube_read_again(b, a);

	b->request = NULL;
	if (b->is_gone) {
		backend_kube_enter(b, BACKEND_KUBE_IDLE);
		return;
	}
	if (pod && backend_kube_start_restore(b, pod))
		return;
	if (pod && pod->pending_reason)
		backend_kube_say_pending(b, pod->pending_reason, pod->pending_message);
	if (pod && backend_kube_is_restored(b, pod)) {
		if (b->pod.may_be_small && b->has_said_pending)
			log_info("the full size is granted", "pod=%s/%s", b->pod.namespace,
				 b->pod.name);
		b->pod.may_be_small = false;
		backend_kube_note_look(b);
		backend_kube_settle(b);
		return;
	}
	backend_kube_wait_after(b, a);
}

/* Nobody wants that patch down any more. If the server saw it last, it has to be undone. */
static void backend_kube_on_superseded(void *arg, const struct kube_answer *a)
{
	struct backend_kube *b = arg;

	b->down = NULL;
	backend_kube_note_doubt(b, a);
	if (b->phase == BACKEND_KUBE_GROW_GRANT || b->phase == BACKEND_KUBE_RESTORE ||
	    b->phase == BACKEND_KUBE_IDLE) {
		backend_kube_cancel(b);
		backend_kube_enter(b, b->phase == BACKEND_KUBE_GROW_GRANT ? BACKEND_KUBE_GROW_GRANT
									  : BACKEND_KUBE_RESTORE);
		backend_kube_next(b);
	}
}

/* --- the phases --- */

static struct kube_request *backend_kube_start_phase(struct backend_kube *b)
{
	switch (b->phase) {
	case BACKEND_KUBE_SHRINK_READ:
		return backend_kube_get(b, backend_kube_on_shrink_read);
	case BACKEND_KUBE_SHRINK_PATCH:
		return backend_kube_patch(b, KUBE_STEP_ASLEEP, backend_kube_on_shrink_patch);
	case BACKEND_KUBE_SHRINK_CHECK:
		return backend_kube_get(b, backend_kube_on_shrink_check);
	case BACKEND_KUBE_ASLEEP:
		return backend_kube_get(b, backend_kube_on_asleep_read);
	case BACKEND_KUBE_GROW_PATCH:
		return backend_kube_patch(b, kube_resize_first_step(&b->pod),
					  backend_kube_on_grow_patch);
	case BACKEND_KUBE_GROW_GRANT:
		return backend_kube_get(b, backend_kube_on_grow_grant);
	case BACKEND_KUBE_RESTORE:
		return backend_kube_get(b, backend_kube_on_restore_read);
	case BACKEND_KUBE_IDLE:
		break;
	}
	return NULL;
}

static void backend_kube_next(struct backend_kube *b)
{
	if (b->phase == BACKEND_KUBE_IDLE)
		return;
	backend_kube_cancel(b);
	b->request = backend_kube_start_phase(b);
	if (!b->request)
		backend_kube_wait_longer(b); /* no memory, or no token to be read: in a while */
}

static void backend_kube_shrink(struct backend_kube *b)
{
	uint64_t now_ns = monotonic_ns();

	if (now_ns < b->refused_until_ns) {
		backend_done(&b->backend, BACKEND_ASLEEP, -EINVAL);
		return;
	}
	backend_kube_cancel(b);
	if (b->down)
		backend_kube_doubt(b);
	kube_cancel(&b->down);
	b->waits = false;
	backend_kube_enter(b, BACKEND_KUBE_SHRINK_READ);
	b->shrink_until_ns = now_ns + BACKEND_KUBE_SHRINK_TIMEOUT_NS;
	if (now_ns < b->shrink_not_before_ns)
		backend_kube_wait(b, b->shrink_not_before_ns - now_ns);
	else
		backend_kube_next(b);
}

static void backend_kube_grow(struct backend_kube *b)
{
	if (!b->pod.may_be_small) {
		backend_kube_cancel(b);
		backend_kube_settle(b);
		backend_done(&b->backend, BACKEND_FULL, 0);
		return;
	}
	/* A patch down cannot be taken back, and the patch up does not wait for it. */
	if (b->phase == BACKEND_KUBE_SHRINK_PATCH && b->request) {
		kube_redirect(b->request, backend_kube_on_superseded, b);
		b->down = TAKE_PTR(b->request);
		b->is_patching = false;
	}
	backend_kube_enter(b, BACKEND_KUBE_GROW_PATCH);
	b->waits = true;
	if (!b->is_grow_refused) /* else it was said */
		b->has_said_pending = false;
	backend_kube_next(b);
}

static void backend_kube_resize(void *self, enum backend_size size)
{
	struct backend_kube *b = self;

	kube_prepare_cancel(&b->prepare);
	if (size == BACKEND_ASLEEP)
		backend_kube_shrink(b);
	else
		backend_kube_grow(b);
}

void backend_kube_free(struct backend_kube **owned)
{
	struct backend_kube *b = *owned;

	if (!b)
		return;
	kube_prepare_cancel(&b->prepare);
	kube_cancel(&b->request);
	kube_cancel(&b->down);
	timer_free(&b->timer);
	free(b);
	*owned = NULL;
}

static const struct backend_ops backend_kube_ops = {
	.resize = backend_kube_resize,
};

struct backend *backend_kube_as_backend(struct backend_kube *b)
{
	return &b->backend;
}

int backend_kube_new(struct backend_kube **out, struct event_base *base, struct kube *kube,
		     const struct backend_kube_settings *settings)
{
	_cleanup_(backend_kube_free) struct backend_kube *b = calloc(1, sizeof(*b));

	if (!b)
		return log_err(-ENOMEM, "cannot make the kube backend");
	b->backend.ops = &backend_kube_ops;
	b->backend.self = b;
	b->settings = *settings;
	b->pod = (struct kube_resize){
		.kube = kube,
		.namespace = settings->namespace,
		.name = settings->name,
		.uid = settings->uid,
		.state_file = settings->state_file,
		.choice = settings->choice,
		.problem = settings->problem,
		.arg = settings->arg,
	};
	b->timer = timer_new(base, backend_kube_on_timer, b);
	if (!b->timer)
		return log_err(-ENOMEM, "cannot make the kube backend");
	*out = TAKE_PTR(b);
	return 0;
}

const struct kube_sizes *backend_kube_sizes(const struct backend_kube *b)
{
	return &b->pod.sizes;
}

bool backend_kube_is_full(const struct backend_kube *b)
{
	return !b->pod.may_be_small;
}

bool backend_kube_is_settled(const struct backend_kube *b)
{
	return !b->pod.may_be_small && (!b->doubt_until_ns || b->is_gone);
}

int backend_kube_adopt(struct backend_kube *b, const struct kube_pod *pod,
		       const struct kube_pod *kept, char error[KUBE_SIZE_ERROR_MAX])
{
	int r;

	kube_resize_recall(&b->pod, pod->uid);
	if (kept && !b->pod.sizes.len)
		kube_resize_plan(&b->pod, kept, error);
	r = kube_resize_plan(&b->pod, pod, error);
	if (r == 0)
		b->pod.may_be_small = pod->is_kept ||
				      !kube_size_is_asked(&b->pod.sizes, pod, KUBE_STEP_FULL);
	return r;
}

void backend_kube_confirm(struct backend_kube *b, const struct kube_pod *pod)
{
	char error[KUBE_SIZE_ERROR_MAX];

	if (b->phase == BACKEND_KUBE_IDLE && kube_resize_plan(&b->pod, pod, error) == 0)
		b->pod.may_be_small = !kube_size_is_asked(&b->pod.sizes, pod, KUBE_STEP_FULL);
}

int backend_kube_prepare(struct backend_kube *b, kube_prepare_fn done, void *arg)
{
	return kube_prepare_start(&b->prepare, &b->pod, done, arg);
}
