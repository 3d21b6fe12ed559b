// SPDX-License-Identifier: MIT
/*
 * The freezer and the CPU quota of cgroup v1 and v2.
 *   v1: Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst, scheduler/sched-bwc.rst
 *   v2: Documentation/admin-guide/cgroup-v2.rst, "cgroup.freeze", "cpu.max"
 */
#include "backend_cgroup.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doomed.h"
#include "file.h"
#include "log.h"
#include "util.h"

/* A task in an uninterruptible sleep freezes when it leaves that; we look again so often. */
#define BACKEND_POLL_US	   2000
#define BACKEND_TIMEOUT_NS (2 * NS_PER_S)

/* The kernel's smallest quota (kernel/sched/core.c: min_cfs_quota_period). */
#define BACKEND_QUOTA_MIN_US 1000

#define BACKEND_QUOTA_TEXT_MAX 64

#define BACKEND_DOOMED_MAX 64

struct backend_cgroup {
	struct backend base;
	const struct cgroup *cg;
	enum backend_cgroup_mode mode;
	char full_quota[BACKEND_QUOTA_TEXT_MAX]; /* as the file has it */
	char asleep_quota[BACKEND_QUOTA_TEXT_MAX];
	struct event *poll; /* while a freeze is in flight, or doomed processes end */
	uint64_t poll_until_ns;
	enum backend_size wanted;
	pid_t doomed[BACKEND_DOOMED_MAX];
	size_t doomed_len;
};

/* The control files of the two versions, and what is written into them. */
struct backend_freezer {
	const char *file, *freeze, *thaw;
};

static const struct backend_freezer *backend_freezer_of(const struct cgroup *cg)
{
	static const struct backend_freezer v1 = { "freezer.state", "FROZEN", "THAWED" };
	static const struct backend_freezer v2 = { "cgroup.freeze", "1", "0" };

	return cg->controls[CGROUP_FREEZER].version == 2 ? &v2 : &v1;
}

static const char *backend_quota_file(const struct cgroup *cg)
{
	return cg->controls[CGROUP_CPU].version == 2 ? "cpu.max" : "cpu.cfs_quota_us";
}

static void backend_path(char out[PATH_MAX], const struct cgroup *cg, enum cgroup_control control,
			 const char *file)
{
	snprintf(out, PATH_MAX, "%.*s/%s", PATH_MAX - 64, cg->controls[control].dir, file);
}

static void backend_done(struct backend_cgroup *b, enum backend_size size, int r)
{
	b->base.done(b->base.done_arg, size, r);
}

static bool backend_is_frozen(const struct backend_cgroup *b)
{
	_cleanup_(freep) char *text = NULL;
	bool is_v2 = b->cg->controls[CGROUP_FREEZER].version == 2;
	char path[PATH_MAX];

	backend_path(path, b->cg, CGROUP_FREEZER, is_v2 ? "cgroup.events" : "freezer.state");
	if (file_read(path, &text) < 0)
		return false;
	return is_v2 ? strstr(text, "frozen 1") != NULL : strncmp(text, "FROZEN", 6) == 0;
}

static void backend_poll_again(struct backend_cgroup *b)
{
	const struct timeval pause = { .tv_usec = BACKEND_POLL_US };

	event_add(b->poll, &pause);
}

static void backend_poll_freeze(struct backend_cgroup *b)
{
	if (backend_is_frozen(b))
		backend_done(b, BACKEND_ASLEEP, 0);
	else if (monotonic_ns() >= b->poll_until_ns)
		backend_done(b, BACKEND_ASLEEP,
			     log_err(-ETIMEDOUT, "cannot freeze '%s'",
				     b->cg->controls[CGROUP_FREEZER].dir));
	else
		backend_poll_again(b);
}

/* One that does not end in time is no reason to keep the others' clients waiting. */
static void backend_poll_doomed(struct backend_cgroup *b)
{
	if (doomed_are_gone(b->doomed, b->doomed_len) || monotonic_ns() >= b->poll_until_ns)
		backend_done(b, BACKEND_FULL, 0);
	else
		backend_poll_again(b);
}

static void backend_on_poll(evutil_socket_t fd, short what, void *arg)
{
	struct backend_cgroup *b = arg;

	(void)fd;
	(void)what;
	if (b->wanted == BACKEND_ASLEEP)
		backend_poll_freeze(b);
	else
		backend_poll_doomed(b);
}

static void backend_freeze(struct backend_cgroup *b)
{
	const struct backend_freezer *freezer = backend_freezer_of(b->cg);
	int r = cgroup_write(b->cg, CGROUP_FREEZER, freezer->file, freezer->freeze);

	if (r < 0) {
		backend_done(b, BACKEND_ASLEEP,
			     log_err(r, "cannot freeze '%s'", b->cg->controls[CGROUP_FREEZER].dir));
		return;
	}
	b->poll_until_ns = monotonic_ns() + BACKEND_TIMEOUT_NS;
	backend_poll_freeze(b);
}

static void backend_thaw(struct backend_cgroup *b)
{
	const struct backend_freezer *freezer = backend_freezer_of(b->cg);
	char procs_file[PATH_MAX];
	int r;

	backend_path(procs_file, b->cg, CGROUP_FREEZER, "cgroup.procs");
	b->doomed_len = doomed_find(procs_file, b->doomed, ARRAY_LEN(b->doomed));
	r = cgroup_write(b->cg, CGROUP_FREEZER, freezer->file, freezer->thaw);
	if (r < 0) {
		backend_done(b, BACKEND_FULL,
			     log_err(r, "cannot thaw '%s'", b->cg->controls[CGROUP_FREEZER].dir));
		return;
	}
	b->poll_until_ns = monotonic_ns() + BACKEND_TIMEOUT_NS;
	backend_poll_doomed(b);
}

static void backend_set_quota(struct backend_cgroup *b, enum backend_size size)
{
	const char *quota = size == BACKEND_FULL ? b->full_quota : b->asleep_quota;
	int r = cgroup_write(b->cg, CGROUP_CPU, backend_quota_file(b->cg), quota);

	if (r < 0)
		log_err(r, "cannot set the CPU quota of '%s' to '%s'",
			b->cg->controls[CGROUP_CPU].dir, quota);
	backend_done(b, size, r);
}

static void backend_cgroup_resize(struct backend *base, enum backend_size size)
{
	struct backend_cgroup *b = (struct backend_cgroup *)base;

	event_del(b->poll);
	b->wanted = size;
	if (b->mode == BACKEND_CGROUP_THROTTLE)
		backend_set_quota(b, size);
	else if (size == BACKEND_ASLEEP)
		backend_freeze(b);
	else
		backend_thaw(b);
}

static int backend_cgroup_usage_us(struct backend *base, uint64_t *out)
{
	return cgroup_usage_us(((struct backend_cgroup *)base)->cg, out);
}

static void backend_cgroup_free(struct backend **base)
{
	struct backend_cgroup *b = (struct backend_cgroup *)*base;

	if (b->poll)
		event_free(b->poll);
	free(b);
	*base = NULL;
}

static int backend_read_period_us(const struct cgroup *cg, uint64_t *out)
{
	char path[PATH_MAX];

	backend_path(path, cg, CGROUP_CPU, "cpu.cfs_period_us");
	return file_read_u64(path, NULL, out);
}

/* "max 100000" or "20000 100000": the period is the second number. */
static int backend_parse_period_us(const char *max, uint64_t *out)
{
	const char *space = strchr(max, ' ');

	if (!space || sscanf(space, "%" SCNu64, out) != 1)
		return -EINVAL;
	return 0;
}

static void backend_format_asleep(struct backend_cgroup *b, uint64_t period_us, uint32_t millicpu)
{
	uint64_t quota_us = max_u64(period_us * millicpu / 1000, BACKEND_QUOTA_MIN_US);

	if (b->cg->controls[CGROUP_CPU].version == 2)
		snprintf(b->asleep_quota, sizeof(b->asleep_quota), "%" PRIu64 " %" PRIu64, quota_us,
			 period_us);
	else
		snprintf(b->asleep_quota, sizeof(b->asleep_quota), "%" PRIu64, quota_us);
}

static int backend_read_quota(struct backend_cgroup *b, uint32_t millicpu)
{
	_cleanup_(freep) char *text = NULL;
	char path[PATH_MAX];
	uint64_t period_us;
	int r;

	backend_path(path, b->cg, CGROUP_CPU, backend_quota_file(b->cg));
	r = file_read(path, &text);
	if (r < 0)
		return log_err(r, "cannot read '%s'", path);
	snprintf(b->full_quota, sizeof(b->full_quota), "%.*s", (int)strcspn(text, "\n"), text);
	r = b->cg->controls[CGROUP_CPU].version == 2 ? backend_parse_period_us(text, &period_us)
						     : backend_read_period_us(b->cg, &period_us);
	if (r < 0)
		return log_err(r, "cannot find the CPU period of '%s'", path);
	backend_format_asleep(b, period_us, millicpu);
	return 0;
}

static int backend_tell_watchdog(struct backend_cgroup *b, struct watchdog *watchdog)
{
	char path[PATH_MAX];

	if (b->mode == BACKEND_CGROUP_THROTTLE) {
		backend_path(path, b->cg, CGROUP_CPU, backend_quota_file(b->cg));
		return watchdog_add(watchdog, path, b->full_quota);
	}
	backend_path(path, b->cg, CGROUP_FREEZER, backend_freezer_of(b->cg)->file);
	return watchdog_add(watchdog, path, backend_freezer_of(b->cg)->thaw);
}

static const struct backend_ops backend_cgroup_ops = {
	.name = "cgroup",
	.resize = backend_cgroup_resize,
	.usage_us = backend_cgroup_usage_us,
	.free = backend_cgroup_free,
};

int backend_cgroup_new(struct backend **out, struct event_base *base, const struct cgroup *cg,
		       const struct backend_cgroup_settings *settings, struct watchdog *watchdog)
{
	_cleanup_(backend_free) struct backend *owned = NULL;
	struct backend_cgroup *b = calloc(1, sizeof(*b));
	int r = 0;

	if (!b)
		return log_err(-ENOMEM, "cannot make the cgroup backend");
	owned = &b->base;
	b->base.ops = &backend_cgroup_ops;
	b->cg = cg;
	b->mode = settings->mode;
	b->poll = evtimer_new(base, backend_on_poll, b);
	if (!b->poll)
		return log_err(-ENOMEM, "cannot make the cgroup backend");
	if (b->mode == BACKEND_CGROUP_THROTTLE)
		r = backend_read_quota(b, settings->asleep_millicpu);
	if (r == 0)
		r = backend_tell_watchdog(b, watchdog);
	if (r < 0)
		return r;
	*out = TAKE_PTR(owned);
	return 0;
}
