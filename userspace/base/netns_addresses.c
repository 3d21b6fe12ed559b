// SPDX-License-Identifier: MIT
/* Asks rtnetlink(7) for the addresses, and puts them in the order in which they are worth a try. */
#include "base/netns_addresses.h"

#include <arpa/inet.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "base/address.h"
#include "base/log.h"
#include "base/netlink.h"

struct netns_addresses {
	struct gate_addr *out;
	size_t len, max;
};

static void netns_addresses_add(struct netns_addresses *a, int family, const void *bytes)
{
	const struct gate_addr addr = address_make(family, bytes);

	for (size_t i = 0; i < a->len; i++) {
		if (memcmp(&a->out[i], &addr, sizeof(addr)) == 0)
			return;
	}
	if (a->len < a->max)
		a->out[a->len++] = addr;
}

/* On a point-to-point link IFA_ADDRESS is the other end's address, and IFA_LOCAL is ours. */
static int netns_addresses_on_address(const struct nlmsghdr *message, void *arg)
{
	const struct ifaddrmsg *entry = mnl_nlmsg_get_payload(message);
	const void *bytes;
	size_t len;

	if (entry->ifa_family != AF_INET && entry->ifa_family != AF_INET6)
		return MNL_CB_OK;
	len = entry->ifa_family == AF_INET ? sizeof(struct in_addr) : sizeof(struct in6_addr);
	bytes = netlink_attribute(message, sizeof(*entry), IFA_LOCAL, len);
	if (!bytes)
		bytes = netlink_attribute(message, sizeof(*entry), IFA_ADDRESS, len);
	if (bytes && (entry->ifa_family == AF_INET || !IN6_IS_ADDR_LINKLOCAL(bytes)))
		netns_addresses_add(arg, entry->ifa_family, bytes);
	return MNL_CB_OK;
}

size_t netns_addresses_list(const struct netns *ns, struct gate_addr *out, size_t max)
{
	const struct in_addr loopback_ipv4 = { htonl(INADDR_LOOPBACK) };
	const struct ifaddrmsg wanted = { .ifa_family = AF_UNSPEC };
	struct netns_addresses a = { .out = out, .max = max };
	int r = netns_enter(ns);

	netns_addresses_add(&a, AF_INET, &loopback_ipv4);
	netns_addresses_add(&a, AF_INET6, &in6addr_loopback);
	if (r < 0)
		return a.len;
	r = netlink_dump(NETLINK_ROUTE, RTM_GETADDR, &wanted, sizeof(wanted),
			 netns_addresses_on_address, &a);
	netns_leave(ns);
	if (r < 0)
		log_warn_err(r, "cannot list the addresses: only those of lo are tried");
	return a.len;
}
