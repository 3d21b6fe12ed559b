// SPDX-License-Identifier: MIT
/* A table of lines; one whose second is over is free again when what it left out has been told. */
#include "base/log_limit.h"

#include <stdio.h>
#include <string.h>

#include "base/util.h"

static bool log_limit_has_ended(const struct log_limit_line *line, uint64_t now_ns)
{
	return now_ns - line->since_ns >= NS_PER_S;
}

static bool log_limit_is_free(const struct log_limit_line *line, uint64_t now_ns)
{
	return !line->text[0] ||
	       (line->seen <= LOG_LIMIT_BURST && log_limit_has_ended(line, now_ns));
}

static struct log_limit_line *log_limit_find(struct log_limit *limit, const char *text,
					     uint64_t now_ns)
{
	struct log_limit_line *free_line = NULL;

	for (size_t i = 0; i < LOG_LIMIT_LINES; i++) {
		struct log_limit_line *line = &limit->lines[i];

		if (strncmp(line->text, text, LOG_LIMIT_TEXT - 1) == 0)
			return line;
		if (!free_line && log_limit_is_free(line, now_ns))
			free_line = line;
	}
	if (!free_line) {
		free_line = &limit->lines[LOG_LIMIT_LINES];
		text = LOG_LIMIT_OTHERS;
		if (!log_limit_is_free(free_line, now_ns))
			return free_line;
	}
	*free_line = (struct log_limit_line){ .since_ns = now_ns };
	snprintf(free_line->text, sizeof(free_line->text), "%s", text);
	return free_line;
}

bool log_limit_admits(struct log_limit *limit, const char *text, uint64_t now_ns)
{
	struct log_limit_line *line = log_limit_find(limit, text, now_ns);

	/* A second that has left lines out is counted on until that has been told. */
	if (line->seen <= LOG_LIMIT_BURST && log_limit_has_ended(line, now_ns)) {
		line->since_ns = now_ns;
		line->seen = 0;
	}
	return ++line->seen <= LOG_LIMIT_BURST;
}

uint64_t log_limit_take_left_out(struct log_limit *limit, const char **text, uint64_t now_ns)
{
	for (size_t i = 0; i < ARRAY_LEN(limit->lines); i++) {
		struct log_limit_line *line = &limit->lines[i];
		uint64_t seen = line->seen;

		if (seen <= LOG_LIMIT_BURST || !log_limit_has_ended(line, now_ns))
			continue;
		line->since_ns = now_ns;
		line->seen = 0;
		*text = line->text;
		return seen - LOG_LIMIT_BURST;
	}
	return 0;
}
