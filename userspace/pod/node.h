/* SPDX-License-Identifier: MIT */
/*
 * The pods of one node: who of those that the API server tells of is a resident, and which of them
 * wake together.
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
	/* The first list of pods is complete, and so is what it has led to. May be NULL. */
	void (*listed)(void *arg);
	void *arg;
};

/* Begins to watch. daemon, its gate open, and kube are borrowed. Logs its errors, -errno. */
int node_new(struct node **out, struct daemon *daemon, struct kube *kube,
	     const struct node_settings *settings);

/* No pod is taken in any more; who sleeps sleeps on, or wakes, which takes its time. */
void node_stop(struct node *n, bool wakes);

/* Whether nothing is under way. */
bool node_is_settled(const struct node *n);

/* After node_stop(). */
void node_free(struct node **n);

#endif
