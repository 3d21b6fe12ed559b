// SPDX-License-Identifier: MIT
/* A list and a timer. */
#include "target/heartbeat.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <utlist.h>

#include "base/log.h"
#include "base/util.h"

struct heart {
	struct datapath *datapath;
	struct watchdog *watchdog;
	struct event *timer;
	struct heart_member *members;
	uint64_t beat_ns; /* the last one */
};

static void heart_beat(struct heart *h)
{
	h->beat_ns = monotonic_ns();
	datapath_beat(h->datapath);
	if (h->watchdog)
		watchdog_beat(h->watchdog);
}

static void heart_on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct heart *h = arg;
	struct heart_member *m, *next;
	bool was_silent = monotonic_ns() - h->beat_ns >= WATCHDOG_SILENCE_MS * NS_PER_MS;

	(void)fd;
	(void)what;
	heart_beat(h);
	/* One that leaves meanwhile still knows who comes after it. */
	DL_FOREACH_SAFE(h->members, m, next)
	{
		if (m->has_joined)
			m->beat(m->arg, was_silent);
	}
}

int heart_new(struct heart **out, struct event_base *base, struct datapath *d,
	      struct watchdog *watchdog)
{
	_cleanup_(heart_free) struct heart *h = calloc(1, sizeof(*h));

	if (!h)
		return log_err(-ENOMEM, "cannot keep the gate closed");
	h->datapath = d;
	h->watchdog = watchdog;
	h->timer = event_new(base, -1, EV_PERSIST, heart_on_timer, h);
	if (!h->timer)
		return log_err(-ENOMEM, "cannot keep the gate closed");
	*out = TAKE_PTR(h);
	return 0;
}

void heart_free(struct heart **h)
{
	if (!*h)
		return;
	if ((*h)->timer)
		event_free((*h)->timer);
	free(*h);
	*h = NULL;
}

void heart_join(struct heart *h, struct heart_member *m)
{
	const struct timeval second = { .tv_sec = 1 };

	heart_beat(h);
	if (m->has_joined)
		return;
	if (!h->members)
		event_add(h->timer, &second);
	m->has_joined = true;
	DL_APPEND(h->members, m);
}

void heart_leave(struct heart *h, struct heart_member *m)
{
	if (!m->has_joined)
		return;
	m->has_joined = false;
	DL_DELETE(h->members, m);
	if (h->members)
		return;
	event_del(h->timer);
	if (h->watchdog)
		watchdog_rest(h->watchdog);
}
