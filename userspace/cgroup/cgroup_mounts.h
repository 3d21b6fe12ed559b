/* SPDX-License-Identifier: MIT */
/*
 * Where the cgroup hierarchies of this machine are: v1 (one for each controller), v2 (one for all)
 * or both, as systemd's hybrid layout has it. What is mounted is read from /proc/self/mountinfo
 * (proc_pid_mountinfo(5)), a process's cgroups from /proc/PID/cgroup (cgroups(7)).
 */
#ifndef DOZE_CGROUP_MOUNTS_H
#define DOZE_CGROUP_MOUNTS_H

#include <limits.h>

#include "cgroup/cgroup_file.h"

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
 * What this machine has mounted at the directory under, or below it; "/": all. For each control v1
 * where it is mounted, else v2. Logs its errors, -errno.
 */
int cgroup_mounts_find(struct cgroup_mounts *out, const char *under);

/* The same from the text of mountinfo, whether or not v2 has a cpu controller. */
void cgroup_mounts_parse(struct cgroup_mounts *out, const char *mountinfo, const char *under);

/*
 * A process's path in a hierarchy, from the text of /proc/PID/cgroup. For v2 control does not
 * matter. -ENOENT when the text does not name the hierarchy, -ENAMETOOLONG.
 */
int cgroup_mounts_path(char out[PATH_MAX], const char *text, int version,
		       enum cgroup_control control);

/* The directory of that path. -EXDEV when only another part of the hierarchy is mounted. */
int cgroup_mounts_dir(struct cgroup_dir *out, const struct cgroup_mount *mount, const char *path);

/* Whether path is that directory, or below it. */
bool cgroup_mounts_is_within(const char *path, const char *dir);

/* The name of the controller on v1. */
const char *cgroup_mounts_name(enum cgroup_control control);

#endif
