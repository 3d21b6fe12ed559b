// SPDX-License-Identifier: MIT
/* The gate's parser on the host: what it finds in a frame, what it refuses, and where it stops. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/parse.h"
#include "lib/packet.h"
#include "lib/test.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* So that a table can say it: a frame of this length is one that GRO glued together. */
#define BIG_TCP_LEN 70000

/*
 * Parses the first readable bytes of a frame of frame_len bytes. They are copied to a block of just
 * their length, so that the address sanitizer sees each read beyond them.
 */
static enum parse_result parse_copy(const struct packet *p, size_t readable, size_t frame_len,
				    struct parse_packet *out)
{
	__u8 *copy = malloc(readable);
	struct parse_bytes bytes = {
		.start = copy,
		.end = copy + readable,
		.frame_len = (__u32)frame_len,
	};
	enum parse_result result;

	assert_true(copy || readable == 0);
	if (readable > 0)
		memcpy(copy, p->bytes, readable);
	result = parse_frame(&bytes, out);
	free(copy);
	return result;
}

static enum parse_result parse_whole(const struct packet *p, struct parse_packet *out)
{
	return parse_copy(p, p->len, p->len, out);
}

/* The flow that packet.h promises for a spec without addresses and ports. */
static struct gate_flow plain_flow(const struct packet_spec *spec)
{
	static const struct gate_flow ipv4 = {
		.saddr = { { [10] = 0xff, 0xff, 192, 0, 2, PACKET_CLIENT } },
		.daddr = { { [10] = 0xff, 0xff, 192, 0, 2, PACKET_SERVER } },
	};
	static const struct gate_flow ipv6 = {
		.saddr = { { 0x20, 0x01, 0x0d, 0xb8, [15] = PACKET_CLIENT } },
		.daddr = { { 0x20, 0x01, 0x0d, 0xb8, [15] = PACKET_SERVER } },
	};
	struct gate_flow flow = spec->ip == 6 ? ipv6 : ipv4;

	flow.sport_be = PARSE_SWAP16(PACKET_CLIENT_PORT);
	flow.dport_be = PARSE_SWAP16(PACKET_SERVER_PORT);
	flow.protocol = spec->protocol ? spec->protocol : PACKET_TCP;
	return flow;
}

struct shape {
	const char *name;
	struct packet_spec spec;
	unsigned int l3_offset;
	unsigned int l4_offset;
	unsigned int payload_len; /* 0 for UDP, whose payload nobody asks for */
};

/* clang-format off: a row stays a row */
static const struct shape shapes[] = {
	/* what, how it is built, offset of IP, of TCP or UDP, payload */
	{ "a SYN over IPv4", { .tcp_flags = PACKET_SYN }, 14, 34, 0 },
	{ "a SYN over IPv6", { .ip = 6, .tcp_flags = PACKET_SYN }, 14, 54, 0 },
	{ "a SYN with options", { .tcp_flags = PACKET_SYN, .tcp_options_len = 40 }, 14, 34, 0 },
	{ "a SYN with payload", { .tcp_flags = PACKET_SYN, .payload_len = 9 }, 14, 34, 9 },
	{ "payload", { .tcp_flags = PACKET_ACK, .payload_len = 100 }, 14, 34, 100 },
	{ "payload after options",
	  { .tcp_flags = PACKET_ACK, .tcp_options_len = 12, .payload_len = 100 },
	  14,
	  34,
	  100 },
	{ "payload over IPv6", { .ip = 6, .tcp_flags = PACKET_ACK, .payload_len = 1 }, 14, 54, 1 },
	{ "a datagram", { .protocol = PACKET_UDP, .payload_len = 5 }, 14, 34, 0 },
	{ "an empty datagram", { .protocol = PACKET_UDP }, 14, 34, 0 },
	{ "a datagram over IPv6", { .ip = 6, .protocol = PACKET_UDP }, 14, 54, 0 },

	{ "one VLAN tag", { .vlans = 1, .tcp_flags = PACKET_SYN }, 18, 38, 0 },
	{ "two VLAN tags", { .vlans = 2, .tcp_flags = PACKET_SYN }, 22, 42, 0 },
	{ "two VLAN tags, IPv6", { .vlans = 2, .ip = 6, .protocol = PACKET_UDP }, 22, 62, 0 },

	{ "IPv4 options", { .ip_options_len = 4, .tcp_flags = PACKET_SYN }, 14, 38, 0 },
	{ "all the IPv4 options there can be",
	  { .ip_options_len = 40, .tcp_flags = PACKET_ACK, .payload_len = 3 },
	  14,
	  74,
	  3 },
	{ "the first of several fragments",
	  { .more_fragments = 1, .protocol = PACKET_UDP, .payload_len = 64 },
	  14,
	  34,
	  0 },

	{ "hop-by-hop", { .ip = 6, .extensions = "h", .tcp_flags = PACKET_SYN }, 14, 62, 0 },
	{ "routing", { .ip = 6, .extensions = "r", .tcp_flags = PACKET_SYN }, 14, 62, 0 },
	{ "destination options",
	  { .ip = 6, .extensions = "d", .tcp_flags = PACKET_SYN },
	  14,
	  62,
	  0 },
	{ "long destination options",
	  { .ip = 6, .extensions = "D", .tcp_flags = PACKET_SYN },
	  14,
	  78,
	  0 },
	{ "authentication", { .ip = 6, .extensions = "a", .tcp_flags = PACKET_SYN }, 14, 78, 0 },
	{ "a fragment that is the only one",
	  { .ip = 6, .extensions = "f", .tcp_flags = PACKET_SYN },
	  14,
	  62,
	  0 },
	{ "the first of several IPv6 fragments",
	  { .ip = 6, .extensions = "f", .more_fragments = 1, .protocol = PACKET_UDP },
	  14,
	  62,
	  0 },
	{ "the order of RFC 8200, 4.1",
	  { .ip = 6, .extensions = "hdrfad", .tcp_flags = PACKET_ACK, .payload_len = 2 },
	  14,
	  118,
	  2 },
	{ "eight extension headers",
	  { .ip = 6, .extensions = "hDDDrfad", .tcp_flags = PACKET_SYN },
	  14,
	  182,
	  0 },

	{ "a SYN padded to 60 bytes", { .tcp_flags = PACKET_SYN, .padding_len = 6 }, 14, 34, 0 },
	{ "an ACK padded to 60 bytes", { .tcp_flags = PACKET_ACK, .padding_len = 6 }, 14, 34, 0 },
	{ "one byte of payload, padded",
	  { .tcp_flags = PACKET_ACK, .payload_len = 1, .padding_len = 5 },
	  14,
	  34,
	  1 },
	{ "an ACK over IPv6 with padding",
	  { .ip = 6, .tcp_flags = PACKET_ACK, .padding_len = 40 },
	  14,
	  54,
	  0 },
	{ "a padded datagram", { .protocol = PACKET_UDP, .padding_len = 18 }, 14, 34, 0 },
};
/* clang-format on */

static void assert_packet_is(const struct parse_packet *packet, const struct packet *p,
			     const struct shape *s)
{
	struct gate_flow flow = plain_flow(&s->spec);

	assert_memory_equal(&packet->flow, &flow, sizeof(flow));
	assert_int_equal(packet->l3_offset, s->l3_offset);
	assert_int_equal(packet->l4_offset, s->l4_offset);
	assert_int_equal(packet->payload_len, s->payload_len);
	assert_int_equal(packet->frame_len, p->len);
	assert_int_equal(packet->tcp_flags, s->spec.tcp_flags);
	assert_int_equal(packet->is_first_fragment, s->spec.more_fragments);
}

TEST(every_good_shape_is_understood)
{
	for (size_t i = 0; i < COUNT(shapes); i++) {
		const struct shape *s = &shapes[i];
		struct parse_packet packet = { 0 };
		struct packet p;

		print_message("  %s\n", s->name);
		packet_build(&p, &s->spec);
		assert_int_equal(parse_whole(&p, &packet), PARSE_OK);
		assert_packet_is(&packet, &p, s);
	}
}

TEST(every_malformed_shape_is_refused)
{
	for (size_t i = 0; i < packet_malformed_len; i++) {
		struct parse_packet packet = { 0 };
		struct packet p;

		print_message("  %s\n", packet_malformed[i].name);
		packet_build_malformed(&p, &packet_malformed[i]);
		assert_int_equal(parse_whole(&p, &packet), PARSE_MALFORMED);
	}
}

/* The frame ends too early, and no pull will help. */
TEST(a_good_shape_cut_at_any_byte_is_malformed)
{
	for (size_t i = 0; i < COUNT(shapes); i++) {
		struct parse_packet packet = { 0 };
		struct packet p;

		packet_build(&p, &shapes[i].spec);
		for (size_t len = 0; len < p.ip_end; len++)
			assert_int_equal(parse_copy(&p, len, len, &packet), PARSE_MALFORMED);
	}
}

/* The frame is whole, but a part of it is not in the linear part of the skb. */
TEST(a_header_outside_the_readable_part_asks_for_a_pull)
{
	for (size_t i = 0; i < COUNT(shapes); i++) {
		const struct shape *s = &shapes[i];
		size_t header_len = s->spec.protocol == PACKET_UDP ? 8 : 20;
		struct packet p;

		packet_build(&p, &s->spec);
		for (size_t readable = 0; readable <= p.len; readable++) {
			struct parse_packet packet = { 0 };
			enum parse_result result = parse_copy(&p, readable, p.len, &packet);

			if (readable < s->l4_offset + header_len) {
				assert_int_equal(result, PARSE_SHORT);
				continue;
			}
			assert_int_equal(result, PARSE_OK);
			assert_packet_is(&packet, &p, s);
		}
	}
}

struct refusal {
	const char *name;
	struct packet_spec spec;
	enum parse_result result;
};

static const struct refusal refusals[] = {
	{ "ARP", { .ethertype = 0x0806 }, PARSE_OTHER },
	{ "three VLAN tags", { .vlans = 3, .tcp_flags = PACKET_SYN }, PARSE_OTHER },
	{ "ICMP", { .protocol = 1, .payload_len = 8 }, PARSE_OTHER },
	{ "ICMPv6 behind hop-by-hop",
	  { .ip = 6, .extensions = "h", .protocol = 58, .payload_len = 8 },
	  PARSE_OTHER },
	{ "no next header", { .ip = 6, .protocol = 59 }, PARSE_OTHER },
	{ "ESP", { .ip = 6, .protocol = 50, .payload_len = 32 }, PARSE_OTHER },
	{ "a protocol beyond the extensions' bits",
	  { .ip = 6, .protocol = 60 + 64, .payload_len = 32 },
	  PARSE_OTHER },
	{ "a later fragment of ICMP", { .protocol = 1, .fragment_offset = 1480 }, PARSE_OTHER },
	{ "a later fragment",
	  { .protocol = PACKET_UDP, .fragment_offset = 1480, .payload_len = 64 },
	  PARSE_LATER_FRAGMENT },
	{ "a later fragment, but not the last",
	  { .fragment_offset = 8, .more_fragments = 1, .payload_len = 64 },
	  PARSE_LATER_FRAGMENT },
	{ "the last fragment that an offset can say",
	  { .fragment_offset = 0x1fff * 8, .payload_len = 8 },
	  PARSE_LATER_FRAGMENT },
	{ "a later IPv6 fragment",
	  { .ip = 6, .extensions = "hf", .fragment_offset = 1448, .payload_len = 64 },
	  PARSE_LATER_FRAGMENT },
	/* What follows a later fragment's header is data, even where the number is a header's. */
	{ "a later IPv6 fragment of destination options",
	  { .ip = 6, .extensions = "fd", .fragment_offset = 8, .tcp_flags = PACKET_SYN },
	  PARSE_OTHER },
};

TEST(what_carries_no_port_is_left_alone)
{
	for (size_t i = 0; i < COUNT(refusals); i++) {
		struct parse_packet packet = { 0 };
		struct packet p;

		print_message("  %s\n", refusals[i].name);
		packet_build(&p, &refusals[i].spec);
		assert_int_equal(parse_whole(&p, &packet), refusals[i].result);
	}
}

/* A later fragment may be shorter than a header: nothing in it is read. */
TEST(a_short_later_fragment_is_still_a_fragment)
{
	struct parse_packet packet = { 0 };
	struct packet p;

	packet_build(&p, &(struct packet_spec){ .protocol = 1, .fragment_offset = 64 });
	p.bytes[p.l3 + 9] = PACKET_TCP;
	assert_int_equal(p.len, 34);
	assert_int_equal(parse_whole(&p, &packet), PARSE_LATER_FRAGMENT);
}

/* In the UDP header is the length of the whole datagram; its rest is in other frames. */
TEST(a_datagram_may_be_longer_than_its_first_frame)
{
	struct parse_packet glued = { .is_aggregate = true }, single = { 0 }, fragment = { 0 };
	struct packet p;

	packet_build(&p, &(struct packet_spec){ .protocol = PACKET_UDP, .payload_len = 4 });
	p.bytes[p.l4 + 4] = 0xff;
	assert_int_equal(parse_whole(&p, &glued), PARSE_OK);
	assert_int_equal(parse_whole(&p, &single), PARSE_MALFORMED);
	p.bytes[p.l3 + 6] = 0x20; /* more fragments follow */
	assert_int_equal(parse_whole(&p, &fragment), PARSE_OK);
	assert_true(fragment.is_first_fragment);
}

TEST(a_length_of_zero_is_believed_of_a_frame_beyond_64_kb_only)
{
	for (unsigned int ip = 4; ip <= 6; ip += 2) {
		struct parse_packet packet = { 0 };
		struct packet p;

		packet_build(&p, &(struct packet_spec){ .ip = ip, .tcp_flags = PACKET_ACK });
		memset(p.bytes + p.l3 + (ip == 6 ? 4 : 2), 0, 2);
		assert_int_equal(parse_copy(&p, p.len, BIG_TCP_LEN, &packet), PARSE_OK);
		assert_int_equal(packet.payload_len, BIG_TCP_LEN - p.payload);
		assert_int_equal(parse_copy(&p, p.len, 0xffff, &packet), PARSE_MALFORMED);
	}
}

/* Two extension headers of 2 kB each: what follows them begins past PARSE_OFFSET_MAX. */
TEST(a_header_past_the_last_offset_is_not_looked_for)
{
	struct parse_packet packet = { 0 };
	struct packet p;

	packet_build(&p, &(struct packet_spec){ .ip = 6, .extensions = "d", .payload_len = 4000 });
	p.bytes[54] = PARSE_PROTO_DSTOPTS;
	p.bytes[54 + 1] = 255; /* to 54 + 2048 */
	p.bytes[54 + 2048] = PARSE_PROTO_DSTOPTS;
	p.bytes[54 + 2048 + 1] = 255; /* to 54 + 4096 */
	p.bytes[p.l3 + 4] = 0x13;     /* a payload of 5000 bytes */
	p.bytes[p.l3 + 5] = 0x88;
	assert_int_equal(parse_copy(&p, p.len, 54 + 5000, &packet), PARSE_MALFORMED);
}
