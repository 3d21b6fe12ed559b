/* SPDX-License-Identifier: MIT */
/*
 * Our own readiness probe: asks the application, again and again, whether it is ready. It tries
 * every address in turn, then pauses, a little longer each time. The gate lets it through while
 * closed, because it is told the probe's local port before the probe connects.
 */
#ifndef DOZE_READY_H
#define DOZE_READY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/http.h"
#include "base/netns.h"
#include "gate.h"

#define PROBE_ADDRESSES_MAX 16
#define PROBE_HEADERS_MAX   16

struct probe_address {
	struct gate_addr addr;
	uint16_t port;
};

enum probe_kind {
	PROBE_TCP,  /* ready when a connection is accepted */
	PROBE_HTTP, /* ready when GET path is answered with 200 to 399, as the kubelet has it */
	PROBE_GRPC, /* ready when grpc.health.v1.Health/Check answers SERVING */
	PROBE_NONE, /* not asked: ready as soon as the size is full */
};

/* What is asked. All pointers are borrowed. */
struct probe_spec {
	enum probe_kind kind;
	uint16_t port;	  /* 0: the port that the newest client wants */
	bool is_https;	  /* without a look at the certificate, as the kubelet has it */
	const char *path; /* of PROBE_HTTP */
	const char *headers[PROBE_HEADERS_MAX]; /* of PROBE_HTTP, "Name: value" */
	size_t headers_len;
	const char *service; /* of PROBE_GRPC, "" for the server as a whole */
};

/* The local port of a probe that is about to connect; 0: it is over. */
typedef void (*probe_port_fn)(void *arg, uint16_t port);
typedef void (*probe_ready_fn)(void *arg);

struct probe_settings {
	struct probe_spec spec;
	const struct netns *ns; /* borrowed */
	probe_port_fn port_changed;
	probe_ready_fn ready; /* never from within probe_start() */
	void *arg;
};

struct probe;

/* http is borrowed, and outlives the probe. -ENOMEM, logged. */
int probe_new(struct probe **out, struct event_base *base, struct http *http,
	      const struct probe_settings *settings);
void probe_free(struct probe **p);

/* Starts afresh with at most PROBE_ADDRESSES_MAX addresses; ends with ready() or probe_stop(). */
void probe_start(struct probe *p, const struct probe_address *addresses, size_t len);
void probe_stop(struct probe *p);

#endif
