/* SPDX-License-Identifier: MIT */
/* libcurl's multi interface on the event loop: many transfers, none of which blocks. */
#ifndef DOZE_HTTP_H
#define DOZE_HTTP_H

#include <curl/curl.h>

struct event_base;
struct http;

/* The caller owns *out. -ENOMEM, logged. */
int http_new(struct http **out, struct event_base *base);

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
};
int http_start(struct http *h, CURL *easy, struct http_transfer *transfer);

/* Takes a transfer out of the loop, without a call. */
void http_cancel(struct http *h, CURL *easy);

#endif
