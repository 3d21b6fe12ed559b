// SPDX-License-Identifier: MIT
/* Ports, readiness, and where probes come from; strings are copied. */
#include "pod/pod_target.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/kube_size.h"
#include "base/cidr.h"
#include "base/log.h"
#include "base/util.h"
#include "pod/netns_gateways.h"

#define POD_TARGET_GATEWAYS_MAX 16

struct pod_target_from {
	const struct kube_pod *pod;
	const struct kube_container *const *containers;
	size_t containers_len;
};

static int pod_target_find_ports(struct pod_target *t, const struct pod_target_from *from,
				 const struct config *config, char error[POD_TARGET_ERROR_MAX])
{
	target_config_add_ports(&t->config, config);
	for (size_t i = 0; i < from->containers_len && !config->ports.len; i++) {
		const struct kube_container *c = from->containers[i];

		for (size_t n = 0; n < c->ports_len; n++)
			target_config_add_port(&t->config, c->ports[n].port, c->ports[n].protocol);
	}
	if (config->ports_most && t->config.ports_len > config->ports_most) {
		snprintf(error, POD_TARGET_ERROR_MAX,
			 "the pod '%s' has '%zu' ports, and this node watches '%u' of a pod "
			 "(--most-ports): name those that wake it by doze.dev/port",
			 from->pod->name, t->config.ports_len, config->ports_most);
		return -EINVAL;
	}
	if (t->config.ports_len)
		return 0;
	snprintf(error, POD_TARGET_ERROR_MAX,
		 "the containers of pod '%s' declare no ports: name one by --port, "
		 "or by the annotation doze.dev/port",
		 from->pod->name);
	return -EINVAL;
}

/* --- readiness --- */

static int pod_target_copy(char **out, const char *text)
{
	*out = text ? strdup(text) : NULL;
	return text && !*out ? -ENOMEM : 0;
}

static int pod_target_copy_probe(struct pod_target *t, const struct kube_probe *probe)
{
	int r = pod_target_copy(&t->path, probe->path);

	if (r == 0)
		r = pod_target_copy(&t->service, probe->service);
	for (size_t i = 0; r == 0 && i < probe->headers_len && i < READY_HEADERS_MAX; i++) {
		if (asprintf(&t->headers[i], "%s: %s", probe->headers[i].name,
			     probe->headers[i].value) < 0) {
			t->headers[i] = NULL;
			return -ENOMEM;
		}
		t->ready.headers[t->ready.headers_len++] = t->headers[i];
	}
	t->ready.path = t->path;
	t->ready.service = t->service;
	return r;
}

static int pod_target_use_probe(struct pod_target *t, const struct kube_container *c,
				char error[POD_TARGET_ERROR_MAX])
{
	static const enum ready_kind kinds[] = {
		[KUBE_PROBE_NONE] = READY_LISTENS, [KUBE_PROBE_HTTP] = READY_HTTP,
		[KUBE_PROBE_TCP] = READY_LISTENS,  [KUBE_PROBE_GRPC] = READY_GRPC,
		[KUBE_PROBE_EXEC] = READY_LISTENS, /* nothing can be executed in another container
						    */
	};

	t->ready.kind = kinds[c->readiness.kind];
	t->ready.is_https = c->readiness.is_https;
	if (c->readiness.kind == KUBE_PROBE_NONE || c->readiness.kind == KUBE_PROBE_EXEC)
		return 0;
	if (kube_container_probe_port(c, &c->readiness, &t->ready.port) < 0) {
		snprintf(error, POD_TARGET_ERROR_MAX,
			 "the readinessProbe of container '%s' names the port '%s', which the "
			 "container does not have",
			 c->name, c->readiness.port_name ? c->readiness.port_name : "");
		return -EINVAL;
	}
	if (pod_target_copy_probe(t, &c->readiness) < 0) {
		snprintf(error, POD_TARGET_ERROR_MAX, "no memory");
		return -ENOMEM;
	}
	return 0;
}

/* The first container that has a readinessProbe; without one, a TCP connection will do. */
static int pod_target_find_probe(struct pod_target *t, const struct pod_target_from *from,
				 char error[POD_TARGET_ERROR_MAX])
{
	t->ready.kind = READY_LISTENS;
	for (size_t i = 0; i < from->containers_len; i++) {
		if (from->containers[i]->readiness.kind != KUBE_PROBE_NONE)
			return pod_target_use_probe(t, from->containers[i], error);
	}
	return 0;
}

/* --- probes --- */

/* A copy for the target's configuration. NULL: the agent is known, or there are too many. */
static const char *pod_target_copy_agent(struct pod_target *t, const char *agent)
{
	if (!agent || t->agents_len == ARRAY_LEN(t->agents))
		return NULL;
	for (size_t i = 0; i < t->agents_len; i++) {
		if (strcmp(t->agents[i], agent) == 0)
			return NULL;
	}
	if (pod_target_copy(&t->agents[t->agents_len], agent) < 0)
		return NULL;
	return t->agents[t->agents_len++];
}

/* We answer the probes of a container that sleeps. */
static void pod_target_add_probe(struct pod_target *t, const struct kube_container *c,
				 const struct kube_probe *probe)
{
	uint16_t port;

	if (probe->kind == KUBE_PROBE_EXEC)
		log_warn(
			"an exec probe runs in the sleeping container, which keeps some CPU for it",
			"container=%s asleep_millicpu_min=%d", c->name, KUBE_SIZE_EXEC_MILLICPU);
	if (probe->kind == KUBE_PROBE_EXEC || probe->kind == KUBE_PROBE_NONE ||
	    kube_container_probe_port(c, probe, &port) < 0)
		return;
	target_config_add_probe_port(&t->config, port, probe->is_https);
	target_config_add_probe(&t->config, probe->timeout_s,
				pod_target_copy_agent(t, kube_container_probe_agent(probe)));
}

/*
 * The kubelet's probes come from an address of the node; the routes of the network plugin decide
 * which one. Where the kubelet's connections are known, any address will do.
 */
static void pod_target_add_hosts(struct pod_target *t, const struct kube_pod *pod)
{
	static const struct cidr any;

	if (t->host_kind == GATE_SOURCE_NODE)
		target_config_add_source(&t->config, &any, GATE_SOURCE_ANY);
	for (size_t i = 0; i < pod->host_ips_len; i++) {
		struct cidr host;

		if (cidr_parse(pod->host_ips[i], &host) == NULL)
			target_config_add_source(&t->config, &host, t->host_kind);
	}
}

int pod_target_read(struct pod_target *out, const struct kube_pod *pod,
		    const struct kube_container *const *containers, size_t containers_len,
		    const struct config *config, enum gate_source host_kind,
		    char error[POD_TARGET_ERROR_MAX])
{
	const struct pod_target_from from = { pod, containers, containers_len };
	int r;

	*out = (struct pod_target){ .host_kind = host_kind,
				    .has_own_netns = !pod->has_host_network };
	r = pod_target_find_ports(out, &from, config, error);
	if (r == 0)
		r = pod_target_find_probe(out, &from, error);
	if (r < 0)
		return r;
	pod_target_add_hosts(out, pod);
	for (size_t i = 0; i < containers_len; i++) {
		pod_target_add_probe(out, containers[i], &containers[i]->readiness);
		pod_target_add_probe(out, containers[i], &containers[i]->liveness);
		pod_target_add_probe(out, containers[i], &containers[i]->startup);
	}
	for (size_t i = 0; i < pod->pod_ips_len; i++) {
		struct cidr own;

		if (cidr_parse(pod->pod_ips[i], &own) == NULL)
			out->addresses[out->addresses_len++] = own.addr;
	}
	return 0;
}

void pod_target_fill(struct pod_target *out, const struct netns *ns, const struct config *config)
{
	struct gate_addr gateways[POD_TARGET_GATEWAYS_MAX];
	size_t len = netns_gateways_list(ns, gateways, ARRAY_LEN(gateways));

	for (size_t i = 0; i < len; i++) {
		const struct cidr gateway = cidr_of(&gateways[i]);

		target_config_add_source(&out->config, &gateway, out->host_kind);
	}
	target_config_fill(&out->config, config);
	out->config.settings.ready = out->ready;
	out->config.settings.activity.has_own_netns = out->has_own_netns;
}

void pod_target_free(struct pod_target *t)
{
	free(t->path);
	free(t->service);
	for (size_t i = 0; i < READY_HEADERS_MAX; i++)
		free(t->headers[i]);
	for (size_t i = 0; i < t->agents_len; i++)
		free(t->agents[i]);
	*t = (struct pod_target){ 0 };
}
