/* SPDX-License-Identifier: MIT */
/*
 * What doze node keeps of a pod in its state directory, for the next doze. Three files, each of
 * which may be lost, and then the other two tell as far as they can:
 *
 *   UID.pod    the pod itself (kube/kept_pod.h), from when the gate is in front of it
 *   UID.size   what full is in its spec (backend/kube_size.h), from its first sleep
 *   UID.quota  what full is in its cgroups (cgroup/pod_cgroups_text.h), while it is not full
 */
#ifndef DOZE_POD_KEPT_H
#define DOZE_POD_KEPT_H

#include <stdbool.h>

#include "cgroup/cgroup_mounts.h"
#include "kube/kube_pod.h"

#define POD_KEPT_UID_MAX 64

struct pod_kept {
	char uid[POD_KEPT_UID_MAX];
	char *pod_file, *spec_file, *quota_file; /* their paths */
};

/* The uid in a file's name. False: it is no file of a pod. */
bool pod_kept_is_file(const char *file, char uid[POD_KEPT_UID_MAX]);

/* -EINVAL: the uid is none; -ENOMEM. Logs its errors. pod_kept_free() also after a failure. */
int pod_kept_init(struct pod_kept *out, const char *directory, const char *uid);
void pod_kept_free(struct pod_kept *k);

/* Whether the pod was put to sleep, and its full size was not seen since. */
bool pod_kept_has_slept(const struct pod_kept *k);

/* Whether any of the files is there. */
bool pod_kept_is_there(const struct pod_kept *k);

/* Removes all three. */
void pod_kept_drop(const struct pod_kept *k);

/* Writes UID.pod. Logs its errors. */
void pod_kept_write(const struct pod_kept *k, const struct kube_pod *pod);

/* Reads it; the caller frees *out. -ENOENT, or -errno, logged. */
int pod_kept_read(const struct pod_kept *k, struct kube_pod **out);

/*
 * Gives the cgroups their full size, by UID.quota alone. -ENOENT: there is no such file, or no such
 * container; -EINVAL: it cannot be read; -errno.
 */
int pod_kept_fill(const struct pod_kept *k, const struct cgroup_mounts *mounts);

#endif
