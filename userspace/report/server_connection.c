// SPDX-License-Identifier: MIT
/* Bufferevents. evhttp of libevent 2.1 has no bound on its connections, and tells of none. */
#include "report/server_connection.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/timer.h"
#include "base/util.h"
#include "report/server_request.h"

struct server_connection {
	struct server_connection_set *all;
	TAILQ_ENTRY(server_connection) link;
	struct bufferevent *stream;
	struct timer *end;
	bool is_answered;
	bool has_ended; /* the caller has, before it had all of its answer */
};

static void server_connection_free(struct server_connection *c)
{
	TAILQ_REMOVE(&c->all->of, c, link);
	c->all->len--;
	timer_free(&c->end);
	if (c->stream)
		bufferevent_free(c->stream);
	free(c);
}

static void server_connection_on_end(void *arg)
{
	server_connection_free(arg);
}

static void server_connection_on_event(struct bufferevent *stream, short what, void *arg)
{
	struct server_connection *c = arg;

	/* Who has asked may close its end before it has the answer. */
	c->has_ended = what & BEV_EVENT_EOF && c->is_answered &&
		       evbuffer_get_length(bufferevent_get_output(stream));
	if (!c->has_ended)
		server_connection_free(c);
}

/* --- the answer --- */

static const char *server_connection_reason(unsigned int code)
{
	switch (code) {
	case 200:
		return "OK";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 500:
		return "Internal Server Error";
	default:
		return "Bad Request";
	}
}

static void server_connection_drop_read(struct bufferevent *stream, void *arg)
{
	struct evbuffer *input = bufferevent_get_input(stream);

	(void)arg;
	evbuffer_drain(input, evbuffer_get_length(input));
}

static void server_connection_on_written(struct bufferevent *stream, void *arg)
{
	struct server_connection *c = arg;

	shutdown(bufferevent_getfd(stream), SHUT_WR);
	if (c->has_ended)
		server_connection_free(c);
}

static void server_connection_write(struct server_connection *c, const struct server_answer *answer,
				    bool is_head)
{
	struct evbuffer *out = bufferevent_get_output(c->stream);

	c->is_answered = true;
	bufferevent_setcb(c->stream, server_connection_drop_read, server_connection_on_written,
			  server_connection_on_event, c);
	server_connection_drop_read(c->stream, c);
	evbuffer_add_printf(out, "HTTP/1.1 %u %s\r\n", answer->code,
			    server_connection_reason(answer->code));
	if (answer->type)
		evbuffer_add_printf(out, "Content-Type: %s\r\n", answer->type);
	evbuffer_add_printf(out, "Content-Length: %zu\r\nConnection: close\r\n\r\n", answer->len);
	if (!is_head && answer->len)
		evbuffer_add(out, answer->body, answer->len);
}

/* --- the request --- */

static void server_connection_answer(struct server_connection *c, const char *line, size_t len)
{
	struct server_request request = { 0 };
	struct server_answer answer = { .code = server_request_parse(&request, line, len) };

	if (answer.code == 200) {
		answer.code = 404;
		c->all->answer(c->all->arg, request.path, &answer);
	}
	server_connection_write(c, &answer, request.is_head);
	free(answer.body);
}

/* The headers tell us nothing, but the answer does not come before they have. */
static void server_connection_on_read(struct bufferevent *stream, void *arg)
{
	struct evbuffer *input = bufferevent_get_input(stream);
	size_t len = evbuffer_get_length(input);
	struct evbuffer_ptr end = evbuffer_search(input, "\r\n\r\n", 4, NULL);
	const char *head;

	if (end.pos < 0 && len < SERVER_HEAD_MAX)
		return;
	head = (const char *)evbuffer_pullup(input, -1);
	if (end.pos < 0 || !head)
		server_connection_answer(arg, "", 0);
	else
		server_connection_answer(arg, head,
					 (size_t)((const char *)memchr(head, '\r', len) - head));
}

/* --- all of them --- */

static void server_connection_set_make_room(struct server_connection_set *all)
{
	struct server_connection *c;

	if (all->len < SERVER_CONNECTIONS_MAX)
		return;
	TAILQ_FOREACH(c, &all->of, link)
	{
		if (!c->is_answered)
			break;
	}
	server_connection_free(c ? c : TAILQ_FIRST(&all->of));
}

void server_connection_set_add(struct server_connection_set *all, int fd)
{
	struct server_connection *c = calloc(1, sizeof(*c));

	if (!c) {
		close(fd);
		return;
	}
	server_connection_set_make_room(all);
	c->all = all;
	TAILQ_INSERT_TAIL(&all->of, c, link);
	all->len++;
	c->end = timer_new(all->base, server_connection_on_end, c);
	c->stream = bufferevent_socket_new(all->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (!c->stream)
		close(fd);
	if (!c->stream || !c->end) {
		server_connection_free(c);
		return;
	}
	timer_in_ns(c->end, SERVER_CONNECTION_S * NS_PER_S);
	bufferevent_setcb(c->stream, server_connection_on_read, NULL, server_connection_on_event,
			  c);
	bufferevent_setwatermark(c->stream, EV_READ, 0, SERVER_HEAD_MAX);
	bufferevent_enable(c->stream, EV_READ | EV_WRITE);
}

void server_connection_set_close(struct server_connection_set *all)
{
	while (!TAILQ_EMPTY(&all->of))
		server_connection_free(TAILQ_FIRST(&all->of));
}
