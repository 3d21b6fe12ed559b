/* SPDX-License-Identifier: MIT */
/*
 * Whether a target computes, by the CPU time that it has used from one look to the next. Pure.
 *
 * Connections do not tell everything (activity/sockdiag.h): an answer that has begun, a session
 * ticket of TLS, or the first of several answers hides that more is to come. So a target whose
 * connections are at rest is watched for a moment, if one of them was in use lately.
 */
#ifndef DOZE_BUSY_CPU_H
#define DOZE_BUSY_CPU_H

#include <stdbool.h>
#include <stdint.h>

#include "activity/busy.h"

/* From here on it computes, in thousandths of one CPU. A runtime at rest stays below 20. */
#define BUSY_CPU_MILLICPU 50

/* A shorter time says nothing. An older look does not say what it does now. */
#define BUSY_CPU_WINDOW_NS UINT64_C(200000000)
#define BUSY_CPU_STALE_NS  UINT64_C(3000000000)

/* All zero before the first look. */
struct busy_cpu {
	uint64_t looked_ns; /* 0: never */
	uint64_t usage_us;  /* then */
	bool is_measured;   /* is_busy says what the time before that look was */
	bool is_busy;
};

/*
 * v: what the connections have said; only if they are at rest and v->is_in_use, this adds to it:
 * BUSY_COMPUTING, BUSY_MEASURING (look again first, after v->recheck_ms), or nothing.
 */
void busy_cpu_look(struct busy_cpu *c, struct busy_verdict *v, uint64_t usage_us, uint64_t now_ns);

#endif
