// SPDX-License-Identifier: MIT
/* The cgroups before the API server on the way up, behind it on the way down. */
#include "backend/backend_pod.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "backend/backend_kube.h"
#include "base/file.h"
#include "base/log.h"
#include "base/timer.h"
#include "base/util.h"
#include "cgroup/reclaim.h"

/* A task in an uninterruptible sleep freezes when it leaves that; we look again so often. */
#define BACKEND_POD_FREEZE_POLL_NS    (2 * NS_PER_MS)
#define BACKEND_POD_FREEZE_TIMEOUT_NS (2 * NS_PER_S)

/* While the kubelet may still be working through an older size: growing from the first. */
#define BACKEND_POD_SETTLE_MIN_NS (5 * NS_PER_MS)
#define BACKEND_POD_SETTLE_MAX_NS (5 * NS_PER_S)

/* What somebody else makes of a sleeper's size is learned at once, and then in pauses. */
#define BACKEND_POD_RELEARN_MIN_NS (2 * NS_PER_S)
#define BACKEND_POD_RELEARN_MAX_NS (60 * NS_PER_S)

/* Below that there is little to be had, and an application needs it at once when it wakes. */
#define BACKEND_POD_RECLAIM_FLOOR_BYTES (16UL << 20)

enum backend_pod_phase {
	BACKEND_POD_FULL,
	BACKEND_POD_ASKING,   /* down: the API server */
	BACKEND_POD_FREEZING, /* down: the kernel */
	BACKEND_POD_ASLEEP,
	BACKEND_POD_RESTORING, /* full in the cgroups; the API server has not agreed yet */
};

struct backend_pod {
	struct backend backend;
	struct backend_pod_settings settings;
	struct pod_cgroups *cgroups;
	struct backend_kube *kube; /* NULL: the cgroups alone */
	struct reclaim *reclaim;
	uint64_t reclaimed_before; /* this sleep, in all, in bytes */
	struct timer *timer;
	enum backend_pod_phase phase;
	uint64_t settle_ns; /* the next pause */
	uint64_t freeze_until_ns;
	bool is_connected;   /* sleep is a throttle, whatever the settings say */
	bool waits_for_kube; /* up: the cgroups could not be written */
	bool has_fallen_back;
	bool has_told; /* that somebody has undone this sleep */
	/* Somebody has written another size since the last look at what full is. */
	bool is_resized;
	uint64_t relearn_ns, relearn_pause_ns; /* not before; and the next pause */
};

/* --- down --- */

/* Not synced: after a crash of the machine there are no such cgroups. */
static int backend_pod_write_state(struct backend_pod *b)
{
	_cleanup_(freep) char *text = pod_cgroups_format(b->cgroups);
	int r = text ? file_replace_unsynced(b->settings.state_file, text) : -ENOMEM;

	return r < 0 ? log_err(r, "cannot write the state file '%s'", b->settings.state_file) : 0;
}

static void backend_pod_start_reclaim(struct backend_pod *b)
{
	b->reclaimed_before = reclaim_total_bytes(b->reclaim);
	reclaim_start(b->reclaim);
}

static void backend_pod_sleeps(struct backend_pod *b)
{
	b->phase = BACKEND_POD_ASLEEP;
	if (b->reclaim && !b->is_connected)
		backend_pod_start_reclaim(b);
	backend_done(&b->backend, BACKEND_ASLEEP, 0);
}

static void backend_pod_poll_freeze(struct backend_pod *b)
{
	if (pod_cgroups_are_frozen(b->cgroups))
		backend_pod_sleeps(b);
	else if (monotonic_ns() >= b->freeze_until_ns)
		backend_done(&b->backend, BACKEND_ASLEEP,
			     log_err(-ETIMEDOUT, "cannot freeze the pod '%s'", b->settings.name));
	else
		timer_in_ns(b->timer, BACKEND_POD_FREEZE_POLL_NS);
}

static bool backend_pod_may_freeze(const struct backend_pod *b)
{
	return b->settings.depth != BACKEND_POD_THROTTLE && !b->is_connected;
}

/* What the API server has not done, or cannot do. */
static void backend_pod_go_deeper(struct backend_pod *b)
{
	int r = pod_cgroups_throttle(b->cgroups);

	if (r == 0 && backend_pod_may_freeze(b))
		r = pod_cgroups_freeze(b->cgroups);
	if (r < 0) {
		backend_done(&b->backend, BACKEND_ASLEEP, r);
	} else if (!backend_pod_may_freeze(b)) {
		backend_pod_sleeps(b);
	} else {
		b->phase = BACKEND_POD_FREEZING;
		b->freeze_until_ns = monotonic_ns() + BACKEND_POD_FREEZE_TIMEOUT_NS;
		backend_pod_poll_freeze(b);
	}
}

static void backend_pod_on_kube_asleep(struct backend_pod *b, int r)
{
	/* For good, as opposed to a server that does not answer, or is busy. */
	bool is_refused = r == -EACCES || r == -EINVAL || r == -ENODATA;

	if (b->phase != BACKEND_POD_ASKING)
		return;
	if (r < 0 && !is_refused) {
		backend_done(&b->backend, BACKEND_ASLEEP, r);
		return;
	}
	if (is_refused && !b->has_fallen_back) {
		b->has_fallen_back = true;
		log_warn("the cluster refuses to resize the pod: it sleeps by its cgroups alone, "
			 "and its requests stay reserved",
			 "pod=%s", b->settings.name);
	}
	backend_pod_go_deeper(b);
}

/*
 * What is full is read before each sleep: somebody may have changed it. While the last wake is not
 * over, what is there may be less than full.
 */
static void backend_pod_shrink(struct backend_pod *b)
{
	int r = 0;

	if (b->phase == BACKEND_POD_FULL)
		r = pod_cgroups_take_full(b->cgroups);
	else
		pod_cgroups_learn_full(b->cgroups, false);
	if (r == 0)
		r = backend_pod_write_state(b);
	if (r == 0)
		pod_cgroups_drop_bursts(b->cgroups);
	b->phase = BACKEND_POD_ASKING;
	if (r < 0)
		backend_done(&b->backend, BACKEND_ASLEEP, r);
	else if (b->kube)
		backend_resize(backend_kube_as_backend(b->kube), BACKEND_ASLEEP);
	else
		backend_pod_go_deeper(b);
}

/* --- up --- */

static bool backend_pod_is_kube_full(const struct backend_pod *b)
{
	return !b->kube || backend_kube_is_full(b->kube);
}

static void backend_pod_settle_soon(struct backend_pod *b)
{
	b->settle_ns = BACKEND_POD_SETTLE_MIN_NS;
	timer_in_ns(b->timer, b->settle_ns);
}

/* The kubelet may have written an older, smaller size after the wake: it is overwritten. */
static void backend_pod_settle(struct backend_pod *b)
{
	bool is_kube_full = backend_pod_is_kube_full(b);

	pod_cgroups_learn_full(b->cgroups, is_kube_full);
	if (!pod_cgroups_are_full(b->cgroups)) {
		log_debug("a smaller size came after the wake", "pod=%s", b->settings.name);
		/* Another one may come soon. One that cannot be overwritten can wait. */
		if (pod_cgroups_set_full(b->cgroups) == 0)
			b->settle_ns = BACKEND_POD_SETTLE_MIN_NS;
	} else if (is_kube_full) {
		b->phase = BACKEND_POD_FULL;
		unlink(b->settings.state_file);
		return;
	}
	timer_in_ns(b->timer, b->settle_ns);
	b->settle_ns = min_u64(2 * b->settle_ns, BACKEND_POD_SETTLE_MAX_NS);
}

/* The kubelet will write these for the containers that the API server resizes. */
static void backend_pod_expect_full(struct backend_pod *b)
{
	const struct kube_sizes *sizes = b->kube ? backend_kube_sizes(b->kube) : NULL;

	for (size_t i = 0; sizes && i < sizes->len; i++)
		pod_cgroups_expect(b->cgroups, sizes->sizes[i].name,
				   sizes->sizes[i].full.limit_millicpu);
}

static void backend_pod_grow(struct backend_pod *b)
{
	bool was_full = b->phase == BACKEND_POD_FULL;
	int r = was_full ? 0 : pod_cgroups_set_full(b->cgroups);

	if (b->reclaim)
		reclaim_stop(b->reclaim);
	b->has_told = b->is_resized = false;
	b->relearn_ns = b->relearn_pause_ns = 0;
	b->waits_for_kube = r < 0 && b->kube;
	if (!was_full) {
		b->phase = BACKEND_POD_RESTORING;
		backend_pod_expect_full(b);
		backend_pod_settle_soon(b);
	}
	/* The client comes first; the API server can wait. */
	if (r == 0 || !b->kube)
		backend_done(&b->backend, BACKEND_FULL, r);
	if (b->kube)
		backend_resize(backend_kube_as_backend(b->kube), BACKEND_FULL);
}

/* --- the backend --- */

static void backend_pod_on_kube(void *arg, enum backend_size size, int r)
{
	struct backend_pod *b = arg;

	if (size == BACKEND_ASLEEP) {
		backend_pod_on_kube_asleep(b, r);
	} else if (b->waits_for_kube) {
		b->waits_for_kube = r == BACKEND_REFUSED;
		backend_done(&b->backend, BACKEND_FULL, r);
	}
}

static void backend_pod_on_timer(void *arg)
{
	struct backend_pod *b = arg;

	if (b->phase == BACKEND_POD_FREEZING)
		backend_pod_poll_freeze(b);
	else if (b->phase == BACKEND_POD_RESTORING)
		backend_pod_settle(b);
}

static void backend_pod_resize(void *self, enum backend_size size)
{
	struct backend_pod *b = self;

	timer_stop(b->timer);
	if (size == BACKEND_ASLEEP)
		backend_pod_shrink(b);
	else
		backend_pod_grow(b);
}

/*
 * Another size may come from the API server: then there is another full size to be learned, in
 * pauses that grow, because whoever fights for the quota must not make us ask again and again.
 */
static bool backend_pod_may_relearn(struct backend_pod *b)
{
	uint64_t now_ns = monotonic_ns();

	if (!b->is_resized || now_ns < b->relearn_ns)
		return false;
	b->is_resized = false;
	b->relearn_ns = now_ns + b->relearn_pause_ns;
	b->relearn_pause_ns = min_u64(max_u64(2 * b->relearn_pause_ns, BACKEND_POD_RELEARN_MIN_NS),
				      BACKEND_POD_RELEARN_MAX_NS);
	return true;
}

static void backend_pod_say_undone(struct backend_pod *b)
{
	if (!b->has_told)
		log_warn("somebody has undone the sleep: it is set again", "pod=%s",
			 b->settings.name);
	b->has_told = true;
}

static int backend_pod_reassert(void *self)
{
	struct backend_pod *b = self;
	bool is_resized = pod_cgroups_are_undone(b->cgroups, false);
	bool was_frozen = backend_pod_may_freeze(b);

	if (b->phase != BACKEND_POD_ASLEEP)
		return 0;
	if (was_frozen && pod_cgroups_are_told_to_end(b->cgroups))
		return log_err(-EINTR, "a process of '%s' is told to end while it is frozen",
			       b->settings.name);
	b->is_resized |= is_resized;
	if (backend_pod_may_relearn(b)) {
		backend_pod_say_undone(b);
		backend_pod_shrink(b);
	} else if (is_resized || pod_cgroups_are_undone(b->cgroups, was_frozen)) {
		backend_pod_say_undone(b);
		backend_pod_go_deeper(b);
	}
	return 0;
}

/* Thawed, it is still throttled. A freeze that is not done yet holds nobody up. */
static void backend_pod_change_depth(struct backend_pod *b)
{
	if (backend_pod_may_freeze(b)) {
		if (pod_cgroups_freeze(b->cgroups) == 0 && b->reclaim)
			backend_pod_start_reclaim(b);
		return;
	}
	if (b->reclaim)
		reclaim_stop(b->reclaim);
	pod_cgroups_thaw(b->cgroups);
}

static void backend_pod_set_connected(void *self, bool is_connected)
{
	struct backend_pod *b = self;
	bool has_changed = b->is_connected != is_connected;

	b->is_connected = is_connected;
	if (has_changed && b->phase == BACKEND_POD_ASLEEP &&
	    b->settings.depth != BACKEND_POD_THROTTLE)
		backend_pod_change_depth(b);
}

static int backend_pod_throttled_us(const void *self, uint64_t *out)
{
	const struct backend_pod *b = self;

	return pod_cgroups_throttled_us(b->cgroups, out);
}

static int backend_pod_usage_us(const void *self, uint64_t *out)
{
	const struct backend_pod *b = self;

	return pod_cgroups_usage_us(b->cgroups, out);
}

static uint64_t backend_pod_reclaimed_bytes(const void *self)
{
	const struct backend_pod *b = self;

	return b->reclaim ? reclaim_total_bytes(b->reclaim) : 0;
}

static enum backend_depth backend_pod_depth(const void *self)
{
	const struct backend_pod *b = self;

	if (!pod_cgroups_are_frozen(b->cgroups))
		return BACKEND_THROTTLED;
	return backend_pod_reclaimed_bytes(b) > b->reclaimed_before ? BACKEND_RECLAIMED
								    : BACKEND_FROZEN;
}

void backend_pod_free(struct backend_pod **owned)
{
	struct backend_pod *b = *owned;

	if (!b)
		return;
	timer_free(&b->timer);
	reclaim_free(&b->reclaim);
	backend_kube_free(&b->kube);
	pod_cgroups_free(&b->cgroups);
	free(b);
	*owned = NULL;
}

static const struct backend_ops backend_pod_ops = {
	.resize = backend_pod_resize,
	.reassert = backend_pod_reassert,
	.set_connected = backend_pod_set_connected,
	.usage_us = backend_pod_usage_us,
	.throttled_us = backend_pod_throttled_us,
	.reclaimed_bytes = backend_pod_reclaimed_bytes,
	.depth = backend_pod_depth,
};

static int backend_pod_make_reclaim(struct backend_pod *b, struct event_base *base)
{
	const struct reclaim_settings settings = {
		.after_ns = b->settings.reclaim_after_ns,
		.floor_bytes = BACKEND_POD_RECLAIM_FLOOR_BYTES,
		.name = b->settings.name,
	};
	const char *dir;
	int r = reclaim_new(&b->reclaim, base, &settings);

	for (size_t i = 0; r == 0 && (dir = pod_cgroups_memory_dir(b->cgroups, i)); i++) {
		r = reclaim_add(b->reclaim, dir);
		if (r == -ENODEV) {
			log_warn("no memory.reclaim (cgroup v2, kernel 5.19): the pod is frozen, "
				 "and keeps its memory",
				 "pod=%s", b->settings.name);
			return 0;
		}
	}
	return r;
}

struct backend *backend_pod_as_backend(struct backend_pod *b)
{
	return &b->backend;
}

int backend_pod_new(struct backend_pod **out, struct event_base *base, struct pod_cgroups *cgroups,
		    struct backend_kube *kube, const struct backend_pod_settings *settings,
		    bool is_asleep)
{
	_cleanup_(backend_pod_free) struct backend_pod *b = calloc(1, sizeof(*b));
	int r = 0;

	if (!b) {
		pod_cgroups_free(&cgroups);
		backend_kube_free(&kube);
		return log_err(-ENOMEM, "cannot make the backend of a pod");
	}
	b->backend.ops = &backend_pod_ops;
	b->backend.self = b;
	b->settings = *settings;
	b->cgroups = cgroups;
	b->kube = kube;
	b->phase = is_asleep ? BACKEND_POD_ASLEEP : BACKEND_POD_FULL;
	if (kube) {
		backend_kube_as_backend(kube)->done = backend_pod_on_kube;
		backend_kube_as_backend(kube)->done_arg = b;
	}
	b->timer = timer_new(base, backend_pod_on_timer, b);
	if (!b->timer)
		return log_err(-ENOMEM, "cannot make the backend of a pod");
	if (settings->depth == BACKEND_POD_RECLAIM)
		r = backend_pod_make_reclaim(b, base);
	if (r < 0)
		return r;
	*out = TAKE_PTR(b);
	return 0;
}

bool backend_pod_is_settled(const struct backend_pod *b)
{
	return b->phase == BACKEND_POD_FULL && (!b->kube || backend_kube_is_settled(b->kube));
}

void backend_pod_resume(struct backend_pod *b)
{
	backend_pod_go_deeper(b);
}

void backend_pod_follow(struct backend_pod *b, const char *name, const char *id)
{
	int r = pod_cgroups_follow(b->cgroups, name, id);

	if (r < 0)
		log_debug("no cgroup of a container that was started anew",
			  "pod=%s container=%s errno=%d", b->settings.name, name, -r);
	if (r <= 0 || b->phase != BACKEND_POD_RESTORING)
		return;
	pod_cgroups_set_full(b->cgroups);
	backend_pod_expect_full(b);
	backend_pod_settle_soon(b);
}

void backend_pod_leave_asleep(struct backend_pod *b)
{
	if (b->phase != BACKEND_POD_ASLEEP && b->phase != BACKEND_POD_FREEZING)
		return;
	timer_stop(b->timer);
	pod_cgroups_throttle(b->cgroups);
	pod_cgroups_thaw(b->cgroups); /* throttled or not: nobody else does */
}

void backend_pod_let_go(struct backend_pod *b)
{
	timer_stop(b->timer);
	if (b->phase != BACKEND_POD_FULL)
		pod_cgroups_set_full(b->cgroups);
	backend_kube_free(&b->kube);
	b->phase = BACKEND_POD_FULL;
}

void backend_pod_confirm(struct backend_pod *b, const struct kube_pod *pod)
{
	if (b->kube && b->phase == BACKEND_POD_ASLEEP)
		backend_kube_confirm(b->kube, pod);
}
