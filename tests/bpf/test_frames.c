// SPDX-License-Identifier: MIT
/*
 * A million random frames through the gate, by BPF_PROG_RUN, against an independent parser
 * (lib/frame_oracle.h), at each state of the gate and through tc and XDP: the verdict, what the
 * packet's fate is, and what is put into the ring.
 *
 *	FRAMES=100000000 FRAMES_SEED=7 build/tests/bpf/test_frames
 *
 * The seed of a run is printed; with it the same frames are made again.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/bpf.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/util.h"
#include "gate.h"
#include "gate.skel.h"
#include "gate/gate_offsets.h"
#include "lib/frame_oracle.h"
#include "lib/frame_random.h"
#include "lib/isolate.h"
#include "lib/test.h"

#define FRAMES 1000000
/* Their records fit the ring, and what is counted is compared after them. */
#define BATCH 64

enum {
	TARGET = 3,
	TARGET_EXACT = 5,
	CLOSING = 1,

	PORT_LISTENS = 8080,
	PORT_ENDED = 8081,
	PORT_UNHEARD = 8082,
	PORT_EXACT = 8083,
	PORT_CLIENT = 40000,
	PORT_READY = 40001,

	TC_PASS = -1,
	TC_DROP = 2,
	XDP_PASSED = 2,
	XDP_DROPPED = 1,
};

static const char *const verdict_names[] = {
#define X(id, name, help) [GATE_##id] = name,
	GATE_VERDICTS(X)
#undef X
};

static const uint8_t ipv4[][4] = {
	{ 192, 0, 2, 80 }, { 192, 0, 2, 1 },	{ 192, 0, 2, 80 },	{ 192, 0, 2, 1 },
	{ 192, 0, 2, 80 }, { 198, 51, 100, 9 }, { 127, 0, 0, 1 },	{ 0, 0, 0, 0 },
	{ 224, 0, 0, 1 },  { 239, 255, 1, 2 },	{ 255, 255, 255, 255 }, { 240, 0, 0, 1 },
};

static const uint8_t ipv6[][16] = {
	{ 0x20, 0x01, 0x0d, 0xb8, [15] = 0x50 },
	{ 0x20, 0x01, 0x0d, 0xb8, [15] = 0x01 },
	{ 0x20, 0x01, 0x0d, 0xb8, [15] = 0x50 },
	{ 0x20, 0x01, 0x0d, 0xb8, [15] = 0x01 },
	{ 0x20, 0x01, 0x0d, 0xb8, [7] = 9, [15] = 0x77 },
	{ [15] = 1 },
	{ 0 },
	{ 0xff, 0x02, [15] = 1 },
	{ 0xfe, 0x80, [15] = 9 },
};

static const uint16_t ports[] = { PORT_LISTENS, PORT_CLIENT, PORT_LISTENS,
				  PORT_CLIENT,	PORT_ENDED,  PORT_UNHEARD,
				  PORT_EXACT,	PORT_READY,  9 };

static const struct frame_random_ends ends = {
	.ipv4 = ipv4,
	.ipv4_len = ARRAY_LEN(ipv4),
	.ipv6 = ipv6,
	.ipv6_len = ARRAY_LEN(ipv6),
	.ports = ports,
	.ports_len = ARRAY_LEN(ports),
};

struct counters {
	uint64_t of[GATE_VERDICT_COUNT];
};

static struct {
	struct gate_bpf *skel;
	struct ring_buffer *ring;
	struct gate_activity *activities; /* the gate's own memory */
	int tcp, udp, client[2], accepted[2];
	uint32_t next_seq[2];

	struct frame frames[BATCH];
	struct frame_oracle_seen seen[BATCH];
	bool is_refused[BATCH]; /* by the kernel */
	size_t recorded;	/* of this batch: up to here the ring was compared */
	struct frame_oracle_world world;
	struct counters verdicts; /* all that were counted */
	const char *wrong;	  /* what was found */
} rig;

/* --- the application --- */

static struct sockaddr_in6 app_address(int family, bool is_client, uint16_t port)
{
	struct sockaddr_in6 address = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	uint8_t *bytes = address.sin6_addr.s6_addr;

	if (family) {
		memcpy(bytes, ipv6[is_client], 16);
	} else {
		bytes[10] = bytes[11] = 0xff;
		memcpy(bytes + 12, ipv4[is_client], 4);
	}
	return address;
}

static int app_socket(int type)
{
	int fd = socket(AF_INET6, type | SOCK_CLOEXEC, 0), off = 0;

	assert_true(fd >= 0);
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	return fd;
}

static int app_listen(int type)
{
	const struct sockaddr_in6 any = { .sin6_family = AF_INET6,
					  .sin6_port = htons(PORT_LISTENS) };
	int fd = app_socket(type);

	assert_int_equal(bind(fd, (const struct sockaddr *)&any, sizeof(any)), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 16), 0);
	return fd;
}

/* The sequence number of what the client has not sent yet. */
static uint32_t app_next_seq(int fd)
{
	int on = 1, queue = 2 /* TCP_SEND_QUEUE */, off = -1 /* TCP_REPAIR_OFF_NO_WP */;
	uint32_t seq = 0;
	socklen_t len = sizeof(seq);

	assert_int_equal(setsockopt(fd, IPPROTO_TCP, 19 /* TCP_REPAIR */, &on, sizeof(on)), 0);
	setsockopt(fd, IPPROTO_TCP, 20 /* TCP_REPAIR_QUEUE */, &queue, sizeof(queue));
	assert_int_equal(getsockopt(fd, IPPROTO_TCP, 21 /* TCP_QUEUE_SEQ */, &seq, &len), 0);
	setsockopt(fd, IPPROTO_TCP, 19, &off, sizeof(off));
	return seq;
}

static void app_connect(int family)
{
	struct sockaddr_in6 from = app_address(family, true, PORT_CLIENT);
	struct sockaddr_in6 to = app_address(family, false, PORT_LISTENS);
	int fd = app_socket(SOCK_STREAM);

	assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	rig.client[family] = fd;
	rig.accepted[family] = accept4(rig.tcp, NULL, NULL, SOCK_CLOEXEC);
	assert_true(rig.accepted[family] >= 0);
	rig.next_seq[family] = app_next_seq(fd);
}

/* The kernel gives an IPv6 address its route later, in a work queue: a bind fails until then. */
static void app_await_address(bool is_client)
{
	struct sockaddr_in6 address = app_address(1, is_client, 0);
	uint64_t until_ns = monotonic_ns() + 20 * NS_PER_S;
	int fd = app_socket(SOCK_DGRAM);

	while (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		assert_true(monotonic_ns() < until_ns);
	close(fd);
}

static void app_open(void)
{
	assert_int_equal(isolate_network(), 0);
	assert_int_equal(system("ip link set lo up && ip address add 192.0.2.1/32 dev lo && "
				"ip address add 192.0.2.80/32 dev lo && "
				"ip address add 2001:db8::1/128 dev lo nodad && "
				"ip address add 2001:db8::50/128 dev lo nodad"),
			 0);
	app_await_address(false);
	app_await_address(true);
	rig.tcp = app_listen(SOCK_STREAM);
	rig.udp = app_listen(SOCK_DGRAM);
	app_connect(0);
	app_connect(1);
}

static void app_close(void)
{
	const int fds[] = { rig.tcp,	   rig.udp,	    rig.client[0],
			    rig.client[1], rig.accepted[0], rig.accepted[1] };

	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		if (fds[i] > 0)
			close(fds[i]);
	}
}

/* --- the gate --- */

static bool is_copied(enum gate_verdict v)
{
	return v == GATE_HOLD_SYN;
}

static bool is_recorded(enum gate_verdict v)
{
	return is_copied(v) || v == GATE_WAKE_PAYLOAD || v == GATE_WAKE_FRAGMENT ||
	       v == GATE_WAKE_TOO_LONG || v == GATE_WAKE_DATAGRAM;
}

static bool is_dropped(enum gate_verdict v)
{
	return is_copied(v);
}

static bool is_same_record(const struct gate_event *event, const uint8_t *copy, size_t i)
{
	const struct frame_oracle_seen *seen = &rig.seen[i];
	bool is_exact = ntohs(seen->flow.dport_be) == PORT_EXACT;

	if (event->verdict != seen->verdict ||
	    memcmp(&event->flow, &seen->flow, sizeof(seen->flow)) != 0 ||
	    event->l3_offset != seen->l3 || event->l4_offset != seen->l4 ||
	    event->payload_len != seen->payload_len ||
	    event->target_id != (is_exact ? TARGET_EXACT : TARGET))
		return false;
	if (!is_copied(seen->verdict))
		return event->frame_len == 0;
	return event->frame_len == rig.frames[i].len &&
	       memcmp(copy, rig.frames[i].bytes, rig.frames[i].len) == 0;
}

/* The records come in the order of the frames. */
static int on_record(void *arg, void *data, size_t len)
{
	const struct gate_event *event = data;
	size_t i = rig.recorded;

	(void)arg;
	while (i < BATCH && (rig.is_refused[i] || !is_recorded(rig.seen[i].verdict)))
		i++;
	if (i == BATCH || len != sizeof(*event) + event->frame_len ||
	    !is_same_record(event, (const uint8_t *)(event + 1), i))
		rig.wrong = "what is in the ring";
	rig.recorded = i < BATCH ? i + 1 : i;
	return 0;
}

static void map_set(const struct bpf_map *map, const void *key, const void *value)
{
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(map), key, value, BPF_ANY), 0);
}

static void gate_add_key(const struct gate_addr *addr, uint16_t port, uint8_t protocol, uint32_t id)
{
	struct gate_target_key key = { .port_be = htons(port), .protocol = protocol };
	uint32_t number = port;
	struct gate_port value;

	if (addr)
		key.addr = *addr;
	map_set(rig.skel->maps.gate_targets, &key, &id);
	bpf_map_lookup_elem(bpf_map__fd(rig.skel->maps.gate_ports), &number, &value);
	if (protocol == IPPROTO_UDP)
		value.udp = gate_port_with_key(value.udp, !addr, id);
	else
		value.tcp = gate_port_with_key(value.tcp, !addr, id);
	map_set(rig.skel->maps.gate_ports, &number, &value);
}

static void gate_add_target(void)
{
	const uint32_t ids[] = { TARGET, TARGET_EXACT };
	const uint32_t closing = CLOSING;
	const struct gate_unheard_key unheard = { .target_id = TARGET,
						  .port_be = htons(PORT_UNHEARD) };

	for (size_t i = 0; i < ARRAY_LEN(ids); i++)
		map_set(rig.skel->maps.gate_controls, &ids[i], &(struct gate_control){ 0 });
	gate_add_key(NULL, PORT_LISTENS, IPPROTO_TCP, TARGET);
	gate_add_key(NULL, PORT_LISTENS, IPPROTO_UDP, TARGET);
	gate_add_key(NULL, PORT_ENDED, IPPROTO_TCP, TARGET);
	gate_add_key(NULL, PORT_UNHEARD, IPPROTO_TCP, TARGET);
	for (int family = 0; family < 2; family++) {
		struct sockaddr_in6 server = app_address(family, false, 0);
		struct gate_addr addr;

		memcpy(addr.bytes, server.sin6_addr.s6_addr, 16);
		gate_add_key(&addr, PORT_EXACT, IPPROTO_TCP, TARGET_EXACT);
	}
	map_set(rig.skel->maps.gate_unheard, &unheard, &closing);
}

static void rig_new(void)
{
	int error;

	rig.skel = gate_bpf__open();
	assert_non_null(rig.skel);
	gate_offsets_find((struct gate_offsets *)&rig.skel->rodata->gate_offsets);
	error = gate_bpf__load(rig.skel);
	if (error < 0) {
		print_message("skipped: the gate cannot be loaded: %s\n", strerror(-error));
		gate_bpf__destroy(rig.skel);
		rig.skel = NULL;
		return;
	}
	rig.ring = ring_buffer__new(bpf_map__fd(rig.skel->maps.gate_ring), on_record, NULL, NULL);
	assert_non_null(rig.ring);
	rig.activities = mmap(NULL, GATE_TARGETS_MAX * sizeof(*rig.activities),
			      PROT_READ | PROT_WRITE, MAP_SHARED,
			      bpf_map__fd(rig.skel->maps.gate_activities), 0);
	assert_true(rig.activities != MAP_FAILED);
	app_open();
	gate_add_target();
}

static void rig_free(void)
{
	app_close();
	ring_buffer__free(rig.ring);
	gate_bpf__destroy(rig.skel);
}

struct test_fixture test_around_all = { rig_new, rig_free };

static struct counters gate_counters(void)
{
	int fd = bpf_map__fd(rig.skel->maps.gate_counters), cpus = libbpf_num_possible_cpus();
	uint64_t per_cpu[1024];
	struct counters sums = { 0 };

	assert_in_range(cpus, 1, ARRAY_LEN(per_cpu));
	for (uint32_t v = 0; v < GATE_VERDICT_COUNT; v++) {
		assert_int_equal(bpf_map_lookup_elem(fd, &v, per_cpu), 0);
		for (int cpu = 0; cpu < cpus; cpu++)
			sums.of[v] += per_cpu[cpu];
	}
	return sums;
}

/* --- one batch --- */

/* Which state the gate has for the next frames. */
static void world_choose(struct frame_random *random)
{
	const uint32_t ids[] = { TARGET, TARGET_EXACT }, zero = 0;
	uint32_t state = frame_random_below(random, 8);
	bool is_asked = frame_random_below(random, 4) == 0;
	uint64_t heartbeat_ns = monotonic_ns() + 3600 * NS_PER_S; /* of a daemon that lives */
	struct gate_control control = { 0 };

	rig.world = (struct frame_oracle_world){
		.is_closed = state >= 2,
		.is_stale = state == 7,
		.ready_port = is_asked ? PORT_READY : 0,
		.is_xdp = frame_random_below(random, 2),
		.listens = PORT_LISTENS,
		.ended = PORT_ENDED,
		.unheard = PORT_UNHEARD,
		.exact = PORT_EXACT,
		.client_port = PORT_CLIENT,
		.next_seq = { rig.next_seq[0], rig.next_seq[1] },
	};
	for (int family = 0; family < 2; family++) {
		struct sockaddr_in6 server = app_address(family, false, 0);
		struct sockaddr_in6 client = app_address(family, true, 0);

		memcpy(rig.world.server[family], server.sin6_addr.s6_addr, 16);
		memcpy(rig.world.client[family], client.sin6_addr.s6_addr, 16);
	}
	control.closing = rig.world.is_closed ? CLOSING : 0;
	control.ready_port_be = htons(rig.world.ready_port);
	for (size_t i = 0; i < ARRAY_LEN(ids); i++)
		map_set(rig.skel->maps.gate_controls, &ids[i], &control);
	if (rig.world.is_stale)
		heartbeat_ns = 0;
	map_set(rig.skel->maps.gate_heartbeat, &zero, &heartbeat_ns);
}

/* A recent kernel runs no skb without the IP header that its EtherType announces. */
static bool may_be_refused(const struct frame *f)
{
	uint32_t type = (uint32_t)f->bytes[12] << 8 | f->bytes[13];

	return !rig.world.is_xdp &&
	       ((type == 0x0800 && f->len < 14 + 20) || (type == 0x86dd && f->len < 14 + 40));
}

/* At a gate that has seen nothing for long: within a millisecond it looks at less. */
static void run_frame(size_t i)
{
	const struct bpf_program *program = rig.world.is_xdp ? rig.skel->progs.gate_xdp
							     : rig.skel->progs.gate_skb;
	const struct frame *f = &rig.frames[i];
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = f->bytes,
		    .data_size_in = (uint32_t)f->len, .repeat = 1);
	int r, passed = rig.world.is_xdp ? XDP_PASSED : TC_PASS;
	int dropped = rig.world.is_xdp ? XDP_DROPPED : TC_DROP;

	memset(&rig.activities[TARGET], 0, sizeof(*rig.activities));
	memset(&rig.activities[TARGET_EXACT], 0, sizeof(*rig.activities));
	r = bpf_prog_test_run_opts(bpf_program__fd(program), &options);
	rig.is_refused[i] = r == -EINVAL && may_be_refused(f);
	if (rig.is_refused[i])
		return;
	if (r < 0)
		rig.wrong = "that the kernel runs it";
	else if ((int)options.retval != (is_dropped(rig.seen[i].verdict) ? dropped : passed))
		rig.wrong = "whether it is dropped";
}

static bool has_counted(const struct counters *before, size_t from, size_t len)
{
	struct counters after = gate_counters(), expected = *before;

	for (size_t i = from; i < from + len; i++)
		expected.of[rig.seen[i].verdict] += !rig.is_refused[i];
	return memcmp(&after, &expected, sizeof(after)) == 0;
}

static void consume(void)
{
	rig.recorded = 0;
	ring_buffer__consume(rig.ring);
	for (size_t i = rig.recorded; i < BATCH; i++) {
		if (!rig.is_refused[i] && is_recorded(rig.seen[i].verdict))
			rig.wrong = "what is in the ring: nothing";
	}
}

static void show_frame(size_t i, const struct counters *before)
{
	struct counters after = gate_counters();
	const char *got = "nothing";

	for (int v = 0; v < GATE_VERDICT_COUNT; v++) {
		if (after.of[v] != before->of[v])
			got = verdict_names[v];
	}
	print_message("%s, closed %d, stale %d, ready %u: %s, and the oracle says %s\n",
		      rig.world.is_xdp ? "xdp" : "tc", rig.world.is_closed, rig.world.is_stale,
		      rig.world.ready_port, got, verdict_names[rig.seen[i].verdict]);
	for (size_t at = 0; at < rig.frames[i].len; at++)
		printf("%02x", rig.frames[i].bytes[at]);
	printf("\n");
}

/* Which frame of the batch it was: each once more, by itself. */
static void find_wrong(void)
{
	for (size_t i = 0; i < BATCH; i++) {
		struct counters before = gate_counters();

		rig.wrong = NULL;
		run_frame(i);
		if (rig.wrong || !has_counted(&before, i, 1))
			show_frame(i, &before);
	}
}

static void run_batch(struct frame_random *random)
{
	struct counters before = gate_counters();

	rig.wrong = NULL;
	world_choose(random);
	for (size_t i = 0; i < BATCH; i++) {
		frame_random_make(random, &ends, &rig.frames[i]);
		frame_oracle_see(&rig.seen[i], &rig.world, rig.frames[i].bytes, rig.frames[i].len);
		run_frame(i);
	}
	consume();
	if (!rig.wrong && !has_counted(&before, 0, BATCH))
		rig.wrong = "the verdict";
	for (size_t i = 0; i < BATCH; i++)
		rig.verdicts.of[rig.seen[i].verdict]++;
}

static uint64_t number_of(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 10) : otherwise;
}

TEST(gate_sees_in_random_frames_what_the_oracle_sees)
{
	uint64_t seed = number_of("FRAMES_SEED", monotonic_ns()), ran = 0;
	uint64_t frames = number_of("FRAMES", FRAMES);
	struct frame_random random = { .state = seed | 1 };

	if (!rig.skel)
		skip();
	print_message("FRAMES_SEED=%llu\n", (unsigned long long)seed);
	for (; ran < frames; ran += BATCH) {
		run_batch(&random);
		if (rig.wrong) {
			print_message("after %llu frames\n", (unsigned long long)ran);
			const char *wrong = rig.wrong;
			find_wrong();
			fail_msg("gate and oracle do not agree: %s", wrong);
		}
	}
	for (int v = 0; v < GATE_VERDICT_COUNT; v++) {
		if (rig.verdicts.of[v])
			print_message("%s %llu\n", verdict_names[v],
				      (unsigned long long)rig.verdicts.of[v]);
	}
}
