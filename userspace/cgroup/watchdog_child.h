/* SPDX-License-Identifier: MIT */
/*
 * The other end of cgroup/watchdog.h: what the process does that outlives doze. It collects what
 * undoes a sleep, and writes that when doze has died or is silent.
 */
#ifndef DOZE_WATCHDOG_CHILD_H
#define DOZE_WATCHDOG_CHILD_H

#include <limits.h>
#include <stdbool.h>

#include "cgroup/restores.h"

enum watchdog_kind {
	WATCHDOG_ADD = 'A',    /* a path and a text follow, each ending in NUL */
	WATCHDOG_DROP = 'D',   /* a path follows */
	WATCHDOG_RECORD = 'P', /* a path follows: the record of all that, to be removed with it */
	WATCHDOG_BEAT = 'B',   /* alive, and something sleeps: silence must not last */
	WATCHDOG_REST = 'R',   /* nothing sleeps */
	WATCHDOG_ALIVE = 'L',  /* alive, whether or not something sleeps */
	WATCHDOG_UNDO = 'U',   /* doze lives, but cannot: all is restored at once */
	WATCHDOG_QUIT = 'Q',
};

/* One message is one packet of a SOCK_SEQPACKET pair: it arrives whole or not at all. */
struct watchdog_message {
	char kind;
	char text[PATH_MAX + 256];
};

struct watchdog_child {
	int fd;
	bool is_armed;	/* by WATCHDOG_BEAT, until WATCHDOG_REST */
	bool has_ended; /* doze has: it has said so, or its end of the pair is closed */
	struct restores restores;
	char record[PATH_MAX]; /* "": none */
};

/* Takes one message. If doze has died without WATCHDOG_QUIT, all is restored. */
void watchdog_child_receive(struct watchdog_child *c);

/* It has been silent for WATCHDOG_SILENCE_MS: all is restored, if it is armed. */
void watchdog_child_silence(struct watchdog_child *c);

/* Leaves it with nothing to restore. The fd is the caller's. */
void watchdog_child_clear(struct watchdog_child *c);

/* Until doze has ended. */
void watchdog_child_run(int fd);

#endif
