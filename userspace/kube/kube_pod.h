/* SPDX-License-Identifier: MIT */
/*
 * What doze reads of a Pod object, as an API server of Kubernetes 1.27 or newer sends it. Pure:
 * text in, struct out. What is absent, or of another type than the API says, reads as absent.
 * https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/
 */
#ifndef DOZE_KUBE_POD_H
#define DOZE_KUBE_POD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kube/kube_container.h"

/* Kubernetes has no limit but the size of the object. */
#define KUBE_CONTAINERS_MAX	 256
#define KUBE_CONTAINERS_MAX_TEXT "256"
#define KUBE_HOST_IPS_MAX	 8
#define KUBE_POD_IPS_MAX	 8

enum kube_qos {
	KUBE_QOS_BEST_EFFORT,
	KUBE_QOS_BURSTABLE,
	KUBE_QOS_GUARANTEED
};

struct kube_pod {
	const char *name, *namespace, *uid;
	int64_t generation, observed_generation;
	enum kube_qos qos;
	int64_t limit_millicpu; /* of CPU for all of it: spec.resources, since 1.34 */
	int32_t priority;	/* of its PriorityClass; 0 without */
	bool is_running;	/* phase Running */
	bool has_ended;		/* phase Succeeded or Failed */
	bool is_ready;		/* condition Ready */
	bool is_terminating;
	bool has_host_network; /* it is in the node's network namespace */
	/* Condition PodResizePending: "Deferred", "Infeasible" or NULL, and why. */
	const char *pending_reason, *pending_message;
	/* Condition PodResizeInProgress with reason Error: why, else NULL. */
	const char *error_message;
	/* Annotation doze.dev/full: what full is, as the owner has written it down; or NULL. */
	const char *recorded_full;
	const char *host_ips[KUBE_HOST_IPS_MAX]; /* the node's */
	size_t host_ips_len;
	const char *pod_ips[KUBE_POD_IPS_MAX]; /* its own; with the host's network the node's */
	size_t pod_ips_len;
	struct kube_container containers[KUBE_CONTAINERS_MAX]; /* sidecars first */
	size_t containers_len;
	/* As doze has kept it (kube/kept_pod.h): the server may have another by now. */
	bool is_kept;
	void *json; /* what the strings point into */
};

/* The caller frees *out. -EINVAL: no JSON, no Pod, or without name and uid; -E2BIG. */
int kube_pod_parse(struct kube_pod **out, const char *text, size_t len);

/*
 * The same of a tree that is parsed already, as a list or a watch has it. json, a cJSON that is
 * part of no other, is the callee's, also after a failure.
 */
int kube_pod_take(struct kube_pod **out, void *json);

void kube_pod_free(struct kube_pod **pod);

/* NULL if there is none of that name. */
const struct kube_container *kube_pod_find(const struct kube_pod *pod, const char *name);

struct kube_annotation {
	const char *name, *value; /* they belong to the pod */
};

/*
 * Those whose names begin with prefix, at most max, in the pod's order; returns how many there
 * are, which may be more than max. One that is no string is left out.
 */
size_t kube_pod_annotations(const struct kube_pod *pod, const char *prefix,
			    struct kube_annotation *out, size_t max);

#endif
