// SPDX-License-Identifier: MIT
/* The only place where nanoseconds become a struct timeval of libevent. */
#include "base/timer.h"

#include <event2/event.h>
#include <stdlib.h>

#include "base/util.h"

struct timer {
	struct event *event;
	timer_fn fn;
	void *arg;
};

static void timer_on_event(evutil_socket_t fd, short what, void *arg)
{
	struct timer *t = arg;

	(void)fd;
	(void)what;
	t->fn(t->arg); /* t may be freed now */
}

struct timer *timer_new(struct event_base *base, timer_fn fn, void *arg)
{
	_cleanup_(timer_free) struct timer *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	*t = (struct timer){ .fn = fn, .arg = arg };
	t->event = evtimer_new(base, timer_on_event, t);
	return t->event ? TAKE_PTR(t) : NULL;
}

void timer_free(struct timer **t)
{
	if (*t && (*t)->event)
		event_free((*t)->event);
	free(*t);
	*t = NULL;
}

void timer_in_ns(struct timer *t, uint64_t ns)
{
	uint64_t us = ns / NS_PER_US + (ns % NS_PER_US != 0);
	const struct timeval in = {
		.tv_sec = (time_t)(us / 1000000),
		.tv_usec = (suseconds_t)(us % 1000000),
	};

	event_add(t->event, &in);
}

void timer_stop(struct timer *t)
{
	event_del(t->event);
}

bool timer_is_pending(const struct timer *t)
{
	return event_pending(t->event, EV_TIMEOUT, NULL);
}
