// SPDX-License-Identifier: MIT
/* Two looks make a rate. */
#include "activity/busy_cpu.h"

#define BUSY_CPU_NS_PER_US  1000
#define BUSY_CPU_NS_PER_MS  1000000
#define BUSY_CPU_RECHECK_MS 1000

static void busy_cpu_say(struct busy_verdict *v, enum busy_reason reason, uint64_t recheck_ms)
{
	v->reason = reason;
	v->flow = v->in_use;
	v->recheck_ms = recheck_ms;
}

static void busy_cpu_start(struct busy_cpu *c, uint64_t usage_us, uint64_t now_ns)
{
	*c = (struct busy_cpu){ .looked_ns = now_ns, .usage_us = usage_us };
}

/* Used time in thousandths of the time that has passed. A counter that went back is another's. */
static void busy_cpu_measure(struct busy_cpu *c, uint64_t usage_us, uint64_t now_ns)
{
	uint64_t used_us = usage_us > c->usage_us ? usage_us - c->usage_us : 0;
	uint64_t passed_us = (now_ns - c->looked_ns) / BUSY_CPU_NS_PER_US;

	busy_cpu_start(c, usage_us, now_ns);
	c->is_measured = true;
	c->is_busy = used_us * 1000 >= passed_us * BUSY_CPU_MILLICPU;
}

void busy_cpu_look(struct busy_cpu *c, struct busy_verdict *v, uint64_t usage_us, uint64_t now_ns)
{
	uint64_t passed_ns = now_ns - c->looked_ns;

	if (v->reason != BUSY_NOT || !v->is_in_use)
		return;
	if (!c->looked_ns || passed_ns >= BUSY_CPU_STALE_NS) {
		busy_cpu_start(c, usage_us, now_ns);
		passed_ns = 0;
	} else if (passed_ns >= BUSY_CPU_WINDOW_NS) {
		busy_cpu_measure(c, usage_us, now_ns);
	}
	if (!c->is_measured)
		busy_cpu_say(v, BUSY_MEASURING,
			     (BUSY_CPU_WINDOW_NS - passed_ns) / BUSY_CPU_NS_PER_MS + 1);
	else if (c->is_busy)
		busy_cpu_say(v, BUSY_COMPUTING, BUSY_CPU_RECHECK_MS);
}
