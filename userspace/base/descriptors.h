/* SPDX-License-Identifier: MIT */
/*
 * File descriptors may run out: others can make us open one by a connection, and a wake needs some.
 * So the limit is raised, what others cause stops in time, and one descriptor is kept back for
 * base/file.h, by which a target is thawed.
 */
#ifndef DOZE_DESCRIPTORS_H
#define DOZE_DESCRIPTORS_H

#include <stdbool.h>

/* Raises RLIMIT_NOFILE to the most that is allowed, and keeps one descriptor back. */
void descriptors_raise(void);

/* In a child, before exec: the limit as it was. The command may rely on it, as select(2) does. */
void descriptors_restore(void);

/* Whether a connection may be accepted: then at least DESCRIPTORS_KEPT are left beside it. */
bool descriptors_have_room(void);
#define DESCRIPTORS_KEPT 128 /* or a quarter of them all, if that is less */

/* Closes the descriptor that is kept back, for one that is about to be opened. false: none is. */
bool descriptors_give(void);

/* Keeps one back again, if there is one. */
void descriptors_keep(void);

#endif
