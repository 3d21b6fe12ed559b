/* SPDX-License-Identifier: MIT */
/* Addresses as gate.h has them: 16 bytes, IPv4 as ::ffff:a.b.c.d (RFC 4291, 2.5.5.2). Pure. */
#ifndef DOZE_ADDRESS_H
#define DOZE_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>

#include "gate.h"

/* What bind(2), connect(2) and getsockname(2) take and fill in. */
union address_sockaddr {
	struct sockaddr any;
	struct sockaddr_in ipv4;
	struct sockaddr_in6 ipv6;
};

/* bytes: the 4 of an AF_INET address, or the 16 of an AF_INET6 one, in network order. */
struct gate_addr address_make(int family, const void *bytes);

bool address_is_ipv4(const struct gate_addr *a);

/* The address in text, without a port or brackets. */
void address_format(const struct gate_addr *a, char out[INET6_ADDRSTRLEN]);

/* Returns how many bytes of *out are the socket address: of AF_INET for an IPv4 address. */
socklen_t address_to_sockaddr(const struct gate_addr *a, __be16 port_be,
			      union address_sockaddr *out);

/* from is of AF_INET or AF_INET6. */
struct gate_addr address_from_sockaddr(const union address_sockaddr *from, __be16 *port_be);

#endif
