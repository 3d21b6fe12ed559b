// SPDX-License-Identifier: MIT
/* Opens the edges in their order, and takes them down in the reverse. */
#include "target/daemon.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/confine.h"
#include "base/descriptors.h"
#include "base/log.h"
#include "base/timer.h"
#include "base/util.h"
#include "base/version.h"
#include "report/server.h"
#include "target/target_status.h"

/* When we end, the requests that we carry have so long to be answered. */
#define DAEMON_DRAIN_NS	     (5 * NS_PER_S)
#define DAEMON_DRAIN_STEP_US 20000

/* --- events --- */

static void daemon_on_ring(evutil_socket_t fd, short what, void *arg)
{
	struct daemon *d = arg;

	(void)fd;
	(void)what;
	datapath_consume(d->datapath);
}

static void daemon_on_gate_event(void *arg, const struct gate_event *event, const void *frame)
{
	struct daemon *d = arg;

	/* Without a target the record is of one that has just been removed. */
	if (event->target_id < GATE_TARGETS_MAX && d->targets[event->target_id])
		target_take(d->targets[event->target_id], event, frame);
}

static void daemon_on_signal(evutil_socket_t fd, short what, void *arg)
{
	struct daemon *d = arg;
	struct signalfd_siginfo info;

	(void)what;
	while (read(fd, &info, sizeof(info)) == sizeof(info))
		d->signalled(d->signal_arg, &info);
}

static struct event *daemon_watch(struct daemon *d, int fd, event_callback_fn on_readable)
{
	struct event *event = event_new(d->base, fd, EV_READ | EV_PERSIST, on_readable, d);

	if (event)
		event_add(event, NULL);
	return event;
}

/* --- opening --- */

static int daemon_block_signals(struct daemon *d)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	d->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return d->signal_fd < 0 ? log_err(-errno, "cannot wait for signals") : 0;
}

int daemon_open_loop(struct daemon *d, daemon_signal_fn signalled, void *arg)
{
	int r = daemon_block_signals(d);

	descriptors_raise();
	if (r < 0)
		return r;
	d->started_ns = monotonic_ns();
	d->signalled = signalled;
	d->signal_arg = arg;
	d->base = event_base_new();
	if (!d->base)
		return log_err(-ENOMEM, "cannot make the event loop");
	d->on_signal = daemon_watch(d, d->signal_fd, daemon_on_signal);
	if (!d->on_signal)
		return log_err(-ENOMEM, "cannot wait for signals");
	return http_new(&d->http, d->base, NULL);
}

int daemon_open_gate(struct daemon *d, const struct daemon_gate_settings *settings)
{
	struct datapath_settings datapath_settings = {
		.hooks = {
			.kind = settings->hook,
			.has_udp = settings->has_udp,
			.tc_handle = settings->tc_handle,
		},
		.has_namespaces = settings->has_namespaces,
		.on_event = daemon_on_gate_event,
		.arg = d,
	};
	int r = settings->can_replay ? replay_program_new(&d->replay) : 0;

	/* On a kernel that cannot replay, which is logged, SYNs are dropped instead. */
	if (r < 0 && r != -EOPNOTSUPP)
		return r;
	datapath_settings.can_replay = d->replay != NULL;
	r = datapath_new(&d->datapath, &datapath_settings);
	if (r == 0)
		r = heartbeat_new(&d->heartbeat, d->base, d->datapath, settings->watchdog);
	if (r < 0)
		return r;
	sockdiag_answered_new(&d->answered); /* logs its failure; d->answered may be NULL */
	d->on_ring = daemon_watch(d, datapath_ring_fd(d->datapath), daemon_on_ring);
	return d->on_ring ? 0 : log_err(-ENOMEM, "cannot watch the ring");
}

struct steer *daemon_steer(struct daemon *d)
{
	if (!d->has_tried_steer)
		steer_new(&d->steer, d->datapath);
	d->has_tried_steer = true;
	return d->steer;
}

/* --- targets --- */

int daemon_find_id(const struct daemon *d, uint32_t *out)
{
	for (uint32_t id = 0; id < GATE_TARGETS_MAX; id++) {
		if (!d->targets[id]) {
			*out = id;
			return 0;
		}
	}
	return log_err(-ENOSPC, "one target too many; at most %d are possible", GATE_TARGETS_MAX);
}

void daemon_add_target(struct daemon *d, uint32_t id, struct target *t)
{
	d->targets[id] = t;
}

static void daemon_add_probes(struct connection_counters *to, const struct target *t)
{
	const struct connection_counters *c = target_status_probes(t);

	if (!c)
		return;
	to->answered_http += c->answered_http;
	to->answered_tcp += c->answered_tcp;
	to->answered_grpc += c->answered_grpc;
	to->answered_https += c->answered_https;
	to->handed_over += c->handed_over;
	to->failed += c->failed;
}

void daemon_remove_target(struct daemon *d, uint32_t id)
{
	struct target *t = d->targets[id];

	if (t) {
		/* Its records are taken out of the ring before another target gets its id. */
		datapath_consume(d->datapath);
		target_act(t);
		daemon_add_probes(&d->past_probes, t);
	}
	d->targets[id] = NULL;
	datapath_remove_target(d->datapath, id);
}

/* --- status --- */

void daemon_add_refusal(struct daemon *d, const char *uid, const char *pod, const char *reason,
			const char *why)
{
	refusals_put(&d->refusals, uid, pod, reason, why);
}

void daemon_remove_refusal(struct daemon *d, const char *uid)
{
	refusals_remove(&d->refusals, uid);
}

static void daemon_tell_probes(const struct daemon *d, struct status *out)
{
	struct connection_counters sum = d->past_probes;

	for (size_t i = 0; i < GATE_TARGETS_MAX; i++) {
		if (d->targets[i])
			daemon_add_probes(&sum, d->targets[i]);
	}
	out->answered = (struct status_counts){
		.of = { { "http", sum.answered_http },
			{ "tcp", sum.answered_tcp },
			{ "grpc", sum.answered_grpc },
			{ "https", sum.answered_https } },
		.len = 4,
	};
	out->handed_over = sum.handed_over;
}

static void daemon_tell_targets(struct daemon *d, struct status *out)
{
	size_t len = 0;

	for (size_t i = 0; i < GATE_TARGETS_MAX; i++)
		len += d->targets[i] != NULL;
	free(d->told);
	d->told = calloc(len + 1, sizeof(*d->told));
	for (size_t i = 0; d->told && i < GATE_TARGETS_MAX; i++) {
		if (d->targets[i])
			target_status(d->targets[i], &d->told[out->targets_len++]);
	}
	out->targets = d->told;
}

static void daemon_on_snapshot(void *arg, struct status *out)
{
	struct daemon *d = arg;

	*out = (struct status){
		.version = DOZE_VERSION,
		.uptime_ms = (monotonic_ns() - d->started_ns) / NS_PER_MS,
		.refused_calls = confine_refused(),
	};
	if (d->datapath)
		datapath_read_counters(d->datapath, out->verdicts);
	out->problem = d->problem ? d->problem : "";
	daemon_tell_targets(d, out);
	daemon_tell_probes(d, out);
	out->refusals = d->refusals.of;
	out->refusals_len = d->refusals.len;
	if (d->replay) {
		const struct replay_counters *replay = replay_program_counters(d->replay);

		out->replayed = replay->replayed;
		out->replay_dropped_checksum = replay->dropped_checksum;
		out->replay_dropped_refused = replay->dropped_refused;
	}
}

int daemon_open_server(struct daemon *d, const char *socket, const char *default_socket,
		       const char *listen)
{
	struct server_settings settings = {
		.base = d->base,
		.socket_path = socket ? socket : default_socket,
		.listen = listen,
		.snapshot = daemon_on_snapshot,
		.arg = d,
	};
	int r;

	if (socket && strcmp(socket, "none") == 0)
		settings.socket_path = NULL;
	if (!settings.socket_path && !listen)
		return 0;
	r = server_new(&d->server, &settings);
	if (r == 0 || socket || listen)
		return r;
	log_warn("doze status will not find this doze", "socket=%s", default_socket);
	return 0;
}

void daemon_run(struct daemon *d)
{
	event_base_dispatch(d->base);
}

void daemon_leave(struct daemon *d)
{
	d->leaves++;
	event_base_loopbreak(d->base);
}

/* --- closing --- */

static bool daemon_is_carrying(const struct daemon *d)
{
	for (size_t i = 0; i < GATE_TARGETS_MAX; i++) {
		if (d->targets[i] && target_is_carrying(d->targets[i]))
			return true;
	}
	return false;
}

static void daemon_on_drained(void *arg)
{
	(void)arg;
}

void daemon_drain(struct daemon *d)
{
	uint64_t until_ns = monotonic_ns() + DAEMON_DRAIN_NS;
	_cleanup_(timer_free) struct timer *look = timer_new(d->base, daemon_on_drained, NULL);
	unsigned int leaves = d->leaves;

	for (size_t i = 0; i < GATE_TARGETS_MAX; i++) {
		if (d->targets[i])
			target_stop(d->targets[i]);
	}
	if (!look)
		return;
	while (daemon_is_carrying(d) && d->leaves == leaves && monotonic_ns() < until_ns) {
		timer_in_ns(look, DAEMON_DRAIN_STEP_US * NS_PER_US);
		event_base_loop(d->base, EVLOOP_ONCE);
	}
}

void daemon_log_counters(const struct daemon *d)
{
	uint64_t counters[GATE_VERDICT_COUNT];

	if (!d->datapath || datapath_read_counters(d->datapath, counters) < 0)
		return;
	for (int verdict = 0; verdict < GATE_VERDICT_COUNT; verdict++) {
		if (counters[verdict])
			log_info("gate counter", "verdict=%s packets=%" PRIu64,
				 datapath_counter_name((enum gate_verdict)verdict),
				 counters[verdict]);
	}
	if (d->replay) {
		const struct replay_counters *replay = replay_program_counters(d->replay);

		log_info("replay counters",
			 "replayed=%" PRIu64 " dropped_checksum=%" PRIu64
			 " dropped_refused=%" PRIu64,
			 replay->replayed, replay->dropped_checksum, replay->dropped_refused);
	}
}

static void daemon_free_event(struct event **event)
{
	if (*event)
		event_free(*event);
	*event = NULL;
}

void daemon_close_gate(struct daemon *d)
{
	daemon_free_event(&d->on_ring);
	steer_free(&d->steer);
	d->has_tried_steer = false;
	heartbeat_free(&d->heartbeat);
	datapath_free(&d->datapath);
	sockdiag_answered_free(&d->answered);
	replay_program_free(&d->replay);
}

void daemon_close(struct daemon *d)
{
	server_free(&d->server);
	free(d->told);
	d->told = NULL;
	refusals_free(&d->refusals);
	daemon_free_event(&d->on_signal);
	daemon_close_gate(d);
}

void daemon_free(struct daemon *d)
{
	http_free(&d->http);
	if (d->base)
		event_base_free(d->base);
	d->base = NULL;
	closep(&d->signal_fd);
}
