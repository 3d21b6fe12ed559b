// SPDX-License-Identifier: MIT
/* The state machine of target/scaler.h: one function for each state. */
#include "target/scaler.h"

#include "base/util.h"

static unsigned int scaler_enter_awake(struct scaler *s, uint64_t now_ns, uint64_t activity_ns)
{
	bool was_closed = s->is_gate_closed;

	s->state = SCALER_AWAKE;
	s->since_ns = now_ns;
	s->activity_ns = activity_ns;
	s->is_gate_closed = false;
	s->is_settling = false;
	s->is_looking = false;
	s->busy_till_ns = 0;
	return was_closed ? SCALER_OPEN_GATE : 0;
}

/* Asleep for a moment only, again and again, costs more than it saves. */
static unsigned int scaler_note_flap(struct scaler *s, uint64_t now_ns)
{
	uint64_t before_ns = s->idle_ns;

	if (now_ns - s->shrink_ns >= s->settings.flap_ns) {
		s->flaps = 0;
		s->idle_ns = s->settings.idle_ns;
	} else if (++s->flaps >= SCALER_FLAPS) {
		s->idle_ns = max_u64(min_u64(2 * s->idle_ns, s->settings.idle_max_ns),
				     s->settings.idle_ns);
	}
	return s->idle_ns != before_ns ? SCALER_FLAPPED : 0;
}

static unsigned int scaler_enter_growing(struct scaler *s, uint64_t now_ns)
{
	s->state = SCALER_GROWING;
	s->since_ns = now_ns;
	s->wake_ns = now_ns;
	s->is_settling = false;
	s->is_refused = false;
	s->retry_ns = 0;
	s->retry_pause_ns = s->settings.retry_min_ns;
	return SCALER_GROW;
}

/* Somebody wants the target: unlike the GROW that undoes a failed shrink, this may be a flap. */
static unsigned int scaler_wake(struct scaler *s, uint64_t now_ns)
{
	unsigned int effects = scaler_note_flap(s, now_ns);

	return effects | scaler_enter_growing(s, now_ns);
}

static uint64_t scaler_idle_deadline_ns(const struct scaler *s)
{
	uint64_t idle_ns = s->activity_ns + s->idle_ns;
	uint64_t not_before_ns = max_u64(s->busy_till_ns, s->shrink_not_before_ns);

	return max_u64(max_u64(idle_ns, s->since_ns + s->settings.awake_min_ns), not_before_ns);
}

static unsigned int scaler_look(struct scaler *s)
{
	s->is_looking = true;
	return SCALER_LOOK;
}

static unsigned int scaler_enter_settling(struct scaler *s, uint64_t now_ns)
{
	s->state = SCALER_SHRINKING;
	s->since_ns = now_ns;
	s->is_gate_closed = true;
	s->is_settling = true;
	return SCALER_CLOSE_GATE;
}

static unsigned int scaler_shrink(struct scaler *s, uint64_t now_ns)
{
	s->is_settling = false;
	s->since_ns = now_ns;
	s->shrink_ns = now_ns;
	return SCALER_SHRINK;
}

static unsigned int scaler_step_awake(struct scaler *s, const struct scaler_input *in)
{
	bool was_looking = s->is_looking;

	s->activity_ns = max_u64(s->activity_ns, in->activity_ns);
	s->is_looking = false;
	if (in->event == SCALER_BUSY && was_looking)
		s->busy_till_ns = in->now_ns + in->recheck_ns;
	if (s->is_kept || in->now_ns < scaler_idle_deadline_ns(s))
		return 0;
	if (in->event == SCALER_QUIET && was_looking)
		return scaler_enter_settling(s, in->now_ns);
	if (in->event != SCALER_TICK)
		return 0;
	return s->settings.looks ? scaler_look(s) : scaler_enter_settling(s, in->now_ns);
}

/* The gate is closed, the size still full: whatever comes now costs nothing but an open gate. */
static unsigned int scaler_step_settling(struct scaler *s, const struct scaler_input *in)
{
	unsigned int effects;

	if (in->event == SCALER_TRAFFIC || in->event == SCALER_KEEP ||
	    in->activity_ns > s->activity_ns)
		return scaler_enter_awake(s, in->now_ns, max_u64(s->activity_ns, in->activity_ns));
	if (in->event == SCALER_TICK && in->now_ns >= s->since_ns + s->settings.settle_ns)
		return s->settings.looks ? scaler_look(s) : scaler_shrink(s, in->now_ns);
	if (in->event == SCALER_QUIET && s->is_looking)
		return scaler_shrink(s, in->now_ns);
	if (in->event == SCALER_BUSY && s->is_looking) {
		effects = scaler_enter_awake(s, in->now_ns, s->activity_ns);
		s->busy_till_ns = in->now_ns + in->recheck_ns;
		return effects;
	}
	return 0;
}

/* Half of it may have been done: undo it, with the gate open meanwhile. */
static unsigned int scaler_shrink_failed(struct scaler *s, uint64_t now_ns)
{
	s->shrink_pause_ns = min_u64(max_u64(2 * s->shrink_pause_ns, s->idle_ns),
				     s->settings.shrink_pause_max_ns);
	s->shrink_not_before_ns = now_ns + s->shrink_pause_ns;
	s->is_gate_closed = false;
	return scaler_enter_growing(s, now_ns) | SCALER_OPEN_GATE;
}

static unsigned int scaler_step_shrinking(struct scaler *s, const struct scaler_input *in)
{
	switch (in->event) {
	case SCALER_SHRUNK:
		s->state = SCALER_ASLEEP;
		s->since_ns = in->now_ns;
		s->shrink_pause_ns = 0;
		return 0;
	case SCALER_TRAFFIC:
	case SCALER_KEEP:
		return scaler_wake(s, in->now_ns);
	case SCALER_SHRINK_FAILED:
		return scaler_shrink_failed(s, in->now_ns);
	default:
		return 0;
	}
}

static bool scaler_is_late(const struct scaler *s, uint64_t now_ns)
{
	return s->is_gate_closed && now_ns >= s->wake_ns + s->settings.wake_timeout_ns;
}

static unsigned int scaler_tick_growing(struct scaler *s, uint64_t now_ns)
{
	unsigned int effects = 0;

	if (scaler_is_late(s, now_ns)) {
		s->is_gate_closed = false;
		effects |= SCALER_OPEN_GATE | SCALER_TIMED_OUT;
	}
	if (s->retry_ns && now_ns >= s->retry_ns) {
		s->retry_ns = 0;
		effects |= SCALER_GROW;
	}
	return effects;
}

/* No client waits for what may never be granted. */
static unsigned int scaler_refused(struct scaler *s, const struct scaler_input *in)
{
	bool was_closed = s->is_gate_closed;

	s->is_refused = true;
	s->is_gate_closed = false;
	s->activity_ns = max_u64(s->activity_ns, in->activity_ns);
	s->retry_ns = in->now_ns + SCALER_REFUSED_PAUSE_NS;
	return was_closed ? SCALER_OPEN_GATE | SCALER_REFUSED : 0;
}

/* For nobody it is not asked again: the backend does that, at its own pace. */
static unsigned int scaler_tick_refused(struct scaler *s, const struct scaler_input *in)
{
	bool is_called = in->activity_ns > s->activity_ns;

	if (in->now_ns < s->retry_ns)
		return 0;
	s->activity_ns = max_u64(s->activity_ns, in->activity_ns);
	s->retry_ns = in->now_ns + SCALER_REFUSED_PAUSE_NS;
	return is_called ? SCALER_GROW : 0;
}

static unsigned int scaler_step_growing(struct scaler *s, const struct scaler_input *in)
{
	switch (in->event) {
	case SCALER_GROWN:
		s->state = SCALER_UNREADY;
		s->since_ns = in->now_ns;
		return SCALER_ASK_READY;
	case SCALER_GROW_REFUSED:
		return scaler_refused(s, in);
	case SCALER_GROW_FAILED:
		s->is_refused = false;
		s->retry_ns = in->now_ns + s->retry_pause_ns;
		s->retry_pause_ns = min_u64(2 * s->retry_pause_ns, s->settings.retry_max_ns);
		return 0;
	case SCALER_TICK:
		return s->is_refused ? scaler_tick_refused(s, in)
				     : scaler_tick_growing(s, in->now_ns);
	default:
		return 0;
	}
}

static unsigned int scaler_step_unready(struct scaler *s, const struct scaler_input *in)
{
	if (in->event == SCALER_READY)
		return scaler_enter_awake(s, in->now_ns, in->now_ns);
	if (in->event == SCALER_TICK && scaler_is_late(s, in->now_ns))
		return SCALER_STOP_ASKING | SCALER_TIMED_OUT |
		       scaler_enter_awake(s, in->now_ns, in->now_ns);
	return 0;
}

static unsigned int scaler_stop(struct scaler *s, const struct scaler_input *in)
{
	s->is_stopped = true;
	if (in->event == SCALER_ABANDON && s->state == SCALER_ASLEEP) {
		s->is_gate_closed = false;
		return SCALER_OPEN_GATE;
	}
	return SCALER_STOP_ASKING | SCALER_GROW | scaler_enter_awake(s, in->now_ns, in->now_ns);
}

void scaler_init(struct scaler *s, const struct scaler_settings *settings, uint64_t now_ns)
{
	*s = (struct scaler){
		.settings = *settings,
		.idle_ns = settings->idle_ns,
		.state = SCALER_UNREADY,
		.since_ns = now_ns,
		.activity_ns = now_ns,
	};
}

unsigned int scaler_resume_asleep(struct scaler *s, uint64_t now_ns)
{
	s->state = SCALER_ASLEEP;
	s->since_ns = now_ns;
	s->is_gate_closed = true;
	return SCALER_CLOSE_GATE;
}

unsigned int scaler_step(struct scaler *s, const struct scaler_input *in)
{
	if (s->is_stopped)
		return 0;
	if (in->event == SCALER_STOP || in->event == SCALER_ABANDON)
		return scaler_stop(s, in);
	if (in->event == SCALER_KEEP || in->event == SCALER_RELEASE)
		s->is_kept = in->event == SCALER_KEEP;

	switch (s->state) {
	case SCALER_AWAKE:
		return scaler_step_awake(s, in);
	case SCALER_SHRINKING:
		return s->is_settling ? scaler_step_settling(s, in) : scaler_step_shrinking(s, in);
	case SCALER_ASLEEP:
		if (in->event == SCALER_TRAFFIC || in->event == SCALER_KEEP)
			return scaler_wake(s, in->now_ns);
		if (in->event == SCALER_SHRINK_FAILED) /* somebody had undone it, and it stays so */
			return scaler_shrink_failed(s, in->now_ns);
		return 0;
	case SCALER_GROWING:
		return scaler_step_growing(s, in);
	case SCALER_UNREADY:
		return scaler_step_unready(s, in);
	}
	return 0;
}

void scaler_raise_awake_min(struct scaler *s, uint64_t awake_min_ns)
{
	s->settings.awake_min_ns = max_u64(s->settings.awake_min_ns, awake_min_ns);
}

static uint64_t scaler_wake_deadline_ns(const struct scaler *s)
{
	return s->is_gate_closed ? s->wake_ns + s->settings.wake_timeout_ns : UINT64_MAX;
}

uint64_t scaler_deadline_ns(const struct scaler *s)
{
	if (s->is_stopped)
		return UINT64_MAX;
	switch (s->state) {
	case SCALER_AWAKE:
		return s->is_kept ? UINT64_MAX : scaler_idle_deadline_ns(s);
	case SCALER_SHRINKING:
		return s->is_settling ? s->since_ns + s->settings.settle_ns : UINT64_MAX;
	case SCALER_GROWING:
		return min_u64(s->retry_ns ? s->retry_ns : UINT64_MAX, scaler_wake_deadline_ns(s));
	case SCALER_UNREADY:
		return scaler_wake_deadline_ns(s);
	case SCALER_ASLEEP:
		break;
	}
	return UINT64_MAX;
}

const char *scaler_state_name(enum scaler_state state)
{
	static const char *const names[] = {
		[SCALER_AWAKE] = "awake",     [SCALER_SHRINKING] = "shrinking",
		[SCALER_ASLEEP] = "asleep",   [SCALER_GROWING] = "growing",
		[SCALER_UNREADY] = "unready",
	};

	return names[state];
}
