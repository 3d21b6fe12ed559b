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
	bool judges_all; /* while open, payload of any client may be a probe */
	bool is_judged;	 /* the daemon has found a client a moment ago: no judgement is needed */
	bool is_steered; /* while closed: a connection to the daemon's responder */
	__u8 probes;	 /* enum gate_probes */
	__u8 source;	 /* enum gate_source */
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
	return p->payload_len > 0 && !(p->tcp_flags & (PARSE_TCP_SYN | PARSE_TCP_RST));
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
	/* A SYN, too, is shown to the daemon: its client may wait for the application to speak. */
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

/* There was no room. A datagram is never sent again and so must pass; a SYN is sent again. */
static __always_inline enum gate_verdict decide_unheld(enum gate_verdict verdict)
{
	return verdict == GATE_HOLD_DATAGRAM ? GATE_WAKE_RING_FULL : GATE_DROP_RING_FULL;
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
	return v == GATE_PASS_QUIET || v == GATE_PASS_READY || v == GATE_PASS_IGNORED ||
	       v == GATE_PASS_UNPROVEN || v == GATE_PASS_STEERED;
}

static __always_inline bool decide_drops(enum gate_verdict v)
{
	return decide_holds(v) || v == GATE_DROP_NO_REPLAY || v == GATE_DROP_RING_FULL;
}

/* The packet is not held, and the daemon must be told to wake the target. */
static __always_inline bool decide_tells(enum gate_verdict v)
{
	return v == GATE_WAKE_PAYLOAD || v == GATE_WAKE_FRAGMENT || v == GATE_WAKE_TOO_LONG ||
	       v == GATE_WAKE_FORWARDED || v == GATE_WAKE_DATAGRAM || v == GATE_DROP_NO_REPLAY;
}

#endif
