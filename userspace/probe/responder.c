// SPDX-License-Identifier: MIT
/* Listens on any port, because steering ignores it, and accepts no more than it can carry. */
#include "probe/responder.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/acceptor.h"
#include "base/address.h"
#include "base/log.h"
#include "base/timer.h"
#include "base/util.h"

/* Each connection may need two files; RESPONDER_OTHER_FILES are left to the rest of doze. */
#define RESPONDER_CONNECTIONS_MAX 1024
#define RESPONDER_CONNECTIONS_MIN 16
#define RESPONDER_OTHER_FILES	  128
#define RESPONDER_BACKLOG	  1024

struct responder {
	struct connection_set set;
	int listen_fds[GATE_FAMILIES];
	__be16 listen_ports_be[GATE_FAMILIES];
	struct acceptor *acceptors[GATE_FAMILIES];
};

/* --- accepting --- */

static bool responder_read_flow(int fd, struct gate_flow *out)
{
	union address_sockaddr local = { 0 }, remote = { 0 };
	socklen_t local_len = sizeof(local), remote_len = sizeof(remote);

	if (getsockname(fd, &local.any, &local_len) < 0 ||
	    getpeername(fd, &remote.any, &remote_len) < 0)
		return false;
	*out = (struct gate_flow){ .protocol = IPPROTO_TCP };
	out->saddr = address_from_sockaddr(&remote, &out->sport_be);
	out->daddr = address_from_sockaddr(&local, &out->dport_be);
	return true;
}

/* Somebody has found our own port: to carry that on to the same port would go in circles. */
static bool responder_is_own_port(const struct responder *responder, __be16 port_be)
{
	for (int family = 0; family < GATE_FAMILIES; family++) {
		if (responder->listen_fds[family] >= 0 &&
		    responder->listen_ports_be[family] == port_be)
			return true;
	}
	return false;
}

void responder_adopt(struct responder *responder, int fd)
{
	struct connection *connection = connection_new(&responder->set, fd);
	struct gate_flow flow;

	if (!connection)
		return;
	if (!responder_read_flow(fd, &flow) || responder_is_own_port(responder, flow.dport_be))
		connection_fail(connection, "not a connection to the application");
	else
		connection_start(connection, &flow);
}

static void responder_on_room(void *arg)
{
	struct responder *responder = arg;

	for (int family = 0; family < GATE_FAMILIES; family++) {
		if (responder->acceptors[family])
			acceptor_resume(responder->acceptors[family]);
	}
}

static void responder_on_accepted(void *arg, int fd)
{
	struct responder *responder = arg;

	responder_adopt(responder, fd);
	for (int family = 0; family < GATE_FAMILIES; family++) {
		if (responder->acceptors[family] && responder->set.len >= responder->set.len_max)
			acceptor_pause(responder->acceptors[family]);
	}
}

/* --- listening --- */

/* The listening socket, or -1. */
static int responder_bind(int family, __be16 *port_be)
{
	const struct in_addr loopback_ipv4 = { htonl(INADDR_LOOPBACK) };
	const void *loopback = family == AF_INET ? (const void *)&loopback_ipv4 : &in6addr_loopback;
	const struct gate_addr addr = address_make(family, loopback);
	union address_sockaddr local;
	socklen_t len = address_to_sockaddr(&addr, 0, &local);
	_cleanup_(closep) int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	const int one = 1;

	/* lo may be down, or have IPv6 switched off where other interfaces have it. */
	if (fd >= 0)
		setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &one, sizeof(one));
	if (fd < 0 || bind(fd, &local.any, len) < 0 || listen(fd, RESPONDER_BACKLOG) < 0 ||
	    getsockname(fd, &local.any, &len) < 0)
		return -1;
	address_from_sockaddr(&local, port_be);
	return TAKE_FD(fd);
}

static int responder_watch(struct responder *responder)
{
	struct event_base *base = responder->set.settings.base;

	responder->set.has_room = timer_new(base, responder_on_room, responder);
	if (!responder->set.has_room)
		return -ENOMEM;
	for (int i = 0; i < GATE_FAMILIES; i++) {
		int fd = responder->listen_fds[i];

		if (fd < 0)
			continue;
		if (acceptor_new(&responder->acceptors[i], base, fd, "a probe",
				 responder_on_accepted, responder) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int responder_open(struct responder *responder)
{
	const struct netns *ns = responder->set.settings.ns;
	int *fds = responder->listen_fds, r = netns_enter(ns);
	__be16 *ports_be = responder->listen_ports_be;

	if (r < 0)
		return r;
	fds[GATE_FAMILY_IPV4] = responder_bind(AF_INET, &ports_be[GATE_FAMILY_IPV4]);
	fds[GATE_FAMILY_IPV6] = responder_bind(AF_INET6, &ports_be[GATE_FAMILY_IPV6]);
	netns_leave(ns);
	if (fds[GATE_FAMILY_IPV4] < 0 && fds[GATE_FAMILY_IPV6] < 0)
		return log_err(-EADDRNOTAVAIL, "cannot listen for probes");
	r = responder_watch(responder);
	return r < 0 ? log_err(r, "cannot listen for probes") : 0;
}

/* As many as there are files for; more wait in the kernel's queue. */
static size_t responder_connections_max(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0 ||
	    files.rlim_cur >= 2 * RESPONDER_CONNECTIONS_MAX + RESPONDER_OTHER_FILES)
		return RESPONDER_CONNECTIONS_MAX;
	if (files.rlim_cur < 2 * RESPONDER_CONNECTIONS_MIN + RESPONDER_OTHER_FILES)
		return RESPONDER_CONNECTIONS_MIN;
	return (files.rlim_cur - RESPONDER_OTHER_FILES) / 2;
}

int responder_new(struct responder **out, const struct connection_settings *settings)
{
	_cleanup_(responder_free) struct responder *responder = calloc(1, sizeof(*responder));
	int r;

	if (!responder)
		return log_err(-ENOMEM, "cannot answer probes");
	responder->set.settings = *settings;
	responder->set.len_max = responder_connections_max();
	responder->set.is_open = true;
	TAILQ_INIT(&responder->set.connections);
	responder->listen_fds[GATE_FAMILY_IPV4] = responder->listen_fds[GATE_FAMILY_IPV6] = -1;
	r = responder_open(responder);
	if (r < 0)
		return r;
	*out = TAKE_PTR(responder);
	return 0;
}

void responder_free(struct responder **responder)
{
	if (!*responder)
		return;
	connection_set_close(&(*responder)->set);
	for (int i = 0; i < GATE_FAMILIES; i++) {
		acceptor_free(&(*responder)->acceptors[i]);
		closep(&(*responder)->listen_fds[i]);
	}
	timer_free(&(*responder)->set.has_room);
	free(*responder);
	*responder = NULL;
}

int responder_listen_fd(const struct responder *responder, enum gate_family family)
{
	return responder->listen_fds[family];
}

void responder_release(struct responder *responder, bool is_open)
{
	connection_set_release(&responder->set, is_open);
}

bool responder_answers(const struct responder *responder, const struct gate_flow *flow)
{
	return connection_set_answers(&responder->set, flow);
}

bool responder_is_busy(const struct responder *responder)
{
	return connection_set_is_busy(&responder->set);
}

const struct connection_counters *responder_counters(const struct responder *responder)
{
	return &responder->set.counters;
}
