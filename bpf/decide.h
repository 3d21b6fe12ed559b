/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The wake rule: what the gate does with a packet of a target. Pure. What counts as activity is
 * said once, in decide_is_activity(); all else begins at decide_verdict().
 */
#ifndef DOZE_DECIDE_H
#define DOZE_DECIDE_H

#include "parse.h"

/* What the gate knows besides the packet. */
struct decide_view {
	bool is_closed;
	bool is_stale; /* the daemon has been silent for longer than GATE_STALE_NS */
	bool is_ready; /* doze's own question whether the target is ready */
	bool can_replay;
	bool judges_all;  /* payload of any client may be a probe */
	bool is_judged;	  /* what has to be judged was judged a moment ago: a client is here */
	bool is_steered;  /* closed: a connection to the daemon's responder */
	bool is_let_pass; /* closed: a SYN that the daemon has seen, and does not want */
	bool was_heard;	  /* closed: nobody listens there now, but somebody did, or may later */
	bool is_martian;  /* no address that TCP has a use for: decide_is_martian() */
	bool is_repeated; /* its payload was received before */
	bool is_ping;	  /* its payload is a PING, and those are ignored */
	__u8 probes;	  /* enum gate_probes */
	__u8 source;	  /* enum gate_source */
	__u8 socket;	  /* enum decide_socket */
};

/* What the kernel has for the packet. */
enum decide_socket {
	DECIDE_SOCKET_UNKNOWN, /* it was not looked for */
	DECIDE_SOCKET_NONE,
	DECIDE_SOCKET_LISTENS, /* of UDP: a socket */
	DECIDE_SOCKET_CONNECTED,
};

/* SYN|FIN and SYN|RST do not count: the kernel drops them, and no connection begins. */
static __always_inline bool decide_is_syn(const struct parse_packet *p)
{
	return (p->tcp_flags & (PARSE_TCP_SYN | PARSE_TCP_ACK | PARSE_TCP_RST | PARSE_TCP_FIN)) ==
	       PARSE_TCP_SYN;
}

/* Traffic that proves somebody uses the target. ACKs, TCP keep-alives, FIN and RST do not. */
static __always_inline bool decide_is_activity(const struct parse_packet *p)
{
	if (p->flow.protocol == PARSE_PROTO_UDP)
		return true;
	if (decide_is_syn(p))
		return true;
	/* Without ACK the kernel throws payload away (RFC 9293, 3.10.7.4). */
	return p->payload_len > 0 &&
	       (p->tcp_flags & (PARSE_TCP_SYN | PARSE_TCP_RST | PARSE_TCP_ACK)) == PARSE_TCP_ACK;
}

static __always_inline bool decide_is_loopback(const struct gate_addr *addr)
{
	__u32 words[4];

	__builtin_memcpy(words, addr->bytes, sizeof(words));
	if (words[0] | words[1])
		return false;
	if (words[2] == PARSE_SWAP32(0x0000ffffU))
		return addr->bytes[12] == 127;
	return !words[2] && words[3] == PARSE_SWAP32(1);
}

/* 0.0.0.0/8, ::, multicast, or the broadcast address of every network. */
static __always_inline bool decide_is_nobody(const struct gate_addr *addr)
{
	__u32 words[4];

	__builtin_memcpy(words, addr->bytes, sizeof(words));
	if (addr->bytes[0] == 0xff)
		return true;
	if (words[0] | words[1])
		return false;
	if (words[2] == PARSE_SWAP32(0x0000ffffU))
		return addr->bytes[12] == 0 || (addr->bytes[12] & 0xf0) == 224 ||
		       words[3] == 0xffffffffU;
	return !words[2] && !words[3];
}

/*
 * The kernel drops TCP from such a source or to such a destination (ip_route_input_slow(),
 * tcp_v4_rcv(), ipv6_rcv()), however the target is.
 */
static __always_inline bool decide_is_martian(const struct parse_packet *p, bool is_on_lo)
{
	if (p->is_to_group || decide_is_nobody(&p->flow.saddr) || decide_is_nobody(&p->flow.daddr))
		return true;
	return !is_on_lo && decide_is_loopback(&p->flow.saddr);
}

#define DECIDE_PING_HEAD 9

/*
 * A PING frame of HTTP/2, or its acknowledgement (RFC 9113, 6.7), and a masked ping or pong of
 * WebSocket (RFC 6455, 5.5), and nothing else in the segment. head: the payload's first bytes.
 */
static __always_inline bool decide_is_ping(const __u8 head[DECIDE_PING_HEAD], __u32 len)
{
	__u8 masked_len = head[1] & 0x7f;

	if (len == 17)
		return !head[0] && !head[1] && head[2] == 8 && head[3] == 6 && head[4] < 2 &&
		       !head[5] && !head[6] && !head[7] && !head[8];
	return (head[0] == 0x89 || head[0] == 0x8a) && head[1] & 0x80 && masked_len < 126 &&
	       len == 6U + masked_len;
}

/* A listener takes it, and no connection has to be there. */
static __always_inline bool decide_is_first(const struct parse_packet *p)
{
	return p->flow.protocol == PARSE_PROTO_UDP || decide_is_syn(p);
}

/* Whether the target would take it: else the kernel refuses it or throws it away, at once. */
static __always_inline bool decide_has_taker(const struct parse_packet *p,
					     const struct decide_view *view)
{
	if (view->socket == DECIDE_SOCKET_UNKNOWN || view->socket == DECIDE_SOCKET_CONNECTED)
		return true;
	if (!decide_is_first(p))
		return false;
	return view->socket != DECIDE_SOCKET_NONE || view->was_heard;
}

/*
 * The gate is open. A client must keep the target awake, and a probe must not. The daemon tells
 * them apart by their payload; the packet goes on its way meanwhile.
 */
static __always_inline enum gate_verdict decide_open(const struct parse_packet *p,
						     const struct decide_view *view)
{
	bool may_be_probe = view->source == GATE_SOURCE_PROBE || view->judges_all;

	if (!may_be_probe || view->is_judged || p->flow.protocol == PARSE_PROTO_UDP)
		return GATE_PASS_OPEN;
	if (decide_is_syn(p))
		return GATE_PASS_UNPROVEN;
	/* No probe is that long. */
	return p->frame_len > GATE_FRAME_MAX ? GATE_PASS_OPEN : GATE_PASS_JUDGED;
}

/*
 * The gate is closed, and passes all that it would pass if it were open. What may be a probe waits
 * in the ring to be judged: a daemon that goes on must not take it for a client who was missed.
 */
static __always_inline enum gate_verdict decide_stale(const struct parse_packet *p,
						      const struct decide_view *view)
{
	enum gate_verdict verdict = decide_open(p, view);

	return verdict == GATE_PASS_OPEN ? GATE_PASS_STALE : verdict;
}

/*
 * The gate is closed, and the packet passes: on a connection that the application has, nobody else
 * can answer. The daemon judges it, and wakes the target for a client. No probe is that long.
 */
static __always_inline enum gate_verdict decide_passed(const struct parse_packet *p)
{
	return p->frame_len > GATE_FRAME_MAX ? GATE_WAKE_PAYLOAD : GATE_PASS_JUDGED;
}

/* The gate is closed, and the packet is of a source of probes. */
static __always_inline enum gate_verdict decide_probe(const struct parse_packet *p,
						      const struct decide_view *view)
{
	if (view->probes == GATE_PROBES_ANSWER && (decide_is_syn(p) || view->is_steered))
		return GATE_PASS_STEERED;
	/* A SYN, too, is shown to the daemon: its client may wait for the application to speak. */
	return decide_passed(p);
}

/* The gate is closed, and the packet is of a client. */
static __always_inline enum gate_verdict decide_closed(const struct parse_packet *p,
						       const struct decide_view *view)
{
	/* Its socket has a buffer, which keeps datagrams in order; nobody would send them again. */
	if (p->flow.protocol == PARSE_PROTO_UDP)
		return GATE_WAKE_DATAGRAM;
	if (!decide_is_syn(p))
		return view->judges_all ? decide_passed(p) : GATE_WAKE_PAYLOAD;
	if (p->is_first_fragment)
		return GATE_WAKE_FRAGMENT;
	if (p->is_aggregate || p->frame_len > GATE_FRAME_MAX)
		return GATE_WAKE_TOO_LONG;
	if (view->is_let_pass)
		return GATE_PASS_ELSEWHERE;
	return view->can_replay ? GATE_HOLD_SYN : GATE_DROP_NO_REPLAY;
}

static __always_inline enum gate_verdict decide_verdict(const struct parse_packet *p,
							const struct decide_view *view)
{
	bool is_udp = p->flow.protocol == PARSE_PROTO_UDP;

	if (view->is_ready)
		return GATE_PASS_READY;
	if (!decide_is_activity(p))
		return GATE_PASS_QUIET;
	if (view->source == GATE_SOURCE_OUTSIDE)
		return GATE_PASS_OUTSIDE;
	if (view->is_martian && !is_udp)
		return GATE_PASS_MARTIAN;
	if (!decide_has_taker(p, view))
		return is_udp || decide_is_syn(p) ? GATE_PASS_NO_LISTENER : GATE_PASS_STRAY;
	/* A SYN may carry data (RFC 7413), but begins a connection, whatever it carries. */
	if (!is_udp && !decide_is_syn(p) && (view->is_repeated || view->is_ping))
		return GATE_PASS_KEEPALIVE;
	if (!view->is_closed)
		return decide_open(p, view);
	if (view->is_stale)
		return decide_stale(p, view);
	if (view->source != GATE_SOURCE_CLIENT && !is_udp)
		return decide_probe(p, view);
	return decide_closed(p, view);
}

static __always_inline bool decide_holds(enum gate_verdict v)
{
	return v == GATE_HOLD_SYN;
}

/*
 * The packet would be held, but the kernel is going to forward it. It must pass, because it may be
 * for another machine, whose clients must not wait for this target. It wakes the target, because
 * its address may be translated to this target's on the way (DNAT).
 */
static __always_inline enum gate_verdict decide_forwarded(enum gate_verdict verdict)
{
	return decide_holds(verdict) ? GATE_WAKE_FORWARDED : verdict;
}

/* The packet could not be shown to the daemon for a judgement: it counts as a client's. */
static __always_inline enum gate_verdict decide_unjudged(bool is_closed)
{
	return is_closed ? GATE_WAKE_PAYLOAD : GATE_PASS_OPEN;
}

/* The packet is no activity. Of GATE_PASS_JUDGED, which is not here, the daemon decides that. */
static __always_inline bool decide_is_quiet(enum gate_verdict v)
{
	return v == GATE_PASS_QUIET || v == GATE_PASS_READY || v == GATE_PASS_UNPROVEN ||
	       v == GATE_PASS_STEERED || v == GATE_PASS_OUTSIDE || v == GATE_PASS_KEEPALIVE ||
	       v == GATE_PASS_MARTIAN || v == GATE_PASS_STRAY || v == GATE_PASS_NO_LISTENER ||
	       v == GATE_PASS_ELSEWHERE;
}

static __always_inline bool decide_drops(enum gate_verdict v)
{
	return decide_holds(v) || v == GATE_DROP_NO_REPLAY || v == GATE_DROP_OVER_SHARE ||
	       v == GATE_DROP_RING_FULL;
}

/* The packet is not held, and the daemon must be told to wake the target. */
static __always_inline bool decide_tells(enum gate_verdict v)
{
	return v == GATE_WAKE_PAYLOAD || v == GATE_WAKE_FRAGMENT || v == GATE_WAKE_TOO_LONG ||
	       v == GATE_WAKE_FORWARDED || v == GATE_WAKE_DATAGRAM || v == GATE_DROP_NO_REPLAY;
}

#endif
