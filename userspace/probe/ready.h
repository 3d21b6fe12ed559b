/* SPDX-License-Identifier: MIT */
/*
 * Asks the application, again and again, whether it is ready. It tries every address in turn, then
 * pauses, a little longer each time. The gate lets the question through while it is closed, because
 * it is told the local port before the connect.
 */
#ifndef DOZE_READY_H
#define DOZE_READY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/http.h"
#include "base/netns.h"
#include "gate.h"

#define READY_ADDRESSES_MAX 16
#define READY_HEADERS_MAX   16

struct ready_address {
	struct gate_addr addr;
	uint16_t port;
};

enum ready_kind {
	READY_LISTENS, /* ready when somebody listens: no connection of ours goes there */
	READY_HTTP,    /* ready when GET path is answered with 200 to 399, as the kubelet has it */
	READY_GRPC,    /* ready when grpc.health.v1.Health/Check answers SERVING */
	READY_NONE,    /* not asked: ready as soon as the size is full */
};

/* What is asked. All pointers are borrowed. */
struct ready_spec {
	enum ready_kind kind;
	uint16_t port;	  /* 0: the first TCP port of the target */
	bool is_https;	  /* without a look at the certificate, as the kubelet has it */
	const char *path; /* of READY_HTTP */
	const char *headers[READY_HEADERS_MAX]; /* of READY_HTTP, "Name: value" */
	size_t headers_len;
	const char *service; /* of READY_GRPC, "" for the server as a whole */
};

struct ready_settings {
	struct ready_spec spec;
	const struct netns *ns; /* borrowed */
	/* The local port from which a try is about to connect; 0: there is no try any more. */
	void (*port_changed)(void *arg, uint16_t port);
	void (*ready)(void *arg);	 /* never from within ready_start() */
	bool (*is_listening)(void *arg); /* of READY_LISTENS */
	void *arg;
};

struct ready;

/* http is borrowed, and outlives *out. -ENOMEM, logged. */
int ready_new(struct ready **out, struct event_base *base, struct http *http,
	      const struct ready_settings *settings);
void ready_free(struct ready **ready);

/*
 * Starts afresh with at most READY_ADDRESSES_MAX addresses, and none for READY_LISTENS; ends with
 * ready() or ready_stop().
 */
void ready_start(struct ready *ready, const struct ready_address *addresses, size_t len);
void ready_stop(struct ready *ready);

#endif
