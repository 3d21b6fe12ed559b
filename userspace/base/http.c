// SPDX-License-Identifier: MIT
/* As libcurl-multi(3) describes it: libcurl tells which sockets and timers to wait for. */
#include "base/http.h"

#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#include "base/log.h"
#include "base/timer.h"
#include "base/util.h"

struct http_socket {
	curl_socket_t fd;
	uint64_t cookie; /* of the kernel's: no other socket ever has it */
	struct http_socket *prev, *next;
};

struct http {
	CURLM *multi;
	struct event_base *base;
	struct timer *timer;
	struct timer *later; /* reports the transfers that http_break_silent() has ended */
	struct http_transfer *turns;
	struct http_limits limits;
	struct http_socket *sockets;
};

/* --- turns and ends --- */

static void http_leave_turns(struct http *h, struct http_transfer *transfer)
{
	if (!transfer || !transfer->wants_turn)
		return;
	transfer->wants_turn = false;
	DL_DELETE(h->turns, transfer);
}

static void http_take_turns(struct http *h)
{
	while (h->turns) {
		struct http_transfer *transfer = h->turns;

		http_leave_turns(h, transfer);
		transfer->turn(transfer->arg);
	}
}

static void http_finish(struct http *h)
{
	CURLMsg *message;
	int left;

	http_take_turns(h);
	while ((message = curl_multi_info_read(h->multi, &left))) {
		CURL *easy = message->easy_handle;
		CURLcode result = message->data.result;
		struct http_transfer *transfer = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&transfer);
		curl_multi_remove_handle(h->multi, easy);
		transfer->done(transfer->arg, easy, result);
		http_take_turns(h); /* done() may have broken other connections */
	}
}

/* --- what libcurl waits for --- */

static void http_on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct http *h = arg;
	int action = (what & EV_READ ? CURL_CSELECT_IN : 0) |
		     (what & EV_WRITE ? CURL_CSELECT_OUT : 0);
	int running;

	curl_multi_socket_action(h->multi, fd, action, &running);
	http_finish(h);
}

static void http_on_timer(void *arg)
{
	struct http *h = arg;
	int running;

	curl_multi_socket_action(h->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	http_finish(h);
}

static int http_set_timer(CURLM *multi, long timeout_ms, void *arg)
{
	struct http *h = arg;

	(void)multi;
	if (timeout_ms < 0)
		timer_stop(h->timer);
	else
		timer_in_ns(h->timer, (uint64_t)timeout_ms * NS_PER_MS);
	return 0;
}

static void http_on_later(void *arg)
{
	http_finish(arg);
}

/* A socket's event is kept as its curl_multi_assign() pointer. */
static int http_set_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *assigned)
{
	struct http *h = arg;
	struct event *event = assigned;
	short wanted = EV_PERSIST;

	(void)easy;
	if (event)
		event_free(event);
	event = NULL;
	if (what != CURL_POLL_REMOVE) {
		wanted |= what & CURL_POLL_IN ? EV_READ : 0;
		wanted |= what & CURL_POLL_OUT ? EV_WRITE : 0;
		event = event_new(h->base, fd, wanted, http_on_socket, h);
		if (event)
			event_add(event, NULL);
	}
	curl_multi_assign(h->multi, fd, event);
	return 0;
}

/* --- connections --- */

/*
 * libcurl does not tell when it closes a socket that has not connected yet. Its descriptor may be
 * somebody else's by now.
 */
static uint64_t http_cookie(curl_socket_t fd)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) == 0 ? cookie : 0;
}

static void http_forget_socket(struct http *h, struct http_socket *s)
{
	DL_DELETE(h->sockets, s);
	free(s);
}

static void http_forget_closed(struct http *h)
{
	struct http_socket *s, *next;

	DL_FOREACH_SAFE(h->sockets, s, next)
	{
		if (http_cookie(s->fd) != s->cookie)
			http_forget_socket(h, s);
	}
}

/*
 * Without limits TCP would send for a quarter of an hour to a server that has lost its power, or
 * through a NAT that has forgotten the connection. The kernel keeps these limits without waking us.
 */
static int http_on_open(void *arg, curl_socket_t fd, curlsocktype purpose)
{
	struct http *h = arg;
	struct http_socket *s = calloc(1, sizeof(*s));
	const int on = 1;

	(void)purpose;
	if (!s)
		return CURL_SOCKOPT_ERROR;
	http_forget_closed(h);
	s->fd = fd;
	s->cookie = http_cookie(fd);
	DL_APPEND(h->sockets, s);
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &h->limits.keepalive_s, sizeof(int));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &h->limits.interval_s, sizeof(int));
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &h->limits.unacked_ms, sizeof(int));
	return CURL_SOCKOPT_OK;
}

static int http_on_close(void *arg, curl_socket_t fd)
{
	struct http *h = arg;
	struct http_socket *s;

	DL_SEARCH_SCALAR(h->sockets, s, fd, fd);
	if (s)
		http_forget_socket(h, s);
	return close(fd);
}

static bool http_is_silent(const struct http_socket *s, unsigned int silence_ms)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	return getsockopt(s->fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
	       info.tcpi_state == TCP_ESTABLISHED && info.tcpi_last_data_recv >= silence_ms;
}

static struct http_socket *http_find_silent(struct http *h, unsigned int silence_ms)
{
	struct http_socket *s;

	DL_FOREACH(h->sockets, s)
	{
		if (http_is_silent(s, silence_ms))
			return s;
	}
	return NULL;
}

/* libcurl finds a socket that is shut down as one that its peer has closed. */
void http_break_silent(struct http *h, unsigned int waited_ms)
{
	struct http_socket *s;
	int running;

	http_forget_closed(h);
	while ((s = http_find_silent(h, waited_ms / 2))) {
		curl_socket_t fd = s->fd;

		log_debug("connection is taken for dead", "waited_ms=%u", waited_ms);
		shutdown(fd, SHUT_RDWR); /* ends TCP_ESTABLISHED: it is not found again */
		curl_multi_socket_action(h->multi, fd, CURL_CSELECT_IN | CURL_CSELECT_ERR,
					 &running);
	}
	timer_in_ns(h->later, 0);
}

/* --- opening, closing, starting --- */

int http_new(struct http **out, struct event_base *base, const struct http_limits *limits)
{
	static const struct http_limits usual = {
		.keepalive_s = 10,
		.interval_s = 5,
		.unacked_ms = 10000,
	};
	_cleanup_(http_free) struct http *h = calloc(1, sizeof(*h));

	if (!h)
		return log_err(-ENOMEM, "cannot set up libcurl");
	h->base = base;
	h->limits = limits ? *limits : usual;
	h->multi = curl_multi_init();
	h->timer = timer_new(base, http_on_timer, h);
	h->later = timer_new(base, http_on_later, h);
	if (!h->multi || !h->timer || !h->later)
		return log_err(-ENOMEM, "cannot set up libcurl");
	curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, http_set_socket);
	curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h);
	curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, http_set_timer);
	curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h);
	*out = TAKE_PTR(h);
	return 0;
}

void http_free(struct http **h)
{
	struct http_socket *s, *next;

	if (!*h)
		return;
	if ((*h)->multi)
		curl_multi_cleanup((*h)->multi);
	DL_FOREACH_SAFE((*h)->sockets, s, next)
	{
		http_forget_socket(*h, s);
	}
	timer_free(&(*h)->timer);
	timer_free(&(*h)->later);
	free(*h);
	*h = NULL;
}

int http_start(struct http *h, CURL *easy, struct http_transfer *transfer)
{
	CURLMcode r;

	curl_easy_setopt(easy, CURLOPT_PRIVATE, (void *)transfer);
	curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, http_on_open);
	curl_easy_setopt(easy, CURLOPT_SOCKOPTDATA, h);
	curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, http_on_close);
	curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, h);
	r = curl_multi_add_handle(h->multi, easy);
	if (r != CURLM_OK)
		return log_err(-EIO, "cannot start a request: %s", curl_multi_strerror(r));
	return 0;
}

void http_want_turn(struct http *h, struct http_transfer *transfer)
{
	if (transfer->wants_turn)
		return;
	transfer->wants_turn = true;
	DL_APPEND(h->turns, transfer);
}

void http_cancel(struct http *h, CURL *easy)
{
	struct http_transfer *transfer = NULL;

	if (curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&transfer) == CURLE_OK)
		http_leave_turns(h, transfer);
	curl_multi_remove_handle(h->multi, easy);
}
