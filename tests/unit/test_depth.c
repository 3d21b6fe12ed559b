// SPDX-License-Identifier: MIT
/* Looks at a target that sleeps, once a second, and what follows from them. */
#include "base/util.h"
#include "lib/test.h"
#include "target/depth.h"

/* The time at which it falls asleep, and what had been throttled by then. */
#define START_MS 100000
#define START_US 7000000

#define NEVER UINT64_MAX

struct look {
	const char *name;
	uint64_t ms;		/* since it fell asleep */
	uint64_t throttled_ms;	/* since it fell asleep */
	uint64_t since_sent_ms; /* data to a client */
	bool is_connected;
	enum depth_advice advice;
};

static void expect_looks(const struct look *looks, size_t len)
{
	struct depth d;

	depth_begin(&d, START_MS * NS_PER_MS, START_US);
	for (size_t i = 0; i < len; i++) {
		const struct depth_look look = {
			.now_ns = (START_MS + looks[i].ms) * NS_PER_MS,
			.is_connected = looks[i].is_connected,
			.since_sent_ms = looks[i].since_sent_ms,
			.throttled_us = START_US + looks[i].throttled_ms * 1000,
		};
		enum depth_advice advice = depth_step(&d, &look);

		if (advice != looks[i].advice)
			fail_msg("%s: %d instead of %d", looks[i].name, advice, looks[i].advice);
	}
}

TEST(it_is_frozen_when_the_last_client_has_gone)
{
	static const struct look looks[] = {
		{ "connected", 1000, 0, NEVER, true, DEPTH_THROTTLE },
		{ "still", 2000, 0, NEVER, true, DEPTH_THROTTLE },
		{ "gone", 3000, 0, NEVER, false, DEPTH_FREEZE },
	};

	expect_looks(looks, ARRAY_LEN(looks));
}

TEST(timers_that_send_a_little_do_not_wake_it)
{
	static const struct look looks[] = {
		{ "nothing yet", 1000, 0, 1600, true, DEPTH_THROTTLE },
		{ "a drip", 2000, 300, 500, true, DEPTH_THROTTLE },
		{ "silence", 3000, 300, 1500, true, DEPTH_THROTTLE },
		{ "a costly one", 4000, 1000, 100, true, DEPTH_THROTTLE },
		{ "silence", 5000, 1100, 1100, true, DEPTH_THROTTLE },
		{ "another", 6000, 1800, 100, true, DEPTH_THROTTLE },
	};

	expect_looks(looks, ARRAY_LEN(looks));
}

TEST(work_that_is_sent_period_after_period_wakes_it)
{
	static const struct look looks[] = {
		{ "it begins", 1000, 500, 900, true, DEPTH_THROTTLE },
		{ "it goes on", 2000, 1500, 100, true, DEPTH_WAKE },
	};

	expect_looks(looks, ARRAY_LEN(looks));
}

TEST(work_wakes_it_when_something_is_sent_at_last)
{
	static const struct look looks[] = {
		{ "it computes", 1000, 900, 5900, true, DEPTH_THROTTLE },
		{ "and computes", 2000, 1900, 6900, true, DEPTH_THROTTLE },
		{ "and computes", 3000, 2900, 7900, true, DEPTH_THROTTLE },
		{ "and sends", 4000, 3900, 400, true, DEPTH_WAKE },
	};

	expect_looks(looks, ARRAY_LEN(looks));
}

TEST(what_was_sent_before_the_work_began_is_not_its_output)
{
	static const struct look looks[] = {
		{ "a drip, and silence", 1000, 100, 950, true, DEPTH_THROTTLE },
		{ "work for nobody", 2000, 1000, 1950, true, DEPTH_THROTTLE },
		{ "and more of it", 3000, 2000, 2950, true, DEPTH_THROTTLE },
	};

	expect_looks(looks, ARRAY_LEN(looks));
}

TEST(work_for_nobody_freezes)
{
	static const struct look looks[] = {
		{ "connected", 1000, 1000, 500, true, DEPTH_THROTTLE },
		{ "gone", 2000, 2000, NEVER, false, DEPTH_FREEZE },
	};

	expect_looks(looks, ARRAY_LEN(looks));
}

TEST(a_late_look_is_compared_with_all_the_time_that_has_passed)
{
	static const struct look looks[] = {
		{ "work", 1000, 900, 100, true, DEPTH_THROTTLE },
		{ "less than half of nine seconds", 10000, 5000, 100, true, DEPTH_THROTTLE },
	};

	expect_looks(looks, ARRAY_LEN(looks));
}

TEST(a_counter_that_is_not_there_or_went_back_wakes_nobody)
{
	struct depth d;
	struct depth_look look = { .is_connected = true };

	depth_begin(&d, START_MS * NS_PER_MS, START_US);
	for (uint64_t ms = 1000; ms < 5000; ms += 1000) {
		look.now_ns = (START_MS + ms) * NS_PER_MS;
		assert_int_equal(depth_step(&d, &look), DEPTH_THROTTLE);
	}
}
