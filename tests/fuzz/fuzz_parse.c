// SPDX-License-Identifier: MIT
/*
 * Fuzzes the gate's parser and decision. An input is a frame, after a head of three bytes that say
 * how much of it is readable, what the gate knows, and how much longer the frame says it is.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/decide.h"

enum {
	FUZZ_HEAD_LEN = 3,
	FUZZ_TAIL_STEP = 300, /* 255 steps go beyond 64 kB, where BIG TCP begins */

	/* Without the padding of the struct, in which anything may be. */
	FUZZ_PACKET_LEN = offsetof(struct parse_packet, is_aggregate) + sizeof(bool),
};

#define FUZZ_CHECK(claim)                                                                          \
	do {                                                                                       \
		if (!(claim))                                                                      \
			__builtin_trap();                                                          \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In a block of just that length, so that the address sanitizer sees each read beyond it. */
static enum parse_result fuzz_parse(const uint8_t *frame, size_t readable, size_t frame_len,
				    bool is_aggregate, struct parse_packet *out)
{
	uint8_t *copy = malloc(readable);
	struct parse_bytes bytes = {
		.start = copy,
		.end = copy + readable,
		.frame_len = (__u32)frame_len,
	};
	enum parse_result result;

	FUZZ_CHECK(copy || readable == 0);
	if (readable > 0)
		memcpy(copy, frame, readable);
	*out = (struct parse_packet){ .is_aggregate = is_aggregate };
	result = parse_frame(&bytes, out);
	free(copy);
	return result;
}

static void fuzz_check_packet(const struct parse_packet *p, size_t frame_len)
{
	bool is_tcp = p->flow.protocol == PARSE_PROTO_TCP;
	size_t ip_len = p->l4_offset - p->l3_offset;
	size_t header_len = is_tcp ? sizeof(struct parse_tcp) : sizeof(struct parse_udp);

	FUZZ_CHECK(is_tcp || p->flow.protocol == PARSE_PROTO_UDP);
	FUZZ_CHECK(p->frame_len == frame_len);
	FUZZ_CHECK(p->l3_offset == 14 || p->l3_offset == 18 || p->l3_offset == 22);
	FUZZ_CHECK(p->l4_offset > p->l3_offset && ip_len >= sizeof(struct parse_ipv4));
	FUZZ_CHECK(p->l4_offset + header_len + p->payload_len <= frame_len);
	FUZZ_CHECK(is_tcp || (p->payload_len == 0 && p->tcp_flags == 0));
	/* Flows are compared as bytes. */
	FUZZ_CHECK(p->flow.pad[0] == 0 && p->flow.pad[1] == 0 && p->flow.pad[2] == 0);
}

static void fuzz_check_verdict(const struct parse_packet *p, const struct decide_view *view)
{
	enum gate_verdict verdict = decide_verdict(p, view);

	FUZZ_CHECK(verdict < GATE_VERDICT_COUNT);
	FUZZ_CHECK(!decide_drops(verdict) ||
		   (view->is_closed && !view->is_stale && !view->is_ready));
	FUZZ_CHECK(!decide_drops(verdict) || decide_is_activity(p));
	FUZZ_CHECK(!decide_holds(verdict) || (view->can_replay && !p->is_first_fragment &&
					      !p->is_aggregate && p->frame_len <= GATE_FRAME_MAX));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct parse_packet whole, part;
	enum parse_result whole_result, part_result;
	const uint8_t *frame = data + FUZZ_HEAD_LEN;
	size_t len, part_len, frame_len;
	bool is_aggregate;

	if (size < FUZZ_HEAD_LEN)
		return 0;
	len = size - FUZZ_HEAD_LEN;
	part_len = data[0] < len ? data[0] : len;
	is_aggregate = data[1] & 16;
	frame_len = len + (size_t)data[2] * FUZZ_TAIL_STEP;

	whole_result = fuzz_parse(frame, len, frame_len, is_aggregate, &whole);
	FUZZ_CHECK(whole_result != PARSE_SHORT || len < frame_len);
	part_result = fuzz_parse(frame, part_len, frame_len, is_aggregate, &part);
	FUZZ_CHECK(part_result == PARSE_SHORT || part_result == whole_result);
	if (whole_result != PARSE_OK)
		return 0;
	FUZZ_CHECK(part_result == PARSE_SHORT || memcmp(&part, &whole, FUZZ_PACKET_LEN) == 0);
	fuzz_check_packet(&whole, frame_len);
	fuzz_check_verdict(&whole, &(struct decide_view){
					   .is_closed = data[1] & 1,
					   .is_stale = data[1] & 2,
					   .is_ready = data[1] & 4,
					   .can_replay = data[1] & 8,
				   });
	return 0;
}
