// SPDX-License-Identifier: GPL-2.0-only
/*
 * The gate in front of a target: one body, with entry points for tcx and tc, and for XDP.
 *
 *   frame -> parse -> which target? -> decide -> stamp, hold or tell, count -> pass or drop
 *
 * While the gate is open a packet costs the parse, one or two hash lookups, and a counter.
 */
#include "gate.h"
#include "decide.h"
#include "maps.h"

#define GATE_AF_INET  2
#define GATE_AF_INET6 10

#define GATE_VERDICTS_MAX 32

char LICENSE[] SEC("license") = "GPL";

/* Set by the daemon before the load; the verifier removes the branches not taken. */
const volatile bool gate_can_replay = true;
const volatile bool gate_has_coarse_clock = true; /* kernel >= 5.11 */
const volatile bool gate_has_xdp_copy = true;	  /* bpf_xdp_load_bytes(), kernel >= 5.18 */
const volatile bool gate_has_namespaces = false;  /* keys for network namespaces may be there */
const volatile struct gate_offsets gate_offsets = {};

/*
 * Set by the daemon when the gate is in the node's own network namespace as well. Packets to pods
 * pass through it, so that an address no longer tells in which namespace a packet is.
 */
volatile bool gate_is_on_node;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, GATE_PORTS);
	__type(key, __u32);
	__type(value, struct gate_port);
} gate_ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, GATE_KEYS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct gate_target_key);
	__type(value, __u32);
} gate_targets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, GATE_TARGETS_MAX);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct gate_activity);
} gate_activities SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, GATE_VERDICT_COUNT);
	__type(key, __u32);
	__type(value, __u64);
} gate_counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, GATE_RING_BYTES);
} gate_ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, GATE_LET_PASS_MAX);
	__type(key, struct gate_connection);
	__type(value, __u32);
} gate_let_pass SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, GATE_UNHEARD_MAX);
	__type(key, struct gate_unheard_key);
	__type(value, __u32);
} gate_unheard SEC(".maps");

/* A record is put together here: the frame's length varies, and a reservation may not. */
struct gate_record {
	struct gate_event event;
	__u8 frame[GATE_FRAME_MAX];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct gate_record);
} gate_scratch SEC(".maps");

/* What the parser has found, for the judgement of the same packet. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct parse_packet);
} gate_packets SEC(".maps");

static __always_inline struct parse_packet *gate_packet_of_cpu(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&gate_packets, &zero);
}

/* The entry points differ only in how a frame is read, and in what they return. */
struct gate_frame {
	void *context;
	bool is_xdp; /* a constant in each entry point, so that the other's branch is removed */
	__u32 ifindex;
};

static __always_inline __u64 gate_now_ns(void)
{
	return gate_has_coarse_clock ? bpf_ktime_get_coarse_ns() : bpf_ktime_get_ns();
}

static __always_inline void gate_count(__u32 verdict)
{
	__u64 *count = bpf_map_lookup_elem(&gate_counters, &verdict);

	if (count)
		(*count)++;
}

static __always_inline bool gate_read(void *out, __u32 len, const void *from, __u32 offset)
{
	return bpf_probe_read_kernel(out, len, (const char *)from + offset) == 0;
}

/*
 * The context points to the kernel's own struct, which we read like any kernel memory: only since
 * 6.15 has a tc program a helper that tells the namespace. The daemon looks up the offsets instead
 * of libbpf's relocation, so that a kernel without BTF can load the gate, too.
 */
static __always_inline bool gate_find_device(const struct gate_frame *f, void **out)
{
	void *queue;

	if (!f->is_xdp)
		return gate_read(out, sizeof(*out), f->context, gate_offsets.sk_buff_dev);
	return gate_read(&queue, sizeof(queue), f->context, gate_offsets.xdp_buff_rxq) &&
	       gate_read(out, sizeof(*out), queue, gate_offsets.xdp_rxq_info_dev);
}

static __always_inline bool gate_find_netns(const struct gate_frame *f, __u32 *out)
{
	void *device, *net;

	return gate_find_device(f, &device) &&
	       gate_read(&net, sizeof(net), device, gate_offsets.net_device_net) &&
	       gate_read(out, sizeof(*out), net, gate_offsets.net_inum);
}

static __always_inline __u32 *gate_find_in_netns(const struct gate_frame *f,
						 struct gate_target_key *key)
{
	__u32 netns;

	if (!gate_has_namespaces || !gate_find_netns(f, &netns))
		return 0;
	key->addr = gate_addr_of_netns(netns);
	return bpf_map_lookup_elem(&gate_targets, key);
}

static __always_inline __u32 *gate_search_target(const struct gate_frame *f,
						 const struct parse_packet *p)
{
	struct gate_target_key key = {
		.addr = p->flow.daddr,
		.port_be = p->flow.dport_be,
		.protocol = p->flow.protocol,
	};
	__u32 *target_id = 0;

	if (!gate_is_on_node)
		target_id = bpf_map_lookup_elem(&gate_targets, &key);
	if (!target_id)
		target_id = gate_find_in_netns(f, &key);
	if (target_id)
		return target_id;
	key.addr = (struct gate_addr){};
	return bpf_map_lookup_elem(&gate_targets, &key);
}

/* An array lookup is a few instructions, a hash lookup is a call and a hash of 20 bytes. */
static __always_inline bool gate_find_target(const struct gate_frame *f,
					     const struct parse_packet *p, __u32 *target_id_out)
{
	__u32 number = PARSE_SWAP16(p->flow.dport_be);
	const struct gate_port *port = bpf_map_lookup_elem(&gate_ports, &number);
	__u32 *target_id;
	__u32 value;

	if (!port)
		return false;
	value = p->flow.protocol == PARSE_PROTO_UDP ? port->udp : port->tcp;
	if (value != GATE_PORT_SEARCH) {
		*target_id_out = value - 1;
		return value != 0;
	}
	target_id = gate_search_target(f, p);
	if (!target_id)
		return false;
	*target_id_out = *target_id;
	return true;
}

/*
 * What the verifier knows of a value makes two ways to one place two states to be followed; of what
 * is unknown it knows nothing, and so it follows one of them (all kernels).
 */
static __always_inline __u64 gate_forget(__u64 value, __u64 unknown)
{
	asm volatile("%[value] ^= %[unknown]\n\t%[value] ^= %[unknown]"
		     : [value] "+r"(value)
		     : [unknown] "r"(unknown));
	return value;
}

/* Stored at most once a GATE_STAMP_NS, so that CPUs do not fight over the cache line. */
static __always_inline void gate_stamp(struct gate_activity *activity, const struct parse_packet *p,
				       __u64 now_ns)
{
	if (now_ns - activity->last_ns < GATE_STAMP_NS)
		return;
	activity->last_ns = now_ns;
	activity->last_addr = p->flow.saddr;
	activity->last_port_be = p->flow.sport_be;
}

static __always_inline void gate_stamp_sent(struct gate_activity *activity, __u64 now_ns)
{
	if (now_ns - activity->last_ns >= GATE_STAMP_NS)
		activity->last_ns = now_ns;
}

static __always_inline long gate_copy(const struct gate_frame *f, struct gate_record *record,
				      __u32 len)
{
	if (f->is_xdp)
		return gate_has_xdp_copy ? bpf_xdp_load_bytes(f->context, 0, record->frame, len)
					 : -1;
	return bpf_skb_load_bytes(f->context, 0, record->frame, len);
}

static __always_inline struct gate_record *gate_record_new(const struct gate_frame *f,
							   const struct parse_packet *p,
							   __u32 target_id, __u32 verdict)
{
	__u32 zero = 0;
	struct gate_record *record = bpf_map_lookup_elem(&gate_scratch, &zero);

	if (!record)
		return 0;
	record->event = (struct gate_event){
		.flow = p->flow,
		.seen_ns = bpf_ktime_get_ns(),
		.target_id = target_id,
		.ifindex = f->ifindex,
		.l3_offset = p->l3_offset,
		.l4_offset = p->l4_offset,
		.payload_len = p->payload_len,
		.verdict = verdict,
	};
	if (!f->is_xdp) {
		struct __sk_buff *skb = f->context;

		record->event.vlan_tci = skb->vlan_tci;
		record->event.vlan_proto_be = skb->vlan_present ? skb->vlan_proto : 0;
	}
	return record;
}

static __always_inline bool gate_hold(const struct gate_frame *f, const struct parse_packet *p,
				      __u32 target_id, __u32 verdict)
{
	struct gate_record *record = gate_record_new(f, p, target_id, verdict);
	__u64 last = (__u64)p->frame_len - 1;

	/*
	 * Only pleases the verifier. The barrier keeps the compiler from comparing one register and
	 * passing on another (all kernels). Before 6.8 the verifier believes that a length may be 0
	 * although we have compared it with 0; it knows that last + 1 is not.
	 */
	asm volatile("" : "+r"(last));
	if (!record || last >= GATE_FRAME_MAX || gate_copy(f, record, last + 1))
		return false;
	record->event.frame_len = last + 1;
	return !bpf_ringbuf_output(&gate_ring, record, sizeof(record->event) + last + 1, 0);
}

static __always_inline void gate_tell(const struct gate_frame *f, const struct parse_packet *p,
				      __u32 target_id, __u32 verdict,
				      struct gate_activity *activity, __u64 now_ns)
{
	struct gate_record *record;

	if (now_ns - activity->wake_ns < GATE_STAMP_NS)
		return;
	record = gate_record_new(f, p, target_id, verdict);
	if (!record || bpf_ringbuf_output(&gate_ring, record, sizeof(record->event), 0))
		return; /* the next packet tries again, and the daemon looks at last_ns */
	activity->wake_ns = now_ns;
}

/* 1 for ::ffff:a.b.c.d, else 0; without a branch, as in parse_extensions(). */
static __always_inline __u32 gate_is_ipv4(const struct gate_addr *addr)
{
	__u32 words[4], differs;

	__builtin_memcpy(words, addr->bytes, sizeof(words));
	differs = words[0] | words[1] | (words[2] ^ PARSE_SWAP32(0x0000ffffU));
	return ((differs | -differs) >> 31) ^ 1;
}

/* IPv4 is in the first word. */
static __always_inline void gate_copy_address(__u32 out[4], const struct gate_addr *addr,
					      __u32 is_ipv4)
{
	__u32 words[4];

	__builtin_memcpy(words, addr->bytes, sizeof(words));
	out[0] = (words[0] & (is_ipv4 - 1)) | (words[3] & -is_ipv4);
	out[1] = words[1];
	out[2] = words[2];
	out[3] = words[3];
}

/* Whether what a map says of a connection was said for this closing. */
static __always_inline bool gate_is_in(void *map, const struct gate_connection *c, __u32 closing)
{
	__u32 *of = bpf_map_lookup_elem(map, c);

	return of && *of == closing;
}

/*
 * Where the packet comes from. This is the expensive part of the gate. It is left out for a packet
 * that is no activity anyway, and while activity was stamped so lately that it is not stamped
 * again.
 */
static __always_inline void gate_look_at_source(const struct parse_packet *p, __u32 target_id,
						const struct gate_control *control,
						struct decide_view *view, __u64 now_ns)
{
	const struct gate_connection connection = gate_connection_of(&p->flow);

	view->probes = control->probes;
	view->judges_all = control->judges_all;
	view->is_judged = now_ns < control->judge_after_ns;
	if (view->is_closed && decide_is_syn(p)) {
		bool is_let_pass = gate_is_in(&gate_let_pass, &connection, control->closing);

		view->is_let_pass = gate_forget(is_let_pass, now_ns) & 1;
	}
	if (control->probes == GATE_PROBES_NONE && !control->has_outside)
		return;
	view->source = maps_source_of(target_id, &connection, decide_is_syn(p));
	if (control->probes == GATE_PROBES_NONE && view->source != GATE_SOURCE_OUTSIDE)
		view->source = GATE_SOURCE_CLIENT;
	if (view->is_closed && view->source != GATE_SOURCE_CLIENT)
		view->is_steered = gate_is_in(&gate_steered, &connection, control->closing);
	view->source = gate_forget(view->source, now_ns) & 7;
	view->is_steered = gate_forget(view->is_steered, now_ns) & 1;
}

/* The receiver's next sequence number. Only one byte may be a keep-alive (RFC 9293, 3.8.4). */
static __always_inline bool gate_is_repeated(const struct bpf_sock *sk,
					     const struct parse_packet *p)
{
	/* The verifier allows no arithmetic with the pointer; from here on it is a number. */
	const struct bpf_sock *volatile kept = sk;
	void *address;
	__u32 rcv_nxt;

	return gate_offsets.tcp_sock_rcv_nxt &&
	       gate_read(&address, sizeof(address), (const void *)&kept, 0) &&
	       gate_read(&rcv_nxt, sizeof(rcv_nxt), address, gate_offsets.tcp_sock_rcv_nxt) &&
	       (__s32)(p->tcp_seq - rcv_nxt) < 0;
}

static __always_inline enum decide_socket gate_socket_of(__u32 state, bool is_udp)
{
	if (is_udp || state == TCP_LISTEN || state == TCP_TIME_WAIT)
		return DECIDE_SOCKET_LISTENS; /* a SYN may follow on what has ended */
	if (state == TCP_CLOSE || state == TCP_LAST_ACK || state == TCP_CLOSING)
		return DECIDE_SOCKET_LISTENS;
	return DECIDE_SOCKET_CONNECTED;
}

static __always_inline __u32 gate_tuple(struct bpf_sock_tuple *out, const struct gate_flow *flow)
{
	if (!gate_is_ipv4(&flow->daddr)) {
		__builtin_memcpy(out->ipv6.saddr, flow->saddr.bytes, 16);
		__builtin_memcpy(out->ipv6.daddr, flow->daddr.bytes, 16);
		out->ipv6.sport = flow->sport_be;
		out->ipv6.dport = flow->dport_be;
		return sizeof(out->ipv6);
	}
	__builtin_memcpy(&out->ipv4.saddr, flow->saddr.bytes + 12, 4);
	__builtin_memcpy(&out->ipv4.daddr, flow->daddr.bytes + 12, 4);
	out->ipv4.sport = flow->sport_be;
	out->ipv4.dport = flow->dport_be;
	return sizeof(out->ipv4);
}

_Static_assert(GATE_VERDICT_COUNT <= GATE_VERDICTS_MAX, "a verdict is masked with it");

enum gate_fact {
	GATE_FACT_SOCKET = 3, /* enum decide_socket */
	GATE_FACT_REPEATED = 4,
	GATE_FACT_MARTIAN = 8,
};

/*
 * What would take the packet: a connection, else a listener, by the kernel's own rules (a program
 * at sk_lookup among them). Not inlined, as gate_is_forwarded(). Bits of enum gate_fact.
 */
static __noinline __u64 gate_find_socket(void *context, __u32 ifindex, const struct parse_packet *p)
{
	bool is_udp = p->flow.protocol == PARSE_PROTO_UDP;
	struct bpf_sock_tuple tuple = {};
	__u32 len = gate_tuple(&tuple, &p->flow);
	struct bpf_sock *sk;
	__u64 facts;

	if (decide_is_martian(p, ifindex == GATE_LO_IFINDEX))
		return GATE_FACT_MARTIAN;
	if (is_udp)
		sk = bpf_sk_lookup_udp(context, &tuple, len, BPF_F_CURRENT_NETNS, 0);
	else
		sk = bpf_skc_lookup_tcp(context, &tuple, len, BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return DECIDE_SOCKET_NONE;
	facts = gate_socket_of(sk->state, is_udp);
	if (p->payload_len == 1 && gate_is_repeated(sk, p))
		facts |= GATE_FACT_REPEATED;
	bpf_sk_release(sk);
	return facts;
}

/*
 * Somebody listened when the gate was closed, and has gone: it is being started anew. Or nobody
 * listened on any port of the target: it has fallen asleep before it had started. Datagrams without
 * a socket are many, and most for somebody else: they count in the second case alone.
 */
static __always_inline bool gate_was_heard(__u32 target_id, const struct parse_packet *p,
					   const struct gate_control *control)
{
	struct gate_unheard_key key = { .target_id = target_id, .port_be = p->flow.dport_be };
	__u32 *of;

	if (control->is_unheard)
		return true;
	if (p->flow.protocol == PARSE_PROTO_UDP)
		return false;
	of = bpf_map_lookup_elem(&gate_unheard, &key);
	return !of || *of != control->closing;
}

static __always_inline void gate_look_at_socket(const struct gate_frame *f,
						const struct parse_packet *p, __u32 target_id,
						const struct gate_control *control,
						struct decide_view *view, __u64 now_ns)
{
	__u64 facts = gate_forget(gate_find_socket(f->context, f->ifindex, p), now_ns);

	view->socket = facts & GATE_FACT_SOCKET;
	if (view->socket == DECIDE_SOCKET_NONE && view->is_closed && decide_is_first(p))
		view->was_heard = gate_was_heard(target_id, p, control);
	view->is_repeated = facts & GATE_FACT_REPEATED;
	view->is_martian = facts & GATE_FACT_MARTIAN;
}

static __always_inline void gate_look_at_payload(const struct gate_frame *f,
						 const struct parse_packet *p,
						 struct decide_view *view)
{
	__u8 head[DECIDE_PING_HEAD] = {};
	long r = -1;

	/* The shortest ping of WebSocket has no more than the mask; the longest 125 bytes. */
	if (p->payload_len < 6 || p->payload_len > 131)
		return;
	if (!f->is_xdp)
		r = bpf_skb_load_bytes(f->context, p->payload_offset, head, 6);
	else if (gate_has_xdp_copy)
		r = bpf_xdp_load_bytes(f->context, p->payload_offset, head, 6);
	if (!r && p->payload_len >= DECIDE_PING_HEAD)
		r = f->is_xdp ? bpf_xdp_load_bytes(f->context, p->payload_offset + 6, head + 6, 3)
			      : bpf_skb_load_bytes(f->context, p->payload_offset + 6, head + 6, 3);
	view->is_ping = !r && decide_is_ping(head, p->payload_len);
}

/*
 * Whether the kernel is going to forward the packet, by the routes of the namespace that it has
 * come to. Not inlined, because that would double what the verifier follows (all kernels).
 */
static __noinline bool gate_is_forwarded(void *context, __u32 ifindex, const struct parse_packet *p)
{
	__u32 is_ipv4 = gate_is_ipv4(&p->flow.daddr);
	struct bpf_fib_lookup route = {
		.family = (__u8)(GATE_AF_INET6 - (GATE_AF_INET6 - GATE_AF_INET) * is_ipv4),
		.l4_protocol = p->flow.protocol,
		.sport = p->flow.sport_be,
		.dport = p->flow.dport_be,
		.ifindex = ifindex,
	};
	long r;

	gate_copy_address(route.src, &p->flow.saddr, is_ipv4);
	gate_copy_address(route.dst, &p->flow.daddr, is_ipv4);
	r = bpf_fib_lookup(context, &route, sizeof(route), 0);
	return r == BPF_FIB_LKUP_RET_SUCCESS || r == BPF_FIB_LKUP_RET_NO_NEIGH;
}

/*
 * CPUs that count at once may count one packet instead of two: it is a bound against floods, which
 * is no more exact than it has to be.
 */
static __always_inline bool gate_is_within_share(struct gate_activity *activity, __u32 frame_len,
						 __u64 now_ns)
{
	if (now_ns - activity->share_ns >= GATE_SHARE_NS) {
		activity->share_ns = now_ns;
		activity->share_bytes = 0;
	}
	activity->share_bytes += sizeof(struct gate_event) + frame_len;
	return activity->share_bytes <= GATE_SHARE_BYTES;
}

static __always_inline void gate_carry_out(const struct gate_frame *f, const struct parse_packet *p,
					   __u32 target_id, struct gate_activity *activity,
					   enum gate_verdict *verdict, __u64 now_ns)
{
	gate_stamp(activity, p, now_ns);
	if (!decide_holds(*verdict)) {
		if (decide_tells(*verdict))
			gate_tell(f, p, target_id, *verdict, activity, now_ns);
	} else if (gate_is_forwarded(f->context, f->ifindex, p)) {
		*verdict = decide_forwarded(*verdict);
		gate_tell(f, p, target_id, *verdict, activity, now_ns);
	} else if (!gate_is_within_share(activity, p->frame_len, now_ns)) {
		*verdict = GATE_DROP_OVER_SHARE; /* TCP sends it again */
	} else if (!gate_hold(f, p, target_id, *verdict)) {
		*verdict = GATE_DROP_RING_FULL; /* TCP sends it again */
	}
}

/* The packet is a target's: decide, and carry it out. */
static __always_inline enum gate_verdict gate_target(const struct gate_frame *f,
						     const struct parse_packet *p, __u32 target_id)
{
	struct gate_control *control = bpf_map_lookup_elem(&gate_controls, &target_id);
	struct gate_activity *activity = bpf_map_lookup_elem(&gate_activities, &target_id);
	struct decide_view view = { .can_replay = gate_can_replay };
	enum gate_verdict verdict;
	__u64 now_ns;

	if (!control || !activity)
		return GATE_PASS_OTHER;
	now_ns = gate_now_ns();
	view.is_closed = gate_forget(control->closing != 0, now_ns) & 1;
	view.is_stale = gate_forget(maps_is_stale(now_ns), now_ns) & 1;
	view.is_ready = gate_forget(control->ready_port_be &&
					    control->ready_port_be == p->flow.sport_be,
				    now_ns) &
			1;
	if (decide_is_activity(p) &&
	    (view.is_closed || now_ns - activity->last_ns >= GATE_STAMP_NS)) {
		gate_look_at_source(p, target_id, control, &view, now_ns);
		gate_look_at_socket(f, p, target_id, control, &view, now_ns);
		if (control->ignores_pings)
			gate_look_at_payload(f, p, &view);
	}

	verdict = gate_forget(decide_verdict(p, &view), now_ns) & (GATE_VERDICTS_MAX - 1);
	if (decide_is_quiet(verdict))
		return verdict;
	if (verdict == GATE_PASS_JUDGED) {
		if (gate_is_within_share(activity, p->frame_len, now_ns) &&
		    gate_hold(f, p, target_id, verdict))
			return verdict;
		verdict = decide_unjudged(view.is_closed);
	}
	gate_carry_out(f, p, target_id, activity, &verdict, now_ns);
	return verdict;
}

static __always_inline enum gate_verdict gate_judge(const struct gate_frame *f)
{
	const struct parse_packet *p = gate_packet_of_cpu();
	__u32 target_id;

	if (!p || !gate_find_target(f, p, &target_id))
		return GATE_PASS_OTHER;
	return gate_target(f, p, target_id);
}

/*
 * Global functions, one for each type of context: the verifier follows each by itself, and not once
 * for every way through the parser that leads here. They read what was parsed from gate_packets.
 */
__noinline int gate_judge_skb(struct __sk_buff *skb)
{
	const struct gate_frame frame = { .context = skb, .ifindex = skb->ifindex };

	return gate_judge(&frame);
}

__noinline int gate_judge_xdp(struct xdp_md *xdp)
{
	const struct gate_frame frame = {
		.context = xdp,
		.is_xdp = true,
		.ifindex = xdp->ingress_ifindex,
	};

	return gate_judge(&frame);
}

static __always_inline enum gate_verdict gate_unparsed(enum parse_result parsed)
{
	if (parsed == PARSE_OTHER)
		return GATE_PASS_OTHER;
	return parsed == PARSE_LATER_FRAGMENT ? GATE_PASS_FRAGMENT : GATE_PASS_UNPARSED;
}

static __always_inline enum parse_result gate_parse_skb(struct __sk_buff *skb, bool has_ethernet,
							struct parse_packet *p)
{
	struct parse_bytes bytes = {
		.start = (void *)(long)skb->data,
		.end = (void *)(long)skb->data_end,
		.frame_len = skb->len,
		.ethertype = has_ethernet ? 0 : PARSE_SWAP16(skb->protocol),
	};

	*p = (struct parse_packet){ .is_aggregate = skb->gso_size > 0 };
	return parse_frame(&bytes, p);
}

/* The helper fails for a length beyond the skb's, and takes 0 for what is readable already. */
static __always_inline long gate_pull(struct __sk_buff *skb)
{
	__u32 len = skb->len;

	return bpf_skb_pull_data(skb, len < PARSE_OFFSET_MAX ? len : PARSE_OFFSET_MAX);
}

static __always_inline bool gate_drops_skb(struct __sk_buff *skb, bool has_ethernet)
{
	struct parse_packet *packet = gate_packet_of_cpu();
	enum parse_result parsed;
	enum gate_verdict verdict;

	if (!packet)
		return false;
	/* PACKET_OTHERHOST: a promiscuous interface sees packets that are not for this machine. */
	if (skb->pkt_type == 3) {
		gate_count(GATE_PASS_OTHER);
		return false;
	}
	/* As a loop it takes the verifier, and so doze's start, half the time (all kernels). */
#pragma clang loop unroll(disable)
	for (int tries = 0; tries < 2; tries++) {
		parsed = gate_parse_skb(skb, has_ethernet, packet);
		if (parsed != PARSE_SHORT || gate_pull(skb))
			break;
	}
	verdict = parsed == PARSE_OK ? gate_judge_skb(skb) : gate_unparsed(parsed);
	gate_count(verdict);
	return decide_drops(verdict);
}

/*
 * An application that sends datagrams is in use, even if its client says no more. UDP has no
 * connections, so only this shows it. What a sleeping application sends does not count.
 */
static __always_inline void gate_see_sent(struct __sk_buff *skb, bool has_ethernet)
{
	struct gate_frame frame = { .context = skb, .is_xdp = false, .ifindex = skb->ifindex };
	struct gate_activity *activity;
	struct gate_control *control;
	struct parse_packet packet;
	__u32 target_id;

	if (gate_parse_skb(skb, has_ethernet, &packet) != PARSE_OK ||
	    packet.flow.protocol != PARSE_PROTO_UDP)
		return;
	packet.flow.dport_be = packet.flow.sport_be;
	packet.flow.daddr = packet.flow.saddr;
	if (!gate_find_target(&frame, &packet, &target_id))
		return;
	control = bpf_map_lookup_elem(&gate_controls, &target_id);
	activity = bpf_map_lookup_elem(&gate_activities, &target_id);
	if (control && activity && !control->closing)
		gate_stamp_sent(activity, gate_now_ns());
}

/*
 * For tcx and tc alike. TC_ACT_UNSPEC, which is also TCX_NEXT: what others have attached here runs
 * as well. The section is not "tcx/ingress" because Debian 12's bpftool does not know it;
 * hooks.c sets the type.
 */
SEC("tc")
int gate_skb(struct __sk_buff *skb)
{
	return gate_drops_skb(skb, true) ? TC_ACT_SHOT : TC_ACT_UNSPEC;
}

/* For links whose packets begin with the IP header: tun, WireGuard, IP tunnels. */
SEC("tc")
int gate_skb_ip(struct __sk_buff *skb)
{
	return gate_drops_skb(skb, false) ? TC_ACT_SHOT : TC_ACT_UNSPEC;
}

/* At egress, for targets with UDP ports. It lets every packet pass. */
SEC("tc")
int gate_skb_sent(struct __sk_buff *skb)
{
	gate_see_sent(skb, true);
	return TC_ACT_UNSPEC;
}

SEC("tc")
int gate_skb_sent_ip(struct __sk_buff *skb)
{
	gate_see_sent(skb, false);
	return TC_ACT_UNSPEC;
}

SEC("xdp")
int gate_xdp(struct xdp_md *xdp)
{
	struct parse_bytes bytes = {
		.start = (void *)(long)xdp->data,
		.end = (void *)(long)xdp->data_end,
	};
	struct parse_packet *packet = gate_packet_of_cpu();
	enum parse_result parsed;
	enum gate_verdict verdict;

	if (!packet)
		return XDP_PASS;
	bytes.frame_len = (char *)bytes.end - (char *)bytes.start;
	*packet = (struct parse_packet){};
	parsed = parse_frame(&bytes, packet);
	verdict = parsed == PARSE_OK ? gate_judge_xdp(xdp) : gate_unparsed(parsed);
	gate_count(verdict);
	return decide_drops(verdict) ? XDP_DROP : XDP_PASS;
}
