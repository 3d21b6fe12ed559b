// SPDX-License-Identifier: MIT
/* Looks at the CPU time of a target whose connections are at rest. */
#include <arpa/inet.h>

#include "activity/busy_cpu.h"
#include "base/util.h"
#include "lib/test.h"

/* The time of the first look, and what had been used by then. */
#define START_MS 100000
#define START_US 7000000

struct look {
	const char *name;
	uint64_t ms, us; /* since the start */
	enum busy_reason reason;
	uint64_t recheck_ms;
};

static struct busy_verdict at_rest(void)
{
	struct busy_verdict v;

	busy_init(&v);
	v.is_in_use = true;
	v.in_use.sport_be = htons(4242);
	return v;
}

static void expect_look(struct busy_cpu *c, const struct look *look)
{
	struct busy_verdict v = at_rest();

	busy_cpu_look(c, &v, START_US + look->us, (START_MS + look->ms) * NS_PER_MS);
	if (v.reason != look->reason)
		fail_msg("%s: %s instead of %s", look->name, busy_reason_name(v.reason),
			 busy_reason_name(look->reason));
	if (v.recheck_ms != look->recheck_ms)
		fail_msg("%s: to be looked at again after %llu ms", look->name,
			 (unsigned long long)v.recheck_ms);
	if (v.flow.sport_be != (look->reason ? htons(4242) : 0))
		fail_msg("%s: not the connection in use", look->name);
}

static void expect_looks(const struct look *looks, size_t len)
{
	struct busy_cpu c = { 0 };

	for (size_t i = 0; i < len; i++)
		expect_look(&c, &looks[i]);
}

TEST(who_uses_no_cpu_is_not_computing)
{
	static const struct look looks[] = {
		{ "first", 0, 0, BUSY_MEASURING, 201 },
		{ "too soon", 50, 0, BUSY_MEASURING, 151 },
		{ "after the window", 201, 0, BUSY_NOT, 0 },
		{ "again, the gate has closed", 221, 0, BUSY_NOT, 0 },
	};

	expect_looks(looks, ARRAY_LEN(looks));
}

TEST(who_uses_cpu_is_computing_until_it_does_not)
{
	static const struct look looks[] = {
		{ "first", 0, 0, BUSY_MEASURING, 201 },
		{ "half of one CPU", 200, 100000, BUSY_COMPUTING, 1000 },
		{ "just enough", 1200, 150000, BUSY_COMPUTING, 1000 },
		{ "just too little", 2200, 199999, BUSY_NOT, 0 },
		{ "at once, what was before still counts", 2220, 219999, BUSY_NOT, 0 },
		{ "and again", 2440, 260000, BUSY_COMPUTING, 1000 },
	};

	expect_looks(looks, ARRAY_LEN(looks));
}

TEST(an_old_look_is_no_beginning_of_a_measurement)
{
	static const struct look looks[] = {
		{ "first", 0, 0, BUSY_MEASURING, 201 },
		{ "after the window", 201, 0, BUSY_NOT, 0 },
		{ "an idle time later", 300000, 9000000, BUSY_MEASURING, 201 },
		{ "at rest by now", 300201, 9000000, BUSY_NOT, 0 },
		{ "a counter that went back", 300401, 0, BUSY_NOT, 0 },
	};

	expect_looks(looks, ARRAY_LEN(looks));
}

TEST(what_connections_say_is_left_as_it_is)
{
	struct busy_cpu c = { 0 };
	struct busy_verdict v = at_rest();

	v.reason = BUSY_UNREAD;
	v.recheck_ms = 77;
	busy_cpu_look(&c, &v, START_US, START_MS * NS_PER_MS);
	assert_int_equal(v.reason, BUSY_UNREAD);
	assert_int_equal(v.recheck_ms, 77);

	busy_init(&v);
	busy_cpu_look(&c, &v, START_US, START_MS * NS_PER_MS);
	assert_int_equal(v.reason, BUSY_NOT);
	assert_int_equal(c.looked_ns, 0);
}
