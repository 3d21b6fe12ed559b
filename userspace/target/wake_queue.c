// SPDX-License-Identifier: MIT
/* A list in the order of the turns to come. */
#include "target/wake_queue.h"

#include <utlist.h>

static void wake_queue_insert(struct wake_queue *q, struct wake_ticket *t)
{
	struct wake_ticket *before;

	t->turn = WAKE_TURN_WAITS;
	DL_FOREACH(q->waiting, before)
	{
		if (before->priority < t->priority) {
			DL_PREPEND_ELEM(q->waiting, before, t);
			return;
		}
	}
	DL_APPEND(q->waiting, t);
}

static void wake_queue_grant(struct wake_queue *q, struct wake_ticket *t)
{
	t->turn = WAKE_TURN_WAKES;
	q->wakes_len++;
	t->granted(t->arg);
}

static bool wake_queue_has_room(const struct wake_queue *q)
{
	return !q->max || q->wakes_len < q->max;
}

void wake_queue_ask(struct wake_queue *q, struct wake_ticket *t)
{
	if (t->turn == WAKE_TURN_WAKES)
		t->granted(t->arg);
	else if (t->turn == WAKE_TURN_NONE && wake_queue_has_room(q))
		wake_queue_grant(q, t);
	else if (t->turn == WAKE_TURN_NONE)
		wake_queue_insert(q, t);
}

bool wake_queue_end(struct wake_queue *q, struct wake_ticket *t)
{
	enum wake_turn turn = t->turn;
	struct wake_ticket *next;

	t->turn = WAKE_TURN_NONE;
	if (turn == WAKE_TURN_WAITS)
		DL_DELETE(q->waiting, t);
	if (turn != WAKE_TURN_WAKES)
		return turn == WAKE_TURN_WAITS;
	q->wakes_len--;
	next = q->waiting;
	if (next && wake_queue_has_room(q)) {
		DL_DELETE(q->waiting, next);
		wake_queue_grant(q, next);
	}
	return false;
}
