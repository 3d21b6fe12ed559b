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

#include "cgroup/cgroup.h"

struct pod_cgroups;
struct watchdog;

/* The caller owns *out; mounts is borrowed. -ENOMEM. */
int pod_cgroups_new(struct pod_cgroups **out, const struct cgroup_mounts *mounts,
		    uint32_t asleep_millicpu);
void pod_cgroups_free(struct pod_cgroups **p);

/* w thaws what is frozen, should we die: it answers then, slowly. Borrowed, and outliving p. */
void pod_cgroups_watch(struct pod_cgroups *p, struct watchdog *w);

/*
 * One more container, by its name and its id without the runtime's name (cgroup/pod_place.h), and
 * with the first the pod. -ENOENT: there is no such cgroup; -ENODEV: no cpu controller. Logs
 * nothing.
 */
int pod_cgroups_add(struct pod_cgroups *p, const char *name, const char *id);

/*
 * One that has no cgroup now: pod_cgroups_follow() finds it when it comes back. Behind one that was
 * added. -ENOMEM.
 */
int pod_cgroups_add_gone(struct pod_cgroups *p, const char *name);

/*
 * The container of that name runs with this id: if it is not the one that was added, it was started
 * anew, in another cgroup, which is taken in the old one's place; its full size is what it was. 1:
 * so it is; 0: nothing has changed, or it is none of these; else -errno as for pod_cgroups_add().
 */
int pod_cgroups_follow(struct pod_cgroups *p, const char *name, const char *id);

/* A process of the containers; -ESRCH: there is none. */
pid_t pod_cgroups_process(const struct pod_cgroups *p);

/* What is there now is the full size. Logs its errors, -errno. */
int pod_cgroups_take_full(struct pod_cgroups *p);

/*
 * What the full quota of a container, or of the pod (name NULL), must have been, from the limit in
 * its spec; negative: none. Only where it is not known.
 */
void pod_cgroups_derive_full(struct pod_cgroups *p, const char *name, int64_t limit_millicpu);

/* The next container whose full quota is not known, from *i on, which moves behind it; or NULL. */
const char *pod_cgroups_unknown(const struct pod_cgroups *p, size_t *i);

/*
 * The limit of a container that the API server is asked for when it wakes: the kubelet writes it,
 * sooner or later.
 */
void pod_cgroups_expect(struct pod_cgroups *p, const char *name, int64_t limit_millicpu);

/*
 * While the kubelet may be writing: what is larger than the full size is the full size by now, and
 * so is what was expected. is_over: it will write no more, so that nothing less is full.
 */
void pod_cgroups_learn_full(struct pod_cgroups *p, bool is_over);

/*
 * Whether all containers are throttled or frozen; whether all are thawed, and no quota and no
 * weight is less than full.
 */
bool pod_cgroups_are_asleep(const struct pod_cgroups *p);
bool pod_cgroups_are_full(const struct pod_cgroups *p);

/*
 * Thaws, then gives quotas and weights back, the pod's first: a container's count as far as its
 * pod's allow, and cgroup v1 refuses a quota that is larger. What is larger than full already stays
 * so, and is learned. A cgroup that is gone is no error. Logs its errors, and returns the first,
 * -errno.
 */
int pod_cgroups_set_full(struct pod_cgroups *p);

/* Each container that is not throttled yet, and none to more than full. Logs its errors, -errno. */
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
 * What full means, as text to be kept, and back. The caller free()s the text. Containers are known
 * by their names: -ENOENT: some are not in it, or were started anew since, and what is known of
 * those of the same name is taken; -EINVAL: it is no such text.
 */
char *pod_cgroups_format(const struct pod_cgroups *p);
int pod_cgroups_parse(struct pod_cgroups *p, const char *text);

/*
 * Whether that text names a container, which has this id now ("": none): 1, 0, or -EINVAL. That of
 * an older doze knows it by its id alone.
 */
int pod_cgroups_text_has(const char *text, const char *name, const char *id);

#endif
