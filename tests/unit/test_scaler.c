// SPDX-License-Identifier: MIT
/* The scaler by stories: each table is one target's life, a row for each event. */
#include <stdbool.h>
#include <string.h>

#include "base/util.h"
#include "lib/scaler_watch.h"
#include "lib/test.h"
#include "target/scaler.h"

#define ROWS(array)    (array), ARRAY_LEN(array)
#define NEVER_MS       UINT64_MAX
#define RANDOM_STEPS   200000
#define RANDOM_LAG_MAX (10 * NS_PER_MS) /* of a stamp behind the packet */

static const struct scaler_settings settings = {
	.idle_ns = 10000 * NS_PER_MS,
	.settle_ns = 20 * NS_PER_MS,
	.wake_timeout_ns = 30000 * NS_PER_MS,
	.retry_min_ns = 1000 * NS_PER_MS,
	.retry_max_ns = 5000 * NS_PER_MS,
};

struct step {
	uint64_t ms;
	enum scaler_event event;
	uint64_t activity_ms;
	enum scaler_state state;
	unsigned int effects;
};

static void replay_with(const struct scaler_settings *with, const struct step *story, size_t len)
{
	struct scaler_watch w;

	scaler_watch_init(&w, with, 0);
	for (size_t i = 0; i < len; i++) {
		const struct step *s = &story[i];
		unsigned int effects;
		const char *broken = scaler_watch_step(&w, s->event, s->ms * NS_PER_MS,
						       s->activity_ms * NS_PER_MS, &effects);

		if (broken)
			fail_msg("row %zu breaks: %s", i, broken);
		if (w.scaler.state != s->state || effects != s->effects)
			fail_msg("row %zu: %s with effects 0x%02x, not %s with 0x%02x", i,
				 scaler_state_name(w.scaler.state), effects,
				 scaler_state_name(s->state), s->effects);
	}
}

static void replay(const struct step *story, size_t len)
{
	replay_with(&settings, story, len);
}

/* clang-format off */

TEST(a_new_target_waits_for_its_first_answer_with_an_open_gate_and_no_timeout)
{
	static const struct step story[] = {
		/*    ms  event            activity ms  state after       effects */
		{        0, SCALER_TICK,              0, SCALER_UNREADY,   0 },
		{     5000, SCALER_TRAFFIC,        5000, SCALER_UNREADY,   0 },
		{    30000, SCALER_TICK,           5000, SCALER_UNREADY,   0 },
		{  9999999, SCALER_TICK,           5000, SCALER_UNREADY,   0 },
		/* It has just started: idle from now on, not from its last packet on. */
		{  9999999, SCALER_READY,          5000, SCALER_AWAKE,     0 },
		{ 10009998, SCALER_TICK,           5000, SCALER_AWAKE,     0 },
		{ 10009999, SCALER_TICK,           5000, SCALER_SHRINKING, SCALER_CLOSE_GATE },
	};

	replay(ROWS(story));
}

TEST(an_idle_target_is_gated_then_shrunk_then_asleep)
{
	static const struct step story[] = {
		{      0, SCALER_READY,             0, SCALER_AWAKE,     0 },
		{   9999, SCALER_TICK,              0, SCALER_AWAKE,     0 },
		{  10000, SCALER_TICK,              0, SCALER_SHRINKING, SCALER_CLOSE_GATE },
		{  10019, SCALER_TICK,              0, SCALER_SHRINKING, 0 },
		{  10020, SCALER_TICK,              0, SCALER_SHRINKING, SCALER_SHRINK },
		{  10050, SCALER_TICK,              0, SCALER_SHRINKING, 0 },
		{  10100, SCALER_SHRUNK,            0, SCALER_ASLEEP,    0 },
	};

	replay(ROWS(story));
}

TEST(activity_pushes_the_deadline)
{
	static const struct step story[] = {
		{      0, SCALER_READY,             0, SCALER_AWAKE,     0 },
		{  10000, SCALER_TICK,           7000, SCALER_AWAKE,     0 },
		{  16999, SCALER_TICK,           7000, SCALER_AWAKE,     0 },
		{  17000, SCALER_TICK,          16999, SCALER_AWAKE,     0 },
		{  26999, SCALER_TICK,          16999, SCALER_SHRINKING, SCALER_CLOSE_GATE },
	};

	replay(ROWS(story));
}

/* A wake that was on its way when the gate opened, a size that is reached twice. */
TEST(events_that_are_late_change_nothing_while_awake)
{
	static const struct step story[] = {
		{      0, SCALER_READY,             0, SCALER_AWAKE,     0 },
		{  10000, SCALER_TRAFFIC,           0, SCALER_AWAKE,     0 },
		{  10001, SCALER_SHRUNK,            0, SCALER_AWAKE,     0 },
		{  10002, SCALER_SHRINK_FAILED,     0, SCALER_AWAKE,     0 },
		{  10003, SCALER_GROWN,             0, SCALER_AWAKE,     0 },
		{  10004, SCALER_GROW_FAILED,       0, SCALER_AWAKE,     0 },
		{  10005, SCALER_READY,             0, SCALER_AWAKE,     0 },
		{  10006, SCALER_TICK,              0, SCALER_SHRINKING, SCALER_CLOSE_GATE },
	};

	replay(ROWS(story));
}

TEST(a_target_stays_awake_for_its_least_time)
{
	static const struct scaler_settings restless = {
		.idle_ns = 500 * NS_PER_MS,
		.awake_min_ns = 4000 * NS_PER_MS,
		.settle_ns = 20 * NS_PER_MS,
		.wake_timeout_ns = 30000 * NS_PER_MS,
	};
	static const struct step story[] = {
		{   1000, SCALER_READY,             0, SCALER_AWAKE,     0 },
		{   1500, SCALER_TICK,              0, SCALER_AWAKE,     0 },
		{   4999, SCALER_TICK,              0, SCALER_AWAKE,     0 },
		{   5000, SCALER_TICK,           4600, SCALER_AWAKE,     0 },
		{   5100, SCALER_TICK,           4600, SCALER_SHRINKING, SCALER_CLOSE_GATE },
	};

	replay_with(&restless, ROWS(story));
}

TEST(traffic_while_the_gate_settles_opens_it_at_once)
{
	static const struct step story[] = {
		{      0, SCALER_READY,             0, SCALER_AWAKE,     0 },
		{  10000, SCALER_TICK,              0, SCALER_SHRINKING, SCALER_CLOSE_GATE },
		{  10001, SCALER_TRAFFIC,       10001, SCALER_AWAKE,     SCALER_OPEN_GATE },
		{  20000, SCALER_TICK,          10001, SCALER_AWAKE,     0 },
		{  20001, SCALER_TICK,          10001, SCALER_SHRINKING, SCALER_CLOSE_GATE },
	};

	replay(ROWS(story));
}

/* The packet that slipped through while the gate was being closed: no event tells of it. */
TEST(activity_that_moved_while_the_gate_settled_opens_it)
{
	static const struct step story[] = {
		{      0, SCALER_READY,             0, SCALER_AWAKE,     0 },
		{  10000, SCALER_TICK,              0, SCALER_SHRINKING, SCALER_CLOSE_GATE },
		{  10020, SCALER_TICK,           9999, SCALER_AWAKE,     SCALER_OPEN_GATE },
		{  19998, SCALER_TICK,           9999, SCALER_AWAKE,     0 },
		{  19999, SCALER_TICK,           9999, SCALER_SHRINKING, SCALER_CLOSE_GATE },
		{  20019, SCALER_TICK,           9999, SCALER_SHRINKING, SCALER_SHRINK },
	};

	replay(ROWS(story));
}

TEST(traffic_while_shrinking_grows_and_a_late_shrunk_is_ignored)
{
	static const struct step story[] = {
		{      0, SCALER_READY,             0, SCALER_AWAKE,     0 },
		{  10000, SCALER_TICK,              0, SCALER_SHRINKING, SCALER_CLOSE_GATE },
		{  10020, SCALER_TICK,              0, SCALER_SHRINKING, SCALER_SHRINK },
		{  10030, SCALER_TRAFFIC,       10030, SCALER_GROWING,   SCALER_GROW },
		{  10031, SCALER_SHRUNK,        10030, SCALER_GROWING,   0 },
		{  10032, SCALER_SHRINK_FAILED, 10030, SCALER_GROWING,   0 },
		{  10033, SCALER_TRAFFIC,       10033, SCALER_GROWING,   0 },
		{  10034, SCALER_READY,         10033, SCALER_GROWING,   0 },
		{  10040, SCALER_GROWN,         10033, SCALER_UNREADY,   SCALER_ASK_READY },
		{  10042, SCALER_READY,         10033, SCALER_AWAKE,     SCALER_OPEN_GATE },
	};

	replay(ROWS(story));
}

TEST(a_shrink_that_failed_is_undone_with_the_gate_open)
{
	static const struct step story[] = {
		{      0, SCALER_READY,             0, SCALER_AWAKE,     0 },
		{  10000, SCALER_TICK,              0, SCALER_SHRINKING, SCALER_CLOSE_GATE },
		{  10020, SCALER_TICK,              0, SCALER_SHRINKING, SCALER_SHRINK },
		{  10030, SCALER_SHRINK_FAILED,     0, SCALER_GROWING,
		  SCALER_GROW | SCALER_OPEN_GATE },
		/* Nobody waits behind an open gate, so nothing is late. */
		{  90000, SCALER_TICK,              0, SCALER_GROWING,   0 },
		{  90001, SCALER_GROWN,             0, SCALER_UNREADY,   SCALER_ASK_READY },
		{  99999, SCALER_TICK,              0, SCALER_UNREADY,   0 },
		{ 100000, SCALER_READY,             0, SCALER_AWAKE,     0 },
	};

	replay(ROWS(story));
}

TEST(a_shrink_that_fails_again_and_again_is_tried_less_and_less)
{
	static const struct scaler_settings patient = {
		.idle_ns = 10000 * NS_PER_MS,
		.settle_ns = 20 * NS_PER_MS,
		.wake_timeout_ns = 30000 * NS_PER_MS,
		.retry_min_ns = 1000 * NS_PER_MS,
		.retry_max_ns = 5000 * NS_PER_MS,
		.shrink_pause_max_ns = 30000 * NS_PER_MS,
	};
	static const struct step story[] = {
		{      0, SCALER_READY,             0, SCALER_AWAKE,     0 },
		{  10000, SCALER_TICK,              0, SCALER_SHRINKING, SCALER_CLOSE_GATE },
		{  10020, SCALER_TICK,              0, SCALER_SHRINKING, SCALER_SHRINK },
		{  11000, SCALER_SHRINK_FAILED,     0, SCALER_GROWING,
		  SCALER_GROW | SCALER_OPEN_GATE },
		{  11000, SCALER_GROWN,             0, SCALER_UNREADY,   SCALER_ASK_READY },
		{  11000, SCALER_READY,             0, SCALER_AWAKE,     0 },
		/* The first time after the idle time, as ever. */
		{  20999, SCALER_TICK,              0, SCALER_AWAKE,     0 },
		{  21000, SCALER_TICK,              0, SCALER_SHRINKING, SCALER_CLOSE_GATE },
		{  21020, SCALER_TICK,              0, SCALER_SHRINKING, SCALER_SHRINK },
		{  22000, SCALER_SHRINK_FAILED,     0, SCALER_GROWING,
		  SCALER_GROW | SCALER_OPEN_GATE },
		{  22000, SCALER_GROWN,             0, SCALER_UNREADY,   SCALER_ASK_READY },
		{  22000, SCALER_READY,             0, SCALER_AWAKE,     0 },
		{  41999, SCALER_TICK,              0, SCALER_AWAKE,     0 },
		{  42000, SCALER_TICK,              0, SCALER_SHRINKING, SCALER_CLOSE_GATE },
		{  42020, SCALER_TICK,              0, SCALER_SHRINKING, SCALER_SHRINK },
		{  43000, SCALER_SHRINK_FAILED,     0, SCALER_GROWING,
		  SCALER_GROW | SCALER_OPEN_GATE },
		{  43000, SCALER_GROWN,             0, SCALER_UNREADY,   SCALER_ASK_READY },
		{  43000, SCALER_READY,             0, SCALER_AWAKE,     0 },
		{  72999, SCALER_TICK,              0, SCALER_AWAKE,     0 },
		{  73000, SCALER_TICK,              0, SCALER_SHRINKING, SCALER_CLOSE_GATE },
		{  73020, SCALER_TICK,              0, SCALER_SHRINKING, SCALER_SHRINK },
		/* It works again, and that is forgotten. */
		{  73100, SCALER_SHRUNK,            0, SCALER_ASLEEP,    0 },
		{  80000, SCALER_TRAFFIC,       80000, SCALER_GROWING,   SCALER_GROW },
		{  80000, SCALER_GROWN,         80000, SCALER_UNREADY,   SCALER_ASK_READY },
		{  80000, SCALER_READY,         80000, SCALER_AWAKE,     SCALER_OPEN_GATE },
		{  90000, SCALER_TICK,          80000, SCALER_SHRINKING, SCALER_CLOSE_GATE },
		{  90020, SCALER_TICK,          80000, SCALER_SHRINKING, SCALER_SHRINK },
		{  91000, SCALER_SHRINK_FAILED, 80000, SCALER_GROWING,
		  SCALER_GROW | SCALER_OPEN_GATE },
		{  91000, SCALER_GROWN,         80000, SCALER_UNREADY,   SCALER_ASK_READY },
		{  91000, SCALER_READY,         80000, SCALER_AWAKE,     0 },
		{ 101000, SCALER_TICK,          80000, SCALER_SHRINKING, SCALER_CLOSE_GATE },
	};

	replay_with(&patient, ROWS(story));
}

TEST(a_sleep_that_was_undone_and_cannot_be_set_again_is_over)
{
	static const struct step story[] = {
		{      0, SCALER_READY,             0, SCALER_AWAKE,     0 },
		{  10000, SCALER_TICK,              0, SCALER_SHRINKING, SCALER_CLOSE_GATE },
		{  10020, SCALER_TICK,              0, SCALER_SHRINKING, SCALER_SHRINK },
		{  10021, SCALER_SHRUNK,            0, SCALER_ASLEEP,    0 },
		{  99999, SCALER_SHRINK_FAILED,     0, SCALER_GROWING,   SCALER_GROW | SCALER_OPEN_GATE },
		{ 100000, SCALER_GROWN,             0, SCALER_UNREADY,   SCALER_ASK_READY },
		{ 100001, SCALER_READY,             0, SCALER_AWAKE,     0 },
	};

	replay(ROWS(story));
}

TEST(a_sleeping_target_hears_nothing_but_traffic)
{
	static const struct step story[] = {
		{      0, SCALER_READY,             0, SCALER_AWAKE,     0 },
		{  10000, SCALER_TICK,              0, SCALER_SHRINKING, SCALER_CLOSE_GATE },
		{  10020, SCALER_TICK,              0, SCALER_SHRINKING, SCALER_SHRINK },
		{  10021, SCALER_SHRUNK,            0, SCALER_ASLEEP,    0 },
		{  20000, SCALER_TICK,              0, SCALER_ASLEEP,    0 },
		{  99999, SCALER_TICK,              0, SCALER_ASLEEP,    0 },
		{  99999, SCALER_SHRUNK,            0, SCALER_ASLEEP,    0 },
		{  99999, SCALER_GROWN,             0, SCALER_ASLEEP,    0 },
		{  99999, SCALER_GROW_FAILED,       0, SCALER_ASLEEP,    0 },
		{  99999, SCALER_READY,             0, SCALER_ASLEEP,    0 },
		{  99999, SCALER_TRAFFIC,       99999, SCALER_GROWING,   SCALER_GROW },
	};

	replay(ROWS(story));
}

TEST(a_wake_grows_then_probes_then_opens_and_is_idle_from_then_on)
{
	static const struct step story[] = {
		{      0, SCALER_READY,             0, SCALER_AWAKE,     0 },
		{  10000, SCALER_TICK,              0, SCALER_SHRINKING, SCALER_CLOSE_GATE },
		{  10020, SCALER_TICK,              0, SCALER_SHRINKING, SCALER_SHRINK },
		{  10021, SCALER_SHRUNK,            0, SCALER_ASLEEP,    0 },
		{  50000, SCALER_TRAFFIC,       50000, SCALER_GROWING,   SCALER_GROW },
		{  50001, SCALER_TICK,          50000, SCALER_GROWING,   0 },
		{  50040, SCALER_GROWN,         50000, SCALER_UNREADY,   SCALER_ASK_READY },
		{  50041, SCALER_TICK,          50000, SCALER_UNREADY,   0 },
		{  50042, SCALER_TRAFFIC,       50042, SCALER_UNREADY,   0 },
		{  50050, SCALER_READY,         50042, SCALER_AWAKE,     SCALER_OPEN_GATE },
		{  60049, SCALER_TICK,          50042, SCALER_AWAKE,     0 },
		{  60050, SCALER_TICK,          50042, SCALER_SHRINKING, SCALER_CLOSE_GATE },
	};

	replay(ROWS(story));
}

TEST(a_grow_that_never_answers_opens_the_gate_after_the_wake_timeout)
{
	static const struct step story[] = {
		{      0, SCALER_READY,             0, SCALER_AWAKE,     0 },
		{  10000, SCALER_TICK,              0, SCALER_SHRINKING, SCALER_CLOSE_GATE },
		{  10020, SCALER_TICK,              0, SCALER_SHRINKING, SCALER_SHRINK },
		{  10021, SCALER_SHRUNK,            0, SCALER_ASLEEP,    0 },
		{  50000, SCALER_TRAFFIC,       50000, SCALER_GROWING,   SCALER_GROW },
		{  79999, SCALER_TICK,          50000, SCALER_GROWING,   0 },
		{  80000, SCALER_TICK,          50000, SCALER_GROWING,
		  SCALER_OPEN_GATE | SCALER_TIMED_OUT },
		{  80001, SCALER_TICK,          50000, SCALER_GROWING,   0 },
		/* It is still not known to be ready. */
		{  95000, SCALER_GROWN,         50000, SCALER_UNREADY,   SCALER_ASK_READY },
		{  99999, SCALER_TICK,          50000, SCALER_UNREADY,   0 },
		{  99999, SCALER_READY,         50000, SCALER_AWAKE,     0 },
	};

	replay(ROWS(story));
}

/* The timeout counts from the waking packet, not from the probe. */
TEST(a_probe_that_never_answers_opens_the_gate_after_the_wake_timeout)
{
	static const struct step story[] = {
		{      0, SCALER_READY,             0, SCALER_AWAKE,     0 },
		{  10000, SCALER_TICK,              0, SCALER_SHRINKING, SCALER_CLOSE_GATE },
		{  10020, SCALER_TICK,              0, SCALER_SHRINKING, SCALER_SHRINK },
		{  10021, SCALER_SHRUNK,            0, SCALER_ASLEEP,    0 },
		{  50000, SCALER_TRAFFIC,       50000, SCALER_GROWING,   SCALER_GROW },
		{  60000, SCALER_GROWN,         50000, SCALER_UNREADY,   SCALER_ASK_READY },
		{  79999, SCALER_TICK,          50000, SCALER_UNREADY,   0 },
		{  80000, SCALER_TICK,          50000, SCALER_AWAKE,
		  SCALER_STOP_ASKING | SCALER_OPEN_GATE | SCALER_TIMED_OUT },
		{  89999, SCALER_TICK,          50000, SCALER_AWAKE,     0 },
		{  90000, SCALER_TICK,          50000, SCALER_SHRINKING, SCALER_CLOSE_GATE },
	};

	replay(ROWS(story));
}

TEST(a_grow_that_failed_is_tried_again_with_doubling_pauses)
{
	static const struct step story[] = {
		{      0, SCALER_READY,             0, SCALER_AWAKE,     0 },
		{  10000, SCALER_TICK,              0, SCALER_SHRINKING, SCALER_CLOSE_GATE },
		{  10020, SCALER_TICK,              0, SCALER_SHRINKING, SCALER_SHRINK },
		{  10021, SCALER_SHRUNK,            0, SCALER_ASLEEP,    0 },
		{  50000, SCALER_TRAFFIC,       50000, SCALER_GROWING,   SCALER_GROW },
		{  50000, SCALER_GROW_FAILED,   50000, SCALER_GROWING,   0 },
		{  50999, SCALER_TICK,          50000, SCALER_GROWING,   0 },
		{  51000, SCALER_TICK,          50000, SCALER_GROWING,   SCALER_GROW },
		{  51001, SCALER_TICK,          50000, SCALER_GROWING,   0 },
		{  52000, SCALER_GROW_FAILED,   50000, SCALER_GROWING,   0 },
		{  53999, SCALER_TICK,          50000, SCALER_GROWING,   0 },
		{  54000, SCALER_TICK,          50000, SCALER_GROWING,   SCALER_GROW },
		{  54000, SCALER_GROW_FAILED,   50000, SCALER_GROWING,   0 },
		{  58000, SCALER_TICK,          50000, SCALER_GROWING,   SCALER_GROW },
		/* Eight seconds would be next, but five are the most. */
		{  58000, SCALER_GROW_FAILED,   50000, SCALER_GROWING,   0 },
		{  62999, SCALER_TICK,          50000, SCALER_GROWING,   0 },
		{  63000, SCALER_TICK,          50000, SCALER_GROWING,   SCALER_GROW },
		{  63000, SCALER_GROW_FAILED,   50000, SCALER_GROWING,   0 },
		{  68000, SCALER_TICK,          50000, SCALER_GROWING,   SCALER_GROW },
		{  68001, SCALER_GROWN,         50000, SCALER_UNREADY,   SCALER_ASK_READY },
		{  68002, SCALER_READY,         50000, SCALER_AWAKE,     SCALER_OPEN_GATE },
	};

	replay(ROWS(story));
}

TEST(a_grow_is_tried_again_also_after_the_gate_was_opened_late)
{
	static const struct step story[] = {
		{      0, SCALER_READY,             0, SCALER_AWAKE,     0 },
		{  10000, SCALER_TICK,              0, SCALER_SHRINKING, SCALER_CLOSE_GATE },
		{  10020, SCALER_TICK,              0, SCALER_SHRINKING, SCALER_SHRINK },
		{  10021, SCALER_SHRUNK,            0, SCALER_ASLEEP,    0 },
		{  50000, SCALER_TRAFFIC,       50000, SCALER_GROWING,   SCALER_GROW },
		{  79500, SCALER_GROW_FAILED,   50000, SCALER_GROWING,   0 },
		{  80000, SCALER_TICK,          50000, SCALER_GROWING,
		  SCALER_OPEN_GATE | SCALER_TIMED_OUT },
		{  80500, SCALER_TICK,          50000, SCALER_GROWING,   SCALER_GROW },
		{  80600, SCALER_GROW_FAILED,   50000, SCALER_GROWING,   0 },
		{  82599, SCALER_TICK,          50000, SCALER_GROWING,   0 },
		{  82600, SCALER_TICK,          50000, SCALER_GROWING,   SCALER_GROW },
		{  82601, SCALER_GROWN,         50000, SCALER_UNREADY,   SCALER_ASK_READY },
		{  82602, SCALER_READY,         50000, SCALER_AWAKE,     0 },
	};

	replay(ROWS(story));
}

TEST(a_tick_that_is_late_for_both_opens_the_gate_and_tries_again)
{
	static const struct step story[] = {
		{      0, SCALER_READY,             0, SCALER_AWAKE,     0 },
		{  10000, SCALER_TICK,              0, SCALER_SHRINKING, SCALER_CLOSE_GATE },
		{  10020, SCALER_TICK,              0, SCALER_SHRINKING, SCALER_SHRINK },
		{  10021, SCALER_SHRUNK,            0, SCALER_ASLEEP,    0 },
		{  50000, SCALER_TRAFFIC,       50000, SCALER_GROWING,   SCALER_GROW },
		{  79500, SCALER_GROW_FAILED,   50000, SCALER_GROWING,   0 },
		{  99999, SCALER_TICK,          50000, SCALER_GROWING,
		  SCALER_GROW | SCALER_OPEN_GATE | SCALER_TIMED_OUT },
	};

	replay(ROWS(story));
}

TEST(the_next_wake_starts_with_the_shortest_pause_and_the_whole_timeout)
{
	static const struct step story[] = {
		{      0, SCALER_READY,             0, SCALER_AWAKE,     0 },
		{  10000, SCALER_TICK,              0, SCALER_SHRINKING, SCALER_CLOSE_GATE },
		{  10020, SCALER_TICK,              0, SCALER_SHRINKING, SCALER_SHRINK },
		{  10021, SCALER_TRAFFIC,       10021, SCALER_GROWING,   SCALER_GROW },
		{  10021, SCALER_GROW_FAILED,   10021, SCALER_GROWING,   0 },
		{  11021, SCALER_TICK,          10021, SCALER_GROWING,   SCALER_GROW },
		{  11021, SCALER_GROW_FAILED,   10021, SCALER_GROWING,   0 },
		{  13021, SCALER_TICK,          10021, SCALER_GROWING,   SCALER_GROW },
		{  13022, SCALER_GROWN,         10021, SCALER_UNREADY,   SCALER_ASK_READY },
		{  13023, SCALER_READY,         10021, SCALER_AWAKE,     SCALER_OPEN_GATE },
		{  23023, SCALER_TICK,          10021, SCALER_SHRINKING, SCALER_CLOSE_GATE },
		{  23043, SCALER_TICK,          10021, SCALER_SHRINKING, SCALER_SHRINK },
		{  40000, SCALER_TRAFFIC,       40000, SCALER_GROWING,   SCALER_GROW },
		{  40000, SCALER_GROW_FAILED,   40000, SCALER_GROWING,   0 },
		{  41000, SCALER_TICK,          40000, SCALER_GROWING,   SCALER_GROW },
		{  69999, SCALER_TICK,          40000, SCALER_GROWING,   0 },
		{  70000, SCALER_TICK,          40000, SCALER_GROWING,
		  SCALER_OPEN_GATE | SCALER_TIMED_OUT },
	};

	replay(ROWS(story));
}

/* A quota was used up meanwhile: the client gets what there is. */
TEST(a_size_that_is_refused_opens_the_gate_at_once_and_is_asked_for_again_while_somebody_calls)
{
	static const struct step story[] = {
		{      0, SCALER_READY,             0, SCALER_AWAKE,     0 },
		{  10000, SCALER_TICK,              0, SCALER_SHRINKING, SCALER_CLOSE_GATE },
		{  10020, SCALER_TICK,              0, SCALER_SHRINKING, SCALER_SHRINK },
		{  10021, SCALER_SHRUNK,            0, SCALER_ASLEEP,    0 },
		{  50000, SCALER_TRAFFIC,       50000, SCALER_GROWING,   SCALER_GROW },
		{  50040, SCALER_GROW_REFUSED,  50000, SCALER_GROWING,
		  SCALER_OPEN_GATE | SCALER_REFUSED },
		{  50500, SCALER_TICK,          50500, SCALER_GROWING,   0 },
		{  51040, SCALER_TICK,          50500, SCALER_GROWING,   SCALER_GROW },
		{  51050, SCALER_GROW_REFUSED,  50500, SCALER_GROWING,   0 },
		/* Nobody calls any more. */
		{  52050, SCALER_TICK,          50500, SCALER_GROWING,   0 },
		{  70000, SCALER_TICK,          50500, SCALER_GROWING,   0 },
		{  80001, SCALER_TICK,          50500, SCALER_GROWING,   0 },
		{  81001, SCALER_TICK,          81000, SCALER_GROWING,   SCALER_GROW },
		{  81002, SCALER_GROWN,         81000, SCALER_UNREADY,   SCALER_ASK_READY },
		{  81003, SCALER_READY,         81000, SCALER_AWAKE,     0 },
		{  91003, SCALER_TICK,          81000, SCALER_SHRINKING, SCALER_CLOSE_GATE },
		{  91023, SCALER_TICK,          81000, SCALER_SHRINKING, SCALER_SHRINK },
		/* The next wake is one as any other. */
		{  91024, SCALER_TRAFFIC,       91024, SCALER_GROWING,   SCALER_GROW },
		{  91025, SCALER_GROW_FAILED,   91024, SCALER_GROWING,   0 },
		{  92025, SCALER_TICK,          91024, SCALER_GROWING,   SCALER_GROW },
	};

	replay(ROWS(story));
}

/* The way through every state, of which the tests below walk a part. */
static const struct step whole_way[] = {
	{      0, SCALER_TICK,              0, SCALER_UNREADY,   0 },
	{      0, SCALER_READY,             0, SCALER_AWAKE,     0 },
	{  10000, SCALER_TICK,              0, SCALER_SHRINKING, SCALER_CLOSE_GATE },
	{  10020, SCALER_TICK,              0, SCALER_SHRINKING, SCALER_SHRINK },
	{  10021, SCALER_SHRUNK,            0, SCALER_ASLEEP,    0 },
	{  50000, SCALER_TRAFFIC,       50000, SCALER_GROWING,   SCALER_GROW },
	{  50000, SCALER_GROW_FAILED,   50000, SCALER_GROWING,   0 },
	{  50040, SCALER_GROWN,         50000, SCALER_UNREADY,   SCALER_ASK_READY },
	{  50050, SCALER_READY,         50000, SCALER_AWAKE,     SCALER_OPEN_GATE },
};
/* With questions: asked at the idle deadline, and again when the gate has settled. */
static const struct scaler_settings asking = {
	.idle_ns = 10000 * NS_PER_MS,
	.settle_ns = 20 * NS_PER_MS,
	.wake_timeout_ns = 30000 * NS_PER_MS,
	.retry_min_ns = 1000 * NS_PER_MS,
	.retry_max_ns = 5000 * NS_PER_MS,
	.looks = true,
};

TEST(a_quiet_target_is_asked_twice)
{
	static const struct step story[] = {
		{      0, SCALER_READY,             0, SCALER_AWAKE,     0 },
		{   9999, SCALER_TICK,              0, SCALER_AWAKE,     0 },
		{  10000, SCALER_TICK,              0, SCALER_AWAKE,     SCALER_LOOK },
		{  10000, SCALER_QUIET,             0, SCALER_SHRINKING, SCALER_CLOSE_GATE },
		{  10019, SCALER_TICK,              0, SCALER_SHRINKING, 0 },
		{  10020, SCALER_TICK,              0, SCALER_SHRINKING, SCALER_LOOK },
		{  10020, SCALER_QUIET,             0, SCALER_SHRINKING, SCALER_SHRINK },
		{  10030, SCALER_SHRUNK,            0, SCALER_ASLEEP,    0 },
	};

	replay_with(&asking, ROWS(story));
}

/* recheck_ns is 0 here: asked again at the next tick. */
TEST(a_busy_target_is_asked_again_and_stays)
{
	static const struct step story[] = {
		{      0, SCALER_READY,             0, SCALER_AWAKE,     0 },
		{  10000, SCALER_TICK,              0, SCALER_AWAKE,     SCALER_LOOK },
		{  10000, SCALER_BUSY,              0, SCALER_AWAKE,     0 },
		{  10001, SCALER_TICK,              0, SCALER_AWAKE,     SCALER_LOOK },
		{  10001, SCALER_BUSY,              0, SCALER_AWAKE,     0 },
		{  10002, SCALER_TICK,              0, SCALER_AWAKE,     SCALER_LOOK },
		{  10002, SCALER_QUIET,             0, SCALER_SHRINKING, SCALER_CLOSE_GATE },
		/* At work after all: seen when the gate had settled. */
		{  10022, SCALER_TICK,              0, SCALER_SHRINKING, SCALER_LOOK },
		{  10022, SCALER_BUSY,              0, SCALER_AWAKE,     SCALER_OPEN_GATE },
		{  10023, SCALER_TICK,              0, SCALER_AWAKE,     SCALER_LOOK },
		{  10023, SCALER_QUIET,             0, SCALER_SHRINKING, SCALER_CLOSE_GATE },
	};

	replay_with(&asking, ROWS(story));
}

TEST(an_answer_that_nobody_has_asked_for_changes_nothing)
{
	static const struct step story[] = {
		{      0, SCALER_READY,             0, SCALER_AWAKE,     0 },
		{  10000, SCALER_QUIET,             0, SCALER_AWAKE,     0 },
		{  10000, SCALER_TICK,              0, SCALER_AWAKE,     SCALER_LOOK },
		/* A packet has come between the question and its answer. */
		{  10000, SCALER_QUIET,          9999, SCALER_AWAKE,     0 },
		{  19999, SCALER_QUIET,          9999, SCALER_AWAKE,     0 },
		{  19999, SCALER_TICK,           9999, SCALER_AWAKE,     SCALER_LOOK },
		{  19999, SCALER_QUIET,          9999, SCALER_SHRINKING, SCALER_CLOSE_GATE },
		{  20000, SCALER_QUIET,          9999, SCALER_SHRINKING, 0 },
		{  20000, SCALER_BUSY,           9999, SCALER_SHRINKING, 0 },
		{  20019, SCALER_TICK,           9999, SCALER_SHRINKING, SCALER_LOOK },
		{  20019, SCALER_TRAFFIC,       20018, SCALER_AWAKE,     SCALER_OPEN_GATE },
		{  20019, SCALER_QUIET,         20018, SCALER_AWAKE,     0 },
	};

	replay_with(&asking, ROWS(story));
}

TEST(a_target_that_is_kept_does_not_sleep_until_it_is_released)
{
	static const struct step story[] = {
		{      0, SCALER_READY,             0, SCALER_AWAKE,     0 },
		{   5000, SCALER_KEEP,              0, SCALER_AWAKE,     0 },
		{  50000, SCALER_TICK,              0, SCALER_AWAKE,     0 },
		{  60000, SCALER_RELEASE,           0, SCALER_AWAKE,     0 },
		{  60000, SCALER_TICK,              0, SCALER_SHRINKING, SCALER_CLOSE_GATE },
		{  60010, SCALER_KEEP,              0, SCALER_AWAKE,     SCALER_OPEN_GATE },
		{  60020, SCALER_RELEASE,           0, SCALER_AWAKE,     0 },
		{  60020, SCALER_TICK,              0, SCALER_SHRINKING, SCALER_CLOSE_GATE },
		{  60040, SCALER_TICK,              0, SCALER_SHRINKING, SCALER_SHRINK },
		{  60050, SCALER_KEEP,              0, SCALER_GROWING,   SCALER_GROW },
		{  60060, SCALER_GROWN,             0, SCALER_UNREADY,   SCALER_ASK_READY },
		{  60070, SCALER_READY,             0, SCALER_AWAKE,     SCALER_OPEN_GATE },
		{  99999, SCALER_TICK,              0, SCALER_AWAKE,     0 },
		{  99999, SCALER_RELEASE,           0, SCALER_AWAKE,     0 },
		{  99999, SCALER_TICK,              0, SCALER_SHRINKING, SCALER_CLOSE_GATE },
		{ 100019, SCALER_TICK,              0, SCALER_SHRINKING, SCALER_SHRINK },
		{ 100020, SCALER_SHRUNK,            0, SCALER_ASLEEP,    0 },
		{ 100030, SCALER_RELEASE,           0, SCALER_ASLEEP,    0 },
		{ 200000, SCALER_KEEP,              0, SCALER_GROWING,   SCALER_GROW },
	};

	replay(ROWS(story));
}

/* One night: idle_ms after it became awake it sleeps, and is woken slept_ms later. */
static unsigned int sleep_once(struct scaler *s, uint64_t *now_ns, uint64_t slept_ms)
{
	unsigned int effects;

	*now_ns = scaler_deadline_ns(s);
	scaler_watch_tell(s, SCALER_TICK, *now_ns);
	*now_ns = scaler_deadline_ns(s);
	assert_int_equal(scaler_watch_tell(s, SCALER_TICK, *now_ns), SCALER_SHRINK);
	scaler_watch_tell(s, SCALER_SHRUNK, *now_ns);
	*now_ns += slept_ms * NS_PER_MS;
	effects = scaler_watch_tell(s, SCALER_TRAFFIC, *now_ns);
	scaler_watch_tell(s, SCALER_GROWN, *now_ns);
	scaler_watch_tell(s, SCALER_READY, *now_ns);
	assert_int_equal(s->state, SCALER_AWAKE);
	return effects;
}

TEST(who_is_woken_again_and_again_gets_a_longer_idle_time)
{
	static const struct scaler_settings flapping = {
		.idle_ns = 1000 * NS_PER_MS,
		.settle_ns = 20 * NS_PER_MS,
		.wake_timeout_ns = 30000 * NS_PER_MS,
		.flap_ns = 10000 * NS_PER_MS,
		.idle_max_ns = 5000 * NS_PER_MS,
	};
	static const struct {
		uint64_t slept_ms, idle_ms;
	} nights[] = {
		{ 9999, 1000 }, { 100, 1000 }, { 0, 2000 },	 { 500, 4000 }, { 500, 5000 },
		{ 500, 5000 },	{ 10000, 1000 }, { 500, 1000 }, { 500, 1000 }, { 20000, 1000 },
		{ 500, 1000 },	{ 500, 1000 },	 { 500, 2000 },
	};
	uint64_t now_ns = 0, before_ms = 1000;
	struct scaler s;

	scaler_init(&s, &flapping, 0);
	scaler_watch_tell(&s, SCALER_READY, 0);
	for (size_t i = 0; i < ARRAY_LEN(nights); i++) {
		unsigned int effects = sleep_once(&s, &now_ns, nights[i].slept_ms);

		if (s.idle_ns != nights[i].idle_ms * NS_PER_MS)
			fail_msg("night %zu: %llu ns", i, (unsigned long long)s.idle_ns);
		assert_int_equal(!!(effects & SCALER_FLAPPED), nights[i].idle_ms != before_ms);
		before_ms = nights[i].idle_ms;
	}
}

/* clang-format on */

/* At each point of the whole way; the last thing that the target hears of. */
static void end_everywhere(enum scaler_event end)
{
	for (size_t len = 1; len <= ARRAY_LEN(whole_way); len++) {
		struct step story[ARRAY_LEN(whole_way) + 1 + SCALER_ABANDON + 1];
		bool sleeps_on = end == SCALER_ABANDON && whole_way[len - 1].state == SCALER_ASLEEP;
		enum scaler_state after = sleeps_on ? SCALER_ASLEEP : SCALER_AWAKE;
		size_t n = len + 1;
		unsigned int open_gate = 0;

		memcpy(story, whole_way, len * sizeof(*story));
		for (size_t i = 0; i < len; i++) {
			if (story[i].effects & SCALER_CLOSE_GATE)
				open_gate = SCALER_OPEN_GATE;
			if (story[i].effects & SCALER_OPEN_GATE)
				open_gate = 0;
		}
		story[len] = (struct step){
			60000, end, 0, after,
			sleeps_on ? SCALER_OPEN_GATE : SCALER_STOP_ASKING | SCALER_GROW | open_gate
		};
		for (enum scaler_event event = SCALER_TICK; event <= SCALER_ABANDON; event++)
			story[n++] = (struct step){ 99999, event, 99999, after, 0 };
		replay(story, n);
	}
}

TEST(a_stop_grows_and_opens_the_gate_in_every_state_and_ends_everything)
{
	end_everywhere(SCALER_STOP);
}

TEST(a_target_abandoned_asleep_sleeps_on_behind_an_open_gate)
{
	end_everywhere(SCALER_ABANDON);
}

struct due {
	uint64_t ms;
	enum scaler_event event;
	uint64_t activity_ms;
	uint64_t deadline_ms; /* after the event */
};

static void wait_for_what_is_due(const struct due *story, size_t len)
{
	struct scaler s;

	scaler_init(&s, &settings, 0);
	assert_true(scaler_deadline_ns(&s) == UINT64_MAX);
	for (size_t i = 0; i < len; i++) {
		const struct scaler_input in = {
			.event = story[i].event,
			.now_ns = story[i].ms * NS_PER_MS,
			.activity_ns = story[i].activity_ms * NS_PER_MS,
		};
		uint64_t ms;

		scaler_step(&s, &in);
		ms = scaler_deadline_ns(&s);
		ms = ms == UINT64_MAX ? NEVER_MS : ms / NS_PER_MS;
		if (ms != story[i].deadline_ms)
			fail_msg("row %zu: due at %llu ms, not at %llu ms", i,
				 (unsigned long long)ms, (unsigned long long)story[i].deadline_ms);
	}
}

/* clang-format off */
TEST(the_deadline_is_when_something_can_change)
{
	static const struct due story[] = {
		/* ms    event           activity ms   due ms */
		{      0, SCALER_TICK,             0, NEVER_MS },
		{   1000, SCALER_READY,            0,    11000 },
		{   5000, SCALER_TICK,          4000,    14000 },
		{  14000, SCALER_TICK,          4000,    14020 }, /* settled */
		{  14020, SCALER_TICK,          4000, NEVER_MS }, /* shrinking */
		{  14021, SCALER_SHRUNK,        4000, NEVER_MS }, /* asleep */
		{  50000, SCALER_TRAFFIC,      50000,    80000 }, /* the wake timeout */
		{  50500, SCALER_GROW_FAILED,  50000,    51500 }, /* tried again */
		{  51500, SCALER_TICK,         50000,    80000 },
		{  79500, SCALER_GROW_FAILED,  50000,    80000 }, /* before the next try */
		{  80000, SCALER_TICK,         50000,    81500 }, /* open, but not grown */
		{  81500, SCALER_TICK,         50000, NEVER_MS },
		{  82000, SCALER_GROWN,        50000, NEVER_MS }, /* probing, the gate open */
		{  83000, SCALER_READY,        50000,    93000 },
		{  93000, SCALER_TICK,         50000,    93020 },
		{  93001, SCALER_TRAFFIC,      93001,   103001 },
		{ 103001, SCALER_TICK,         93001,   103021 },
		{ 103021, SCALER_TICK,         93001, NEVER_MS },
		{ 103022, SCALER_TRAFFIC,     103022,   133022 },
		{ 103030, SCALER_GROWN,       103022,   133022 }, /* probing, the gate closed */
		{ 133022, SCALER_TICK,        103022,   143022 },
		{ 133023, SCALER_STOP,        103022, NEVER_MS },
	};

	wait_for_what_is_due(ROWS(story));
}
/* clang-format on */

TEST(every_state_has_a_name_of_its_own)
{
	for (enum scaler_state a = SCALER_AWAKE; a <= SCALER_UNREADY; a++) {
		assert_non_null(scaler_state_name(a));
		for (enum scaler_state b = SCALER_AWAKE; b < a; b++)
			assert_string_not_equal(scaler_state_name(a), scaler_state_name(b));
	}
}

/* xorshift64 (Marsaglia, 2003): the same numbers on each run. */
static uint64_t random_next(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static uint64_t random_below(uint64_t *seed, uint64_t limit)
{
	return random_next(seed) % limit;
}

struct random_walk {
	struct scaler_watch watch;
	uint64_t seed;
	uint64_t now_ns;
	uint64_t activity_ns;
	bool is_seen[SCALER_UNREADY + 1];
	bool was_asked;
};

/* To the deadline as often as not: at random it is hardly ever hit. */
static void random_pass_time(struct random_walk *walk)
{
	uint64_t deadline_ns = scaler_deadline_ns(&walk->watch.scaler);

	if (random_below(&walk->seed, 2) && deadline_ns != UINT64_MAX)
		walk->now_ns = max_u64(walk->now_ns, deadline_ns);
	else
		walk->now_ns += random_below(&walk->seed, 50 * NS_PER_MS);
	if (random_below(&walk->seed, 8) == 0)
		walk->activity_ns =
			max_u64(walk->activity_ns,
				walk->now_ns - random_below(&walk->seed, RANDOM_LAG_MAX));
}

static void random_step(struct random_walk *walk, size_t i)
{
	/* Half of them ticks, and now and then the end. */
	enum scaler_event event = random_below(&walk->seed, 2) ? SCALER_TICK
							       : (enum scaler_event)random_below(
									 &walk->seed, SCALER_STOP);
	unsigned int effects;
	const char *broken;

	random_pass_time(walk);
	if (walk->was_asked) /* as often as not it is quiet */
		event = random_below(&walk->seed, 2) ? SCALER_QUIET : event;
	walk->watch.recheck_ns = random_below(&walk->seed, 100 * NS_PER_MS) + 1;
	if (random_below(&walk->seed, 1000) == 0)
		event = random_below(&walk->seed, 2) ? SCALER_STOP : SCALER_ABANDON;
	broken = scaler_watch_step(&walk->watch, event, walk->now_ns, walk->activity_ns, &effects);
	if (broken)
		fail_msg("step %zu, event %d at %llu ns, breaks: %s", i, (int)event,
			 (unsigned long long)walk->now_ns, broken);
	walk->was_asked = effects & SCALER_LOOK;
	walk->is_seen[walk->watch.scaler.state] = true;
}

static void random_restart(struct random_walk *walk)
{
	struct scaler_settings with = {
		.idle_ns = (100 + random_below(&walk->seed, 1000)) * NS_PER_MS,
		.awake_min_ns = random_below(&walk->seed, 2) * 400 * NS_PER_MS,
		.settle_ns = (1 + random_below(&walk->seed, 50)) * NS_PER_MS,
		.wake_timeout_ns = (10 + random_below(&walk->seed, 1000)) * NS_PER_MS,
		.retry_min_ns = (1 + random_below(&walk->seed, 50)) * NS_PER_MS,
		.retry_max_ns = (50 + random_below(&walk->seed, 500)) * NS_PER_MS,
		.shrink_pause_max_ns = random_below(&walk->seed, 5000) * NS_PER_MS,
		.looks = random_below(&walk->seed, 2),
		.flap_ns = random_below(&walk->seed, 500) * NS_PER_MS,
		.idle_max_ns = random_below(&walk->seed, 5000) * NS_PER_MS,
	};

	scaler_watch_init(&walk->watch, &with, walk->now_ns);
}

TEST(no_order_of_events_breaks_a_promise)
{
	struct random_walk walk = { .seed = 20260131, .now_ns = NS_PER_S };

	random_restart(&walk);
	for (size_t i = 0; i < RANDOM_STEPS; i++) {
		random_step(&walk, i);
		if (walk.watch.is_stopped && random_below(&walk.seed, 10) == 0)
			random_restart(&walk);
	}
	for (size_t i = 0; i < ARRAY_LEN(walk.is_seen); i++)
		assert_true(walk.is_seen[i]);
}

/* Put to sleep by a doze before: as one that this one has put to sleep. */
TEST(a_target_that_sleeps_already_closes_its_gate_and_wakes_as_any_other)
{
	struct scaler s;

	scaler_init(&s, &settings, 0);
	assert_int_equal(scaler_resume_asleep(&s, NS_PER_S), SCALER_CLOSE_GATE);
	assert_int_equal(s.state, SCALER_ASLEEP);
	assert_true(s.is_gate_closed);
	assert_true(scaler_deadline_ns(&s) == UINT64_MAX);
	assert_int_equal(scaler_watch_tell(&s, SCALER_TICK, 2 * NS_PER_S), 0);
	assert_int_equal(scaler_watch_tell(&s, SCALER_TRAFFIC, 3 * NS_PER_S), SCALER_GROW);
	assert_int_equal(scaler_watch_tell(&s, SCALER_GROWN, 3 * NS_PER_S), SCALER_ASK_READY);
	assert_int_equal(scaler_watch_tell(&s, SCALER_READY, 3 * NS_PER_S), SCALER_OPEN_GATE);
	assert_int_equal(s.state, SCALER_AWAKE);
}
