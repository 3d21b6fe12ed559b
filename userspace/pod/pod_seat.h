/* SPDX-License-Identifier: MIT */
/*
 * The gate in front of one pod: the target that its spec and settings make, in the network
 * namespace of one of its processes.
 */
#ifndef DOZE_POD_SEAT_H
#define DOZE_POD_SEAT_H

#include "cgroup/cgroup_mounts.h"
#include "pod/node_plan.h"
#include "pod/pod_target.h"
#include "target/target_seat.h"

#define POD_SEAT_ERROR_MAX NODE_PLAN_ERROR_MAX

/* All borrowed, and outliving the seat. */
struct pod_seat_settings {
	struct daemon *daemon;
	struct wake_queue *wakes;
	struct backend *backend;
	const struct config *config;	    /* of the pod */
	const struct cgroup_mounts *mounts; /* where its processes are */
	const char *full_name;
	enum gate_source host_kind; /* pod/pod_target.h */
	void (*woke)(void *arg);
	void *arg;
};

struct pod_seat {
	struct target *target; /* NULL: it is closed */
	struct target_seat seat;
	struct pod_target spec;
};

#define POD_SEAT_CLOSED                                                                            \
	{                                                                                          \
		.seat = TARGET_SEAT_CLOSED                                                         \
	}

/*
 * pid: a process of its containers, or -ESRCH. The target is there afterwards, and not started.
 * -errno with a sentence in error; s is closed then.
 */
int pod_seat_open(struct pod_seat *s, const struct pod_seat_settings *settings,
		  const struct kube_pod *pod, const struct node_plan *plan, pid_t pid,
		  char error[POD_SEAT_ERROR_MAX]);

/* Wakes the target, unless it was stopped or abandoned before. */
void pod_seat_close(struct pod_seat *s);

#endif
