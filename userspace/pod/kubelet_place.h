/* SPDX-License-Identifier: MIT */
/*
 * Where the kubelet is on this node: its process, and the cgroup (v2) that it has for itself. One
 * that runs inside a pod, as of k3s or a virtual cluster, is not this node's.
 */
#ifndef DOZE_KUBELET_PLACE_H
#define DOZE_KUBELET_PLACE_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

struct kubelet_place {
	char directory[PATH_MAX];
	pid_t pid;
};

/*
 * The kubelet, or the process that has it in itself (k3s, microk8s), below root, where the node's
 * cgroups are mounted; proc is /proc. -EOPNOTSUPP: no cgroup v2. -ENOENT: no such process.
 * -ENOTUNIQ: its cgroup has all processes of the machine in it, or those of the pods. Logs nothing.
 */
int kubelet_place_find(struct kubelet_place *out, const char *proc, const char *root);

/* Whether the process is in that cgroup: not below it, and not dead. */
bool kubelet_place_has(const char *directory, pid_t pid);

#endif
