/* SPDX-License-Identifier: MIT */
/*
 * How many targets wake at the same time. Pure. The others wait their turn, those with the highest
 * priority first, and of the same priority in the order in which they have asked; their packets
 * are held meanwhile.
 */
#ifndef DOZE_WAKE_QUEUE_H
#define DOZE_WAKE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum wake_turn {
	WAKE_TURN_NONE,
	WAKE_TURN_WAITS,
	WAKE_TURN_WAKES,
};

/* Owned by a target; its memory stays in place until wake_queue_end(). */
struct wake_ticket {
	int32_t priority;
	/* Its turn has come: from within wake_queue_ask(), or another's wake_queue_end(). */
	void (*granted)(void *arg);
	void *arg;
	enum wake_turn turn; /* this and all that follows is the queue's */
	struct wake_ticket *prev, *next;
};

struct wake_queue {
	size_t max; /* at the same time; 0: without limit */
	size_t wakes_len;
	struct wake_ticket *waiting;
};

/*
 * Asking again changes nothing while it waits. While it wakes, granted() is called once more, so
 * that a resize that failed is tried again.
 */
void wake_queue_ask(struct wake_queue *q, struct wake_ticket *t);

/* It is awake, or gives up; the next one's turn comes. Returns whether it was still waiting. */
bool wake_queue_end(struct wake_queue *q, struct wake_ticket *t);

#endif
