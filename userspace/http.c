// SPDX-License-Identifier: MIT
/* Glue as libcurl-multi(3) describes it: curl tells which sockets and timers to wait for. */
#include "http.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <utlist.h>

#include "log.h"
#include "util.h"

struct http {
	CURLM *multi;
	struct event_base *base;
	struct event *timer;
	struct http_transfer *turns;
};

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
	}
}

static void http_on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct http *h = arg;
	int action = (what & EV_READ ? CURL_CSELECT_IN : 0) |
		     (what & EV_WRITE ? CURL_CSELECT_OUT : 0);
	int running;

	curl_multi_socket_action(h->multi, fd, action, &running);
	http_finish(h);
}

static void http_on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct http *h = arg;
	int running;

	(void)fd;
	(void)what;
	curl_multi_socket_action(h->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	http_finish(h);
}

static int http_set_timer(CURLM *multi, long timeout_ms, void *arg)
{
	struct http *h = arg;
	struct timeval in = { .tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000 };

	(void)multi;
	if (timeout_ms < 0)
		event_del(h->timer);
	else
		event_add(h->timer, &in);
	return 0;
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

int http_new(struct http **out, struct event_base *base)
{
	_cleanup_(http_free) struct http *h = calloc(1, sizeof(*h));

	if (!h)
		return log_err(-ENOMEM, "cannot set up libcurl");
	h->base = base;
	h->multi = curl_multi_init();
	h->timer = evtimer_new(base, http_on_timer, h);
	if (!h->multi || !h->timer)
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
	if (!*h)
		return;
	if ((*h)->multi)
		curl_multi_cleanup((*h)->multi);
	if ((*h)->timer)
		event_free((*h)->timer);
	free(*h);
	*h = NULL;
}

int http_start(struct http *h, CURL *easy, struct http_transfer *transfer)
{
	CURLMcode r;

	curl_easy_setopt(easy, CURLOPT_PRIVATE, (void *)transfer);
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
