/* SPDX-License-Identifier: MIT */
/*
 * How deep a target sleeps while a client is connected. Pure.
 *
 * It is throttled then: its timers run, and what they send goes out while it sleeps on. When the
 * last client has gone it may be frozen. It is woken when it works for a client, which shows in two
 * things together: it uses up its quota period after period, and it sends.
 */
#ifndef DOZE_DEPTH_H
#define DOZE_DEPTH_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Half of the time from one look to the next, twice in a row, with a look each second. With 10m, a
 * push each second to ten clients uses up 0 to 3 of the ten periods (Node.js, Python, Java; Java
 * all ten at times, but not in the next second). Work uses up all of them, second after second.
 */
#define DEPTH_WORK_PERCENT 50
#define DEPTH_WORK_LOOKS   2

enum depth_advice {
	DEPTH_THROTTLE, /* as it is */
	DEPTH_FREEZE,	/* nobody is connected any more */
	DEPTH_WAKE,	/* it works for a client */
};

struct depth_look {
	uint64_t now_ns;
	bool is_connected;	/* a client is */
	uint64_t since_sent_ms; /* data to any of them; UINT64_MAX: never */
	uint64_t throttled_us;	/* of all time; 0 where that is not known */
};

struct depth {
	uint64_t looked_ns;
	uint64_t throttled_us; /* at that look */
	unsigned int looks;    /* in a row at which it had used up its quota */
	uint64_t work_ns;      /* when that began */
};

/* It falls asleep. */
void depth_begin(struct depth *d, uint64_t now_ns, uint64_t throttled_us);

/* It is still asleep. Looks come once a second, or less often. */
enum depth_advice depth_step(struct depth *d, const struct depth_look *look);

#endif
