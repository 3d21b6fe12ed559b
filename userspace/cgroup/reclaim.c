// SPDX-License-Identifier: MIT
/* A timer, and a write with each step. */
#include "cgroup/reclaim.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/timer.h"
#include "base/util.h"

#define RECLAIM_DIRS_MAX   32
#define RECLAIM_STEP_BYTES (1UL << 20)

/* At least; and so many times as long as the step took: the others of the daemon wait meanwhile. */
#define RECLAIM_STEP_NS	    (20 * NS_PER_MS)
#define RECLAIM_PAUSE_TIMES 20

/* Somebody waits for memory during more than so many percent of the last 10 s: later. */
#define RECLAIM_PRESSURE_MAX 1.0
#define RECLAIM_PAUSE_NS     (30 * NS_PER_S)

struct reclaim {
	struct reclaim_settings settings;
	struct timer *timer;
	char *dirs[RECLAIM_DIRS_MAX];
	size_t dirs_len;
	size_t at;	      /* the cgroup whose turn it is */
	uint64_t taken_bytes; /* since it fell asleep */
	uint64_t total_bytes;
};

static void reclaim_path(char out[PATH_MAX], const char *dir, const char *file)
{
	snprintf(out, PATH_MAX, "%.*s/%s", PATH_MAX - 64, dir, file);
}

static uint64_t reclaim_usage(const char *dir)
{
	char path[PATH_MAX];
	uint64_t bytes;

	reclaim_path(path, dir, "memory.current");
	return file_read_u64(path, NULL, &bytes) == 0 ? bytes : 0;
}

/* "some avg10=0.12 avg60=..."; a kernel that does not tell has no pressure that could be seen. */
static bool reclaim_is_under_pressure(void)
{
	_cleanup_(freep) char *text = NULL;
	double avg10;

	return file_read("/proc/pressure/memory", &text) == 0 &&
	       sscanf(text, "some avg10=%lf", &avg10) == 1 && avg10 > RECLAIM_PRESSURE_MAX;
}

/*
 * Whether there may be more to take. -EAGAIN: less than that could be taken, of which a part may
 * have been. The attempt itself shows how much it was.
 */
static bool reclaim_step(struct reclaim *r, const char *dir)
{
	uint64_t before = reclaim_usage(dir), after;
	uint64_t bytes = RECLAIM_STEP_BYTES;
	char path[PATH_MAX], text[32];
	int error;

	if (before <= r->settings.floor_bytes)
		return false;
	bytes = min_u64(bytes, before - r->settings.floor_bytes);
	reclaim_path(path, dir, "memory.reclaim");
	snprintf(text, sizeof(text), "%" PRIu64, bytes);
	error = file_write(path, text);
	after = reclaim_usage(dir);
	if (after < before) {
		r->taken_bytes += before - after;
		r->total_bytes += before - after;
	}
	if (error < 0 && error != -EAGAIN)
		log_debug("cannot reclaim memory", "target=%s cgroup=%s errno=%d", r->settings.name,
			  dir, -error);
	return error == 0 && after < before;
}

uint64_t reclaim_pause_ns(uint64_t took_ns)
{
	return max_u64(RECLAIM_STEP_NS, RECLAIM_PAUSE_TIMES * took_ns);
}

static void reclaim_on_timer(void *arg)
{
	struct reclaim *r = arg;
	uint64_t began_ns = monotonic_ns();

	if (reclaim_is_under_pressure()) {
		timer_in_ns(r->timer, RECLAIM_PAUSE_NS);
		return;
	}
	if (!reclaim_step(r, r->dirs[r->at]))
		r->at++;
	if (r->at < r->dirs_len)
		timer_in_ns(r->timer, reclaim_pause_ns(monotonic_ns() - began_ns));
	else
		log_info("memory given back", "target=%s bytes=%" PRIu64, r->settings.name,
			 r->taken_bytes);
}

int reclaim_new(struct reclaim **out, struct event_base *base,
		const struct reclaim_settings *settings)
{
	_cleanup_(reclaim_free) struct reclaim *r = calloc(1, sizeof(*r));

	if (!r)
		return log_err(-ENOMEM, "cannot give memory back");
	r->settings = *settings;
	r->timer = timer_new(base, reclaim_on_timer, r);
	if (!r->timer)
		return log_err(-ENOMEM, "cannot give memory back");
	*out = TAKE_PTR(r);
	return 0;
}

void reclaim_free(struct reclaim **r)
{
	if (!*r)
		return;
	for (size_t i = 0; i < (*r)->dirs_len; i++)
		free((*r)->dirs[i]);
	timer_free(&(*r)->timer);
	free(*r);
	*r = NULL;
}

int reclaim_add(struct reclaim *r, const char *dir)
{
	char path[PATH_MAX];

	reclaim_path(path, dir, "memory.reclaim");
	if (access(path, W_OK) < 0)
		return -ENODEV;
	if (r->dirs_len == RECLAIM_DIRS_MAX)
		return 0;
	r->dirs[r->dirs_len] = strdup(dir);
	return r->dirs[r->dirs_len] ? (r->dirs_len++, 0) : -ENOMEM;
}

void reclaim_start(struct reclaim *r)
{
	r->at = 0;
	r->taken_bytes = 0;
	if (r->dirs_len)
		timer_in_ns(r->timer, r->settings.after_ns);
}

void reclaim_stop(struct reclaim *r)
{
	timer_stop(r->timer);
}

uint64_t reclaim_total_bytes(const struct reclaim *r)
{
	return r->total_bytes;
}
