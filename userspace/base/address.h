/* SPDX-License-Identifier: MIT */
/* Addresses as gate.h has them: 16 bytes, IPv4 as ::ffff:a.b.c.d. Pure. */
#ifndef DOZE_ADDRESS_H
#define DOZE_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>

#include "gate.h"

/* bytes: the 4 of an AF_INET address, or the 16 of an AF_INET6 one, in network order. */
struct gate_addr address_make(int family, const void *bytes);

bool address_is_ipv4(const struct gate_addr *a);

/* The 4 bytes of an IPv4 address. */
const uint8_t *address_ipv4(const struct gate_addr *a);

/* Without a port or brackets. */
void address_format(const struct gate_addr *a, char out[INET6_ADDRSTRLEN]);

#endif
