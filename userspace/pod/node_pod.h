/* SPDX-License-Identifier: MIT */
/*
 * One pod of the node, from the day the API server tells of it to the day it is gone.
 *
 *   OUT -----------> SEATED    it is ours and ready: the gate is in front of it
 *    ^                 |
 *    |                 | it is not ours any more, or its containers, addresses or annotations
 *    |                 | have changed
 *    '--- LEAVING <----'       no gate; until its cgroups and the API server have its full size
 *
 * A pod that an earlier doze left asleep is SEATED asleep if nothing has happened to it since, and
 * else LEAVING first. That doze has kept it (kube/kept_pod.h), so that it is SEATED before the API
 * server tells of it; once that does, the pod goes on as the server has it. A pod that is refused
 * for a reason that may pass is tried again, in pauses that grow.
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

struct node_pod;
struct watchdog;

/* What all pods share; borrowed, and outliving them. */
struct node_pod_shared {
	struct daemon *daemon;
	struct kube *kube;
	struct kube_event_sender *events;
	struct wake_queue *wakes;
	struct watchdog *watchdog;
	const struct config *defaults;
	const struct cgroup_mounts *mounts;
	enum gate_source host_kind; /* pod/pod_target.h */
	bool uninstalls;	    /* no pod is seated; one that is asleep gets its full size */
	void (*woke)(void *arg, struct node_pod *np);
	void *arg;
};

/* The caller owns *out. -EINVAL: the uid is none; -ENOMEM. Logs its errors. */
int node_pod_new(struct node_pod **out, const struct node_pod_shared *shared, const char *uid);

/* Wakes nothing, opens no gate: see node_pod_forget() and node_pod_stop(). */
void node_pod_free(struct node_pod **np);

/* The pod as it is now; it is the callee's. */
void node_pod_put(struct node_pod *np, struct kube_pod *pod);

/*
 * Instead of a first node_pod_put(), and before one: an earlier doze has kept something of this
 * pod, and the API server has not told of it yet. If it is asleep and all is known of it, the gate
 * goes in front of it; else it gets its full size, as far as that can be told.
 */
void node_pod_adopt(struct node_pod *np);

/* Whether it was adopted, and not put since. */
bool node_pod_is_unconfirmed(const struct node_pod *np);

/*
 * The API server is away. A pod that sleeps and could not be adopted has no gate, so that its
 * cgroups are given their full size.
 */
void node_pod_fill(struct node_pod *np);

/*
 * The API server does not have this pod, and it has cgroups here: perhaps it is going, perhaps that
 * server is another cluster's. Its cgroups get their full size; what was kept of it stays.
 */
void node_pod_abandon(struct node_pod *np);

/* The pod is gone, and so is everything that was kept of it. */
void node_pod_forget(struct node_pod *np);

/* doze ends. wakes: the pod gets its full size, which takes time; else it sleeps on. */
void node_pod_stop(struct node_pod *np, bool wakes);

/* Whether all that was begun is over. */
bool node_pod_is_settled(const struct node_pod *np);

/* Another member of its group has woken. */
void node_pod_wake(struct node_pod *np, const char *reason);

/* NULL: none, or it is not seated. */
const char *node_pod_group(const struct node_pod *np);
const char *node_pod_namespace(const struct node_pod *np);

#endif
