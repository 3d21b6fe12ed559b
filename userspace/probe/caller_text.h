/* SPDX-License-Identifier: MIT */
/* A piece of what a caller has said, without a NUL at its end. Pure. */
#ifndef DOZE_CALLER_TEXT_H
#define DOZE_CALLER_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct caller_text {
	const char *at;
	size_t len;
};

static inline bool caller_text_is(struct caller_text text, const char *wanted)
{
	return text.len == strlen(wanted) && memcmp(text.at, wanted, text.len) == 0;
}

static inline bool caller_text_begins(struct caller_text text, const char *prefix)
{
	size_t prefix_len = strlen(prefix);

	return text.len >= prefix_len && memcmp(text.at, prefix, prefix_len) == 0;
}

#endif
