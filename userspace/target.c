// SPDX-License-Identifier: MIT
/* Carries out the scaler's effects, in the order of target_effects[]. */
#include "target.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "addresses.h"
#include "hold.h"
#include "log.h"
#include "scaler.h"
#include "util.h"

#define TARGET_SETTLE_NS    (20 * NS_PER_MS) /* > the 10 ms that the coarse clock may lag */
#define TARGET_RETRY_MIN_NS (10 * NS_PER_MS)
#define TARGET_RETRY_MAX_NS (5 * NS_PER_S)

/*
 * Where SYNs are dropped instead of replayed, the target must still be awake when they are sent
 * again: after 1 s (RFC 6298, 2.1), or 3 s by older stacks. Else an idle time as long as that
 * would put it to sleep each time just before the client tries again, for ever.
 */
#define TARGET_RESEND_NS (4 * NS_PER_S)

/* 4096 clients that connect while one sleeps; of UDP a burst each. */
#define TARGET_FRAMES_MAX    4096
#define TARGET_DATAGRAMS_MAX 64

#define TARGET_NAME_MAX 32

/* When each phase of a wake was over, for the log. */
struct target_wake {
	struct gate_event first; /* what woke us */
	uint64_t taken_ns;
	uint64_t resized_ns;
	uint64_t ready_ns;
	uint64_t asleep_cpu_us; /* used while asleep */
	bool is_pending;
};

struct target {
	struct target_settings settings;
	struct target_edges edges;
	struct scaler scaler;
	struct hold *hold;
	struct probe *probe;
	struct event *deadline;
	struct event *beat; /* every second while the gate is closed */
	char name[TARGET_NAME_MAX];
	unsigned int pending; /* events that wait, as bits of enum scaler_event */
	bool is_dispatching;
	struct target_wake wake;
	uint64_t asleep_since_ns;
	uint64_t asleep_usage_us;
	struct target_port probe_port;
};

static uint64_t target_activity_ns(const struct target *t)
{
	return datapath_activity_ns(t->edges.datapath, t->settings.id);
}

/* Precise enough for a timer: rounded up, so that it is not early and fires twice. */
static struct timeval target_in(uint64_t now_ns, uint64_t then_ns)
{
	uint64_t us = then_ns > now_ns ? (then_ns - now_ns + NS_PER_US - 1) / NS_PER_US : 0;

	return (struct timeval){ .tv_sec = (time_t)(us / 1000000),
				 .tv_usec = (suseconds_t)(us % 1000000) };
}

static void target_arm_deadline(struct target *t, uint64_t now_ns)
{
	uint64_t deadline_ns = scaler_deadline_ns(&t->scaler);
	struct timeval in = target_in(now_ns, deadline_ns);

	if (deadline_ns == UINT64_MAX)
		event_del(t->deadline);
	else
		event_add(t->deadline, &in);
}

/* --- effects --- */

static void target_close_gate(struct target *t)
{
	const struct timeval second = { .tv_sec = 1 };

	datapath_close_gate(t->edges.datapath, t->settings.id);
	event_add(t->beat, &second);
	if (t->edges.watchdog)
		watchdog_beat(t->edges.watchdog);
}

static void target_shrink(struct target *t)
{
	t->edges.backend->ops->resize(t->edges.backend, BACKEND_ASLEEP);
}

static void target_grow(struct target *t)
{
	t->edges.backend->ops->resize(t->edges.backend, BACKEND_FULL);
}

static void target_stop_probe(struct target *t)
{
	probe_stop(t->probe);
}

static void target_raise(struct target *t, enum scaler_event event)
{
	t->pending |= 1U << event;
}

/*
 * Where the newest client wanted to go is where readiness matters. Else the loopback addresses,
 * and for an application that is bound to another address alone, every one that there is.
 */
static size_t target_probe_addresses(struct target *t,
				     struct probe_address out[PROBE_ADDRESSES_MAX])
{
	const struct hold_frame *newest = hold_newest(t->hold);
	struct gate_addr addrs[PROBE_ADDRESSES_MAX];
	uint16_t port = t->probe_port.port;
	size_t n = 0, addrs_len;

	if (newest && newest->event.flow.protocol == IPPROTO_TCP) {
		port = ntohs(newest->event.flow.dport_be);
		addrs[n++] = newest->event.flow.daddr;
	}
	addrs_len = n + addresses_list(t->edges.ns, addrs + n, PROBE_ADDRESSES_MAX - n);
	for (size_t i = 0; i < addrs_len; i++)
		out[i] = (struct probe_address){ addrs[i], port };
	return addrs_len;
}

static void target_probe(struct target *t)
{
	struct probe_address addresses[PROBE_ADDRESSES_MAX];

	if (t->settings.probe.kind == PROBE_NONE)
		target_raise(t, SCALER_READY);
	else
		probe_start(t->probe, addresses, target_probe_addresses(t, addresses));
}

static unsigned int target_replay(struct target *t)
{
	unsigned int replayed;

	if (!t->edges.replay)
		return 0;
	replayed = replay_all(t->edges.replay, t->hold);
	if (replay_counters(t->edges.replay)->dropped_refused)
		t->scaler.settings.awake_min_ns = TARGET_RESEND_NS;
	return replayed;
}

static void target_format_client(const struct gate_flow *flow, char *out, size_t room)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	bool is_ipv4 = memcmp(flow->saddr.bytes, mapped, sizeof(mapped)) == 0;
	char text[INET6_ADDRSTRLEN];

	inet_ntop(is_ipv4 ? AF_INET : AF_INET6, flow->saddr.bytes + (is_ipv4 ? 12 : 0), text,
		  sizeof(text));
	snprintf(out, room, is_ipv4 ? "%s:%u" : "[%s]:%u", text, ntohs(flow->sport_be));
}

static double target_since_ms(const struct target *t, uint64_t then_ns)
{
	return then_ns ? (double)(int64_t)(then_ns - t->wake.first.seen_ns) / (double)NS_PER_MS : 0;
}

static void target_log_wake(struct target *t, unsigned int replayed)
{
	uint64_t now_ns = monotonic_ns();
	char client[INET6_ADDRSTRLEN + 16];

	target_format_client(&t->wake.first.flow, client, sizeof(client));
	log_info("awake",
		 "target=%s reason=%s client=%s slept_ms=%" PRIu64 " cpu_asleep_us=%" PRIu64
		 " held_ms=%.3f resized_ms=%.3f ready_ms=%.3f replayed_ms=%.3f replayed=%u",
		 t->name, datapath_counter_name(t->wake.first.verdict), client,
		 (t->wake.taken_ns - t->asleep_since_ns) / NS_PER_MS, t->wake.asleep_cpu_us,
		 target_since_ms(t, t->wake.taken_ns), target_since_ms(t, t->wake.resized_ns),
		 target_since_ms(t, t->wake.ready_ns), target_since_ms(t, now_ns), replayed);
}

/* Silent when it had not fallen asleep yet. */
static void target_note_awake(struct target *t, unsigned int replayed)
{
	if (t->asleep_since_ns && t->wake.is_pending)
		target_log_wake(t, replayed);
	else if (t->asleep_since_ns)
		log_info("awake", "target=%s reason=no_packet", t->name);
	t->wake.is_pending = false;
	t->asleep_since_ns = 0;
}

/* Open, then drain the ring: a frame that was copied before the gate opened is in it by now. */
static void target_open_gate(struct target *t)
{
	datapath_open_gate(t->edges.datapath, t->settings.id);
	event_del(t->beat);
	datapath_consume(t->edges.datapath);
	target_note_awake(t, target_replay(t));
	if (t->edges.watchdog)
		watchdog_rest(t->edges.watchdog);
}

static void target_say_timed_out(struct target *t)
{
	log_warn("not ready in time: letting the traffic through",
		 "target=%s wake_timeout_ms=%" PRIu64 " state=%s", t->name,
		 t->settings.wake_timeout_ns / NS_PER_MS, scaler_state_name(t->scaler.state));
}

static const struct {
	enum scaler_effect effect;
	void (*carry_out)(struct target *t);
} target_effects[] = {
	{ SCALER_CLOSE_GATE, target_close_gate },
	{ SCALER_SHRINK, target_shrink },
	{ SCALER_GROW, target_grow },
	{ SCALER_STOP_PROBE, target_stop_probe },
	{ SCALER_PROBE, target_probe },
	{ SCALER_OPEN_GATE, target_open_gate },
	{ SCALER_TIMED_OUT, target_say_timed_out },
};

/* --- events --- */

static void target_read_usage(const struct target *t, uint64_t *out)
{
	if (t->edges.backend->ops->usage_us(t->edges.backend, out) < 0)
		*out = 0;
}

static void target_note_asleep(struct target *t)
{
	t->asleep_since_ns = monotonic_ns();
	target_read_usage(t, &t->asleep_usage_us);
	log_info("asleep", "target=%s idle_ms=%" PRIu64 " cpu_us=%" PRIu64, t->name,
		 (t->asleep_since_ns - t->scaler.activity_ns) / NS_PER_MS, t->asleep_usage_us);
}

static void target_note_waking(struct target *t)
{
	uint64_t usage_us;

	target_read_usage(t, &usage_us);
	t->wake.asleep_cpu_us = usage_us - t->asleep_usage_us;
}

static void target_note_state(struct target *t, enum scaler_state before)
{
	enum scaler_state after = t->scaler.state;

	if (before == after)
		return;
	log_debug("state", "target=%s from=%s to=%s", t->name, scaler_state_name(before),
		  scaler_state_name(after));
	if (after == SCALER_ASLEEP)
		target_note_asleep(t);
	if (before == SCALER_ASLEEP)
		target_note_waking(t);
	if (before == SCALER_GROWING && after == SCALER_PROBING)
		t->wake.resized_ns = monotonic_ns();
}

static void target_step(struct target *t, enum scaler_event event)
{
	enum scaler_state before = t->scaler.state;
	unsigned int effects = scaler_step(&t->scaler, event, monotonic_ns(),
					   target_activity_ns(t));

	target_note_state(t, before);
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

static void target_on_deadline(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	target_dispatch(arg, SCALER_TICK);
}

/* A wake that was not told, because the ring was full, shows in the activity stamp. */
static bool target_has_missed_traffic(const struct target *t)
{
	return t->scaler.state == SCALER_ASLEEP && target_activity_ns(t) > t->scaler.activity_ns;
}

static void target_on_beat(evutil_socket_t fd, short what, void *arg)
{
	struct target *t = arg;

	(void)fd;
	(void)what;
	datapath_beat(t->edges.datapath);
	if (t->edges.watchdog)
		watchdog_beat(t->edges.watchdog);
	if (!target_has_missed_traffic(t))
		return;
	log_warn("traffic that the gate could not tell of", "target=%s", t->name);
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

static void target_on_probe_port(void *arg, uint16_t port)
{
	struct target *t = arg;

	datapath_set_probe_port(t->edges.datapath, t->settings.id, port);
}

static void target_on_ready(void *arg)
{
	struct target *t = arg;

	t->wake.ready_ns = monotonic_ns();
	target_dispatch(t, SCALER_READY);
}

void target_take(struct target *t, const struct gate_event *event, const void *frame)
{
	if (!t->wake.is_pending && t->scaler.is_gate_closed) {
		t->wake = (struct target_wake){ .first = *event, .is_pending = true };
		t->wake.taken_ns = monotonic_ns();
	}
	if (event->frame_len)
		hold_push(t->hold, event, frame);
	target_raise(t, SCALER_TRAFFIC);
}

void target_act(struct target *t)
{
	if (!t->pending)
		return;
	target_dispatch(t, SCALER_TRAFFIC);
	/* Late: copied while the gate was still closed, read when it is open again. */
	if (!t->scaler.is_gate_closed)
		target_replay(t);
}

void target_start(struct target *t)
{
	target_probe(t);
	target_dispatch(t, SCALER_TICK);
}

void target_restarted(struct target *t)
{
	log_info("the application was started anew", "target=%s", t->name);
	target_dispatch(t, SCALER_TRAFFIC);
}

void target_stop(struct target *t)
{
	target_dispatch(t, SCALER_STOP);
}

static void target_make_name(struct target *t)
{
	const struct target_port *first = &t->settings.ports[0];

	snprintf(t->name, sizeof(t->name), "%s/%u", first->protocol == IPPROTO_UDP ? "udp" : "tcp",
		 first->port);
}

/* The first TCP port; a target that has none cannot be asked. */
static void target_choose_probe_port(struct target *t)
{
	for (size_t i = 0; i < t->settings.ports_len; i++) {
		if (t->settings.ports[i].protocol == IPPROTO_TCP) {
			t->probe_port = t->settings.ports[i];
			return;
		}
	}
	if (!t->settings.probe.port)
		t->settings.probe.kind = PROBE_NONE;
}

static int target_add_keys(const struct target *t)
{
	for (size_t i = 0; i < t->settings.ports_len; i++) {
		struct gate_target_key key = {
			.port_be = htons(t->settings.ports[i].port),
			.protocol = t->settings.ports[i].protocol,
		};
		int r = datapath_add_key(t->edges.datapath, &key, t->settings.id);

		if (r < 0)
			return r;
	}
	return 0;
}

static int target_make_parts(struct target *t)
{
	const struct probe_settings probe_settings = {
		.spec = t->settings.probe,
		.ns = t->edges.ns,
		.port_changed = target_on_probe_port,
		.ready = target_on_ready,
		.arg = t,
	};

	if (hold_new(&t->hold, TARGET_FRAMES_MAX, TARGET_DATAGRAMS_MAX) < 0)
		return -ENOMEM;
	t->deadline = evtimer_new(t->edges.base, target_on_deadline, t);
	t->beat = event_new(t->edges.base, -1, EV_PERSIST, target_on_beat, t);
	if (!t->deadline || !t->beat)
		return -ENOMEM;
	return probe_new(&t->probe, t->edges.base, t->edges.http, &probe_settings);
}

int target_new(struct target **out, const struct target_edges *edges,
	       const struct target_settings *settings)
{
	const struct scaler_settings scaler_settings = {
		.idle_ns = settings->idle_ns,
		.awake_min_ns = edges->replay ? 0 : TARGET_RESEND_NS,
		.settle_ns = TARGET_SETTLE_NS,
		.wake_timeout_ns = settings->wake_timeout_ns,
		.retry_min_ns = TARGET_RETRY_MIN_NS,
		.retry_max_ns = TARGET_RETRY_MAX_NS,
	};
	_cleanup_(target_free) struct target *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return log_err(-ENOMEM, "cannot make the target");
	t->settings = *settings;
	t->edges = *edges;
	target_make_name(t);
	target_choose_probe_port(t);
	scaler_init(&t->scaler, &scaler_settings, monotonic_ns());
	r = target_make_parts(t);
	if (r < 0)
		return log_err(r, "cannot make the target '%s'", t->name);
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
	probe_free(&(*t)->probe);
	hold_free(&(*t)->hold);
	if ((*t)->deadline)
		event_free((*t)->deadline);
	if ((*t)->beat)
		event_free((*t)->beat);
	free(*t);
	*t = NULL;
}
