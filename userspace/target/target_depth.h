/* SPDX-License-Identifier: MIT */
/* Looks after a sleeping target as long as a client is connected to it (target/depth.h). */
#ifndef DOZE_TARGET_DEPTH_H
#define DOZE_TARGET_DEPTH_H

#include <stdbool.h>

struct busy_verdict;
struct target;

/* Before its size is made smaller, or when it is found asleep: whether a client is connected. */
void target_depth_begin(struct target *t, bool is_connected);

/* What a look at its connections has shown while it sleeps. It may be woken. */
void target_depth_look(struct target *t, const struct busy_verdict *v);

#endif
