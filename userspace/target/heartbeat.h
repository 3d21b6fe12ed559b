/* SPDX-License-Identifier: MIT */
/*
 * The sign of life that a closed gate needs (datapath_beat()), and the watchdog: one timer for all
 * targets, once a second, and none while all gates are open.
 */
#ifndef DOZE_HEARTBEAT_H
#define DOZE_HEARTBEAT_H

#include <stdbool.h>

#include "cgroup/watchdog.h"
#include "gate/datapath.h"

struct event_base;
struct heartbeat;

/* Owned by whoever joins; its memory stays in place until it has left. */
struct heartbeat_member {
	/*
	 * Called with each beat; it may leave, or let others leave. was_silent: the beat before was
	 * so long ago that the watchdog may have taken us for dead.
	 */
	void (*beat)(void *arg, bool was_silent);
	void *arg;
	struct heartbeat_member *prev, *next; /* in the heartbeat's list */
	bool has_joined;
};

/* d and watchdog (NULL: none) are borrowed. The caller owns *out. -ENOMEM, logged. */
int heartbeat_new(struct heartbeat **out, struct event_base *base, struct datapath *d,
		  struct watchdog *watchdog);
void heartbeat_free(struct heartbeat **h);

/* Joining beats at once. A second join or leave changes nothing. */
void heartbeat_join(struct heartbeat *h, struct heartbeat_member *m);
void heartbeat_leave(struct heartbeat *h, struct heartbeat_member *m);

#endif
