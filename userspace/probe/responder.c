// SPDX-License-Identifier: MIT
/*
 * A connection is only looked at (MSG_PEEK) until it is known what it is: nothing has to be given
 * back then, whether OpenSSL goes on with it or the application does.
 */
#include "probe/responder.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/address.h"
#include "base/log.h"
#include "base/timer.h"
#include "base/util.h"
#include "probe/relay.h"
#include "probe/reply.h"
#include "probe/selfcert.h"

/* Each may need two files; so many are left to the rest of doze. */
#define RESPONDER_CONNECTIONS_MAX 1024
#define RESPONDER_CONNECTIONS_MIN 16
#define RESPONDER_OTHER_FILES	  128
#define RESPONDER_BACKLOG	  1024
#define RESPONDER_TURN_MAX	  32	 /* that are accepted at once */
#define RESPONDER_PAUSE_US	  100000 /* after accept() has failed */

/* A probe says what it wants at once; who says half of it is taken for a client. */
#define RESPONDER_HALF_MS    250
#define RESPONDER_SILENT_MS  500
#define RESPONDER_IGNORED_MS 5000 /* from an ignored source: closed, wakes nobody */
#define RESPONDER_TLS_MS     1000
#define RESPONDER_CLOSE_MS   1000 /* for the caller to close what has been answered */
#define RESPONDER_ACK_MS     1000 /* for a client of HTTP/2 to acknowledge our SETTINGS */

enum responder_state {
	RESPONDER_JUDGING,
	RESPONDER_TLS,	    /* judging what is inside */
	RESPONDER_ANSWERED, /* waiting for the caller to close */
	RESPONDER_IGNORED,  /* so is this, but it has had no answer */
	RESPONDER_UNACKED,  /* a client, which has yet to acknowledge our SETTINGS */
	RESPONDER_WAITING,  /* a client, waiting for the gate */
	RESPONDER_CONNECTING,
	RESPONDER_RELAYED,
};

struct connection {
	struct responder *responder;
	TAILQ_ENTRY(connection) link;
	enum responder_state state;
	struct gate_flow flow;
	struct caller_rules rules;
	int fd; /* -1: it is the client's bufferevent's */
	struct event *readable;
	struct timer *timer;
	size_t seen;	   /* bytes that have been judged */
	bool has_settings; /* HTTP/2: we have sent ours */
	bool is_tls;
	uint64_t *answered; /* its counter */
	struct bufferevent *client, *application;
	struct relay *relay;
};

struct responder {
	struct responder_settings settings;
	struct responder_counters counters;
	int listen_fds[GATE_FAMILIES];
	uint16_t listen_ports[GATE_FAMILIES];
	struct event *acceptable[GATE_FAMILIES];
	struct timer *resume;
	SSL_CTX *server, *client;
	TAILQ_HEAD(, connection) connections;
	size_t connections_len, connections_max;
	bool is_open;
};

static void connection_hand_over(struct connection *c);

/* --- a connection's life --- */

static void connection_free(struct connection *c)
{
	struct responder *r = c->responder;

	TAILQ_REMOVE(&r->connections, c, link);
	if (r->connections_len-- == r->connections_max)
		timer_in_ns(r->resume, 0);
	if (c->readable)
		event_free(c->readable);
	timer_free(&c->timer);
	if (c->client)
		bufferevent_free(c->client);
	if (c->application)
		bufferevent_free(c->application);
	relay_free(&c->relay);
	closep(&c->fd);
	free(c);
}

static void connection_reset(struct connection *c)
{
	const struct linger at_once = { .l_onoff = 1 };

	if (c->fd >= 0)
		setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	relay_reset(&c->client);
	relay_reset(&c->application);
	connection_free(c);
}

static void connection_fail(struct connection *c, const char *what)
{
	c->responder->counters.failed++;
	log_debug("closed a connection to the responder", "reason=\"%s\"", what);
	connection_reset(c);
}

static void connection_arm(struct connection *c, unsigned int ms)
{
	timer_in_ns(c->timer, ms * NS_PER_MS);
}

/* --- bufferevents --- */

static void connection_on_answered(struct bufferevent *client, void *arg)
{
	struct connection *c = arg;
	SSL *ssl = bufferevent_openssl_get_ssl(client);

	/* The answer has left us: our end is closed, in order. */
	if (ssl)
		SSL_shutdown(ssl);
	shutdown(bufferevent_getfd(client), SHUT_WR);
	connection_arm(c, RESPONDER_CLOSE_MS);
}

static void connection_drop_read(struct bufferevent *client, void *arg)
{
	struct evbuffer *input = bufferevent_get_input(client);

	(void)arg;
	evbuffer_drain(input, evbuffer_get_length(input));
}

static void connection_on_end(struct bufferevent *client, short what, void *arg)
{
	(void)client;
	if (!(what & BEV_EVENT_CONNECTED))
		connection_free(arg);
}

static void connection_answer(struct connection *c, const uint8_t *bytes, size_t len,
			      uint64_t *counter)
{
	(*counter)++;
	c->state = RESPONDER_ANSWERED;
	bufferevent_setcb(c->client, connection_drop_read, connection_on_answered,
			  connection_on_end, c);
	connection_drop_read(c->client, c);
	bufferevent_write(c->client, bytes, len);
	bufferevent_enable(c->client, EV_READ | EV_WRITE);
	connection_arm(c, RESPONDER_CLOSE_MS);
}

/* From now on the client's bytes are read, not looked at. */
static bool connection_begin_reading(struct connection *c)
{
	const int one = 1;

	setsockopt(c->fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof(one));
	if (c->readable)
		event_free(c->readable);
	c->readable = NULL;
	c->client = bufferevent_socket_new(c->responder->settings.base, c->fd,
					   BEV_OPT_CLOSE_ON_FREE);
	if (!c->client)
		return false;
	c->fd = -1;
	return true;
}

/* --- clients --- */

static void connection_on_relayed(void *arg)
{
	struct connection *c = arg;

	c->relay = NULL;
	connection_free(c);
}

/* Of the client's bytes, without what was for us alone. */
static void connection_take_out_ack(struct connection *c)
{
	struct evbuffer *input = bufferevent_get_input(c->client);
	size_t len = evbuffer_get_length(input);
	size_t at = reply_h2_find_ack(evbuffer_pullup(input, -1), len);
	struct evbuffer *before = at ? evbuffer_new() : NULL;

	if (!before)
		return;
	evbuffer_remove_buffer(input, before, at);
	evbuffer_drain(input, REPLY_H2_HEADER);
	evbuffer_prepend_buffer(input, before);
	evbuffer_free(before);
}

static void connection_relay(struct connection *c)
{
	if (c->has_settings)
		connection_take_out_ack(c);
	timer_stop(c->timer);
	c->state = RESPONDER_RELAYED;
	if (relay_start(&c->relay, c->client, c->application, connection_on_relayed, c) < 0) {
		connection_fail(c, "no memory");
		return;
	}
	c->client = NULL;
	c->application = NULL;
}

static void connection_on_connected(struct bufferevent *application, short what, void *arg)
{
	struct connection *c = arg;

	(void)application;
	if (what & BEV_EVENT_CONNECTED)
		connection_relay(c);
	else
		connection_fail(c, "the application refuses the connection");
}

/* A socket of the target's network namespace. */
static int connection_socket(const struct connection *c, int family)
{
	const int one = 1;
	int fd, r = netns_enter(c->responder->settings.ns);

	if (r < 0)
		return r;
	fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	r = fd < 0 ? -errno : fd;
	netns_leave(c->responder->settings.ns);
	if (fd >= 0)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return r;
}

/* A context is made when it is needed first: few targets meet TLS, and each would cost 30 kB. */
static SSL *connection_new_ssl(SSL_CTX **context, int (*make)(SSL_CTX **out))
{
	return *context || make(context) == 0 ? SSL_new(*context) : NULL;
}

static struct bufferevent *connection_wrap(const struct connection *c, int fd)
{
	struct event_base *base = c->responder->settings.base;
	SSL *ssl;

	if (!c->is_tls)
		return bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
	ssl = connection_new_ssl(&c->responder->client, selfcert_new_client);
	return ssl ? bufferevent_openssl_socket_new(base, fd, ssl, BUFFEREVENT_SSL_CONNECTING,
						    BEV_OPT_CLOSE_ON_FREE)
		   : NULL;
}

static void connection_connect(struct connection *c)
{
	union address_sockaddr address;
	socklen_t len = address_to_sockaddr(&c->flow.daddr, c->flow.dport_be, &address);
	int fd = connection_socket(c, address.any.sa_family);

	c->state = RESPONDER_CONNECTING;
	timer_stop(c->timer);
	if (fd < 0 || !(c->application = connection_wrap(c, fd))) {
		closep(&fd);
		connection_fail(c, "no socket");
		return;
	}
	if (c->is_tls)
		bufferevent_openssl_set_allow_dirty_shutdown(c->application, 1);
	bufferevent_setcb(c->application, NULL, NULL, connection_on_connected, c);
	bufferevent_enable(c->application, EV_READ | EV_WRITE);
	if (bufferevent_socket_connect(c->application, &address.any, (int)len) < 0)
		connection_fail(c, "the application cannot be reached");
}

static void connection_on_waiting_end(struct bufferevent *client, short what, void *arg)
{
	struct connection *c = arg;

	(void)client;
	/* The end of its bytes is passed on like them, by the relay; it shows again there. */
	if (what & BEV_EVENT_EOF)
		bufferevent_disable(c->client, EV_READ);
	else if (!(what & BEV_EVENT_CONNECTED))
		connection_fail(c, "reset by the client");
}

static void connection_wait(struct connection *c)
{
	bufferevent_setcb(c->client, NULL, NULL, connection_on_waiting_end, c);
	bufferevent_disable(c->client, EV_READ);
	timer_stop(c->timer);
	c->state = RESPONDER_WAITING;
	if (c->responder->is_open)
		connection_connect(c);
}

/* The gate may have opened and closed again meanwhile: then it is to be woken once more. */
static void connection_end_ack(struct connection *c)
{
	struct responder *r = c->responder;
	struct gate_flow flow = c->flow;
	bool is_open = r->is_open;

	connection_wait(c);
	if (!is_open)
		r->settings.client(r->settings.arg, &flow);
}

static void connection_on_unacked_read(struct bufferevent *client, void *arg)
{
	struct evbuffer *input = bufferevent_get_input(client);

	if (reply_h2_find_ack(evbuffer_pullup(input, -1), evbuffer_get_length(input)))
		connection_end_ack(arg);
}

/*
 * A client of HTTP/2 acknowledges the SETTINGS that we have sent; the application would take that
 * for an error, because they were not its own. So it is waited for, and taken out.
 */
static void connection_wait_for_ack(struct connection *c)
{
	c->state = RESPONDER_UNACKED;
	bufferevent_setcb(c->client, connection_on_unacked_read, NULL, connection_on_waiting_end,
			  c);
	bufferevent_setwatermark(c->client, EV_READ, 0, RELAY_BUFFER_MAX);
	bufferevent_enable(c->client, EV_READ);
	connection_arm(c, RESPONDER_ACK_MS);
}

/* From an ignored source, and nothing that we can answer: it is kept for a while, and wakes nobody.
 */
static void connection_ignore(struct connection *c)
{
	c->state = RESPONDER_IGNORED;
	bufferevent_setcb(c->client, connection_drop_read, NULL, connection_on_end, c);
	connection_drop_read(c->client, c);
	bufferevent_enable(c->client, EV_READ);
	connection_arm(c, RESPONDER_IGNORED_MS);
}

static void connection_hand_over(struct connection *c)
{
	struct responder *r = c->responder;
	struct gate_flow flow = c->flow;

	if (!c->client && !connection_begin_reading(c)) {
		connection_fail(c, "no memory");
		return;
	}
	if (c->rules.is_ignored) {
		connection_ignore(c);
		return;
	}
	r->counters.handed_over++;
	if (c->has_settings)
		connection_wait_for_ack(c);
	else
		connection_wait(c);
	r->settings.client(r->settings.arg, &flow);
}

/* --- judging --- */

static void connection_answer_http(struct connection *c, const uint8_t *bytes, size_t len,
				   uint64_t *counter)
{
	uint8_t reply[REPLY_MAX];

	connection_answer(c, reply, reply_http(bytes, len, reply), counter);
}

static void connection_on_tls_read(struct bufferevent *client, void *arg)
{
	struct connection *c = arg;
	struct evbuffer *input = bufferevent_get_input(client);
	size_t len = evbuffer_get_length(input);
	const uint8_t *bytes = evbuffer_pullup(input, -1);
	enum caller_kind kind = caller_judge(bytes, len, &c->rules);

	if (kind == CALLER_HTTP)
		connection_answer_http(c, bytes, len, &c->responder->counters.answered_https);
	else if (kind != CALLER_UNDECIDED)
		connection_hand_over(c);
}

/* A client that looks at certificates has refused ours: it may try again, and be welcome then. */
static void connection_on_tls_event(struct bufferevent *client, short what, void *arg)
{
	struct connection *c = arg;
	struct responder *r = c->responder;
	struct gate_flow flow = c->flow;
	bool is_ignored;

	(void)client;
	if (what & BEV_EVENT_CONNECTED) {
		connection_arm(c, RESPONDER_TLS_MS);
		return;
	}
	is_ignored = c->rules.is_ignored;
	connection_fail(c, "TLS has failed");
	if (!is_ignored)
		r->settings.client(r->settings.arg, &flow);
}

static void connection_begin_tls(struct connection *c)
{
	SSL *ssl = connection_new_ssl(&c->responder->server, selfcert_new_server);
	const int one = 1;

	if (!ssl) {
		connection_fail(c, "no memory");
		return;
	}
	setsockopt(c->fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof(one));
	event_free(c->readable);
	c->readable = NULL;
	c->state = RESPONDER_TLS;
	c->is_tls = true;
	c->rules.has_https = false;
	c->client = bufferevent_openssl_socket_new(c->responder->settings.base, c->fd, ssl,
						   BUFFEREVENT_SSL_ACCEPTING,
						   BEV_OPT_CLOSE_ON_FREE);
	if (!c->client) {
		connection_fail(c, "no memory");
		return;
	}
	c->fd = -1;
	bufferevent_openssl_set_allow_dirty_shutdown(c->client, 1);
	bufferevent_setcb(c->client, connection_on_tls_read, NULL, connection_on_tls_event, c);
	bufferevent_enable(c->client, EV_READ | EV_WRITE);
	connection_arm(c, RESPONDER_TLS_MS);
}

static void connection_answer_grpc(struct connection *c, const uint8_t *bytes, size_t len)
{
	uint8_t reply[2 * REPLY_MAX];
	size_t n = c->has_settings ? 0 : reply_h2_settings(reply);

	n += reply_grpc(reply_h2_stream(bytes, len), reply + n);
	connection_answer(c, reply, n, &c->responder->counters.answered_grpc);
}

static void connection_go_on(struct connection *c, const uint8_t *bytes, size_t len)
{
	const int low = (int)len + 1;
	uint8_t settings[REPLY_MAX];

	if (caller_is_http2(bytes, len) && len >= REPLY_H2_PREFACE && !c->has_settings) {
		size_t n = reply_h2_settings(settings);

		c->has_settings = send(c->fd, settings, n, MSG_NOSIGNAL) == (ssize_t)n;
	}
	if (c->seen == 0 && !c->rules.is_ignored)
		connection_arm(c, RESPONDER_HALF_MS);
	c->seen = len;
	/* Readable when there is more, or the end. */
	setsockopt(c->fd, SOL_SOCKET, SO_RCVLOWAT, &low, sizeof(low));
}

static void connection_judge(struct connection *c, const uint8_t *bytes, size_t len)
{
	switch (caller_judge(bytes, len, &c->rules)) {
	case CALLER_UNDECIDED:
		connection_go_on(c, bytes, len);
		return;
	case CALLER_CLIENT:
	case CALLER_IGNORED:
		connection_hand_over(c);
		return;
	case CALLER_TLS:
		connection_begin_tls(c);
		return;
	case CALLER_HTTP:
	case CALLER_GRPC:
		break;
	}
	if (!connection_begin_reading(c))
		connection_fail(c, "no memory");
	else if (caller_is_http2(bytes, len))
		connection_answer_grpc(c, bytes, len);
	else
		connection_answer_http(c, bytes, len, &c->responder->counters.answered_http);
}

static void connection_on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct connection *c = arg;
	uint8_t bytes[CALLER_BYTES_MAX];
	ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_PEEK);

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		connection_fail(c, "reset by the caller");
	} else if (n == 0) {
		/* It has connected, and that was what it wanted to know. */
		c->responder->counters.answered_tcp++;
		connection_free(c);
	} else if ((size_t)n == c->seen) {
		connection_hand_over(c); /* half a request, and its end: not a probe's */
	} else {
		connection_judge(c, bytes, (size_t)n);
	}
}

static void connection_on_timeout(void *arg)
{
	struct connection *c = arg;

	switch (c->state) {
	case RESPONDER_ANSWERED:
	case RESPONDER_IGNORED:
		connection_free(c);
		return;
	case RESPONDER_UNACKED:
		c->has_settings = false; /* it does not acknowledge: nothing to take out */
		connection_end_ack(c);
		return;
	case RESPONDER_JUDGING:
	case RESPONDER_TLS:
		if (c->rules.is_ignored)
			connection_free(c);
		else
			connection_hand_over(c);
		return;
	default:
		return;
	}
}

/* --- accepting --- */

static int responder_flow(int fd, struct gate_flow *out)
{
	union address_sockaddr local = { 0 }, remote = { 0 };
	socklen_t local_len = sizeof(local), remote_len = sizeof(remote);

	if (getsockname(fd, &local.any, &local_len) < 0 ||
	    getpeername(fd, &remote.any, &remote_len) < 0)
		return -errno;
	*out = (struct gate_flow){ .protocol = IPPROTO_TCP };
	out->saddr = address_from_sockaddr(&remote, &out->sport_be);
	out->daddr = address_from_sockaddr(&local, &out->dport_be);
	return 0;
}

/* Somebody has found our own port: to carry that on to the same port would go in circles. */
static bool responder_is_own_port(const struct responder *r, __be16 port_be)
{
	for (int family = 0; family < GATE_FAMILIES; family++) {
		if (r->listen_fds[family] >= 0 && r->listen_ports[family] == port_be)
			return true;
	}
	return false;
}

static struct connection *connection_new(struct responder *r, int fd)
{
	struct connection *c = calloc(1, sizeof(*c));

	if (!c) {
		close(fd);
		return NULL;
	}
	c->responder = r;
	c->fd = fd;
	TAILQ_INSERT_TAIL(&r->connections, c, link);
	r->connections_len++;
	c->timer = timer_new(r->settings.base, connection_on_timeout, c);
	c->readable = event_new(r->settings.base, fd, EV_READ | EV_PERSIST, connection_on_readable,
				c);
	return c;
}

void responder_adopt(struct responder *r, int fd)
{
	struct connection *c = connection_new(r, fd);
	const int one = 1;

	if (!c)
		return;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (!c->timer || !c->readable || responder_flow(fd, &c->flow) < 0 ||
	    responder_is_own_port(r, c->flow.dport_be)) {
		connection_fail(c, "not a connection to the application");
		return;
	}
	c->rules = r->settings.rules(r->settings.arg, &c->flow);
	event_add(c->readable, NULL);
	connection_arm(c, c->rules.is_ignored ? RESPONDER_IGNORED_MS : RESPONDER_SILENT_MS);
}

static void responder_pause(struct responder *r)
{
	for (int family = 0; family < GATE_FAMILIES; family++) {
		if (r->acceptable[family])
			event_del(r->acceptable[family]);
	}
	if (r->connections_len < r->connections_max)
		timer_in_ns(r->resume, RESPONDER_PAUSE_US * NS_PER_US);
}

static void responder_on_resume(void *arg)
{
	struct responder *r = arg;

	for (int family = 0; family < GATE_FAMILIES; family++) {
		if (r->acceptable[family])
			event_add(r->acceptable[family], NULL);
	}
}

static void responder_on_acceptable(evutil_socket_t fd, short what, void *arg)
{
	struct responder *r = arg;

	(void)what;
	/* The event comes again while more wait: no crowd at this port may stop the loop. */
	for (int turn = 0; turn < RESPONDER_TURN_MAX; turn++) {
		int accepted;

		if (r->connections_len >= r->connections_max) {
			responder_pause(r);
			return;
		}
		accepted = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (accepted >= 0) {
			responder_adopt(r, accepted);
			continue;
		}
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
			log_warn_err(-errno, "cannot accept a probe");
			responder_pause(r);
		}
		return;
	}
}

/* --- the listening sockets: any port, steering does not look at it --- */

static int responder_bind(int family)
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
	if (fd < 0 || bind(fd, &local.any, len) < 0 || listen(fd, RESPONDER_BACKLOG) < 0)
		return -errno;
	return TAKE_FD(fd);
}

static void responder_listen(struct responder *r)
{
	static const int families[GATE_FAMILIES] = {
		[GATE_FAMILY_IPV4] = AF_INET,
		[GATE_FAMILY_IPV6] = AF_INET6,
	};

	for (int i = 0; i < GATE_FAMILIES; i++) {
		union address_sockaddr local = { 0 };
		socklen_t len = sizeof(local);
		int fd = responder_bind(families[i]);

		r->listen_fds[i] = fd < 0 ? -1 : fd;
		if (fd >= 0 && getsockname(fd, &local.any, &len) == 0)
			address_from_sockaddr(&local, &r->listen_ports[i]);
	}
}

static int responder_watch(struct responder *r)
{
	r->resume = timer_new(r->settings.base, responder_on_resume, r);
	if (!r->resume)
		return -ENOMEM;
	for (int i = 0; i < GATE_FAMILIES; i++) {
		if (r->listen_fds[i] < 0)
			continue;
		r->acceptable[i] = event_new(r->settings.base, r->listen_fds[i],
					     EV_READ | EV_PERSIST, responder_on_acceptable, r);
		if (!r->acceptable[i] || event_add(r->acceptable[i], NULL) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int responder_open(struct responder *r)
{
	int n = netns_enter(r->settings.ns);

	if (n < 0)
		return n;
	responder_listen(r);
	netns_leave(r->settings.ns);
	if (r->listen_fds[GATE_FAMILY_IPV4] < 0 && r->listen_fds[GATE_FAMILY_IPV6] < 0)
		return log_err(-EADDRNOTAVAIL, "cannot listen for probes");
	n = responder_watch(r);
	return n < 0 ? log_err(n, "cannot listen for probes") : 0;
}

/* More wait in the kernel's queue: a client that is accepted can be carried on. */
static size_t responder_most(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0 ||
	    files.rlim_cur >= 2 * RESPONDER_CONNECTIONS_MAX + RESPONDER_OTHER_FILES)
		return RESPONDER_CONNECTIONS_MAX;
	if (files.rlim_cur < 2 * RESPONDER_CONNECTIONS_MIN + RESPONDER_OTHER_FILES)
		return RESPONDER_CONNECTIONS_MIN;
	return (files.rlim_cur - RESPONDER_OTHER_FILES) / 2;
}

int responder_new(struct responder **out, const struct responder_settings *settings)
{
	_cleanup_(responder_free) struct responder *r = calloc(1, sizeof(*r));
	int n;

	if (!r)
		return log_err(-ENOMEM, "cannot answer probes");
	r->settings = *settings;
	r->is_open = true;
	r->connections_max = responder_most();
	r->listen_fds[GATE_FAMILY_IPV4] = r->listen_fds[GATE_FAMILY_IPV6] = -1;
	TAILQ_INIT(&r->connections);
	n = responder_open(r);
	if (n < 0)
		return n;
	*out = TAKE_PTR(r);
	return 0;
}

void responder_free(struct responder **r)
{
	if (!*r)
		return;
	while (!TAILQ_EMPTY(&(*r)->connections))
		connection_reset(TAILQ_FIRST(&(*r)->connections));
	for (int i = 0; i < GATE_FAMILIES; i++) {
		if ((*r)->acceptable[i])
			event_free((*r)->acceptable[i]);
		closep(&(*r)->listen_fds[i]);
	}
	timer_free(&(*r)->resume);
	selfcert_free(&(*r)->server);
	selfcert_free(&(*r)->client);
	free(*r);
	*r = NULL;
}

int responder_listen_fd(const struct responder *r, enum gate_family family)
{
	return r->listen_fds[family];
}

void responder_release(struct responder *r, bool is_open)
{
	struct connection *c, *next;

	r->is_open = is_open;
	if (!is_open)
		return;
	for (c = TAILQ_FIRST(&r->connections); c; c = next) {
		next = TAILQ_NEXT(c, link);
		if (c->state == RESPONDER_WAITING)
			connection_connect(c);
	}
}

static bool connection_is_busy(const struct connection *c)
{
	if (c->state == RESPONDER_RELAYED)
		return relay_is_busy(c->relay);
	return c->state == RESPONDER_UNACKED || c->state == RESPONDER_WAITING ||
	       c->state == RESPONDER_CONNECTING;
}

bool responder_is_busy(const struct responder *r)
{
	const struct connection *c;

	TAILQ_FOREACH(c, &r->connections, link)
	{
		if (connection_is_busy(c))
			return true;
	}
	return false;
}

const struct responder_counters *responder_counters(const struct responder *r)
{
	return &r->counters;
}
