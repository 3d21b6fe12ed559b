/* SPDX-License-Identifier: MIT */
/*
 * Steps a scaler and watches it from outside: each step returns NULL, or the promise of
 * target/scaler.h that was broken. For tests that do not know what comes next: random ones, and the
 * fuzzer.
 *
 * The caller keeps time as the daemon does: now_ns never goes back, and an activity stamp is new
 * by less than the idle time when it is first seen.
 */
#ifndef DOZE_TESTS_SCALER_WATCH_H
#define DOZE_TESTS_SCALER_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/util.h"
#include "target/scaler.h"

#define SCALER_WATCH_TICKS_MAX 64

struct scaler_watch {
	struct scaler scaler;
	bool is_closed; /* by the effects seen */
	bool is_waking; /* from GROW at a closed gate until it opens */
	bool is_stopped;
	uint64_t recheck_ns; /* with the next step; the caller's */
	bool is_kept;
	uint64_t closed_ns;
	uint64_t awake_ns; /* when it became awake last */
	uint64_t wake_ns;
	uint64_t activity_ns; /* the newest that was shown */
};

static inline void scaler_watch_init(struct scaler_watch *w, const struct scaler_settings *settings,
				     uint64_t now_ns)
{
	*w = (struct scaler_watch){ .awake_ns = now_ns, .activity_ns = now_ns };
	scaler_init(&w->scaler, settings, now_ns);
}

static inline const char *scaler_watch_gate(struct scaler_watch *w, unsigned int effects,
					    uint64_t now_ns)
{
	if ((effects & SCALER_CLOSE_GATE) && (effects & SCALER_OPEN_GATE))
		return "a step opens or closes the gate, not both";
	if ((effects & SCALER_CLOSE_GATE) && w->is_closed)
		return "only an open gate is closed";
	if ((effects & SCALER_OPEN_GATE) && !w->is_closed)
		return "only a closed gate is opened";
	if ((effects & SCALER_TIMED_OUT) && !(effects & SCALER_OPEN_GATE))
		return "a timeout opens the gate";
	if ((effects & SCALER_TIMED_OUT) &&
	    (!w->is_waking || now_ns < w->wake_ns + w->scaler.settings.wake_timeout_ns))
		return "a timeout is as long after the waking packet as the settings say";

	if (effects & SCALER_CLOSE_GATE) {
		w->is_closed = true;
		w->closed_ns = now_ns;
	} else if (effects & SCALER_OPEN_GATE) {
		w->is_closed = false;
		w->is_waking = false;
	}
	if (w->is_closed != w->scaler.is_gate_closed)
		return "the gate is as the effects have left it";
	if (w->is_closed && w->scaler.state == SCALER_AWAKE)
		return "the gate of a target that is awake is open";
	if (!w->is_closed && w->scaler.state == SCALER_ASLEEP && !w->is_stopped)
		return "the gate of a target that is asleep is closed";
	return NULL;
}

static inline const char *scaler_watch_size(struct scaler_watch *w, enum scaler_event event,
					    unsigned int effects, uint64_t now_ns)
{
	const struct scaler_settings *settings = &w->scaler.settings;

	if ((effects & SCALER_GROW) && w->is_closed && !w->is_waking) {
		w->is_waking = true;
		w->wake_ns = now_ns;
	}
	if (!(effects & SCALER_SHRINK))
		return NULL;
	if (effects != SCALER_SHRINK)
		return "a step that shrinks does nothing else";
	if (w->is_kept)
		return "a target that is kept awake is not shrunk";
	if (settings->looks && event != SCALER_QUIET)
		return "a target is shrunk after it was said to be quiet";
	if (!w->is_closed)
		return "only behind a closed gate a target is shrunk";
	if (now_ns < w->closed_ns + settings->settle_ns)
		return "the gate has settled before the target is shrunk";
	if (now_ns < w->activity_ns + settings->idle_ns)
		return "a target that is not idle is not shrunk";
	if (now_ns < w->awake_ns + settings->awake_min_ns)
		return "a target is awake for its least time before it is shrunk";
	return NULL;
}

static inline unsigned int scaler_watch_tell(struct scaler *s, enum scaler_event event,
					     uint64_t now_ns)
{
	const struct scaler_input in = { .event = event, .now_ns = now_ns };

	return scaler_step(s, &in);
}

/* Of a copy: whatever has happened, the next packet opens the gate, and in time. */
static inline const char *scaler_watch_escape(struct scaler s, uint64_t now_ns)
{
	uint64_t limit_ns = now_ns + s.settings.wake_timeout_ns;
	struct scaler answered = s;

	scaler_watch_tell(&answered, SCALER_TRAFFIC, now_ns);
	scaler_watch_tell(&answered, SCALER_GROWN, now_ns);
	scaler_watch_tell(&answered, SCALER_READY, now_ns);
	if (answered.is_gate_closed)
		return "the full size and an answered probe open the gate";

	scaler_watch_tell(&s, SCALER_TRAFFIC, now_ns);
	for (int i = 0; i < SCALER_WATCH_TICKS_MAX && s.is_gate_closed; i++) {
		uint64_t deadline_ns = scaler_deadline_ns(&s);

		if (deadline_ns > limit_ns)
			return "the gate opens in time although nothing answers";
		now_ns = deadline_ns > now_ns ? deadline_ns : now_ns;
		scaler_watch_tell(&s, SCALER_TICK, now_ns);
	}
	return s.is_gate_closed ? "the gate opens although nothing answers" : NULL;
}

static inline const char *scaler_watch_step(struct scaler_watch *w, enum scaler_event event,
					    uint64_t now_ns, uint64_t activity_ns,
					    unsigned int *effects_out)
{
	enum scaler_state before = w->scaler.state;
	const struct scaler_input in = {
		.event = event,
		.now_ns = now_ns,
		.activity_ns = activity_ns,
		.recheck_ns = w->recheck_ns,
	};
	unsigned int effects = scaler_step(&w->scaler, &in);
	bool was_stopped = w->is_stopped;
	const char *broken;

	*effects_out = effects;
	if (event == SCALER_KEEP || event == SCALER_RELEASE)
		w->is_kept = event == SCALER_KEEP;
	if ((effects & SCALER_LOOK) && !w->scaler.settings.looks)
		return "nothing is asked of those who have no answer";
	if (w->scaler.idle_ns < w->scaler.settings.idle_ns ||
	    w->scaler.idle_ns > max_u64(w->scaler.settings.idle_ns, w->scaler.settings.idle_max_ns))
		return "the idle time stays within its bounds";
	w->is_stopped = w->is_stopped || event == SCALER_STOP || event == SCALER_ABANDON;
	if (was_stopped && effects)
		return "nothing happens after the stop";
	if (event == SCALER_ABANDON && before == SCALER_ASLEEP && (effects & ~SCALER_OPEN_GATE))
		return "a target that is abandoned asleep stays asleep";
	if (activity_ns > w->activity_ns)
		w->activity_ns = activity_ns;
	broken = scaler_watch_gate(w, effects, now_ns);
	if (!broken)
		broken = scaler_watch_size(w, event, effects, now_ns);
	if (broken)
		return broken;

	if (before != SCALER_AWAKE && w->scaler.state == SCALER_AWAKE)
		w->awake_ns = now_ns;
	if (w->is_stopped && (w->is_closed || scaler_deadline_ns(&w->scaler) != UINT64_MAX))
		return "a stopped target is left alone, with its gate open";
	if (event == SCALER_TICK && !(effects & SCALER_LOOK) &&
	    scaler_deadline_ns(&w->scaler) <= now_ns)
		return "after a tick the next one is due later";
	return scaler_watch_escape(w->scaler, now_ns);
}

#endif
