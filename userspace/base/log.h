/* SPDX-License-Identifier: MIT */
/*
 * Logging to stderr, one line of key=value fields for each message:
 *
 *   time=2026-01-31T12:00:00.123Z level=info msg="asleep" target=tcp/8080
 *
 * The same warning or error is written LOG_LIMIT_BURST times in a second at most. How often it was
 * left out is told with the next line of any kind.
 */
#ifndef DOZE_LOG_H
#define DOZE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level {
	LOG_LEVEL_DEBUG,
	LOG_LEVEL_INFO,
	LOG_LEVEL_WARN,
	LOG_LEVEL_ERROR,
};

/* Messages below this level are dropped; LOG_LEVEL_INFO unless set. */
void log_set_level(enum log_level level);

/* 0 and *out for "debug", "info", "warn", "error"; -EINVAL for anything else. */
int log_parse_level(const char *text, enum log_level *out);

/*
 * msg is a constant sentence; fields is a printf format that yields "key=value key=value", or
 * NULL. A value with spaces is the caller's to quote.
 */
void log_fields(enum log_level level, const char *msg, const char *fields, ...)
	__attribute__((format(printf, 3, 4)));
#define log_debug(...) log_fields(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_info(...)  log_fields(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_warn(...)  log_fields(LOG_LEVEL_WARN, __VA_ARGS__)

/*
 * What was tried, and on what, as a printf format; why it failed is taken from r, a negative
 * errno (0: no reason is added). Returns r, so that a caller can log and pass the code up. It is a
 * warning where something has failed that we can do without.
 */
int log_failure(enum log_level level, int r, const char *what, ...)
	__attribute__((format(printf, 3, 4)));
#define log_err(...)	  log_failure(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn_err(...) log_failure(LOG_LEVEL_WARN, __VA_ARGS__)

/* What the last error said, without the time and the level; "": there was none. */
const char *log_last_error(void);

/* An error that says what the error before it said is left out: for who tries again and again. */
void log_set_only_news(bool is_on);

/* Tells what was left out in seconds that have ended; for who knows that no more will be logged. */
void log_tell_left_out(uint64_t now_ns);

/*
 * Copies text so that it can stand between the quotes of a field: quotes, backslashes and control
 * characters are escaped; what does not fit is cut off.
 */
void log_escape(char *out, size_t room, const char *text);

#endif
