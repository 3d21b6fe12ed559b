/* SPDX-License-Identifier: GPL-2.0-only */
/* The maps that more than one of the programs uses; gate.h says who writes which. */
#ifndef DOZE_MAPS_H
#define DOZE_MAPS_H

#include "gate.h"
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, GATE_TARGETS_MAX);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct gate_control);
} gate_controls SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, __u64);
} gate_heartbeat SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, GATE_SOURCES_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct gate_source_key);
	__type(value, __u32);
} gate_sources SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, GATE_STEERED_MAX);
	__type(key, struct gate_connection);
	__type(value, __u32);
} gate_steered SEC(".maps");

static __always_inline bool maps_is_stale(__u64 now_ns)
{
	__u32 zero = 0;
	__u64 *heartbeat_ns = bpf_map_lookup_elem(&gate_heartbeat, &zero);

	return !heartbeat_ns || now_ns > *heartbeat_ns + GATE_STALE_NS;
}

/* Every new connection of the kubelet is in there, before its SYN is sent. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, GATE_KUBELET_MAX);
	__type(key, struct gate_connection);
	__type(value, __u32);
} gate_kubelet SEC(".maps");

/* 1 while kubelet.bpf.c is attached to the kubelet's cgroup, and so gate_kubelet has them all. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} gate_knows SEC(".maps");

static __always_inline bool maps_knows_kubelet(void)
{
	__u32 zero = 0;
	const __u32 *knows = bpf_map_lookup_elem(&gate_knows, &zero);

	return knows && *knows;
}

/*
 * The kubelet's connections are marked open before their SYN. A SYN from a port that is marked
 * closed is therefore another program's, which has got the port since.
 */
static __always_inline bool maps_is_kubelets(const struct gate_connection *c, bool is_syn)
{
	const __u32 *state = bpf_map_lookup_elem(&gate_kubelet, c);

	if (!state)
		return false;
	if (!is_syn || *state != GATE_KUBELET_CLOSED)
		return true;
	bpf_map_delete_elem(&gate_kubelet, c);
	return false;
}

/* GATE_SOURCE_CLIENT, GATE_SOURCE_PROBE or GATE_SOURCE_OUTSIDE. */
static __always_inline __u32 maps_source_of(__u32 target_id, const struct gate_connection *c,
					    bool is_syn)
{
	struct gate_source_key key = {
		.prefix_len = 8 * (sizeof(key.target_id) + sizeof(key.addr)),
		.target_id = target_id,
		.addr = c->remote,
	};
	const __u32 *kind = bpf_map_lookup_elem(&gate_sources, &key);

	if (!kind)
		return GATE_SOURCE_CLIENT;
	if (*kind == GATE_SOURCE_PROBE)
		return *kind; /* saves two lookups */
	return gate_source_resolve(*kind, maps_is_kubelets(c, is_syn), maps_knows_kubelet());
}

static __always_inline void maps_copy_ipv4(struct gate_addr *out, __u32 ipv4_be)
{
	*out = (struct gate_addr){ .bytes = { [10] = 0xff, 0xff } };
	__builtin_memcpy(out->bytes + 12, &ipv4_be, sizeof(ipv4_be));
}

#endif
