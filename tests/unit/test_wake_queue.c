// SPDX-License-Identifier: MIT
#include <string.h>

#include "lib/test.h"
#include "target/wake_queue.h"

#define TICKETS 6

static struct {
	struct wake_queue queue;
	struct wake_ticket tickets[TICKETS];
	char granted[64]; /* "013": in this order */
} rig;

static void on_granted(void *arg)
{
	const struct wake_ticket *t = arg;
	size_t len = strlen(rig.granted);

	assert_true(len + 1 < sizeof(rig.granted));
	rig.granted[len] = (char)('0' + (t - rig.tickets));
	rig.granted[len + 1] = '\0';
}

static void rig_reset(void)
{
	memset(&rig, 0, sizeof(rig));
	for (size_t i = 0; i < TICKETS; i++) {
		rig.tickets[i].granted = on_granted;
		rig.tickets[i].arg = &rig.tickets[i];
	}
}

struct test_fixture test_around_each = { rig_reset, NULL };

static void ask(size_t i)
{
	wake_queue_ask(&rig.queue, &rig.tickets[i]);
}

static bool end(size_t i)
{
	return wake_queue_end(&rig.queue, &rig.tickets[i]);
}

TEST(without_a_limit_nobody_waits)
{
	for (size_t i = 0; i < TICKETS; i++)
		ask(i);
	assert_string_equal(rig.granted, "012345");
}

TEST(those_above_the_limit_wait_in_their_order)
{
	rig.queue.max = 2;
	for (size_t i = 0; i < TICKETS; i++)
		ask(i);
	assert_string_equal(rig.granted, "01");
	assert_false(end(1));
	assert_string_equal(rig.granted, "012");
	assert_false(end(0));
	assert_false(end(2));
	assert_string_equal(rig.granted, "01234");
}

TEST(higher_priority_comes_first)
{
	static const int32_t priorities[TICKETS] = { 0, -5, 0, 1000, 1000, 2000000000 };

	rig.queue.max = 1;
	for (size_t i = 0; i < TICKETS; i++) {
		rig.tickets[i].priority = priorities[i];
		ask(i);
	}
	end(0);
	end(5);
	end(3);
	end(4);
	end(2);
	assert_string_equal(rig.granted, "053421");
}

TEST(one_that_gives_up_while_it_waits_takes_no_turn)
{
	rig.queue.max = 1;
	ask(0);
	ask(1);
	ask(2);
	assert_true(end(1));
	assert_false(end(1));
	assert_string_equal(rig.granted, "0");
	end(0);
	assert_string_equal(rig.granted, "02");
	end(2);
	assert_int_equal(rig.queue.wakes_len, 0);
}

TEST(asking_again_counts_once)
{
	rig.queue.max = 1;
	ask(0);
	ask(0); /* it tries once more */
	ask(1);
	ask(1);
	assert_string_equal(rig.granted, "00");
	assert_int_equal(rig.queue.wakes_len, 1);
	end(0);
	assert_string_equal(rig.granted, "001");
	end(1);
	assert_int_equal(rig.queue.wakes_len, 0);
	ask(1);
	assert_string_equal(rig.granted, "0011");
}

TEST(the_end_of_one_that_never_asked_is_nothing)
{
	rig.queue.max = 1;
	ask(0);
	assert_false(end(3));
	assert_int_equal(rig.queue.wakes_len, 1);
}
