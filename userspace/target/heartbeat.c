// SPDX-License-Identifier: MIT
/* A list and a timer. */
#include "target/heartbeat.h"

#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "base/log.h"
#include "base/timer.h"
#include "base/util.h"

struct heartbeat {
	struct datapath *datapath;
	struct watchdog *watchdog;
	struct timer *timer;
	struct heartbeat_member *members;
	uint64_t beat_ns; /* the last one */
};

static void heartbeat_beat(struct heartbeat *h)
{
	h->beat_ns = monotonic_ns();
	datapath_beat(h->datapath);
	if (h->watchdog)
		watchdog_beat(h->watchdog);
}

static void heartbeat_on_timer(void *arg)
{
	struct heartbeat *h = arg;
	struct heartbeat_member *m, *next;
	bool was_silent = monotonic_ns() - h->beat_ns >= WATCHDOG_SILENCE_MS * NS_PER_MS;

	timer_in_ns(h->timer, NS_PER_S);
	heartbeat_beat(h);
	/* A member that leaves keeps its next, so the walk goes on also from one that has left. */
	DL_FOREACH_SAFE(h->members, m, next)
	{
		if (m->has_joined)
			m->beat(m->arg, was_silent);
	}
}

int heartbeat_new(struct heartbeat **out, struct event_base *base, struct datapath *d,
		  struct watchdog *watchdog)
{
	_cleanup_(heartbeat_free) struct heartbeat *h = calloc(1, sizeof(*h));

	if (!h)
		return log_err(-ENOMEM, "cannot keep the gate closed");
	h->datapath = d;
	h->watchdog = watchdog;
	h->timer = timer_new(base, heartbeat_on_timer, h);
	if (!h->timer)
		return log_err(-ENOMEM, "cannot keep the gate closed");
	*out = TAKE_PTR(h);
	return 0;
}

void heartbeat_free(struct heartbeat **h)
{
	if (!*h)
		return;
	timer_free(&(*h)->timer);
	free(*h);
	*h = NULL;
}

void heartbeat_join(struct heartbeat *h, struct heartbeat_member *m)
{
	heartbeat_beat(h);
	if (m->has_joined)
		return;
	if (!h->members)
		timer_in_ns(h->timer, NS_PER_S);
	m->has_joined = true;
	DL_APPEND(h->members, m);
}

void heartbeat_leave(struct heartbeat *h, struct heartbeat_member *m)
{
	if (!m->has_joined)
		return;
	m->has_joined = false;
	DL_DELETE(h->members, m);
	if (h->members)
		return;
	timer_stop(h->timer);
	if (h->watchdog)
		watchdog_rest(h->watchdog);
}
