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
	struct bufferevent *stream;
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

void relay_reset(struct bufferevent **stream)
{
	const struct linger at_once = { .l_onoff = 1 };
	int fd;

	if (!*stream)
		return;
	fd = bufferevent_getfd(*stream);
	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	bufferevent_free(*stream);
	*stream = NULL;
}

void relay_free(struct relay **relay)
{
	if (!*relay)
		return;
	for (size_t i = 0; i < ARRAY_LEN((*relay)->ends); i++)
		relay_reset(&(*relay)->ends[i].stream);
	free(*relay);
	*relay = NULL;
}

/* Both have said all they had: closed without a reset. */
static void relay_end_well(struct relay *relay)
{
	for (size_t i = 0; i < ARRAY_LEN(relay->ends); i++)
		bufferevent_free(relay->ends[i].stream);
	relay->done(relay->arg);
	free(relay);
}

static void relay_end_badly(struct relay *relay)
{
	relay_done_fn done = relay->done;
	void *arg = relay->arg;

	relay_free(&relay);
	done(arg);
}

void relay_shut_down(struct bufferevent *stream)
{
	SSL *ssl = bufferevent_openssl_get_ssl(stream);

	if (ssl)
		SSL_shutdown(ssl);
	shutdown(bufferevent_getfd(stream), SHUT_WR);
}

/* true: the relay is gone. */
static bool relay_settle(struct relay_end *end)
{
	struct relay_end *to = end->other;
	struct evbuffer *pending = bufferevent_get_output(to->stream);

	if (end->has_ended && !to->is_shut_down && evbuffer_get_length(pending) == 0) {
		to->is_shut_down = true;
		relay_shut_down(to->stream);
	}
	if (!end->is_shut_down || !to->is_shut_down)
		return false;
	relay_end_well(end->relay);
	return true;
}

/* As much as there is room for, beside what the other end has yet to take. */
static void relay_read_on(struct relay_end *end)
{
	size_t pending = evbuffer_get_length(bufferevent_get_output(end->other->stream));

	if (end->has_ended || pending >= RELAY_BUFFER_MAX) {
		bufferevent_disable(end->stream, EV_READ);
		return;
	}
	bufferevent_setwatermark(end->stream, EV_READ, 0, RELAY_BUFFER_MAX - pending);
	bufferevent_enable(end->stream, EV_READ);
}

static void relay_pass_on(struct relay_end *end)
{
	struct evbuffer *input = bufferevent_get_input(end->stream);

	if (evbuffer_get_length(input)) {
		end->relay->last = end;
		end->relay->last_ns = monotonic_ns();
	}
	evbuffer_add_buffer(bufferevent_get_output(end->other->stream), input);
	relay_read_on(end);
}

static void relay_on_read(struct bufferevent *stream, void *arg)
{
	(void)stream;
	relay_pass_on(arg);
}

/* All has been written: there is room again. */
static void relay_on_written(struct bufferevent *stream, void *arg)
{
	struct relay_end *end = arg;

	(void)stream;
	if (relay_settle(end->other))
		return;
	relay_read_on(end->other);
}

static void relay_on_event(struct bufferevent *stream, short what, void *arg)
{
	struct relay_end *end = arg;

	(void)stream;
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

static void relay_take(struct relay *relay, size_t i, struct bufferevent *stream)
{
	const int on = 1, idle_s = RELAY_ALIVE_IDLE_S, interval_s = RELAY_ALIVE_INTERVAL_S;
	int fd = bufferevent_getfd(stream);
	struct relay_end *end = &relay->ends[i];

	*end = (struct relay_end){
		.relay = relay,
		.stream = stream,
		.other = &relay->ends[1 - i],
	};
	bufferevent_setcb(stream, relay_on_read, relay_on_written, relay_on_event, end);
	bufferevent_set_timeouts(stream, NULL, NULL);
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
}

int relay_start(struct relay **out, struct bufferevent *client, struct bufferevent *application,
		relay_done_fn done, void *arg)
{
	struct relay *relay = calloc(1, sizeof(*relay));

	if (!relay)
		return -ENOMEM;
	relay->done = done;
	relay->arg = arg;
	relay->last = &relay->ends[0];
	relay_take(relay, 0, client);
	relay_take(relay, 1, application);
	for (size_t i = 0; i < ARRAY_LEN(relay->ends); i++) {
		bufferevent_enable(relay->ends[i].stream, EV_WRITE);
		relay_pass_on(&relay->ends[i]);
	}
	*out = relay;
	return 0;
}

bool relay_is_busy(const struct relay *relay)
{
	for (size_t i = 0; i < ARRAY_LEN(relay->ends); i++) {
		if (evbuffer_get_length(bufferevent_get_output(relay->ends[i].stream)))
			return true;
	}
	return relay->last == &relay->ends[0] || monotonic_ns() - relay->last_ns < RELAY_REST_NS;
}
