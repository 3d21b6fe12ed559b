// SPDX-License-Identifier: GPL-2.0-only
/*
 * Remembers the connections that the kubelet opens, among them its probes. The program is attached
 * to the kubelet's cgroup, and the kernel calls it when one of the kubelet's sockets connects,
 * before the SYN is sent, and when it closes. Other programs with an address of the node, such as
 * an ingress controller in the host's network, are not in that cgroup; but one of them may later
 * get a port that the kubelet has used.
 */
#include "gate.h"
#include "maps.h"

#define KUBELET_AF_INET	 2
#define KUBELET_AF_INET6 10

/* <linux/bpf.h> names them BPF_SOCK_OPS_TCP_CONNECT_CB and so on, and BPF_TCP_CLOSE. */
#define KUBELET_TCP_CONNECT_CB 3
#define KUBELET_STATE_CB       10
#define KUBELET_STATE_CB_FLAG  (1 << 2)
#define KUBELET_TCP_CLOSE      7

char LICENSE[] SEC("license") = "GPL";

/* In the context remote_port is a 32-bit word in network order, and local_port in host order. */
static __always_inline void kubelet_read_ports(const struct bpf_sock_ops *ctx,
					       struct gate_connection *c)
{
	c->local_port_be = (__be16)__builtin_bswap16((__u16)__builtin_bswap32(ctx->remote_port));
	c->remote_port_be = (__be16)__builtin_bswap16((__u16)ctx->local_port);
}

/*
 * struct gate_connection is what the target sees: its remote end is the kubelet's local one. The
 * addresses are copied word by word because the verifier allows no larger access to the context.
 */
static __always_inline bool kubelet_read(const struct bpf_sock_ops *ctx, struct gate_connection *c)
{
	if (ctx->family == KUBELET_AF_INET) {
		maps_copy_ipv4(&c->remote, ctx->local_ip4);
		maps_copy_ipv4(&c->local, ctx->remote_ip4);
	} else if (ctx->family == KUBELET_AF_INET6) {
		__u32 remote[4] = { ctx->local_ip6[0], ctx->local_ip6[1], ctx->local_ip6[2],
				    ctx->local_ip6[3] };
		__u32 local[4] = { ctx->remote_ip6[0], ctx->remote_ip6[1], ctx->remote_ip6[2],
				   ctx->remote_ip6[3] };

		__builtin_memcpy(c->remote.bytes, remote, sizeof(remote));
		__builtin_memcpy(c->local.bytes, local, sizeof(local));
	} else {
		return false;
	}
	kubelet_read_ports(ctx, c);
	return true;
}

static __always_inline void kubelet_on_connect(struct bpf_sock_ops *ctx)
{
	struct gate_connection connection = {};
	__u32 open = GATE_KUBELET_OPEN;

	if (!kubelet_read(ctx, &connection))
		return;
	bpf_map_update_elem(&gate_kubelet, &connection, &open, 0);
	bpf_sock_ops_cb_flags_set(ctx, KUBELET_STATE_CB_FLAG);
}

static __always_inline void kubelet_on_close(const struct bpf_sock_ops *ctx)
{
	struct gate_connection connection = {};
	__u32 *state;

	if (!kubelet_read(ctx, &connection))
		return;
	state = bpf_map_lookup_elem(&gate_kubelet, &connection);
	if (state)
		*state = GATE_KUBELET_CLOSED;
}

SEC("sockops")
int kubelet(struct bpf_sock_ops *ctx)
{
	if (ctx->op == KUBELET_TCP_CONNECT_CB)
		kubelet_on_connect(ctx);
	else if (ctx->op == KUBELET_STATE_CB && ctx->args[1] == KUBELET_TCP_CLOSE)
		kubelet_on_close(ctx);
	return 1;
}
