// SPDX-License-Identifier: MIT
/* RTM_GETROUTE with RTA_IIF: the kernel routes a made-up packet as one that has come in. */
#include "base/netns_route.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "base/address.h"
#include "base/log.h"
#include "base/netlink.h"

static int netns_route_on_answer(const struct nlmsghdr *message, void *arg)
{
	const struct rtmsg *route = mnl_nlmsg_get_payload(message);

	if (mnl_nlmsg_get_payload_len(message) >= sizeof(*route))
		*(bool *)arg = route->rtm_type == RTN_LOCAL;
	return MNL_CB_OK;
}

/* The errors by which the kernel says that it would not take the packet. */
static bool netns_route_is_refusal(int r)
{
	return r == -EINVAL || r == -EXDEV || r == -EHOSTUNREACH || r == -ENETUNREACH ||
	       r == -EACCES;
}

static int netns_route_ask(const struct gate_flow *flow, uint32_t ifindex, bool *is_local)
{
	_Alignas(struct nlmsghdr) char buffer[256];
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	bool is_ipv4 = address_is_ipv4(&flow->daddr);
	size_t len = is_ipv4 ? 4 : 16;
	struct rtmsg *route;

	request->nlmsg_type = RTM_GETROUTE;
	route = mnl_nlmsg_put_extra_header(request, sizeof(*route));
	route->rtm_family = is_ipv4 ? AF_INET : AF_INET6;
	route->rtm_dst_len = route->rtm_src_len = (uint8_t)(8 * len);
	mnl_attr_put(request, RTA_DST, len, flow->daddr.bytes + sizeof(flow->daddr.bytes) - len);
	mnl_attr_put(request, RTA_SRC, len, flow->saddr.bytes + sizeof(flow->saddr.bytes) - len);
	mnl_attr_put_u32(request, RTA_IIF, ifindex);
	return netlink_get(NETLINK_ROUTE, request, netns_route_on_answer, is_local);
}

bool netns_route_is_local(const struct netns *ns, const struct gate_flow *flow, uint32_t ifindex)
{
	bool is_local = true;
	int r = netns_enter(ns);

	if (r < 0)
		return true;
	r = netns_route_ask(flow, ifindex, &is_local);
	netns_leave(ns);
	if (netns_route_is_refusal(r))
		return false;
	if (r < 0)
		log_debug("the kernel cannot be asked for a route", "errno=%d", -r);
	return is_local;
}
