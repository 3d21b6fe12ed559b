// SPDX-License-Identifier: MIT
/*
 * The gate in the kernel: frames are put through its three entry points by BPF_PROG_RUN, and what
 * it returns, counts, stamps and puts into the ring is compared with what the verdict promises.
 *
 * What BPF_PROG_RUN cannot make (a frame in pieces, a VLAN tag that the driver took out) is sent
 * over lo of a network namespace of its own.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/util.h"
#include "gate.h"
#include "gate.skel.h"
#include "gate/gate_offsets.h"
#include "lib/isolate.h"
#include "lib/packet.h"
#include "lib/test.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* <linux/bpf.h>, kernel 6.6; that of Debian 12 is older. */
#define GATE_BPF_TCX_INGRESS 46

enum {
	RETURN_PASS_SKB = -1, /* TC_ACT_UNSPEC, TCX_NEXT */
	RETURN_DROP_SKB = 2,  /* TC_ACT_SHOT, TCX_DROP */
	RETURN_PASS_XDP = 2,
	RETURN_DROP_XDP = 1,
};

enum {
	TARGET = 7,
	TARGET_EXACT = 9,
};

enum hook {
	HOOK_TCX,
	HOOK_TC,
	HOOK_XDP,
	HOOK_COUNT,
};

static const char *const hook_names[] = { "tcx", "tc", "xdp" };

static const char *const verdict_names[] = {
#define X(id, name, help) [GATE_##id] = name,
	GATE_VERDICTS(X)
#undef X
};

/* By any test of this run. The last test asks for all of them. */
static bool is_seen[GATE_VERDICT_COUNT];

struct record {
	struct gate_event event;
	__u8 frame[GATE_FRAME_MAX];
};

/* A gate that is loaded, but attached nowhere. */
struct rig {
	struct gate_bpf *skel; /* NULL: it cannot be loaded here */
	struct ring_buffer *ring;
	unsigned int records; /* consumed since the last rig_clear() */
	size_t record_len;
	struct record record; /* the last one */
};

static struct rig with_replay, without_replay;

static bool kernel_is_at_least(unsigned int major, unsigned int minor)
{
	struct utsname name;
	unsigned int has_major = 0, has_minor = 0;

	assert_int_equal(uname(&name), 0);
	assert_int_equal(sscanf(name.release, "%u.%u", &has_major, &has_minor), 2);
	return has_major > major || (has_major == major && has_minor >= minor);
}

static __u64 clock_ns(clockid_t clock)
{
	struct timespec t;

	assert_int_equal(clock_gettime(clock, &t), 0);
	return (__u64)t.tv_sec * 1000000000ULL + (__u64)t.tv_nsec;
}

/* Setting up and tearing down. */

static int rig_on_record(void *arg, void *data, size_t len)
{
	struct rig *r = arg;

	r->records++;
	r->record_len = len;
	memset(&r->record, 0, sizeof(r->record));
	memcpy(&r->record, data, len < sizeof(r->record) ? len : sizeof(r->record));
	return 0;
}

static bool rig_has_hook(const struct rig *r, enum hook hook)
{
	/* bpf_xdp_load_bytes(), by which a frame is held, is of kernel 5.18. */
	return hook != HOOK_XDP || kernel_is_at_least(5, 18) || r == &without_replay;
}

static void rig_new(struct rig *r, bool can_replay)
{
	struct gate_bpf *skel = gate_bpf__open();
	int error;

	assert_non_null(skel);
	skel->rodata->gate_can_replay = can_replay;
	skel->rodata->gate_has_coarse_clock = kernel_is_at_least(5, 11);
	skel->rodata->gate_has_xdp_copy = kernel_is_at_least(5, 18);
	gate_offsets_find((struct gate_offsets *)&skel->rodata->gate_offsets);
	bpf_program__set_autoload(skel->progs.gate_xdp, rig_has_hook(r, HOOK_XDP));
	/* tc runs it all the same, on a kernel that knows the type. */
	if (kernel_is_at_least(6, 6))
		bpf_program__set_expected_attach_type(skel->progs.gate_skb,
						      (enum bpf_attach_type)GATE_BPF_TCX_INGRESS);
	error = gate_bpf__load(skel);
	if (error == -EPERM || error == -ENOSYS) {
		print_message("skipped: the gate cannot be loaded: %s\n", strerror(-error));
		gate_bpf__destroy(skel);
		return;
	}
	assert_int_equal(error, 0);
	r->skel = skel;
	r->ring = ring_buffer__new(bpf_map__fd(skel->maps.gate_ring), rig_on_record, r, NULL);
	assert_non_null(r->ring);
}

static void rig_free(struct rig *r)
{
	ring_buffer__free(r->ring);
	gate_bpf__destroy(r->skel);
	*r = (struct rig){ 0 };
}

/*
 * The application: it listens on PACKET_SERVER_PORT of every address by TCP and UDP, and the
 * client of the packets is connected to it, by IPv4 and by IPv6. Each is there in the namespace
 * that it was made in.
 */
struct app {
	int tcp, udp;
	int client[2], accepted[2];
};

static struct app app;

static int app_socket(int type)
{
	int fd = socket(AF_INET6, type | SOCK_CLOEXEC, 0), off = 0, on = 1;
	struct sockaddr_in6 any = {
		.sin6_family = AF_INET6,
		.sin6_port = htons(PACKET_SERVER_PORT),
	};

	assert_true(fd >= 0);
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof(any)), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 16), 0);
	return fd;
}

static void app_listen(struct app *a)
{
	a->tcp = app_socket(SOCK_STREAM);
	a->udp = app_socket(SOCK_DGRAM);
}

/* An address as an IPv6 socket takes it: 192.0.2.last or 2001:db8::last. */
static struct sockaddr_in6 app_address(bool is_ipv6, __u8 last, __u16 port)
{
	struct sockaddr_in6 address = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	static const __u8 ipv4[] = { [10] = 0xff, 0xff, 192, 0, 2, 0 };
	static const __u8 ipv6[] = { 0x20, 0x01, 0x0d, 0xb8, [15] = 0 };

	memcpy(&address.sin6_addr, is_ipv6 ? ipv6 : ipv4, 16);
	address.sin6_addr.s6_addr[15] = last;
	return address;
}

static void app_connect(struct app *a, bool is_ipv6)
{
	struct sockaddr_in6 from = app_address(is_ipv6, PACKET_CLIENT, PACKET_CLIENT_PORT);
	struct sockaddr_in6 to = app_address(is_ipv6, PACKET_SERVER, PACKET_SERVER_PORT);
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), off = 0;
	/* Without TIME_WAIT at its end: it is made again. */
	const struct linger at_once = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	a->client[is_ipv6] = fd;
	a->accepted[is_ipv6] = accept4(a->tcp, NULL, NULL, SOCK_CLOEXEC);
	assert_true(a->accepted[is_ipv6] >= 0);
}

static void app_close(struct app *a)
{
	const int fds[] = { a->tcp,	  a->udp,	  a->client[0],
			    a->client[1], a->accepted[0], a->accepted[1] };

	for (size_t i = 0; i < COUNT(fds); i++) {
		if (fds[i] > 0)
			close(fds[i]);
	}
	*a = (struct app){ 0 };
}

/* The kernel gives it its route later, in a work queue. */
static void await_ipv6_address(const char *address)
{
	uint64_t until_ns = monotonic_ns() + 20 * NS_PER_S;
	char command[128];
	int r;

	snprintf(command, sizeof(command), "ip -6 route show table local | grep -q 'local %s '",
		 address);
	do {
		r = system(command);
	} while (r != 0 && monotonic_ns() < until_ns);
	assert_int_equal(r, 0);
}

static void rigs_new(void)
{
	rig_new(&with_replay, true);
	rig_new(&without_replay, false);
	if (!with_replay.skel)
		return;
	/* A namespace of its own, whose lo has the addresses of the packets. */
	assert_int_equal(isolate_network(), 0);
	assert_int_equal(system("ip link set lo up && ip address add 192.0.2.1/32 dev lo && "
				"ip address add 192.0.2.80/32 dev lo && "
				"ip address add 2001:db8::1/128 dev lo nodad && "
				"ip address add 2001:db8::50/128 dev lo nodad"),
			 0);
	await_ipv6_address("2001:db8::1");
	await_ipv6_address("2001:db8::50");
	app_listen(&app);
	app_connect(&app, false);
	app_connect(&app, true);
}

static void rigs_free(void)
{
	app_close(&app);
	rig_free(&with_replay);
	rig_free(&without_replay);
}

struct test_fixture test_around_all = { rigs_new, rigs_free };

static void skip_without(const struct rig *r)
{
	if (!r->skel)
		skip(); /* rig_new() has said why */
}

/* The daemon's side of the maps. */

static struct gate_target_key target_key(const struct gate_addr *addr, __u16 port, __u8 protocol)
{
	struct gate_target_key key = { .port_be = htons(port), .protocol = protocol };

	if (addr)
		key.addr = *addr;
	return key;
}

static void map_set(const struct bpf_map *map, const void *key, const void *value)
{
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(map), key, value, BPF_ANY), 0);
}

/* As the daemon does: what is in gate_targets for this port. */
static void rig_index_key(struct rig *r, const struct gate_target_key *key, __u32 target_id)
{
	static const struct gate_addr any;
	bool is_any = memcmp(&key->addr, &any, sizeof(any)) == 0;
	__u32 number = ntohs(key->port_be);
	struct gate_port port;
	__u32 *value = key->protocol == PACKET_UDP ? &port.udp : &port.tcp;

	assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(r->skel->maps.gate_ports), &number, &port),
			 0);
	*value = gate_port_with_key(*value, is_any, target_id);
	map_set(r->skel->maps.gate_ports, &number, &port);
}

/* addr: NULL for any address. */
static void rig_add_key(struct rig *r, const struct gate_addr *addr, __u16 port, __u8 protocol,
			__u32 target_id)
{
	struct gate_target_key key = target_key(addr, port, protocol);

	if (bpf_map_update_elem(bpf_map__fd(r->skel->maps.gate_targets), &key, &target_id,
				BPF_NOEXIST) == 0)
		rig_index_key(r, &key, target_id);
	else
		map_set(r->skel->maps.gate_targets, &key, &target_id);
}

static void rig_remove_key(struct rig *r, const struct gate_addr *addr, __u16 port, __u8 protocol)
{
	struct gate_target_key key = target_key(addr, port, protocol);

	bpf_map_delete_elem(bpf_map__fd(r->skel->maps.gate_targets), &key);
	rig_index_key(r, &key, 0); /* not empty: from now on the gate has to search */
}

static void rig_set_control(struct rig *r, __u32 target_id, bool is_closed, __u16 probe_port)
{
	struct gate_control control = {
		.closing = is_closed,
		.ready_port_be = htons(probe_port),
	};

	map_set(r->skel->maps.gate_controls, &target_id, &control);
}

/* Closed, and nobody listened on any port then. */
static void rig_set_unheard(struct rig *r, __u32 target_id)
{
	const struct gate_control control = { .closing = 1, .is_unheard = 1 };

	map_set(r->skel->maps.gate_controls, &target_id, &control);
}

static void rig_set_heartbeat(struct rig *r, __u64 heartbeat_ns)
{
	__u32 zero = 0;

	map_set(r->skel->maps.gate_heartbeat, &zero, &heartbeat_ns);
}

static struct gate_activity rig_activity(struct rig *r, __u32 target_id)
{
	struct gate_activity activity;

	assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(r->skel->maps.gate_activities), &target_id,
					     &activity),
			 0);
	return activity;
}

static void rig_set_activity(struct rig *r, __u32 target_id, __u64 last_ns, __u64 wake_ns)
{
	struct gate_activity activity = { .last_ns = last_ns, .wake_ns = wake_ns };

	map_set(r->skel->maps.gate_activities, &target_id, &activity);
}

/* Nothing was seen, told or held yet. */
static void rig_clear(struct rig *r)
{
	rig_set_activity(r, TARGET, 0, 0);
	rig_set_activity(r, TARGET_EXACT, 0, 0);
	ring_buffer__consume(r->ring);
	r->records = 0;
}

enum gate_state {
	OPEN,
	OPEN_ASKED,
	CLOSED,
	CLOSED_ASKED,
	STALE,
	STALE_ASKED,
};

/* One target, any address, TCP and UDP. */
static void rig_set_state(struct rig *r, enum gate_state state)
{
	bool is_closed = state != OPEN && state != OPEN_ASKED;
	bool is_asked = state == OPEN_ASKED || state == CLOSED_ASKED || state == STALE_ASKED;
	bool is_stale = state == STALE || state == STALE_ASKED;
	/* An hour ahead, so that no machine is too slow for a test. */
	__u64 fresh_ns = clock_ns(CLOCK_MONOTONIC) + 3600 * NS_PER_S;

	rig_add_key(r, NULL, PACKET_SERVER_PORT, PACKET_TCP, TARGET);
	rig_add_key(r, NULL, PACKET_SERVER_PORT, PACKET_UDP, TARGET);
	rig_set_control(r, TARGET, is_closed, is_asked ? PACKET_CLIENT_PORT : 0);
	rig_set_heartbeat(r, is_stale ? 0 : fresh_ns);
	rig_clear(r);
}

/* Running the gate. */

struct counters {
	__u64 of[GATE_VERDICT_COUNT];
};

static struct counters rig_counters(struct rig *r)
{
	int fd = bpf_map__fd(r->skel->maps.gate_counters);
	int cpus = libbpf_num_possible_cpus();
	__u64 *per_cpu = calloc((size_t)cpus, sizeof(*per_cpu));
	struct counters sums = { 0 };

	assert_true(cpus > 0);
	assert_non_null(per_cpu);
	for (__u32 v = 0; v < GATE_VERDICT_COUNT; v++) {
		assert_int_equal(bpf_map_lookup_elem(fd, &v, per_cpu), 0);
		for (int cpu = 0; cpu < cpus; cpu++)
			sums.of[v] += per_cpu[cpu];
	}
	free(per_cpu);
	return sums;
}

/* The one verdict that was counted, and that times times. */
static enum gate_verdict counted(const struct counters *before, const struct counters *after,
				 __u64 times)
{
	int found = -1;

	for (int v = 0; v < GATE_VERDICT_COUNT; v++) {
		if (after->of[v] == before->of[v])
			continue;
		assert_int_equal(found, -1);
		assert_int_equal(after->of[v] - before->of[v], times);
		found = v;
	}
	assert_int_not_equal(found, -1);
	is_seen[found] = true;
	return (enum gate_verdict)found;
}

static int rig_fd(struct rig *r, enum hook hook)
{
	const struct bpf_program *const programs[] = {
		[HOOK_TCX] = r->skel->progs.gate_skb,
		[HOOK_TC] = r->skel->progs.gate_skb,
		[HOOK_XDP] = r->skel->progs.gate_xdp,
	};

	return bpf_program__fd(programs[hook]);
}

static int expected_return(enum hook hook, enum gate_verdict verdict)
{
	bool drops = strncmp(verdict_names[verdict], "hold_", 5) == 0 ||
		     strncmp(verdict_names[verdict], "drop_", 5) == 0;

	if (hook == HOOK_XDP)
		return drops ? RETURN_DROP_XDP : RETURN_PASS_XDP;
	return drops ? RETURN_DROP_SKB : RETURN_PASS_SKB;
}

/*
 * The kernel refuses to run a frame without an Ethernet header, and a recent one also an skb
 * without the IP header that its EtherType announces. No frame of this kind reaches a hook.
 */
static bool kernel_may_refuse(enum hook hook, const struct packet *p, size_t len)
{
	unsigned int ethertype = (unsigned int)p->bytes[12] << 8 | p->bytes[13];

	if (len < 14 || hook == HOOK_XDP)
		return len < 14;
	return (ethertype == 0x0800 && len < 14 + 20) || (ethertype == 0x86dd && len < 14 + 40);
}

/* Puts the first len bytes of a frame through a hook, repeat times. -1: the kernel refuses. */
static int run_some(struct rig *r, enum hook hook, const struct packet *p, size_t len, int repeat)
{
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = p->bytes, .data_size_in = (__u32)len,
		    .repeat = repeat);
	struct counters before = rig_counters(r), after;
	int error = bpf_prog_test_run_opts(rig_fd(r, hook), &options);
	enum gate_verdict verdict;

	if (error == -EINVAL && kernel_may_refuse(hook, p, len))
		return -1;
	assert_int_equal(error, 0);
	after = rig_counters(r);
	verdict = counted(&before, &after, (__u64)repeat);
	assert_int_equal((int)options.retval, expected_return(hook, verdict));
	return (int)verdict;
}

static int run_once(struct rig *r, enum hook hook, const struct packet *p)
{
	return run_some(r, hook, p, p->len, 1);
}

/* Checking what it did. */

static void assert_verdict(enum hook hook, int got, int want)
{
	if (got != want)
		fail_msg("%s: %s, not %s", hook_names[hook], verdict_names[got],
			 verdict_names[want]);
}

static bool is_stamped(enum gate_verdict v)
{
	return v != GATE_PASS_OTHER && v != GATE_PASS_FRAGMENT && v != GATE_PASS_UNPARSED &&
	       v != GATE_PASS_QUIET && v != GATE_PASS_READY && v != GATE_PASS_UNPROVEN &&
	       v != GATE_PASS_JUDGED && v != GATE_PASS_STEERED && v != GATE_PASS_OUTSIDE &&
	       v != GATE_PASS_KEEPALIVE && v != GATE_PASS_MARTIAN && v != GATE_PASS_STRAY &&
	       v != GATE_PASS_NO_LISTENER && v != GATE_PASS_ELSEWHERE;
}

static bool is_told(enum gate_verdict v)
{
	return v == GATE_WAKE_PAYLOAD || v == GATE_WAKE_FRAGMENT || v == GATE_WAKE_TOO_LONG ||
	       v == GATE_WAKE_FORWARDED || v == GATE_WAKE_DATAGRAM || v == GATE_DROP_NO_REPLAY;
}

/* With its frame: to be replayed, or to be judged. */
static bool is_copied(enum gate_verdict v)
{
	return v == GATE_HOLD_SYN || v == GATE_PASS_JUDGED;
}

static void addr_from(struct gate_addr *out, const __u8 *bytes, bool is_ipv6)
{
	*out = (struct gate_addr){ { [10] = 0xff, 0xff } };
	if (is_ipv6)
		memcpy(out->bytes, bytes, 16);
	else
		memcpy(out->bytes + 12, bytes, 4);
}

static struct gate_flow flow_of(const struct packet *p)
{
	const __u8 *ip = p->bytes + p->l3;
	bool is_ipv6 = ip[0] >> 4 == 6;
	struct gate_flow flow = { 0 };

	addr_from(&flow.saddr, ip + (is_ipv6 ? 8 : 12), is_ipv6);
	addr_from(&flow.daddr, ip + (is_ipv6 ? 24 : 16), is_ipv6);
	memcpy(&flow.sport_be, p->bytes + p->l4, 2);
	memcpy(&flow.dport_be, p->bytes + p->l4 + 2, 2);
	return flow;
}

static void assert_record(const struct rig *r, const struct packet *p, enum gate_verdict verdict,
			  __u64 before_ns)
{
	static const __u8 zero[sizeof(r->record.event.pad)];
	const struct gate_event *event = &r->record.event;
	struct gate_flow flow = flow_of(p);

	flow.protocol = event->flow.protocol;
	assert_true(flow.protocol == PACKET_TCP || flow.protocol == PACKET_UDP);
	assert_int_equal(r->records, 1);
	assert_memory_equal(&event->flow, &flow, sizeof(flow));
	assert_int_equal(event->verdict, verdict);
	assert_int_equal(event->target_id, TARGET);
	assert_int_equal(event->ifindex, if_nametoindex("lo"));
	assert_int_equal(event->l3_offset, p->l3);
	assert_int_equal(event->l4_offset, p->l4);
	assert_int_equal(event->vlan_proto_be, 0);
	assert_memory_equal(event->pad, zero, sizeof(zero));
	assert_in_range(event->seen_ns, before_ns, clock_ns(CLOCK_MONOTONIC));
	assert_int_equal(event->frame_len, is_copied(verdict) ? p->len : 0);
	assert_int_equal(r->record_len, sizeof(*event) + event->frame_len);
	assert_memory_equal(r->record.frame, p->bytes, event->frame_len);
}

/* One frame through one hook, at a gate that has seen nothing yet; the kernel may refuse: -1. */
static int run_hook(struct rig *r, enum hook hook, const struct packet *p, size_t len)
{
	__u64 before_ns = clock_ns(CLOCK_MONOTONIC);
	struct gate_activity activity;
	int verdict;

	rig_clear(r);
	verdict = run_some(r, hook, p, len, 1);
	if (verdict < 0)
		return verdict;
	ring_buffer__consume(r->ring);
	activity = rig_activity(r, TARGET);
	if (is_copied(verdict) || is_told(verdict))
		assert_record(r, p, verdict, before_ns);
	else
		assert_int_equal(r->records, 0);
	assert_int_equal(activity.last_ns != 0, is_stamped(verdict));
	assert_int_equal(activity.wake_ns != 0, is_told(verdict));
	return verdict;
}

/* Every hook there is must give the same verdict, and do what it promises. */
static void assert_all_hooks(struct rig *r, const struct packet *p, enum gate_verdict verdict)
{
	for (enum hook hook = 0; hook < HOOK_COUNT; hook++) {
		if (rig_has_hook(r, hook))
			assert_verdict(hook, run_hook(r, hook, p, p->len), verdict);
	}
}

/* What happens to each kind of packet. */

struct scene {
	const char *name;
	struct packet_spec spec;
	enum gate_state state;
	enum gate_verdict verdict;
};

#define SYN	       .tcp_flags = PACKET_SYN
#define ACK	       .tcp_flags = PACKET_ACK
#define UDP	       .protocol = PACKET_UDP
#define PAYLOAD	       ACK, .payload_len = 50
#define NO_CLIENT      .client_port = PACKET_CLIENT_PORT + 2
#define FIRST_FRAGMENT .more_fragments = 1
#define LATER_FRAGMENT .fragment_offset = 1480

/* clang-format off: a row stays a row */
static const struct scene scenes[] = {
	{ "SYN", { SYN }, OPEN, GATE_PASS_OPEN },
	{ "payload", { ACK, .payload_len = 5 }, OPEN, GATE_PASS_OPEN },
	{ "payload over IPv6", { .ip = 6, ACK, .payload_len = 5 }, OPEN, GATE_PASS_OPEN },
	{ "datagram", { UDP, .payload_len = 5 }, OPEN, GATE_PASS_OPEN },
	{ "first fragment", { UDP, .payload_len = 8, FIRST_FRAGMENT }, OPEN, GATE_PASS_OPEN },
	{ "long datagram", { UDP, .payload_len = GATE_FRAME_MAX }, OPEN, GATE_PASS_OPEN },
	{ "ACK", { ACK }, OPEN, GATE_PASS_QUIET },
	{ "FIN", { .tcp_flags = PACKET_FIN | PACKET_ACK }, OPEN, GATE_PASS_QUIET },
	{ "RST", { .tcp_flags = PACKET_RST }, OPEN, GATE_PASS_QUIET },
	{ "padded ACK", { ACK, .padding_len = 6 }, OPEN, GATE_PASS_QUIET },

	{ "SYN", { SYN }, CLOSED, GATE_HOLD_SYN },
	{ "SYN over IPv6", { .ip = 6, SYN }, CLOSED, GATE_HOLD_SYN },
	{ "SYN for ECN (RFC 3168)", { .tcp_flags = PACKET_SYN | 0xc0 }, CLOSED, GATE_HOLD_SYN },
	{ "SYN with options", { SYN, .tcp_options_len = 20 }, CLOSED, GATE_HOLD_SYN },
	{ "SYN of TCP Fast Open", { SYN, .payload_len = 200 }, CLOSED, GATE_HOLD_SYN },
	{ "SYN with IPv4 options", { SYN, .ip_options_len = 40 }, CLOSED, GATE_HOLD_SYN },
	{ "SYN, padded", { SYN, .padding_len = 6 }, CLOSED, GATE_HOLD_SYN },
	{ "SYN in a VLAN", { .vlans = 1, SYN }, CLOSED, GATE_HOLD_SYN },
	{ "SYN in two VLANs", { .vlans = 2, .ip = 6, SYN }, CLOSED, GATE_HOLD_SYN },
	{ "SYN behind eight extension headers",
	  { .ip = 6, .extensions = "hDDDrfad", SYN },
	  CLOSED,
	  GATE_HOLD_SYN },
	{ "SYN, checksum not finished",
	  { SYN, .checksum = PACKET_CHECKSUM_PARTIAL },
	  CLOSED,
	  GATE_HOLD_SYN },
	{ "SYN as long as can be",
	  { SYN, .payload_len = GATE_FRAME_MAX - 54 },
	  CLOSED,
	  GATE_HOLD_SYN },
	{ "SYN one byte longer",
	  { SYN, .payload_len = GATE_FRAME_MAX - 53 },
	  CLOSED,
	  GATE_WAKE_TOO_LONG },
	{ "SYN in fragments", { SYN, FIRST_FRAGMENT }, CLOSED, GATE_WAKE_FRAGMENT },

	{ "datagram", { UDP, .payload_len = 5 }, CLOSED, GATE_WAKE_DATAGRAM },
	{ "datagram over IPv6", { .ip = 6, UDP, .payload_len = 5 }, CLOSED, GATE_WAKE_DATAGRAM },
	{ "datagram without a checksum",
	  { UDP, .checksum = PACKET_CHECKSUM_NONE },
	  CLOSED,
	  GATE_WAKE_DATAGRAM },
	{ "empty datagram", { UDP }, CLOSED, GATE_WAKE_DATAGRAM },
	{ "empty datagram, padded", { UDP, .padding_len = 18 }, CLOSED, GATE_WAKE_DATAGRAM },
	{ "broadcast datagram",
	  { UDP, .destination = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }, .server = 255 },
	  CLOSED,
	  GATE_WAKE_DATAGRAM },
	{ "the only fragment", { .ip = 6, .extensions = "f", UDP }, CLOSED, GATE_WAKE_DATAGRAM },
	{ "first fragment", { UDP, FIRST_FRAGMENT }, CLOSED, GATE_WAKE_DATAGRAM },
	{ "first IPv6 fragment",
	  { .ip = 6, .extensions = "hf", UDP, FIRST_FRAGMENT },
	  CLOSED,
	  GATE_WAKE_DATAGRAM },
	{ "long datagram", { UDP, .payload_len = GATE_FRAME_MAX }, CLOSED, GATE_WAKE_DATAGRAM },

	{ "payload", { ACK, .payload_len = 5 }, CLOSED, GATE_WAKE_PAYLOAD },
	{ "two bytes of payload, padded",
	  { ACK, .payload_len = 2, .padding_len = 4 },
	  CLOSED,
	  GATE_WAKE_PAYLOAD },
	{ "payload with FIN",
	  { .tcp_flags = PACKET_FIN | PACKET_ACK, .payload_len = 2 },
	  CLOSED,
	  GATE_WAKE_PAYLOAD },
	{ "long payload", { ACK, .payload_len = GATE_FRAME_MAX }, CLOSED, GATE_WAKE_PAYLOAD },
	{ "ACK, as a keep-alive is", { ACK }, CLOSED, GATE_PASS_QUIET },
	{ "ACK, padded", { ACK, .padding_len = 6 }, CLOSED, GATE_PASS_QUIET },
	{ "FIN", { .tcp_flags = PACKET_FIN | PACKET_ACK }, CLOSED, GATE_PASS_QUIET },
	{ "RST", { .tcp_flags = PACKET_RST }, CLOSED, GATE_PASS_QUIET },
	{ "SYN|ACK", { .tcp_flags = PACKET_SYN | PACKET_ACK }, CLOSED, GATE_PASS_QUIET },
	{ "SYN|FIN", { .tcp_flags = PACKET_SYN | PACKET_FIN }, CLOSED, GATE_PASS_QUIET },
	{ "SYN|RST", { .tcp_flags = PACKET_SYN | PACKET_RST }, CLOSED, GATE_PASS_QUIET },

	{ "our question's SYN", { SYN }, OPEN_ASKED, GATE_PASS_READY },
	{ "our question's SYN", { SYN }, CLOSED_ASKED, GATE_PASS_READY },
	{ "our question's request", { ACK, .payload_len = 80 }, CLOSED_ASKED, GATE_PASS_READY },
	{ "our question's ACK", { ACK }, CLOSED_ASKED, GATE_PASS_READY },
	{ "our question's SYN", { SYN }, STALE_ASKED, GATE_PASS_READY },
	{ "SYN of a client meanwhile",
	  { SYN, .client_port = PACKET_CLIENT_PORT + 1 },
	  CLOSED_ASKED,
	  GATE_HOLD_SYN },

	{ "SYN", { SYN }, STALE, GATE_PASS_STALE },
	{ "payload", { ACK, .payload_len = 5 }, STALE, GATE_PASS_STALE },
	{ "datagram", { UDP }, STALE, GATE_PASS_STALE },
	{ "ACK", { ACK }, STALE, GATE_PASS_QUIET },

	{ "payload of no connection", { NO_CLIENT, PAYLOAD }, CLOSED, GATE_PASS_STRAY },
	{ "payload of no connection", { NO_CLIENT, .ip = 6, PAYLOAD }, CLOSED, GATE_PASS_STRAY },
	{ "payload of no connection", { NO_CLIENT, PAYLOAD }, OPEN, GATE_PASS_STRAY },
	{ "payload with FIN of no connection",
	  { NO_CLIENT, .tcp_flags = PACKET_FIN | PACKET_ACK, .payload_len = 5 },
	  CLOSED,
	  GATE_PASS_STRAY },
	{ "payload without ACK",
	  { .tcp_flags = PACKET_PSH, .payload_len = 5 },
	  CLOSED,
	  GATE_PASS_QUIET },
	{ "payload without flags",
	  { .tcp_flags = 0x20, .payload_len = 5 },
	  CLOSED,
	  GATE_PASS_QUIET },
	{ "payload with FIN, PSH, URG",
	  { .tcp_flags = 0x20 | PACKET_FIN | PACKET_PSH, .payload_len = 5 },
	  CLOSED,
	  GATE_PASS_QUIET },
	{ "SYN to all machines of the link",
	  { SYN, .destination = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff } },
	  CLOSED,
	  GATE_PASS_MARTIAN },

	{ "ARP", { .ethertype = 0x0806 }, CLOSED, GATE_PASS_OTHER },
	{ "ICMP", { .protocol = 1, .payload_len = 8 }, CLOSED, GATE_PASS_OTHER },
	{ "SYN in three VLANs", { .vlans = 3, SYN }, CLOSED, GATE_PASS_OTHER },
	{ "another port", { SYN, .server_port = 8081 }, CLOSED, GATE_PASS_OTHER },
	{ "a server's answer",
	  { SYN, .client_port = PACKET_SERVER_PORT, .server_port = PACKET_CLIENT_PORT },
	  CLOSED,
	  GATE_PASS_OTHER },
	{ "later fragment",
	  { UDP, .payload_len = 64, LATER_FRAGMENT },
	  CLOSED,
	  GATE_PASS_FRAGMENT },
	{ "later IPv6 fragment",
	  { .ip = 6, .extensions = "f", UDP, .payload_len = 64, LATER_FRAGMENT },
	  CLOSED,
	  GATE_PASS_FRAGMENT },
};
/* clang-format on */

/* clang-format off: a row stays a row */
static const struct scene scenes_without_replay[] = {
	{ "SYN", { SYN }, OPEN, GATE_PASS_OPEN },
	{ "SYN", { SYN }, CLOSED, GATE_DROP_NO_REPLAY },
	{ "SYN over IPv6", { .ip = 6, SYN }, CLOSED, GATE_DROP_NO_REPLAY },
	{ "SYN in fragments", { SYN, FIRST_FRAGMENT }, CLOSED, GATE_WAKE_FRAGMENT },
	{ "SYN too long to be held",
	  { SYN, .payload_len = GATE_FRAME_MAX },
	  CLOSED,
	  GATE_WAKE_TOO_LONG },
	{ "datagram", { UDP }, CLOSED, GATE_WAKE_DATAGRAM },
	{ "payload", { ACK, .payload_len = 5 }, CLOSED, GATE_WAKE_PAYLOAD },
	{ "ACK", { ACK }, CLOSED, GATE_PASS_QUIET },
	{ "SYN", { SYN }, STALE, GATE_PASS_STALE },
	{ "our question's SYN", { SYN }, CLOSED_ASKED, GATE_PASS_READY },
};
/* clang-format on */

static void play(struct rig *r, const struct scene *table, size_t len)
{
	static const char *const states[] = {
		[OPEN] = "open",     [OPEN_ASKED] = "open, probed",
		[CLOSED] = "closed", [CLOSED_ASKED] = "closed, probed",
		[STALE] = "stale",   [STALE_ASKED] = "stale, probed",
	};

	for (size_t i = 0; i < len; i++) {
		struct packet p;

		print_message("  %-14s %s\n", states[table[i].state], table[i].name);
		packet_build(&p, &table[i].spec);
		rig_set_state(r, table[i].state);
		assert_all_hooks(r, &p, table[i].verdict);
	}
}

TEST(every_packet_gets_its_verdict_in_all_hooks)
{
	skip_without(&with_replay);
	play(&with_replay, scenes, COUNT(scenes));
}

TEST(without_replay_a_syn_is_dropped_and_a_datagram_passes)
{
	skip_without(&without_replay);
	play(&without_replay, scenes_without_replay, COUNT(scenes_without_replay));
}

TEST(what_is_malformed_passes_a_closed_gate)
{
	skip_without(&with_replay);
	rig_set_state(&with_replay, CLOSED);
	for (size_t i = 0; i < packet_malformed_len; i++) {
		struct packet p;

		print_message("  %s\n", packet_malformed[i].name);
		packet_build_malformed(&p, &packet_malformed[i]);
		assert_all_hooks(&with_replay, &p, GATE_PASS_UNPARSED);
	}
}

TEST(a_frame_cut_at_any_byte_passes_a_closed_gate)
{
	static const struct packet_spec specs[] = {
		{ SYN, .ip_options_len = 12 },
		{ SYN, .vlans = 2, .ip = 6, .extensions = "hdrfad" },
		{ UDP, .payload_len = 16 },
	};
	struct rig *r = &with_replay;

	skip_without(r);
	rig_set_state(r, CLOSED);
	for (size_t i = 0; i < COUNT(specs); i++) {
		struct packet p;

		packet_build(&p, &specs[i]);
		for (size_t len = 0; len < p.len; len++) {
			for (enum hook hook = 0; hook < HOOK_COUNT; hook++) {
				int verdict = -1;

				if (rig_has_hook(r, hook))
					verdict = run_hook(r, hook, &p, len);
				if (verdict >= 0)
					assert_verdict(hook, verdict, GATE_PASS_UNPARSED);
			}
		}
		assert_all_hooks(r, &p, i == 2 ? GATE_WAKE_DATAGRAM : GATE_HOLD_SYN);
	}
}

/* A probe port of 0 says that there is none; a source port of 0 is odd, but may be sent. */
TEST(a_client_at_port_zero_is_no_probe)
{
	struct packet p;

	skip_without(&with_replay);
	rig_set_state(&with_replay, CLOSED);
	packet_build(&p, &(struct packet_spec){ SYN });
	memset(p.bytes + p.l4, 0, 2);
	assert_all_hooks(&with_replay, &p, GATE_HOLD_SYN);
}

/* Probes. */

enum source_of_scene {
	FROM_CLIENT,
	FROM_PROBE,
};

struct check_scene {
	const char *name;
	struct packet_spec spec;
	enum source_of_scene from;
	struct gate_control control;
	bool is_steered;
	enum gate_verdict verdict;
};

#define OPEN_WITH(how)                                                                             \
	{                                                                                          \
		.probes = GATE_PROBES_##how                                                        \
	}
#define CLOSED_WITH(how)                                                                           \
	{                                                                                          \
		.closing = 3, .probes = GATE_PROBES_##how                                          \
	}
#define LONG_PAYLOAD ACK, .payload_len = GATE_FRAME_MAX

/* clang-format off: a row stays a row */
static const struct check_scene check_scenes[] = {
	{ "a client's SYN", { SYN }, FROM_CLIENT, OPEN_WITH(ANSWER), false, GATE_PASS_OPEN },
	{ "a client's payload",
	  { PAYLOAD },
	  FROM_CLIENT,
	  OPEN_WITH(ANSWER),
	  false,
	  GATE_PASS_OPEN },
	{ "SYN", { SYN }, FROM_PROBE, OPEN_WITH(ANSWER), false, GATE_PASS_UNPROVEN },
	{ "SYN, IPv6", { .ip = 6, SYN }, FROM_PROBE, OPEN_WITH(ANSWER), false, GATE_PASS_UNPROVEN },
	{ "SYN", { SYN }, FROM_PROBE, OPEN_WITH(PASS), false, GATE_PASS_UNPROVEN },
	{ "SYN", { SYN }, FROM_PROBE, OPEN_WITH(NONE), false, GATE_PASS_OPEN },
	{ "payload", { PAYLOAD }, FROM_PROBE, OPEN_WITH(ANSWER), false, GATE_PASS_JUDGED },
	{ "payload, IPv6",
	  { .ip = 6, PAYLOAD },
	  FROM_PROBE,
	  OPEN_WITH(PASS),
	  false,
	  GATE_PASS_JUDGED },
	{ "padded",
	  { ACK, .payload_len = 2, .padding_len = 4 },
	  FROM_PROBE,
	  OPEN_WITH(ANSWER),
	  false,
	  GATE_PASS_JUDGED },
	{ "long payload", { LONG_PAYLOAD }, FROM_PROBE, OPEN_WITH(ANSWER), false, GATE_PASS_OPEN },
	{ "datagram",
	  { UDP, .payload_len = 5 },
	  FROM_PROBE,
	  OPEN_WITH(ANSWER),
	  false,
	  GATE_PASS_OPEN },
	{ "ACK", { ACK }, FROM_PROBE, OPEN_WITH(ANSWER), false, GATE_PASS_QUIET },

	{ "a client's SYN, all judged",
	  { SYN },
	  FROM_CLIENT,
	  { .judges_all = 1 },
	  false,
	  GATE_PASS_UNPROVEN },
	{ "a client's payload, all judged",
	  { PAYLOAD },
	  FROM_CLIENT,
	  { .judges_all = 1 },
	  false,
	  GATE_PASS_JUDGED },
	{ "judged a moment ago",
	  { PAYLOAD },
	  FROM_PROBE,
	  { .probes = GATE_PROBES_ANSWER, .judge_after_ns = UINT64_MAX },
	  false,
	  GATE_PASS_OPEN },
	{ "judged a moment ago",
	  { SYN },
	  FROM_CLIENT,
	  { .judges_all = 1, .judge_after_ns = UINT64_MAX },
	  false,
	  GATE_PASS_OPEN },
	{ "judged long ago",
	  { PAYLOAD },
	  FROM_PROBE,
	  { .probes = GATE_PROBES_ANSWER, .judge_after_ns = 1 },
	  false,
	  GATE_PASS_JUDGED },

	{ "a client's SYN", { SYN }, FROM_CLIENT, CLOSED_WITH(ANSWER), false, GATE_HOLD_SYN },
	{ "a client's payload",
	  { PAYLOAD },
	  FROM_CLIENT,
	  CLOSED_WITH(PASS),
	  false,
	  GATE_WAKE_PAYLOAD },
	{ "SYN, all judged",
	  { SYN },
	  FROM_CLIENT,
	  { .closing = 3, .judges_all = 1 },
	  false,
	  GATE_HOLD_SYN },
	{ "SYN", { SYN }, FROM_PROBE, CLOSED_WITH(ANSWER), false, GATE_PASS_STEERED },
	{ "SYN, IPv6",
	  { .ip = 6, SYN },
	  FROM_PROBE,
	  CLOSED_WITH(ANSWER),
	  false,
	  GATE_PASS_STEERED },
	{ "payload, steered",
	  { PAYLOAD },
	  FROM_PROBE,
	  CLOSED_WITH(ANSWER),
	  true,
	  GATE_PASS_STEERED },
	{ "payload, not steered",
	  { PAYLOAD },
	  FROM_PROBE,
	  CLOSED_WITH(ANSWER),
	  false,
	  GATE_PASS_JUDGED },
	{ "long payload, not steered",
	  { LONG_PAYLOAD },
	  FROM_PROBE,
	  CLOSED_WITH(ANSWER),
	  false,
	  GATE_WAKE_PAYLOAD },
	{ "payload, all judged",
	  { PAYLOAD },
	  FROM_CLIENT,
	  { .closing = 3, .judges_all = 1 },
	  false,
	  GATE_PASS_JUDGED },
	{ "payload, steered by the last closing",
	  { PAYLOAD },
	  FROM_PROBE,
	  { .closing = 4, .probes = GATE_PROBES_ANSWER },
	  true,
	  GATE_PASS_JUDGED },
	{ "datagram",
	  { UDP, .payload_len = 5 },
	  FROM_PROBE,
	  CLOSED_WITH(ANSWER),
	  false,
	  GATE_WAKE_DATAGRAM },
	{ "SYN", { SYN }, FROM_PROBE, CLOSED_WITH(PASS), false, GATE_PASS_JUDGED },
	{ "payload", { PAYLOAD }, FROM_PROBE, CLOSED_WITH(PASS), false, GATE_PASS_JUDGED },
	{ "long payload",
	  { LONG_PAYLOAD },
	  FROM_PROBE,
	  CLOSED_WITH(PASS),
	  false,
	  GATE_WAKE_PAYLOAD },
};
/* clang-format on */

static void rig_set_source(struct rig *r, __u32 target_id, const struct gate_addr *addr,
			   __u32 prefix_len, __u32 source)
{
	const struct gate_source_key key = {
		.prefix_len = 32 + prefix_len,
		.target_id = target_id,
		.addr = *addr,
	};

	map_set(r->skel->maps.gate_sources, &key, &source);
}

/* What the client is: by its address alone, which a wider prefix calls something else. */
static void rig_set_client(struct rig *r, const struct gate_addr *client, enum gate_source source)
{
	enum gate_source other = source == GATE_SOURCE_PROBE ? GATE_SOURCE_CLIENT
							     : GATE_SOURCE_PROBE;

	rig_set_source(r, TARGET, client, 32, (__u32)other);
	rig_set_source(r, TARGET, client, 128, (__u32)source);
	rig_set_source(r, TARGET_EXACT, client, 128, (__u32)other);
}

static void rig_set_steered(struct rig *r, const struct gate_flow *flow, bool is_steered)
{
	const struct gate_connection key = {
		.remote = flow->saddr,
		.local = flow->daddr,
		.remote_port_be = flow->sport_be,
		.local_port_be = flow->dport_be,
	};
	const __u32 closing = 3;

	bpf_map_delete_elem(bpf_map__fd(r->skel->maps.gate_steered), &key);
	if (is_steered)
		map_set(r->skel->maps.gate_steered, &key, &closing);
}

TEST(probes_get_their_verdicts_in_all_hooks)
{
	static const enum gate_source sources[] = {
		[FROM_CLIENT] = GATE_SOURCE_CLIENT,
		[FROM_PROBE] = GATE_SOURCE_PROBE,
	};
	const __u32 target_id = TARGET;
	struct rig *r = &with_replay;

	skip_without(r);
	for (size_t i = 0; i < COUNT(check_scenes); i++) {
		const struct check_scene *scene = &check_scenes[i];
		struct gate_flow flow;
		struct packet p;

		print_message("  %s\n", scene->name);
		packet_build(&p, &scene->spec);
		flow = flow_of(&p);
		rig_set_state(r, OPEN);
		map_set(r->skel->maps.gate_controls, &target_id, &scene->control);
		rig_set_client(r, &flow.saddr, sources[scene->from]);
		rig_set_steered(r, &flow, scene->is_steered);
		assert_all_hooks(r, &p, scene->verdict);
	}
	rig_set_control(r, TARGET, false, 0);
}

/* enum gate_kubelet, or 0 for a connection that is not the kubelet's. */
static void rig_set_kubelets(struct rig *r, const struct gate_flow *flow, __u32 kubelets)
{
	const struct gate_connection key = {
		.remote = flow->saddr,
		.local = flow->daddr,
		.remote_port_be = flow->sport_be,
		.local_port_be = flow->dport_be,
	};

	bpf_map_delete_elem(bpf_map__fd(r->skel->maps.gate_kubelet), &key);
	if (kubelets)
		map_set(r->skel->maps.gate_kubelet, &key, &kubelets);
}

TEST(the_kubelets_connections_are_probes_wherever_they_come_from)
{
	static const struct {
		enum gate_source kind;
		bool knows_kubelet;
		__u32 kubelets;
		enum gate_verdict verdict;
	} rows[] = {
		{ GATE_SOURCE_NODE, true, GATE_KUBELET_OPEN, GATE_PASS_UNPROVEN },
		{ GATE_SOURCE_NODE, true, 0, GATE_PASS_OPEN },
		{ GATE_SOURCE_NODE, false, GATE_KUBELET_OPEN, GATE_PASS_UNPROVEN },
		{ GATE_SOURCE_NODE, false, 0, GATE_PASS_UNPROVEN },
		{ GATE_SOURCE_ANY, true, GATE_KUBELET_OPEN, GATE_PASS_UNPROVEN },
		{ GATE_SOURCE_ANY, true, 0, GATE_PASS_OPEN },
		{ GATE_SOURCE_ANY, false, GATE_KUBELET_OPEN, GATE_PASS_UNPROVEN },
		{ GATE_SOURCE_ANY, false, 0, GATE_PASS_OPEN },
	};
	const struct gate_control control = OPEN_WITH(ANSWER);
	const __u32 target_id = TARGET, zero = 0;
	struct rig *r = &with_replay;

	skip_without(r);
	for (size_t i = 0; i < 2 * COUNT(rows); i++) {
		const __u32 knows = rows[i / 2].knows_kubelet;
		struct gate_flow flow;
		struct packet p;

		print_message("  row %zu, IPv%d\n", i / 2, i % 2 ? 6 : 4);
		packet_build(&p, &(struct packet_spec){ .ip = i % 2 ? 6 : 4, SYN });
		flow = flow_of(&p);
		rig_set_state(r, OPEN);
		map_set(r->skel->maps.gate_controls, &target_id, &control);
		map_set(r->skel->maps.gate_knows, &zero, &knows);
		rig_set_client(r, &flow.saddr, rows[i / 2].kind);
		rig_set_kubelets(r, &flow, rows[i / 2].kubelets);
		assert_all_hooks(r, &p, rows[i / 2].verdict);
		rig_set_kubelets(r, &flow, 0);
	}
	rig_set_control(r, TARGET, false, 0);
}

/* What the kubelet has sent is still the kubelet's; who opens another from there is not. */
TEST(a_port_that_the_kubelet_has_used_is_anybodys)
{
	const struct gate_control control = OPEN_WITH(ANSWER);
	const __u32 target_id = TARGET, zero = 0, knows = 1;
	struct rig *r = &with_replay;
	struct packet syn, payload;
	struct gate_flow flow;

	skip_without(r);
	packet_build(&syn, &(struct packet_spec){ SYN });
	packet_build(&payload, &(struct packet_spec){ ACK, .payload_len = 5 });
	flow = flow_of(&syn);
	rig_set_state(r, OPEN);
	map_set(r->skel->maps.gate_controls, &target_id, &control);
	map_set(r->skel->maps.gate_knows, &zero, &knows);
	rig_set_client(r, &flow.saddr, GATE_SOURCE_NODE);
	rig_set_kubelets(r, &flow, GATE_KUBELET_CLOSED);
	assert_all_hooks(r, &payload, GATE_PASS_JUDGED);
	assert_all_hooks(r, &syn, GATE_PASS_OPEN);
	assert_all_hooks(r, &payload, GATE_PASS_OPEN);
	rig_set_control(r, TARGET, false, 0);
}

/* It is shown to the daemon with what it needs to find the payload. */
TEST(judged_payload_is_told_with_its_length)
{
	const struct gate_control control = OPEN_WITH(ANSWER);
	const __u32 target_id = TARGET;
	struct rig *r = &with_replay;
	struct gate_flow flow;
	struct packet p;

	skip_without(r);
	packet_build(&p, &(struct packet_spec){ ACK, .payload_len = 3, .padding_len = 3 });
	flow = flow_of(&p);
	rig_set_state(r, OPEN);
	map_set(r->skel->maps.gate_controls, &target_id, &control);
	rig_set_client(r, &flow.saddr, GATE_SOURCE_PROBE);
	assert_all_hooks(r, &p, GATE_PASS_JUDGED);
	assert_int_equal(r->record.event.payload_len, 3);
	rig_set_control(r, TARGET, false, 0);
}

TEST(what_nobody_listens_for_is_refused_as_awake)
{
	static const struct packet_spec specs[] = {
		{ SYN }, { .ip = 6, SYN }, { UDP }, { .ip = 6, UDP }
	};
	const struct gate_unheard_key unheard = { TARGET, htons(PACKET_SERVER_PORT), 0 };
	const __u32 closing = 1;
	struct rig *r = &with_replay;

	skip_without(r);
	rig_set_state(r, CLOSED);
	app_close(&app);
	for (size_t i = 0; i < COUNT(specs); i++) {
		struct packet p;

		packet_build(&p, &specs[i]);
		/* It listened when the gate was closed, and so it is waited for. */
		assert_all_hooks(r, &p, i < 2 ? GATE_HOLD_SYN : GATE_PASS_NO_LISTENER);
	}
	map_set(r->skel->maps.gate_unheard, &unheard, &closing);
	for (size_t i = 0; i < COUNT(specs); i++) {
		struct packet p;

		packet_build(&p, &specs[i]);
		assert_all_hooks(r, &p, GATE_PASS_NO_LISTENER);
	}
	rig_set_unheard(r, TARGET);
	for (size_t i = 0; i < COUNT(specs); i++) {
		struct packet p;

		packet_build(&p, &specs[i]);
		/* It has not started yet: who calls wakes it. */
		assert_all_hooks(r, &p, i < 2 ? GATE_HOLD_SYN : GATE_WAKE_DATAGRAM);
	}
	rig_set_state(r, CLOSED);
	app_listen(&app);
	app_connect(&app, false);
	app_connect(&app, true);
	for (size_t i = 0; i < COUNT(specs); i++) {
		struct packet p;

		packet_build(&p, &specs[i]);
		assert_all_hooks(r, &p, i < 2 ? GATE_HOLD_SYN : GATE_WAKE_DATAGRAM);
	}
}

/* What the application's socket expects next; false: the kernel does not tell. */
static bool app_next_seq(int fd, __u32 *out)
{
	int on = 1, queue = 1 /* TCP_RECV_QUEUE */, off = -1 /* TCP_REPAIR_OFF_NO_WP */;
	socklen_t len = sizeof(*out);

	if (setsockopt(fd, IPPROTO_TCP, 19 /* TCP_REPAIR */, &on, sizeof(on)) < 0)
		return false;
	assert_int_equal(
		setsockopt(fd, IPPROTO_TCP, 20 /* TCP_REPAIR_QUEUE */, &queue, sizeof(queue)), 0);
	assert_int_equal(getsockopt(fd, IPPROTO_TCP, 21 /* TCP_QUEUE_SEQ */, out, &len), 0);
	assert_int_equal(setsockopt(fd, IPPROTO_TCP, 19, &off, sizeof(off)), 0);
	return true;
}

/* Windows sends a byte that has been received before, and other systems none. */
TEST(a_keep_alive_with_a_byte_is_no_activity)
{
	struct rig *r = &with_replay;

	skip_without(r);
	for (int is_ipv6 = 0; is_ipv6 < 2; is_ipv6++) {
		struct packet p;
		__u32 next;

		if (!app_next_seq(app.accepted[is_ipv6], &next)) {
			print_message("skipped: no TCP_REPAIR on this kernel\n");
			skip();
		}
		packet_build(&p,
			     &(struct packet_spec){ .ip = is_ipv6 ? 6 : 4, ACK, .payload_len = 1 });
		for (int back = 0; back < 2; back++) {
			__be32 seq_be = htonl(next - (__u32)back);

			memcpy(p.bytes + p.l4 + 4, &seq_be, sizeof(seq_be));
			rig_set_state(r, CLOSED);
			assert_all_hooks(r, &p, back ? GATE_PASS_KEEPALIVE : GATE_WAKE_PAYLOAD);
			rig_set_state(r, OPEN);
			assert_all_hooks(r, &p, back ? GATE_PASS_KEEPALIVE : GATE_PASS_OPEN);
		}
	}
}

TEST(pings_are_no_activity_if_they_are_ignored)
{
	static const __u8 ping[] = { 0, 0, 8, 6, 0, 0, 0, 0, 0 };
	const __u32 target_id = TARGET;
	struct rig *r = &with_replay;
	struct packet p;

	skip_without(r);
	packet_build(&p, &(struct packet_spec){ ACK, .payload_len = 17, .tcp_options_len = 12 });
	memcpy(p.bytes + p.payload, ping, sizeof(ping));
	for (int ignores = 0; ignores < 2; ignores++) {
		struct gate_control control = { .ignores_pings = ignores != 0 };

		rig_set_state(r, OPEN);
		map_set(r->skel->maps.gate_controls, &target_id, &control);
		assert_all_hooks(r, &p, ignores ? GATE_PASS_KEEPALIVE : GATE_PASS_OPEN);
		control.closing = 1;
		map_set(r->skel->maps.gate_controls, &target_id, &control);
		assert_all_hooks(r, &p, ignores ? GATE_PASS_KEEPALIVE : GATE_WAKE_PAYLOAD);
	}
	rig_set_control(r, TARGET, false, 0);
}

/* For the closing that it was said for, and for that connection alone. */
TEST(a_syn_that_the_daemon_does_not_want_is_the_kernels)
{
	const __u32 target_id = TARGET, closing = 3;
	struct rig *r = &with_replay;
	struct gate_control control = { .closing = closing };
	struct gate_connection key;
	struct packet p, another;
	struct gate_flow flow;

	skip_without(r);
	packet_build(&p, &(struct packet_spec){ SYN });
	packet_build(&another, &(struct packet_spec){ SYN, NO_CLIENT });
	flow = flow_of(&p);
	key = (struct gate_connection){ flow.saddr, flow.daddr, flow.sport_be, flow.dport_be };
	rig_set_state(r, OPEN);
	map_set(r->skel->maps.gate_let_pass, &key, &closing);
	map_set(r->skel->maps.gate_controls, &target_id, &control);
	assert_all_hooks(r, &p, GATE_PASS_ELSEWHERE);
	assert_all_hooks(r, &another, GATE_HOLD_SYN);
	control.closing++;
	map_set(r->skel->maps.gate_controls, &target_id, &control);
	assert_all_hooks(r, &p, GATE_HOLD_SYN);
	rig_set_control(r, TARGET, false, 0);
}

/* --wake-from: a wide prefix is outside, and what is named is not. */
TEST(who_is_outside_is_neither_held_nor_counted)
{
	static const struct packet_spec specs[] = { { SYN }, { PAYLOAD }, { UDP } };
	static const struct gate_addr all;
	const __u32 target_id = TARGET;
	struct rig *r = &with_replay;

	skip_without(r);
	for (int is_named = 0; is_named < 2; is_named++) {
		for (size_t i = 0; i < COUNT(specs); i++) {
			struct gate_control control = { .closing = 1, .has_outside = 1 };
			struct gate_flow flow;
			struct packet p;

			packet_build(&p, &specs[i]);
			flow = flow_of(&p);
			rig_set_state(r, OPEN);
			map_set(r->skel->maps.gate_controls, &target_id, &control);
			rig_set_source(r, TARGET, &all, 0, GATE_SOURCE_OUTSIDE);
			rig_set_client(r, &flow.saddr,
				       is_named ? GATE_SOURCE_CLIENT : GATE_SOURCE_OUTSIDE);
			assert_all_hooks(r, &p,
					 is_named ? (enum gate_verdict[]){ GATE_HOLD_SYN,
									   GATE_WAKE_PAYLOAD,
									   GATE_WAKE_DATAGRAM }[i]
						  : GATE_PASS_OUTSIDE);
		}
	}
	rig_set_control(r, TARGET, false, 0);
}

TEST(the_last_client_is_remembered)
{
	struct rig *r = &with_replay;
	struct gate_activity activity;
	struct gate_flow flow;
	struct packet p;

	skip_without(r);
	packet_build(&p, &(struct packet_spec){ .ip = 6, SYN });
	flow = flow_of(&p);
	rig_set_state(r, OPEN);
	assert_all_hooks(r, &p, GATE_PASS_OPEN);
	activity = rig_activity(r, TARGET);
	assert_memory_equal(&activity.last_addr, &flow.saddr, sizeof(flow.saddr));
	assert_int_equal(activity.last_port_be, flow.sport_be);
}

/* Datagrams that the target sends, through a program that stands in no packet's way. */
TEST(what_a_target_sends_by_udp_is_activity_while_the_gate_is_open)
{
	static const struct {
		struct packet_spec spec;
		bool is_closed, is_activity;
	} rows[] = {
		{ { UDP, .client_port = PACKET_SERVER_PORT, .server_port = 999 }, false, true },
		{ { .ip = 6, UDP, .client_port = PACKET_SERVER_PORT }, false, true },
		{ { UDP, .client_port = PACKET_SERVER_PORT }, true, false },
		{ { UDP, .client_port = PACKET_SERVER_PORT + 1 }, false, false },
		{ { PAYLOAD, .client_port = PACKET_SERVER_PORT }, false, false },
	};
	struct rig *r = &with_replay;

	skip_without(r);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct packet p;
		LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = p.bytes);

		packet_build(&p, &rows[i].spec);
		options.data_size_in = (__u32)p.len;
		rig_set_state(r, rows[i].is_closed ? CLOSED : OPEN);
		assert_int_equal(bpf_prog_test_run_opts(
					 bpf_program__fd(r->skel->progs.gate_skb_sent), &options),
				 0);
		assert_int_equal((int)options.retval, RETURN_PASS_SKB);
		if ((rig_activity(r, TARGET).last_ns != 0) != rows[i].is_activity)
			fail_msg("row %zu", i);
	}
}

/* Which target a packet is for. */

static const struct gate_addr server4 = { { [10] = 0xff, 0xff, 192, 0, 2, PACKET_SERVER } };
static const struct gate_addr server6 = { { 0x20, 0x01, 0x0d, 0xb8, [15] = PACKET_SERVER } };

static void assert_target(struct rig *r, const struct packet_spec *spec, __u32 target_id)
{
	struct packet p;

	packet_build(&p, spec);
	for (enum hook hook = 0; hook < HOOK_COUNT; hook++) {
		if (!rig_has_hook(r, hook))
			continue;
		rig_clear(r);
		assert_verdict(hook, run_once(r, hook, &p), GATE_HOLD_SYN);
		ring_buffer__consume(r->ring);
		assert_int_equal(r->record.event.target_id, target_id);
		assert_int_not_equal(rig_activity(r, target_id).last_ns, 0);
		assert_int_equal(rig_activity(r, TARGET + TARGET_EXACT - target_id).last_ns, 0);
	}
}

TEST(an_exact_address_wins_over_any_address)
{
	struct rig *r = &with_replay;

	skip_without(r);
	rig_set_state(r, CLOSED);
	rig_set_control(r, TARGET_EXACT, true, 0);
	rig_add_key(r, &server4, PACKET_SERVER_PORT, PACKET_TCP, TARGET_EXACT);
	rig_add_key(r, &server6, PACKET_SERVER_PORT, PACKET_TCP, TARGET_EXACT);

	assert_target(r, &(struct packet_spec){ SYN }, TARGET_EXACT);
	assert_target(r, &(struct packet_spec){ .ip = 6, SYN }, TARGET_EXACT);
	assert_target(r, &(struct packet_spec){ SYN, .server = 81 }, TARGET);
	assert_target(r, &(struct packet_spec){ .ip = 6, SYN, .server = 81 }, TARGET);

	rig_remove_key(r, &server4, PACKET_SERVER_PORT, PACKET_TCP);
	rig_remove_key(r, &server6, PACKET_SERVER_PORT, PACKET_TCP);
	assert_target(r, &(struct packet_spec){ SYN }, TARGET);
}

TEST(an_exact_address_needs_no_wildcard)
{
	struct rig *r = &with_replay;
	struct packet p;

	skip_without(r);
	rig_set_state(r, CLOSED);
	rig_remove_key(r, NULL, PACKET_SERVER_PORT, PACKET_TCP);
	rig_add_key(r, &server4, PACKET_SERVER_PORT, PACKET_TCP, TARGET);

	packet_build(&p, &(struct packet_spec){ SYN });
	assert_all_hooks(r, &p, GATE_HOLD_SYN);
	packet_build(&p, &(struct packet_spec){ SYN, .server = 81 });
	assert_all_hooks(r, &p, GATE_PASS_OTHER);
	rig_remove_key(r, &server4, PACKET_SERVER_PORT, PACKET_TCP);
}

TEST(tcp_and_udp_of_one_port_are_two_targets)
{
	struct rig *r = &with_replay;
	struct packet syn, datagram;

	skip_without(r);
	packet_build(&syn, &(struct packet_spec){ SYN });
	packet_build(&datagram, &(struct packet_spec){ UDP });

	rig_set_state(r, CLOSED);
	rig_remove_key(r, NULL, PACKET_SERVER_PORT, PACKET_UDP);
	assert_all_hooks(r, &syn, GATE_HOLD_SYN);
	assert_all_hooks(r, &datagram, GATE_PASS_OTHER);

	rig_set_state(r, CLOSED);
	rig_remove_key(r, NULL, PACKET_SERVER_PORT, PACKET_TCP);
	assert_all_hooks(r, &syn, GATE_PASS_OTHER);
	assert_all_hooks(r, &datagram, GATE_WAKE_DATAGRAM);
}

TEST(a_target_id_beyond_the_maps_passes)
{
	struct rig *r = &with_replay;
	struct packet p;

	skip_without(r);
	rig_set_state(r, CLOSED);
	rig_add_key(r, NULL, PACKET_SERVER_PORT, PACKET_TCP, GATE_TARGETS_MAX);
	packet_build(&p, &(struct packet_spec){ SYN });
	assert_all_hooks(r, &p, GATE_PASS_OTHER);
}

/* What only an skb knows. */

TEST(what_is_for_another_machine_passes)
{
	struct rig *r = &with_replay;
	struct packet p;

	skip_without(r);
	rig_set_state(r, CLOSED);
	packet_build(&p, &(struct packet_spec){ SYN, .destination = { 2, 0, 0, 0, 0, 9 } });
	assert_verdict(HOOK_TCX, run_hook(r, HOOK_TCX, &p, p.len), GATE_PASS_OTHER);
	assert_verdict(HOOK_TC, run_hook(r, HOOK_TC, &p, p.len), GATE_PASS_OTHER);
	/* XDP runs before the kernel looks at the address. */
	if (rig_has_hook(r, HOOK_XDP))
		assert_verdict(HOOK_XDP, run_hook(r, HOOK_XDP, &p, p.len), GATE_HOLD_SYN);
}

TEST(glued_datagrams_pass_and_wake)
{
	struct __sk_buff context = { .gso_segs = 2, .gso_size = 512 };
	struct rig *r = &with_replay;
	struct packet p;

	skip_without(r);
	packet_build(&p, &(struct packet_spec){ UDP, .payload_len = 1024 });
	for (enum hook hook = HOOK_TCX; hook <= HOOK_TC; hook++) {
		LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = p.bytes,
			    .data_size_in = (__u32)p.len, .ctx_in = &context,
			    .ctx_size_in = sizeof(context));
		struct counters before, after;

		rig_set_state(r, CLOSED);
		before = rig_counters(r);
		assert_int_equal(bpf_prog_test_run_opts(rig_fd(r, hook), &options), 0);
		after = rig_counters(r);
		assert_verdict(hook, counted(&before, &after, 1), GATE_WAKE_DATAGRAM);
		assert_int_equal((int)options.retval, RETURN_PASS_SKB);
		assert_int_equal(ring_buffer__consume(r->ring), 1);
	}
}

/* Time. */

TEST(a_heartbeat_may_be_late_but_not_too_late)
{
	static const __u64 second_ns = 1000000000ULL;
	struct rig *r = &with_replay;
	struct packet p;
	__u64 now_ns;

	skip_without(r);
	packet_build(&p, &(struct packet_spec){ SYN });
	rig_set_state(r, CLOSED);
	now_ns = clock_ns(CLOCK_MONOTONIC);

	/* Slack of a second either way: the test may be slow, and the gate's clock is coarse. */
	rig_set_heartbeat(r, now_ns - GATE_STALE_NS - second_ns);
	assert_all_hooks(r, &p, GATE_PASS_STALE);
	rig_set_heartbeat(r, now_ns - GATE_STALE_NS + second_ns);
	assert_all_hooks(r, &p, GATE_HOLD_SYN);
	/* The coarse clock lags: a heartbeat may be ahead of it. */
	rig_set_heartbeat(r, now_ns + second_ns);
	assert_all_hooks(r, &p, GATE_HOLD_SYN);
}

/*
 * Runs a packet at a gate whose stamps are age_ns old, within one tick of the coarse clock, so that
 * the age is exact, and returns that tick.
 */
static __u64 run_aged(struct rig *r, enum hook hook, const struct packet *p, __u64 age_ns)
{
	__u64 tick_ns;

	do {
		rig_clear(r);
		tick_ns = clock_ns(CLOCK_MONOTONIC_COARSE);
		rig_set_activity(r, TARGET, tick_ns - age_ns, tick_ns - age_ns);
		run_once(r, hook, p);
	} while (clock_ns(CLOCK_MONOTONIC_COARSE) != tick_ns);
	ring_buffer__consume(r->ring);
	return tick_ns;
}

static const struct {
	__u64 age_ns;
	bool is_renewed;
} ages[] = {
	{ 0, false },
	{ GATE_STAMP_NS - 1, false },
	{ GATE_STAMP_NS, true },
	{ 1000 * GATE_STAMP_NS, true },
};

TEST(a_stamp_is_renewed_and_a_wake_told_once_a_millisecond)
{
	struct rig *r = &with_replay;
	struct packet p;

	skip_without(r);
	if (!kernel_is_at_least(5, 11)) {
		print_message("skipped: the gate's clock is coarse since kernel 5.11 only\n");
		skip();
	}
	packet_build(&p, &(struct packet_spec){ ACK, .payload_len = 5 });
	rig_set_state(r, CLOSED);
	for (size_t i = 0; i < COUNT(ages); i++) {
		for (enum hook hook = 0; hook < HOOK_COUNT; hook++) {
			__u64 age_ns = ages[i].age_ns, tick_ns, stamp_ns;

			if (!rig_has_hook(r, hook))
				continue;
			tick_ns = run_aged(r, hook, &p, age_ns);
			stamp_ns = ages[i].is_renewed ? tick_ns : tick_ns - age_ns;
			assert_int_equal(rig_activity(r, TARGET).last_ns, stamp_ns);
			assert_int_equal(rig_activity(r, TARGET).wake_ns, stamp_ns);
			assert_int_equal(r->records, ages[i].is_renewed);
		}
	}
}

TEST(a_syn_is_held_however_recent_the_last_wake)
{
	struct rig *r = &with_replay;
	struct packet p;

	skip_without(r);
	packet_build(&p, &(struct packet_spec){ SYN });
	rig_set_state(r, CLOSED);
	for (enum hook hook = 0; hook < HOOK_COUNT; hook++) {
		if (!rig_has_hook(r, hook))
			continue;
		rig_clear(r);
		assert_verdict(hook, run_some(r, hook, &p, p.len, 100), GATE_HOLD_SYN);
		ring_buffer__consume(r->ring);
		assert_int_equal(r->records, 100);
	}
}

/* The ring. */

/* As of a target that has used up nothing of its share of the ring. */
static int hold_anew(struct rig *r, const struct packet *p)
{
	rig_set_activity(r, TARGET, 0, 0);
	return run_once(r, HOOK_TCX, p);
}

/* Big records first, then small ones into the room that is left; nobody consumes. */
static void fill_ring(struct rig *r)
{
	struct packet big, small;

	packet_build(&big, &(struct packet_spec){ SYN, .payload_len = GATE_FRAME_MAX - 54 });
	packet_build(&small, &(struct packet_spec){ SYN });
	while (hold_anew(r, &big) == GATE_HOLD_SYN)
		;
	while (hold_anew(r, &small) == GATE_HOLD_SYN)
		;
}

/* The verdict for a target that has had so much of the ring; a stall of ours begins a new time. */
static int run_with_share(struct rig *r, enum hook hook, const struct packet *p, __u32 bytes)
{
	__u64 begun_ns;
	int verdict;

	do {
		struct gate_activity activity = { .share_bytes = bytes };
		__u32 target_id = TARGET;

		begun_ns = activity.share_ns = clock_ns(CLOCK_MONOTONIC_COARSE);
		map_set(r->skel->maps.gate_activities, &target_id, &activity);
		verdict = run_once(r, hook, p);
	} while (clock_ns(CLOCK_MONOTONIC) - begun_ns >= GATE_SHARE_NS);
	return verdict;
}

TEST(a_target_that_is_flooded_has_no_more_than_its_share_of_the_ring)
{
	struct rig *r = &with_replay;
	struct packet p;

	skip_without(r);
	packet_build(&p, &(struct packet_spec){ SYN });
	rig_set_state(r, CLOSED);
	for (enum hook hook = 0; hook < HOOK_COUNT; hook++) {
		__u32 size = (__u32)(sizeof(struct gate_event) + p.len);

		if (!rig_has_hook(r, hook))
			continue;
		assert_verdict(hook, run_with_share(r, hook, &p, GATE_SHARE_BYTES - size),
			       GATE_HOLD_SYN);
		assert_verdict(hook, run_with_share(r, hook, &p, GATE_SHARE_BYTES - size + 1),
			       GATE_DROP_OVER_SHARE);
		assert_int_not_equal(rig_activity(r, TARGET).last_ns, 0);
	}
	ring_buffer__consume(r->ring);
}

TEST(a_share_of_the_ring_is_there_again_after_its_time)
{
	struct rig *r = &with_replay;
	const struct gate_activity past = {
		.share_ns = clock_ns(CLOCK_MONOTONIC) - GATE_SHARE_NS - NS_PER_S,
		.share_bytes = 2 * GATE_SHARE_BYTES,
	};
	__u32 target_id = TARGET;
	struct packet p;

	skip_without(r);
	packet_build(&p, &(struct packet_spec){ SYN });
	rig_set_state(r, CLOSED);
	map_set(r->skel->maps.gate_activities, &target_id, &past);
	assert_verdict(HOOK_TCX, run_once(r, HOOK_TCX, &p), GATE_HOLD_SYN);
	ring_buffer__consume(r->ring);
}

TEST(a_full_ring_drops_a_syn_and_passes_a_datagram)
{
	struct rig *r = &with_replay;
	struct packet syn, datagram;

	skip_without(r);
	packet_build(&syn, &(struct packet_spec){ SYN });
	packet_build(&datagram, &(struct packet_spec){ UDP });
	rig_set_state(r, CLOSED);
	fill_ring(r);
	for (enum hook hook = 0; hook < HOOK_COUNT; hook++) {
		if (!rig_has_hook(r, hook))
			continue;
		rig_set_activity(r, TARGET, 0, 0);
		assert_verdict(hook, run_once(r, hook, &syn), GATE_DROP_RING_FULL);
		assert_int_not_equal(rig_activity(r, TARGET).last_ns, 0);
		rig_set_activity(r, TARGET, 0, 0);
		assert_verdict(hook, run_once(r, hook, &datagram), GATE_WAKE_DATAGRAM);
		assert_int_not_equal(rig_activity(r, TARGET).last_ns, 0);
	}

	ring_buffer__consume(r->ring);
	assert_in_range(r->records, GATE_RING_BYTES / sizeof(struct record) - 2,
			GATE_RING_BYTES / sizeof(struct gate_event));
	rig_set_state(r, CLOSED);
	assert_all_hooks(r, &syn, GATE_HOLD_SYN);
	assert_all_hooks(r, &datagram, GATE_WAKE_DATAGRAM);
}

TEST(a_wake_that_finds_no_room_is_told_by_the_next_packet)
{
	struct rig *r = &with_replay;
	struct packet p;

	skip_without(r);
	packet_build(&p, &(struct packet_spec){ ACK, .payload_len = 5 });
	rig_set_state(r, CLOSED);
	fill_ring(r);
	/* A wake has no frame: one may still fit where no datagram does. */
	run_once(r, HOOK_TCX, &p);
	for (enum hook hook = 0; hook < HOOK_COUNT; hook++) {
		if (!rig_has_hook(r, hook))
			continue;
		rig_set_activity(r, TARGET, 0, 0);
		assert_verdict(hook, run_once(r, hook, &p), GATE_WAKE_PAYLOAD);
		assert_int_not_equal(rig_activity(r, TARGET).last_ns, 0);
		assert_int_equal(rig_activity(r, TARGET).wake_ns, 0);
	}
	rig_clear(r);
	assert_all_hooks(r, &p, GATE_WAKE_PAYLOAD);
}

/* What BPF_PROG_RUN cannot make. */

static struct {
	bool is_entered;
	int outside; /* the network namespace to go back to */
	struct bpf_link *link;
	int socket; /* AF_PACKET on lo; a frame follows a virtio_net_hdr */
	struct app app;
} lo;

static int set_up(const char *interface)
{
	int socket_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = { .ifr_flags = IFF_UP };
	int r;

	strncpy(request.ifr_name, interface, IFNAMSIZ - 1);
	r = ioctl(socket_fd, SIOCSIFFLAGS, &request);
	close(socket_fd);
	return r;
}

static void lo_enter_namespace(void)
{
	lo.outside = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	assert_true(lo.outside >= 0);
	if (isolate_network() < 0) {
		print_message("skipped: no network namespace: %s\n", strerror(errno));
		close(lo.outside);
		skip();
	}
	lo.is_entered = true;
	lo.socket = -1;
}

/* The gate, closed, at tcx of lo, in a namespace of its own. */
static void lo_attach(struct rig *r)
{
	int on = 1;

	skip_without(r);
	if (!kernel_is_at_least(6, 6)) {
		print_message("skipped: tcx needs kernel 6.6\n");
		skip();
	}
	lo_enter_namespace();
	assert_int_equal(set_up("lo"), 0);
	app_listen(&lo.app);
	lo.link = bpf_program__attach_tcx(r->skel->progs.gate_skb, (int)if_nametoindex("lo"), NULL);
	assert_non_null(lo.link);
	lo.socket = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	assert_true(lo.socket >= 0);
	assert_int_equal(setsockopt(lo.socket, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)), 0);
	rig_set_state(r, CLOSED);
}

/* After each test, also one that failed or was skipped half-way. */
static void lo_leave(void)
{
	int r;

	if (!lo.is_entered)
		return;
	bpf_link__destroy(lo.link);
	app_close(&lo.app);
	if (lo.socket >= 0)
		close(lo.socket);
	r = setns(lo.outside, CLONE_NEWNET);
	close(lo.outside);
	memset(&lo, 0, sizeof(lo));
	assert_int_equal(r, 0);
}

/* linear: how much of the frame the kernel puts before the skb's fragments; 0: all of it. */
static void lo_send(const __u8 *frame, size_t len, __u16 linear)
{
	struct {
		struct virtio_net_hdr head;
		__u8 frame[8192];
	} message = { .head = { .hdr_len = linear } };
	struct sockaddr_ll to = {
		.sll_family = AF_PACKET,
		.sll_ifindex = (int)if_nametoindex("lo"),
	};
	size_t message_len = offsetof(typeof(message), frame) + len;

	assert_true(len <= sizeof(message.frame));
	memcpy(message.frame, frame, len);
	assert_int_equal(
		sendto(lo.socket, &message, message_len, 0, (struct sockaddr *)&to, sizeof(to)),
		message_len);
}

/* The kernel may receive later what was sent over lo. */
static const struct gate_event *await_record(struct rig *r)
{
	assert_int_equal(ring_buffer__poll(r->ring, 5000), 1);
	is_seen[r->record.event.verdict] = true;
	return &r->record.event;
}

/* Puts a SYN with payload on lo, of which only the Ethernet header is in the linear part. */
static void send_in_fragments(const struct packet *p, size_t len)
{
	static __u8 frame[6000];
	size_t ip_payload_len = len - p->l3 - 40;

	assert_true(len <= sizeof(frame));
	memcpy(frame, p->bytes, p->len);
	frame[p->l3 + 4] = (__u8)(ip_payload_len >> 8);
	frame[p->l3 + 5] = (__u8)ip_payload_len;
	lo_send(frame, len, 14);
}

/* Around 4096, beyond which no header is looked for. Below a page the kernel makes no fragments. */
TEST(headers_in_a_fragment_of_the_skb_are_found, .teardown = lo_leave)
{
	static const size_t lens[] = { 4090, 4096, 4097, 6000 };
	struct rig *r = &with_replay;
	struct gate_flow flow;
	struct packet p;

	lo_attach(r);
	packet_build(&p, &(struct packet_spec){ .ip = 6, .extensions = "hdrfad", SYN });
	flow = flow_of(&p);
	flow.protocol = PACKET_TCP;
	for (size_t i = 0; i < COUNT(lens); i++) {
		const struct gate_event *event;

		rig_clear(r);
		send_in_fragments(&p, lens[i]);
		event = await_record(r);
		assert_int_equal(event->verdict, GATE_WAKE_TOO_LONG);
		assert_int_equal(event->l4_offset, p.l4);
		assert_memory_equal(&event->flow, &flow, sizeof(flow));
	}
}

TEST(a_syn_in_pieces_is_held_whole, .teardown = lo_leave)
{
	const size_t len = 2000;
	struct rig *r = &with_replay;
	const struct gate_event *event;
	struct packet p;

	lo_attach(r);
	packet_build(&p, &(struct packet_spec){ .ip = 6, SYN, .payload_len = len - 74 });
	assert_int_equal(p.len, len);
	send_in_fragments(&p, len);
	event = await_record(r);
	assert_int_equal(event->verdict, GATE_HOLD_SYN);
	assert_int_equal(event->frame_len, len);
	assert_memory_equal(r->record.frame, p.bytes, len);
}

TEST(a_vlan_tag_that_was_taken_out_is_kept_in_the_record, .teardown = lo_leave)
{
	struct rig *r = &with_replay;
	const struct gate_event *event;
	struct packet tagged, plain;

	lo_attach(r);
	packet_build(&tagged, &(struct packet_spec){ .vlans = 1, SYN });
	packet_build(&plain, &(struct packet_spec){ SYN });
	lo_send(tagged.bytes, tagged.len, 0);
	event = await_record(r);
	assert_int_equal(event->verdict, GATE_HOLD_SYN);
	assert_int_equal(event->vlan_tci, 42);
	assert_int_equal(event->vlan_proto_be, htons(0x8100));
	assert_int_equal(event->frame_len, plain.len);
	assert_int_equal(event->l3_offset, plain.l3);
	assert_memory_equal(r->record.frame, plain.bytes, plain.len);
}

static void expect_of_all(struct rig *r, enum gate_verdict syn, enum gate_verdict datagram)
{
	for (unsigned int ip = 4; ip <= 6; ip += 2) {
		struct packet p;

		packet_build(&p, &(struct packet_spec){ SYN, .ip = ip });
		assert_all_hooks(r, &p, syn);
		packet_build(&p, &(struct packet_spec){ UDP, .ip = ip, .payload_len = 5 });
		assert_all_hooks(r, &p, datagram);
	}
}

TEST(what_is_routed_on_to_another_machine_is_not_held, .teardown = lo_leave)
{
	struct rig *r = &with_replay;

	skip_without(r);
	lo_enter_namespace();
	assert_int_equal(set_up("lo"), 0);
	app_listen(&lo.app);
	rig_set_state(r, CLOSED);
	assert_int_equal(system("ip route add 192.0.2.0/24 dev lo && "
				"ip -6 route add 2001:db8::/32 dev lo"),
			 0);
	expect_of_all(r, GATE_HOLD_SYN, GATE_WAKE_DATAGRAM); /* nothing is routed on yet */
	assert_int_equal(isolate_set("ipv4", "forwarding", "1"), 0);
	assert_int_equal(isolate_set("ipv6", "forwarding", "1"), 0);
	expect_of_all(r, GATE_WAKE_FORWARDED, GATE_WAKE_DATAGRAM);
	assert_int_equal(system("ip address add 192.0.2.80/32 dev lo && "
				"ip -6 address add 2001:db8::50/128 dev lo nodad"),
			 0);
	await_ipv6_address("2001:db8::50");
	expect_of_all(r, GATE_HOLD_SYN, GATE_WAKE_DATAGRAM);
}

/* Runs last. Each verdict can be reached here. */
TEST(every_verdict_was_seen)
{
	skip_without(&with_replay);
	skip_without(&without_replay);
	for (int v = 0; v < GATE_VERDICT_COUNT; v++) {
		if (!is_seen[v])
			fail_msg("%s", verdict_names[v]);
	}
}
