/* SPDX-License-Identifier: MIT */
/* Addresses and prefixes as people write them: 10.0.0.0/8, fd00::1. Pure. */
#ifndef DOZE_CIDR_H
#define DOZE_CIDR_H

#include <stdbool.h>
#include <stdint.h>

#include "gate.h"

/* "::ffff:255.255.255.255/128" and its end. */
#define CIDR_TEXT_MAX 52

/* IPv4 is ::ffff:a.b.c.d, and so its prefix is 96 longer than it is written. */
struct cidr {
	struct gate_addr addr; /* bits behind the prefix are zero */
	uint8_t prefix_len;    /* 0 to 128 */
};

/*
 * An address alone is a prefix of its whole length. NULL, or what is wrong, as a sentence that
 * follows the text: also bits behind the prefix, such as those of 10.0.0.1/8.
 */
const char *cidr_parse(const char *text, struct cidr *out);

void cidr_format(const struct cidr *c, char out[CIDR_TEXT_MAX]);

bool cidr_contains(const struct cidr *c, const struct gate_addr *addr);

/* The address alone. */
struct cidr cidr_of(const struct gate_addr *addr);

#endif
