/* SPDX-License-Identifier: MIT */
/*
 * Pure. Bounds how often the same line is logged: LOG_LIMIT_BURST times in a second, and the rest
 * of it as a number. Lines that differ do not disturb each other, up to LOG_LIMIT_LINES of them in
 * one second; those beyond count as one.
 */
#ifndef DOZE_LOG_LIMIT_H
#define DOZE_LOG_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_LIMIT_BURST	 3
#define LOG_LIMIT_LINES	 64
#define LOG_LIMIT_TEXT	 256 /* that is kept of a line; what is behind it does not count */
#define LOG_LIMIT_OTHERS "other lines"

struct log_limit_line {
	char text[LOG_LIMIT_TEXT]; /* "": free */
	uint64_t since_ns;	   /* the second that is counted */
	uint64_t seen;		   /* in it */
};

struct log_limit {
	struct log_limit_line lines[LOG_LIMIT_LINES + 1]; /* the last is for those beyond */
};

/* Whether the line is to be logged at that time; if not, it is counted. */
bool log_limit_admits(struct log_limit *limit, const char *text, uint64_t now_ns);

/*
 * How often a line was left out in a second that has ended, 0: none was. *text is its beginning,
 * until the next call of either function. Each is told once: call it until it returns 0.
 */
uint64_t log_limit_take_left_out(struct log_limit *limit, const char **text, uint64_t now_ns);

#endif
