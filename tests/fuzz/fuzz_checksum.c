// SPDX-License-Identifier: MIT
/*
 * Fuzzes the completion of checksums. An input is a frame, after a head of three bytes: the offset
 * of its IP header, and that of its TCP or UDP header.
 */
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "gate/checksum.h"

#define FUZZ_HEAD_LEN 3

#define FUZZ_CHECK(claim)                                                                          \
	do {                                                                                       \
		if (!(claim))                                                                      \
			__builtin_trap();                                                          \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In a block of just that length, so that the address sanitizer sees each step outside. */
struct fuzz_frame {
	uint8_t *bytes;
	const uint8_t *before;
	size_t len, l3, l4;
};

static enum checksum_result fuzz_complete(struct fuzz_frame *f)
{
	return checksum_complete(f->bytes, f->len, f->l3, f->l4);
}

static bool fuzz_is_unchanged(const struct fuzz_frame *f)
{
	return f->len == 0 || memcmp(f->bytes, f->before, f->len) == 0;
}

/* Written another way than the one that is tested: a byte at a time. */
static uint16_t fuzz_pseudo(const struct fuzz_frame *f, uint8_t protocol, size_t l4_len)
{
	bool is_ipv4 = f->bytes[f->l3] >> 4 == 4;
	size_t start = f->l3 + (is_ipv4 ? 12 : 8), len = is_ipv4 ? 8 : 32;
	size_t sum = l4_len + protocol;

	for (size_t i = 0; i < len; i++)
		sum += i % 2 ? f->bytes[start + i] : (size_t)f->bytes[start + i] << 8;
	sum = sum % 0xffff;
	return sum ? (uint16_t)sum : 0xffff;
}

static size_t fuzz_get16(const uint8_t *at)
{
	return (size_t)at[0] * 256 + at[1];
}

/* As a network stack leaves it for a card. False: protocol does not fit in. */
static bool fuzz_make_partial(struct fuzz_frame *f, uint8_t protocol)
{
	size_t field = f->l4 + (protocol == IPPROTO_TCP ? 16 : 6);
	size_t l4_len = fuzz_get16(f->bytes + f->l4 + 4);
	uint16_t pseudo;

	if (field + 2 > f->len)
		return false;
	if (protocol == IPPROTO_TCP && f->bytes[f->l3] >> 4 == 4)
		l4_len = f->l3 + fuzz_get16(f->bytes + f->l3 + 2) - f->l4;
	else if (protocol == IPPROTO_TCP)
		l4_len = f->l3 + 40 + fuzz_get16(f->bytes + f->l3 + 4) - f->l4;
	pseudo = fuzz_pseudo(f, protocol, l4_len);
	f->bytes[field] = (uint8_t)(pseudo >> 8);
	f->bytes[field + 1] = (uint8_t)pseudo;
	return true;
}

/* A frame with a wrong checksum is one with a partial one, but for the checksum. */
static bool fuzz_can_be_completed(struct fuzz_frame *f, uint8_t protocol)
{
	enum checksum_result result;

	memcpy(f->bytes, f->before, f->len);
	if (!fuzz_make_partial(f, protocol))
		return false;
	result = fuzz_complete(f);
	if (result != CHECKSUM_COMPLETED && result != CHECKSUM_VALID)
		return false;
	FUZZ_CHECK(fuzz_complete(f) == CHECKSUM_VALID);
	return true;
}

static void fuzz_check(struct fuzz_frame *f)
{
	enum checksum_result result = fuzz_complete(f);

	if (result == CHECKSUM_COMPLETED)
		FUZZ_CHECK(fuzz_complete(f) == CHECKSUM_VALID);
	else
		FUZZ_CHECK(fuzz_is_unchanged(f));
	if (result == CHECKSUM_WRONG)
		FUZZ_CHECK(fuzz_can_be_completed(f, IPPROTO_TCP) ||
			   fuzz_can_be_completed(f, IPPROTO_UDP));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(freep) uint8_t *bytes = NULL;
	struct fuzz_frame f;

	if (size < FUZZ_HEAD_LEN)
		return 0;
	bytes = malloc(size - FUZZ_HEAD_LEN);
	FUZZ_CHECK(bytes || size == FUZZ_HEAD_LEN);
	f = (struct fuzz_frame){
		.bytes = bytes,
		.before = data + FUZZ_HEAD_LEN,
		.len = size - FUZZ_HEAD_LEN,
		.l3 = data[0],
		.l4 = fuzz_get16(data + 1),
	};
	if (f.len)
		memcpy(bytes, f.before, f.len);
	fuzz_check(&f);
	return 0;
}
