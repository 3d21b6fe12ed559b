// SPDX-License-Identifier: MIT
/* Asks the backend, and tells it. */
#include "target/target_depth.h"

#include "base/log.h"
#include "base/util.h"
#include "target/target_inner.h"

static uint64_t target_depth_throttled_us(const struct target *t)
{
	uint64_t us;

	return backend_throttled_us(t->edges.backend, &us) < 0 ? 0 : us;
}

void target_depth_begin(struct target *t, bool is_connected)
{
	t->is_connected = is_connected && backend_has_depths(t->edges.backend);
	depth_begin(&t->depth, monotonic_ns(), target_depth_throttled_us(t));
	backend_set_connected(t->edges.backend, is_connected);
}

void target_depth_look(struct target *t, const struct busy_verdict *v)
{
	struct depth_look look = {
		.now_ns = monotonic_ns(),
		.is_connected = v->is_connected,
		.since_sent_ms = v->since_sent_ms,
	};

	/* Nobody can have come since: a SYN wakes. */
	if (!t->is_connected)
		return;
	look.throttled_us = target_depth_throttled_us(t);
	switch (depth_step(&t->depth, &look)) {
	case DEPTH_FREEZE:
		log_debug("no client is connected any more", "target=%s", t->history.told.name);
		t->is_connected = false;
		backend_set_connected(t->edges.backend, false);
		break;
	case DEPTH_WAKE:
		target_wake(t, "output");
		break;
	case DEPTH_THROTTLE:
		break;
	}
}
