// SPDX-License-Identifier: MIT
/* Opens the edges in their order, and takes them down in the reverse. */
#include "daemon.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "portlock.h"
#include "server.h"
#include "util.h"
#include "version.h"

/* --- events --- */

static void daemon_on_ring(evutil_socket_t fd, short what, void *arg)
{
	struct daemon *d = arg;

	(void)fd;
	(void)what;
	datapath_consume(d->datapath);
	target_act(d->target);
}

static void daemon_on_gate_event(void *arg, const struct gate_event *event, const void *frame)
{
	struct daemon *d = arg;

	target_take(d->target, event, frame);
}

static int daemon_on_interface(void *arg, unsigned int ifindex, const char *name)
{
	struct daemon *d = arg;

	return datapath_attach(d->datapath, d->ns.id, ifindex, name);
}

static void daemon_on_interface_gone(void *arg, unsigned int ifindex, const char *name)
{
	struct daemon *d = arg;

	log_info("interface is gone", "interface=%s", name);
	datapath_forget(d->datapath, d->ns.id, ifindex);
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
	return http_new(&d->http, d->base);
}

static int daemon_lock_ports(struct daemon *d, const struct daemon_gate_settings *settings)
{
	int r = netns_enter(&d->ns);

	if (r < 0)
		return r;
	for (size_t i = 0; i < settings->ports_len && r >= 0; i++) {
		r = portlock_take(settings->ports[i].port, settings->ports[i].protocol);
		if (r >= 0)
			d->portlock_fds[d->portlocks_len++] = r;
	}
	netns_leave(&d->ns);
	return r < 0 ? r : 0;
}

/* A kernel that cannot replay is no reason to stop: it has said so, and SYNs are only dropped. */
static int daemon_open_replay(struct daemon *d, bool can_replay)
{
	int r = can_replay ? replay_new(&d->replay, &d->ns) : 0;

	return r == -EOPNOTSUPP ? 0 : r;
}

/* Of no other doze in this namespace, and the same after a restart. */
static uint32_t daemon_tc_handle(const struct target_port *port)
{
	return (uint32_t)port->protocol << 16 | port->port;
}

static bool daemon_has_udp(const struct daemon_gate_settings *settings)
{
	for (size_t i = 0; i < settings->ports_len; i++) {
		if (settings->ports[i].protocol == IPPROTO_UDP)
			return true;
	}
	return false;
}

int daemon_open_gate(struct daemon *d, const struct daemon_gate_settings *settings)
{
	struct datapath_settings datapath_settings = {
		.hook = settings->hook,
		.has_udp = daemon_has_udp(settings),
		.tc_handle = daemon_tc_handle(&settings->ports[0]),
		.on_event = daemon_on_gate_event,
		.arg = d,
	};
	int r = netns_open(&d->ns, settings->netns_pid);

	if (r == 0)
		r = daemon_lock_ports(d, settings);
	if (r == 0)
		r = daemon_open_replay(d, settings->can_replay);
	if (r < 0)
		return r;
	datapath_settings.can_replay = d->replay != NULL;
	return datapath_new(&d->datapath, &datapath_settings);
}

int daemon_open_target(struct daemon *d, struct backend *backend, struct watchdog *watchdog,
		       const struct target_settings *settings, const char *const *interfaces,
		       size_t interfaces_len)
{
	const struct target_edges edges = {
		.base = d->base,
		.datapath = d->datapath,
		.replay = d->replay,
		.backend = backend,
		.http = d->http,
		.watchdog = watchdog,
		.ns = &d->ns,
	};
	const struct interfaces_settings interfaces_settings = {
		.names = interfaces,
		.names_len = interfaces_len,
		.appeared = daemon_on_interface,
		.gone = daemon_on_interface_gone,
		.arg = d,
	};
	int r = target_new(&d->target, &edges, settings);

	if (r == 0)
		r = interfaces_new(&d->interfaces, d->base, &d->ns, &interfaces_settings);
	if (r < 0)
		return r;
	d->on_ring = daemon_watch(d, datapath_ring_fd(d->datapath), daemon_on_ring);
	return d->on_ring ? 0 : log_err(-ENOMEM, "cannot watch the ring");
}

/* --- status --- */

static void daemon_count_checks(struct status_counts *to, const struct responder_counters *c)
{
	*to = (struct status_counts){
		.of = { { "http", c->answered_http },
			{ "tcp", c->answered_tcp },
			{ "grpc", c->answered_grpc },
			{ "https", c->answered_https } },
		.len = 4,
	};
}

static void daemon_on_snapshot(void *arg, struct status *out)
{
	struct daemon *d = arg;
	const struct responder_counters *checks = target_health_checks(d->target);

	*out = (struct status){
		.version = DOZE_VERSION,
		.uptime_ms = (monotonic_ns() - d->started_ns) / NS_PER_MS,
		.targets = &d->told,
		.targets_len = 1,
	};
	datapath_read_counters(d->datapath, out->verdicts);
	target_status(d->target, &d->told);
	if (checks) {
		daemon_count_checks(&out->answered, checks);
		out->handed_over = checks->handed_over;
	}
	if (d->replay) {
		const struct replay_counters *r = replay_counters(d->replay);

		out->replayed = r->replayed;
		out->replay_dropped_checksum = r->dropped_checksum;
		out->replay_dropped_refused = r->dropped_refused;
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
	event_base_loopbreak(d->base);
}

/* --- closing --- */

void daemon_log_counters(const struct daemon *d)
{
	uint64_t counters[GATE_VERDICT_COUNT];

	if (datapath_read_counters(d->datapath, counters) < 0)
		return;
	for (int verdict = 0; verdict < GATE_VERDICT_COUNT; verdict++) {
		if (counters[verdict])
			log_info("gate counter", "verdict=%s packets=%" PRIu64,
				 datapath_counter_name((enum gate_verdict)verdict),
				 counters[verdict]);
	}
	if (d->replay) {
		const struct replay_counters *r = replay_counters(d->replay);

		log_info("replay counters",
			 "replayed=%" PRIu64 " dropped_checksum=%" PRIu64
			 " dropped_refused=%" PRIu64,
			 r->replayed, r->dropped_checksum, r->dropped_refused);
	}
}

static void daemon_free_event(struct event **event)
{
	if (*event)
		event_free(*event);
	*event = NULL;
}

void daemon_close(struct daemon *d)
{
	if (d->target)
		target_stop(d->target);
	server_free(&d->server);
	interfaces_free(&d->interfaces);
	daemon_free_event(&d->on_signal);
	daemon_free_event(&d->on_ring);
	target_free(&d->target);
	if (netns_enter(&d->ns) == 0) {
		datapath_free(&d->datapath); /* tc filters are removed where they are */
		netns_leave(&d->ns);
	}
	replay_free(&d->replay);
	for (size_t i = 0; i < d->portlocks_len; i++)
		close(d->portlock_fds[i]);
	d->portlocks_len = 0;
	netns_close(&d->ns);
}

void daemon_free(struct daemon *d)
{
	http_free(&d->http);
	if (d->base)
		event_base_free(d->base);
	d->base = NULL;
	closep(&d->signal_fd);
}
