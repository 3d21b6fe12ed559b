/* SPDX-License-Identifier: MIT */
/* What the kernel would do with a packet, by its own routing tables and rules. */
#ifndef DOZE_NETNS_ROUTE_H
#define DOZE_NETNS_ROUTE_H

#include <stdbool.h>

#include "base/netns.h"
#include "gate.h"

/*
 * Whether a packet of that flow that comes in over the interface is for this machine: its
 * destination is an address of ours, and the kernel takes its source for possible (not our own, not
 * a martian, on its way back by the same interface where rp_filter says so). true as well if the
 * kernel cannot be asked. Addresses that are translated first (DNAT) are another matter.
 */
bool netns_route_is_local(const struct netns *ns, const struct gate_flow *flow, uint32_t ifindex);

#endif
