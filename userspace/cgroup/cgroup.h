/* SPDX-License-Identifier: MIT */
/*
 * Where the control files of a target are: cgroup v1 (a hierarchy for each controller), v2 (one
 * for all) or both, as systemd's hybrid layout has it. What is mounted is read from
 * /proc/self/mountinfo (proc_pid_mountinfo(5)), a process's cgroups from /proc/PID/cgroup
 * (cgroups(7)).
 */
#ifndef DOZE_CGROUP_H
#define DOZE_CGROUP_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* What we want of a cgroup. On v2 all three are one directory. */
enum cgroup_control {
	CGROUP_FREEZER,
	CGROUP_CPU,   /* the quota */
	CGROUP_USAGE, /* the CPU time used */
	CGROUP_CONTROLS,
};

struct cgroup_mount {
	int version;	      /* 1, 2; 0: not mounted */
	char root[PATH_MAX];  /* which part of the hierarchy is mounted, "/" for all of it */
	char point[PATH_MAX]; /* where */
};

struct cgroup_mounts {
	struct cgroup_mount controls[CGROUP_CONTROLS];
};

/*
 * Pure: the hierarchy for each control; v1 where it is mounted, else v2. Of what is mounted at the
 * directory under, or below it; "/": all.
 */
void cgroup_parse_mountinfo(struct cgroup_mounts *out, const char *mountinfo, const char *under);

/*
 * Pure: a process's path in a hierarchy, from the text of /proc/PID/cgroup. For v2 control does
 * not matter. -ENOENT when the text does not name the hierarchy, -ENAMETOOLONG.
 */
int cgroup_parse_path(char out[PATH_MAX], const char *text, int version,
		      enum cgroup_control control);

struct cgroup {
	struct {
		int version; /* 0: not to be had */
		char dir[PATH_MAX];
	} controls[CGROUP_CONTROLS];
	bool is_own; /* we made it: cgroup_remove() removes it */
	int lock_fd; /* held while we live, so that cgroup_sweep() can tell whom to leave alone */
};

#define CGROUP_EMPTY ((struct cgroup){ .lock_fd = -1 })

/* needs_*: fail without it. All functions below log their errors and return -errno. */
struct cgroup_needs {
	bool needs_freezer;
	bool needs_cpu;
};

/* What this machine has, mounted below under. -errno when it cannot be read. */
int cgroup_find_mounts(struct cgroup_mounts *out, const char *under);

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

/* Sends a signal to every process of an own cgroup; returns how many there were. */
int cgroup_signal(const struct cgroup *cg, int signal);

/* Removes an own cgroup once it is empty; -EBUSY, silently, as long as it is not. */
int cgroup_remove(struct cgroup *cg);

/* Thaws and removes what a killed doze has left behind. */
void cgroup_sweep(const struct cgroup_mounts *mounts);

/* Writes text to file in the directory of control. */
int cgroup_write(const struct cgroup *cg, enum cgroup_control control, const char *file,
		 const char *text);

/* The CPU time used since the cgroup was made. */
int cgroup_usage_us(const struct cgroup *cg, uint64_t *out);

#endif
