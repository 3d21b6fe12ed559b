// SPDX-License-Identifier: MIT
/* The wall clock may be set: nothing is planned further ahead than a minute. */
#include "target/schedule_timer.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "base/timer.h"
#include "base/util.h"

#define SCHEDULE_TIMER_AHEAD_MAX_S 60

struct schedule_timer {
	const struct schedule *schedules;
	size_t schedules_len;
	schedule_timer_fn changed;
	void *arg;
	struct timer *timer;
	bool is_active;
};

static bool schedule_timer_are_active(const struct schedule_timer *t, time_t now)
{
	for (size_t i = 0; i < t->schedules_len; i++) {
		if (schedule_is_active(&t->schedules[i], now))
			return true;
	}
	return false;
}

static time_t schedule_timer_next(const struct schedule_timer *t, time_t now)
{
	time_t next = now + SCHEDULE_TIMER_AHEAD_MAX_S;

	for (size_t i = 0; i < t->schedules_len; i++) {
		time_t change = schedule_next_change(&t->schedules[i], now);

		if (change > now && change < next)
			next = change;
	}
	return next;
}

/* Rounded up: a timer that fires before the second has begun would fire twice. */
static void schedule_timer_arm(struct schedule_timer *t, const struct timespec *now)
{
	int64_t ns = (int64_t)(schedule_timer_next(t, now->tv_sec) - now->tv_sec) *
			     (int64_t)NS_PER_S -
		     now->tv_nsec + (int64_t)NS_PER_MS;

	timer_in_ns(t->timer, (uint64_t)ns);
}

static void schedule_timer_on_timer(void *arg)
{
	struct schedule_timer *t = arg;
	struct timespec now;
	bool is_active;

	clock_gettime(CLOCK_REALTIME, &now);
	is_active = schedule_timer_are_active(t, now.tv_sec);
	schedule_timer_arm(t, &now);
	if (is_active == t->is_active)
		return;
	t->is_active = is_active;
	t->changed(t->arg, is_active);
}

int schedule_timer_new(struct schedule_timer **out, struct event_base *base,
		       const struct schedule *schedules, size_t schedules_len,
		       schedule_timer_fn changed, void *arg)
{
	_cleanup_(schedule_timer_free) struct schedule_timer *t = calloc(1, sizeof(*t));

	if (!t)
		return log_err(-ENOMEM, "cannot keep the schedules");
	*t = (struct schedule_timer){
		.schedules = schedules,
		.schedules_len = schedules_len,
		.changed = changed,
		.arg = arg,
	};
	t->timer = timer_new(base, schedule_timer_on_timer, t);
	if (!t->timer)
		return log_err(-ENOMEM, "cannot keep the schedules");
	if (schedules_len)
		timer_in_ns(t->timer, 0);
	*out = TAKE_PTR(t);
	return 0;
}

void schedule_timer_free(struct schedule_timer **t)
{
	if (!*t)
		return;
	timer_free(&(*t)->timer);
	free(*t);
	*t = NULL;
}
