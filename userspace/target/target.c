// SPDX-License-Identifier: MIT
/* Each event goes to the scaler, and its effects to target_effects.c. */
#include "target/target.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/netns_route.h"
#include "base/util.h"
#include "gate/checksum.h"
#include "target/target_depth.h"
#include "target/target_effects.h"
#include "target/target_inner.h"

#define TARGET_SETTLE_NS    (20 * NS_PER_MS) /* > the 10 ms that the coarse clock may lag */
#define TARGET_RETRY_MIN_NS (10 * NS_PER_MS)
#define TARGET_RETRY_MAX_NS (5 * NS_PER_S)

/* What cannot be put to sleep is not tried at each idle time. */
#define TARGET_SHRINK_PAUSE_MAX_NS (600 * NS_PER_S)

/* So many clients connect while one sleeps. */
#define TARGET_FRAMES_MAX 4096

/* A sleep this short was not worth it. */
#define TARGET_FLAP_NS (10 * NS_PER_S)

/* Seconds; one that reads control files of each sleeper costs more than all the rest. */
#define TARGET_REASSERT_BEATS 4

/* With its CPU back for so long, it no longer counts as one that wakes (--max-wakes). */
#define TARGET_TURN_NS (2 * NS_PER_S)

/* So much of the idle time after a client was recognized nobody is judged: its traffic counts. */
#define TARGET_JUDGED_PART 8

/* What was no client's has left its stamp, too: it does not count. */
static uint64_t target_activity_ns(const struct target *t)
{
	uint64_t gate_ns = datapath_activity_ns(t->edges.datapath, t->settings.id);

	return max_u64(gate_ns > t->disregarded_ns ? gate_ns : 0, t->judged_ns);
}

static void target_arm_deadline(struct target *t, uint64_t now_ns)
{
	uint64_t deadline_ns = scaler_deadline_ns(&t->scaler);

	if (deadline_ns == UINT64_MAX)
		timer_stop(t->deadline);
	else
		timer_in_ns(t->deadline, deadline_ns - min_u64(deadline_ns, now_ns));
}

/* Somebody wants it; it may grow for other reasons, such as a shrink that has failed. */
static bool target_is_wake(enum scaler_event event, enum scaler_state after)
{
	return after == SCALER_GROWING && (event == SCALER_TRAFFIC || event == SCALER_KEEP);
}

static void target_note_state(struct target *t, enum scaler_state before, enum scaler_event event)
{
	enum scaler_state after = t->scaler.state;
	uint64_t now_ns = monotonic_ns(), usage_us;

	if (before == after)
		return;
	target_history_state(&t->history, before, after, now_ns);
	if (backend_usage_us(t->edges.backend, &usage_us) < 0)
		usage_us = 0;
	if (after == SCALER_ASLEEP)
		target_history_asleep(&t->history, t->scaler.activity_ns, usage_us, now_ns);
	if (before == SCALER_ASLEEP)
		target_history_waking(&t->history, usage_us);
	if (target_is_wake(event, after) && t->settings.woke)
		t->settings.woke(t->settings.arg);
	if (before == SCALER_GROWING && after == SCALER_UNREADY)
		target_history_resized(&t->history, now_ns);
}

void target_raise(struct target *t, enum scaler_event event)
{
	t->pending |= 1U << event;
}

static void target_step(struct target *t, enum scaler_event event)
{
	enum scaler_state before = t->scaler.state;
	const struct scaler_input in = {
		.event = event,
		.now_ns = monotonic_ns(),
		.activity_ns = target_activity_ns(t),
		.recheck_ns = t->recheck_ns,
	};
	unsigned int effects = scaler_step(&t->scaler, &in);

	target_note_state(t, before, event);
	target_effects_carry_out(t, effects);
}

/*
 * An effect may raise the next event before it returns (a cgroup is resized at once): it waits
 * here until the effects before it have been carried out.
 */
static void target_dispatch(struct target *t, enum scaler_event event)
{
	target_raise(t, event);
	if (t->is_dispatching)
		return;
	t->is_dispatching = true;
	while (t->pending) {
		enum scaler_event next = (enum scaler_event)__builtin_ctz(t->pending);

		t->pending &= t->pending - 1;
		target_step(t, next);
	}
	t->is_dispatching = false;
	target_arm_deadline(t, monotonic_ns());
}

/* For a reason that is no record of the gate. */
static void target_wakes(struct target *t, const char *reason, const struct gate_flow *flow)
{
	uint64_t now_ns = monotonic_ns();

	if (t->scaler.is_gate_closed)
		target_history_wakes(&t->history, reason, flow, now_ns, now_ns);
}

static void target_on_deadline(void *arg)
{
	target_dispatch(arg, SCALER_TICK);
}

/* A wake that was not told, because the ring was full, shows in the activity stamp. */
static bool target_has_missed_traffic(const struct target *t, uint64_t activity_ns)
{
	const struct scaler *s = &t->scaler;
	bool is_closed_for_good = s->state == SCALER_ASLEEP ||
				  (s->state == SCALER_SHRINKING && !s->is_settling);

	return is_closed_for_good && activity_ns > s->activity_ns;
}

/*
 * What has come by a way that the gate does not see, such as an address that was translated, is a
 * connection to accept, or bytes to read. Many connections take long to look at.
 */
static void target_look_asleep(struct target *t)
{
	uint64_t begun_ns = monotonic_ns();
	struct busy_verdict v;
	int r;

	if (begun_ns < t->look_not_before_ns)
		return;
	r = activity_look(t->activity, &v);
	t->look_not_before_ns = begun_ns + TARGET_LOOK_PART * (monotonic_ns() - begun_ns);
	if (r < 0)
		return;
	if (v.has_waiting) {
		target_wakes(t, "unseen", &v.waiting);
		target_dispatch(t, SCALER_TRAFFIC);
	} else {
		target_depth_look(t, &v);
	}
}

/* At once if the watchdog may have undone the sleep; of what others may do we look now and then. */
static void target_reassert(struct target *t, bool was_silent)
{
	bool is_due = was_silent || ++t->beats % TARGET_REASSERT_BEATS == 0;

	if (is_due && backend_reassert(t->edges.backend) < 0)
		target_wake(t, "unguarded");
}

static void target_on_beat(void *arg, bool was_silent)
{
	struct target *t = arg;
	uint64_t in_state_ns = monotonic_ns() - t->scaler.since_ns;
	/* Read before the ring: of what comes from here on, the ring may tell later. */
	uint64_t activity_ns = target_activity_ns(t);

	/* An application that never gets ready must not keep the turn of those that would. */
	if (t->scaler.state == SCALER_UNREADY && in_state_ns >= TARGET_TURN_NS)
		target_effects_end_wake(t);
	/* What the ring has comes with the name of its client. */
	datapath_consume(t->edges.datapath);
	target_act(t);
	/* Earlier by now, if a frame of the ring was none of a client. */
	activity_ns = min_u64(activity_ns, target_activity_ns(t));
	if (target_is_asleep(t))
		target_look_asleep(t);
	if (!target_has_missed_traffic(t, activity_ns)) {
		if (target_is_asleep(t))
			target_reassert(t, was_silent);
		return;
	}
	log_warn("traffic that the gate could not tell of", "target=%s", t->history.told.name);
	target_wakes(t, "missed", NULL);
	target_dispatch(t, SCALER_TRAFFIC);
}

static void target_on_resized(void *arg, enum backend_size size, int r)
{
	struct target *t = arg;

	if (size == BACKEND_FULL && r == BACKEND_REFUSED)
		target_dispatch(t, SCALER_GROW_REFUSED);
	else if (size == BACKEND_FULL)
		target_dispatch(t, r < 0 ? SCALER_GROW_FAILED : SCALER_GROWN);
	else
		target_dispatch(t, r < 0 ? SCALER_SHRINK_FAILED : SCALER_SHRUNK);
}

static void target_on_ready_port(void *arg, uint16_t port)
{
	struct target *t = arg;

	datapath_set_ready_port(t->edges.datapath, t->settings.id, port);
}

static void target_on_ready(void *arg)
{
	struct target *t = arg;

	target_history_ready(&t->history, monotonic_ns());
	target_dispatch(t, SCALER_READY);
}

/* A client among those who send probes: for a while nobody else has to be judged. */
static void target_note_client(struct target *t, const struct gate_flow *flow, uint64_t seen_ns)
{
	t->judged_ns = max_u64(t->judged_ns, seen_ns);
	t->judged_flow = *flow;
	datapath_judge_after(t->edges.datapath, t->settings.id,
			     seen_ns + t->settings.idle_ns / TARGET_JUDGED_PART);
	target_history_misjudged(&t->history, flow);
}

/* A caller that was taken for a probe is a client. */
static void target_on_client(void *arg, const struct gate_flow *flow, const char *reason)
{
	struct target *t = arg;

	if (flow)
		target_note_client(t, flow, monotonic_ns());
	target_wakes(t, reason, flow);
	target_dispatch(t, SCALER_TRAFFIC);
}

static void target_on_schedule(void *arg, bool is_active)
{
	struct target *t = arg;

	log_info(is_active ? "hours to stay awake have begun" : "hours to stay awake are over",
		 "target=%s", t->history.told.name);
	if (is_active)
		target_wakes(t, "schedule", NULL);
	target_dispatch(t, is_active ? SCALER_KEEP : SCALER_RELEASE);
}

/* The gate has passed this frame on, to be judged here: it is not replayed. */
static void target_judge(struct target *t, const struct gate_event *event, const void *frame)
{
	if (!activity_is_client(t->activity, event, frame)) {
		target_probes_passed(t->probes);
		return;
	}
	target_note_client(t, &event->flow, event->seen_ns);
	target_wakes(t, datapath_counter_name(event->verdict), &event->flow);
	target_raise(t, SCALER_TRAFFIC);
}

/* On lo only this machine sends; and with a tag it is routed from another interface than this. */
static bool target_has_route(const struct target *t, const struct gate_event *event)
{
	return event->ifindex == GATE_LO_IFINDEX || event->vlan_proto_be ||
	       netns_route_is_local(t->edges.ns, &event->flow, event->ifindex);
}

/*
 * A SYN that would wake the target, but that the kernel would throw away: damaged, for another
 * machine, or from a source that cannot be. It is left to the kernel, which knows better where
 * addresses are translated; what comes of that shows at the next heartbeat. false: it may wake.
 */
static bool target_disregards(struct target *t, const struct gate_event *event, const void *frame)
{
	bool is_down = t->scaler.state == SCALER_ASLEEP || t->scaler.state == SCALER_SHRINKING;
	bool is_wrong;

	if (!is_down || event->verdict != GATE_HOLD_SYN)
		return false;
	is_wrong = checksum_is_wrong(frame, event->frame_len, event->l3_offset, event->l4_offset);
	if (!is_wrong && target_has_route(t, event))
		return false;
	t->disregarded_ns = datapath_activity_ns(t->edges.datapath, t->settings.id);
	if (!is_wrong) {
		datapath_let_pass(t->edges.datapath, t->settings.id, &event->flow);
		replay_frame(t->edges.replay, event, frame);
	}
	return true;
}

void target_take(struct target *t, const struct gate_event *event, const void *frame)
{
	if (!timer_is_pending(t->taken))
		timer_in_ns(t->taken, 0);
	if (event->verdict == GATE_PASS_JUDGED) {
		target_judge(t, event, frame);
		return;
	}
	if (target_disregards(t, event, frame))
		return;
	if (t->scaler.is_gate_closed)
		target_history_wakes(&t->history, datapath_counter_name(event->verdict),
				     &event->flow, event->seen_ns, monotonic_ns());
	if (event->frame_len)
		hold_push(t->hold, event, frame);
	target_raise(t, SCALER_TRAFFIC);
}

void target_act(struct target *t)
{
	if (t->pending)
		target_dispatch(t, SCALER_TRAFFIC);
	/* Late frames: copied while the gate was still closed, read when it is open again. */
	if (!t->scaler.is_gate_closed && hold_len(t->hold))
		target_effects_replay(t);
}

static void target_on_taken(void *arg)
{
	target_act(arg);
}

void target_start(struct target *t)
{
	target_effects_carry_out(t, SCALER_ASK_READY);
	target_dispatch(t, SCALER_TICK);
}

void target_resume(struct target *t)
{
	enum scaler_state before = t->scaler.state;
	unsigned int effects = scaler_resume_asleep(&t->scaler, monotonic_ns());
	struct busy_verdict v;

	target_note_state(t, before, SCALER_SHRUNK);
	target_effects_carry_out(t, effects);
	if (activity_look(t->activity, &v) < 0 || v.reason != BUSY_NOT) {
		target_wake(t, "called_meanwhile");
		return;
	}
	target_depth_begin(t, v.is_connected);
}

void target_restarted(struct target *t)
{
	log_info("the application was started anew", "target=%s", t->history.told.name);
	target_wake(t, "restarted");
}

void target_wake(struct target *t, const char *reason)
{
	target_wakes(t, reason, NULL);
	target_dispatch(t, SCALER_TRAFFIC);
}

bool target_is_asleep(const struct target *t)
{
	return t->scaler.state == SCALER_ASLEEP;
}

void target_stop(struct target *t)
{
	target_dispatch(t, SCALER_STOP);
}

void target_abandon(struct target *t)
{
	target_dispatch(t, SCALER_ABANDON);
}

bool target_is_carrying(const struct target *t)
{
	return target_probes_are_busy(t->probes);
}

static void target_begin_history(struct target *t)
{
	const struct target_port *first = &t->settings.ports[0];
	char name[STATUS_NAME_MAX];

	snprintf(name, sizeof(name), "%s/%u", first->protocol == IPPROTO_UDP ? "udp" : "tcp",
		 first->port);
	target_history_init(&t->history, t->settings.name ? t->settings.name : name,
			    monotonic_ns());
}

/* The first TCP port; a target that has none cannot be asked. */
static void target_choose_ready_port(struct target *t)
{
	for (size_t i = 0; i < t->settings.ports_len; i++) {
		if (t->settings.ports[i].protocol == IPPROTO_TCP) {
			t->ready_port = t->settings.ports[i];
			return;
		}
	}
	if (!t->settings.ready.port)
		t->settings.ready.kind = READY_NONE;
}

/* One for each port at each address; without addresses, for each port at any. */
static int target_add_keys(const struct target *t)
{
	static const struct gate_addr any;
	const struct target_settings *s = &t->settings;
	const struct gate_addr *addresses = s->addresses_len ? s->addresses : &any;
	int r = 0;

	for (size_t i = 0; i < s->ports_len; i++) {
		struct gate_target_key key = { .port_be = htons(s->ports[i].port),
					       .protocol = s->ports[i].protocol };

		for (size_t a = 0; r == 0 && a < max_u64(s->addresses_len, 1); a++) {
			key.addr = addresses[a];
			r = keys_add(datapath_keys(t->edges.datapath), &key, s->id);
		}
	}
	return r;
}

static int target_make_probes(struct target *t)
{
	const struct target_probes_settings settings = {
		.target_id = t->settings.id,
		.probes = t->settings.probes,
		.ports = t->settings.probe_ports,
		.ports_len = t->settings.probe_ports_len,
		.steer = t->edges.steer,
		.addresses = t->settings.addresses,
		.addresses_len = t->settings.addresses_len,
		.activity = &t->settings.activity,
		.client = target_on_client,
		.arg = t,
	};
	int r = activity_new(&t->activity, t->edges.ns, t->edges.answered, &t->settings.activity);

	if (r < 0)
		return r;
	return target_probes_new(&t->probes, t->edges.base, t->edges.ns, t->edges.datapath,
				 t->activity, &settings);
}

static int target_make_parts(struct target *t)
{
	const struct ready_settings ready_settings = {
		.spec = t->settings.ready,
		.ns = t->edges.ns,
		.port_changed = target_on_ready_port,
		.is_listening = target_effects_is_listening,
		.ready = target_on_ready,
		.arg = t,
	};
	int r;

	if (hold_new(&t->hold, TARGET_FRAMES_MAX) < 0)
		return -ENOMEM;
	t->deadline = timer_new(t->edges.base, target_on_deadline, t);
	t->taken = timer_new(t->edges.base, target_on_taken, t);
	if (!t->deadline || !t->taken)
		return -ENOMEM;
	t->beat = (struct heartbeat_member){ .beat = target_on_beat, .arg = t };
	t->ticket = (struct wake_ticket){
		.priority = t->settings.priority,
		.granted = target_effects_grow_now,
		.arg = t,
	};
	r = target_make_probes(t);
	if (r == 0)
		r = schedule_timer_new(&t->schedules, t->edges.base, t->settings.schedules,
				       t->settings.schedules_len, target_on_schedule, t);
	if (r < 0)
		return r;
	return ready_new(&t->ready, t->edges.base, t->edges.http, &ready_settings);
}

int target_new(struct target **out, const struct target_edges *edges,
	       const struct target_settings *settings)
{
	const struct scaler_settings scaler_settings = {
		.idle_ns = settings->idle_ns,
		.awake_min_ns = edges->replay ? settings->awake_min_ns
					      : max_u64(settings->awake_min_ns, TARGET_RESEND_NS),
		.settle_ns = TARGET_SETTLE_NS,
		.wake_timeout_ns = settings->wake_timeout_ns,
		.retry_min_ns = TARGET_RETRY_MIN_NS,
		.retry_max_ns = TARGET_RETRY_MAX_NS,
		.shrink_pause_max_ns = TARGET_SHRINK_PAUSE_MAX_NS,
		.looks = true,
		.flap_ns = TARGET_FLAP_NS,
		.idle_max_ns = settings->idle_max_ns,
	};
	_cleanup_(target_free) struct target *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return log_err(-ENOMEM, "cannot make the target");
	t->settings = *settings;
	t->edges = *edges;
	target_begin_history(t);
	t->idle_told_ns = settings->idle_ns;
	target_choose_ready_port(t);
	scaler_init(&t->scaler, &scaler_settings, monotonic_ns());
	r = target_make_parts(t);
	if (r < 0)
		return log_err(r, "cannot make the target '%s'", t->history.told.name);
	r = target_add_keys(t);
	if (r < 0)
		return r;
	edges->backend->done = target_on_resized;
	edges->backend->done_arg = t;
	*out = TAKE_PTR(t);
	return 0;
}

void target_free(struct target **t)
{
	if (!*t)
		return;
	schedule_timer_free(&(*t)->schedules);
	target_probes_free(&(*t)->probes);
	activity_free(&(*t)->activity);
	ready_free(&(*t)->ready);
	hold_free(&(*t)->hold);
	timer_free(&(*t)->deadline);
	timer_free(&(*t)->taken);
	heartbeat_leave((*t)->edges.heartbeat, &(*t)->beat);
	if ((*t)->edges.wakes)
		wake_queue_end((*t)->edges.wakes, &(*t)->ticket);
	free(*t);
	*t = NULL;
}
