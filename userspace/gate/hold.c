// SPDX-License-Identifier: MIT
/* A hash by flow, which uthash keeps in the order of insertion: the first is the oldest. */
#include "gate/hold.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

struct hold {
	struct hold_frame *frames;
	size_t bytes;
	size_t frames_max;
	struct hold_counters counters;
};

int hold_new(struct hold **out, size_t frames_max)
{
	struct hold *h = calloc(1, sizeof(*h));

	if (!h)
		return -ENOMEM;
	h->frames_max = frames_max;
	*out = h;
	return 0;
}

void hold_free(struct hold **h)
{
	struct hold_frame *frame;

	if (!*h)
		return;
	while ((frame = hold_pop(*h)))
		free(frame);
	free(*h);
	*h = NULL;
}

/* Takes the frame out; the caller owns it. */
static struct hold_frame *hold_unlink(struct hold *h, struct hold_frame *frame)
{
	h->bytes -= frame->event.frame_len;
	HASH_DEL(h->frames, frame);
	return frame;
}

struct hold_frame *hold_pop(struct hold *h)
{
	return h->frames ? hold_unlink(h, h->frames) : NULL;
}

static void hold_make_room(struct hold *h, const struct gate_event *event)
{
	struct hold_frame *older;

	HASH_FIND(hh, h->frames, &event->flow, sizeof(event->flow), older);
	if (older) {
		h->counters.folded++;
		free(hold_unlink(h, older));
	}
	while (h->frames &&
	       (hold_len(h) >= h->frames_max || h->bytes + event->frame_len > HOLD_BYTES_MAX)) {
		h->counters.dropped_full++;
		free(hold_pop(h));
	}
}

void hold_push(struct hold *h, const struct gate_event *event, const void *bytes)
{
	struct hold_frame *frame = malloc(sizeof(*frame) + event->frame_len);

	hold_make_room(h, event);
	if (frame) {
		frame->event = *event;
		memcpy(frame->bytes, bytes, event->frame_len);
		HASH_ADD(hh, h->frames, event.flow, sizeof(event->flow), frame);
	}
	if (!frame || !frame->hh.tbl) { /* what HASH_NONFATAL_OOM leaves behind */
		h->counters.dropped_no_memory++;
		free(frame);
		return;
	}
	h->bytes += event->frame_len;
	h->counters.held++;
}

const struct hold_frame *hold_newest(const struct hold *h)
{
	const struct UT_hash_table *table = h->frames ? h->frames->hh.tbl : NULL;

	return table ? (const struct hold_frame *)ELMT_FROM_HH(table, table->tail) : NULL;
}

size_t hold_len(const struct hold *h)
{
	return HASH_COUNT(h->frames);
}

const struct hold_counters *hold_counters(const struct hold *h)
{
	return &h->counters;
}
