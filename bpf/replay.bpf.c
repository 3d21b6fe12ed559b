// SPDX-License-Identifier: GPL-2.0-only
/*
 * The program a held frame is replayed through (BPF_F_TEST_XDP_LIVE_FRAMES): XDP_PASS hands the
 * frame to the network stack, as if it had just arrived on ctx_in.ingress_ifindex.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("xdp")
int replay_pass(struct xdp_md *xdp __attribute__((unused)))
{
	return XDP_PASS;
}
