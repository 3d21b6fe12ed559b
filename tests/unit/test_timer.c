// SPDX-License-Identifier: MIT
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <event2/event.h>

#include "base/timer.h"
#include "base/util.h"

static struct {
	struct event_base *base;
	struct timer *timer;
	int fired;
	int again; /* times that it starts itself once more */
	bool frees;
} rig;

static void on_timer(void *arg)
{
	struct timer **t = arg;

	rig.fired++;
	if (rig.again-- > 0)
		timer_in_ns(*t, 0);
	if (rig.frees)
		timer_free(t);
}

static int rig_open(void **state)
{
	(void)state;
	memset(&rig, 0, sizeof(rig));
	rig.base = event_base_new();
	rig.timer = rig.base ? timer_new(rig.base, on_timer, &rig.timer) : NULL;
	return rig.timer ? 0 : -1;
}

static int rig_close(void **state)
{
	(void)state;
	timer_free(&rig.timer);
	event_base_free(rig.base);
	return 0;
}

/* Ends when no event is pending. */
static void run(void)
{
	event_base_dispatch(rig.base);
}

static void fires_once(void **state)
{
	(void)state;
	timer_in_ns(rig.timer, 1);
	assert_true(timer_is_pending(rig.timer));
	run();
	assert_int_equal(rig.fired, 1);
	assert_false(timer_is_pending(rig.timer));
}

static void is_not_due_before_its_time(void **state)
{
	(void)state;
	timer_in_ns(rig.timer, 3600 * NS_PER_S);
	event_base_loop(rig.base, EVLOOP_NONBLOCK);
	assert_int_equal(rig.fired, 0);
	assert_true(timer_is_pending(rig.timer));
}

static void the_last_start_counts(void **state)
{
	(void)state;
	timer_in_ns(rig.timer, 3600 * NS_PER_S);
	timer_in_ns(rig.timer, NS_PER_MS + 1);
	run();
	assert_int_equal(rig.fired, 1);
}

static void one_that_is_stopped_does_not_fire(void **state)
{
	(void)state;
	timer_in_ns(rig.timer, 0);
	timer_stop(rig.timer);
	run();
	assert_int_equal(rig.fired, 0);
}

static void may_start_itself_again(void **state)
{
	(void)state;
	rig.again = 2;
	timer_in_ns(rig.timer, 0);
	run();
	assert_int_equal(rig.fired, 3);
}

static void may_free_itself(void **state)
{
	(void)state;
	rig.frees = true;
	timer_in_ns(rig.timer, 0);
	run();
	assert_int_equal(rig.fired, 1);
	assert_null(rig.timer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(fires_once, rig_open, rig_close),
		cmocka_unit_test_setup_teardown(is_not_due_before_its_time, rig_open, rig_close),
		cmocka_unit_test_setup_teardown(the_last_start_counts, rig_open, rig_close),
		cmocka_unit_test_setup_teardown(one_that_is_stopped_does_not_fire, rig_open,
						rig_close),
		cmocka_unit_test_setup_teardown(may_start_itself_again, rig_open, rig_close),
		cmocka_unit_test_setup_teardown(may_free_itself, rig_open, rig_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
