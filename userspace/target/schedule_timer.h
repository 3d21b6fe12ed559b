/* SPDX-License-Identifier: MIT */
/* Tells when one of several schedules begins, and when none is left: the clock beside
 * target/schedule.h.
 */
#ifndef DOZE_SCHEDULE_TIMER_H
#define DOZE_SCHEDULE_TIMER_H

#include <stdbool.h>
#include <stddef.h>

#include "target/schedule.h"

struct event_base;
struct hours;

typedef void (*hours_fn)(void *arg, bool is_active);

/*
 * Calls changed() from the loop, first soon after the start. The schedules are borrowed. The
 * caller owns *out. -ENOMEM, logged.
 */
int hours_new(struct hours **out, struct event_base *base, const struct schedule *schedules,
	      size_t schedules_len, hours_fn changed, void *arg);
void hours_free(struct hours **h);

#endif
