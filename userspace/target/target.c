// SPDX-License-Identifier: MIT
/* Carries out the scaler's effects, in the order of target_effects[]. */
#include "target/target.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "activity/busy_cpu.h"
#include "base/log.h"
#include "base/netns_addresses.h"
#include "base/timer.h"
#include "base/util.h"
#include "gate/hold.h"
#include "target/scaler.h"
#include "target/schedule_timer.h"
#include "target/target_history.h"
#include "target/target_probes.h"

#define TARGET_SETTLE_NS    (20 * NS_PER_MS) /* > the 10 ms that the coarse clock may lag */
#define TARGET_RETRY_MIN_NS (10 * NS_PER_MS)
#define TARGET_RETRY_MAX_NS (5 * NS_PER_S)

/* What cannot be put to sleep is not tried at each idle time. */
#define TARGET_SHRINK_PAUSE_MAX_NS (600 * NS_PER_S)

/*
 * Where SYNs are dropped instead of replayed, the target must still be awake when they are sent
 * again: after 1 s (RFC 6298, 2.1), or 3 s by older stacks. Else an idle time as long as that
 * would put it to sleep each time just before the client tries again, for ever.
 */
#define TARGET_RESEND_NS (4 * NS_PER_S)

/* 4096 clients that connect while one sleeps; of UDP a burst each. */
#define TARGET_FRAMES_MAX    4096
#define TARGET_DATAGRAMS_MAX 64

/* A sleep this short was not worth it. */
#define TARGET_FLAP_NS (10 * NS_PER_S)

/* After a look at the connections that has failed: it may never succeed. */
#define TARGET_LOOK_AGAIN_NS (30 * NS_PER_S)

/* With its CPU back for so long, it no longer counts as one that wakes (--max-wakes). */
#define TARGET_TURN_NS (2 * NS_PER_S)

/* A look at many connections takes its time: so much of the time goes into looking, at most. */
#define TARGET_LOOK_PART 20

/* So much of the idle time after a client was recognized nobody is judged: its traffic counts. */
#define TARGET_JUDGED_PART 8

struct target {
	struct target_settings settings;
	struct target_edges edges;
	struct scaler scaler;
	struct hold *hold;
	struct ready *ready;
	struct activity *activity;
	struct busy_cpu cpu;
	struct target_probes *probes;
	struct schedule_timer *schedules;
	struct timer *deadline;
	struct heartbeat_member beat; /* while the gate is closed */
	struct wake_ticket ticket;
	unsigned int pending; /* events that wait, as bits of enum scaler_event */
	bool is_dispatching;
	uint64_t judged_ns; /* when a client was recognized last, among probes */
	struct gate_flow judged_flow;
	uint64_t idle_told_ns;
	uint64_t recheck_ns; /* after the last look at the connections */
	struct target_history history;
	struct target_port ready_port;
};

static uint64_t target_activity_ns(const struct target *t)
{
	return max_u64(datapath_activity_ns(t->edges.datapath, t->settings.id), t->judged_ns);
}

static void target_arm_deadline(struct target *t, uint64_t now_ns)
{
	uint64_t deadline_ns = scaler_deadline_ns(&t->scaler);

	if (deadline_ns == UINT64_MAX)
		timer_stop(t->deadline);
	else
		timer_in_ns(t->deadline, deadline_ns - min_u64(deadline_ns, now_ns));
}

/* --- effects --- */

static void target_close_gate(struct target *t)
{
	target_probes_gate_closes(t->probes);
	heartbeat_join(t->edges.heartbeat, &t->beat);
	datapath_close_gate(t->edges.datapath, t->settings.id);
}

static void target_shrink(struct target *t)
{
	t->edges.backend->ops->resize(t->edges.backend, BACKEND_ASLEEP);
}

static void target_grow_now(void *arg)
{
	const struct target *t = arg;

	t->edges.backend->ops->resize(t->edges.backend, BACKEND_FULL);
}

/* Behind an open gate nobody waits: that takes no turn from those who do. */
static void target_grow(struct target *t)
{
	if (t->edges.wakes && t->scaler.is_gate_closed)
		wake_queue_ask(t->edges.wakes, &t->ticket);
	else
		target_grow_now(t);
}

/* One that still waits for its turn has waited long enough: it is open, and so it grows. */
static void target_end_wake(struct target *t)
{
	if (t->edges.wakes && wake_queue_end(t->edges.wakes, &t->ticket))
		target_grow_now(t);
}

static void target_stop_asking(struct target *t)
{
	ready_stop(t->ready);
}

static void target_raise(struct target *t, enum scaler_event event)
{
	t->pending |= 1U << event;
}

/*
 * Where the newest client wanted to go is where readiness matters. Else the loopback addresses,
 * and for an application that is bound to another address alone, every one that there is.
 */
static size_t target_ready_addresses(struct target *t,
				     struct ready_address out[READY_ADDRESSES_MAX])
{
	const struct hold_frame *newest = hold_newest(t->hold);
	struct gate_addr addrs[READY_ADDRESSES_MAX];
	uint16_t port = t->ready_port.port;
	size_t n = 0, addrs_len;

	if (newest && newest->event.flow.protocol == IPPROTO_TCP) {
		port = ntohs(newest->event.flow.dport_be);
		addrs[n++] = newest->event.flow.daddr;
	}
	addrs_len = n + netns_addresses_list(t->edges.ns, addrs + n, READY_ADDRESSES_MAX - n);
	for (size_t i = 0; i < addrs_len; i++)
		out[i] = (struct ready_address){ addrs[i], port };
	return addrs_len;
}

static void target_ask_ready(struct target *t)
{
	struct ready_address addresses[READY_ADDRESSES_MAX];

	if (t->settings.ready.kind == READY_NONE)
		target_raise(t, SCALER_READY);
	else
		ready_start(t->ready, addresses, target_ready_addresses(t, addresses));
}

static unsigned int target_replay(struct target *t)
{
	unsigned int replayed;

	if (!t->edges.replay)
		return 0;
	replayed = replay_all(t->edges.replay, t->hold);
	if (replay_counters(t->edges.replay)->dropped_refused)
		scaler_raise_awake_min(&t->scaler, TARGET_RESEND_NS);
	return replayed;
}

/* Open, then drain the ring: a frame that was copied before the gate opened is in it by now. */
static void target_open_gate(struct target *t)
{
	unsigned int replayed;

	datapath_open_gate(t->edges.datapath, t->settings.id);
	heartbeat_leave(t->edges.heartbeat, &t->beat);
	datapath_consume(t->edges.datapath);
	replayed = target_replay(t);
	if (!target_is_asleep(t)) /* else it is abandoned */
		target_history_awake(&t->history, replayed, monotonic_ns());
	target_probes_gate_opened(t->probes);
	target_end_wake(t);
}

static void target_say_timed_out(struct target *t)
{
	log_warn("not ready in time: letting the traffic through",
		 "target=%s wake_timeout_ms=%" PRIu64 " state=%s", t->history.told.name,
		 t->settings.wake_timeout_ns / NS_PER_MS, scaler_state_name(t->scaler.state));
}

/* The connections first; then what they cannot tell. */
static int target_look(struct target *t, struct busy_verdict *v)
{
	uint64_t begun_ns = monotonic_ns(), usage_us, took_ms;
	int r = activity_look(t->activity, v);

	if (r == 0)
		r = activity_look_upstream(t->activity, v);
	if (r == 0 && t->edges.backend->ops->usage_us(t->edges.backend, &usage_us) == 0)
		busy_cpu_look(&t->cpu, v, usage_us, monotonic_ns());
	took_ms = (monotonic_ns() - begun_ns) / NS_PER_MS;
	v->recheck_ms = max_u64(v->recheck_ms, TARGET_LOOK_PART * took_ms);
	return r;
}

/*
 * A packet that the gate has seen is known before its connection is looked at: what is in the ring
 * is taken first.
 */
static void target_check(struct target *t)
{
	struct busy_verdict v;

	datapath_consume(t->edges.datapath);
	if (!t->scaler.is_gate_closed)
		target_replay(t); /* late, as in target_act() */
	if (target_look(t, &v) < 0) {
		t->recheck_ns = TARGET_LOOK_AGAIN_NS;
		target_raise(t, SCALER_BUSY);
		return;
	}
	target_history_looked(&t->history, &v);
	t->recheck_ns = max_u64(v.recheck_ms, 1) * NS_PER_MS;
	target_raise(t, v.reason == BUSY_NOT ? SCALER_QUIET : SCALER_BUSY);
}

static void target_say_flapped(struct target *t)
{
	target_history_flapped(&t->history, t->scaler.idle_ns, t->idle_told_ns);
	t->idle_told_ns = t->scaler.idle_ns;
}

static const struct {
	enum scaler_effect effect;
	void (*carry_out)(struct target *t);
} target_effects[] = {
	{ SCALER_CLOSE_GATE, target_close_gate },
	{ SCALER_SHRINK, target_shrink },
	{ SCALER_GROW, target_grow },
	{ SCALER_STOP_ASKING, target_stop_asking },
	{ SCALER_ASK_READY, target_ask_ready },
	{ SCALER_OPEN_GATE, target_open_gate },
	{ SCALER_TIMED_OUT, target_say_timed_out },
	{ SCALER_LOOK, target_check },
	{ SCALER_FLAPPED, target_say_flapped },
};

/* --- events --- */

static void target_read_usage(const struct target *t, uint64_t *out)
{
	if (t->edges.backend->ops->usage_us(t->edges.backend, out) < 0)
		*out = 0;
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
	target_read_usage(t, &usage_us);
	if (after == SCALER_ASLEEP)
		target_history_asleep(&t->history, t->scaler.activity_ns, usage_us, now_ns);
	if (before == SCALER_ASLEEP)
		target_history_waking(&t->history, usage_us);
	if (target_is_wake(event, after) && t->settings.woke)
		t->settings.woke(t->settings.arg);
	if (before == SCALER_GROWING && after == SCALER_UNREADY)
		target_history_resized(&t->history, now_ns);
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
	for (size_t i = 0; i < ARRAY_LEN(target_effects); i++) {
		if (effects & target_effects[i].effect)
			target_effects[i].carry_out(t);
	}
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

/* Something other than a packet, or one that the gate did not judge. */
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
static bool target_has_missed_traffic(const struct target *t)
{
	const struct scaler *s = &t->scaler;
	bool is_closed_for_good = s->state == SCALER_ASLEEP ||
				  (s->state == SCALER_SHRINKING && !s->is_settling);

	return is_closed_for_good && target_activity_ns(t) > s->activity_ns;
}

/* An application that never gets ready must not keep the turn of those that would. */
static void target_give_turn_back(struct target *t)
{
	if (t->scaler.state == SCALER_UNREADY &&
	    monotonic_ns() - t->scaler.since_ns >= TARGET_TURN_NS)
		target_end_wake(t);
}

static void target_on_beat(void *arg, bool was_silent)
{
	const struct backend_ops *ops = ((struct target *)arg)->edges.backend->ops;
	struct target *t = arg;

	if (was_silent && ops->reassert && target_is_asleep(t))
		ops->reassert(t->edges.backend);
	target_give_turn_back(t);
	if (!target_has_missed_traffic(t))
		return;
	log_warn("traffic that the gate could not tell of", "target=%s", t->history.told.name);
	target_wakes(t, "missed", NULL);
	target_dispatch(t, SCALER_TRAFFIC);
}

static void target_on_resized(void *arg, enum backend_size size, int r)
{
	struct target *t = arg;

	if (size == BACKEND_FULL)
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

/* Of the probes, one was none. */
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

/* A frame that was passed on to be judged is not replayed. */
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

void target_take(struct target *t, const struct gate_event *event, const void *frame)
{
	if (event->verdict == GATE_PASS_JUDGED) {
		target_judge(t, event, frame);
		return;
	}
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
	/* Late: copied while the gate was still closed, read when it is open again. */
	if (!t->scaler.is_gate_closed && hold_len(t->hold))
		target_replay(t);
}

void target_start(struct target *t)
{
	target_ask_ready(t);
	target_dispatch(t, SCALER_TICK);
}

void target_resume(struct target *t)
{
	enum scaler_state before = t->scaler.state;
	struct busy_verdict v;

	scaler_resume_asleep(&t->scaler, monotonic_ns());
	target_note_state(t, before, SCALER_SHRUNK);
	target_close_gate(t);
	if (activity_look(t->activity, &v) < 0 || v.reason != BUSY_NOT)
		target_wake(t, "called_meanwhile");
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

	if (t->settings.name) {
		target_history_init(&t->history, t->settings.name, monotonic_ns());
		return;
	}
	snprintf(name, sizeof(name), "%s/%u", first->protocol == IPPROTO_UDP ? "udp" : "tcp",
		 first->port);
	target_history_init(&t->history, name, monotonic_ns());
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

static int target_add_port(const struct target *t, const struct target_port *port)
{
	struct gate_target_key key = { .port_be = htons(port->port), .protocol = port->protocol };
	int r = 0;

	if (!t->settings.addresses_len)
		return keys_add(datapath_keys(t->edges.datapath), &key, t->settings.id);
	for (size_t i = 0; i < t->settings.addresses_len && r == 0; i++) {
		key.addr = t->settings.addresses[i];
		r = keys_add(datapath_keys(t->edges.datapath), &key, t->settings.id);
	}
	return r;
}

static int target_add_keys(const struct target *t)
{
	for (size_t i = 0; i < t->settings.ports_len; i++) {
		int r = target_add_port(t, &t->settings.ports[i]);

		if (r < 0)
			return r;
	}
	return 0;
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
		.ready = target_on_ready,
		.arg = t,
	};
	int r;

	if (hold_new(&t->hold, TARGET_FRAMES_MAX, TARGET_DATAGRAMS_MAX) < 0)
		return -ENOMEM;
	t->deadline = timer_new(t->edges.base, target_on_deadline, t);
	if (!t->deadline)
		return -ENOMEM;
	t->beat = (struct heartbeat_member){ .beat = target_on_beat, .arg = t };
	t->ticket = (struct wake_ticket){
		.priority = t->settings.priority,
		.granted = target_grow_now,
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
	heartbeat_leave((*t)->edges.heartbeat, &(*t)->beat);
	if ((*t)->edges.wakes)
		wake_queue_end((*t)->edges.wakes, &(*t)->ticket);
	free(*t);
	*t = NULL;
}

/* --- status --- */

static uint64_t target_ms_till(uint64_t then_ns, uint64_t now_ns)
{
	return then_ns != UINT64_MAX && then_ns > now_ns ? (then_ns - now_ns) / NS_PER_MS : 0;
}

/* Who called last, and by which of two ways that is known; NULL: nobody has. */
static const char *target_last_client(const struct target *t, char *detail)
{
	uint64_t gate_ns = datapath_activity_ns(t->edges.datapath, t->settings.id);
	struct gate_flow seen = datapath_last_client(t->edges.datapath, t->settings.id);
	bool is_judged = t->judged_ns > gate_ns;

	target_history_format_client(is_judged ? &t->judged_flow : &seen, detail);
	if (!*detail)
		return NULL;
	return is_judged ? "client_among_probes" : "client";
}

static const char *target_awake_reason(const struct target *t, uint64_t now_ns, char *detail)
{
	const struct scaler *s = &t->scaler;
	const char *client;

	if (s->state == SCALER_ASLEEP)
		return "";
	if (s->state == SCALER_SHRINKING)
		return "falling_asleep";
	if (s->state != SCALER_AWAKE)
		return t->history.told.sleeps ? "waking" : "starting";
	if (s->is_kept)
		return "schedule";
	if (now_ns < s->busy_till_ns && t->history.busy != BUSY_NOT) {
		target_history_format_client(&t->history.busy_flow, detail);
		return busy_reason_name(t->history.busy);
	}
	client = target_last_client(t, detail);
	if (now_ns >= s->activity_ns + s->idle_ns)
		return "min_awake";
	return client ? client : "started";
}

void target_status(const struct target *t, struct status_target *out)
{
	uint64_t now_ns = monotonic_ns();
	const struct target_history *history = &t->history;

	*out = history->told;
	out->state = scaler_state_name(t->scaler.state);
	out->state_since_ms = (now_ns - history->state_ns) / NS_PER_MS;
	out->is_gate_open = !t->scaler.is_gate_closed;
	out->awake_reason = target_awake_reason(t, now_ns, out->awake_detail);
	out->woke_before_ms = history->woke_ns ? (now_ns - history->woke_ns) / NS_PER_MS : 0;
	out->idle_after_ms = t->scaler.idle_ns / NS_PER_MS;
	if (t->scaler.state == SCALER_AWAKE)
		out->sleeps_in_ms = target_ms_till(scaler_deadline_ns(&t->scaler), now_ns);
	if (history->asleep_since_ns)
		out->asleep_ms += (now_ns - history->asleep_since_ns) / NS_PER_MS;
	if (t->edges.backend->ops->reclaimed_bytes)
		out->reclaimed_bytes = t->edges.backend->ops->reclaimed_bytes(t->edges.backend);
}

const struct connection_counters *target_probe_counters(const struct target *t)
{
	return target_probes_counters(t->probes);
}
