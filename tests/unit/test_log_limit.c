// SPDX-License-Identifier: MIT
/* Which lines are logged, and what is told of the others. */
#include <stdio.h>
#include <string.h>

#include "base/log_limit.h"
#include "base/util.h"
#include "lib/test.h"

static struct log_limit limit;

static void clear(void)
{
	limit = (struct log_limit){ 0 };
}

struct test_fixture test_around_each = { clear, NULL };

TEST(a_line_is_logged_three_times_a_second_and_then_counted)
{
	static const struct {
		uint64_t ms;
		const char *text;
		bool is_logged;
		uint64_t left_out; /* told before it */
	} rows[] = {
		{ 0, "cannot accept", true, 0 },     { 1, "cannot accept", true, 0 },
		{ 2, "cannot accept", true, 0 },     { 3, "cannot accept", false, 0 },
		{ 4, "cannot thaw", true, 0 },	     { 999, "cannot accept", false, 0 },
		{ 1000, "cannot accept", true, 2 },  { 1001, "cannot accept", true, 0 },
		{ 1002, "cannot accept", true, 0 },  { 1003, "cannot accept", false, 0 },
		{ 9000, "cannot thaw", true, 1 },    { 9001, "cannot accept", true, 0 },
		{ 10500, "cannot accept", true, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t now_ns = 5 * NS_PER_S + rows[i].ms * NS_PER_MS;
		const char *text = "";

		assert_int_equal(log_limit_take_left_out(&limit, &text, now_ns), rows[i].left_out);
		if (rows[i].left_out)
			assert_string_equal(text, "cannot accept");
		assert_int_equal(log_limit_admits(&limit, rows[i].text, now_ns), rows[i].is_logged);
	}
}

TEST(lines_that_all_differ_are_bounded_too)
{
	size_t logged = 0;
	const char *text;
	char line[32];

	for (int i = 0; i < 1000; i++) {
		snprintf(line, sizeof(line), "client %d", i);
		logged += log_limit_admits(&limit, line, 7);
	}
	assert_int_equal(logged, LOG_LIMIT_LINES + LOG_LIMIT_BURST);
	assert_int_equal(log_limit_take_left_out(&limit, &text, 7 + NS_PER_S), 1000 - logged);
	assert_string_equal(text, LOG_LIMIT_OTHERS);
	assert_int_equal(log_limit_take_left_out(&limit, &text, 7 + NS_PER_S), 0);
	for (int i = 0; i < LOG_LIMIT_LINES; i++) {
		snprintf(line, sizeof(line), "another %d", i);
		assert_true(log_limit_admits(&limit, line, 8 + NS_PER_S));
	}
}

TEST(a_long_line_is_known_by_its_beginning)
{
	char line[2 * LOG_LIMIT_TEXT];

	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	for (int i = 0; i < 5; i++)
		assert_int_equal(log_limit_admits(&limit, line, 1), i < LOG_LIMIT_BURST);
}
