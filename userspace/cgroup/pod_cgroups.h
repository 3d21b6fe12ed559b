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

#include "cgroup/cgroup_mounts.h"

struct pod_cgroups;
struct watchdog;

/* The caller owns *out; mounts is borrowed. -ENOMEM. */
int pod_cgroups_new(struct pod_cgroups **out, const struct cgroup_mounts *mounts,
		    uint32_t asleep_millicpu);
void pod_cgroups_free(struct pod_cgroups **p);

/* Should we die, w thaws what is frozen: it answers then, slowly. Borrowed; it outlives p. */
void pod_cgroups_watch(struct pod_cgroups *p, struct watchdog *w);

/*
 * Adds a container, by its name and its id without the runtime's name (cgroup/pod_place.h); the
 * first brings the pod's own cgroup along. -ENOENT: there is no such cgroup; -ENODEV: no cpu
 * controller. Logs nothing.
 */
int pod_cgroups_add(struct pod_cgroups *p, const char *name, const char *id);

/*
 * Adds a container that has no cgroup now: pod_cgroups_follow() finds it when it comes back. Not
 * before a first one was added. -ENOMEM.
 */
int pod_cgroups_add_gone(struct pod_cgroups *p, const char *name);

/*
 * Adds the containers of which a text tells (cgroup/pod_cgroups_text.h), as far as they are still
 * there. -ENOENT: none is; -EINVAL: it is no such text; else as pod_cgroups_add().
 */
int pod_cgroups_add_kept(struct pod_cgroups *p, const char *text);

/*
 * The container of that name runs with this id. Another id than before means that it was started
 * anew, in another cgroup, which then takes the old one's place; its full size is what it was.
 * Returns 1 if it was started anew, 0 if not, or if no container of that name was added; else
 * -errno as for pod_cgroups_add().
 */
int pod_cgroups_follow(struct pod_cgroups *p, const char *name, const char *id);

/* A process of the containers; -ESRCH: there is none. */
pid_t pod_cgroups_process(const struct pod_cgroups *p);

/* Takes what the cgroups have now for the full size. Logs its errors, -errno. */
int pod_cgroups_take_full(struct pod_cgroups *p);

/*
 * Where the full quota of a container, or of the pod (name NULL), is not known: makes it of the
 * limit in its spec; negative: no limit.
 */
void pod_cgroups_derive_full(struct pod_cgroups *p, const char *name, int64_t limit_millicpu);

/* The next container from *i on whose full quota is not known; *i moves behind it. Or NULL. */
const char *pod_cgroups_unknown(const struct pod_cgroups *p, size_t *i);

/* The kubelet will write this limit of a container: the API server was asked for it at a wake. */
void pod_cgroups_expect(struct pod_cgroups *p, const char *name, int64_t limit_millicpu);

/*
 * While the kubelet may be writing: a size that is larger than the full one is the full size from
 * now on, and so is one that was expected. is_over: it writes no more, so what was expected and is
 * larger is full although it is not there.
 */
void pod_cgroups_learn_full(struct pod_cgroups *p, bool is_over);

/* Whether all containers, or that container, are throttled or frozen. */
bool pod_cgroups_are_asleep(const struct pod_cgroups *p);
bool pod_cgroups_is_asleep(const struct pod_cgroups *p, const char *name);

/*
 * Whether a container that was put to sleep has another quota now, or, if all were frozen, is
 * thawed. One that is gone has not.
 */
bool pod_cgroups_are_undone(const struct pod_cgroups *p, bool were_frozen);

/* Whether all are thawed, and no quota and no weight is less than full. */
bool pod_cgroups_are_full(const struct pod_cgroups *p);

/*
 * Thaws, then gives quotas and weights back. The pod's come first: they bound the containers', and
 * cgroup v1 refuses a container a quota that is larger than its pod's. What is larger than full is
 * left as it is, and is learned. A cgroup that is gone is no error. Logs its errors, and returns
 * the first, -errno.
 */
int pod_cgroups_set_full(struct pod_cgroups *p);

/*
 * Before anybody makes a quota smaller, as the kubelet does: the kernel refuses one that is less
 * than the burst. pod_cgroups_set_full() gives it back.
 */
void pod_cgroups_drop_bursts(const struct pod_cgroups *p);

/* Each container that is not throttled yet; none gets more than full. Logs its errors, -errno. */
int pod_cgroups_throttle(struct pod_cgroups *p);

/* Asks the kernel to freeze the containers, which takes a while. -ENODEV: no freezer. */
int pod_cgroups_freeze(struct pod_cgroups *p);
bool pod_cgroups_are_frozen(const struct pod_cgroups *p);

/* Whether a container is frozen, or about to be. */
bool pod_cgroups_is_any_freezing(const struct pod_cgroups *p);

/* A process of a container is told to end: see cgroup/cgroup_doomed.h. */
bool pod_cgroups_are_told_to_end(const struct pod_cgroups *p);

/* At once. */
int pod_cgroups_thaw(struct pod_cgroups *p);

/* The CPU time of the containers. -errno, not logged. */
int pod_cgroups_usage_us(const struct pod_cgroups *p, uint64_t *out);

/* For how long the containers have run into their quotas. -errno, not logged. */
int pod_cgroups_throttled_us(const struct pod_cgroups *p, uint64_t *out);

/* The directory of container i in cgroup v2, for its memory; NULL behind the last, or on v1. */
const char *pod_cgroups_memory_dir(const struct pod_cgroups *p, size_t i);

/* What full means, as text to be kept, and back: see cgroup/pod_cgroups_text.h. */
char *pod_cgroups_format(const struct pod_cgroups *p);
int pod_cgroups_parse(struct pod_cgroups *p, const char *text);

#endif
