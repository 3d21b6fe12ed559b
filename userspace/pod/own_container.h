/* SPDX-License-Identifier: MIT */
/*
 * The name of the container that this process runs in. Its cgroup would have the container's id,
 * but in a cgroup namespace, which every runtime makes, it is "/". The kubelet mounts a file of
 * each container into it, for the termination message, and the path of that file has the name:
 *
 *   /var/lib/kubelet/pods/UID/containers/NAME/0123abcd -> /dev/termination-log
 *
 * Pure.
 */
#ifndef DOZE_OWN_CONTAINER_H
#define DOZE_OWN_CONTAINER_H

#include <stdbool.h>

#define OWN_CONTAINER_NAME_MAX 64 /* a DNS label, and its end */

/* mounts is /proc/self/mountinfo (proc_pid_mountinfo(5)). False, and out is "": no such mount. */
bool own_container_find(const char *mounts, char out[OWN_CONTAINER_NAME_MAX]);

#endif
