/* SPDX-License-Identifier: MIT */
/*
 * The cgroups of a pod that sleeps: its own, which bounds the CPU of all its containers, and those
 * of the containers that are put to sleep. What the kubelet has written there is read, and
 * overwritten at once where an API server would take its time.
 *
 * The kubelet does not compare a running container's cgroup with what it has written itself: it
 * writes again with a resize only (k8s.io/kubernetes pkg/kubelet/kuberuntime, and its KEP 1287).
 */
#ifndef DOZE_POD_CGROUPS_H
#define DOZE_POD_CGROUPS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "cgroup.h"

struct pod_cgroups;

/* The caller owns *out; mounts is borrowed. -ENOMEM. */
int pod_cgroups_new(struct pod_cgroups **out, const struct cgroup_mounts *mounts,
		    uint32_t asleep_millicpu);
void pod_cgroups_free(struct pod_cgroups **p);

/*
 * One more container, by its id without the runtime's name (pod_place.h), and with the first the
 * pod. -ENOENT: there is no such cgroup; -ENODEV: no cpu controller. Logs nothing.
 */
int pod_cgroups_add(struct pod_cgroups *p, const char *id);

/* A process of the containers; -ESRCH: there is none. */
pid_t pod_cgroups_process(const struct pod_cgroups *p);

/* What is there now is the full size. Logs its errors, -errno. */
int pod_cgroups_take_full(struct pod_cgroups *p);

/* Whether all containers are throttled or frozen; whether all quotas are the full ones, thawed. */
bool pod_cgroups_are_asleep(const struct pod_cgroups *p);
bool pod_cgroups_are_full(const struct pod_cgroups *p);

/*
 * Thaws, then gives the quotas back, the pod's first: a container's counts as far as its pod's
 * allows, and cgroup v1 refuses one that is larger. A cgroup that is gone is no error. Logs its
 * errors, and returns the first, -errno.
 */
int pod_cgroups_set_full(struct pod_cgroups *p);

/* Each container that is not throttled yet. Logs its errors, -errno. */
int pod_cgroups_throttle(struct pod_cgroups *p);

/* Asks the kernel to freeze them, which takes it a while; thaws at once. -ENODEV: no freezer. */
int pod_cgroups_freeze(struct pod_cgroups *p);
bool pod_cgroups_are_frozen(const struct pod_cgroups *p);
int pod_cgroups_thaw(struct pod_cgroups *p);

/* The CPU time of the containers. -errno, not logged. */
int pod_cgroups_usage_us(const struct pod_cgroups *p, uint64_t *out);

/* The containers' directories in cgroup v2, for their memory; NULL behind the last, or on v1. */
const char *pod_cgroups_memory_dir(const struct pod_cgroups *p, size_t i);

/*
 * What full means, as text to be kept, and back: the quotas of the same cgroups. The caller free()s
 * the text. -ENOENT: it is of other cgroups; -EINVAL: it is no such text.
 */
char *pod_cgroups_format(const struct pod_cgroups *p);
int pod_cgroups_parse(struct pod_cgroups *p, const char *text);

#endif
