/* SPDX-License-Identifier: MIT */
/*
 * From a pod and its settings to the settings of its target: which ports are watched, how readiness
 * is asked, where probes come from and go to. In two steps: what the pod says, and what its
 * network namespace says.
 */
#ifndef DOZE_POD_TARGET_H
#define DOZE_POD_TARGET_H

#include "base/netns.h"
#include "config/config.h"
#include "config/target_config.h"
#include "kube/kube_pod.h"

#define POD_TARGET_ERROR_MAX 512

/* What the settings point into; it stays where it is. */
struct pod_target {
	struct target_config config;
	struct ready_spec ready; /* its strings are copies: */
	char *path, *service, *headers[READY_HEADERS_MAX];
	char *agents[TARGET_CONFIG_AGENTS_MAX];
	size_t agents_len;
	enum gate_source host_kind;			  /* what the node's addresses are */
	bool has_own_netns;				  /* not the node's */
	struct gate_addr addresses[KUBE_POD_IPS_MAX + 1]; /* the pod's; room for its namespace's */
	size_t addresses_len;
};

/*
 * containers are those that are put to sleep. host_kind is GATE_SOURCE_NODE where the kubelet's
 * connections are known, else GATE_SOURCE_PROBE. -EINVAL with a sentence in error that names what
 * is missing. pod_target_free() also after a failure.
 */
int pod_target_read(struct pod_target *out, const struct kube_pod *pod,
		    const struct kube_container *const *containers, size_t containers_len,
		    const struct config *config, enum gate_source host_kind,
		    char error[POD_TARGET_ERROR_MAX]);

/* Fills in out->config.settings. config is borrowed, and outlives the target. */
void pod_target_fill(struct pod_target *out, const struct netns *ns, const struct config *config);

void pod_target_free(struct pod_target *t);

#endif
