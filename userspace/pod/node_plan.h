/* SPDX-License-Identifier: MIT */
/* What doze node does with a pod, as the API server has it now. Pure. */
#ifndef DOZE_NODE_PLAN_H
#define DOZE_NODE_PLAN_H

#include "backend/kube_size.h"
#include "config/config.h"
#include "kube/kube_pod.h"

#define NODE_PLAN_ERROR_MAX 1024

#define NODE_PLAN_ENABLED CONFIG_ANNOTATION_PREFIX "enabled"

enum node_plan_wish {
	NODE_PLAN_LEAVE_ALONE, /* it is not ours, or has ended */
	NODE_PLAN_LET_GO,      /* it is being deleted: its full size, at once */
	NODE_PLAN_WAIT,	       /* it is ours, and not ready */
	NODE_PLAN_REFUSE,      /* it is ours, and its annotations are wrong */
	NODE_PLAN_SEAT,	       /* it is ours, and ready: the gate goes in front of it */
};

struct node_plan {
	enum node_plan_wish wish;
	struct config config; /* of NODE_PLAN_SEAT and NODE_PLAN_WAIT; config_free() in any case */
	const struct kube_container *containers[KUBE_CONTAINERS_MAX]; /* those to put to sleep */
	size_t containers_len;
	char error[NODE_PLAN_ERROR_MAX]; /* of NODE_PLAN_REFUSE: a sentence that quotes the value */
};

/* What defaults points to, and the pod, outlive *out. */
void node_plan_read(struct node_plan *out, const struct kube_pod *pod,
		    const struct config *defaults);

/* Whether it is one of those to put to sleep; c points into the pod of the plan. */
bool node_plan_has(const struct node_plan *plan, const struct kube_container *c);

/* The containers that the settings choose, for backend/backend_kube.h. Points into config. */
struct kube_size_choice node_plan_choice(const struct config *config);

/*
 * A text that differs when the pod has to be taken anew: its annotations, its containers as they
 * were started, its addresses. The caller free()s it. NULL: no memory.
 */
char *node_plan_fingerprint(const struct kube_pod *pod);

#endif
