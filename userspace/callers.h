/* SPDX-License-Identifier: MIT */
/*
 * The connections from sources of health checks that reach the awake application: what each has
 * sent so far, and what that makes it. Pure. It sees segments as the gate does; one that it cannot
 * put in order makes its connection a client's.
 */
#ifndef DOZE_CALLERS_H
#define DOZE_CALLERS_H

#include "caller.h"
#include "gate.h"

/* Remembered at most; the one that was silent longest is forgotten first. */
#define CALLERS_MAX 256

/* A connection that was silent for so long is forgotten: its port may be another's by now. */
#define CALLERS_FORGET_NS 30000000000ULL

/* After its ClientHello an HTTPS probe sends a Finished, one request and a close_notify. */
#define CALLERS_TLS_MAX 2048

struct callers;

/* The caller owns *out. -ENOMEM. */
int callers_new(struct callers **out);
void callers_free(struct callers **c);

/* A segment with payload: seq is that of its first byte. What its connection is by now. */
enum caller_kind callers_take(struct callers *c, const struct gate_flow *flow, uint32_t seq,
			      const uint8_t *payload, size_t len, const struct caller_rules *rules,
			      uint64_t now_ns);

/* What it was by the last segment; CALLER_CLIENT if nothing is known of it. */
enum caller_kind callers_kind(const struct callers *c, const struct gate_flow *flow);

#endif
