/* SPDX-License-Identifier: MIT */
/*
 * One connection that was accepted in the place of a target: it is read and judged, then answered
 * or carried on to the target.
 *
 *   JUDGING -> [TLS] -> ANSWERED -> ENDING                              a probe
 *                    -> [UNACKED] -> WAITING -> CONNECTING -> RELAYED   a client
 */
#ifndef DOZE_CONNECTION_H
#define DOZE_CONNECTION_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/netns.h"
#include "gate.h"
#include "probe/caller.h"

struct connection;
struct event_base;
struct timer;

struct connection_settings {
	struct event_base *base;
	const struct netns *ns; /* the target's; borrowed */
	/* How to judge what comes over a connection: saddr is the caller's, daddr the target's. */
	struct caller_rules (*rules)(void *arg, const struct gate_flow *flow);
	/*
	 * A client has come: wake the target. Its connection is carried on when the gate is open,
	 * perhaps before this returns.
	 */
	void (*client)(void *arg, const struct gate_flow *flow);
	void *arg;
};

struct connection_counters {
	uint64_t answered_http;
	uint64_t answered_tcp;
	uint64_t answered_grpc;
	uint64_t answered_https;
	uint64_t handed_over; /* clients */
	uint64_t failed;      /* closed because of an error: a reset, a refused connection */
};

/* The connections of one target, and what they share. The responder owns it. */
struct connection_set {
	struct connection_settings settings;
	struct connection_counters counters;
	TAILQ_HEAD(, connection) connections;
	size_t len, len_max;
	struct timer *has_room; /* the responder's; due at once when one of len_max has ended */
	bool is_open;		/* the gate */
	SSL_CTX *server, *client;
};

/* Takes fd, which has been accepted. NULL: no memory, and fd is closed. */
struct connection *connection_new(struct connection_set *set, int fd);

/* flow: saddr is the caller's, daddr the target's. The connection frees itself in the end. */
void connection_start(struct connection *connection, const struct gate_flow *flow);

/* Closed with a reset, and counted as failed. Frees it. */
void connection_fail(struct connection *connection, const char *reason);

/* The gate is open (true): clients that wait are carried on, later ones at once; or closed. */
void connection_set_release(struct connection_set *set, bool is_open);

/* Somebody waits for an answer, by us or by the application. */
bool connection_set_is_busy(const struct connection_set *set);

/* Whether it is one that we judge, or have answered: no client's, as far as is known. */
bool connection_set_answers(const struct connection_set *set, const struct gate_flow *flow);

/* Resets all connections. set itself stays the caller's. */
void connection_set_close(struct connection_set *set);

#endif
