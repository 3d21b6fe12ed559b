/* SPDX-License-Identifier: MIT */
/*
 * The place of one target: its network namespace, its ports locked, the gate attached to the
 * interfaces there. Opened in two steps, because the backend may be made in between.
 */
#ifndef DOZE_TARGET_SEAT_H
#define DOZE_TARGET_SEAT_H

#include "base/netns.h"
#include "gate/interfaces.h"
#include "target/daemon.h"

#define TARGET_SEAT_PORTS_MAX 64

struct target_seat_settings {
	pid_t netns_pid;		 /* the namespace of this process; 0: our own */
	const struct target_port *ports; /* borrowed */
	size_t ports_len;
};

struct target_seat {
	struct daemon *daemon;
	struct netns ns;
	struct replay *replay;
	struct target *target; /* NULL: the seat is not open, or not all of it */
	struct interfaces *interfaces;
	uint32_t id; /* of the target */
	bool has_udp;
	int portlock_fds[TARGET_SEAT_PORTS_MAX];
	size_t portlocks_len;
};

#define TARGET_SEAT_CLOSED                                                                         \
	{                                                                                          \
		.ns = {.fd = -1, .home_fd = -1, .is_home = true }                                  \
	}

/*
 * Both steps log their errors, -errno; after a failure target_seat_close() undoes what was done. d
 * is borrowed.
 */
int target_seat_open(struct target_seat *s, struct daemon *d,
		     const struct target_seat_settings *settings);

struct target_seat_target {
	struct backend *backend;		/* borrowed */
	struct wake_queue *wakes;		/* borrowed; NULL: nobody waits */
	const struct target_settings *settings; /* its id is ignored: the seat chooses one */
	const char *const *interfaces;		/* none: every one with an address; borrowed */
	size_t interfaces_len;
};

/* The target, then the gate attached. */
int target_seat_open_target(struct target_seat *s, const struct target_seat_target *what);

/* Wakes the target, unless it was stopped or abandoned before, and detaches the gate. */
void target_seat_close(struct target_seat *s);

#endif
