/* SPDX-License-Identifier: MIT */
/* libcurl's multi interface on the event loop: many transfers, none of which blocks. */
#ifndef DOZE_HTTP_H
#define DOZE_HTTP_H

#include <curl/curl.h>
#include <stdbool.h>

struct event_base;
struct http;

/* When the kernel takes the other end of a connection for dead, and ends it with ETIMEDOUT. */
struct http_limits {
	int keepalive_s; /* after this silence it asks whether the other end is there, */
	int interval_s;	 /* and asks again after this time */
	int unacked_ms;	 /* so long it waits for an acknowledgement of what was sent or asked */
};

/* limits NULL: what suits an API server. The caller owns *out. -ENOMEM, logged. */
int http_new(struct http **out, struct event_base *base, const struct http_limits *limits);

/* Transfers that still run are dropped without a call. Takes NULL, leaves NULL. */
void http_free(struct http **h);

/*
 * Called when a transfer has ended. easy is out of the loop then; it is still the caller's. Never
 * called from within http_start().
 */
typedef void (*http_done_fn)(void *arg, CURL *easy, CURLcode result);

struct http_transfer {
	http_done_fn done;
	void *arg;
	/* Needed only by users of http_want_turn(). */
	void (*turn)(void *arg);
	/* http.c's own: whether it is in the list of those that want a turn, and where. */
	bool wants_turn;
	struct http_transfer *prev, *next;
};

/* easy stays the caller's; CURLOPT_PRIVATE is ours. -EIO, logged. */
int http_start(struct http *h, CURL *easy, struct http_transfer *transfer);

/*
 * For libcurl's callbacks, which must not start or cancel a transfer: turn() is called when libcurl
 * has returned, and before done().
 */
void http_want_turn(struct http *h, struct http_transfer *transfer);

/* Takes a transfer out of the loop, without a call. */
void http_cancel(struct http *h, CURL *easy);

/*
 * To be called when an answer has not come within waited_ms. Breaks every connection that has been
 * silent for half of that time; the transfers on it end with an error, after this call. A transfer
 * that is started later gets another connection; libcurl alone would go on using an HTTP/2
 * connection on which a transfer has timed out. Not to be called by a callback of libcurl.
 */
void http_break_silent(struct http *h, unsigned int waited_ms);

#endif
