// SPDX-License-Identifier: MIT
/* Two looks make a rate. */
#include "activity/busy_cpu.h"

#include "base/util.h"

#define BUSY_CPU_RECHECK_MS 1000

static void busy_cpu_say(struct busy_verdict *verdict, enum busy_reason reason, uint64_t recheck_ms)
{
	verdict->reason = reason;
	verdict->flow = verdict->in_use;
	verdict->recheck_ms = recheck_ms;
}

void busy_cpu_look(struct busy_cpu *cpu, struct busy_verdict *verdict, uint64_t usage_us,
		   uint64_t now_ns)
{
	uint64_t passed_ns = now_ns - cpu->looked_ns;
	const struct busy_cpu look = { .looked_ns = now_ns, .usage_us = usage_us };

	if (verdict->reason != BUSY_NOT || !verdict->is_in_use)
		return;
	if (!cpu->looked_ns || passed_ns >= BUSY_CPU_STALE_NS) {
		*cpu = look;
		passed_ns = 0;
	} else if (passed_ns >= BUSY_CPU_WINDOW_NS) {
		/* A counter that went back belongs to another container. */
		uint64_t used_us = usage_us > cpu->usage_us ? usage_us - cpu->usage_us : 0;

		*cpu = look;
		cpu->is_measured = true;
		cpu->is_busy = used_us * 1000 >= passed_ns / NS_PER_US * BUSY_CPU_MILLICPU;
	}
	if (!cpu->is_measured)
		busy_cpu_say(verdict, BUSY_MEASURING,
			     (BUSY_CPU_WINDOW_NS - passed_ns) / NS_PER_MS + 1);
	else if (cpu->is_busy)
		busy_cpu_say(verdict, BUSY_COMPUTING, BUSY_CPU_RECHECK_MS);
}
