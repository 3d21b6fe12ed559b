// SPDX-License-Identifier: MIT
/* What is held, in which order, and what must leave. Each frame is one letter. */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "gate/hold.h"
#include "lib/test.h"

#define LETTERS_MAX 64

enum {
	SYN,
	POP, /* take the oldest frame out */
};

struct arrival {
	int what;
	uint16_t client;
	char letter;
};

static struct gate_event event_of(uint16_t client, size_t frame_len, uint64_t seen_ns)
{
	return (struct gate_event){
		.flow = {
			.saddr = { .bytes = { [10] = 0xff, 0xff, 192, 0, 2, 1 } },
			.daddr = { .bytes = { [10] = 0xff, 0xff, 192, 0, 2, 80 } },
			.sport_be = htons(client),
			.dport_be = htons(8080),
			.protocol = IPPROTO_TCP,
		},
		.seen_ns = seen_ns,
		.frame_len = (__u16)frame_len,
	};
}

static struct hold *hold_of(size_t frames_max)
{
	struct hold *h = NULL;

	assert_int_equal(hold_new(&h, frames_max), 0);
	return h;
}

static void take_in(struct hold *h, const struct arrival *arrivals, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		const struct arrival *a = &arrivals[i];
		struct gate_event event = event_of(a->client, 1, i);

		if (a->what == POP)
			free(hold_pop(h));
		else
			hold_push(h, &event, &a->letter);
	}
}

/* Empties it; the letters are those of the frames, the oldest first. */
static void expect_held(struct hold *h, const char *letters)
{
	char held[LETTERS_MAX] = "";
	size_t len = 0;

	assert_int_equal(hold_len(h), strlen(letters));
	for (;;) {
		_cleanup_(freep) struct hold_frame *frame = hold_pop(h);

		if (!frame)
			break;
		assert_int_equal(frame->event.frame_len, 1);
		assert_in_range(len, 0, LETTERS_MAX - 2);
		held[len++] = (char)frame->bytes[0];
		assert_int_equal(hold_len(h), strlen(letters) - len);
	}
	assert_string_equal(held, letters);
}

/* clang-format off */

/* The client's timestamp is in its newest SYN, and it answers to no other. */
TEST(the_newest_syn_of_a_flow_is_kept_with_its_bytes_and_event)
{
	_cleanup_(hold_free) struct hold *h = hold_of(8);
	_cleanup_(freep) struct hold_frame *frame = NULL;
	struct gate_event first = event_of(40000, 3, 1000), second;

	second = event_of(40000, 6, 2000);
	second.ifindex = 7;
	hold_push(h, &first, "old");
	hold_push(h, &second, "newest");
	assert_int_equal(hold_len(h), 1);

	frame = hold_pop(h);
	assert_non_null(frame);
	assert_memory_equal(&frame->event, &second, sizeof(second));
	assert_memory_equal(frame->bytes, "newest", 6);
	assert_null(hold_pop(h));
	assert_int_equal(hold_counters(h)->held, 2);
	assert_int_equal(hold_counters(h)->folded, 1);
}

TEST(frames_leave_in_the_order_of_their_arrival)
{
	static const struct arrival arrivals[] = {
		{ SYN, 1, 'a' }, { SYN, 2, 'b' }, { SYN, 3, 'c' }, { SYN, 5, 'd' }, { SYN, 4, 'e' },
	};
	_cleanup_(hold_free) struct hold *h = hold_of(8);

	take_in(h, arrivals, ARRAY_LEN(arrivals));
	expect_held(h, "abcde");
	assert_int_equal(hold_counters(h)->held, 5);
	assert_int_equal(hold_counters(h)->folded, 0);
}

TEST(a_syn_that_was_sent_again_goes_to_the_end_of_the_line)
{
	static const struct arrival arrivals[] = {
		{ SYN, 1, 'a' }, { SYN, 2, 'b' }, { SYN, 3, 'c' },
		{ SYN, 1, 'A' }, { SYN, 2, 'B' }, { SYN, 2, 'X' },
	};
	_cleanup_(hold_free) struct hold *h = hold_of(8);

	take_in(h, arrivals, ARRAY_LEN(arrivals));
	expect_held(h, "cAX");
	assert_int_equal(hold_counters(h)->held, 6);
	assert_int_equal(hold_counters(h)->folded, 3);
	assert_int_equal(hold_counters(h)->dropped_full, 0);
}

TEST(when_there_is_no_room_the_oldest_leaves)
{
	static const struct arrival arrivals[] = {
		{ SYN, 1, 'a' }, { SYN, 2, 'b' }, { SYN, 3, 'c' }, { SYN, 4, 'd' }, /* for a */
		{ SYN, 1, 'A' }, /* a new flow again, for b */
		{ SYN, 2, 'B' }, /* for c */
	};
	_cleanup_(hold_free) struct hold *h = hold_of(3);

	take_in(h, arrivals, ARRAY_LEN(arrivals));
	expect_held(h, "dAB");
	assert_int_equal(hold_counters(h)->held, 6);
	assert_int_equal(hold_counters(h)->dropped_full, 3);
	assert_int_equal(hold_counters(h)->folded, 0);
}

/* Nobody has to leave for a frame that replaces another. */
TEST(a_full_hold_loses_nothing_to_a_folded_frame)
{
	static const struct arrival arrivals[] = {
		{ SYN, 1, 'a' }, { SYN, 2, 'b' }, { SYN, 3, 'c' },
		{ SYN, 3, 'C' }, { SYN, 1, 'A' },
	};
	_cleanup_(hold_free) struct hold *h = hold_of(3);

	take_in(h, arrivals, ARRAY_LEN(arrivals));
	expect_held(h, "bCA");
	assert_int_equal(hold_counters(h)->folded, 2);
	assert_int_equal(hold_counters(h)->dropped_full, 0);
}

/* The frame that leaves is the only one of the flow that comes. */
TEST(the_oldest_may_be_of_the_flow_that_enters)
{
	static const struct arrival arrivals[] = {
		{ SYN, 1, 'a' },
		{ SYN, 1, 'b' },
	};
	_cleanup_(hold_free) struct hold *h = hold_of(1);

	take_in(h, arrivals, ARRAY_LEN(arrivals));
	expect_held(h, "b");
	assert_int_equal(hold_counters(h)->folded, 1);
	assert_int_equal(hold_counters(h)->dropped_full, 0);
}

/* A popped SYN is on its way: the next one is not a repetition of it. */
TEST(a_popped_flow_is_new_again)
{
	static const struct arrival arrivals[] = {
		{ SYN, 1, 'a' }, { POP, 0, 0 }, { SYN, 1, 'b' },
		{ POP, 0, 0 },	 { POP, 0, 0 }, /* of nothing */
		{ SYN, 1, 'c' },
	};
	_cleanup_(hold_free) struct hold *h = hold_of(8);

	take_in(h, arrivals, ARRAY_LEN(arrivals));
	expect_held(h, "c");
	assert_int_equal(hold_counters(h)->held, 3);
	assert_int_equal(hold_counters(h)->folded, 0);
}
/* clang-format on */

TEST(flows_that_differ_in_any_byte_are_two)
{
	for (size_t i = 0; i < sizeof(struct gate_flow); i++) {
		_cleanup_(hold_free) struct hold *h = hold_of(8);
		struct gate_event a = event_of(40000, 1, 0), b = a;

		((__u8 *)&b.flow)[i] ^= 0x80;
		hold_push(h, &a, "a");
		hold_push(h, &b, "b");
		hold_push(h, &a, "A");
		if (hold_len(h) != 2)
			fail_msg("byte %zu of the flow is not compared", i);
		expect_held(h, "bA");
	}
}

TEST(the_newest_is_the_one_that_was_pushed_last)
{
	_cleanup_(hold_free) struct hold *h = hold_of(2);
	const struct arrival a = { SYN, 1, 'a' }, b = { SYN, 2, 'b' }, again = { SYN, 1, 'A' };
	const struct arrival c = { SYN, 3, 'c' }, pop = { POP, 0, 0 };

	assert_null(hold_newest(h));
	take_in(h, &a, 1);
	assert_int_equal(hold_newest(h)->bytes[0], 'a');
	take_in(h, &b, 1);
	assert_int_equal(hold_newest(h)->bytes[0], 'b');
	take_in(h, &again, 1);
	assert_int_equal(hold_newest(h)->bytes[0], 'A');
	take_in(h, &c, 1);
	assert_int_equal(hold_newest(h)->bytes[0], 'c');
	take_in(h, &pop, 1);
	assert_int_equal(hold_newest(h)->bytes[0], 'c');
	take_in(h, &pop, 1);
	assert_null(hold_newest(h));
}

/* More clients than there is room: the last ones stay, each with the newest of its two SYNs. */
TEST(thousands_of_flows_are_kept_apart)
{
	enum {
		FLOWS = 20000,
		ROOM = 4096
	};
	_cleanup_(hold_free) struct hold *h = hold_of(ROOM);

	for (uint64_t i = 0; i < 2 * FLOWS; i++) {
		struct gate_event event = event_of((uint16_t)(i / 2), sizeof(i), i);

		hold_push(h, &event, &i);
	}
	assert_int_equal(hold_len(h), ROOM);
	assert_int_equal(hold_counters(h)->held, 2 * FLOWS);
	assert_int_equal(hold_counters(h)->folded, FLOWS);
	assert_int_equal(hold_counters(h)->dropped_full, FLOWS - ROOM);
	for (uint64_t flow = FLOWS - ROOM; flow < FLOWS; flow++) {
		_cleanup_(freep) struct hold_frame *frame = hold_pop(h);
		uint64_t newest = 2 * flow + 1;

		assert_non_null(frame);
		assert_int_equal(ntohs(frame->event.flow.sport_be), flow);
		assert_memory_equal(frame->bytes, &newest, sizeof(newest));
	}
	assert_int_equal(hold_len(h), 0);
}

/* The address sanitizer counts what is left behind. */
TEST(freeing_takes_the_frames_along)
{
	static const struct arrival arrivals[] = {
		{ SYN, 1, 'a' },
		{ SYN, 2, 'b' },
		{ SYN, 2, 'c' },
		{ SYN, 3, 'd' },
	};
	struct hold *h = hold_of(8);

	take_in(h, arrivals, ARRAY_LEN(arrivals));
	hold_free(&h);
	assert_null(h);
	hold_free(&h);
}

TEST(in_bytes_there_is_a_limit_as_well)
{
	static const char datagram[GATE_FRAME_MAX] = { 0 };
	_cleanup_(hold_free) struct hold *h = hold_of(4096);
	const size_t most = HOLD_BYTES_MAX / sizeof(datagram);

	for (uint16_t client = 1; client <= 2 * most; client++) {
		struct gate_event event = event_of(client, sizeof(datagram), client);

		hold_push(h, &event, datagram);
	}
	assert_int_equal(hold_len(h), most);
	assert_int_equal(hold_counters(h)->dropped_full, most);
	free(hold_pop(h));
	take_in(h, (struct arrival[]){ { SYN, 60000, 's' } }, 1);
	assert_int_equal(hold_len(h), most);
	assert_int_equal(hold_newest(h)->bytes[0], 's');
}
