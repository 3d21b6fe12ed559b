/* SPDX-License-Identifier: MIT */
/*
 * The control files of one cgroup, of either version: the CPU quota, its weight among others where
 * CPU is scarce, and the freezer.
 *   v1: Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst, scheduler/sched-bwc.rst
 *   v2: Documentation/admin-guide/cgroup-v2.rst, "cgroup.freeze", "cpu.max", "cpu.weight"
 *
 * dir is the cgroup's directory in the hierarchy of the controller, version that hierarchy's. All
 * return -errno as the kernel's file gives it, and log nothing.
 */
#ifndef DOZE_CGROUP_FILE_H
#define DOZE_CGROUP_FILE_H

#include <stdbool.h>
#include <stdint.h>

#define CGROUP_QUOTA_TEXT_MAX  64
#define CGROUP_WEIGHT_TEXT_MAX 24

/* The names of the files, and what thaws. */
const char *cgroup_quota_file(int version);
const char *cgroup_freezer_file(int version);
const char *cgroup_freezer_thawed(int version);

/* The quota as the file has it: "max 100000", or "-1" on v1. */
int cgroup_quota_read(const char *dir, int version, char out[CGROUP_QUOTA_TEXT_MAX]);
int cgroup_quota_write(const char *dir, int version, const char *text);

/*
 * What to write for so much CPU, in the period that is set, at least the kernel's smallest quota
 * (1 ms, kernel/sched/core.c: min_cfs_quota_period); negative: without bounds. -EINVAL: no period
 * can be read.
 */
int cgroup_quota_of(const char *dir, int version, int64_t millicpu,
		    char out[CGROUP_QUOTA_TEXT_MAX]);

/* Pure: whether that quota is more CPU than the other; false as well where either is none. */
bool cgroup_quota_is_larger(int version, const char *quota, const char *than);

/* cpu.weight, or cpu.shares on v1. */
int cgroup_weight_read(const char *dir, int version, char out[CGROUP_WEIGHT_TEXT_MAX]);
int cgroup_weight_write(const char *dir, int version, const char *text);

int cgroup_freezer_write(const char *dir, int version, bool is_frozen);

/* Whether all of its tasks are frozen by now; false as well if that cannot be read. */
bool cgroup_freezer_is_done(const char *dir, int version);

/* Whether it is to be frozen, as the file says. */
bool cgroup_freezer_is_asked(const char *dir, int version);

#endif
