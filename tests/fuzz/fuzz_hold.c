// SPDX-License-Identifier: MIT
/*
 * Fuzzes the hold against a model: an array, searched from its beginning. An input is a byte of
 * limits, then a byte for each frame that comes or goes.
 */
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "gate/hold.h"

#define FUZZ_HEAD_LEN	1
#define FUZZ_FRAMES_MAX 16

#define FUZZ_CHECK(claim)                                                                          \
	do {                                                                                       \
		if (!(claim))                                                                      \
			__builtin_trap();                                                          \
	} while (0)

/* A frame's bytes are its number, as often as its length says. */
struct model_frame {
	uint8_t flow;
	uint32_t number;
};

struct model {
	struct model_frame frames[FUZZ_FRAMES_MAX];
	size_t len, frames_max;
	struct hold_counters counters;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void model_remove(struct model *m, size_t at)
{
	m->len--;
	memmove(m->frames + at, m->frames + at + 1, (m->len - at) * sizeof(*m->frames));
}

static size_t model_count(const struct model *m, uint8_t flow)
{
	size_t count = 0;

	for (size_t i = 0; i < m->len; i++)
		count += m->frames[i].flow == flow;
	return count;
}

static void model_fold(struct model *m, uint8_t flow)
{
	for (size_t i = 0; i < m->len; i++) {
		if (m->frames[i].flow == flow) {
			m->counters.folded++;
			model_remove(m, i);
			return;
		}
	}
}

static void model_push(struct model *m, uint8_t flow, uint32_t number)
{
	model_fold(m, flow);
	if (m->len == m->frames_max) {
		m->counters.dropped_full++;
		model_remove(m, 0);
	}
	m->frames[m->len++] = (struct model_frame){ flow, number };
	m->counters.held++;
}

static void fuzz_push(struct hold *h, uint8_t flow, uint32_t number)
{
	uint32_t bytes[8];
	struct gate_event event = {
		.flow.sport_be = flow,
		.flow.protocol = IPPROTO_TCP,
		.frame_len = (__u16)(sizeof(number) * (1 + number % ARRAY_LEN(bytes))),
		.seen_ns = number,
	};

	for (size_t i = 0; i < ARRAY_LEN(bytes); i++)
		bytes[i] = number;
	hold_push(h, &event, bytes);
}

static void fuzz_check_frame(const struct hold_frame *frame, const struct model_frame *expected)
{
	FUZZ_CHECK(frame->event.seen_ns == expected->number);
	FUZZ_CHECK(frame->event.flow.sport_be == expected->flow);
	for (size_t at = 0; at < frame->event.frame_len; at += sizeof(expected->number))
		FUZZ_CHECK(memcmp(frame->bytes + at, &expected->number, sizeof(expected->number)) ==
			   0);
}

static void fuzz_pop(struct hold *h, struct model *m)
{
	_cleanup_(freep) struct hold_frame *frame = hold_pop(h);

	FUZZ_CHECK(!frame == (m->len == 0));
	if (!frame)
		return;
	fuzz_check_frame(frame, &m->frames[0]);
	model_remove(m, 0);
}

static void fuzz_check_whole(const struct hold *h, const struct model *m)
{
	const struct hold_frame *newest = hold_newest(h);

	FUZZ_CHECK(hold_len(h) == m->len && m->len <= m->frames_max);
	FUZZ_CHECK(!newest == (m->len == 0));
	if (newest)
		fuzz_check_frame(newest, &m->frames[m->len - 1]);
	FUZZ_CHECK(memcmp(hold_counters(h), &m->counters, sizeof(m->counters)) == 0);
	for (size_t i = 0; i < m->len; i++)
		FUZZ_CHECK(model_count(m, m->frames[i].flow) == 1);
}

/* The low half of a byte is a flow, unless the high half says that a frame goes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(hold_free) struct hold *h = NULL;
	struct model m = { 0 };

	if (size < FUZZ_HEAD_LEN)
		return 0;
	m.frames_max = 1 + data[0] % FUZZ_FRAMES_MAX;
	FUZZ_CHECK(hold_new(&h, m.frames_max) == 0);
	for (size_t i = FUZZ_HEAD_LEN; i < size; i++) {
		if (data[i] < 0xc0) {
			fuzz_push(h, data[i] & 0xf, (uint32_t)i);
			model_push(&m, data[i] & 0xf, (uint32_t)i);
		} else {
			fuzz_pop(h, &m);
		}
		fuzz_check_whole(h, &m);
	}
	/* And every other input is freed with its frames. */
	while (size % 2 && m.len > 0)
		fuzz_pop(h, &m);
	return 0;
}
