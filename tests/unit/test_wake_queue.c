// SPDX-License-Identifier: MIT
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

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

static int rig_reset(void **state)
{
	(void)state;
	memset(&rig, 0, sizeof(rig));
	for (size_t i = 0; i < TICKETS; i++) {
		rig.tickets[i].granted = on_granted;
		rig.tickets[i].arg = &rig.tickets[i];
	}
	return 0;
}

static void ask(size_t i)
{
	wake_queue_ask(&rig.queue, &rig.tickets[i]);
}

static bool end(size_t i)
{
	return wake_queue_end(&rig.queue, &rig.tickets[i]);
}

static void without_a_limit_nobody_waits(void **state)
{
	(void)state;
	for (size_t i = 0; i < TICKETS; i++)
		ask(i);
	assert_string_equal(rig.granted, "012345");
}

static void those_above_the_limit_wait_in_their_order(void **state)
{
	(void)state;
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

static void higher_priority_comes_first(void **state)
{
	static const int32_t priorities[TICKETS] = { 0, -5, 0, 1000, 1000, 2000000000 };

	(void)state;
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

static void one_that_gives_up_while_it_waits_takes_no_turn(void **state)
{
	(void)state;
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

static void asking_again_counts_once(void **state)
{
	(void)state;
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

static void the_end_of_one_that_never_asked_is_nothing(void **state)
{
	(void)state;
	rig.queue.max = 1;
	ask(0);
	assert_false(end(3));
	assert_int_equal(rig.queue.wakes_len, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(without_a_limit_nobody_waits, rig_reset),
		cmocka_unit_test_setup(those_above_the_limit_wait_in_their_order, rig_reset),
		cmocka_unit_test_setup(higher_priority_comes_first, rig_reset),
		cmocka_unit_test_setup(one_that_gives_up_while_it_waits_takes_no_turn, rig_reset),
		cmocka_unit_test_setup(asking_again_counts_once, rig_reset),
		cmocka_unit_test_setup(the_end_of_one_that_never_asked_is_nothing, rig_reset),
	};

	return cmocka_run_group_tests_name("wake_queue", tests, NULL, NULL);
}
