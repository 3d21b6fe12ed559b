/* SPDX-License-Identifier: MIT */
/* Finds, makes and removes the cgroup of a target, v1 and v2. */
#ifndef DOZE_CGROUP_H
#define DOZE_CGROUP_H

#include <stdbool.h>

#include "cgroup/cgroup_mounts.h"

struct cgroup {
	struct cgroup_dir controls[CGROUP_CONTROLS];
	bool is_own; /* we made it: cgroup_remove() removes it */
	int lock_fd; /* held while we live, so that cgroup_sweep() can tell whom to leave alone */
};

#define CGROUP_EMPTY ((struct cgroup){ .lock_fd = -1 })

/* What has to be there. All functions below log their errors and return -errno. */
struct cgroup_needs {
	bool needs_freezer;
	bool needs_cpu; /* else it is taken where it can be */
};

/* A cgroup of our own, doze/run-PID, in each hierarchy. */
int cgroup_create(struct cgroup *out, const struct cgroup_mounts *mounts,
		  const struct cgroup_needs *needs);

/*
 * The cgroup that pid is in. -EINVAL when freezing it would freeze too much: the root cgroup, or
 * one that this process is in as well.
 */
int cgroup_of_pid(struct cgroup *out, const struct cgroup_mounts *mounts,
		  const struct cgroup_needs *needs, pid_t pid);

/* Moves the calling process in; async-signal-safe, for use between fork and exec. */
int cgroup_enter(const struct cgroup *cg);

/* Sends a signal to every process of an own cgroup. */
void cgroup_signal(const struct cgroup *cg, int signal);

/* Removes an own cgroup once it is empty, and frees it; -EBUSY, silently, as long as it is not. */
int cgroup_remove(struct cgroup *cg);

/* Leaves CGROUP_EMPTY; the cgroup itself stays as it is. */
void cgroup_free(struct cgroup *cg);

/* Thaws and removes what a killed doze has left behind. */
void cgroup_sweep(const struct cgroup_mounts *mounts);

#endif
