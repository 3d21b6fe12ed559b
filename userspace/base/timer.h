/* SPDX-License-Identifier: MIT */
/* An event of libevent that is due after a time in nanoseconds, once. */
#ifndef DOZE_TIMER_H
#define DOZE_TIMER_H

#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct timer;

/* Called from the loop; may start its timer again, and may free it. */
typedef void (*timer_fn)(void *arg);

/* The caller owns it, and frees it before the base. NULL: no memory. */
struct timer *timer_new(struct event_base *base, timer_fn fn, void *arg);
void timer_free(struct timer **t);

/*
 * Rounded up to microseconds. libevent's clock may lag some milliseconds, so the timer may be that
 * early: who acts on a deadline looks at the clock again. A pending timer starts afresh.
 */
void timer_in_ns(struct timer *t, uint64_t ns);
void timer_stop(struct timer *t);
bool timer_is_pending(const struct timer *t);

#endif
