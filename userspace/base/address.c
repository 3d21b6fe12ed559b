// SPDX-License-Identifier: MIT
/* RFC 4291, 2.5.5.2: IPv4-mapped IPv6 addresses. */
#include "base/address.h"

#include <arpa/inet.h>
#include <string.h>

static const uint8_t address_mapped[12] = { [10] = 0xff, [11] = 0xff };

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

const uint8_t *address_ipv4(const struct gate_addr *a)
{
	return a->bytes + sizeof(address_mapped);
}

void address_format(const struct gate_addr *a, char out[INET6_ADDRSTRLEN])
{
	if (address_is_ipv4(a))
		inet_ntop(AF_INET, address_ipv4(a), out, INET6_ADDRSTRLEN);
	else
		inet_ntop(AF_INET6, a->bytes, out, INET6_ADDRSTRLEN);
}
