// SPDX-License-Identifier: MIT
/* Writes the files of cgroup/cgroup_file.h, and waits until a freeze is done. */
#include "backend/backend_cgroup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/timer.h"
#include "base/util.h"
#include "cgroup/cgroup_doomed.h"
#include "cgroup/cgroup_file.h"

/* A task in an uninterruptible sleep freezes when it leaves that; we look again so often. */
#define BACKEND_CGROUP_POLL_NS	  (2 * NS_PER_MS)
#define BACKEND_CGROUP_TIMEOUT_NS (2 * NS_PER_S)

#define BACKEND_CGROUP_DOOMED_MAX 64

struct backend_cgroup {
	struct backend backend;
	const struct cgroup *cg;
	struct watchdog *watchdog;
	enum backend_cgroup_mode mode;
	bool can_throttle;
	bool is_throttled;
	bool is_connected;			/* sleep is a throttle, if it can be */
	char full_quota[CGROUP_QUOTA_TEXT_MAX]; /* as the file has it */
	char asleep_quota[CGROUP_QUOTA_TEXT_MAX];
	char full_burst[CGROUP_BURST_TEXT_MAX]; /* "": none */
	struct timer *poll; /* while a freeze is in flight, or doomed processes end */
	uint64_t poll_until_ns;
	enum backend_size wanted;
	bool has_told; /* that somebody has undone this sleep */
	pid_t doomed[BACKEND_CGROUP_DOOMED_MAX];
	size_t doomed_len;
};

static void backend_cgroup_poll_freeze(struct backend_cgroup *b)
{
	const struct cgroup_dir *dir = &b->cg->controls[CGROUP_FREEZER];

	if (cgroup_file_is_frozen(dir))
		backend_done(&b->backend, BACKEND_ASLEEP, 0);
	else if (monotonic_ns() >= b->poll_until_ns)
		backend_done(&b->backend, BACKEND_ASLEEP,
			     log_err(-ETIMEDOUT, "cannot freeze '%s'", dir->path));
	else
		timer_in_ns(b->poll, BACKEND_CGROUP_POLL_NS);
}

/* One that does not end in time is no reason to keep the others' clients waiting. */
static void backend_cgroup_poll_doomed(struct backend_cgroup *b)
{
	if (cgroup_doomed_are_gone(b->doomed, b->doomed_len) || monotonic_ns() >= b->poll_until_ns)
		backend_done(&b->backend, BACKEND_FULL, 0);
	else
		timer_in_ns(b->poll, BACKEND_CGROUP_POLL_NS);
}

static void backend_cgroup_on_poll(void *arg)
{
	struct backend_cgroup *b = arg;

	if (b->wanted == BACKEND_ASLEEP)
		backend_cgroup_poll_freeze(b);
	else
		backend_cgroup_poll_doomed(b);
}

static void backend_cgroup_freeze(struct backend_cgroup *b)
{
	const struct cgroup_dir *dir = &b->cg->controls[CGROUP_FREEZER];
	int r = cgroup_file_freeze(dir, true);

	if (r < 0) {
		backend_done(&b->backend, BACKEND_ASLEEP,
			     log_err(r, "cannot freeze '%s'", dir->path));
		return;
	}
	b->poll_until_ns = monotonic_ns() + BACKEND_CGROUP_TIMEOUT_NS;
	backend_cgroup_poll_freeze(b);
}

static int backend_cgroup_thaw(struct backend_cgroup *b)
{
	const struct cgroup_dir *dir = &b->cg->controls[CGROUP_FREEZER];
	int r;

	b->doomed_len = cgroup_doomed_find(dir->path, b->doomed, ARRAY_LEN(b->doomed));
	r = cgroup_file_freeze(dir, false);
	return r < 0 ? log_err(r, "cannot thaw '%s'", dir->path) : 0;
}

static void backend_cgroup_set_burst(const struct backend_cgroup *b, const char *burst)
{
	const struct cgroup_dir *dir = &b->cg->controls[CGROUP_CPU];
	int r = *b->full_burst ? cgroup_file_write_burst(dir, burst) : 0;

	if (r < 0)
		log_warn_err(r, "cannot set the CPU burst of '%s' to '%s'", dir->path, burst);
}

static int backend_cgroup_set_quota(struct backend_cgroup *b, enum backend_size size)
{
	const char *quota = size == BACKEND_FULL ? b->full_quota : b->asleep_quota;
	const struct cgroup_dir *dir = &b->cg->controls[CGROUP_CPU];
	int r;

	if (size == BACKEND_ASLEEP)
		backend_cgroup_set_burst(b, "0");
	r = cgroup_file_write_quota(dir, quota);
	if (r < 0)
		return log_err(r, "cannot set the CPU quota of '%s' to '%s'", dir->path, quota);
	if (size == BACKEND_FULL)
		backend_cgroup_set_burst(b, b->full_burst);
	b->is_throttled = size == BACKEND_ASLEEP;
	return 0;
}

/* With a client connected only what cannot be throttled is frozen. */
static bool backend_cgroup_is_to_freeze(const struct backend_cgroup *b)
{
	return b->mode == BACKEND_CGROUP_FREEZE && !(b->is_connected && b->can_throttle);
}

static void backend_cgroup_shrink(struct backend_cgroup *b)
{
	if (backend_cgroup_is_to_freeze(b))
		backend_cgroup_freeze(b);
	else
		backend_done(&b->backend, BACKEND_ASLEEP,
			     backend_cgroup_set_quota(b, BACKEND_ASLEEP));
}

/* Thaws first: a process at the asleep quota answers, if slowly. */
static void backend_cgroup_grow(struct backend_cgroup *b)
{
	int r = 0, r_quota = 0;

	b->doomed_len = 0;
	if (b->mode == BACKEND_CGROUP_FREEZE)
		r = backend_cgroup_thaw(b);
	if (b->is_throttled)
		r_quota = backend_cgroup_set_quota(b, BACKEND_FULL);
	r = r < 0 ? r : r_quota;
	if (r < 0) {
		watchdog_undo(b->watchdog);
		backend_done(&b->backend, BACKEND_FULL, r);
		return;
	}
	b->poll_until_ns = monotonic_ns() + BACKEND_CGROUP_TIMEOUT_NS;
	backend_cgroup_poll_doomed(b);
}

static void backend_cgroup_resize(void *self, enum backend_size size)
{
	struct backend_cgroup *b = self;

	timer_stop(b->poll);
	if (size == BACKEND_ASLEEP && !watchdog_is_there(b->watchdog)) {
		backend_done(&b->backend, size,
			     log_err(-ESRCH, "no sleep without a watchdog, which is not there"));
		return;
	}
	b->wanted = size;
	b->has_told = false;
	if (size == BACKEND_ASLEEP)
		backend_cgroup_shrink(b);
	else
		backend_cgroup_grow(b);
}

/* A freeze that is not done yet holds nobody up. */
static void backend_cgroup_set_connected(void *self, bool is_connected)
{
	struct backend_cgroup *b = self;
	const struct cgroup_dir *dir = &b->cg->controls[CGROUP_FREEZER];
	bool has_changed = b->is_connected != is_connected;
	int r;

	b->is_connected = is_connected;
	if (!has_changed || b->wanted != BACKEND_ASLEEP || b->mode != BACKEND_CGROUP_FREEZE ||
	    !b->can_throttle)
		return;
	if (is_connected && backend_cgroup_set_quota(b, BACKEND_ASLEEP) < 0)
		return;
	r = cgroup_file_freeze(dir, !is_connected);
	if (r < 0)
		log_err(r, is_connected ? "cannot thaw '%s'" : "cannot freeze '%s'", dir->path);
}

static int backend_cgroup_throttled_us(const void *self, uint64_t *out)
{
	const struct backend_cgroup *b = self;

	return b->can_throttle ? cgroup_file_read_throttled_us(&b->cg->controls[CGROUP_CPU], out)
			       : -ENODEV;
}

/* Another quota than ours is what somebody wants it to have when it is awake. */
static bool backend_cgroup_is_unthrottled(struct backend_cgroup *b)
{
	const struct cgroup_dir *dir = &b->cg->controls[CGROUP_CPU];
	char quota[CGROUP_QUOTA_TEXT_MAX], path[PATH_MAX];

	if (cgroup_file_read_quota(dir, quota) < 0 || strcmp(quota, b->asleep_quota) == 0)
		return false;
	if (strcmp(quota, b->full_quota) != 0 && cgroup_file_quota_path(path, dir) == 0)
		watchdog_add(b->watchdog, path, quota);
	memcpy(b->full_quota, quota, sizeof(b->full_quota));
	return true;
}

/* By whoever: both are looked at, since a quota that was changed is learned. */
static bool backend_cgroup_is_undone(struct backend_cgroup *b)
{
	bool is_unthrottled = b->is_throttled && backend_cgroup_is_unthrottled(b);
	bool is_thawed = backend_cgroup_is_to_freeze(b) &&
			 !cgroup_file_is_freezing(&b->cg->controls[CGROUP_FREEZER]);

	return is_unthrottled || is_thawed;
}

static int backend_cgroup_sleep_again(struct backend_cgroup *b)
{
	const struct cgroup_dir *dir = &b->cg->controls[CGROUP_FREEZER];
	int r = b->is_throttled ? backend_cgroup_set_quota(b, BACKEND_ASLEEP) : 0;

	if (r < 0 || !backend_cgroup_is_to_freeze(b))
		return r;
	r = cgroup_file_freeze(dir, true);
	return r < 0 ? log_err(r, "cannot put '%s' to sleep again", dir->path) : 0;
}

static int backend_cgroup_reassert(void *self)
{
	struct backend_cgroup *b = self;
	bool is_freezer = b->mode == BACKEND_CGROUP_FREEZE;
	const struct cgroup_dir *dir = &b->cg->controls[is_freezer ? CGROUP_FREEZER : CGROUP_CPU];

	if (!watchdog_is_there(b->watchdog))
		return log_err(-ESRCH, "no sleep without a watchdog, which is not there");
	if (backend_cgroup_is_to_freeze(b) && cgroup_doomed_is_told_to_end(dir->path))
		return log_err(-EINTR, "a process of '%s' is told to end while it is frozen",
			       dir->path);
	if (!backend_cgroup_is_undone(b))
		return 0;
	if (!b->has_told)
		log_warn("somebody has undone the sleep: it is set again", "cgroup=%s", dir->path);
	b->has_told = true;
	return backend_cgroup_sleep_again(b);
}

static int backend_cgroup_usage_us(const void *self, uint64_t *out)
{
	const struct backend_cgroup *b = self;

	return cgroup_file_read_usage_us(&b->cg->controls[CGROUP_USAGE], out);
}

static enum backend_depth backend_cgroup_depth(const void *self)
{
	const struct backend_cgroup *b = self;

	return cgroup_file_is_frozen(&b->cg->controls[CGROUP_FREEZER]) ? BACKEND_FROZEN
								       : BACKEND_THROTTLED;
}

void backend_cgroup_free(struct backend_cgroup **owned)
{
	struct backend_cgroup *b = *owned;

	if (!b)
		return;
	timer_free(&b->poll);
	free(b);
	*owned = NULL;
}

/* The asleep size may be more than it has. */
static int backend_cgroup_read_quota(struct backend_cgroup *b, uint32_t millicpu)
{
	const struct cgroup_dir *dir = &b->cg->controls[CGROUP_CPU];
	int r = dir->version ? cgroup_file_read_quota(dir, b->full_quota) : -ENODEV;

	if (r == 0)
		r = cgroup_file_format_quota(dir, millicpu, b->asleep_quota);
	if (r == 0 && cgroup_file_is_larger(dir->version, b->asleep_quota, b->full_quota))
		memcpy(b->asleep_quota, b->full_quota, sizeof(b->asleep_quota));
	if (r == 0)
		cgroup_file_read_burst(dir, b->full_burst);
	b->can_throttle = r == 0;
	if (r == 0 || b->mode == BACKEND_CGROUP_FREEZE)
		return 0;
	return log_err(r, "cannot read the CPU quota of '%s'", dir->path);
}

/* In the order of a wake. */
static int backend_cgroup_tell_watchdog(struct backend_cgroup *b, struct watchdog *watchdog)
{
	const struct cgroup_dir *freezer = &b->cg->controls[CGROUP_FREEZER];
	const struct cgroup_dir *cpu = &b->cg->controls[CGROUP_CPU];
	char path[PATH_MAX];
	int r = 0;

	if (b->mode == BACKEND_CGROUP_FREEZE) {
		r = cgroup_file_freezer_path(path, freezer);
		if (r == 0)
			r = watchdog_add(watchdog, path, cgroup_file_thawed(freezer->version));
	}
	if (r == 0 && b->can_throttle) {
		r = cgroup_file_quota_path(path, cpu);
		if (r == 0)
			r = watchdog_add(watchdog, path, b->full_quota);
	}
	if (r == 0 && *b->full_burst) {
		r = cgroup_file_burst_path(path, cpu);
		if (r == 0)
			r = watchdog_add(watchdog, path, b->full_burst);
	}
	return r < 0 ? log_err(r, "cannot watch over the cgroup") : 0;
}

static const struct backend_ops backend_cgroup_ops = {
	.resize = backend_cgroup_resize,
	.reassert = backend_cgroup_reassert,
	.set_connected = backend_cgroup_set_connected,
	.usage_us = backend_cgroup_usage_us,
	.throttled_us = backend_cgroup_throttled_us,
	.depth = backend_cgroup_depth,
};

bool backend_cgroup_can_throttle(const struct backend_cgroup *b)
{
	return b->can_throttle;
}

struct backend *backend_cgroup_as_backend(struct backend_cgroup *b)
{
	return &b->backend;
}

int backend_cgroup_new(struct backend_cgroup **out, struct event_base *base,
		       const struct cgroup *cg, const struct backend_cgroup_settings *settings,
		       struct watchdog *watchdog)
{
	_cleanup_(backend_cgroup_free) struct backend_cgroup *b = calloc(1, sizeof(*b));
	int r;

	if (!b)
		return log_err(-ENOMEM, "cannot make the cgroup backend");
	b->backend.ops = &backend_cgroup_ops;
	b->backend.self = b;
	b->cg = cg;
	b->watchdog = watchdog;
	b->mode = settings->mode;
	b->poll = timer_new(base, backend_cgroup_on_poll, b);
	if (!b->poll)
		return log_err(-ENOMEM, "cannot make the cgroup backend");
	r = backend_cgroup_read_quota(b, settings->asleep_millicpu);
	if (r == 0)
		r = backend_cgroup_tell_watchdog(b, watchdog);
	if (r < 0)
		return r;
	*out = TAKE_PTR(b);
	return 0;
}
