// SPDX-License-Identifier: MIT
/* Log lines as they leave: stderr is a pipe while a test runs. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/util.h"
#include "lib/test.h"

#define LINE_MAX_LEN 1024
#define STAMP	     "time=2026-01-31T12:00:00.123Z "

static int stderr_fd = -1, pipe_fd = -1;

static void catch_stderr(void)
{
	int fds[2];

	assert_true(pipe2(fds, O_CLOEXEC | O_NONBLOCK) >= 0);
	stderr_fd = dup(STDERR_FILENO);
	pipe_fd = fds[0];
	dup2(fds[1], STDERR_FILENO);
	close(fds[1]);
	log_set_level(LOG_LEVEL_DEBUG);
}

static void release_stderr(void)
{
	dup2(stderr_fd, STDERR_FILENO);
	close(stderr_fd);
	close(pipe_fd);
}

struct test_fixture test_around_each = { catch_stderr, release_stderr };

/* What was logged since the last call. */
static const char *logged(void)
{
	static char text[8 * LINE_MAX_LEN];
	ssize_t n = read(pipe_fd, text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

/* A whole line, but for the digits of its time. */
static void expect_line(const char *rest)
{
	const char *line = logged();
	size_t len = strlen(line);

	if (len <= strlen(STAMP) || line[len - 1] != '\n')
		fail_msg("no line: '%s'", line);
	for (size_t i = 0; i < strlen(STAMP); i++) {
		if (STAMP[i] >= '0' && STAMP[i] <= '9')
			assert_in_range(line[i], '0', '9');
		else
			assert_int_equal(line[i], STAMP[i]);
	}
	assert_int_equal(len - 1, strlen(STAMP) + strlen(rest));
	assert_memory_equal(line + strlen(STAMP), rest, strlen(rest));
}

TEST(a_line_has_its_time_its_level_and_its_fields)
{
	log_debug("state", "target=%s from=%s", "tcp/8080", "awake");
	expect_line("level=debug msg=\"state\" target=tcp/8080 from=awake");
	log_info("asleep", "idle_ms=%d", 500);
	expect_line("level=info msg=\"asleep\" idle_ms=500");
	log_warn("no fields", NULL);
	expect_line("level=warn msg=\"no fields\"");
}

TEST(a_failure_has_its_reason_and_returns_its_code)
{
	assert_int_equal(log_err(-ENOENT, "cannot read '%s'", "/proc/1"), -ENOENT);
	expect_line(
		"level=error msg=\"cannot read '/proc/1'\" error=\"No such file or directory\"");
	assert_int_equal(log_warn_err(-EPERM, "cannot attach to %s", "eth0"), -EPERM);
	expect_line("level=warn msg=\"cannot attach to eth0\" error=\"Operation not permitted\"");
	assert_int_equal(log_err(0, "no reason"), 0);
	expect_line("level=error msg=\"no reason\"");
	assert_int_equal(log_err(-9999, "an error without a name"), -9999);
	expect_line("level=error msg=\"an error without a name\" error=\"Unknown error 9999\"");
}

/* So that nobody's name can end the line and begin another. */
TEST(quotes_and_control_characters_are_escaped)
{
	static const struct {
		const char *text, *escaped;
	} rows[] = {
		{ "say \"hi\"", "say \\\"hi\\\"" },
		{ "C:\\doze", "C:\\\\doze" },
		{ "two\nlines\r\n", "two\\x0alines\\x0d\\x0a" },
		{ "\t\x1b[31m", "\\x09\\x1b[31m" },
		{ "\x01\x7f", "\\x01\\x7f" },
		{ "sch\xc3\xb6n", "sch\xc3\xb6n" },
		{ "%s%n", "%s%n" },
		{ "", "" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char expected[128];

		log_err(0, "%s", rows[i].text);
		snprintf(expected, sizeof(expected), "level=error msg=\"%s\"", rows[i].escaped);
		expect_line(expected);
		log_info(rows[i].text, NULL);
		snprintf(expected, sizeof(expected), "level=info msg=\"%s\"", rows[i].escaped);
		expect_line(expected);
	}
}

/* How many of the five ways to log write a line. */
static size_t lines_at(enum log_level level)
{
	size_t lines = 0;
	const char *text;

	log_set_level(level);
	log_debug("a", NULL);
	log_info("b", NULL);
	log_warn("c", NULL);
	log_warn_err(-EIO, "d at level %d", level);
	assert_int_equal(log_err(-EIO, "e at level %d", level), -EIO);
	for (text = logged(); *text; text++)
		lines += *text == '\n';
	return lines;
}

TEST(what_is_below_the_level_is_not_written)
{
	assert_int_equal(lines_at(LOG_LEVEL_DEBUG), 5);
	assert_int_equal(lines_at(LOG_LEVEL_INFO), 4);
	assert_int_equal(lines_at(LOG_LEVEL_WARN), 3);
	assert_int_equal(lines_at(LOG_LEVEL_ERROR), 1);
}

TEST(a_failure_below_the_level_still_returns_its_code)
{
	log_set_level(LOG_LEVEL_ERROR);
	assert_int_equal(log_warn_err(-EPERM, "silent"), -EPERM);
	assert_string_equal(logged(), "");
}

TEST(an_error_in_a_loop_is_written_a_few_times_and_then_counted)
{
	const char *text, *last = "";

	for (int i = 0; i < 1000; i++)
		assert_int_equal(log_err(-EMFILE, "cannot accept in a loop"), -EMFILE);
	log_tell_left_out(UINT64_MAX);
	text = logged();
	assert_in_range(strlen(text), 1, 2048);
	for (const char *line = text; *line; line = strchr(line, '\n') + 1)
		last = line;
	assert_non_null(strstr(last, "msg=\"the same line again, and left out\" times="));
	assert_non_null(strstr(last, "cannot accept in a loop"));
}

TEST(what_is_no_error_is_written_each_time)
{
	size_t lines = 0;

	for (int i = 0; i < 20; i++)
		log_info("asleep", NULL);
	for (const char *text = logged(); *text; text++)
		lines += *text == '\n';
	assert_int_equal(lines, 20);
}

static void expect_cut_line(void)
{
	const char *line = logged();
	size_t len = strlen(line);

	assert_in_range(len, LINE_MAX_LEN - 8, LINE_MAX_LEN);
	assert_ptr_equal(strchr(line, '\n'), line + len - 1);
}

TEST(a_line_that_is_too_long_is_cut_and_still_ends)
{
	char field[4 * LINE_MAX_LEN], quotes[4 * LINE_MAX_LEN];

	memset(field, 'x', sizeof(field) - 1);
	memset(quotes, '\x01', sizeof(quotes) - 1);
	field[sizeof(field) - 1] = quotes[sizeof(quotes) - 1] = '\0';
	log_info("long", "field=%s", field);
	expect_cut_line();
	log_info(field, "field=%s", field);
	expect_cut_line();
	log_info(quotes, NULL);
	expect_cut_line();
	log_err(-EIO, "%s", quotes);
	expect_cut_line();
}

/* Each length around the maximum: in the middle of an escape, of the closing quote. */
TEST(a_line_is_cut_well_at_any_byte)
{
	for (size_t len = LINE_MAX_LEN / 4 - 40; len < LINE_MAX_LEN / 4 + 8; len++) {
		for (size_t letters = 0; letters < 4; letters++) {
			char msg[LINE_MAX_LEN / 2];
			const char *line;

			memset(msg, 'x', letters);
			memset(msg + letters, '\n', len);
			msg[letters + len] = '\0';
			log_info(msg, NULL);
			line = logged();
			assert_in_range(strlen(line), min_u64(4 * len, LINE_MAX_LEN - 8),
					LINE_MAX_LEN);
			assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
		}
	}
}

TEST(levels_have_names)
{
	static const char *const names[] = { "debug", "info", "warn", "error" };
	static const char *const others[] = { "", "Debug", "warning", "err", "info ", "1" };
	enum log_level level = LOG_LEVEL_WARN;

	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		assert_int_equal(log_parse_level(others[i], &level), -EINVAL);
		assert_int_equal(level, LOG_LEVEL_WARN);
	}
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		assert_int_equal(log_parse_level(names[i], &level), 0);
		assert_int_equal(level, i);
	}
}
