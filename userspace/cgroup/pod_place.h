/* SPDX-License-Identifier: MIT */
/*
 * Where a container of a pod is on this node: its cgroup and its pod's, whatever the kubelet's
 * cgroup driver (systemd, cgroupfs) and the runtime (containerd, CRI-O) call them, and a process.
 *
 *   kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podUID.slice/cri-containerd-ID.scope
 *   kubepods/burstable/podUID/ID                  kubelet.slice/kubelet-kubepods.slice/...
 *
 * No name is made up: a directory is looked for that has the container's id in its name.
 */
#ifndef DOZE_POD_PLACE_H
#define DOZE_POD_PLACE_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

/* "containerd://0123..." is runtime and id; 64 hexadecimal digits today, never fewer than 12. */
#define POD_PLACE_ID_MAX 128

/* Whether the text can be the id of a container, without the runtime. */
bool pod_place_is_id(const char *text);

/* The id in containerID of a pod's status. -EINVAL: it has no hexadecimal digits, or others. */
int pod_place_id(const char *container_id, char out[POD_PLACE_ID_MAX]);

struct pod_place {
	char container[PATH_MAX];
	char pod[PATH_MAX]; /* the directory above */
};

/*
 * Looks below root, where a hierarchy is mounted (/sys/fs/cgroup, or /sys/fs/cgroup/cpu). -ENOENT:
 * no such container; else -errno. Nothing is logged.
 */
int pod_place_find(struct pod_place *out, const char *root, const char *id);

/* Whether the pod with this uid still has a cgroup below root, whichever driver has named it. */
bool pod_place_has_pod(const char *root, const char *uid);

/* Calls each() for that directory and every one below it, until it returns false. */
void pod_place_each_directory(const char *directory, bool (*each)(void *arg, const char *path),
			      void *arg);

/*
 * Calls each() for every process of our PID namespace in that directory, or in those below, until
 * it returns false.
 */
void pod_place_each_process(const char *directory, bool (*each)(void *arg, pid_t pid), void *arg);

/* The first process in a container's directory, or in those below; -ESRCH: there is none. */
pid_t pod_place_process(const char *container);

#endif
