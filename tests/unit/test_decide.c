// SPDX-License-Identifier: MIT
/* The gate's decision on the host: each verdict, what is activity, and what a verdict entails. */
#include <stdbool.h>
#include <string.h>

#include "bpf/decide.h"
#include "lib/test.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum {
	TCP = PARSE_PROTO_TCP,
	UDP = PARSE_PROTO_UDP,

	FIN = PARSE_TCP_FIN,
	SYN = PARSE_TCP_SYN,
	RST = PARSE_TCP_RST,
	ACK = PARSE_TCP_ACK,

	FRAGMENT = 1, /* the first of several */
	GLUED = 2,    /* several datagrams in one */

	MAX = GATE_FRAME_MAX,
};

static const char *const verdict_names[] = {
#define X(id, name, help) [GATE_##id] = name,
	GATE_VERDICTS(X)
#undef X
};

static struct parse_packet packet_of(__u8 protocol, __u8 tcp_flags, __u32 payload_len)
{
	return (struct parse_packet){
		.flow = { .protocol = protocol,
			  .saddr = { { [10] = 0xff, 0xff, 192, 0, 2, 1 } },
			  .daddr = { { [10] = 0xff, 0xff, 192, 0, 2, 80 } } },
		.tcp_flags = tcp_flags,
		.payload_len = payload_len,
		.frame_len = 54 + payload_len,
	};
}

static const struct decide_view open_gate = { .can_replay = true };
static const struct decide_view open_gate_stale = { .is_stale = true, .can_replay = true };
static const struct decide_view open_to_ready = { .is_ready = true, .can_replay = true };
static const struct decide_view closed = { .is_closed = true, .can_replay = true };
static const struct decide_view closed_stale = {
	.is_closed = true,
	.is_stale = true,
	.can_replay = true,
};
static const struct decide_view closed_to_ready = {
	.is_closed = true,
	.is_ready = true,
	.can_replay = true,
};
static const struct decide_view closed_stale_to_ready = {
	.is_closed = true,
	.is_stale = true,
	.is_ready = true,
	.can_replay = true,
};
static const struct decide_view no_replay = { .is_closed = true };

/* Open gates, and what the gate knows of the packet's source. */
#define AT(...)                                                                                    \
	{                                                                                          \
		.can_replay = true, __VA_ARGS__                                                    \
	}
#define PROBE  .source = GATE_SOURCE_PROBE
#define ANSWER .probes = GATE_PROBES_ANSWER
#define PASS   .probes = GATE_PROBES_PASS
#define CLOSED .is_closed = true

static const struct decide_view open_probe = AT(PROBE, ANSWER);
static const struct decide_view open_probe_judged = AT(PROBE, ANSWER, .is_judged = true);
static const struct decide_view open_all = AT(.judges_all = true);
static const struct decide_view open_all_judged = AT(.judges_all = true, .is_judged = true);
static const struct decide_view closed_all = AT(CLOSED, .judges_all = true);
static const struct decide_view closed_answer = AT(CLOSED, PROBE, ANSWER);
static const struct decide_view closed_steered = AT(CLOSED, PROBE, ANSWER, .is_steered = true);
static const struct decide_view closed_pass = AT(CLOSED, PROBE, PASS);
static const struct decide_view closed_stale_answer = AT(CLOSED, PROBE, ANSWER, .is_stale = true);
static const struct decide_view closed_stale_all = AT(CLOSED, .judges_all = true, .is_stale = true);
static const struct decide_view closed_own_probe = AT(CLOSED, PROBE, ANSWER, .is_ready = true);

static const struct decide_view closed_unheard = AT(CLOSED, .socket = DECIDE_SOCKET_NONE);
static const struct decide_view closed_restarts = AT(CLOSED, .socket = DECIDE_SOCKET_NONE,
						     .was_heard = true);
static const struct decide_view closed_listens = AT(CLOSED, .socket = DECIDE_SOCKET_LISTENS);
static const struct decide_view closed_connected = AT(CLOSED, .socket = DECIDE_SOCKET_CONNECTED);
static const struct decide_view open_unheard = AT(.socket = DECIDE_SOCKET_NONE);
static const struct decide_view open_listens = AT(.socket = DECIDE_SOCKET_LISTENS);
static const struct decide_view closed_repeated = AT(CLOSED, .socket = DECIDE_SOCKET_CONNECTED,
						     .is_repeated = true);
static const struct decide_view open_repeated = AT(.socket = DECIDE_SOCKET_CONNECTED,
						   .is_repeated = true);
static const struct decide_view closed_ping = AT(CLOSED, .is_ping = true);
static const struct decide_view open_ping = AT(.is_ping = true);
static const struct decide_view closed_let_pass = AT(CLOSED, .is_let_pass = true);
static const struct decide_view closed_outside = AT(CLOSED, .source = GATE_SOURCE_OUTSIDE);
static const struct decide_view open_outside = AT(.source = GATE_SOURCE_OUTSIDE);

struct decision {
	const struct decide_view *view;
	__u8 protocol;
	__u8 tcp_flags;
	__u32 payload_len;
	__u32 frame_len;
	int special;
	enum gate_verdict verdict;
};

/* clang-format off: a row stays a row */
static const struct decision decisions[] = {
	/* gate                 packet: flags, payload, frame       verdict */
	{ &open_gate, TCP, SYN, 0, 60, 0, GATE_PASS_OPEN },
	{ &open_gate, TCP, SYN, 99, 153, 0, GATE_PASS_OPEN },
	{ &open_gate, TCP, ACK, 99, 153, 0, GATE_PASS_OPEN },
	{ &open_gate, TCP, ACK | FIN, 1, 60, 0, GATE_PASS_OPEN },
	{ &open_gate, UDP, 0, 0, 60, 0, GATE_PASS_OPEN },
	{ &open_gate, UDP, 0, 0, 1500, FRAGMENT, GATE_PASS_OPEN },
	{ &open_gate, UDP, 0, 0, MAX + 1, GLUED, GATE_PASS_OPEN },
	{ &open_gate_stale, TCP, SYN, 0, 60, 0, GATE_PASS_OPEN },

	/* Nobody is there: neither stamped, nor held, at any gate. */
	{ &open_gate, TCP, ACK, 0, 60, 0, GATE_PASS_QUIET },
	{ &closed, TCP, ACK, 0, 60, 0, GATE_PASS_QUIET },
	{ &closed, TCP, ACK | FIN, 0, 60, 0, GATE_PASS_QUIET },
	{ &closed, TCP, RST, 0, 60, 0, GATE_PASS_QUIET },
	{ &closed, TCP, RST | ACK, 9, 63, 0, GATE_PASS_QUIET },
	{ &closed, TCP, SYN | ACK, 0, 60, 0, GATE_PASS_QUIET },
	{ &closed, TCP, SYN | FIN, 0, 60, 0, GATE_PASS_QUIET },
	{ &closed, TCP, SYN | RST, 0, 60, 0, GATE_PASS_QUIET },
	{ &closed_stale, TCP, ACK, 0, 60, 0, GATE_PASS_QUIET },
	{ &no_replay, TCP, ACK, 0, 60, 0, GATE_PASS_QUIET },

	/* A probe is looked at before everything else. */
	{ &open_to_ready, TCP, SYN, 0, 60, 0, GATE_PASS_READY },
	{ &closed_to_ready, TCP, SYN, 0, 60, 0, GATE_PASS_READY },
	{ &closed_to_ready, TCP, ACK, 99, 153, 0, GATE_PASS_READY },
	{ &closed_to_ready, TCP, RST, 0, 60, 0, GATE_PASS_READY },
	{ &closed_to_ready, UDP, 0, 0, 60, 0, GATE_PASS_READY },
	{ &closed_stale_to_ready, TCP, SYN, 0, 60, 0, GATE_PASS_READY },

	/* Nobody would replay what is held now. */
	{ &closed_stale, TCP, SYN, 0, 60, 0, GATE_PASS_STALE },
	{ &closed_stale, TCP, ACK, 99, 153, 0, GATE_PASS_STALE },
	{ &closed_stale, UDP, 0, 0, 60, 0, GATE_PASS_STALE },

	/* Held whole, or not at all. */
	{ &closed, TCP, SYN, 0, 60, 0, GATE_HOLD_SYN },
	{ &closed, TCP, SYN, 99, 153, 0, GATE_HOLD_SYN },
	{ &closed, TCP, SYN, 99, MAX, 0, GATE_HOLD_SYN },
	{ &closed, TCP, SYN, 99, MAX + 1, 0, GATE_WAKE_TOO_LONG },
	{ &closed, TCP, SYN, 0, 60, FRAGMENT, GATE_WAKE_FRAGMENT },
	{ &closed, UDP, 0, 0, 60, 0, GATE_WAKE_DATAGRAM },
	{ &closed, UDP, 0, 0, MAX, 0, GATE_WAKE_DATAGRAM },
	{ &closed, UDP, 0, 0, MAX + 1, 0, GATE_WAKE_DATAGRAM },
	{ &closed, UDP, 0, 0, 60, GLUED, GATE_WAKE_DATAGRAM },
	{ &closed, UDP, 0, 0, 1500, FRAGMENT, GATE_WAKE_DATAGRAM },
	{ &closed, UDP, 0, 0, MAX + 1, FRAGMENT, GATE_WAKE_DATAGRAM },
	{ &closed, TCP, ACK, 99, 153, 0, GATE_WAKE_PAYLOAD },
	{ &closed, TCP, ACK, 64000, 64054, GLUED, GATE_WAKE_PAYLOAD },
	{ &closed, TCP, ACK, 99, 153, FRAGMENT, GATE_WAKE_PAYLOAD },
	{ &closed, TCP, ACK | FIN, 1, 60, 0, GATE_WAKE_PAYLOAD },

	/* TCP sends its SYN again. Nobody sends a datagram again. */
	{ &no_replay, TCP, SYN, 0, 60, 0, GATE_DROP_NO_REPLAY },
	{ &no_replay, TCP, ACK, 99, 153, 0, GATE_WAKE_PAYLOAD },
	{ &no_replay, UDP, 0, 0, 60, 0, GATE_WAKE_DATAGRAM },
	{ &no_replay, UDP, 0, 0, 1500, FRAGMENT, GATE_WAKE_DATAGRAM },
	{ &no_replay, UDP, 0, 0, MAX + 1, 0, GATE_WAKE_DATAGRAM },

	/* From where probes come from, open: the payload tells, as long as nobody has. */
	{ &open_probe, TCP, SYN, 0, 60, 0, GATE_PASS_UNPROVEN },
	{ &open_probe, TCP, ACK, 99, 153, 0, GATE_PASS_JUDGED },
	{ &open_probe, TCP, ACK, 99, MAX, 0, GATE_PASS_JUDGED },
	{ &open_probe, TCP, ACK, 99, MAX + 1, 0, GATE_PASS_OPEN },
	{ &open_probe, TCP, ACK, 0, 60, 0, GATE_PASS_QUIET },
	{ &open_probe, UDP, 0, 9, 60, 0, GATE_PASS_OPEN },
	{ &open_probe_judged, TCP, SYN, 0, 60, 0, GATE_PASS_OPEN },
	{ &open_probe_judged, TCP, ACK, 99, 153, 0, GATE_PASS_OPEN },
	{ &open_all, TCP, SYN, 0, 60, 0, GATE_PASS_UNPROVEN },
	{ &open_all, TCP, ACK, 99, 153, 0, GATE_PASS_JUDGED },
	{ &open_all, UDP, 0, 9, 60, 0, GATE_PASS_OPEN },
	{ &open_all_judged, TCP, ACK, 99, 153, 0, GATE_PASS_OPEN },

	/* And closed: to the responder, or to the sleeping application. */
	{ &closed_all, TCP, SYN, 0, 60, 0, GATE_HOLD_SYN },
	{ &closed_all, TCP, ACK, 99, 153, 0, GATE_PASS_JUDGED },
	{ &closed_all, TCP, ACK, 99, MAX + 1, 0, GATE_WAKE_PAYLOAD },
	{ &closed_answer, TCP, SYN, 0, 60, 0, GATE_PASS_STEERED },
	{ &closed_answer, TCP, ACK, 99, 153, 0, GATE_PASS_JUDGED },
	{ &closed_answer, TCP, ACK, 99, MAX + 1, 0, GATE_WAKE_PAYLOAD },
	{ &closed_answer, UDP, 0, 9, 60, 0, GATE_WAKE_DATAGRAM },
	{ &closed_answer, TCP, ACK, 0, 60, 0, GATE_PASS_QUIET },
	{ &closed_steered, TCP, ACK, 99, 153, 0, GATE_PASS_STEERED },
	{ &closed_steered, TCP, ACK, 99, MAX + 1, 0, GATE_PASS_STEERED },
	{ &closed_pass, TCP, SYN, 0, 60, 0, GATE_PASS_JUDGED },
	{ &closed_pass, TCP, ACK, 99, 153, 0, GATE_PASS_JUDGED },
	{ &closed_pass, TCP, ACK, 99, MAX + 1, 0, GATE_WAKE_PAYLOAD },
	{ &closed_stale_answer, TCP, SYN, 0, 60, 0, GATE_PASS_UNPROVEN },
	{ &closed_stale_answer, TCP, ACK, 99, 153, 0, GATE_PASS_JUDGED },
	{ &closed_stale_answer, TCP, ACK, 99, MAX + 1, 0, GATE_PASS_STALE },
	{ &closed_stale_answer, UDP, 0, 9, 60, 0, GATE_PASS_STALE },
	{ &closed_stale_all, TCP, SYN, 0, 60, 0, GATE_PASS_UNPROVEN },
	{ &closed_stale_all, TCP, ACK, 99, 153, 0, GATE_PASS_JUDGED },
	{ &closed_own_probe, TCP, SYN, 0, 60, 0, GATE_PASS_READY },

	/* Nobody would take it: it gets what it would get awake, and is no activity. */
	{ &closed_unheard, TCP, SYN, 0, 60, 0, GATE_PASS_NO_LISTENER },
	{ &closed_unheard, TCP, ACK, 99, 153, 0, GATE_PASS_STRAY },
	{ &closed_unheard, UDP, 0, 9, 60, 0, GATE_PASS_NO_LISTENER },
	{ &closed_restarts, TCP, SYN, 0, 60, 0, GATE_HOLD_SYN }, /* it is waited for */
	{ &closed_restarts, TCP, ACK, 99, 153, 0, GATE_PASS_STRAY },
	{ &closed_listens, TCP, SYN, 0, 60, 0, GATE_HOLD_SYN },
	{ &closed_listens, TCP, ACK, 99, 153, 0, GATE_PASS_STRAY },
	{ &closed_listens, TCP, ACK | FIN, 1, 60, 0, GATE_PASS_STRAY },
	{ &closed_listens, UDP, 0, 9, 60, 0, GATE_WAKE_DATAGRAM },
	{ &closed_connected, TCP, SYN, 0, 60, 0, GATE_HOLD_SYN },
	{ &closed_connected, TCP, ACK, 99, 153, 0, GATE_WAKE_PAYLOAD },
	{ &open_unheard, TCP, SYN, 0, 60, 0, GATE_PASS_NO_LISTENER },
	{ &open_unheard, TCP, ACK, 99, 153, 0, GATE_PASS_STRAY },
	{ &open_unheard, UDP, 0, 9, 60, 0, GATE_PASS_NO_LISTENER },
	{ &open_listens, TCP, SYN, 0, 60, 0, GATE_PASS_OPEN },
	{ &open_listens, TCP, ACK, 99, 153, 0, GATE_PASS_STRAY },

	/* A keep-alive may carry a byte that was received before. */
	{ &closed_repeated, TCP, ACK, 1, 55, 0, GATE_PASS_KEEPALIVE },
	{ &open_repeated, TCP, ACK, 1, 55, 0, GATE_PASS_KEEPALIVE },
	{ &closed_repeated, TCP, SYN, 1, 55, 0, GATE_HOLD_SYN }, /* RFC 7413 */
	{ &closed_ping, TCP, SYN, 17, 71, 0, GATE_HOLD_SYN },
	{ &closed_ping, TCP, ACK, 17, 71, 0, GATE_PASS_KEEPALIVE },
	{ &open_ping, TCP, ACK, 17, 71, 0, GATE_PASS_KEEPALIVE },

	/* The kernel shall judge it. */
	{ &closed_let_pass, TCP, SYN, 0, 60, 0, GATE_PASS_ELSEWHERE },
	{ &closed_let_pass, TCP, ACK, 99, 153, 0, GATE_WAKE_PAYLOAD },

	/* Of none of --wake-from. */
	{ &closed_outside, TCP, SYN, 0, 60, 0, GATE_PASS_OUTSIDE },
	{ &closed_outside, TCP, ACK, 99, 153, 0, GATE_PASS_OUTSIDE },
	{ &closed_outside, UDP, 0, 9, 60, 0, GATE_PASS_OUTSIDE },
	{ &closed_outside, TCP, ACK, 0, 60, 0, GATE_PASS_QUIET },
	{ &open_outside, TCP, SYN, 0, 60, 0, GATE_PASS_OUTSIDE },
};
/* clang-format on */

TEST(each_packet_gets_its_verdict)
{
	for (size_t i = 0; i < COUNT(decisions); i++) {
		const struct decision *d = &decisions[i];
		struct parse_packet p = packet_of(d->protocol, d->tcp_flags, d->payload_len);
		enum gate_verdict verdict;

		p.frame_len = d->frame_len;
		p.is_first_fragment = d->special == FRAGMENT;
		p.is_aggregate = d->special == GLUED;
		verdict = decide_verdict(&p, d->view);
		if (verdict != d->verdict)
			fail_msg("row %zu: %s, not %s", i, verdict_names[verdict],
				 verdict_names[d->verdict]);
	}
}

/* Indexed by the four flags that matter. */
static const struct {
	bool without_payload;
	bool with_payload;
} activities[32] = {
	[0] = { false, false }, /* the kernel takes no payload without ACK */
	[FIN] = { false, false },
	[SYN] = { true, true }, /* with payload: TCP Fast Open (RFC 7413) */
	[SYN | FIN] = { false, false },
	[RST] = { false, false }, /* with payload: a reason for humans (RFC 9293, 3.5.3) */
	[RST | FIN] = { false, false },
	[RST | SYN] = { false, false },
	[RST | SYN | FIN] = { false, false },
	[ACK] = { false, true },
	[ACK | FIN] = { false, true },
	[ACK | SYN] = { false, false },
	[ACK | SYN | FIN] = { false, false },
	[ACK | RST] = { false, false },
	[ACK | RST | FIN] = { false, false },
	[ACK | RST | SYN] = { false, false },
	[ACK | RST | SYN | FIN] = { false, false },
};

/* PSH, URG, ECE and CWR, which is to say all the other flags, change nothing. */
TEST(tcp_is_activity_by_four_flags_and_its_payload)
{
	for (unsigned int flags = 0; flags <= 0xff; flags++) {
		unsigned int row = flags & (FIN | SYN | RST | ACK);
		struct parse_packet bare = packet_of(TCP, (__u8)flags, 0);
		struct parse_packet full = packet_of(TCP, (__u8)flags, 1);

		if (decide_is_activity(&bare) != activities[row].without_payload ||
		    decide_is_activity(&full) != activities[row].with_payload)
			fail_msg("flags 0x%02x", flags);
	}
}

/* A parser's leftovers in the TCP fields must not matter. */
TEST(every_datagram_is_activity)
{
	for (unsigned int flags = 0; flags <= 0xff; flags++) {
		struct parse_packet p = packet_of(UDP, (__u8)flags, flags & 1);

		assert_true(decide_is_activity(&p));
	}
}

TEST(what_is_held_is_activity)
{
	for (unsigned int flags = 0; flags <= 0xff; flags++) {
		struct parse_packet p = packet_of(TCP, (__u8)flags, 0);

		assert_int_equal(decide_holds(decide_verdict(&p, &closed)), decide_is_syn(&p));
		if (decide_is_syn(&p))
			assert_true(decide_is_activity(&p));
	}
}

/* What TCP cannot come from, or cannot go to. */
static const struct {
	struct gate_addr saddr, daddr;
	bool is_on_lo, is_to_group;
	bool is_martian;
} martians[] = {
#define V4(...)                                                                                    \
	{                                                                                          \
		{                                                                                  \
			[10] = 0xff, 0xff, __VA_ARGS__                                             \
		}                                                                                  \
	}
#define V6(first, last)                                                                            \
	{                                                                                          \
		{                                                                                  \
			first, [15] = last                                                         \
		}                                                                                  \
	}
	{ V4(192, 0, 2, 1), V4(192, 0, 2, 80), false, false, false },
	{ V4(192, 0, 2, 1), V4(192, 0, 2, 80), false, true, true },
	{ V4(0, 0, 0, 0), V4(192, 0, 2, 80), false, false, true },
	{ V4(0, 1, 2, 3), V4(192, 0, 2, 80), false, false, true },
	{ V4(127, 0, 0, 1), V4(192, 0, 2, 80), false, false, true },
	{ V4(127, 0, 0, 1), V4(127, 0, 0, 1), true, false, false },
	{ V4(224, 0, 0, 1), V4(192, 0, 2, 80), false, false, true },
	{ V4(239, 255, 255, 255), V4(192, 0, 2, 80), true, false, true },
	{ V4(240, 0, 0, 1), V4(192, 0, 2, 80), false, false, false },
	{ V4(255, 255, 255, 255), V4(192, 0, 2, 80), false, false, true },
	{ V4(192, 0, 2, 1), V4(224, 0, 0, 1), false, false, true },
	{ V4(192, 0, 2, 1), V4(255, 255, 255, 255), false, false, true },
	{ V4(128, 0, 0, 1), V4(223, 255, 255, 255), false, false, false },
	{ V6(0x20, 1), V6(0x20, 2), false, false, false },
	{ V6(0, 0), V6(0x20, 2), false, false, true },
	{ V6(0, 1), V6(0x20, 2), false, false, true },
	{ V6(0, 1), V6(0, 1), true, false, false },
	{ V6(0, 2), V6(0x20, 2), false, false, false },
	{ V6(0xff, 1), V6(0x20, 2), false, false, true },
	{ V6(0x20, 1), V6(0xff, 1), false, false, true },
	{ V6(0xfe, 1), V6(0xfe, 2), false, false, false },
};

TEST(tcp_that_cannot_be_is_no_activity)
{
	for (size_t i = 0; i < COUNT(martians); i++) {
		struct decide_view view = { .is_closed = true };
		struct parse_packet p = packet_of(TCP, SYN, 0);

		p.flow.saddr = martians[i].saddr;
		p.flow.daddr = martians[i].daddr;
		p.is_to_group = martians[i].is_to_group;
		view.is_martian = decide_is_martian(&p, martians[i].is_on_lo);
		if ((decide_verdict(&p, &view) == GATE_PASS_MARTIAN) != martians[i].is_martian)
			fail_msg("row %zu", i);
		p.flow.protocol = UDP; /* which may go to a group, and come from nowhere */
		assert_int_equal(decide_verdict(&p, &view), GATE_WAKE_DATAGRAM);
	}
}

static const struct {
	__u8 head[DECIDE_PING_HEAD];
	__u32 len;
	bool is_ping;
} pings[] = {
	{ { 0, 0, 8, 6, 0, 0, 0, 0, 0 }, 17, true },
	{ { 0, 0, 8, 6, 1, 0, 0, 0, 0 }, 17, true }, /* its acknowledgement */
	{ { 0, 0, 8, 6, 2, 0, 0, 0, 0 }, 17, false },
	{ { 0, 0, 8, 6, 0, 0, 0, 0, 1 }, 17, false }, /* of a stream: an error */
	{ { 0, 0, 8, 6, 0, 0, 0, 0, 0 }, 18, false }, /* and the beginning of another frame */
	{ { 0, 0, 8, 0, 0, 0, 0, 0, 0 }, 17, false }, /* DATA */
	{ { 0, 0, 9, 6, 0, 0, 0, 0, 0 }, 17, false },
	{ { 0x89, 0x80, 1, 2, 3, 4 }, 6, true },
	{ { 0x8a, 0x80, 1, 2, 3, 4 }, 6, true },
	{ { 0x89, 0x84, 1, 2, 3, 4, 5, 6, 7 }, 10, true },
	{ { 0x89, 0x84, 1, 2, 3, 4, 5, 6, 7 }, 11, false },
	{ { 0x89, 0x04, 1, 2, 3, 4, 5, 6, 7 }, 10, false }, /* a client has to mask */
	{ { 0x81, 0x84, 1, 2, 3, 4, 5, 6, 7 }, 10, false }, /* text */
	{ { 0x89, 0xfd, 1, 2, 3, 4, 5, 6, 7 }, 131, true },
	{ { 0x89, 0xfe, 0, 126, 3, 4, 5, 6, 7 }, 132, false }, /* longer than a ping may be */
	{ { 'G', 'E', 'T', ' ', '/', ' ', 'H', 'T', 'T' }, 17, false },
};

TEST(a_ping_is_told_by_every_byte_of_its_head)
{
	for (size_t i = 0; i < COUNT(pings); i++) {
		if (decide_is_ping(pings[i].head, pings[i].len) != pings[i].is_ping)
			fail_msg("row %zu", i);
	}
}

TEST(what_is_routed_on_is_not_held_and_wakes)
{
	for (int v = 0; v < GATE_VERDICT_COUNT; v++) {
		bool is_held = v == GATE_HOLD_SYN;

		assert_int_equal(decide_forwarded((enum gate_verdict)v),
				 is_held ? GATE_WAKE_FORWARDED : v);
	}
	assert_true(decide_tells(GATE_WAKE_FORWARDED));
	assert_false(decide_drops(GATE_WAKE_FORWARDED));
}

TEST(what_cannot_be_shown_to_the_daemon_is_a_clients)
{
	assert_int_equal(decide_unjudged(false), GATE_PASS_OPEN);
	assert_int_equal(decide_unjudged(true), GATE_WAKE_PAYLOAD);
}

/* A stamp would keep the target awake. */
TEST(what_proves_nothing_is_quiet)
{
	for (int v = 0; v < GATE_VERDICT_COUNT; v++) {
		bool is_quiet = v == GATE_PASS_QUIET || v == GATE_PASS_READY ||
				v == GATE_PASS_UNPROVEN || v == GATE_PASS_STEERED ||
				v == GATE_PASS_OUTSIDE || v == GATE_PASS_KEEPALIVE ||
				v == GATE_PASS_MARTIAN || v == GATE_PASS_STRAY ||
				v == GATE_PASS_NO_LISTENER || v == GATE_PASS_ELSEWHERE;

		if (v != GATE_PASS_JUDGED && decide_is_quiet(v) != is_quiet)
			fail_msg("%s", verdict_names[v]);
	}
}

/* A SYN that replay would have held is told instead, so that the next one finds it awake. */
static bool must_tell(const char *name)
{
	return strncmp(name, "wake_", 5) == 0 || strcmp(name, "drop_no_replay") == 0;
}

/* The first word of a verdict's name is a promise (include/gate.h). */
TEST(every_verdict_does_what_its_name_says)
{
	for (int v = 0; v < GATE_VERDICT_COUNT; v++) {
		const char *name = verdict_names[v];
		bool holds = strncmp(name, "hold_", 5) == 0;
		bool drops = holds || strncmp(name, "drop_", 5) == 0;
		bool passes = strncmp(name, "pass_", 5) == 0 || strncmp(name, "wake_", 5) == 0;

		if (drops == passes || decide_holds(v) != holds || decide_drops(v) != drops ||
		    decide_tells(v) != must_tell(name))
			fail_msg("%s", name);
	}
}
