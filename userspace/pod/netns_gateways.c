// SPDX-License-Identifier: MIT
/* Asks rtnetlink(7) for the routes, and keeps those to everywhere. */
#include "pod/netns_gateways.h"

#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

#include "base/address.h"
#include "base/log.h"
#include "base/netlink.h"
#include "base/util.h"

struct netns_gateways {
	struct gate_addr *out;
	size_t len, max;
};

static bool netns_gateways_is_link_local(uint8_t family, const uint8_t *bytes)
{
	if (family == AF_INET)
		return bytes[0] == 169 && bytes[1] == 254;
	return bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80;
}

static void netns_gateways_add(struct netns_gateways *g, const struct gate_addr *addr)
{
	for (size_t i = 0; i < g->len; i++) {
		if (memcmp(&g->out[i], addr, sizeof(*addr)) == 0)
			return;
	}
	if (g->len < g->max)
		g->out[g->len++] = *addr;
}

/* One message of the kernel's answer. */
static int netns_gateways_on_route(const struct nlmsghdr *message, void *arg)
{
	const struct rtmsg *route = mnl_nlmsg_get_payload(message);
	struct gate_addr addr;
	const void *bytes;

	if (route->rtm_dst_len != 0 ||
	    (route->rtm_family != AF_INET && route->rtm_family != AF_INET6))
		return MNL_CB_OK;
	bytes = netlink_attribute(message, sizeof(*route), RTA_GATEWAY,
				  route->rtm_family == AF_INET ? 4 : 16);
	if (!bytes || netns_gateways_is_link_local(route->rtm_family, bytes))
		return MNL_CB_OK;
	addr = address_make(route->rtm_family, bytes);
	netns_gateways_add(arg, &addr);
	return MNL_CB_OK;
}

size_t netns_gateways_list(const struct netns *ns, struct gate_addr *out, size_t max)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };
	struct netns_gateways g = { .out = out, .max = max };
	int r = netns_enter(ns);

	if (r < 0)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(families) && r == 0; i++) {
		const struct rtmsg wanted = { .rtm_family = families[i] };

		r = netlink_dump(NETLINK_ROUTE, RTM_GETROUTE, &wanted, sizeof(wanted),
				 netns_gateways_on_route, &g);
	}
	netns_leave(ns);
	if (r < 0)
		log_warn_err(r, "cannot list the routes: the default gateways are not known");
	return g.len;
}
