/* SPDX-License-Identifier: MIT */
/*
 * Resizes the containers of a pod through the API server: PATCH pods/NAME/resize.
 *
 *   down  GET the pod (its full size may have changed), write the state file, PATCH, GET until the
 *         kubelet has actuated it
 *   up    at once, also while a down is in flight. Burstable: the limits alone, which nobody has to
 *         grant; full is reached with the answer, and the requests are asked for afterwards, again
 *         and again. Guaranteed: both, and full is reached when the kubelet has granted it.
 *
 * A kubelet that finds the asleep size infeasible, or puts it off, has refused it (-EINVAL): the
 * spec is given back its full size, and for a while each further sleep is refused unasked.
 *
 * Whatever order the server has seen them in: while awake the pod is read until its spec asks for
 * the full size and the kubelet has actuated it.
 */
#ifndef DOZE_BACKEND_KUBE_H
#define DOZE_BACKEND_KUBE_H

#include "backend/backend.h"
#include "backend/kube_prepare.h"

struct event_base;
struct backend_kube;

struct backend_kube_settings {
	const char *namespace, *name; /* of the pod; borrowed */
	const char *uid;	      /* the same; NULL: that of the first pod that is read */
	const char *state_file;	      /* borrowed */
	/*
	 * The caller watches the pod: while it sleeps nobody is asked, and neither restarted() nor
	 * gone() is called.
	 */
	bool is_watched;
	struct kube_size_choice choice; /* borrowed */
	/* A container was started anew while asleep: it has the asleep size, and must grow. */
	void (*restarted)(void *arg);
	/* The pod is gone, or going. */
	void (*gone)(void *arg);
	/* The cluster refuses something, which the log was told as well. NULL: nobody cares. */
	void (*problem)(void *arg, const char *reason, const char *message);
	void *arg;
};

/* kube is borrowed. The caller owns *out. -ENOMEM, logged. */
int backend_kube_new(struct backend_kube **out, struct event_base *base, struct kube *kube,
		     const struct backend_kube_settings *settings);
void backend_kube_free(struct backend_kube **b);

struct backend *backend_kube_as_backend(struct backend_kube *b);

/* As backend/kube_prepare.h has it. A resize cancels it. */
int backend_kube_prepare(struct backend_kube *b, kube_prepare_fn done, void *arg);

/*
 * Instead of preparing, for a pod that is known and a server that has pods/resize: asks nobody.
 * Whether the server allows the sizes shows when the pod first falls asleep. -EINVAL, with a
 * sentence in error, if this pod cannot be put to sleep through the server; -ENODATA, if it sleeps
 * already, and its full size is not known. kept is the pod as it was before it fell asleep, which
 * counts if the state file is lost; or NULL.
 */
int backend_kube_adopt(struct backend_kube *b, const struct kube_pod *pod,
		       const struct kube_pod *kept, char error[KUBE_SIZE_ERROR_MAX]);

/*
 * After the adoption of a pod that was kept (is_kept): the same pod as the server has it now, which
 * may have its full size. While a resize is under way the server is asked anyway.
 */
void backend_kube_confirm(struct backend_kube *b, const struct kube_pod *pod);

/* The containers that are put to sleep, once prepared or adopted. */
const struct kube_sizes *backend_kube_sizes(const struct backend_kube *b);

/* Whether the pod has its full size, requests and all, as far as is known. */
bool backend_kube_is_full(const struct backend_kube *b);

/* The same, and no patch of ours may be carried out later. Bounded by the time of a doubt. */
bool backend_kube_is_settled(const struct backend_kube *b);

#endif
