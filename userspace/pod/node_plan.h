/* SPDX-License-Identifier: MIT */
/*
 * What doze node does with a pod, as the API server has it now. Pure.
 */
#ifndef DOZE_NODE_PLAN_H
#define DOZE_NODE_PLAN_H

#include "backend/kube_size.h"
#include "config/config.h"
#include "kube/kube_pod.h"

#define NODE_PLAN_ERROR_MAX 1024

enum node_wish {
	NODE_LEAVE_ALONE, /* it is not ours: no annotation, or it has ended */
	NODE_LET_GO,	  /* it is being deleted: its full size, at once */
	NODE_WAIT,	  /* it is ours, and not ready */
	NODE_REFUSE,	  /* it is ours, and something about it is wrong */
	NODE_SEAT,
};

struct node_plan {
	enum node_wish wish;
	struct config config; /* of NODE_SEAT and NODE_WAIT; config_free() in any case */
	const struct kube_container *containers[KUBE_CONTAINERS_MAX]; /* those to put to sleep */
	size_t containers_len;
	char error[NODE_PLAN_ERROR_MAX]; /* of NODE_REFUSE: a sentence that quotes the value */
};

/* What defaults points to, and the pod, outlive *out. */
void node_plan_read(struct node_plan *out, const struct kube_pod *pod,
		    const struct config *defaults);

/* The choice of containers that the settings make, for backend/backend_kube.h. Points into config.
 */
struct kube_size_choice node_plan_choice(const struct config *config);

/*
 * A text that differs when the pod has to be taken anew: its annotations, its containers as they
 * were started, its addresses. The caller free()s it. NULL: no memory.
 */
char *node_plan_fingerprint(const struct kube_pod *pod);

#endif
