/* SPDX-License-Identifier: MIT */
/*
 * The size of a pod that doze node takes in: what an earlier doze, which has ended or crashed, left
 * in its cgroups, in its spec and in the state directory; and the backend that is made of it.
 */
#ifndef DOZE_POD_SIZE_H
#define DOZE_POD_SIZE_H

#include "backend/backend_pod.h"
#include "cgroup/cgroup_mounts.h"
#include "kube/kube.h"
#include "kube/kube_pod.h"
#include "pod/node_plan.h"
#include "pod/pod_kept.h"

#define POD_SIZE_ERROR_MAX NODE_PLAN_ERROR_MAX

struct event_base;
struct watchdog;

/* All borrowed, and outliving the backend. */
struct pod_size_settings {
	struct event_base *base;
	struct kube *kube;
	const struct cgroup_mounts *mounts;
	struct watchdog *watchdog;
	const struct config *config; /* of the pod */
	const char *namespace, *name, *full_name;
	const struct pod_kept *kept; /* by an earlier doze */
	/* As backend/backend_kube.h and backend/backend_pod.h have them. */
	void (*restarted)(void *arg);
	void (*problem)(void *arg, const char *reason, const char *message);
	void *arg;
};

struct pod_size {
	struct backend_pod *backend; /* the caller's; NULL: there is none */
	pid_t pid;		     /* of a process of its containers; -ESRCH: there is none */
	bool may_be_small;	     /* an earlier doze, or the API server, has made it smaller */
	bool is_asleep;		     /* as that doze left it: no container was started anew since */
	bool must_mend;		     /* more is asleep than is to sleep now, or less is known */
	bool is_full_unknown;	     /* the full size of a sleeping container: see error */
};

/*
 * The plan has the containers that are to sleep. -EALREADY: a pod as an earlier doze has kept it,
 * which is awake. Else -errno with a sentence in error: -EINVAL and -ENODATA are about the pod
 * itself, another may pass.
 */
int pod_size_find(struct pod_size *out, const struct pod_size_settings *settings,
		  const struct kube_pod *pod, const struct node_plan *plan,
		  char error[POD_SIZE_ERROR_MAX]);

/*
 * Adds to the plan the containers that an earlier doze has put to sleep. If its file cannot be
 * read: those that sleep when nobody has chosen any.
 */
void pod_size_plan_kept(struct node_plan *plan, const struct kube_pod *pod, const char *quota_file);

/*
 * Whether a container of the plan is smaller than it should be, or frozen, as its cgroup and its
 * spec say: for a pod of which no earlier doze has kept anything.
 */
bool pod_size_looks_asleep(const struct cgroup_mounts *mounts, const struct kube_pod *pod,
			   const struct node_plan *plan);

#endif
