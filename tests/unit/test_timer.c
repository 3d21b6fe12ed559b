// SPDX-License-Identifier: MIT
#include <string.h>

#include <event2/event.h>

#include "base/timer.h"
#include "base/util.h"
#include "lib/test.h"

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

static void rig_open(void)
{
	memset(&rig, 0, sizeof(rig));
	rig.base = event_base_new();
	rig.timer = rig.base ? timer_new(rig.base, on_timer, &rig.timer) : NULL;
	assert_int_equal(rig.timer ? 0 : -1, 0);
}

static void rig_close(void)
{
	timer_free(&rig.timer);
	event_base_free(rig.base);
}

struct test_fixture test_around_each = { rig_open, rig_close };

/* Ends when no event is pending. */
static void run(void)
{
	event_base_dispatch(rig.base);
}

TEST(fires_once)
{
	timer_in_ns(rig.timer, 1);
	assert_true(timer_is_pending(rig.timer));
	run();
	assert_int_equal(rig.fired, 1);
	assert_false(timer_is_pending(rig.timer));
}

TEST(is_not_due_before_its_time)
{
	timer_in_ns(rig.timer, 3600 * NS_PER_S);
	event_base_loop(rig.base, EVLOOP_NONBLOCK);
	assert_int_equal(rig.fired, 0);
	assert_true(timer_is_pending(rig.timer));
}

TEST(the_last_start_counts)
{
	timer_in_ns(rig.timer, 3600 * NS_PER_S);
	timer_in_ns(rig.timer, NS_PER_MS + 1);
	run();
	assert_int_equal(rig.fired, 1);
}

TEST(one_that_is_stopped_does_not_fire)
{
	timer_in_ns(rig.timer, 0);
	timer_stop(rig.timer);
	run();
	assert_int_equal(rig.fired, 0);
}

TEST(may_start_itself_again)
{
	rig.again = 2;
	timer_in_ns(rig.timer, 0);
	run();
	assert_int_equal(rig.fired, 3);
}

TEST(may_free_itself)
{
	rig.frees = true;
	timer_in_ns(rig.timer, 0);
	run();
	assert_int_equal(rig.fired, 1);
	assert_null(rig.timer);
}
