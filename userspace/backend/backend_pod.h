/* SPDX-License-Identifier: MIT */
/*
 * Resizes a pod of this node at two speeds: its cgroups at once, and its spec through the API
 * server.
 *
 *   up    thaw, write quotas and weights of pod and containers: full is reached before resize()
 *         returns. At the same time the API server is asked for the full size, until the kubelet
 *         has done it. What it actuates meanwhile on its way is overwritten again if it is less,
 *         and kept if it is more: then that is the full size.
 *   down  the API server first, until the kubelet has actuated it; then what the API server cannot
 *         do: the quota of a container without a limit, and the freezer.
 *
 * A pod that the API server cannot or may not resize sleeps by its cgroups alone; so does one that
 * it refuses to resize. The text of what full is gets written before anything is made smaller, and
 * removed when all of it is full again.
 */
#ifndef DOZE_BACKEND_POD_H
#define DOZE_BACKEND_POD_H

#include "backend/backend.h"
#include "cgroup/pod_cgroups.h"

struct event_base;

enum backend_pod_depth {
	BACKEND_POD_THROTTLE,
	BACKEND_POD_FREEZE,
	BACKEND_POD_RECLAIM, /* frozen, and later its memory is given back */
};

struct backend_pod_settings {
	const char *name; /* of the pod, for the log; borrowed */
	enum backend_pod_depth depth;
	uint64_t reclaim_after_ns;
	const char *state_file; /* borrowed */
	/* The API server refuses what cannot be done without it; NULL: nobody wants to know. */
	void (*problem)(void *arg, const char *reason, const char *message);
	void *arg;
};

/*
 * cgroups and kube (NULL: the cgroups alone) are the backend's from now on, also after a failure;
 * what kube is told of done() is its own business. is_asleep: what full is comes from the state
 * file, and must have been found there, by pod_cgroups_parse(). Logs its errors, -errno.
 */
int backend_pod_new(struct backend **out, struct event_base *base, struct pod_cgroups *cgroups,
		    struct backend *kube, const struct backend_pod_settings *settings,
		    bool is_asleep);

/* Nothing is under way any more, and everybody agrees that the size is full. */
bool backend_pod_is_settled(const struct backend *b);

/* After backend_pod_new() with is_asleep, if it is to sleep on: as deep as the settings say. */
void backend_pod_resume(struct backend *b);

/*
 * The container of that name runs with this id, or this is no news: one that was started anew has a
 * cgroup of its own, of the asleep size perhaps. It is taken in the old one's place: full at once,
 * unless the pod is about to sleep, which then has to be woken.
 */
void backend_pod_follow(struct backend *b, const char *name, const char *id);

/* Before doze goes and the pod stays asleep: it answers, slowly, since nobody is there to thaw it.
 */
void backend_pod_leave_asleep(struct backend *b);

/* The pod is being deleted: full size by the cgroups, the API server is not asked any more. */
void backend_pod_let_go(struct backend *b);

#endif
