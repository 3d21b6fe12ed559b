// SPDX-License-Identifier: MIT
/*
 * Fuzzes the scaler: no order of events and times breaks a promise (tests/lib/scaler_watch.h). An
 * input is eight bytes of settings, then two bytes for each event: what, and how much later.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/util.h"
#include "lib/scaler_watch.h"
#include "target/scaler.h"

#define FUZZ_HEAD_LEN 8
#define FUZZ_LAG_NS   (10 * NS_PER_MS) /* of an activity's stamp behind the packet */

enum {
	FUZZ_EVENT = 0x0f,
	FUZZ_ACTIVITY = 0x10,	 /* a packet has passed, just now */
	FUZZ_LAGGING = 0x20,	 /* or a moment ago */
	FUZZ_TO_DEADLINE = 0x40, /* the time that passes ends at the deadline */
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t fuzz_pass_time(const struct scaler *s, uint64_t now_ns, const uint8_t *step)
{
	uint64_t deadline_ns = scaler_deadline_ns(s);

	if ((step[0] & FUZZ_TO_DEADLINE) && deadline_ns != UINT64_MAX)
		return max_u64(now_ns, deadline_ns) + step[1];
	/* From a moment to half a second. */
	return now_ns + (uint64_t)step[1] * step[1] * 8 * NS_PER_US;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct scaler_settings settings;
	struct scaler_watch w;
	uint64_t now_ns = NS_PER_S, activity_ns = 0;

	if (size < FUZZ_HEAD_LEN)
		return 0;
	settings = (struct scaler_settings){
		.idle_ns = (100 + data[0]) * NS_PER_MS,
		.awake_min_ns = data[1] * NS_PER_MS,
		.settle_ns = (1 + data[2]) * NS_PER_MS,
		.wake_timeout_ns = (10 + 4 * data[3]) * NS_PER_MS,
		.retry_min_ns = (10 + data[4]) * NS_PER_MS,
		.retry_max_ns = (10 + data[4] + 4 * data[5]) * NS_PER_MS,
		.shrink_pause_max_ns = data[5] * 10 * NS_PER_MS,
		.looks = data[6] & 1,
		.flap_ns = data[6] * NS_PER_MS,
		.idle_max_ns = data[7] * 10 * NS_PER_MS,
	};
	scaler_watch_init(&w, &settings, now_ns);
	for (size_t i = FUZZ_HEAD_LEN; i + 1 < size; i += 2) {
		enum scaler_event event = (enum scaler_event)min_u64(data[i] & FUZZ_EVENT,
								     SCALER_ABANDON);
		unsigned int effects;
		const char *broken;

		now_ns = fuzz_pass_time(&w.scaler, now_ns, data + i);
		if (data[i] & FUZZ_ACTIVITY)
			activity_ns = max_u64(activity_ns,
					      now_ns - (data[i] & FUZZ_LAGGING ? FUZZ_LAG_NS : 0));
		w.recheck_ns = (1 + data[i + 1]) * NS_PER_MS;
		broken = scaler_watch_step(&w, event, now_ns, activity_ns, &effects);
		if (broken) {
			fprintf(stderr, "event %zu breaks: %s\n", (i - FUZZ_HEAD_LEN) / 2, broken);
			__builtin_trap();
		}
	}
	return 0;
}
