// SPDX-License-Identifier: MIT
#include "gate/keys.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <string.h>

#include "base/log.h"
#include "gate.skel.h"

void keys_init(struct keys *k, const struct gate_bpf *skel)
{
	*k = (struct keys){
		.ports_fd = bpf_map__fd(skel->maps.gate_ports),
		.targets_fd = bpf_map__fd(skel->maps.gate_targets),
		.sources_fd = bpf_map__fd(skel->maps.gate_sources),
		.knows_fd = bpf_map__fd(skel->maps.gate_knows),
		.kubelet_fd = bpf_map__fd(skel->maps.gate_kubelet),
	};
}

static uint32_t *keys_protocol(struct gate_port *port, const struct gate_target_key *key)
{
	return key->protocol == IPPROTO_UDP ? &port->udp : &port->tcp;
}

static int keys_add_port(struct keys *k, const struct gate_target_key *key, uint32_t target_id)
{
	static const struct gate_addr any;
	bool is_any = memcmp(&key->addr, &any, sizeof(any)) == 0;
	uint32_t number = ntohs(key->port_be);
	struct gate_port port;
	uint32_t *value = keys_protocol(&port, key);
	int r = bpf_map_lookup_elem(k->ports_fd, &number, &port);

	if (r < 0)
		return r;
	*value = gate_port_with_key(*value, is_any, target_id);
	return bpf_map_update_elem(k->ports_fd, &number, &port, BPF_ANY);
}

/* The key first: the gate must not find a port whose key is not there yet. */
int keys_add(struct keys *k, const struct gate_target_key *key, uint32_t target_id)
{
	int r = bpf_map_update_elem(k->targets_fd, key, &target_id, BPF_NOEXIST);

	if (r == 0)
		r = keys_add_port(k, key, target_id);
	return r < 0 ? log_err(r, "cannot tell the gate of port '%d'", ntohs(key->port_be)) : 0;
}

static bool keys_has_port(const struct keys *k, const struct gate_target_key *like)
{
	struct gate_target_key key, *before = NULL;

	for (; bpf_map_get_next_key(k->targets_fd, before, &key) == 0; before = &key) {
		if (key.port_be == like->port_be && key.protocol == like->protocol)
			return true;
	}
	return false;
}

static void keys_remove(struct keys *k, const struct gate_target_key *key)
{
	uint32_t number = ntohs(key->port_be);
	struct gate_port port;

	bpf_map_delete_elem(k->targets_fd, key);
	if (keys_has_port(k, key) || bpf_map_lookup_elem(k->ports_fd, &number, &port) < 0)
		return;
	*keys_protocol(&port, key) = 0;
	bpf_map_update_elem(k->ports_fd, &number, &port, BPF_ANY);
}

/* In both loops the next key is asked for first: a key that is removed has none. */
void keys_remove_target(struct keys *k, uint32_t target_id)
{
	struct gate_target_key key, next;
	struct gate_source_key source, next_source;
	uint32_t owner;
	int r;

	for (r = bpf_map_get_next_key(k->targets_fd, NULL, &next); r == 0;) {
		key = next;
		r = bpf_map_get_next_key(k->targets_fd, &key, &next);
		if (bpf_map_lookup_elem(k->targets_fd, &key, &owner) == 0 && owner == target_id)
			keys_remove(k, &key);
	}
	for (r = bpf_map_get_next_key(k->sources_fd, NULL, &next_source); r == 0;) {
		source = next_source;
		r = bpf_map_get_next_key(k->sources_fd, &source, &next_source);
		if (source.target_id == target_id)
			bpf_map_delete_elem(k->sources_fd, &source);
	}
}

int keys_add_source(struct keys *k, uint32_t target_id, const struct cidr *from,
		    enum gate_source source)
{
	const struct gate_source_key key = {
		.prefix_len = 8 * sizeof(key.target_id) + from->prefix_len,
		.target_id = target_id,
		.addr = from->addr,
	};
	uint32_t value = source;
	char text[CIDR_TEXT_MAX];
	int r = bpf_map_update_elem(k->sources_fd, &key, &value, BPF_ANY);

	cidr_format(from, text);
	return r < 0 ? log_err(r, "cannot tell the gate of source '%s'", text) : 0;
}

void keys_know_kubelet(struct keys *k, bool knows)
{
	const uint32_t zero = 0, value = knows;

	k->knows_kubelet = knows;
	bpf_map_update_elem(k->knows_fd, &zero, &value, BPF_ANY);
}

enum gate_source keys_source_of(const struct keys *k, enum gate_source kind,
				const struct gate_flow *flow)
{
	const struct gate_connection connection = gate_connection_of(flow);
	uint32_t state;
	bool is_kubelets = bpf_map_lookup_elem(k->kubelet_fd, &connection, &state) == 0;

	return gate_source_resolve(kind, is_kubelets, k->knows_kubelet);
}
