/* SPDX-License-Identifier: MIT */
/* Judges a caller that speaks HTTP/2 with prior knowledge, as gRPC does. Pure. */
#ifndef DOZE_CALLER_H2_H
#define DOZE_CALLER_H2_H

#include "probe/caller.h"

/* Whether the bytes begin as HTTP/2 does. Such a client may wait for the server's SETTINGS. */
bool caller_h2_begins(const uint8_t *bytes, size_t len);

/* The bytes begin as HTTP/2 does. */
enum caller_kind caller_h2_judge(const uint8_t *bytes, size_t len,
				 const struct caller_rules *rules);

#endif
