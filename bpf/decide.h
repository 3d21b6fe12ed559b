/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the gate does with a packet of a target. Pure: this is where you would change the wake
 * rule. What counts as activity is said once, in gate_is_activity().
 */
#ifndef DOZE_DECIDE_H
#define DOZE_DECIDE_H

#include "parse.h"

/* What the gate knows besides the packet. */
struct gate_view {
	bool is_closed;
	bool is_stale; /* the daemon has been silent for longer than GATE_STALE_NS */
	bool is_probe; /* the daemon's own readiness probe */
	bool can_replay;
};

/* SYN|FIN and SYN|RST open nothing: the kernel throws them away, and so they wake nobody. */
static __always_inline bool gate_is_syn(const struct gate_packet *p)
{
	return (p->tcp_flags & (PARSE_TCP_SYN | PARSE_TCP_ACK | PARSE_TCP_RST | PARSE_TCP_FIN)) ==
	       PARSE_TCP_SYN;
}

/* Traffic that proves somebody uses the target. ACKs, TCP keep-alives, FIN and RST do not. */
static __always_inline bool gate_is_activity(const struct gate_packet *p)
{
	if (p->flow.protocol == PARSE_PROTO_UDP)
		return true;
	if (gate_is_syn(p))
		return true;
	return p->payload_len > 0 && !(p->tcp_flags & (PARSE_TCP_SYN | PARSE_TCP_RST));
}

static __always_inline enum gate_verdict gate_decide(const struct gate_packet *p,
						     const struct gate_view *view)
{
	bool is_udp = p->flow.protocol == PARSE_PROTO_UDP;

	if (view->is_probe)
		return GATE_PASS_PROBE;
	if (!gate_is_activity(p))
		return GATE_PASS_QUIET;
	if (!view->is_closed)
		return GATE_PASS_OPEN;
	if (view->is_stale)
		return GATE_PASS_STALE;

	if (!is_udp && !gate_is_syn(p))
		return GATE_WAKE_PAYLOAD;
	if (p->is_first_fragment)
		return GATE_WAKE_FRAGMENT;
	if (p->is_aggregate || p->frame_len > GATE_FRAME_MAX)
		return GATE_WAKE_TOO_LONG;
	if (!view->can_replay)
		return is_udp ? GATE_WAKE_DATAGRAM : GATE_DROP_NO_REPLAY;
	return is_udp ? GATE_HOLD_DATAGRAM : GATE_HOLD_SYN;
}

/* Nobody sends a datagram again, so it goes on its way; TCP sends its SYN again. */
static __always_inline enum gate_verdict gate_decide_unheld(enum gate_verdict verdict)
{
	return verdict == GATE_HOLD_DATAGRAM ? GATE_WAKE_RING_FULL : GATE_DROP_RING_FULL;
}

static __always_inline bool gate_holds(enum gate_verdict v)
{
	return v == GATE_HOLD_SYN || v == GATE_HOLD_DATAGRAM;
}

static __always_inline bool gate_drops(enum gate_verdict v)
{
	return gate_holds(v) || v == GATE_DROP_NO_REPLAY || v == GATE_DROP_RING_FULL;
}

/* The daemon must be told, although there is no frame to hold. */
static __always_inline bool gate_tells(enum gate_verdict v)
{
	return v == GATE_WAKE_PAYLOAD || v == GATE_WAKE_FRAGMENT || v == GATE_WAKE_TOO_LONG ||
	       v == GATE_WAKE_DATAGRAM || v == GATE_DROP_NO_REPLAY;
}

#endif
