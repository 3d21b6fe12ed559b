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
 *         do: the quota of a container without a limit, and, when no client is connected any
 *         more, the freezer and the memory.
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
struct backend_kube;
struct backend_pod;
struct kube_pod;

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
};

/*
 * cgroups and kube (NULL: the cgroups alone) are the backend's from now on, also after a failure.
 * is_asleep: the pod may be smaller than full, and cgroups know its full size already, by
 * pod_cgroups_parse() or pod_cgroups_derive_full(). Logs its errors, -errno.
 */
int backend_pod_new(struct backend_pod **out, struct event_base *base, struct pod_cgroups *cgroups,
		    struct backend_kube *kube, const struct backend_pod_settings *settings,
		    bool is_asleep);
void backend_pod_free(struct backend_pod **b);

struct backend *backend_pod_as_backend(struct backend_pod *b);

/* Whether nothing is under way, and cgroups and API server agree that the size is full. */
bool backend_pod_is_settled(const struct backend_pod *b);

/* After backend_pod_new() with is_asleep, if it is to sleep on: as deep as the settings say. */
void backend_pod_resume(struct backend_pod *b);

/*
 * The container of that name runs with this id. If it was started anew, its new cgroup, which may
 * have the asleep size, takes the old one's place. It gets the full size at once if the pod is
 * waking; if the pod sleeps, the caller has to wake it.
 */
void backend_pod_follow(struct backend_pod *b, const char *name, const char *id);

/* Before doze ends and the pod stays asleep: thaws it, so that it answers, if slowly. */
void backend_pod_leave_asleep(struct backend_pod *b);

/* As backend_kube_confirm(). */
void backend_pod_confirm(struct backend_pod *b, const struct kube_pod *pod);

/*
 * The pod is being deleted: full size by the cgroups, the API server is not asked any more. The
 * state file stays: the caller has others to remove as well.
 */
void backend_pod_let_go(struct backend_pod *b);

#endif
