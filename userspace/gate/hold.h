/* SPDX-License-Identifier: MIT */
/*
 * Frames that wait for their target to wake. Pure. Bounded in number and in bytes; of a TCP flow
 * only the newest SYN is kept (its timestamps are the ones the client expects back), of a UDP flow
 * the first datagrams. When there is no room the oldest frame leaves: TCP sends it again.
 */
#ifndef DOZE_HOLD_H
#define DOZE_HOLD_H

#include <stddef.h>
#include <stdint.h>

#include "gate.h"

/* For all frames that wait: more than 5000 SYNs, or 350 of the longest datagrams. */
#define HOLD_BYTES_MAX (1UL << 20)

struct hold_frame {
	struct gate_event event; /* event.frame_len bytes at bytes */
	struct hold_frame *prev, *next;
	__u8 bytes[];
};

/* How many frames since the start: */
struct hold_counters {
	uint64_t held;
	uint64_t folded;	    /* have been replaced by a newer SYN of their flow */
	uint64_t dropped_full;	    /* were the oldest, and have made room */
	uint64_t dropped_flow_full; /* were datagrams of a flow with datagrams_max of them */
	uint64_t dropped_no_memory;
};

struct hold;

/* datagrams_max is for each UDP flow. The caller owns *out. -ENOMEM. */
int hold_new(struct hold **out, size_t frames_max, size_t datagrams_max);
void hold_free(struct hold **h);

/* Copies event and its event->frame_len bytes. A frame that cannot be kept is counted, no error. */
void hold_push(struct hold *h, const struct gate_event *event, const void *frame);

/* The oldest frame, which the caller then owns and free()s; NULL: nothing is held. */
struct hold_frame *hold_pop(struct hold *h);

/* The frame that was pushed last, still owned by h; NULL: nothing is held. */
const struct hold_frame *hold_newest(const struct hold *h);

size_t hold_len(const struct hold *h);
const struct hold_counters *hold_counters(const struct hold *h);

#endif
