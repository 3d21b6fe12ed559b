/* SPDX-License-Identifier: MIT */
/*
 * Whose a port of the node's own network namespace is. The kubelet listens there, and pods of other
 * users do; what a pod says of its ports is no proof. That the listening socket was made in its
 * cgroup (v2), or that a process of it has the socket open, is.
 */
#ifndef DOZE_HOST_PORTS_H
#define DOZE_HOST_PORTS_H

#include <stddef.h>

#include "base/netns.h"
#include "target/target.h"

#define HOST_PORTS_ERROR_MAX 512

/*
 * Whether processes in the cgroup directory pod_dir, or in those below it, listen on each of these
 * ports of ns, and nobody else. 0: yes. Else a sentence in error that quotes the port:
 * -EADDRNOTAVAIL: nobody listens there; -EADDRINUSE: somebody else does; -errno: it cannot be told.
 */
int host_ports_check(const struct netns *ns, const char *pod_dir, const struct target_port *ports,
		     size_t ports_len, char error[HOST_PORTS_ERROR_MAX]);

#endif
