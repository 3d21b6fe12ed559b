/* SPDX-License-Identifier: MIT */
/* The addresses that an application can be reached at from within its network namespace. */
#ifndef DOZE_NETNS_ADDRESSES_H
#define DOZE_NETNS_ADDRESSES_H

#include <stddef.h>

#include "base/netns.h"
#include "gate.h"

/*
 * Writes at most max addresses, and returns how many: 127.0.0.1 and ::1 first, then those of every
 * interface. IPv6 link-local ones are left out: they mean nothing without their interface.
 */
size_t netns_addresses_list(const struct netns *ns, struct gate_addr *out, size_t max);

#endif
