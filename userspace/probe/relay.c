// SPDX-License-Identifier: MIT
/* Two ends, each of which reads as long as the other has room. */
#include "probe/relay.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/util.h"

#define RELAY_ALIVE_IDLE_S     60
#define RELAY_ALIVE_INTERVAL_S 15

/* After the application has spoken more may come. */
#define RELAY_REST_NS (300 * NS_PER_MS)

struct relay_end {
	struct relay *relay;
	struct bufferevent *connection;
	struct relay_end *other;
	bool has_ended;	   /* it sends nothing more */
	bool is_shut_down; /* it is sent nothing more */
};

struct relay {
	struct relay_end ends[2]; /* the client's, and the application's */
	struct relay_end *last;	  /* who has spoken last; at first the client, who has come */
	uint64_t last_ns;
	relay_done_fn done;
	void *arg;
};

void relay_reset(struct bufferevent **connection)
{
	const struct linger at_once = { .l_onoff = 1 };
	int fd;

	if (!*connection)
		return;
	fd = bufferevent_getfd(*connection);
	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	bufferevent_free(*connection);
	*connection = NULL;
}

void relay_free(struct relay **r)
{
	if (!*r)
		return;
	for (size_t i = 0; i < ARRAY_LEN((*r)->ends); i++)
		relay_reset(&(*r)->ends[i].connection);
	free(*r);
	*r = NULL;
}

/* Both have said all they had: closed without a reset. */
static void relay_end_well(struct relay *r)
{
	for (size_t i = 0; i < ARRAY_LEN(r->ends); i++)
		bufferevent_free(r->ends[i].connection);
	r->done(r->arg);
	free(r);
}

static void relay_end_badly(struct relay *r)
{
	relay_done_fn done = r->done;
	void *arg = r->arg;

	relay_free(&r);
	done(arg);
}

static void relay_shut_down(struct relay_end *end)
{
	SSL *ssl = bufferevent_openssl_get_ssl(end->connection);

	end->is_shut_down = true;
	if (ssl)
		SSL_shutdown(ssl);
	shutdown(bufferevent_getfd(end->connection), SHUT_WR);
}

/* true: the relay is gone. */
static bool relay_settle(struct relay_end *end)
{
	struct relay_end *to = end->other;
	struct evbuffer *pending = bufferevent_get_output(to->connection);

	if (end->has_ended && !to->is_shut_down && evbuffer_get_length(pending) == 0)
		relay_shut_down(to);
	if (!end->is_shut_down || !to->is_shut_down)
		return false;
	relay_end_well(end->relay);
	return true;
}

/* As much as there is room for, beside what the other end has yet to take. */
static void relay_read_on(struct relay_end *end)
{
	size_t pending = evbuffer_get_length(bufferevent_get_output(end->other->connection));

	if (end->has_ended || pending >= RELAY_BUFFER_MAX) {
		bufferevent_disable(end->connection, EV_READ);
		return;
	}
	bufferevent_setwatermark(end->connection, EV_READ, 0, RELAY_BUFFER_MAX - pending);
	bufferevent_enable(end->connection, EV_READ);
}

static void relay_pass_on(struct relay_end *end)
{
	struct evbuffer *input = bufferevent_get_input(end->connection);

	if (evbuffer_get_length(input)) {
		end->relay->last = end;
		end->relay->last_ns = monotonic_ns();
	}
	evbuffer_add_buffer(bufferevent_get_output(end->other->connection), input);
	relay_read_on(end);
}

static void relay_on_read(struct bufferevent *connection, void *arg)
{
	(void)connection;
	relay_pass_on(arg);
}

/* All has been written: there is room again. */
static void relay_on_written(struct bufferevent *connection, void *arg)
{
	struct relay_end *end = arg;

	(void)connection;
	if (relay_settle(end->other))
		return;
	relay_read_on(end->other);
}

static void relay_on_event(struct bufferevent *connection, short what, void *arg)
{
	struct relay_end *end = arg;

	(void)connection;
	if (what & BEV_EVENT_CONNECTED)
		return; /* the handshake of TLS is over */
	if (!(what & BEV_EVENT_EOF)) {
		relay_end_badly(end->relay);
		return;
	}
	end->has_ended = true;
	relay_pass_on(end);
	relay_settle(end);
}

static void relay_keep_alive(int fd)
{
	const int on = 1, idle_s = RELAY_ALIVE_IDLE_S, interval_s = RELAY_ALIVE_INTERVAL_S;

	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
}

static void relay_take(struct relay *r, size_t i, struct bufferevent *connection)
{
	struct relay_end *end = &r->ends[i];

	*end = (struct relay_end){
		.relay = r,
		.connection = connection,
		.other = &r->ends[1 - i],
	};
	bufferevent_setcb(connection, relay_on_read, relay_on_written, relay_on_event, end);
	bufferevent_set_timeouts(connection, NULL, NULL);
	relay_keep_alive(bufferevent_getfd(connection));
}

int relay_start(struct relay **out, struct bufferevent *client, struct bufferevent *application,
		relay_done_fn done, void *arg)
{
	struct relay *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->done = done;
	r->arg = arg;
	r->last = &r->ends[0];
	relay_take(r, 0, client);
	relay_take(r, 1, application);
	for (size_t i = 0; i < ARRAY_LEN(r->ends); i++) {
		bufferevent_enable(r->ends[i].connection, EV_WRITE);
		relay_pass_on(&r->ends[i]);
	}
	*out = r;
	return 0;
}

bool relay_is_busy(const struct relay *r)
{
	for (size_t i = 0; i < ARRAY_LEN(r->ends); i++) {
		if (evbuffer_get_length(bufferevent_get_output(r->ends[i].connection)))
			return true;
	}
	return r->last == &r->ends[0] || monotonic_ns() - r->last_ns < RELAY_REST_NS;
}
