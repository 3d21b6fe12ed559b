// SPDX-License-Identifier: MIT
#include "base/address.h"

#include <arpa/inet.h>
#include <string.h>

static const uint8_t address_mapped[12] = { [10] = 0xff, [11] = 0xff };

/* The 4 bytes of an IPv4 address. */
static const uint8_t *address_ipv4(const struct gate_addr *a)
{
	return a->bytes + sizeof(address_mapped);
}

struct gate_addr address_make(int family, const void *bytes)
{
	struct gate_addr a;

	if (family == AF_INET) {
		memcpy(a.bytes, address_mapped, sizeof(address_mapped));
		memcpy(a.bytes + sizeof(address_mapped), bytes, sizeof(struct in_addr));
	} else {
		memcpy(a.bytes, bytes, sizeof(a.bytes));
	}
	return a;
}

bool address_is_ipv4(const struct gate_addr *a)
{
	return memcmp(a->bytes, address_mapped, sizeof(address_mapped)) == 0;
}

void address_format(const struct gate_addr *a, char out[INET6_ADDRSTRLEN])
{
	if (address_is_ipv4(a))
		inet_ntop(AF_INET, address_ipv4(a), out, INET6_ADDRSTRLEN);
	else
		inet_ntop(AF_INET6, a->bytes, out, INET6_ADDRSTRLEN);
}

socklen_t address_to_sockaddr(const struct gate_addr *a, __be16 port_be,
			      union address_sockaddr *out)
{
	memset(out, 0, sizeof(*out));
	if (address_is_ipv4(a)) {
		out->ipv4.sin_family = AF_INET;
		out->ipv4.sin_port = port_be;
		memcpy(&out->ipv4.sin_addr, address_ipv4(a), sizeof(out->ipv4.sin_addr));
		return sizeof(out->ipv4);
	}
	out->ipv6.sin6_family = AF_INET6;
	out->ipv6.sin6_port = port_be;
	memcpy(&out->ipv6.sin6_addr, a->bytes, sizeof(out->ipv6.sin6_addr));
	return sizeof(out->ipv6);
}

struct gate_addr address_from_sockaddr(const union address_sockaddr *from, __be16 *port_be)
{
	if (from->any.sa_family == AF_INET6) {
		*port_be = from->ipv6.sin6_port;
		return address_make(AF_INET6, &from->ipv6.sin6_addr);
	}
	*port_be = from->ipv4.sin_port;
	return address_make(AF_INET, &from->ipv4.sin_addr);
}
