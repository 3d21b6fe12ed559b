/* SPDX-License-Identifier: MIT */
/*
 * Answers probes in the place of a target that is asleep. Connections are steered to its
 * listening sockets (gate/steer.h), with the application's address as their local one. Whatever is
 * not a probe is a client: the target is woken, and the connection carried on to it byte for
 * byte. To the application it comes from this machine then: the client's address is lost for this
 * one connection.
 *
 *   accept -> read -> caller_judge() -> probe: answer
 *                                    -> client: wake, wait for the gate, connect, relay
 */
#ifndef DOZE_RESPONDER_H
#define DOZE_RESPONDER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/netns.h"
#include "gate.h"
#include "probe/caller.h"

struct event_base;
struct responder;

struct responder_settings {
	struct event_base *base;
	const struct netns *ns; /* the target's; borrowed */
	/* How to judge what comes over a connection: saddr is the caller's, daddr the target's. */
	struct caller_rules (*rules)(void *arg, const struct gate_flow *flow);
	/*
	 * A client has come: wake the target. responder_release() is called when the gate is open,
	 * perhaps before this returns.
	 */
	void (*client)(void *arg, const struct gate_flow *flow);
	void *arg;
};

struct responder_counters {
	uint64_t answered_http;
	uint64_t answered_tcp;
	uint64_t answered_grpc;
	uint64_t answered_https;
	uint64_t handed_over; /* clients */
	uint64_t failed;      /* closed because of an error: a reset, a refused connection */
};

/* The caller owns *out. Logs its errors, -errno. */
int responder_new(struct responder **out, const struct responder_settings *settings);
void responder_free(struct responder **r);

/* The listening socket of a family; -1: this machine has none of it. */
int responder_listen_fd(const struct responder *r, enum gate_family family);

/* The gate is open (true): clients that wait are carried on, later ones at once; or closed. */
void responder_release(struct responder *r, bool is_open);

/* Somebody waits for an answer, by us or by the application. */
bool responder_is_busy(const struct responder *r);

/* An accepted connection, as if it had been steered here. Takes fd. */
void responder_adopt(struct responder *r, int fd);

const struct responder_counters *responder_counters(const struct responder *r);

#endif
