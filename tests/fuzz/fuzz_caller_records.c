// SPDX-License-Identifier: MIT
/*
 * Fuzzes the reader of a caller's TLS records. The first byte of an input says how long the
 * segments are, each of which begins with a byte that is its acknowledgement number.
 */
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "probe/caller_records.h"

#define FUZZ_CHECK(claim)                                                                          \
	do {                                                                                       \
		if (!(claim))                                                                      \
			__builtin_trap();                                                          \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* From memory of just that length, so that the address sanitizer sees each read beyond it. */
static bool fuzz_take(struct caller_records *h, uint32_t ack, const uint8_t *bytes, size_t len)
{
	_cleanup_(freep) uint8_t *copy = malloc(len ? len : 1);

	FUZZ_CHECK(copy);
	memcpy(copy, bytes, len);
	return caller_records_take(h, ack, copy, len);
}

static bool fuzz_take_bytes(struct caller_records *h, uint32_t ack, const uint8_t *bytes,
			    size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (!fuzz_take(h, ack, bytes + i, 1))
			return false;
	}
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct caller_records whole = { 0 }, parts = { 0 };
	bool is_probe = true;
	size_t step;

	if (size < 1)
		return 0;
	step = 2 + (size_t)data[0];
	for (size_t at = 1; is_probe && at < size; at += step) {
		size_t len = min_u64(step, size - at) - 1;

		is_probe = fuzz_take(&whole, data[at], data + at + 1, len);
		/* However it is cut, it is the same. */
		FUZZ_CHECK(fuzz_take_bytes(&parts, data[at], data + at + 1, len) == is_probe);
		FUZZ_CHECK(whole.len <= CALLER_RECORDS_BYTES_MAX &&
			   whole.head_len < sizeof(whole.head));
	}
	return 0;
}
