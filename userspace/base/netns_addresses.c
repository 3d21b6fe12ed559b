// SPDX-License-Identifier: MIT
/* getifaddrs(3), in the order in which they are worth a try. */
#include "base/netns_addresses.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <stdbool.h>
#include <string.h>

#include "base/address.h"

static bool netns_addresses_convert(const struct sockaddr *from, struct gate_addr *out)
{
	const struct sockaddr_in6 *ipv6 = (const struct sockaddr_in6 *)from;

	if (from && from->sa_family == AF_INET) {
		*out = address_make(AF_INET, &((const struct sockaddr_in *)from)->sin_addr);
		return true;
	}
	if (!from || from->sa_family != AF_INET6 || IN6_IS_ADDR_LINKLOCAL(&ipv6->sin6_addr))
		return false;
	*out = address_make(AF_INET6, &ipv6->sin6_addr);
	return true;
}

static size_t netns_addresses_add(struct gate_addr *out, size_t len, size_t max,
				  const struct gate_addr *addr)
{
	for (size_t i = 0; i < len; i++) {
		if (memcmp(&out[i], addr, sizeof(*addr)) == 0)
			return len;
	}
	if (len < max)
		out[len++] = *addr;
	return len;
}

size_t netns_addresses_list(const struct netns *ns, struct gate_addr *out, size_t max)
{
	const struct in_addr localhost = { htonl(INADDR_LOOPBACK) };
	const struct gate_addr loopback_ipv4 = address_make(AF_INET, &localhost);
	const struct gate_addr loopback_ipv6 = { .bytes = { [15] = 1 } };
	struct ifaddrs *all = NULL;
	struct gate_addr addr;
	size_t len = netns_addresses_add(out, 0, max, &loopback_ipv4);

	len = netns_addresses_add(out, len, max, &loopback_ipv6);
	if (netns_enter(ns) < 0)
		return len;
	if (getifaddrs(&all) == 0) {
		for (const struct ifaddrs *a = all; a; a = a->ifa_next) {
			if (netns_addresses_convert(a->ifa_addr, &addr))
				len = netns_addresses_add(out, len, max, &addr);
		}
		freeifaddrs(all);
	}
	netns_leave(ns);
	return len;
}
