/* SPDX-License-Identifier: MIT */
/*
 * The default gateways of a network namespace. In a pod the kubelet's probes come from one of them
 * with most network plugins: it is the node's end of the pod's link.
 */
#ifndef DOZE_NETNS_GATEWAYS_H
#define DOZE_NETNS_GATEWAYS_H

#include <stddef.h>

#include "base/netns.h"
#include "gate.h"

/*
 * Writes at most max addresses of both families, and returns how many. Link-local gateways are
 * left out: nothing comes from them. Logs its errors; none are found then.
 */
size_t netns_gateways_list(const struct netns *ns, struct gate_addr *out, size_t max);

#endif
