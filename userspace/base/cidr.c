// SPDX-License-Identifier: MIT
#include "base/cidr.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/address.h"

#define CIDR_BITS	128
#define CIDR_IPV4_SHIFT 96 /* ::ffff:0:0/96 */

static uint8_t cidr_mask(unsigned int byte, unsigned int prefix_len)
{
	unsigned int bits = prefix_len > 8 * byte ? prefix_len - 8 * byte : 0;

	return bits >= 8 ? 0xff : (uint8_t)(0xff00U >> bits);
}

static bool cidr_has_bits_behind(const struct cidr *c)
{
	for (unsigned int i = 0; i < sizeof(c->addr.bytes); i++) {
		if (c->addr.bytes[i] & ~cidr_mask(i, c->prefix_len))
			return true;
	}
	return false;
}

/* One to three digits, no sign, no blank; max is inclusive. */
static bool cidr_parse_len(const char *text, unsigned int max, unsigned int *out)
{
	size_t len = strspn(text, "0123456789");

	if (len == 0 || len > 3 || text[len] || (len > 1 && *text == '0'))
		return false;
	*out = 0;
	for (; *text; text++)
		*out = 10 * *out + (unsigned int)(*text - '0');
	return *out <= max;
}

static bool cidr_parse_addr(const char *text, struct gate_addr *out, bool *is_ipv4)
{
	uint8_t bytes[sizeof(struct in6_addr)];
	int family = strchr(text, ':') ? AF_INET6 : AF_INET;

	*is_ipv4 = family == AF_INET;
	if (inet_pton(family, text, bytes) != 1)
		return false;
	*out = address_make(family, bytes);
	return true;
}

const char *cidr_parse(const char *text, struct cidr *out)
{
	static const char none[] = "is neither an address nor a prefix such as 10.0.0.0/8";
	const char *slash = strchr(text, '/');
	size_t addr_len = slash ? (size_t)(slash - text) : strlen(text);
	char addr[CIDR_TEXT_MAX];
	unsigned int len, shift;
	bool is_ipv4;

	if (addr_len >= sizeof(addr))
		return none;
	memcpy(addr, text, addr_len);
	addr[addr_len] = '\0';
	*out = (struct cidr){ .prefix_len = CIDR_BITS };
	if (!cidr_parse_addr(addr, &out->addr, &is_ipv4))
		return none;
	if (!slash)
		return NULL;
	shift = is_ipv4 ? CIDR_IPV4_SHIFT : 0;
	if (!cidr_parse_len(slash + 1, CIDR_BITS - shift, &len))
		return is_ipv4 ? "has a prefix length that is not 0 to 32"
			       : "has a prefix length that is not 0 to 128";
	out->prefix_len = (uint8_t)(len + shift);
	return cidr_has_bits_behind(out) ? "has bits behind its prefix: which one is meant?" : NULL;
}

void cidr_format(const struct cidr *c, char out[CIDR_TEXT_MAX])
{
	bool is_ipv4 = c->prefix_len >= CIDR_IPV4_SHIFT && address_is_ipv4(&c->addr);
	char addr[INET6_ADDRSTRLEN];

	if (is_ipv4)
		address_format(&c->addr, addr);
	else
		inet_ntop(AF_INET6, c->addr.bytes, addr, sizeof(addr));
	snprintf(out, CIDR_TEXT_MAX, "%s/%u", addr,
		 c->prefix_len - (is_ipv4 ? CIDR_IPV4_SHIFT : 0U));
}

bool cidr_contains(const struct cidr *c, const struct gate_addr *addr)
{
	for (unsigned int i = 0; i < sizeof(addr->bytes); i++) {
		if ((addr->bytes[i] ^ c->addr.bytes[i]) & cidr_mask(i, c->prefix_len))
			return false;
	}
	return true;
}

struct cidr cidr_of(const struct gate_addr *addr)
{
	return (struct cidr){ .addr = *addr, .prefix_len = CIDR_BITS };
}
