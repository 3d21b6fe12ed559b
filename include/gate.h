/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The contract between the gate (bpf/) and the daemon (userspace/): every struct, constant and
 * map that crosses the border. Each map has one writer, with one exception: gate and steer delete
 * an entry of gate_kubelet when another program has opened a connection from the same port.
 *
 *   map              key                value                  writer     reader
 *   gate_ports       u32 port           gate_port              daemon     gate
 *   gate_targets     gate_target_key    u32 target id          daemon     gate
 *   gate_controls    u32 target id      gate_control           daemon     gate
 *   gate_heartbeat   u32 0              u64 ns                 daemon     gate
 *   gate_activities  u32 target id      gate_activity          gate       daemon
 *   gate_counters    u32 gate_verdict   u64 per CPU            gate       daemon
 *   gate_ring        -                  gate_event + frame     gate       daemon
 *   gate_sources     gate_source_key    u32 gate_source        daemon     gate, steer
 *   gate_steered     gate_connection    u32 closing            steer      gate
 *   gate_let_pass    gate_connection    u32 closing            daemon     gate
 *   gate_unheard     gate_unheard_key   u32 closing            daemon     gate
 *   gate_kubelet     gate_connection    u32 gate_kubelet       kubelet    gate, steer, daemon
 *   gate_knows       u32 0              u32 bool               daemon     gate, steer
 *   gate_steer_ports gate_target_key    u32 target id          daemon     steer
 *   gate_responder   u32 (below)        listening socket       daemon     steer
 *
 * All times are nanoseconds of CLOCK_MONOTONIC; the gate reads the coarse clock, which lags the
 * precise one by up to a tick (4 ms at 250 Hz).
 */
#ifndef DOZE_GATE_H
#define DOZE_GATE_H

#ifdef __bpf__
#include "vmlinux.h"
#else
#include <linux/types.h>
#endif

#define GATE_TARGETS_MAX  1024 /* targets, that is pods, behind one gate */
#define GATE_KEYS_MAX	  8192 /* address + port + protocol entries for all of them */
#define GATE_RING_BYTES	  (1 << 20)
#define GATE_SOURCES_MAX  16384 /* prefixes that probes come from, of all targets */
#define GATE_STEERED_MAX  8192	/* connections to the responder that the gate remembers */
#define GATE_LET_PASS_MAX 1024	/* SYNs that the kernel shall judge, the last ones */
#define GATE_UNHEARD_MAX  4096	/* ports without a listener, of all targets */
#define GATE_KUBELET_MAX  8192	/* connections that the kubelet has opened, the last ones */

/* Every network namespace has its lo at this index (include/linux/netdevice.h). */
#define GATE_LO_IFINDEX 1

/*
 * The longest frame that is held. A replayed frame must fit one page next to the kernel's own
 * headroom and skb_shared_info (net/bpf/test_run.c: bpf_prog_test_run_xdp), about 3.4 kB on
 * 4 kB pages; a SYN never comes near it, a datagram on lo can. A longer one is passed, and wakes.
 */
#define GATE_FRAME_MAX 3072

/* At most this often is activity stored, and the daemon told of a wake without a frame. */
#define GATE_STAMP_NS 1000000ULL

/*
 * All targets have one ring. Within so long a time no more than this is copied for one of them,
 * some 1,700 SYNs: who is flooded takes the room of no other.
 */
#define GATE_SHARE_BYTES (GATE_RING_BYTES / 4)
#define GATE_SHARE_NS	 100000000ULL

/* A daemon that has not written its heartbeat for this long is gone or stuck: the gate opens. */
#define GATE_STALE_NS 3000000000ULL

/* An address as 16 bytes in network order; IPv4 is ::ffff:a.b.c.d (RFC 4291, 2.5.5.2). */
struct gate_addr {
	__u8 bytes[16];
};

/*
 * addr is one of three, and the gate looks for them in this order: the address that the packet is
 * for; gate_addr_of_netns(), for any address in one network namespace; zeros, for any address. If
 * the gate is in the node's namespace as well, where packets to pods pass by, it does not look for
 * the packet's address (gate_is_on_node).
 */
struct gate_target_key {
	struct gate_addr addr;
	__be16 port_be;
	__u8 protocol; /* IPPROTO_TCP or IPPROTO_UDP */
	__u8 pad;      /* zero: it is part of the key */
};
_Static_assert(sizeof(struct gate_target_key) == 20, "a hash key without hidden padding");

/*
 * The number of a network namespace is the inode of /proc/PID/ns/net. It is written as an address
 * of 100::/64, because no packet is ever sent there (RFC 6666).
 */
static inline struct gate_addr gate_addr_of_netns(__u32 netns)
{
	struct gate_addr addr = { .bytes = { [0] = 0x01 } };

	addr.bytes[12] = (__u8)(netns >> 24);
	addr.bytes[13] = (__u8)(netns >> 16);
	addr.bytes[14] = (__u8)(netns >> 8);
	addr.bytes[15] = (__u8)netns;
	return addr;
}

/*
 * Where the kernel's own structs have what leads from a packet to its network namespace, and which
 * byte a connection expects next. All zero: not known.
 */
struct gate_offsets {
	__u32 sk_buff_dev;
	__u32 xdp_buff_rxq;
	__u32 xdp_rxq_info_dev;
	__u32 net_device_net;
	__u32 net_inum;
	__u32 tcp_sock_rcv_nxt;
};

/*
 * What gate_targets has for a port, so that most packets need no search. 0: no key. A target id +
 * 1: a single key, for any address, of that target. GATE_PORT_SEARCH: anything else.
 */
struct gate_port {
	__u32 tcp;
	__u32 udp;
};
_Static_assert(sizeof(struct gate_port) == 8, "shared layout");

#define GATE_PORTS	 65536
#define GATE_PORT_SEARCH 0xffffffffU

/* The new value for a port that gets one more key. */
static inline __u32 gate_port_with_key(__u32 before, _Bool is_any_address, __u32 target_id)
{
	return is_any_address && before == 0 ? target_id + 1 : GATE_PORT_SEARCH;
}

enum gate_source {
	GATE_SOURCE_CLIENT,
	GATE_SOURCE_PROBE,   /* probes and other traffic: only the payload tells which it is */
	GATE_SOURCE_CHECKER, /* --ignore-source: to the gate it is a GATE_SOURCE_PROBE */
	/*
	 * An address of the node. The kubelet's connections from there (gate_kubelet) are treated
	 * as GATE_SOURCE_PROBE, all others as GATE_SOURCE_CLIENT. As long as we do not know the
	 * kubelet's connections (gate_knows), all are treated as GATE_SOURCE_PROBE.
	 */
	GATE_SOURCE_NODE,
	/* Any address that the kubelet may use: GATE_SOURCE_PROBE only for its connections. */
	GATE_SOURCE_ANY,
	/*
	 * None of --wake-from: it gets what the kernel gives, is not held, wakes nobody, and does
	 * not count.
	 */
	GATE_SOURCE_OUTSIDE,
};

/*
 * A connection that the kubelet has opened. It is remembered after its end, because its payload may
 * be judged only then; and it is forgotten when another program opens one from the same port.
 */
enum gate_kubelet {
	GATE_KUBELET_OPEN = 1,
	GATE_KUBELET_CLOSED,
};

/* Turns the last two kinds into one of the others; is_kubelets: it is in gate_kubelet. */
static inline enum gate_source gate_source_resolve(enum gate_source kind, _Bool is_kubelets,
						   _Bool knows_kubelet)
{
	if (kind != GATE_SOURCE_NODE && kind != GATE_SOURCE_ANY)
		return kind;
	if (is_kubelets || (kind == GATE_SOURCE_NODE && !knows_kubelet))
		return GATE_SOURCE_PROBE;
	return GATE_SOURCE_CLIENT;
}

/* The longest prefix decides. prefix_len counts the bits of target_id, too: it is 32 or more. */
struct gate_source_key {
	__u32 prefix_len;
	__u32 target_id;
	struct gate_addr addr;
};
_Static_assert(sizeof(struct gate_source_key) == 24, "bpf_lpm_trie_key with 20 bytes of data");

/* What happens to probes while the gate is closed. */
enum gate_probes {
	GATE_PROBES_NONE,   /* all packets are treated as those of clients */
	GATE_PROBES_PASS,   /* they reach the sleeping application, and do not wake it */
	GATE_PROBES_ANSWER, /* steered to the daemon's responder, which answers them */
};

struct gate_control {
	/*
	 * Until then payload that may be a probe is activity, and the daemon need not judge it: it
	 * has found a client a moment ago.
	 */
	__u64 judge_after_ns;
	__u32 closing; /* 0: the gate is open; else the number of this closing, never used twice */
	/*
	 * The source port of doze's own question whether the target is ready, which is never held
	 * and is no activity. 0: doze does not ask now.
	 */
	__be16 ready_port_be;
	__u8 probes;	    /* enum gate_probes */
	__u8 judges_all;    /* payload of any client may be a probe: --ignore-http */
	__u8 ignores_pings; /* PING frames of HTTP/2 and WebSocket are no activity */
	__u8 has_outside;   /* gate_sources has GATE_SOURCE_OUTSIDE for this target */
	__u8 is_unheard;    /* nobody listened on any of its ports when the gate was closed */
	__u8 pad[5];
};
_Static_assert(sizeof(struct gate_control) == 24, "shared layout");

/* A connection to a target, as the target sees it. */
struct gate_connection {
	struct gate_addr remote;
	struct gate_addr local;
	__be16 remote_port_be;
	__be16 local_port_be;
};
_Static_assert(sizeof(struct gate_connection) == 36, "a hash key without hidden padding");

/* A TCP port that nobody listened on when the gate was closed; on another one somebody did. */
struct gate_unheard_key {
	__u32 target_id;
	__be16 port_be;
	__u16 pad; /* zero: it is part of the key */
};
_Static_assert(sizeof(struct gate_unheard_key) == 8, "a hash key without hidden padding");

enum gate_family {
	GATE_FAMILY_IPV4,
	GATE_FAMILY_IPV6,
	GATE_FAMILIES,
};

/* Each target's responder listens in the target's network namespace. */
static inline __u32 gate_responder_index(__u32 target_id, __u32 family)
{
	return GATE_FAMILIES * target_id + family;
}

struct gate_activity {
	__u64 last_ns;	/* when a client last sent a SYN, payload or a datagram */
	__u64 wake_ns;	/* when the daemon was last told of a wake without a frame */
	__u64 share_ns; /* since when share_bytes have been copied into the ring */
	/* The client. Only to be shown: it may be half of one client and half of another. */
	struct gate_addr last_addr;
	__be16 last_port_be;
	__u8 pad[2];
	__u32 share_bytes;
};
_Static_assert(sizeof(struct gate_activity) == 48, "shared layout");

struct gate_flow {
	struct gate_addr saddr;
	struct gate_addr daddr;
	__be16 sport_be;
	__be16 dport_be;
	__u8 protocol;
	__u8 pad[3]; /* zero: flows are compared as bytes */
};
_Static_assert(sizeof(struct gate_flow) == 40, "flows are compared as bytes");

/* The connection that a packet of the client belongs to. */
static inline struct gate_connection gate_connection_of(const struct gate_flow *flow)
{
	return (struct gate_connection){
		.remote = flow->saddr,
		.local = flow->daddr,
		.remote_port_be = flow->sport_be,
		.local_port_be = flow->dport_be,
	};
}

/*
 * What the gate did with a packet. Each has a counter, and its name is the counter's name.
 * pass_*: went on its way. wake_*: went on its way and woke the target.
 * hold_*: copied to the ring and dropped, to be replayed. drop_*: dropped without a copy.
 */
#define GATE_VERDICTS(X)                                                                           \
	X(PASS_OTHER, "pass_other", "not for a target")                                            \
	X(PASS_FRAGMENT, "pass_fragment", "a later fragment, which carries no port")               \
	X(PASS_UNPARSED, "pass_unparsed", "malformed, or too deep for the parser")                 \
	X(PASS_OPEN, "pass_open", "activity at an open gate")                                      \
	X(PASS_QUIET, "pass_quiet", "ACK, keep-alive, FIN, RST: no activity, never held")          \
	X(PASS_READY, "pass_ready", "doze's own question whether the target is ready")             \
	X(PASS_UNPROVEN, "pass_unproven", "a SYN that may be a probe's: no activity yet")          \
	X(PASS_JUDGED, "pass_judged", "what the daemon judges: a probe, or not")                   \
	X(PASS_STEERED, "pass_steered", "closed: a probe's, on its way to the responder")          \
	X(PASS_OUTSIDE, "pass_outside", "from none of --wake-from")                                \
	X(PASS_KEEPALIVE, "pass_keepalive", "payload that only keeps a connection alive")          \
	X(PASS_MARTIAN, "pass_martian", "TCP to or from an address that TCP has no use for")       \
	X(PASS_STRAY, "pass_stray", "payload of a connection that does not exist")                 \
	X(PASS_ELSEWHERE, "pass_elsewhere", "a SYN that the kernel would not take as it is")       \
	X(PASS_NO_LISTENER, "pass_no_listener", "nobody listens there: refused, as awake")         \
	X(PASS_STALE, "pass_stale", "closed, but the daemon's heartbeat is too old")               \
	X(WAKE_PAYLOAD, "wake_payload", "payload on an established connection, gate closed")       \
	X(WAKE_FRAGMENT, "wake_fragment", "a SYN in fragments, gate closed: cannot be held whole") \
	X(WAKE_TOO_LONG, "wake_too_long", "a SYN, gate closed, longer than can be replayed")       \
	X(WAKE_FORWARDED, "wake_forwarded",                                                        \
	  "gate closed, and routed on: another machine's, or DNAT")                                \
	X(WAKE_DATAGRAM, "wake_datagram", "a datagram, gate closed: its socket keeps it")          \
	X(HOLD_SYN, "hold_syn", "a SYN, held for replay")                                          \
	X(DROP_NO_REPLAY, "drop_no_replay", "a SYN, replay is off: TCP sends it again")            \
	X(DROP_OVER_SHARE, "drop_over_share",                                                      \
	  "a SYN, its target has had its share of the ring: TCP sends it again")                   \
	X(DROP_RING_FULL, "drop_ring_full", "a SYN, no room in the ring: TCP sends it again")

enum gate_verdict {
#define X(id, name, help) GATE_##id,
	GATE_VERDICTS(X)
#undef X
	GATE_VERDICT_COUNT,
};

/* One record of the ring; frame_len bytes of the frame, from its Ethernet header on, follow. */
struct gate_event {
	struct gate_flow flow;
	__u64 seen_ns;
	__u32 target_id;
	__u32 ifindex;
	__u16 frame_len;      /* 0: a wake without a frame */
	__u16 l3_offset;      /* of the IP header in the frame */
	__u16 l4_offset;      /* of the TCP or UDP header in the frame */
	__u16 vlan_tci;	      /* the tag that the driver took out of the frame, host order */
	__be16 vlan_proto_be; /* 0: no such tag */
	__u16 payload_len;    /* of TCP; the frame may carry padding behind it */
	__u8 verdict;
	__u8 pad[3];
};
_Static_assert(sizeof(struct gate_event) == 72, "shared layout");

#endif
