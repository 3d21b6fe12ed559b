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

#include "cgroup/cgroup.h"
#include "config/config.h"
#include "kube/kube.h"
#include "kube/kube_event.h"
#include "kube/kube_pod.h"
#include "target/daemon.h"
#include "target/wake_queue.h"

#define RESIDENT_UID_MAX 64

struct resident;
struct watchdog;

/* What all residents share; borrowed, and outliving them. */
struct resident_node {
	struct daemon *daemon;
	struct kube *kube;
	struct kube_events *events;
	struct wake_queue *wakes;
	struct watchdog *watchdog;
	const struct config *defaults;
	const struct cgroup_mounts *mounts;
	enum gate_source host_kind; /* pod/pod_target.h */
	bool uninstalls;	    /* nobody is seated: who was asleep gets the full size */
	void (*woke)(void *arg, struct resident *r);
	void *arg;
};

/* The caller owns *out. -ENOMEM, logged. */
int resident_new(struct resident **out, const struct resident_node *node, const char *uid);

/* Neither wakes nor opens anything: see resident_forget() and resident_stop(). */
void resident_free(struct resident **r);

/* The pod as it is now; the callee's. */
void resident_put(struct resident *r, struct kube_pod *pod);

/* The pod is gone, and so is everything that was kept of it. */
void resident_forget(struct resident *r);

/* doze ends: wake: the full size, which takes its time; else it sleeps on (target_abandon()). */
void resident_stop(struct resident *r, bool wakes);

/* Whether all that was begun is over. */
bool resident_is_settled(const struct resident *r);

/* Another member of its group has woken. */
void resident_wake(struct resident *r, const char *reason);

/* NULL: none. */
const char *resident_group(const struct resident *r);
const char *resident_namespace(const struct resident *r);

#endif
