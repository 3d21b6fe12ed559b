// SPDX-License-Identifier: MIT
/* Asks rtnetlink(7) for filters: libbpf can look up one by its handle, but not list them. */
#include "gate/clsact.h"

#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

#include "base/netlink.h"

static int clsact_on_filter(const struct nlmsghdr *message, void *arg)
{
	bool *has_filter = arg;

	(void)message;
	*has_filter = true;
	return MNL_CB_STOP;
}

static bool clsact_has_filter(unsigned int ifindex, unsigned int direction)
{
	const struct tcmsg wanted = {
		.tcm_ifindex = (int)ifindex,
		.tcm_parent = TC_H_MAKE(TC_H_CLSACT, direction),
	};
	bool has_filter = false;
	int r = netlink_dump(RTM_GETTFILTER, &wanted, sizeof(wanted), clsact_on_filter,
			     &has_filter);

	return has_filter || r < 0;
}

bool clsact_has_filters(unsigned int ifindex)
{
	return clsact_has_filter(ifindex, TC_H_MIN_INGRESS) ||
	       clsact_has_filter(ifindex, TC_H_MIN_EGRESS);
}
