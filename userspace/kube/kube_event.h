/* SPDX-License-Identifier: MIT */
/*
 * Events on a pod, as `kubectl describe pod` shows them: what its owner has to know, and cannot
 * read in the log of a daemon of the node.
 * https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/ (core/v1 here)
 */
#ifndef DOZE_KUBE_EVENT_H
#define DOZE_KUBE_EVENT_H

#include <stdbool.h>

#include "kube/kube.h"

struct kube_event_sender;

struct kube_event {
	const char *namespace, *name, *uid; /* of the pod */
	bool is_warning;
	const char *reason; /* UpperCamelCase, such as "InvalidAnnotation" */
	const char *message;
};

/* kube and node, its name, are borrowed. The caller owns *out. -ENOMEM, logged. */
int kube_event_sender_new(struct kube_event_sender **out, struct kube *kube, const char *node);
void kube_event_sender_free(struct kube_event_sender **e);

/* Does not wait for the answer. That it is refused is logged, the first time. */
void kube_event_send(struct kube_event_sender *e, const struct kube_event *event);

/* The body of the request; the caller free()s it. NULL: no memory. Pure: now is in seconds. */
char *kube_event_format(const struct kube_event *event, const char *node, long long now);

#endif
