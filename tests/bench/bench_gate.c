// SPDX-License-Identifier: MIT
/*
 * What the open gate costs per packet: BPF_PROG_RUN, a million times in a row, the gate and an
 * empty program in turn.
 *
 *	usage: bench_gate [ROUNDS]
 *
 * The difference of each pair is taken, and the median over all rounds printed. The same packet
 * each time means warm caches and a branch predictor that knows the way: the price of a packet in
 * a busy stream. gate_skb is for tcx and tc alike.
 *
 * make bench builds it; by hand, from the top of the tree:
 *	clang -g -O2 -target bpf -mcpu=v2 -Iinclude -I. -c -o build/bench/empty.bpf.o \
 *		tests/bench/empty.bpf.c
 *	bpftool gen skeleton build/bench/empty.bpf.o name empty_bpf > build/bench/empty.skel.h
 *	clang -O2 -D_GNU_SOURCE -Iinclude -Iuserspace -I. -isystem build/bpf -isystem build/bench \
 *		-o build/tests/bench/bench_gate tests/bench/bench_gate.c
 *userspace/gate/gate_offsets.c -lbpf
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/util.h"
#include "empty.skel.h"
#include "gate/gate_offsets.h"
#include "gate_load.h"
#include "tests/lib/packet.c" /* the benchmarks are built from one file each */

#define BENCH_REPEAT	     1000000
#define BENCH_ROUNDS_DEFAULT 11
#define BENCH_ROUNDS_MAX     1000
#define BENCH_AIM_NS	     50
#define BENCH_TARGET_ID	     7
#define BENCH_OTHER_PORTS    20000
#define BENCH_TARGETS	     250

static const size_t bench_keys_lens[] = { 1, 1000 };

struct bench_case {
	const char *name;
	struct packet_spec spec;
	bool is_key_exact; /* the key names an address, 192.0.2.80; else any will do */
	bool is_key_netns; /* or a network namespace, as doze node's do */
	enum gate_verdict verdict;
};

static const struct bench_case bench_cases[] = {
	{
		.name = "payload, key of any address",
		.spec = { .tcp_flags = PACKET_ACK, .payload_len = 100 },
		.verdict = GATE_PASS_OPEN,
	},
	{
		.name = "payload, key of this address",
		.spec = { .tcp_flags = PACKET_ACK, .payload_len = 100 },
		.is_key_exact = true,
		.verdict = GATE_PASS_OPEN,
	},
	{
		.name = "payload, another address",
		.spec = { .tcp_flags = PACKET_ACK,
			  .payload_len = 100,
			  .server = PACKET_SERVER + 1 },
		.is_key_exact = true,
		.verdict = GATE_PASS_OTHER,
	},
	{
		.name = "payload, another port",
		.spec = { .tcp_flags = PACKET_ACK,
			  .payload_len = 100,
			  .server_port = PACKET_SERVER_PORT + 1 },
		.verdict = GATE_PASS_OTHER,
	},
	{
		.name = "IPv6 payload, key of any address",
		.spec = { .ip = 6, .tcp_flags = PACKET_ACK, .payload_len = 100 },
		.verdict = GATE_PASS_OPEN,
	},
	{
		.name = "UDP datagram, key of any address",
		.spec = { .protocol = PACKET_UDP, .payload_len = 100 },
		.verdict = GATE_PASS_OPEN,
	},
};

/* Of the gate of doze node. */
static const struct bench_case bench_pod_cases[] = {
	{
		.name = "a pod's payload",
		.spec = { .tcp_flags = PACKET_ACK, .payload_len = 100 },
		.is_key_exact = true,
		.verdict = GATE_PASS_OPEN,
	},
	{
		.name = "its payload to another port",
		.spec = { .tcp_flags = PACKET_ACK,
			  .payload_len = 100,
			  .server_port = PACKET_SERVER_PORT + 1 },
		.is_key_exact = true,
		.verdict = GATE_PASS_OTHER,
	},
	{
		.name = "beside a host-network pod",
		.spec = { .tcp_flags = PACKET_ACK, .payload_len = 100 },
		.is_key_netns = true,
		.verdict = GATE_PASS_OPEN,
	},
};

static const size_t bench_pods_lens[] = { 1, BENCH_TARGETS };

struct bench {
	struct gate_bpf *gate;
	struct empty_bpf *empty;
	size_t rounds;
};

/* One of the gate's entry points, and the program to hold against it. */
struct bench_entry {
	const char *name;
	int gate_fd;
	int empty_fd;
};

static void bench_die(int r, const char *what)
{
	fprintf(stderr, "bench_gate: %s: %s\n", what, strerror(-r));
	exit(1);
}

static void bench_load(struct bench *b)
{
	b->empty = empty_bpf__open_and_load();
	b->gate = gate_load(NULL);
	if (!b->empty || !b->gate)
		bench_die(-errno, "cannot load the programs");
}

/* So that no round begins with the caches of another CPU. Without it, it works as well. */
static void bench_stay_on_cpu(void)
{
	cpu_set_t set;
	int cpu = sched_getcpu();

	if (cpu < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

/* --- keys --- */

static void bench_add_key(const struct bench *b, const struct gate_target_key *key)
{
	int r = gate_load_add_key(b->gate, key, BENCH_TARGET_ID);

	if (r < 0)
		bench_die(r, "cannot add a key");
}

/* That of BPF_PROG_RUN's packets: ours. */
static __u32 bench_netns(void)
{
	struct stat st;

	if (stat("/proc/self/ns/net", &st) < 0)
		bench_die(-errno, "cannot tell the network namespace");
	return (__u32)st.st_ino;
}

/* One of the keys that no packet is for: another namespace, or address, or else a port. */
static void bench_make_other(struct gate_target_key *key, const struct bench_case *c, size_t i)
{
	if (c->is_key_netns)
		key->addr = gate_addr_of_netns(bench_netns() + (__u32)i);
	else if (c->is_key_exact) /* RFC 2544's network for benchmarks */
		key->addr = (struct gate_addr){
			.bytes = { [10] = 0xff, 0xff, 198, 18, (__u8)(i >> 8), (__u8)i }
		};
	else
		key->port_be = htons((__u16)(BENCH_OTHER_PORTS + i));
}

static void bench_set_keys(const struct bench *b, const struct bench_case *c, size_t len)
{
	struct gate_target_key key = {
		.port_be = htons(PACKET_SERVER_PORT),
		.protocol = c->spec.protocol ? c->spec.protocol : PACKET_TCP,
	};

	if (c->is_key_exact)
		key.addr = (struct gate_addr){
			.bytes = { [10] = 0xff, 0xff, 192, 0, 2, PACKET_SERVER }
		};
	if (c->is_key_netns)
		key.addr = gate_addr_of_netns(bench_netns());
	gate_load_remove_keys(b->gate);
	bench_add_key(b, &key);
	for (size_t i = 1; i < len; i++) {
		bench_make_other(&key, c, i);
		bench_add_key(b, &key);
	}
}

/* --- one case --- */

static __u64 bench_count(const struct bench *b, enum gate_verdict verdict)
{
	int cpus = libbpf_num_possible_cpus();
	_cleanup_(freep) __u64 *values = calloc((size_t)cpus, sizeof(*values));
	__u64 count = 0;

	if (!values ||
	    bpf_map_lookup_elem(bpf_map__fd(b->gate->maps.gate_counters), &verdict, values) < 0)
		bench_die(-errno, "cannot read the gate's counters");
	for (int cpu = 0; cpu < cpus; cpu++)
		count += values[cpu];
	return count;
}

/* The kernel leaves the time out in which others had this CPU (net/bpf/test_run.c). */
static double bench_run_ns(int prog_fd, const struct packet *p, int repeat)
{
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = p->bytes, .data_size_in = (__u32)p->len,
		    .repeat = repeat);
	int r = bpf_prog_test_run_opts(prog_fd, &options);

	if (r < 0)
		bench_die(r, "cannot run a program");
	return options.duration;
}

/* Figures about another verdict than the case's would be figures about something else. */
static void bench_check_verdict(const struct bench *b, const struct bench_entry *e,
				const struct bench_case *c, const struct packet *p)
{
	__u64 before = bench_count(b, c->verdict);

	bench_run_ns(e->gate_fd, p, 1);
	if (bench_count(b, c->verdict) == before + 1)
		return;
	fprintf(stderr, "bench_gate: %s, %s: not the verdict that the case is about\n", e->name,
		c->name);
	exit(1);
}

static int bench_compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double bench_median(double *values, size_t len)
{
	qsort(values, len, sizeof(*values), bench_compare);
	return (values[(len - 1) / 2] + values[len / 2]) / 2;
}

static void bench_print(const char *entry, const char *name, size_t keys_len, double empty_ns,
			double gate_ns, double difference_ns)
{
	char label[80];

	snprintf(label, sizeof(label), "%s: %s, of %zu", entry, name, keys_len);
	printf("%-48s  %5.0f ns  %5.0f ns  %+5.0f ns  <= %d ns  %s\n", label, empty_ns, gate_ns,
	       difference_ns, BENCH_AIM_NS, difference_ns <= BENCH_AIM_NS ? "met" : "short");
	fflush(stdout);
}

static void bench_case(const struct bench *b, const struct bench_entry *e,
		       const struct bench_case *c, size_t keys_len)
{
	double empty_ns[BENCH_ROUNDS_MAX], gate_ns[BENCH_ROUNDS_MAX], difference[BENCH_ROUNDS_MAX];
	struct packet packet;

	packet_build(&packet, &c->spec);
	bench_set_keys(b, c, keys_len);
	bench_check_verdict(b, e, c, &packet);
	for (size_t i = 0; i < b->rounds; i++) {
		empty_ns[i] = bench_run_ns(e->empty_fd, &packet, BENCH_REPEAT);
		gate_ns[i] = bench_run_ns(e->gate_fd, &packet, BENCH_REPEAT);
		difference[i] = gate_ns[i] - empty_ns[i];
	}
	bench_print(e->name, c->name, keys_len, bench_median(empty_ns, b->rounds),
		    bench_median(gate_ns, b->rounds), bench_median(difference, b->rounds));
}

/* --- the same gate with probes known, against without --- */

static const struct bench_mode {
	const char *name;
	struct gate_control control;
	unsigned char client; /* the last byte of its address */
	enum gate_verdict verdict;
	enum gate_source others; /* what all addresses are but that of probes */
	bool is_kubelets;	 /* the connection */
	bool is_syn;		 /* a probe's, which leaves no stamp: each one is looked at */
} bench_modes[] = {
	{
		.name = "a client's payload",
		.control = { .probes = GATE_PROBES_ANSWER },
		.client = PACKET_CLIENT + 1,
		.verdict = GATE_PASS_OPEN,
	},
	{
		.name = "a client's, at the address of probes",
		.control = { .probes = GATE_PROBES_ANSWER, .judge_after_ns = UINT64_MAX },
		.client = PACKET_CLIENT,
		.verdict = GATE_PASS_OPEN,
	},
	{
		.name = "a client's, --ignore-http",
		.control = { .judges_all = 1, .judge_after_ns = UINT64_MAX },
		.client = PACKET_CLIENT + 1,
		.verdict = GATE_PASS_OPEN,
	},
	{
		.name = "a client's, any address the kubelet's",
		.control = { .probes = GATE_PROBES_ANSWER },
		.client = PACKET_CLIENT + 1,
		.verdict = GATE_PASS_OPEN,
		.others = GATE_SOURCE_ANY,
	},
	{
		.name = "a check's SYN, known by its address",
		.control = { .probes = GATE_PROBES_ANSWER },
		.client = PACKET_CLIENT + 1,
		.verdict = GATE_PASS_UNPROVEN,
		.others = GATE_SOURCE_PROBE,
		.is_syn = true,
	},
	{
		.name = "a check's SYN, known by its connection",
		.control = { .probes = GATE_PROBES_ANSWER },
		.client = PACKET_CLIENT + 1,
		.verdict = GATE_PASS_UNPROVEN,
		.others = GATE_SOURCE_ANY,
		.is_kubelets = true,
		.is_syn = true,
	},
};

/* Sources are not looked at when there was an activity just now: there was none. */
static void bench_set_control(const struct bench *b, const struct gate_control *control)
{
	static const struct gate_activity none;
	const __u32 target_id = BENCH_TARGET_ID;

	if (bpf_map_update_elem(bpf_map__fd(b->gate->maps.gate_controls), &target_id, control,
				BPF_ANY) < 0 ||
	    bpf_map_update_elem(bpf_map__fd(b->gate->maps.gate_activities), &target_id, &none,
				BPF_ANY) < 0)
		bench_die(-errno, "cannot set the target's control");
}

static void bench_set_source(const struct bench *b, const struct gate_source_key *key,
			     enum gate_source kind)
{
	const __u32 value = kind;
	int fd = bpf_map__fd(b->gate->maps.gate_sources);

	if (kind == GATE_SOURCE_CLIENT)
		bpf_map_delete_elem(fd, key);
	else if (bpf_map_update_elem(fd, key, &value, BPF_ANY) < 0)
		bench_die(-errno, "cannot add a source");
}

/* Those of other targets make the search as long as it is on a node full of pods. */
static void bench_add_sources(const struct bench *b)
{
	for (__u32 id = 0; id < BENCH_TARGETS; id++) {
		struct gate_source_key key = {
			.prefix_len = 8 * (sizeof(key.target_id) + sizeof(key.addr)),
			.target_id = id,
			.addr.bytes = { [10] = 0xff, 0xff, 192, 0, 2, PACKET_CLIENT },
		};

		bench_set_source(b, &key, GATE_SOURCE_PROBE);
		key.addr.bytes[15]--;
		bench_set_source(b, &key, GATE_SOURCE_PROBE);
	}
}

static void bench_set_others(const struct bench *b, enum gate_source kind)
{
	for (__u32 id = 0; id < BENCH_TARGETS; id++) {
		const struct gate_source_key key = {
			.prefix_len = 8 * sizeof(key.target_id),
			.target_id = id,
		};

		bench_set_source(b, &key, kind);
	}
}

static void bench_set_kubelets(const struct bench *b, const struct packet *p, bool is_kubelets)
{
	struct gate_connection key = {
		.remote.bytes = { [10] = 0xff, 0xff },
		.local.bytes = { [10] = 0xff, 0xff },
	};
	const __u32 open = GATE_KUBELET_OPEN;
	int fd = bpf_map__fd(b->gate->maps.gate_kubelet);

	memcpy(key.remote.bytes + 12, p->bytes + p->l3 + 12, 4);
	memcpy(key.local.bytes + 12, p->bytes + p->l3 + 16, 4);
	memcpy(&key.remote_port_be, p->bytes + p->l4, 2);
	memcpy(&key.local_port_be, p->bytes + p->l4 + 2, 2);
	if (!is_kubelets)
		bpf_map_delete_elem(fd, &key);
	else if (bpf_map_update_elem(fd, &key, &open, BPF_ANY) < 0)
		bench_die(-errno, "cannot add a connection of the kubelet");
}

static void bench_mode(const struct bench *b, const struct bench_entry *e,
		       const struct bench_mode *mode)
{
	static const struct gate_control off;
	const struct bench_case c = {
		.name = mode->name,
		.spec = { .tcp_flags = mode->is_syn ? PACKET_SYN : PACKET_ACK,
			  .payload_len = mode->is_syn ? 0 : 100,
			  .client = mode->client },
		.verdict = mode->verdict,
	};
	double off_ns[BENCH_ROUNDS_MAX], on_ns[BENCH_ROUNDS_MAX], difference[BENCH_ROUNDS_MAX];
	struct packet packet;

	packet_build(&packet, &c.spec);
	bench_set_keys(b, &c, 1);
	bench_set_others(b, mode->others);
	bench_set_kubelets(b, &packet, mode->is_kubelets);
	bench_set_control(b, &mode->control);
	bench_check_verdict(b, e, &c, &packet);
	for (size_t i = 0; i < b->rounds; i++) {
		bench_set_control(b, &off);
		off_ns[i] = bench_run_ns(e->gate_fd, &packet, BENCH_REPEAT);
		bench_set_control(b, &mode->control);
		on_ns[i] = bench_run_ns(e->gate_fd, &packet, BENCH_REPEAT);
		difference[i] = on_ns[i] - off_ns[i];
	}
	bench_set_control(b, &off);
	bench_set_others(b, GATE_SOURCE_CLIENT);
	bench_set_kubelets(b, &packet, false);
	printf("%s: %-43s  %5.0f ns  %5.0f ns  %+5.0f ns\n", e->name, mode->name,
	       bench_median(off_ns, b->rounds), bench_median(on_ns, b->rounds),
	       bench_median(difference, b->rounds));
	fflush(stdout);
}

static void bench_entry(const struct bench *b, const struct bench_entry *e)
{
	for (size_t i = 0; i < ARRAY_LEN(bench_cases); i++) {
		for (size_t k = 0; k < ARRAY_LEN(bench_keys_lens); k++)
			bench_case(b, e, &bench_cases[i], bench_keys_lens[k]);
	}
	for (size_t i = 0; i < ARRAY_LEN(bench_modes); i++)
		bench_mode(b, e, &bench_modes[i]);
}

static void bench_pods(struct bench *b)
{
	struct gate_offsets offsets;
	struct bench_entry entry = { .name = "doze node, tcx" };

	if (gate_offsets_find(&offsets) < 0) {
		printf("skipped: doze node: this kernel has no BTF\n");
		return;
	}
	gate_bpf__destroy(b->gate);
	b->gate = gate_load(&offsets);
	if (!b->gate)
		bench_die(-errno, "cannot load the gate of doze node");
	entry.gate_fd = bpf_program__fd(b->gate->progs.gate_skb);
	entry.empty_fd = bpf_program__fd(b->empty->progs.empty_tc);
	for (size_t i = 0; i < ARRAY_LEN(bench_pod_cases); i++) {
		b->gate->bss->gate_is_on_node = bench_pod_cases[i].is_key_netns;
		for (size_t k = 0; k < ARRAY_LEN(bench_pods_lens); k++)
			bench_case(b, &entry, &bench_pod_cases[i], bench_pods_lens[k]);
	}
}

static size_t bench_parse_rounds(int argc, char **argv)
{
	long rounds = argc > 1 ? strtol(argv[1], NULL, 10) : BENCH_ROUNDS_DEFAULT;

	if (argc > 2 || rounds < 1 || rounds > BENCH_ROUNDS_MAX) {
		fprintf(stderr, "usage: bench_gate [ROUNDS]   1 to %d, default %d\n",
			BENCH_ROUNDS_MAX, BENCH_ROUNDS_DEFAULT);
		exit(2);
	}
	return (size_t)rounds;
}

int main(int argc, char **argv)
{
	struct bench b = { .rounds = bench_parse_rounds(argc, argv) };

	bench_load(&b);
	bench_add_sources(&b);
	bench_stay_on_cpu();
	bench_entry(&b, &(struct bench_entry){
				.name = "tcx, tc",
				.gate_fd = bpf_program__fd(b.gate->progs.gate_skb),
				.empty_fd = bpf_program__fd(b.empty->progs.empty_tc),
			});
	bench_entry(&b, &(struct bench_entry){
				.name = "xdp",
				.gate_fd = bpf_program__fd(b.gate->progs.gate_xdp),
				.empty_fd = bpf_program__fd(b.empty->progs.empty_xdp),
			});
	bench_pods(&b);
	gate_bpf__destroy(b.gate);
	empty_bpf__destroy(b.empty);
	return 0;
}
