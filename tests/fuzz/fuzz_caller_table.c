// SPDX-License-Identifier: MIT
/*
 * Fuzzes connections by their segments. Each begins with a byte that says what comes before it, and
 * one that is its length.
 */
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "probe/caller_table.h"

#define FUZZ_CHECK(claim)                                                                          \
	do {                                                                                       \
		if (!(claim))                                                                      \
			__builtin_trap();                                                          \
	} while (0)

enum {
	FUZZ_HEARS = 1,	  /* the server has spoken */
	FUZZ_GAP = 2,	  /* bytes that were not seen */
	FUZZ_REQUEST = 4, /* it is a whole request */
};

#define FUZZ_PING "GET /ping HTTP/1.1\r\n\r\n"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz_connection {
	struct caller_table *table;
	const struct caller_rules *rules;
	uint32_t seq, ack;
	uint64_t now_ns;
};

/* From memory of just that length, so that the address sanitizer sees each read beyond it. */
static enum caller_kind fuzz_take(struct fuzz_connection *c, const uint8_t *bytes, size_t len)
{
	static const struct gate_flow flow;
	_cleanup_(freep) uint8_t *copy = malloc(len ? len : 1);
	const struct caller_table_segment segment = {
		.seq = c->seq, .ack = c->ack, .payload = copy, .len = len, .seen_ns = c->now_ns++
	};
	enum caller_kind kind;

	FUZZ_CHECK(copy);
	memcpy(copy, bytes, len);
	kind = caller_table_take(c->table, &flow, &segment, c->rules);
	/* What is sent again changes nothing. */
	FUZZ_CHECK(caller_table_take(c->table, &flow, &segment, c->rules) == kind);
	FUZZ_CHECK(caller_table_kind(c->table, &flow, c->now_ns) == kind);
	c->seq += (uint32_t)len;
	return kind;
}

static void fuzz_segments(struct fuzz_connection *c, const uint8_t *data, size_t size)
{
	bool is_first = true;

	while (size >= 2) {
		uint8_t how = data[0];
		size_t len = min_u64(data[1], size - 2);
		const uint8_t *bytes = how & FUZZ_REQUEST ? (const uint8_t *)FUZZ_PING : data + 2;
		size_t bytes_len = how & FUZZ_REQUEST ? sizeof(FUZZ_PING) - 1 : len;
		bool is_after_gap = how & FUZZ_GAP && bytes_len && !is_first;
		enum caller_kind kind;

		c->ack += how & FUZZ_HEARS;
		c->seq += is_after_gap ? 1 + (how >> 4) : 0;
		kind = fuzz_take(c, bytes, bytes_len);
		FUZZ_CHECK(!is_after_gap || kind == CALLER_CLIENT);
		FUZZ_CHECK(kind == CALLER_UNDECIDED || kind == CALLER_CLIENT ||
			   c->rules->paths_len);
		is_first = false;
		data += 2 + len;
		size -= 2 + len;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct caller_path paths[] = { { "GET", 3, "/ping" } };
	static const struct caller_rules none, some = {
		.knows_checkers = true, .has_https = true, .paths = paths, .paths_len = 1
	};
	const struct caller_rules *rules[] = { &none, &some };

	for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
		struct fuzz_connection c = { .rules = rules[i], .seq = UINT32_MAX - 40 };

		FUZZ_CHECK(caller_table_new(&c.table, 2 * NS_PER_S) == 0);
		fuzz_segments(&c, data, size);
		caller_table_free(&c.table);
	}
	return 0;
}
