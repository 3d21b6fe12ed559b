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
	int keepalive_s; /* nothing has come for so long: it is asked whether it is there, */
	int interval_s;	 /* and is asked again */
	int unacked_ms;	 /* it has not acknowledged what it was sent, or does not answer */
};

/* limits NULL: what suits an API server. The caller owns *out. -ENOMEM, logged. */
int http_new(struct http **out, struct event_base *base, const struct http_limits *limits);

/* Transfers that still run are dropped without a call. Takes NULL, leaves NULL. */
void http_free(struct http **h);

/*
 * Called when a transfer has ended; easy is no longer in the loop, and still the caller's. Never
 * called from within http_start().
 */
typedef void (*http_done_fn)(void *arg, CURL *easy, CURLcode result);

/* easy stays the caller's. Its CURLOPT_PRIVATE is used by us. -EIO, logged. */
struct http_transfer {
	http_done_fn done;
	void *arg;
	/* NULL unless http_want_turn() is called. */
	void (*turn)(void *arg);
	bool wants_turn;		   /* ours, as what follows */
	struct http_transfer *prev, *next; /* among those that want a turn */
};
int http_start(struct http *h, CURL *easy, struct http_transfer *transfer);

/*
 * For a callback of libcurl's, in which no transfer may be started or cancelled: turn() is called
 * when libcurl has returned, and before done().
 */
void http_want_turn(struct http *h, struct http_transfer *transfer);

/* Takes a transfer out of the loop, without a call. */
void http_cancel(struct http *h, CURL *easy);

/*
 * Somebody has waited in vain for that long: every connection on which nothing has come for half of
 * it is broken, and the transfers on it end with an error, though not from within. A transfer that
 * is started from now on does not meet such a connection: libcurl itself would go on using one of
 * HTTP/2 on which a transfer has timed out. Not for a callback of libcurl's.
 */
void http_break_silent(struct http *h, unsigned int waited_ms);

#endif
