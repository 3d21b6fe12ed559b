/* SPDX-License-Identifier: MIT */
/*
 * The control files of one cgroup, of either version: its processes, the CPU quota, its weight
 * among others where CPU is scarce, the CPU time used, and the freezer.
 *   v1: Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst, scheduler/sched-bwc.rst
 *   v2: Documentation/admin-guide/cgroup-v2.rst, "cgroup.freeze", "cpu.max", "cpu.weight"
 *
 * All return -errno as the kernel's file gives it, and log nothing.
 */
#ifndef DOZE_CGROUP_FILE_H
#define DOZE_CGROUP_FILE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define CGROUP_QUOTA_TEXT_MAX  64
#define CGROUP_WEIGHT_TEXT_MAX 24
#define CGROUP_BURST_TEXT_MAX  24

/* A cgroup in the hierarchy of one controller. */
struct cgroup_dir {
	int version; /* of the hierarchy: 1, 2; 0: there is none */
	char *path;  /* the owner of the struct free()s it */
};

/* The path of a file of that directory. -ENAMETOOLONG. */
int cgroup_file_path(char out[PATH_MAX], const char *dir, const char *name);

/*
 * The processes of the cgroup in that directory, and how many there are; 0 stands for a process of
 * another PID namespace. The caller free()s *out.
 */
int cgroup_file_pids(pid_t **out, const char *dir);

/* The quota as the file has it: "max 100000", or "-1" on v1. */
int cgroup_file_read_quota(const struct cgroup_dir *dir, char out[CGROUP_QUOTA_TEXT_MAX]);
int cgroup_file_write_quota(const struct cgroup_dir *dir, const char *text);

/*
 * What to write for so much CPU in the period that is set, at least the kernel's smallest quota
 * (1 ms, kernel/sched/core.c: min_cfs_quota_period); negative: without bounds. -EINVAL: no period
 * can be read.
 */
int cgroup_file_format_quota(const struct cgroup_dir *dir, int64_t millicpu,
			     char out[CGROUP_QUOTA_TEXT_MAX]);

/* Whether that quota is more CPU than the other. False if either text is no quota. */
bool cgroup_file_is_larger(int version, const char *quota, const char *than);

/*
 * How much of unused quota may be saved up: cpu.max.burst, or cpu.cfs_burst_us on v1. "" where it
 * is 0, or the kernel has none (5.14). The kernel refuses a quota that is less than the burst, and
 * a burst that is more than the quota: the burst is taken away first, and given back last.
 */
void cgroup_file_read_burst(const struct cgroup_dir *dir, char out[CGROUP_BURST_TEXT_MAX]);
int cgroup_file_write_burst(const struct cgroup_dir *dir, const char *text);

/* cpu.weight, or cpu.shares on v1. */
int cgroup_file_read_weight(const struct cgroup_dir *dir, char out[CGROUP_WEIGHT_TEXT_MAX]);
int cgroup_file_write_weight(const struct cgroup_dir *dir, const char *text);

/* The CPU time used since the cgroup was made. -ENODEV: there is no such hierarchy. */
int cgroup_file_read_usage_us(const struct cgroup_dir *dir, uint64_t *out);

/*
 * For how long, in all, the quota was used up before its period was over; a period counts whole.
 * -ENODEV: there is no such hierarchy; -EINVAL: the kernel does not count.
 */
int cgroup_file_read_throttled_us(const struct cgroup_dir *dir, uint64_t *out);

/* Asks the kernel to freeze all of its tasks, which takes a while, or thaws them at once. */
int cgroup_file_freeze(const struct cgroup_dir *dir, bool is_frozen);

/* Whether all of its tasks are frozen by now. False also if that cannot be read. */
bool cgroup_file_is_frozen(const struct cgroup_dir *dir);

/* Whether the kernel was asked to freeze it. */
bool cgroup_file_is_freezing(const struct cgroup_dir *dir);

/* For somebody who writes the file later: its path, and for the freezer the text that thaws. */
int cgroup_file_quota_path(char out[PATH_MAX], const struct cgroup_dir *dir);
int cgroup_file_burst_path(char out[PATH_MAX], const struct cgroup_dir *dir);
int cgroup_file_freezer_path(char out[PATH_MAX], const struct cgroup_dir *dir);
const char *cgroup_file_thawed(int version);

#endif
