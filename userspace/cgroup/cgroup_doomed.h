/* SPDX-License-Identifier: MIT */
/*
 * Processes that end as soon as they are thawed: on cgroup v1 a SIGKILL waits while its process is
 * frozen. Their sockets still listen at the moment of the thaw, so a readiness probe would be
 * answered by a process that is about to die, and the client's SYN would go to it.
 */
#ifndef DOZE_CGROUP_DOOMED_H
#define DOZE_CGROUP_DOOMED_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Those of the cgroup in dir, at most max. Returns how many; 0 when nothing can be read. */
size_t cgroup_doomed_find(const char *dir, pid_t *out, size_t max);

/*
 * Whether a signal waits for a process of the cgroup by which one is asked to end, such as the
 * kubelet's when an eviction or a failed liveness probe ends a container: frozen, it cannot.
 */
bool cgroup_doomed_is_told_to_end(const char *dir);

/* Whether all of them have ended, as far as their sockets are concerned. */
bool cgroup_doomed_are_gone(const pid_t *pids, size_t len);

#endif
