// SPDX-License-Identifier: MIT
/* What the scaler's effects are, in the order in which they are carried out. */
#include "target/target_effects.h"

#include <arpa/inet.h>
#include <inttypes.h>

#include "base/log.h"
#include "base/netns_addresses.h"
#include "base/util.h"
#include "target/target_depth.h"
#include "target/target_inner.h"
#include "target/target_seat.h"

/* After a look at the connections that has failed: it may never succeed. */
#define TARGET_LOOK_AGAIN_NS (30 * NS_PER_S)

/*
 * Who calls on a port without a listener is refused at once, and wakes nobody. But where there is
 * no listener at all the application has not started yet: whoever calls it has to wake it.
 */
static void target_effects_note_unheard(const struct target *t)
{
	const struct target_port *ports = t->settings.ports;
	size_t len = min_u64(t->settings.ports_len, TARGET_SEAT_PORTS_MAX);
	bool are_heard[TARGET_SEAT_PORTS_MAX], is_any = false;

	for (size_t i = 0; i < len; i++) {
		are_heard[i] = activity_is_listening(t->activity, ports[i].port,
						     ports[i].protocol) != 0;
		is_any |= are_heard[i];
	}
	datapath_set_unheard(t->edges.datapath, t->settings.id, !is_any);
	for (size_t i = 0; is_any && i < len; i++) {
		if (!are_heard[i] && ports[i].protocol == IPPROTO_TCP)
			datapath_set_port_unheard(t->edges.datapath, t->settings.id, ports[i].port);
	}
}

static void target_effects_close_gate(struct target *t)
{
	target_probes_gate_closes(t->probes);
	heartbeat_join(t->edges.heartbeat, &t->beat);
	datapath_close_gate(t->edges.datapath, t->settings.id);
	target_effects_note_unheard(t);
}

static void target_effects_shrink(struct target *t)
{
	target_depth_begin(t, t->is_connected);
	backend_resize(t->edges.backend, BACKEND_ASLEEP);
}

void target_effects_grow_now(void *arg)
{
	const struct target *t = arg;

	backend_resize(t->edges.backend, BACKEND_FULL);
}

/*
 * Behind an open gate no client waits: such a target takes no turn from one behind a closed gate.
 */
static void target_effects_grow(struct target *t)
{
	if (t->edges.wakes && t->scaler.is_gate_closed)
		wake_queue_ask(t->edges.wakes, &t->ticket);
	else
		target_effects_grow_now(t);
}

void target_effects_end_wake(struct target *t)
{
	if (t->edges.wakes && wake_queue_end(t->edges.wakes, &t->ticket))
		target_effects_grow_now(t);
}

static void target_effects_stop_asking(struct target *t)
{
	ready_stop(t->ready);
}

static uint16_t target_effects_ready_port(const struct target *t)
{
	return t->settings.ready.port ? t->settings.ready.port : t->ready_port.port;
}

/*
 * The address that the newest client of the port wants comes first. Then the loopback addresses,
 * and all others for an application that is bound to one of them alone.
 */
static size_t target_effects_ready_addresses(struct target *t,
					     struct ready_address out[READY_ADDRESSES_MAX])
{
	const struct hold_frame *newest = hold_newest(t->hold);
	struct gate_addr addrs[READY_ADDRESSES_MAX];
	uint16_t port = target_effects_ready_port(t);
	size_t n = 0, addrs_len;

	if (newest && newest->event.flow.dport_be == htons(port))
		addrs[n++] = newest->event.flow.daddr;
	addrs_len = n + netns_addresses_list(t->edges.ns, addrs + n, READY_ADDRESSES_MAX - n);
	for (size_t i = 0; i < addrs_len; i++)
		out[i] = (struct ready_address){ addrs[i], port };
	return addrs_len;
}

/* What cannot be looked at is taken for ready: its clients get what they would get awake. */
bool target_effects_is_listening(void *arg)
{
	const struct target *t = arg;

	return activity_is_listening(t->activity, target_effects_ready_port(t), IPPROTO_TCP) != 0;
}

/* One that has slept in place still listens: it is ready with its CPU. */
static void target_effects_ask_ready(struct target *t)
{
	enum ready_kind kind = t->settings.ready.kind;
	struct ready_address addresses[READY_ADDRESSES_MAX];

	if (kind == READY_NONE || (kind == READY_LISTENS && target_effects_is_listening(t))) {
		target_history_ready(&t->history, monotonic_ns());
		target_raise(t, SCALER_READY);
	} else if (kind == READY_LISTENS) {
		ready_start(t->ready, NULL, 0);
	} else {
		ready_start(t->ready, addresses, target_effects_ready_addresses(t, addresses));
	}
}

unsigned int target_effects_replay(struct target *t)
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
static void target_effects_open_gate(struct target *t)
{
	unsigned int replayed;

	datapath_open_gate(t->edges.datapath, t->settings.id);
	heartbeat_leave(t->edges.heartbeat, &t->beat);
	datapath_consume(t->edges.datapath);
	replayed = target_effects_replay(t);
	if (!target_is_asleep(t)) /* else it is abandoned */
		target_history_awake(&t->history, replayed, monotonic_ns());
	target_probes_gate_opened(t->probes);
	target_effects_end_wake(t);
}

static void target_effects_say_timed_out(struct target *t)
{
	log_warn("not ready in time: letting the traffic through",
		 "target=%s wake_timeout_ms=%" PRIu64 " state=%s", t->history.told.name,
		 t->settings.wake_timeout_ns / NS_PER_MS, scaler_state_name(t->scaler.state));
}

/* The connections first; then what they cannot tell. */
static int target_effects_find_busy(struct target *t, struct busy_verdict *v)
{
	uint64_t begun_ns = monotonic_ns(), usage_us, took_ms;
	int r = activity_look(t->activity, v);

	if (r == 0)
		r = activity_look_upstream(t->activity, v);
	if (r == 0 && backend_usage_us(t->edges.backend, &usage_us) == 0)
		busy_cpu_look(&t->cpu, v, usage_us, monotonic_ns());
	took_ms = (monotonic_ns() - begun_ns) / NS_PER_MS;
	v->recheck_ms = max_u64(v->recheck_ms, TARGET_LOOK_PART * took_ms);
	return r;
}

/*
 * A packet that the gate has seen is known before its connection is looked at: what is in the ring
 * is taken first.
 */
static void target_effects_look(struct target *t)
{
	struct busy_verdict v;

	datapath_consume(t->edges.datapath);
	if (!t->scaler.is_gate_closed)
		target_effects_replay(t); /* late, as in target_act() */
	if (target_effects_find_busy(t, &v) < 0) {
		t->recheck_ns = TARGET_LOOK_AGAIN_NS;
		target_raise(t, SCALER_BUSY);
		return;
	}
	target_history_looked(&t->history, &v);
	t->is_connected = v.is_connected;
	t->recheck_ns = max_u64(v.recheck_ms, 1) * NS_PER_MS;
	target_raise(t, v.reason == BUSY_NOT ? SCALER_QUIET : SCALER_BUSY);
}

static void target_effects_say_flapped(struct target *t)
{
	target_history_flapped(&t->history, t->scaler.idle_ns, t->idle_told_ns);
	t->idle_told_ns = t->scaler.idle_ns;
}

static void target_effects_say_refused(struct target *t)
{
	log_warn("the full size is refused: letting the traffic through at the size that it has",
		 "target=%s", t->history.told.name);
}

static const struct {
	enum scaler_effect effect;
	void (*carry_out)(struct target *t);
} target_effects_order[] = {
	{ SCALER_CLOSE_GATE, target_effects_close_gate },
	{ SCALER_SHRINK, target_effects_shrink },
	{ SCALER_GROW, target_effects_grow },
	{ SCALER_STOP_ASKING, target_effects_stop_asking },
	{ SCALER_ASK_READY, target_effects_ask_ready },
	{ SCALER_OPEN_GATE, target_effects_open_gate },
	{ SCALER_TIMED_OUT, target_effects_say_timed_out },
	{ SCALER_LOOK, target_effects_look },
	{ SCALER_FLAPPED, target_effects_say_flapped },
	{ SCALER_REFUSED, target_effects_say_refused },
};

void target_effects_carry_out(struct target *t, unsigned int effects)
{
	for (size_t i = 0; i < ARRAY_LEN(target_effects_order); i++) {
		if (effects & target_effects_order[i].effect)
			target_effects_order[i].carry_out(t);
	}
}
