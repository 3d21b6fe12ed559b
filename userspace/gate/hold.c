// SPDX-License-Identifier: MIT
/* A list of frames in order of arrival, and a hash of their flows to fold duplicates. */
#include "gate/hold.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

/* uthash: give up on the insertion, not on the process, when memory is short. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>
#include <utlist.h>

#include "base/util.h"

struct hold_flow {
	struct gate_flow flow; /* the key */
	size_t frames;
	struct hold_frame *newest;
	UT_hash_handle hh;
};

struct hold {
	struct hold_frame *frames; /* oldest first */
	struct hold_flow *flows;
	size_t len, bytes;
	size_t frames_max;
	size_t datagrams_max;
	struct hold_counters counters;
};

int hold_new(struct hold **out, size_t frames_max, size_t datagrams_max)
{
	struct hold *h = calloc(1, sizeof(*h));

	if (!h)
		return -ENOMEM;
	h->frames_max = frames_max;
	h->datagrams_max = datagrams_max;
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

static struct hold_flow *hold_find_flow(const struct hold *h, const struct gate_flow *flow)
{
	struct hold_flow *found;

	HASH_FIND(hh, h->flows, flow, sizeof(*flow), found);
	return found;
}

static struct hold_flow *hold_add_flow(struct hold *h, const struct gate_flow *flow)
{
	struct hold_flow *added = hold_find_flow(h, flow);

	if (added)
		return added;
	added = calloc(1, sizeof(*added));
	if (!added)
		return NULL;
	added->flow = *flow;
	HASH_ADD(hh, h->flows, flow, sizeof(added->flow), added);
	if (!added->hh.tbl) { /* what HASH_NONFATAL_OOM leaves behind */
		free(added);
		return NULL;
	}
	return added;
}

/* Takes frame out of the list; the caller owns it. */
static struct hold_frame *hold_unlink(struct hold *h, struct hold_frame *frame)
{
	struct hold_flow *flow = hold_find_flow(h, &frame->event.flow);

	DL_DELETE(h->frames, frame);
	h->len--;
	h->bytes -= frame->event.frame_len;
	if (flow && flow->newest == frame)
		flow->newest = NULL;
	if (flow && --flow->frames == 0) {
		/* The analyzer takes a flow found in the hash for one that is not in it. */
		HASH_DEL(h->flows, flow); /* NOLINT(clang-analyzer-core.NullDereference) */
		free(flow);
	}
	return frame;
}

struct hold_frame *hold_pop(struct hold *h)
{
	return h->frames ? hold_unlink(h, h->frames) : NULL;
}

static struct hold_frame *hold_frame_new(const struct gate_event *event, const void *bytes)
{
	struct hold_frame *frame = malloc(sizeof(*frame) + event->frame_len);

	if (!frame)
		return NULL;
	frame->event = *event;
	memcpy(frame->bytes, bytes, event->frame_len);
	return frame;
}

static bool hold_is_full(const struct hold *h, const struct gate_event *event)
{
	return h->len >= h->frames_max || h->bytes + event->frame_len > HOLD_BYTES_MAX;
}

/* Whether event may enter; makes the room it needs. */
static bool hold_make_room(struct hold *h, const struct gate_event *event)
{
	const struct hold_flow *flow = hold_find_flow(h, &event->flow);

	if (flow && event->flow.protocol == IPPROTO_UDP && flow->frames >= h->datagrams_max) {
		h->counters.dropped_flow_full++;
		return false;
	}
	if (flow && event->flow.protocol == IPPROTO_TCP && flow->newest) {
		h->counters.folded++;
		free(hold_unlink(h, flow->newest));
	}
	while (h->frames && hold_is_full(h, event)) {
		h->counters.dropped_full++;
		free(hold_pop(h));
	}
	return true;
}

void hold_push(struct hold *h, const struct gate_event *event, const void *bytes)
{
	struct hold_frame *frame;
	struct hold_flow *flow;

	if (!hold_make_room(h, event))
		return;
	frame = hold_frame_new(event, bytes);
	flow = frame ? hold_add_flow(h, &event->flow) : NULL;
	if (!flow) {
		h->counters.dropped_no_memory++;
		free(frame);
		return;
	}
	DL_APPEND(h->frames, frame);
	flow->frames++;
	flow->newest = frame;
	h->len++;
	h->bytes += event->frame_len;
	h->counters.held++;
}

const struct hold_frame *hold_newest(const struct hold *h)
{
	return h->frames ? h->frames->prev : NULL; /* utlist: the head's prev is the tail */
}

size_t hold_len(const struct hold *h)
{
	return h->len;
}

const struct hold_counters *hold_counters(const struct hold *h)
{
	return &h->counters;
}
