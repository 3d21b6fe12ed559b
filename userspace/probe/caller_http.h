/* SPDX-License-Identifier: MIT */
/* Judges a caller that speaks HTTP/1.1, or older. Pure. */
#ifndef DOZE_CALLER_HTTP_H
#define DOZE_CALLER_HTTP_H

#include "probe/caller.h"

/* len is not 0. */
enum caller_kind caller_http_judge(const uint8_t *bytes, size_t len,
				   const struct caller_rules *rules);

/*
 * Whether this is one whole request, a probe's or a client's, that leaves the connection open: it
 * has no body, and so the next byte begins another one.
 */
bool caller_http_is_whole(const uint8_t *bytes, size_t len);

#endif
