/* SPDX-License-Identifier: MIT */
/*
 * Gives back the memory of a target that has been asleep for a while: memory.reclaim of cgroup v2
 * (kernel 5.19, Documentation/admin-guide/cgroup-v2.rst), a small step at a time, since the write
 * lasts as long as the swap does, and as long as nobody on the machine waits for memory
 * (/proc/pressure/memory). No limit is changed, and nothing is killed.
 *
 * Without swap the kernel can take the page cache alone, and it is not asked for more than that:
 * what a program has allocated stays where it is.
 */
#ifndef DOZE_RECLAIM_H
#define DOZE_RECLAIM_H

#include <stdint.h>

struct event_base;
struct reclaim;

struct reclaim_settings {
	uint64_t after_ns;    /* from reclaim_start() to the first step */
	uint64_t floor_bytes; /* nothing is taken below that */
	const char *name;     /* for the log; borrowed */
};

/* The caller owns *out. -ENOMEM, logged. */
int reclaim_new(struct reclaim **out, struct event_base *base,
		const struct reclaim_settings *settings);
void reclaim_free(struct reclaim **reclaim);

/* One more cgroup, by its directory in cgroup v2. Copied. -ENOMEM; -ENODEV: no memory.reclaim. */
int reclaim_add(struct reclaim *reclaim, const char *dir);

/* The target sleeps; it wakes, and nothing more is taken. */
void reclaim_start(struct reclaim *reclaim);
void reclaim_stop(struct reclaim *reclaim);

/* What has been given back so far, in all of its sleeps. */
uint64_t reclaim_total_bytes(const struct reclaim *reclaim);

/* How long to wait after a step that took so long: the rest of the daemon has waited for it. */
uint64_t reclaim_pause_ns(uint64_t took_ns);

#endif
