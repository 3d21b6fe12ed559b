/* SPDX-License-Identifier: MIT */
/* Judges a caller that speaks TLS, by its ClientHello. Pure. */
#ifndef DOZE_CALLER_TLS_H
#define DOZE_CALLER_TLS_H

#include "probe/caller.h"

/* Whether the bytes begin as a handshake of TLS does. */
bool caller_tls_begins(const uint8_t *bytes, size_t len);

/* The bytes begin as a handshake of TLS does. */
enum caller_kind caller_tls_judge(const uint8_t *bytes, size_t len,
				  const struct caller_rules *rules);

#endif
