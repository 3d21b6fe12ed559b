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

#include "gate.h"
#include "probe/connection.h"

struct responder;

/* The caller owns *out. Logs its errors, -errno. */
int responder_new(struct responder **out, const struct connection_settings *settings);
void responder_free(struct responder **responder);

/* The listening socket of a family; -1: this machine has none of it. */
int responder_listen_fd(const struct responder *responder, enum gate_family family);

/* The gate is open (true): clients that wait are carried on, later ones at once; or closed. */
void responder_release(struct responder *responder, bool is_open);

/* Somebody waits for an answer, by us or by the application. */
bool responder_is_busy(const struct responder *responder);

/* Whether that connection, which has a port of the target, is ours, and no client's so far. */
bool responder_answers(const struct responder *responder, const struct gate_flow *flow);

/* An accepted connection, as if it had been steered here. Takes fd. */
void responder_adopt(struct responder *responder, int fd);

const struct connection_counters *responder_counters(const struct responder *responder);

#endif
