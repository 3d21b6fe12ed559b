// SPDX-License-Identifier: MIT
/* Fuzzes the parser of prefixes: an input is the text; and its first 17 bytes are a prefix. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cidr.h"
#include "base/util.h"

#define FUZZ_CHECK(claim)                                                                          \
	do {                                                                                       \
		if (!(claim))                                                                      \
			__builtin_trap();                                                          \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is written is read as the same, and contains both its ends. */
static void fuzz_round_trip(const struct cidr *c)
{
	char text[CIDR_TEXT_MAX];
	struct gate_addr last = c->addr;
	struct cidr again;

	memset(text, 'x', sizeof(text));
	cidr_format(c, text);
	FUZZ_CHECK(memchr(text, '\0', sizeof(text)));
	FUZZ_CHECK(cidr_parse(text, &again) == NULL);
	FUZZ_CHECK(again.prefix_len == c->prefix_len);
	FUZZ_CHECK(memcmp(&again.addr, &c->addr, sizeof(c->addr)) == 0);
	for (unsigned int bit = c->prefix_len; bit < 128; bit++)
		last.bytes[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
	FUZZ_CHECK(cidr_contains(c, &c->addr) && cidr_contains(c, &last));
	if (c->prefix_len == 0)
		return;
	last.bytes[(c->prefix_len - 1) / 8] ^= (uint8_t)(0x80 >> (c->prefix_len - 1) % 8);
	FUZZ_CHECK(!cidr_contains(c, &last));
}

/* Any prefix, also those that nobody writes. */
static void fuzz_prefix(const uint8_t *data, size_t size)
{
	struct cidr c;

	if (size < sizeof(c.addr) + 1)
		return;
	memcpy(&c.addr, data, sizeof(c.addr));
	c.prefix_len = data[sizeof(c.addr)] % 129;
	for (unsigned int bit = c.prefix_len; bit < 128; bit++)
		c.addr.bytes[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
	fuzz_round_trip(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Of just that length, so that the address sanitizer sees each read beyond it. */
	_cleanup_(freep) char *text = strndup((const char *)data, size);
	struct cidr c;
	const char *wrong;

	FUZZ_CHECK(text);
	wrong = cidr_parse(text, &c);
	FUZZ_CHECK(!wrong || *wrong);
	if (!wrong)
		fuzz_round_trip(&c);
	fuzz_prefix(data, size);
	return 0;
}
