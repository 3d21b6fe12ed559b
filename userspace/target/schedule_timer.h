/* SPDX-License-Identifier: MIT */
/* Tells when the first of several schedules begins, and when the last ends (target/schedule.h). */
#ifndef DOZE_SCHEDULE_TIMER_H
#define DOZE_SCHEDULE_TIMER_H

#include <stdbool.h>
#include <stddef.h>

#include "target/schedule.h"

struct event_base;
struct schedule_timer;

typedef void (*schedule_timer_fn)(void *arg, bool is_active);

/*
 * Calls changed() from the loop, first soon after the start. The schedules are borrowed. The
 * caller owns *out. -ENOMEM, logged.
 */
int schedule_timer_new(struct schedule_timer **out, struct event_base *base,
		       const struct schedule *schedules, size_t schedules_len,
		       schedule_timer_fn changed, void *arg);
void schedule_timer_free(struct schedule_timer **t);

#endif
