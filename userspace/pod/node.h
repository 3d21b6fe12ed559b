/* SPDX-License-Identifier: MIT */
/*
 * The pods of one node: those of which an earlier doze has kept something, and those that the API
 * server tells of, each a node_pod; and which of them wake together.
 */
#ifndef DOZE_NODE_H
#define DOZE_NODE_H

#include "config/config.h"
#include "kube/kube.h"
#include "target/daemon.h"

struct node;
struct watchdog;

struct node_settings {
	const struct config *config; /* also the defaults of every pod; borrowed */
	struct watchdog *watchdog;   /* borrowed */
	/* Every pod of the first list has been put to its node_pod. May be NULL. */
	void (*listed)(void *arg);
	void *arg;
};

/* Begins to watch. daemon, its gate open, and kube are borrowed. Logs its errors, -errno. */
int node_new(struct node **out, struct daemon *daemon, struct kube *kube,
	     const struct node_settings *settings);

/* No pod is taken in any more. Pods that sleep wake, which takes time, or sleep on. */
void node_stop(struct node *n, bool wakes);

/* Whether nothing is under way. */
bool node_is_settled(const struct node *n);

/* After node_stop(). */
void node_free(struct node **n);

#endif
