/* SPDX-License-Identifier: MIT */
/*
 * What full means for the cgroups of a pod, as the text of a state file. Pure.
 *
 *   {"version":1,"pod":{"quota":"100000 100000","weight":"39"},
 *    "containers":{"app":{"id":"0123...","quota":"20000 100000","weight":"39","burst":"9000"}}}
 */
#ifndef DOZE_POD_CGROUPS_TEXT_H
#define DOZE_POD_CGROUPS_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "cgroup/cgroup_mounts.h"
#include "cgroup/pod_place.h"

#define POD_CGROUPS_NAME_MAX 64

/* What is not known, or not there, is "". */
struct pod_cgroups_size {
	char quota[CGROUP_QUOTA_TEXT_MAX];
	char weight[CGROUP_WEIGHT_TEXT_MAX];
	char burst[CGROUP_BURST_TEXT_MAX];
};

/* One cgroup of a pod. */
struct pod_cgroup {
	char name[POD_CGROUPS_NAME_MAX]; /* of the container; "": the pod */
	char id[POD_PLACE_ID_MAX];
	struct cgroup_dir dirs[CGROUP_CONTROLS];
	struct pod_cgroups_size full;
	char asleep[CGROUP_QUOTA_TEXT_MAX];
	char expected[CGROUP_QUOTA_TEXT_MAX]; /* what the kubelet will write */
};

/* The caller free()s the text. NULL: no memory. */
char *pod_cgroups_text_format(const struct pod_cgroup *all, size_t len);

/*
 * Fills in the full sizes, by the names. -ENOENT: some are not in the text, or have another id now;
 * what it says of those of the same name is taken. -EINVAL: it is no such text.
 */
int pod_cgroups_text_parse(struct pod_cgroup *all, size_t len, const char *text);

/* A container of the text, and its id. Not 0: fn is not called again. */
typedef int (*pod_cgroups_text_fn)(void *arg, const char *name, const char *id);

/* Calls fn for each container that has an id. What fn returned, or -EINVAL: it is no such text. */
int pod_cgroups_text_each(const char *text, pod_cgroups_text_fn fn, void *arg);

/* Whether the text names that container: 1, 0, or -EINVAL. */
int pod_cgroups_text_has(const char *text, const char *name);

#endif
