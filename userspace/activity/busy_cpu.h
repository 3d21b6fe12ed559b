/* SPDX-License-Identifier: MIT */
/*
 * Whether a target computes, by the CPU time that it has used from one look to the next. Pure.
 *
 * Connections do not tell everything (activity/sockdiag_message.h): an answer that has begun, a
 * session ticket of TLS, or the first of several answers hides that more is to come. A target whose
 * connections are at rest is watched for a moment for that reason, if one was in use lately.
 */
#ifndef DOZE_BUSY_CPU_H
#define DOZE_BUSY_CPU_H

#include <stdbool.h>
#include <stdint.h>

#include "activity/busy.h"

/* A target that uses so many thousandths of one CPU computes. A runtime at rest stays below 20. */
#define BUSY_CPU_MILLICPU 50

/* A shorter time says nothing. An older look says nothing about now. */
#define BUSY_CPU_WINDOW_NS UINT64_C(200000000)
#define BUSY_CPU_STALE_NS  UINT64_C(3000000000)

/* All zero before the first look. */
struct busy_cpu {
	uint64_t looked_ns; /* 0: never */
	uint64_t usage_us;  /* at that look */
	bool is_measured;   /* is_busy is known */
	bool is_busy;	    /* it computed before that look */
};

/*
 * *verdict is what the connections have said. If they are at rest and verdict->is_in_use, this adds
 * BUSY_COMPUTING, BUSY_MEASURING (to be asked again after verdict->recheck_ms) or nothing to it.
 */
void busy_cpu_look(struct busy_cpu *cpu, struct busy_verdict *verdict, uint64_t usage_us,
		   uint64_t now_ns);

#endif
