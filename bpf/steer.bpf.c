// SPDX-License-Identifier: GPL-2.0-only
/*
 * While a target's gate is closed, the daemon answers its probes: a new connection from a source of
 * probes is given to the responder's socket instead of the application's. No packet is rewritten,
 * and all other connections reach the application.
 *
 *   new connection -> which target? -> closed, and a source of probes? -> assign, remember
 *
 * Payload of a connection that is remembered here passes the gate without a wake. A connection that
 * could not be assigned is not remembered: it reaches the application, and its payload wakes.
 */
#include "gate.h"
#include "maps.h"

#define STEER_AF_INET	2
#define STEER_PROTO_TCP 6

char LICENSE[] SEC("license") = "GPL";

/* The ports that probes of a target come to: the target's own, and others of the application. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, GATE_KEYS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct gate_target_key);
	__type(value, __u32);
} gate_steer_ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, GATE_FAMILIES *GATE_TARGETS_MAX);
	__type(key, __u32);
	__type(value, __u64);
} gate_responder SEC(".maps");

/* Set by the daemon before it attaches steer_node. */
volatile __u32 steer_node_netns;

struct steer_connection {
	struct gate_target_key local;
	struct gate_connection flow;
	__u32 family;
};

/* Word by word, because the verifier allows no larger access to the context. */
static __always_inline void steer_copy_ipv6(struct gate_addr *out, const __u32 ipv6_be[4])
{
	__u32 words[4] = { ipv6_be[0], ipv6_be[1], ipv6_be[2], ipv6_be[3] };

	__builtin_memcpy(out->bytes, words, sizeof(words));
}

static __always_inline void steer_read(const struct bpf_sk_lookup *ctx, struct steer_connection *c)
{
	*c = (struct steer_connection){
		.local = { .port_be = (__be16)__builtin_bswap16((__u16)ctx->local_port),
			   .protocol = STEER_PROTO_TCP },
		.flow = { .remote_port_be = (__be16)ctx->remote_port },
		.family = ctx->family == STEER_AF_INET ? GATE_FAMILY_IPV4 : GATE_FAMILY_IPV6,
	};
	c->flow.local_port_be = c->local.port_be;
	if (ctx->family == STEER_AF_INET) {
		maps_copy_ipv4(&c->local.addr, ctx->local_ip4);
		maps_copy_ipv4(&c->flow.remote, ctx->remote_ip4);
	} else {
		steer_copy_ipv6(&c->local.addr, ctx->local_ip6);
		steer_copy_ipv6(&c->flow.remote, ctx->remote_ip6);
	}
	c->flow.local = c->local.addr;
}

/*
 * Looks for the connection's address, for its network namespace, and for any address. netns is 0
 * unless it is the node's own namespace: this program cannot ask the kernel in which one it runs.
 */
static __always_inline __u32 *steer_find_target(const struct steer_connection *c, __u32 netns)
{
	struct gate_target_key key = c->local;
	__u32 *target_id = bpf_map_lookup_elem(&gate_steer_ports, &key);

	if (target_id)
		return target_id;
	if (netns) {
		key.addr = gate_addr_of_netns(netns);
		target_id = bpf_map_lookup_elem(&gate_steer_ports, &key);
		if (target_id)
			return target_id;
	}
	key.addr = (struct gate_addr){};
	return bpf_map_lookup_elem(&gate_steer_ports, &key);
}

/*
 * The gate's clock is coarse and lags up to 10 ms. A SYN that the gate has left to us must be
 * steered, or the payload behind it would be a client's.
 */
#define STEER_SLACK_NS 20000000ULL

static __always_inline bool steer_is_wanted(const struct steer_connection *c, __u32 target_id,
					    const struct gate_control *control)
{
	if (!control->closing || control->probes != GATE_PROBES_ANSWER)
		return false;
	if (control->ready_port_be && control->ready_port_be == c->flow.remote_port_be)
		return false;
	if (maps_is_stale(bpf_ktime_get_ns() - STEER_SLACK_NS))
		return false;
	return maps_source_of(target_id, &c->flow, true) != GATE_SOURCE_CLIENT;
}

static __always_inline bool steer_assign(struct bpf_sk_lookup *ctx, __u32 target_id, __u32 family)
{
	__u32 index = gate_responder_index(target_id, family);
	struct bpf_sock *responder = bpf_map_lookup_elem(&gate_responder, &index);
	long r;

	if (!responder)
		return false;
	r = bpf_sk_assign(ctx, responder, 0);
	bpf_sk_release(responder);
	return r == 0;
}

static __always_inline void steer_connection(struct bpf_sk_lookup *ctx, __u32 netns)
{
	struct steer_connection c;
	struct gate_control *control;
	__u32 *target_id, closing;

	if (ctx->protocol != STEER_PROTO_TCP)
		return;
	steer_read(ctx, &c);
	target_id = steer_find_target(&c, netns);
	if (!target_id)
		return;
	control = bpf_map_lookup_elem(&gate_controls, target_id);
	if (!control || !steer_is_wanted(&c, *target_id, control))
		return;
	closing = control->closing;
	if (steer_assign(ctx, *target_id, c.family))
		bpf_map_update_elem(&gate_steered, &c.flow, &closing, 0);
}

SEC("sk_lookup")
int steer(struct bpf_sk_lookup *ctx)
{
	steer_connection(ctx, 0);
	return SK_PASS;
}

/* For the node's own network namespace: pods of the host's network are called at 127.0.0.1, too. */
SEC("sk_lookup")
int steer_node(struct bpf_sk_lookup *ctx)
{
	steer_connection(ctx, steer_node_netns);
	return SK_PASS;
}
