// SPDX-License-Identifier: MIT
/* What the pod says, what its network namespace says, then the target. */
#include "pod/pod_seat.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/netns_addresses.h"
#include "base/util.h"
#include "cgroup/pod_place.h"
#include "pod/host_ports.h"

/* More than a pod's namespace has, whatever its CNI plugins add. */
#define POD_SEAT_ADDRESSES_MAX 256

#define POD_SEAT_PORTS_MAX (CONFIG_PORTS_MAX + TARGET_CONFIG_PORTS_MAX)

static bool pod_seat_has_address(const struct pod_seat *s)
{
	struct gate_addr there[POD_SEAT_ADDRESSES_MAX];
	size_t len = netns_addresses_list(&s->seat.ns, there, ARRAY_LEN(there));

	for (size_t i = 0; i < s->spec.addresses_len; i++) {
		for (size_t k = 0; k < len; k++) {
			if (memcmp(&s->spec.addresses[i], &there[k], sizeof(there[k])) == 0)
				return true;
		}
	}
	return false;
}

/* Keys for its addresses, and for all else in its network namespace, such as 127.0.0.1. */
static void pod_seat_add_namespace(struct pod_seat *s, bool is_nodes)
{
	struct daemon *daemon = s->seat.daemon;
	struct steer *steer = is_nodes ? daemon_steer(daemon) : NULL;

	if (steer)
		steer_set_node(steer, s->seat.ns.id);
	if (is_nodes)
		datapath_is_on_node(daemon->datapath);
	s->spec.addresses[s->spec.addresses_len++] = gate_addr_of_netns((uint32_t)s->seat.ns.id);
	s->spec.config.settings.addresses = s->spec.addresses;
	s->spec.config.settings.addresses_len = s->spec.addresses_len;
}

static enum gate_source pod_seat_resolve(void *arg, enum gate_source kind,
					 const struct gate_flow *flow)
{
	return keys_source_of(arg, kind, flow);
}

static int pod_seat_open_namespace(struct pod_seat *s, const struct pod_seat_settings *settings,
				   const struct kube_pod *pod, pid_t pid,
				   char error[POD_SEAT_ERROR_MAX])
{
	const struct target_seat_settings seat = {
		.netns_pid = pid,
		.ports = s->spec.config.ports,
		.ports_len = s->spec.config.ports_len,
	};
	int r = target_seat_open(&s->seat, settings->daemon, &seat);

	if (r < 0)
		return r;
	/*
	 * The process may be elsewhere: it has just been started and is not in its namespace yet,
	 * it has made a namespace of its own, or it is a virtual machine's.
	 */
	if (pod->has_host_network || pod_seat_has_address(s))
		return 0;
	snprintf(error, POD_SEAT_ERROR_MAX,
		 "the network namespace of its process '%d' does not have the pod's address '%s'",
		 (int)pid, pod->pod_ips_len ? pod->pod_ips[0] : "");
	return -EADDRNOTAVAIL;
}

/* Those that are watched, and those of probes, which are steered to us. */
static size_t pod_seat_list_ports(const struct pod_seat *s,
				  struct target_port out[POD_SEAT_PORTS_MAX])
{
	const struct target_config *config = &s->spec.config;
	size_t len = 0;

	for (; len < config->ports_len; len++)
		out[len] = config->ports[len];
	for (size_t i = 0; i < config->probe_ports_len; i++)
		out[len++] = (struct target_port){ config->probe_ports[i], IPPROTO_TCP };
	return len;
}

/* In the node's network namespace are the ports of the node and of other pods as well. */
static int pod_seat_check_host_ports(const struct pod_seat *s,
				     const struct pod_seat_settings *settings,
				     const struct node_plan *plan, char error[POD_SEAT_ERROR_MAX])
{
	const char *root = settings->mounts->controls[CGROUP_CPU].point;
	struct target_port ports[POD_SEAT_PORTS_MAX];
	size_t len = pod_seat_list_ports(s, ports);
	struct pod_place place;
	char id[POD_PLACE_ID_MAX];
	int r;

	for (size_t i = 0; i < len; i++) {
		if (config_has_host_port(settings->config, ports[i].port))
			continue;
		snprintf(error, POD_SEAT_ERROR_MAX,
			 "the pod is in the node's network, where this node does not watch the "
			 "port '%u/%s' (--host-ports)",
			 ports[i].port, config_protocol_name(ports[i].protocol));
		return -EINVAL;
	}
	r = pod_place_id(plan->containers[0]->container_id, id);
	if (r == 0)
		r = pod_place_find(&place, root, id);
	return r < 0 ? r : host_ports_check(&s->seat.ns, place.pod, ports, len, error);
}

static int pod_seat_open_target(struct pod_seat *s, const struct pod_seat_settings *settings,
				const struct kube_pod *pod, const struct node_plan *plan,
				char error[POD_SEAT_ERROR_MAX])
{
	struct target_settings *target = &s->spec.config.settings;
	const struct target_seat_target what = {
		.backend = settings->backend,
		.wakes = settings->wakes,
		.settings = target,
	};
	int r;

	pod_target_fill(&s->spec, &s->seat.ns, settings->config);
	r = pod->has_host_network ? pod_seat_check_host_ports(s, settings, plan, error) : 0;
	if (r < 0)
		return r;
	pod_seat_add_namespace(s, pod->has_host_network);
	target->activity.resolve = pod_seat_resolve;
	target->activity.arg = datapath_keys(settings->daemon->datapath);
	target->name = settings->full_name;
	target->priority = pod->priority;
	target->woke = settings->woke;
	target->arg = settings->arg;
	return target_seat_open_target(&s->seat, &what);
}

int pod_seat_open(struct pod_seat *s, const struct pod_seat_settings *settings,
		  const struct kube_pod *pod, const struct node_plan *plan, pid_t pid,
		  char error[POD_SEAT_ERROR_MAX])
{
	int r;

	*error = '\0';
	r = pod_target_read(&s->spec, pod, plan->containers, plan->containers_len, settings->config,
			    settings->host_kind, error);
	if (r == 0 && pid < 0) {
		snprintf(error, POD_SEAT_ERROR_MAX, "none of its containers has a process");
		r = -ESRCH;
	}
	if (r == 0)
		r = pod_seat_open_namespace(s, settings, pod, pid, error);
	if (r == 0)
		r = pod_seat_open_target(s, settings, pod, plan, error);
	if (r == 0) {
		s->target = s->seat.target;
		return 0;
	}
	if (!*error)
		snprintf(error, POD_SEAT_ERROR_MAX,
			 "cannot watch its ports: %s (the log of doze on node '%s' says more)",
			 strerror(-r), settings->config->node_name);
	pod_seat_close(s);
	return r;
}

void pod_seat_close(struct pod_seat *s)
{
	s->target = NULL;
	target_seat_close(&s->seat);
	pod_target_free(&s->spec);
}
