// SPDX-License-Identifier: MIT
/* An event of the listening socket, taken off for a moment when nothing can be accepted. */
#include "base/acceptor.h"

#include <errno.h>
#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/descriptors.h"
#include "base/log.h"
#include "base/timer.h"
#include "base/util.h"

#define ACCEPTOR_REST_NS (100 * NS_PER_MS)

struct acceptor {
	struct event *readable;
	struct timer *rested;
	const char *what;
	acceptor_fn accepted;
	void *arg;
	bool is_paused;
	uint64_t said_ns; /* when it was logged last that nothing can be accepted */
};

static void acceptor_rest(struct acceptor *a, int r)
{
	uint64_t now_ns = monotonic_ns();

	event_del(a->readable);
	timer_in_ns(a->rested, ACCEPTOR_REST_NS);
	if (a->said_ns && now_ns - a->said_ns < NS_PER_S)
		return;
	a->said_ns = now_ns;
	log_warn_err(r, "cannot accept %s", a->what);
}

static void acceptor_on_rested(void *arg)
{
	struct acceptor *a = arg;

	if (!a->is_paused)
		event_add(a->readable, NULL);
}

static void acceptor_on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct acceptor *a = arg;

	(void)what;
	/* The event comes again while more wait. */
	for (int turn = 0; turn < ACCEPTOR_TURN_MAX && !a->is_paused; turn++) {
		int accepted = -1, r = -EMFILE;

		if (descriptors_have_room()) {
			accepted = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
			r = -errno;
		}
		if (accepted >= 0) {
			a->accepted(a->arg, accepted);
			continue;
		}
		if (r != -EAGAIN && r != -EINTR && r != -ECONNABORTED)
			acceptor_rest(a, r);
		return;
	}
}

int acceptor_new(struct acceptor **out, struct event_base *base, int listen_fd, const char *what,
		 acceptor_fn accepted, void *arg)
{
	_cleanup_(acceptor_free) struct acceptor *a = calloc(1, sizeof(*a));

	if (!a)
		return -ENOMEM;
	a->what = what;
	a->accepted = accepted;
	a->arg = arg;
	a->rested = timer_new(base, acceptor_on_rested, a);
	a->readable = event_new(base, listen_fd, EV_READ | EV_PERSIST, acceptor_on_readable, a);
	if (!a->rested || !a->readable || event_add(a->readable, NULL) < 0)
		return -ENOMEM;
	*out = TAKE_PTR(a);
	return 0;
}

void acceptor_free(struct acceptor **a)
{
	if (!*a)
		return;
	if ((*a)->readable)
		event_free((*a)->readable);
	timer_free(&(*a)->rested);
	free(*a);
	*a = NULL;
}

void acceptor_pause(struct acceptor *a)
{
	a->is_paused = true;
	event_del(a->readable);
}

void acceptor_resume(struct acceptor *a)
{
	a->is_paused = false;
	if (!timer_is_pending(a->rested))
		event_add(a->readable, NULL);
}
