/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the gate does with a packet of a target. Pure: this is where you would change the wake
 * rule. What counts as activity is said once, in decide_is_activity().
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
	bool judges_all; /* open: payload of any client may be a probe */
	bool is_judged;	 /* what has to be judged was judged a moment ago: a client is here */
	bool is_steered; /* closed: a connection to the daemon's responder */
	__u8 probes;	 /* enum gate_probes */
	__u8 source;	 /* enum gate_source */
};

/* SYN|FIN and SYN|RST open nothing: the kernel throws them away, and so they wake nobody. */
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
	return p->payload_len > 0 && !(p->tcp_flags & (PARSE_TCP_SYN | PARSE_TCP_RST));
}

/*
 * The gate is open. A probe must not keep a target awake, and a client must: which of them
 * a connection is, its payload tells the daemon, and nothing is lost while it looks.
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

/* The gate is closed, and the packet is of a source of probes. */
static __always_inline enum gate_verdict decide_probe(const struct parse_packet *p,
						      const struct decide_view *view)
{
	if (view->probes == GATE_PROBES_ANSWER) {
		if (decide_is_syn(p) || view->is_steered)
			return GATE_PASS_STEERED;
		return view->source == GATE_SOURCE_IGNORED ? GATE_PASS_IGNORED : GATE_WAKE_PAYLOAD;
	}
	if (view->source == GATE_SOURCE_IGNORED)
		return GATE_PASS_IGNORED;
	/* A SYN as well: who says nothing afterwards may wait for the application to speak. */
	return p->frame_len > GATE_FRAME_MAX ? GATE_WAKE_PAYLOAD : GATE_PASS_JUDGED;
}

/* The gate is closed, and the packet is of a client. */
static __always_inline enum gate_verdict decide_closed(const struct parse_packet *p,
						       const struct decide_view *view)
{
	bool is_udp = p->flow.protocol == PARSE_PROTO_UDP;

	if (!is_udp && !decide_is_syn(p))
		return GATE_WAKE_PAYLOAD;
	if (p->is_first_fragment)
		return GATE_WAKE_FRAGMENT;
	if (p->is_aggregate || p->frame_len > GATE_FRAME_MAX)
		return GATE_WAKE_TOO_LONG;
	if (!view->can_replay)
		return is_udp ? GATE_WAKE_DATAGRAM : GATE_DROP_NO_REPLAY;
	return is_udp ? GATE_HOLD_DATAGRAM : GATE_HOLD_SYN;
}

static __always_inline enum gate_verdict decide_verdict(const struct parse_packet *p,
							const struct decide_view *view)
{
	bool is_udp = p->flow.protocol == PARSE_PROTO_UDP;

	if (view->is_ready)
		return GATE_PASS_READY;
	if (!decide_is_activity(p))
		return GATE_PASS_QUIET;
	if (view->source == GATE_SOURCE_IGNORED && (is_udp || !view->is_closed))
		return GATE_PASS_IGNORED;
	if (!view->is_closed)
		return decide_open(p, view);
	if (view->is_stale)
		return GATE_PASS_STALE;
	if (view->source != GATE_SOURCE_CLIENT && !is_udp)
		return decide_probe(p, view);
	return decide_closed(p, view);
}

static __always_inline bool decide_holds(enum gate_verdict v)
{
	return v == GATE_HOLD_SYN || v == GATE_HOLD_DATAGRAM;
}

/* Nobody sends a datagram again, so it goes on its way; TCP sends its SYN again. */
static __always_inline enum gate_verdict decide_unheld(enum gate_verdict verdict)
{
	return verdict == GATE_HOLD_DATAGRAM ? GATE_WAKE_RING_FULL : GATE_DROP_RING_FULL;
}

/*
 * What would be held, but the kernel would send it on: it is another machine's, whose clients must
 * not wait for this target; or its address is translated to this target's later (DNAT), and so it
 * wakes.
 */
static __always_inline enum gate_verdict decide_forwarded(enum gate_verdict verdict)
{
	return decide_holds(verdict) ? GATE_WAKE_FORWARDED : verdict;
}

/* What could not be shown to the daemon for a judgement is a client's. */
static __always_inline enum gate_verdict decide_unjudged(bool is_closed)
{
	return is_closed ? GATE_WAKE_PAYLOAD : GATE_PASS_OPEN;
}

/* Nothing that proves that somebody uses the target; of pass_judged the daemon decides. */
static __always_inline bool decide_is_quiet(enum gate_verdict v)
{
	return v == GATE_PASS_QUIET || v == GATE_PASS_READY || v == GATE_PASS_IGNORED ||
	       v == GATE_PASS_UNPROVEN || v == GATE_PASS_STEERED;
}

static __always_inline bool decide_drops(enum gate_verdict v)
{
	return decide_holds(v) || v == GATE_DROP_NO_REPLAY || v == GATE_DROP_RING_FULL;
}

/* The daemon must be told, although there is no frame to hold. */
static __always_inline bool decide_tells(enum gate_verdict v)
{
	return v == GATE_WAKE_PAYLOAD || v == GATE_WAKE_FRAGMENT || v == GATE_WAKE_TOO_LONG ||
	       v == GATE_WAKE_FORWARDED || v == GATE_WAKE_DATAGRAM || v == GATE_DROP_NO_REPLAY;
}

#endif
