/* SPDX-License-Identifier: MIT */
/*
 * One pod of the node, from the day the API server tells of it to the day it is gone.
 *
 *   OUT -----------> SEATED    it is ours and ready: the gate is in front of it
 *    ^                 |
 *    |                 | it is no longer ours, or not as it was: its containers, its annotations
 *    '--- LEAVING <----'       no gate; its full size is asked for until everybody agrees
 *
 * A pod that an earlier doze has left asleep is SEATED asleep, if nothing has happened to it, or
 * else LEAVING first. One that is refused for a reason that may pass is tried again, less and less.
 */
#ifndef DOZE_NODE_POD_H
#define DOZE_NODE_POD_H

#include "cgroup/cgroup_mounts.h"
#include "config/config.h"
#include "kube/kube.h"
#include "kube/kube_event.h"
#include "kube/kube_pod.h"
#include "target/daemon.h"
#include "target/wake_queue.h"

#define NODE_POD_UID_MAX 64

struct node_pod;
struct watchdog;

/* What all residents share; borrowed, and outliving them. */
struct node_pod_node {
	struct daemon *daemon;
	struct kube *kube;
	struct kube_events *events;
	struct wake_queue *wakes;
	struct watchdog *watchdog;
	const struct config *defaults;
	const struct cgroup_mounts *mounts;
	enum gate_source host_kind; /* pod/pod_target.h */
	bool uninstalls;	    /* nobody is seated: who was asleep gets the full size */
	void (*woke)(void *arg, struct node_pod *r);
	void *arg;
};

/* The caller owns *out. -ENOMEM, logged. */
int node_pod_new(struct node_pod **out, const struct node_pod_node *node, const char *uid);

/* Neither wakes nor opens anything: see node_pod_forget() and node_pod_stop(). */
void node_pod_free(struct node_pod **r);

/* The pod as it is now; the callee's. */
void node_pod_put(struct node_pod *r, struct kube_pod *pod);

/* The pod is gone, and so is everything that was kept of it. */
void node_pod_forget(struct node_pod *r);

/* doze ends: wake: the full size, which takes its time; else it sleeps on (target_abandon()). */
void node_pod_stop(struct node_pod *r, bool wakes);

/* Whether all that was begun is over. */
bool node_pod_is_settled(const struct node_pod *r);

/* Another member of its group has woken. */
void node_pod_wake(struct node_pod *r, const char *reason);

/* NULL: none. */
const char *node_pod_group(const struct node_pod *r);
const char *node_pod_namespace(const struct node_pod *r);

#endif
