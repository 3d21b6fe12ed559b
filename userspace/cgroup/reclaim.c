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
#include "cgroup/cgroup_file.h"

#define RECLAIM_DIRS_MAX   32
#define RECLAIM_STEP_BYTES (1UL << 20)

/*
 * The pause after a step: at least this, and so many times what the step took. The rest of the
 * daemon waits while a step lasts.
 */
#define RECLAIM_STEP_NS	    (20 * NS_PER_MS)
#define RECLAIM_PAUSE_TIMES 20

/* If somebody waited for memory during more than so many percent of the last 10 s, we wait. */
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

static uint64_t reclaim_usage(const char *dir)
{
	char path[PATH_MAX];
	uint64_t bytes;
	int r = cgroup_file_path(path, dir, "memory.current");

	return r == 0 && file_read_u64(path, NULL, &bytes) == 0 ? bytes : 0;
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
 * Whether there may be more to take. -EAGAIN: the kernel has taken less than it was asked for,
 * perhaps some; how much it was shows in what is left.
 */
static bool reclaim_step(struct reclaim *reclaim, const char *dir)
{
	uint64_t before = reclaim_usage(dir), after, bytes;
	char path[PATH_MAX], text[32];
	int r = cgroup_file_path(path, dir, "memory.reclaim");

	if (r < 0 || before <= reclaim->settings.floor_bytes)
		return false;
	bytes = min_u64(RECLAIM_STEP_BYTES, before - reclaim->settings.floor_bytes);
	snprintf(text, sizeof(text), "%" PRIu64, bytes);
	r = file_write(path, text);
	after = reclaim_usage(dir);
	if (after < before) {
		reclaim->taken_bytes += before - after;
		reclaim->total_bytes += before - after;
	}
	if (r < 0 && r != -EAGAIN)
		log_debug("cannot reclaim memory", "target=%s cgroup=%s errno=%d",
			  reclaim->settings.name, dir, -r);
	return r == 0 && after < before;
}

uint64_t reclaim_pause_ns(uint64_t took_ns)
{
	return max_u64(RECLAIM_STEP_NS, RECLAIM_PAUSE_TIMES * took_ns);
}

static void reclaim_on_timer(void *arg)
{
	struct reclaim *reclaim = arg;
	uint64_t began_ns = monotonic_ns();

	if (reclaim_is_under_pressure()) {
		timer_in_ns(reclaim->timer, RECLAIM_PAUSE_NS);
		return;
	}
	if (!reclaim_step(reclaim, reclaim->dirs[reclaim->at]))
		reclaim->at++;
	if (reclaim->at < reclaim->dirs_len)
		timer_in_ns(reclaim->timer, reclaim_pause_ns(monotonic_ns() - began_ns));
	else
		log_info("memory given back", "target=%s bytes=%" PRIu64, reclaim->settings.name,
			 reclaim->taken_bytes);
}

int reclaim_new(struct reclaim **out, struct event_base *base,
		const struct reclaim_settings *settings)
{
	_cleanup_(reclaim_free) struct reclaim *reclaim = calloc(1, sizeof(*reclaim));

	if (!reclaim)
		return log_err(-ENOMEM, "cannot give memory back");
	reclaim->settings = *settings;
	reclaim->timer = timer_new(base, reclaim_on_timer, reclaim);
	if (!reclaim->timer)
		return log_err(-ENOMEM, "cannot give memory back");
	*out = TAKE_PTR(reclaim);
	return 0;
}

void reclaim_free(struct reclaim **reclaim)
{
	if (!*reclaim)
		return;
	for (size_t i = 0; i < (*reclaim)->dirs_len; i++)
		free((*reclaim)->dirs[i]);
	timer_free(&(*reclaim)->timer);
	free(*reclaim);
	*reclaim = NULL;
}

int reclaim_add(struct reclaim *reclaim, const char *dir)
{
	char path[PATH_MAX];

	if (cgroup_file_path(path, dir, "memory.reclaim") < 0 || access(path, W_OK) < 0)
		return -ENODEV;
	if (reclaim->dirs_len == RECLAIM_DIRS_MAX)
		return 0;
	reclaim->dirs[reclaim->dirs_len] = strdup(dir);
	if (!reclaim->dirs[reclaim->dirs_len])
		return -ENOMEM;
	reclaim->dirs_len++;
	return 0;
}

void reclaim_start(struct reclaim *reclaim)
{
	reclaim->at = 0;
	reclaim->taken_bytes = 0;
	if (reclaim->dirs_len)
		timer_in_ns(reclaim->timer, reclaim->settings.after_ns);
}

void reclaim_stop(struct reclaim *reclaim)
{
	timer_stop(reclaim->timer);
}

uint64_t reclaim_total_bytes(const struct reclaim *reclaim)
{
	return reclaim->total_bytes;
}
