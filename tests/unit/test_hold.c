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
	TCP = IPPROTO_TCP,
	UDP = IPPROTO_UDP,
	POP = 255, /* instead of a protocol: take the oldest frame out */
};

struct arrival {
	int protocol;
	uint16_t client;
	char letter;
};

static struct gate_event event_of(int protocol, uint16_t client, size_t frame_len, uint64_t seen_ns)
{
	return (struct gate_event){
		.flow = {
			.saddr = { .bytes = { [10] = 0xff, 0xff, 192, 0, 2, 1 } },
			.daddr = { .bytes = { [10] = 0xff, 0xff, 192, 0, 2, 80 } },
			.sport_be = htons(client),
			.dport_be = htons(8080),
			.protocol = (__u8)protocol,
		},
		.seen_ns = seen_ns,
		.frame_len = (__u16)frame_len,
	};
}

static struct hold *hold_of(size_t frames_max, size_t datagrams_max)
{
	struct hold *h = NULL;

	assert_int_equal(hold_new(&h, frames_max, datagrams_max), 0);
	return h;
}

static void take_in(struct hold *h, const struct arrival *arrivals, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		const struct arrival *a = &arrivals[i];
		struct gate_event event = event_of(a->protocol, a->client, 1, i);

		if (a->protocol == POP)
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
	_cleanup_(hold_free) struct hold *h = hold_of(8, 2);
	_cleanup_(freep) struct hold_frame *frame = NULL;
	struct gate_event first = event_of(TCP, 40000, 3, 1000), second;

	second = event_of(TCP, 40000, 6, 2000);
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
		{ TCP, 1, 'a' }, { UDP, 2, 'b' }, { TCP, 3, 'c' }, { UDP, 2, 'd' }, { TCP, 4, 'e' },
	};
	_cleanup_(hold_free) struct hold *h = hold_of(8, 2);

	take_in(h, arrivals, ARRAY_LEN(arrivals));
	expect_held(h, "abcde");
	assert_int_equal(hold_counters(h)->held, 5);
	assert_int_equal(hold_counters(h)->folded, 0);
}

TEST(a_syn_that_was_sent_again_goes_to_the_end_of_the_line)
{
	static const struct arrival arrivals[] = {
		{ TCP, 1, 'a' }, { TCP, 2, 'b' }, { TCP, 3, 'c' },
		{ TCP, 1, 'A' }, { TCP, 2, 'B' }, { TCP, 2, 'X' },
	};
	_cleanup_(hold_free) struct hold *h = hold_of(8, 2);

	take_in(h, arrivals, ARRAY_LEN(arrivals));
	expect_held(h, "cAX");
	assert_int_equal(hold_counters(h)->held, 6);
	assert_int_equal(hold_counters(h)->folded, 3);
	assert_int_equal(hold_counters(h)->dropped_full, 0);
}

TEST(of_a_udp_flow_the_first_datagrams_are_kept_in_order)
{
	static const struct arrival arrivals[] = {
		{ UDP, 1, 'a' }, { UDP, 1, 'b' }, { UDP, 2, 'p' },
		{ UDP, 1, 'c' }, { UDP, 1, 'd' }, /* one too many of this flow */
		{ UDP, 2, 'q' }, { UDP, 1, 'e' },
	};
	_cleanup_(hold_free) struct hold *h = hold_of(8, 3);

	take_in(h, arrivals, ARRAY_LEN(arrivals));
	expect_held(h, "abpcq");
	assert_int_equal(hold_counters(h)->held, 5);
	assert_int_equal(hold_counters(h)->dropped_flow_full, 2);
	assert_int_equal(hold_counters(h)->folded, 0);
}

TEST(a_datagram_that_left_makes_room_for_the_next_of_its_flow)
{
	static const struct arrival arrivals[] = {
		{ UDP, 1, 'a' }, { UDP, 1, 'b' }, { UDP, 1, 'x' },
		{ POP, 0, 0 },	 { UDP, 1, 'c' }, { UDP, 1, 'x' },
	};
	_cleanup_(hold_free) struct hold *h = hold_of(8, 2);

	take_in(h, arrivals, ARRAY_LEN(arrivals));
	expect_held(h, "bc");
	assert_int_equal(hold_counters(h)->dropped_flow_full, 2);
}

TEST(when_there_is_no_room_the_oldest_leaves)
{
	static const struct arrival arrivals[] = {
		{ TCP, 1, 'a' }, { UDP, 2, 'b' }, { TCP, 3, 'c' }, { TCP, 4, 'd' }, /* for a */
		{ TCP, 1, 'A' }, /* a new flow again, for b */
		{ UDP, 2, 'B' }, /* for c */
	};
	_cleanup_(hold_free) struct hold *h = hold_of(3, 2);

	take_in(h, arrivals, ARRAY_LEN(arrivals));
	expect_held(h, "dAB");
	assert_int_equal(hold_counters(h)->held, 6);
	assert_int_equal(hold_counters(h)->dropped_full, 3);
	assert_int_equal(hold_counters(h)->folded, 0);
}

/* Nobody has to leave for a frame that replaces another, or that is not let in. */
TEST(a_full_hold_loses_nothing_to_a_folded_or_refused_frame)
{
	static const struct arrival arrivals[] = {
		{ TCP, 1, 'a' }, { UDP, 2, 'b' }, { TCP, 3, 'c' },
		{ TCP, 3, 'C' }, { TCP, 1, 'A' }, { UDP, 2, 'x' },
	};
	_cleanup_(hold_free) struct hold *h = hold_of(3, 1);

	take_in(h, arrivals, ARRAY_LEN(arrivals));
	expect_held(h, "bCA");
	assert_int_equal(hold_counters(h)->folded, 2);
	assert_int_equal(hold_counters(h)->dropped_flow_full, 1);
	assert_int_equal(hold_counters(h)->dropped_full, 0);
}

/* The frame that leaves is the only one of the flow that comes. */
TEST(the_oldest_may_be_of_the_flow_that_enters)
{
	static const struct arrival arrivals[] = {
		{ UDP, 1, 'a' },
		{ UDP, 1, 'b' },
	};
	_cleanup_(hold_free) struct hold *h = hold_of(1, 8);

	take_in(h, arrivals, ARRAY_LEN(arrivals));
	expect_held(h, "b");
	assert_int_equal(hold_counters(h)->dropped_full, 1);
}

/* A popped SYN is on its way: the next one is not a repetition of it. */
TEST(a_popped_flow_is_new_again)
{
	static const struct arrival arrivals[] = {
		{ TCP, 1, 'a' }, { POP, 0, 0 }, { TCP, 1, 'b' },
		{ POP, 0, 0 },	 { POP, 0, 0 }, /* of nothing */
		{ TCP, 1, 'c' },
	};
	_cleanup_(hold_free) struct hold *h = hold_of(8, 2);

	take_in(h, arrivals, ARRAY_LEN(arrivals));
	expect_held(h, "c");
	assert_int_equal(hold_counters(h)->held, 3);
	assert_int_equal(hold_counters(h)->folded, 0);
}
/* clang-format on */

TEST(flows_that_differ_in_any_byte_are_two)
{
	for (size_t i = 0; i < sizeof(struct gate_flow); i++) {
		_cleanup_(hold_free) struct hold *h = hold_of(8, 1);
		struct gate_event a = event_of(TCP, 40000, 1, 0), b = a;

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
	_cleanup_(hold_free) struct hold *h = hold_of(2, 2);
	const struct arrival a = { TCP, 1, 'a' }, b = { UDP, 2, 'b' }, again = { TCP, 1, 'A' };
	const struct arrival c = { TCP, 3, 'c' }, pop = { POP, 0, 0 };

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
	_cleanup_(hold_free) struct hold *h = hold_of(ROOM, 2);

	for (uint64_t i = 0; i < 2 * FLOWS; i++) {
		struct gate_event event = event_of(TCP, (uint16_t)(i / 2), sizeof(i), i);

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
		{ TCP, 1, 'a' },
		{ UDP, 2, 'b' },
		{ UDP, 2, 'c' },
		{ TCP, 3, 'd' },
	};
	struct hold *h = hold_of(8, 2);

	take_in(h, arrivals, ARRAY_LEN(arrivals));
	hold_free(&h);
	assert_null(h);
	hold_free(&h);
}

TEST(in_bytes_there_is_a_limit_as_well)
{
	static const char datagram[GATE_FRAME_MAX] = { 0 };
	_cleanup_(hold_free) struct hold *h = hold_of(4096, 64);
	const size_t most = HOLD_BYTES_MAX / sizeof(datagram);

	for (uint16_t client = 1; client <= 2 * most; client++) {
		struct gate_event event = event_of(UDP, client, sizeof(datagram), client);

		hold_push(h, &event, datagram);
	}
	assert_int_equal(hold_len(h), most);
	assert_int_equal(hold_counters(h)->dropped_full, most);
	free(hold_pop(h));
	take_in(h, (struct arrival[]){ { TCP, 60000, 's' } }, 1);
	assert_int_equal(hold_len(h), most);
	assert_int_equal(hold_newest(h)->bytes[0], 's');
}
