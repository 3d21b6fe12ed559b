/* SPDX-License-Identifier: MIT */
/*
 * Where the watchdogs of a machine are: a cgroup of their own, doze/watchdogs, in each hierarchy.
 * Whoever kills, freezes or throttles the cgroup that doze was started in does not reach them.
 */
#ifndef DOZE_WATCHDOG_PLACE_H
#define DOZE_WATCHDOG_PLACE_H

/* Moves this process there, where its rights allow it. Logs for debugging alone. */
void watchdog_place_enter(void);

/* Back to where it was; the last one removes the cgroup. */
void watchdog_place_leave(void);

#endif
