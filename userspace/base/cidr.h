/* SPDX-License-Identifier: MIT */
/* Addresses and prefixes as people write them: 10.0.0.0/8, fd00::1. Pure. */
#ifndef DOZE_CIDR_H
#define DOZE_CIDR_H

#include <stdbool.h>
#include <stdint.h>

#include "gate.h"

/* Room for any address with its prefix length, and for the terminating zero. */
#define CIDR_TEXT_MAX 52

/* IPv4 is ::ffff:a.b.c.d here, so its prefix is 96 bits longer than the one that people write. */
struct cidr {
	struct gate_addr addr; /* bits behind the prefix are zero */
	uint8_t prefix_len;    /* 0 to 128 */
};

/*
 * An address alone is a prefix of its whole length. Bits behind the prefix, as in 10.0.0.1/8, are
 * an error. Returns NULL, or what is wrong: the end of a sentence that begins with the text.
 */
const char *cidr_parse(const char *text, struct cidr *out);

void cidr_format(const struct cidr *c, char out[CIDR_TEXT_MAX]);

bool cidr_contains(const struct cidr *c, const struct gate_addr *addr);

/* The prefix that has only this address. */
struct cidr cidr_of(const struct gate_addr *addr);

#endif
