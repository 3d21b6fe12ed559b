// SPDX-License-Identifier: MIT
/*
 * A connection is only looked at (MSG_PEEK) until it is known what it is: nothing has to be given
 * back then, whether OpenSSL goes on with it or the application does.
 */
#include "probe/connection.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/address.h"
#include "base/log.h"
#include "base/timer.h"
#include "base/util.h"
#include "probe/caller_h2.h"
#include "probe/relay.h"
#include "probe/reply.h"
#include "probe/selfcert.h"

/* A probe says what it wants at once; a caller that says half of it is taken for a client. */
#define CONNECTION_HALF_MS   250
#define CONNECTION_SILENT_MS 500
#define CONNECTION_TLS_MS    1000
#define CONNECTION_FIRST_MS  200  /* for the caller to close first what has been answered */
#define CONNECTION_CLOSE_MS  1000 /* for the caller to close after us */
#define CONNECTION_ACK_MS    1000 /* for a client of HTTP/2 to acknowledge our SETTINGS */

enum connection_state {
	CONNECTION_JUDGING,
	CONNECTION_TLS, /* judging what is inside */
	CONNECTION_ANSWERED,
	CONNECTION_ENDING,  /* we have closed; until the caller closes */
	CONNECTION_UNACKED, /* a client that has not acknowledged our SETTINGS yet */
	CONNECTION_WAITING, /* a client that waits for the gate */
	CONNECTION_CONNECTING,
	CONNECTION_RELAYED,
};

struct connection {
	struct connection_set *set;
	TAILQ_ENTRY(connection) link;
	enum connection_state state;
	struct gate_flow flow;
	struct caller_rules rules;
	int fd; /* -1: it belongs to the client's bufferevent */
	struct event *readable;
	struct timer *timer;
	size_t judged;	   /* bytes */
	bool has_settings; /* HTTP/2: we have sent ours */
	bool is_tls;
	struct bufferevent *client, *application;
	struct relay *relay;
};

/* --- the end of a connection --- */

static void connection_free(struct connection *connection)
{
	struct connection_set *set = connection->set;

	TAILQ_REMOVE(&set->connections, connection, link);
	if (set->len-- == set->len_max)
		timer_in_ns(set->has_room, 0);
	if (connection->readable)
		event_free(connection->readable);
	timer_free(&connection->timer);
	if (connection->client)
		bufferevent_free(connection->client);
	if (connection->application)
		bufferevent_free(connection->application);
	relay_free(&connection->relay);
	closep(&connection->fd);
	free(connection);
}

static void connection_reset(struct connection *connection)
{
	const struct linger at_once = { .l_onoff = 1 };

	if (connection->fd >= 0)
		setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	relay_reset(&connection->client);
	relay_reset(&connection->application);
	connection_free(connection);
}

void connection_fail(struct connection *connection, const char *reason)
{
	connection->set->counters.failed++;
	log_debug("closed a connection to the responder", "reason=\"%s\"", reason);
	connection_reset(connection);
}

static void connection_arm(struct connection *connection, unsigned int ms)
{
	timer_in_ns(connection->timer, ms * NS_PER_MS);
}

/* --- bufferevents --- */

/* A bufferevent that owns fd from now on; NULL: fd stays the caller's. */
static struct bufferevent *connection_wrap(const struct connection *connection, int fd,
					   bool is_server)
{
	struct connection_set *set = connection->set;
	SSL_CTX **context = is_server ? &set->server : &set->client;
	struct bufferevent *wrapped = NULL;
	SSL *ssl;

	if (!connection->is_tls)
		return bufferevent_socket_new(set->settings.base, fd, BEV_OPT_CLOSE_ON_FREE);
	/* A context is made when it is needed first: few targets meet TLS, and each costs 30 kB. */
	if (!*context &&
	    (is_server ? selfcert_new_server(context) : selfcert_new_client(context)) < 0)
		return NULL;
	ssl = SSL_new(*context);
	if (ssl)
		wrapped = bufferevent_openssl_socket_new(set->settings.base, fd, ssl,
							 is_server ? BUFFEREVENT_SSL_ACCEPTING
								   : BUFFEREVENT_SSL_CONNECTING,
							 BEV_OPT_CLOSE_ON_FREE);
	if (wrapped)
		bufferevent_openssl_set_allow_dirty_shutdown(wrapped, 1);
	return wrapped;
}

/* From now on the client's bytes are read, not looked at. false: the connection has failed. */
static bool connection_begin_reading(struct connection *connection)
{
	const int one = 1;

	setsockopt(connection->fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof(one));
	event_free(connection->readable);
	connection->readable = NULL;
	connection->client = connection_wrap(connection, connection->fd, true);
	if (!connection->client) {
		connection_fail(connection, "no memory");
		return false;
	}
	connection->fd = -1;
	return true;
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

/* --- probes --- */

/*
 * Who closes first keeps the port in TIME_WAIT for a minute, and ours is the application's port: it
 * could not bind it when it is started anew. A caller that knows from the answer where it ends
 * closes at once; one that waits for us to close waits for CONNECTION_FIRST_MS.
 */
static void connection_answer(struct connection *connection, const uint8_t *bytes, size_t len,
			      uint64_t *counter)
{
	(*counter)++;
	connection->state = CONNECTION_ANSWERED;
	bufferevent_setcb(connection->client, connection_drop_read, NULL, connection_on_end,
			  connection);
	connection_drop_read(connection->client, connection);
	bufferevent_enable(connection->client, EV_READ | EV_WRITE);
	bufferevent_write(connection->client, bytes, len);
	connection_arm(connection, CONNECTION_FIRST_MS);
}

static void connection_answer_http(struct connection *connection, const uint8_t *bytes, size_t len,
				   uint64_t *counter)
{
	uint8_t reply[REPLY_MAX];

	connection_answer(connection, reply, reply_http(bytes, len, reply), counter);
}

static void connection_answer_grpc(struct connection *connection, const uint8_t *bytes, size_t len)
{
	uint8_t reply[2 * REPLY_MAX];
	size_t n = connection->has_settings ? 0 : reply_h2_settings(reply);

	n += reply_grpc(reply_h2_stream(bytes, len), reply + n);
	connection_answer(connection, reply, n, &connection->set->counters.answered_grpc);
}

/* --- clients --- */

static void connection_on_relayed(void *arg)
{
	struct connection *connection = arg;

	connection->relay = NULL;
	connection_free(connection);
}

/* The client's acknowledgement is for us, and not for the application. */
static void connection_take_out_ack(struct connection *connection)
{
	struct evbuffer *input = bufferevent_get_input(connection->client);
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

static void connection_on_connected(struct bufferevent *application, short what, void *arg)
{
	struct connection *connection = arg;

	(void)application;
	if (!(what & BEV_EVENT_CONNECTED)) {
		connection_fail(connection, "the application refuses the connection");
		return;
	}
	if (connection->has_settings)
		connection_take_out_ack(connection);
	timer_stop(connection->timer);
	connection->state = CONNECTION_RELAYED;
	if (relay_start(&connection->relay, connection->client, connection->application,
			connection_on_relayed, connection) < 0) {
		connection_fail(connection, "no memory");
		return;
	}
	connection->client = NULL;
	connection->application = NULL;
}

static void connection_connect(struct connection *connection)
{
	const int one = 1;
	union address_sockaddr address;
	socklen_t len = address_to_sockaddr(&connection->flow.daddr, connection->flow.dport_be,
					    &address);
	int fd = netns_socket(connection->set->settings.ns, address.any.sa_family);

	connection->state = CONNECTION_CONNECTING;
	timer_stop(connection->timer);
	if (fd >= 0)
		connection->application = connection_wrap(connection, fd, false);
	if (!connection->application) {
		closep(&fd);
		connection_fail(connection, "no socket");
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	bufferevent_setcb(connection->application, NULL, NULL, connection_on_connected, connection);
	bufferevent_enable(connection->application, EV_READ | EV_WRITE);
	if (bufferevent_socket_connect(connection->application, &address.any, (int)len) < 0)
		connection_fail(connection, "the application cannot be reached");
}

static void connection_on_waiting_end(struct bufferevent *client, short what, void *arg)
{
	struct connection *connection = arg;

	(void)client;
	/* The relay passes on the end of the client's bytes like the bytes: it sees it again. */
	if (what & BEV_EVENT_EOF)
		bufferevent_disable(connection->client, EV_READ);
	else if (!(what & BEV_EVENT_CONNECTED))
		connection_fail(connection, "reset by the client");
}

static void connection_wait(struct connection *connection)
{
	bufferevent_setcb(connection->client, NULL, NULL, connection_on_waiting_end, connection);
	bufferevent_disable(connection->client, EV_READ);
	timer_stop(connection->timer);
	connection->state = CONNECTION_WAITING;
	if (connection->set->is_open)
		connection_connect(connection);
}

/* The gate may have opened and closed again meanwhile: then the target is woken once more. */
static void connection_end_ack(struct connection *connection)
{
	struct connection_set *set = connection->set;
	struct gate_flow flow = connection->flow;
	bool is_open = set->is_open;

	connection_wait(connection);
	if (!is_open)
		set->settings.client(set->settings.arg, &flow);
}

static void connection_on_unacked_read(struct bufferevent *client, void *arg)
{
	struct evbuffer *input = bufferevent_get_input(client);

	if (reply_h2_find_ack(evbuffer_pullup(input, -1), evbuffer_get_length(input)))
		connection_end_ack(arg);
}

/*
 * A client of HTTP/2 acknowledges the SETTINGS that we have sent. The application would take that
 * for an error, because they were not its own: we wait for it, and take it out.
 */
static void connection_wait_for_ack(struct connection *connection)
{
	connection->state = CONNECTION_UNACKED;
	bufferevent_setcb(connection->client, connection_on_unacked_read, NULL,
			  connection_on_waiting_end, connection);
	bufferevent_setwatermark(connection->client, EV_READ, 0, RELAY_BUFFER_MAX);
	bufferevent_enable(connection->client, EV_READ);
	connection_arm(connection, CONNECTION_ACK_MS);
}

static void connection_hand_over(struct connection *connection)
{
	struct connection_set *set = connection->set;
	struct gate_flow flow = connection->flow;

	if (!connection->client && !connection_begin_reading(connection))
		return;
	set->counters.handed_over++;
	if (connection->has_settings)
		connection_wait_for_ack(connection);
	else
		connection_wait(connection);
	set->settings.client(set->settings.arg, &flow);
}

/* --- judging --- */

static void connection_on_tls_read(struct bufferevent *client, void *arg)
{
	struct connection *connection = arg;
	struct evbuffer *input = bufferevent_get_input(client);
	size_t len = evbuffer_get_length(input);
	const uint8_t *bytes = evbuffer_pullup(input, -1);
	enum caller_kind kind = caller_judge(bytes, len, &connection->rules);

	if (kind == CALLER_HTTP)
		connection_answer_http(connection, bytes, len,
				       &connection->set->counters.answered_https);
	else if (kind != CALLER_UNDECIDED)
		connection_hand_over(connection);
}

static void connection_on_tls_event(struct bufferevent *client, short what, void *arg)
{
	struct connection *connection = arg;
	struct connection_set *set = connection->set;
	struct gate_flow flow = connection->flow;

	(void)client;
	if (what & BEV_EVENT_CONNECTED) {
		connection_arm(connection, CONNECTION_TLS_MS);
		return;
	}
	connection_fail(connection, "TLS has failed");
	/*
	 * A client that checks certificates refuses ours. When it tries again, the target is awake.
	 */
	set->settings.client(set->settings.arg, &flow);
}

static void connection_begin_tls(struct connection *connection)
{
	connection->state = CONNECTION_TLS;
	connection->is_tls = true;
	connection->rules.has_https = false; /* no TLS inside of TLS */
	if (!connection_begin_reading(connection))
		return;
	bufferevent_setcb(connection->client, connection_on_tls_read, NULL, connection_on_tls_event,
			  connection);
	bufferevent_enable(connection->client, EV_READ | EV_WRITE);
	connection_arm(connection, CONNECTION_TLS_MS);
}

static void connection_go_on(struct connection *connection, const uint8_t *bytes, size_t len)
{
	const int low = (int)len + 1;
	uint8_t settings[REPLY_MAX];

	if (caller_h2_begins(bytes, len) && len >= REPLY_H2_PREFACE && !connection->has_settings) {
		size_t n = reply_h2_settings(settings);

		connection->has_settings = send(connection->fd, settings, n, MSG_NOSIGNAL) ==
					   (ssize_t)n;
	}
	if (connection->judged == 0)
		connection_arm(connection, CONNECTION_HALF_MS);
	connection->judged = len;
	/* Readable when there is more, or the end. */
	setsockopt(connection->fd, SOL_SOCKET, SO_RCVLOWAT, &low, sizeof(low));
}

static void connection_judge(struct connection *connection, const uint8_t *bytes, size_t len)
{
	switch (caller_judge(bytes, len, &connection->rules)) {
	case CALLER_UNDECIDED:
		connection_go_on(connection, bytes, len);
		break;
	case CALLER_CLIENT:
		connection_hand_over(connection);
		break;
	case CALLER_TLS:
		connection_begin_tls(connection);
		break;
	case CALLER_HTTP:
		if (connection_begin_reading(connection))
			connection_answer_http(connection, bytes, len,
					       &connection->set->counters.answered_http);
		break;
	case CALLER_GRPC:
		if (connection_begin_reading(connection))
			connection_answer_grpc(connection, bytes, len);
		break;
	}
}

static void connection_on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct connection *connection = arg;
	uint8_t bytes[CALLER_BYTES_MAX];
	ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_PEEK);

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		connection_fail(connection, "reset by the caller");
	} else if (n == 0) {
		/* A probe by TCP: it has connected, which is all that it wanted to know. */
		connection->set->counters.answered_tcp++;
		connection_free(connection);
	} else if ((size_t)n == connection->judged) {
		connection_hand_over(connection); /* half a request and its end: not a probe's */
	} else {
		connection_judge(connection, bytes, (size_t)n);
	}
}

static void connection_on_timeout(void *arg)
{
	struct connection *connection = arg;

	switch (connection->state) {
	case CONNECTION_ANSWERED:
		connection->state = CONNECTION_ENDING;
		relay_shut_down(connection->client);
		connection_arm(connection, CONNECTION_CLOSE_MS);
		return;
	case CONNECTION_ENDING:
		connection_free(connection);
		return;
	case CONNECTION_UNACKED:
		connection->has_settings = false; /* it does not acknowledge: nothing to take out */
		connection_end_ack(connection);
		return;
	case CONNECTION_JUDGING:
	case CONNECTION_TLS:
		connection_hand_over(connection);
		return;
	default:
		return;
	}
}

struct connection *connection_new(struct connection_set *set, int fd)
{
	struct connection *connection = calloc(1, sizeof(*connection));

	if (!connection) {
		close(fd);
		return NULL;
	}
	connection->set = set;
	connection->fd = fd;
	TAILQ_INSERT_TAIL(&set->connections, connection, link);
	set->len++;
	connection->timer = timer_new(set->settings.base, connection_on_timeout, connection);
	connection->readable = event_new(set->settings.base, fd, EV_READ | EV_PERSIST,
					 connection_on_readable, connection);
	if (!connection->timer || !connection->readable) {
		connection_fail(connection, "no memory");
		return NULL;
	}
	return connection;
}

void connection_start(struct connection *connection, const struct gate_flow *flow)
{
	const struct connection_settings *settings = &connection->set->settings;
	const int one = 1;

	setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	/*
	 * It is on the application's port: an application that sets this as well can be started
	 * anew, and bind its port, while our connection there is open or in TIME_WAIT.
	 */
	setsockopt(connection->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	connection->flow = *flow;
	connection->rules = settings->rules(settings->arg, flow);
	event_add(connection->readable, NULL);
	connection_arm(connection, CONNECTION_SILENT_MS);
}

/* --- all of them --- */

void connection_set_release(struct connection_set *set, bool is_open)
{
	struct connection *connection, *next;

	set->is_open = is_open;
	for (connection = TAILQ_FIRST(&set->connections); is_open && connection;
	     connection = next) {
		next = TAILQ_NEXT(connection, link);
		if (connection->state == CONNECTION_WAITING)
			connection_connect(connection);
	}
}

bool connection_set_answers(const struct connection_set *set, const struct gate_flow *flow)
{
	const struct connection *connection;

	TAILQ_FOREACH(connection, &set->connections, link)
	{
		const struct gate_flow *its = &connection->flow;

		if (connection->state <= CONNECTION_ENDING && its->sport_be == flow->sport_be &&
		    its->dport_be == flow->dport_be &&
		    memcmp(&its->saddr, &flow->saddr, sizeof(its->saddr)) == 0)
			return true;
	}
	return false;
}

bool connection_set_is_busy(const struct connection_set *set)
{
	const struct connection *connection;

	TAILQ_FOREACH(connection, &set->connections, link)
	{
		switch (connection->state) {
		case CONNECTION_UNACKED:
		case CONNECTION_WAITING:
		case CONNECTION_CONNECTING:
			return true;
		case CONNECTION_RELAYED:
			if (relay_is_busy(connection->relay))
				return true;
			break;
		default:
			break;
		}
	}
	return false;
}

void connection_set_close(struct connection_set *set)
{
	while (!TAILQ_EMPTY(&set->connections))
		connection_reset(TAILQ_FIRST(&set->connections));
	selfcert_free(&set->server);
	selfcert_free(&set->client);
}
