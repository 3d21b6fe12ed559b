/* SPDX-License-Identifier: MIT */
/*
 * What full and asleep mean for each container of a pod, and the bodies of the patches between
 * them. Pure. The rules are Kubernetes' own (k8s.io/kubernetes pkg/apis/core/validation):
 *
 *   Guaranteed  request = limit stays so:           10m / 10m
 *   Burstable   request below limit, or the pod could turn Guaranteed:   1m / 10m
 *   BestEffort  cannot be resized at all
 *   no limit    none is added: it could never be taken away again
 *   a limit of 0 means unlimited: never sent
 */
#ifndef DOZE_KUBE_SIZE_H
#define DOZE_KUBE_SIZE_H

#include "kube/kube_pod.h"

#define KUBE_SIZE_ERROR_MAX 512

enum kube_step {
	KUBE_STEP_FULL,	  /* requests and limits */
	KUBE_STEP_LIMIT,  /* the limits alone: needs nothing from the scheduler */
	KUBE_STEP_ASLEEP, /* both */
};

struct kube_size {
	char name[64];
	bool is_sidecar;
	struct kube_cpu full;
	struct kube_cpu asleep;
	int restart_count; /* when this was planned */
	/*
	 * full is what the annotation doze.dev/full says, which anybody may have written: the API
	 * server may refuse it, and until it has granted it no cgroup gets it.
	 */
	bool is_recorded;
};

struct kube_sizes {
	char pod_uid[64];
	enum kube_qos qos;
	struct kube_size sizes[KUBE_CONTAINERS_MAX];
	size_t len;
};

struct kube_size_choice {
	const char *const *names; /* of the containers to resize */
	size_t names_len;	  /* 0: all but sidecars, proxies and own_name */
	const char *own_name;	  /* doze's own container; NULL if it is not known */
	uint32_t asleep_millicpu; /* a multiple of 10 */
	bool only_known;	  /* what an earlier doze has put to sleep alone, if known */
};

/*
 * An exec probe is run by the kubelet in the sleeping container. With 10m runc alone takes up to
 * 0.4 s to start it (20 ms with 100m), and what it does takes a hundred times as long; it fails,
 * and the container is killed (liveness, startup) or taken out of its Service (readiness), so that
 * nobody would ever wake it.
 */
#define KUBE_SIZE_EXEC_MILLICPU 100

/* What the chosen containers have asleep: as chosen, but more if one of them has an exec probe. */
uint32_t kube_size_asleep_millicpu(const struct kube_pod *pod,
				   const struct kube_size_choice *choice);

/*
 * Plans for what pod looks like now. A container that is asleep already takes its full size from
 * known (a state file's), else from the pod's annotation doze.dev/full. If it has the asleep size
 * that known says, that stays its asleep size until it has been full, whatever is chosen now, and
 * it is planned for also if it is no longer chosen. Containers that cannot be put to sleep are left
 * out, unless they were named. -EINVAL when nothing is left, and -ENODATA when the full size of a
 * sleeping container is not known, with a sentence in error, which is "" after a success.
 */
int kube_size_plan(struct kube_sizes *out, const struct kube_pod *pod,
		   const struct kube_size_choice *choice, const struct kube_sizes *known,
		   char error[KUBE_SIZE_ERROR_MAX]);

/* The sizes of a container; NULL: it is not put to sleep. sizes may be NULL: nothing is. */
const struct kube_size *kube_size_find(const struct kube_sizes *sizes, const char *name);

/*
 * The CPU limit of a container, or of the whole pod, at full size; KUBE_CPU_NONE: none. A container
 * that is not in sizes has what its spec says. The pod's is the one that the kubelet gives its
 * cgroup: the pod's own, or the sum of its containers' if all have one.
 */
int64_t kube_size_full_limit(const struct kube_sizes *sizes, const struct kube_container *c);

/* Whether the full limit of a container is known to be no more than it had, or was granted. */
bool kube_size_is_full_known(const struct kube_sizes *sizes, const char *name);
int64_t kube_size_full_pod_limit(const struct kube_sizes *sizes, const struct kube_pod *pod);

/*
 * Whether a container of that name is a proxy, or an agent that fetches secrets: the traffic of the
 * others goes through it, and perhaps ours. It sleeps only if it is named.
 */
bool kube_size_is_proxy(const char *name);

/* Whether that container is one of those to be put to sleep. */
bool kube_size_is_chosen(const struct kube_size_choice *choice, const struct kube_container *c);

/* The first patch of a wake: what nobody has to grant, if the QoS class allows it. */
enum kube_step kube_size_first_step(const struct kube_sizes *sizes);

/* A strategic merge patch, guarded by the pod's uid; the caller free()s it. NULL: no memory. */
char *kube_size_patch(const struct kube_sizes *sizes, enum kube_step step);

/*
 * Whether the pod's spec asks for that step; whether the kubelet has granted it (it may still be
 * writing the cgroups); whether it has done it. What the server does not report counts as true:
 * Kubernetes 1.33 has no observedGeneration, and older ones do not say whether a request is
 * granted.
 */
bool kube_size_is_asked(const struct kube_sizes *sizes, const struct kube_pod *pod,
			enum kube_step step);
bool kube_size_is_granted(const struct kube_sizes *sizes, const struct kube_pod *pod,
			  enum kube_step step);
bool kube_size_is_actuated(const struct kube_sizes *sizes, const struct kube_pod *pod,
			   enum kube_step step);

/* Whether the kubelet has seen the spec as it is now; it may refuse it, or do it later. */
bool kube_size_is_observed(const struct kube_pod *pod);

/* Whether a resize of these containers, by whomever, is under way: not refused, and not done. */
bool kube_size_is_moving(const struct kube_sizes *sizes, const struct kube_pod *pod);

/*
 * Whether the kubelet has found these containers started and ready, and has done what it was asked
 * for before. Only then do their cgroups say what their full size is.
 */
bool kube_size_is_settled(const struct kube_sizes *sizes, const struct kube_pod *pod);

/* Whether one of them was started anew since it was planned. */
bool kube_size_has_restarted(const struct kube_sizes *sizes, const struct kube_pod *pod);

/*
 * The state file's text, and back: what full and asleep are, for the pod of that uid. The caller
 * free()s the text. -EINVAL: it is cut, or not ours; -ESTALE: it is of another pod.
 */
char *kube_size_format(const struct kube_sizes *sizes);
int kube_size_parse(struct kube_sizes *out, const char *text, const char *pod_uid);

#endif
