// SPDX-License-Identifier: MIT
/* The baseline of bench_gate.c: programs that do nothing, on the gate's entry points. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual MIT/GPL";

SEC("tc")
int empty_tc(struct __sk_buff *skb)
{
	(void)skb;
	return TC_ACT_UNSPEC;
}

SEC("xdp")
int empty_xdp(struct xdp_md *xdp)
{
	(void)xdp;
	return XDP_PASS;
}
