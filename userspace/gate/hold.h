/* SPDX-License-Identifier: MIT */
/*
 * SYNs that wait for their target to wake. Pure. Bounded in number and in bytes; of a flow only the
 * newest is kept (its timestamps are the ones the client expects back). When there is no room the
 * oldest leaves: TCP sends it again.
 */
#ifndef DOZE_HOLD_H
#define DOZE_HOLD_H

#include <stddef.h>
#include <stdint.h>

/* uthash: give up on the insertion, not on the process, when memory is short. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "gate.h"

/* Of the frames that wait. More than 5000 SYNs, or 350 of the longest. */
#define HOLD_BYTES_MAX (1UL << 20)

struct hold_frame {
	struct gate_event event; /* event.frame_len bytes at bytes; event.flow is the key */
	UT_hash_handle hh;
	__u8 bytes[];
};

/* How many frames since the start: */
struct hold_counters {
	uint64_t held;
	uint64_t folded;       /* replaced an older one of its flow */
	uint64_t dropped_full; /* the oldest, to make room */
	uint64_t dropped_no_memory;
};

struct hold;

/* The caller owns *out. -ENOMEM. */
int hold_new(struct hold **out, size_t frames_max);
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
