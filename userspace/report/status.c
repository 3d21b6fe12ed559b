// SPDX-License-Identifier: MIT
/* Counting. */
#include "report/status.h"

#include <string.h>

#include "base/util.h"

void status_count(struct status_counts *counts, const char *reason)
{
	for (size_t i = 0; i < counts->len; i++) {
		if (strcmp(counts->of[i].reason, reason) == 0) {
			counts->of[i].count++;
			return;
		}
	}
	if (counts->len < STATUS_REASONS_MAX)
		counts->of[counts->len++] = (struct status_count){ reason, 1 };
}

void status_count_wake(struct status_target *t, uint64_t us)
{
	static const uint64_t bounds_ms[STATUS_WAKE_BUCKETS] = STATUS_WAKE_BOUNDS_MS;
	size_t bucket = 0;

	while (bucket < STATUS_WAKE_BUCKETS && us > bounds_ms[bucket] * 1000)
		bucket++;
	t->wake_buckets[bucket]++;
	t->wake_sum_us += us;
}
