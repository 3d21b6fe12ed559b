// SPDX-License-Identifier: MIT
#include "gate/clsact.h"

#include <errno.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

#include "base/log.h"
#include "base/netlink.h"

/* tc runs filters in the order of their priority, and ours shall be the first. */
#define CLSACT_PRIORITY 1

static int clsact_on_filter(const struct nlmsghdr *message, void *arg)
{
	bool *has_filter = arg;

	(void)message;
	*has_filter = true;
	return MNL_CB_STOP;
}

/*
 * Whether anybody has a filter there; true when in doubt. libbpf can look up one by its handle,
 * but it cannot list them.
 */
static bool clsact_has_filter(unsigned int ifindex, unsigned int direction)
{
	const struct tcmsg wanted = {
		.tcm_ifindex = (int)ifindex,
		.tcm_parent = TC_H_MAKE(TC_H_CLSACT, direction),
	};
	bool has_filter = false;
	int r = netlink_dump(NETLINK_ROUTE, RTM_GETTFILTER, &wanted, sizeof(wanted),
			     clsact_on_filter, &has_filter);

	return has_filter || r < 0;
}

static bool clsact_has_filters(const struct clsact *c)
{
	return clsact_has_filter(c->ifindex, TC_H_MIN_INGRESS) ||
	       clsact_has_filter(c->ifindex, TC_H_MIN_EGRESS);
}

static bool clsact_remove_filter(const struct clsact *c, enum bpf_tc_attach_point point)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)c->ifindex, .attach_point = point);
	LIBBPF_OPTS(bpf_tc_opts, options, .handle = c->handle, .priority = CLSACT_PRIORITY);

	return bpf_tc_detach(&hook, &options) == 0;
}

/* A filter with our handle that we did not attach is of a doze that was killed. */
static bool clsact_remove_leftovers(const struct clsact *c)
{
	bool had_sent = clsact_remove_filter(c, BPF_TC_EGRESS);
	bool had_gate = clsact_remove_filter(c, BPF_TC_INGRESS);

	if (had_gate || had_sent)
		log_warn("removed the filter of a killed doze", "ifindex=%u", c->ifindex);
	return had_gate || had_sent;
}

int clsact_attach(struct clsact *c, enum bpf_tc_attach_point point,
		  const struct bpf_program *program)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)c->ifindex, .attach_point = point);
	LIBBPF_OPTS(bpf_tc_opts, options, .handle = c->handle, .priority = CLSACT_PRIORITY,
		    .prog_fd = bpf_program__fd(program));
	int r = bpf_tc_hook_create(&hook);

	if (r < 0 && r != -EEXIST)
		return r;
	/*
	 * EEXIST: the qdisc is somebody else's, and we leave it to them; unless all that it held
	 * was the filter of a killed doze, which then had made it.
	 */
	if (r == 0)
		c->made_qdisc = true;
	else if (!c->points)
		c->made_qdisc = clsact_remove_leftovers(c) && !clsact_has_filters(c);
	r = bpf_tc_attach(&hook, &options);
	if (r == 0) {
		c->handle = options.handle;
		c->points |= point;
	} else if (!c->points) {
		clsact_detach(c);
	}
	return r;
}

void clsact_detach(struct clsact *c)
{
	/* Both points: libbpf takes that to mean the qdisc itself. */
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)c->ifindex,
		    .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);

	if (c->points & BPF_TC_INGRESS)
		clsact_remove_filter(c, BPF_TC_INGRESS);
	if (c->points & BPF_TC_EGRESS)
		clsact_remove_filter(c, BPF_TC_EGRESS);
	/* Others may have come since, and their filters would go with the qdisc. */
	if (c->made_qdisc && !clsact_has_filters(c))
		bpf_tc_hook_destroy(&hook);
	c->points = 0;
	c->made_qdisc = false;
}
