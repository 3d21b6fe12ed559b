// SPDX-License-Identifier: MIT
/*
 * Writes a log line in one write(2), so that lines of several processes do not mix. Warnings and
 * errors are bounded by base/log_limit.h: what fails in a loop must not fill the disk as well.
 */
#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log_limit.h"
#include "base/util.h"

#define LOG_LINE_MAX 1024

static enum log_level log_threshold = LOG_LEVEL_INFO;
static struct log_limit log_limited;
static char log_error[LOG_LINE_MAX / 2];
static bool log_only_news;

static const char *const log_level_names[] = {
	[LOG_LEVEL_DEBUG] = "debug",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_WARN] = "warn",
	[LOG_LEVEL_ERROR] = "error",
};

void log_set_level(enum log_level level)
{
	log_threshold = level;
}

int log_parse_level(const char *text, enum log_level *out)
{
	for (size_t i = 0; i < ARRAY_LEN(log_level_names); i++) {
		if (strcmp(text, log_level_names[i]) == 0) {
			*out = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

/* A line under construction; what does not fit is cut off. */
struct log_line {
	char text[LOG_LINE_MAX];
	size_t len;
};

static void log_vappend(struct log_line *line, const char *format, va_list args)
{
	size_t room = sizeof(line->text) - line->len - 1; /* 1 for the newline */
	int n = vsnprintf(line->text + line->len, room, format, args);

	if (n > 0)
		line->len += (size_t)n < room ? (size_t)n : room - 1;
}

__attribute__((format(printf, 2, 3))) static void log_append(struct log_line *line,
							     const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_vappend(line, format, args);
	va_end(args);
}

void log_escape(char *out, size_t room, const char *text)
{
	size_t len = 0;

	for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
		char escaped[8];
		int n;

		if (*c == '"' || *c == '\\')
			n = snprintf(escaped, sizeof(escaped), "\\%c", *c);
		else if (*c < ' ' || *c == 0x7f)
			n = snprintf(escaped, sizeof(escaped), "\\x%02x", *c);
		else
			n = snprintf(escaped, sizeof(escaped), "%c", *c);
		if (len + (size_t)n >= room)
			break;
		memcpy(out + len, escaped, (size_t)n);
		len += (size_t)n;
	}
	out[len] = '\0';
}

static void log_append_quoted(struct log_line *line, const char *text)
{
	char escaped[LOG_LINE_MAX];

	log_escape(escaped, sizeof(escaped), text);
	log_append(line, "\"%s\"", escaped);
}

static void log_begin(struct log_line *line, enum log_level level, const char *msg)
{
	struct timespec now;
	struct tm utc;
	char stamp[32];

	line->len = 0;
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &utc);
	log_append(line, "time=%s.%03ldZ level=%s msg=", stamp, now.tv_nsec / 1000000,
		   log_level_names[level]);
	log_append_quoted(line, msg);
}

static void log_write(struct log_line *line)
{
	line->text[line->len++] = '\n';
	/* There is nowhere to report that stderr is gone. */
	if (write(STDERR_FILENO, line->text, line->len) < 0)
		return;
}

void log_tell_left_out(uint64_t now_ns)
{
	struct log_line line;
	const char *text;
	uint64_t times;

	while ((times = log_limit_take_left_out(&log_limited, &text, now_ns))) {
		log_begin(&line, LOG_LEVEL_WARN, "the same line again, and left out");
		log_append(&line, " times=%" PRIu64 " line=", times);
		log_append_quoted(&line, text);
		log_write(&line);
	}
}

/* What follows the time is what is the same in a line that is repeated. */
static void log_end(struct log_line *line, enum log_level level)
{
	uint64_t now_ns = monotonic_ns();

	log_tell_left_out(now_ns);
	line->text[line->len] = '\0';
	if (level < LOG_LEVEL_WARN ||
	    log_limit_admits(&log_limited, strchr(line->text, ' ') + 1, now_ns))
		log_write(line);
}

void log_fields(enum log_level level, const char *msg, const char *fields, ...)
{
	struct log_line line;
	va_list args;

	if (level < log_threshold)
		return;
	log_begin(&line, level, msg);
	if (fields) {
		va_start(args, fields);
		log_append(&line, " ");
		log_vappend(&line, fields, args);
		va_end(args);
	}
	log_end(&line, level);
}

const char *log_last_error(void)
{
	return log_error;
}

void log_set_only_news(bool is_on)
{
	log_only_news = is_on;
}

/* Whether the error before this one said the same. */
static bool log_is_old_error(const char *msg, int r)
{
	char before[sizeof(log_error)];

	memcpy(before, log_error, sizeof(before));
	snprintf(log_error, sizeof(log_error), "%s%s%s", msg, r ? ": " : "", r ? strerror(-r) : "");
	return strcmp(before, log_error) == 0;
}

int log_failure(enum log_level level, int r, const char *what, ...)
{
	struct log_line line;
	char msg[LOG_LINE_MAX / 2];
	va_list args;

	if (level < log_threshold)
		return r;
	va_start(args, what);
	vsnprintf(msg, sizeof(msg), what, args);
	va_end(args);
	if (level == LOG_LEVEL_ERROR && log_is_old_error(msg, r) && log_only_news)
		return r;
	log_begin(&line, level, msg);
	if (r) {
		log_append(&line, " error=");
		log_append_quoted(&line, strerror(-r));
	}
	log_end(&line, level);
	return r;
}
