// SPDX-License-Identifier: MIT
/*
 * Switches an open gate on and off within a millisecond, in the middle of traffic, so that a
 * benchmark can compare the two many times in one connection.
 *
 *	usage: gate_switch HOOK INTERFACE PORT        HOOK: tcx, tc, xdp
 *
 * Each line on stdin, "on" or "off", is answered with "ok PACKETS" when it is done: how many
 * packets of the port the gate has seen so far. It starts off, and is off when this process ends.
 */
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/util.h"
#include "gate_load.h"

enum gate_switch_hook {
	HOOK_TCX,
	HOOK_TC,
	HOOK_XDP,
	HOOK_COUNT
};

static const char *const gate_switch_hook_names[] = {
	[HOOK_TCX] = "tcx",
	[HOOK_TC] = "tc",
	[HOOK_XDP] = "xdp",
};

struct gate_switch {
	struct gate_bpf *gate;
	enum gate_switch_hook hook;
	int ifindex;
	struct bpf_link *link; /* tcx, XDP: NULL while off */
	bool is_tc_on;
};

/*
 * The qdisc stays while the filter comes and goes: adding or removing one on an interface that is
 * up makes the kernel drop what is being sent there (dev_deactivate() in qdisc_graft()), and TCP
 * needs 200 ms to notice.
 */
static int gate_switch_open_qdisc(const struct gate_switch *s)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = s->ifindex, .attach_point = BPF_TC_INGRESS);

	return s->hook == HOOK_TC ? bpf_tc_hook_create(&hook) : 0;
}

static void gate_switch_close_qdisc(const struct gate_switch *s)
{
	/* Both points: libbpf takes that to mean the qdisc itself. */
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = s->ifindex,
		    .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);

	if (s->hook == HOOK_TC)
		bpf_tc_hook_destroy(&hook);
}

static int gate_switch_tc(const struct gate_switch *s, bool is_on)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = s->ifindex, .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, options, .handle = 1, .priority = 1);

	if (!is_on)
		return bpf_tc_detach(&hook, &options);
	options.prog_fd = bpf_program__fd(s->gate->progs.gate_skb);
	return bpf_tc_attach(&hook, &options);
}

static int gate_switch_link(struct gate_switch *s, bool is_on)
{
	LIBBPF_OPTS(bpf_tcx_opts, options);

	if (!is_on) {
		int r = bpf_link__destroy(s->link);

		s->link = NULL;
		return r;
	}
	if (s->hook == HOOK_TCX)
		s->link = bpf_program__attach_tcx(s->gate->progs.gate_skb, s->ifindex, &options);
	else
		s->link = bpf_program__attach_xdp(s->gate->progs.gate_xdp, s->ifindex);
	return s->link ? 0 : -errno;
}

static int gate_switch_set(struct gate_switch *s, bool is_on)
{
	int r;

	if (is_on == (s->link || s->is_tc_on))
		return 0;
	if (s->hook != HOOK_TC)
		return gate_switch_link(s, is_on);
	r = gate_switch_tc(s, is_on);
	if (r == 0)
		s->is_tc_on = is_on;
	return r;
}

static __u64 gate_switch_packets(const struct gate_switch *s)
{
	const __u32 verdict = GATE_PASS_OPEN;
	int cpus = libbpf_num_possible_cpus();
	_cleanup_(freep) __u64 *values = cpus > 0 ? calloc((size_t)cpus, sizeof(*values)) : NULL;
	__u64 packets = 0;

	if (!values ||
	    bpf_map_lookup_elem(bpf_map__fd(s->gate->maps.gate_counters), &verdict, values) < 0)
		return 0;
	for (int cpu = 0; cpu < cpus; cpu++)
		packets += values[cpu];
	return packets;
}

static int gate_switch_loop(struct gate_switch *s)
{
	char line[16];

	while (fgets(line, sizeof(line), stdin)) {
		int r = gate_switch_set(s, strcmp(line, "on\n") == 0);

		if (r < 0) {
			fprintf(stderr, "gate_switch: cannot switch %s: %s\n", line, strerror(-r));
			return 1;
		}
		printf("ok %ju\n", (uintmax_t)gate_switch_packets(s));
		fflush(stdout);
	}
	return 0;
}

static int gate_switch_parse(struct gate_switch *s, struct gate_target_key *key, char **argv)
{
	long port = strtol(argv[3], NULL, 10);

	while (s->hook < HOOK_COUNT && strcmp(argv[1], gate_switch_hook_names[s->hook]) != 0)
		s->hook++;
	s->ifindex = (int)if_nametoindex(argv[2]);
	key->protocol = IPPROTO_TCP;
	key->port_be = htons((uint16_t)port);
	if (s->hook == HOOK_COUNT || !s->ifindex || port < 1 || port > UINT16_MAX)
		return -EINVAL;
	return 0;
}

int main(int argc, char **argv)
{
	struct gate_target_key key = { 0 };
	struct gate_switch s = { 0 };
	int status;

	if (argc != 4 || gate_switch_parse(&s, &key, argv) < 0) {
		fprintf(stderr, "usage: gate_switch tcx|tc|xdp INTERFACE PORT\n");
		return 2;
	}
	s.gate = gate_load(NULL);
	if (!s.gate || gate_load_add_key(s.gate, &key, 0) < 0) {
		fprintf(stderr, "gate_switch: cannot load the gate: %s\n", strerror(errno));
		return 1;
	}
	if (gate_switch_open_qdisc(&s) < 0) {
		fprintf(stderr, "gate_switch: cannot add the clsact qdisc\n");
		return 1;
	}
	status = gate_switch_loop(&s);
	gate_switch_set(&s, false);
	gate_switch_close_qdisc(&s);
	gate_bpf__destroy(s.gate);
	return status;
}
