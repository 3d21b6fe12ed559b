/* SPDX-License-Identifier: MIT */
/* Loads the gate as the daemon does, for benchmarks that run it without one: it stays open. */
#ifndef DOZE_BENCH_GATE_LOAD_H
#define DOZE_BENCH_GATE_LOAD_H

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>

#include "gate.h"
#include "gate.skel.h"

/* <linux/bpf.h>, kernel 6.6; that of Debian 12 is older. */
#define GATE_LOAD_BPF_TCX_INGRESS 46

/* offsets: of a gate that tells network namespaces apart, as doze node's does; else NULL. */
static inline struct gate_bpf *gate_load_try(bool has_tcx, const struct gate_offsets *offsets)
{
	struct gate_bpf *gate = gate_bpf__open();

	if (!gate)
		return NULL;
	bpf_program__set_autoload(gate->progs.gate_skb_ip, false);
	if (has_tcx)
		bpf_program__set_expected_attach_type(
			gate->progs.gate_skb, (enum bpf_attach_type)GATE_LOAD_BPF_TCX_INGRESS);
	if (offsets)
		memcpy((void *)&gate->rodata->gate_offsets, offsets, sizeof(*offsets));
	gate->rodata->gate_has_namespaces = offsets != NULL;
	if (gate_bpf__load(gate) < 0) {
		gate_bpf__destroy(gate);
		return NULL;
	}
	return gate;
}

/* For tc alone on a kernel without tcx. NULL, and errno, when it cannot be loaded. */
static inline struct gate_bpf *gate_load(const struct gate_offsets *offsets)
{
	struct gate_bpf *gate = gate_load_try(true, offsets);

	return gate ? gate : gate_load_try(false, offsets);
}

/* As keys_add() does it. -errno. */
static inline int gate_load_add_key(const struct gate_bpf *gate, const struct gate_target_key *key,
				    __u32 target_id)
{
	static const struct gate_addr any;
	bool is_any = memcmp(&key->addr, &any, sizeof(any)) == 0;
	int ports_fd = bpf_map__fd(gate->maps.gate_ports);
	__u32 number = ntohs(key->port_be);
	struct gate_port port;
	__u32 *value = key->protocol == IPPROTO_UDP ? &port.udp : &port.tcp;
	int r = bpf_map_update_elem(bpf_map__fd(gate->maps.gate_targets), key, &target_id,
				    BPF_NOEXIST);

	if (r == 0)
		r = bpf_map_lookup_elem(ports_fd, &number, &port);
	if (r < 0)
		return r;
	*value = gate_port_with_key(*value, is_any, target_id);
	return bpf_map_update_elem(ports_fd, &number, &port, BPF_ANY);
}

static inline void gate_load_remove_keys(const struct gate_bpf *gate)
{
	int targets_fd = bpf_map__fd(gate->maps.gate_targets);
	const struct gate_port none = { 0 };
	struct gate_target_key key;

	while (bpf_map_get_next_key(targets_fd, NULL, &key) == 0) {
		__u32 number = ntohs(key.port_be);

		bpf_map_delete_elem(targets_fd, &key);
		bpf_map_update_elem(bpf_map__fd(gate->maps.gate_ports), &number, &none, BPF_ANY);
	}
}

#endif
