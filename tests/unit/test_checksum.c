// SPDX-License-Identifier: MIT
/* Checksums of frames written byte by byte, and of every shape that tests/lib/packet.c builds. */
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "gate/checksum.h"
#include "lib/packet.h"
#include "lib/test.h"

#define FRAME_MAX 256

#define MAC  "020000000050 020000000001"
#define IPV6 "20010db8000000000000000000000001 20010db8000000000000000000000050"

/*
 * From 192.0.2.1 port 40000 to 192.0.2.80 port 8080, or the same between 2001:db8::1 and ::50.
 * The first one by hand (RFC 1071):
 *
 *   pseudo header  c000 + 0201 + c000 + 0250 + 0006 + 0014           = 1846b, folded 846c
 *   TCP            9c40 + 1f90 + 0102 + 0304 + 5002 + faf0           = 20ac8
 *   together       846c + 20ac8 = 28f34, folded 8f36, complement     = 70c9
 */
/* clang-format off */
static const struct known {
	const char *name;
	const char *link;
	const char *ip;
	const char *before, *after; /* the checksum is between them */
	uint16_t checksum;
	uint16_t pseudo;
	const char *padding;
} known[] = {
	{ "TCP SYN over IPv4, padded to 60 bytes", MAC "0800",
	  "45000028 12344000 4006a44a c0000201 c0000250", "9c401f90 01020304 00000000 5002faf0",
	  "0000", 0x70c9, 0x846c, "000000000000" },
	{ "TCP SYN with options over IPv4", MAC "0800",
	  "4500003c 12344000 4006a436 c0000201 c0000250", "9c401f90 01020304 00000000 a002faf0",
	  "0000 020405b4 0402080a 00000001 00000000 01030307", 0x08e6, 0x8480, "" },
	{ "TCP SYN over IPv6", MAC "86dd", "60000000 00140640" IPV6,
	  "9c401f90 01020304 00000000 5002faf0", "0000", 0x9958, 0x5bdd, "" },
	{ "TCP SYN behind two IPv6 extension headers", MAC "86dd",
	  "60000000 00240040" IPV6 "3c000104 00000000 06000104 00000000",
	  "9c401f90 01020304 00000000 5002faf0", "0000", 0x9958, 0x5bdd, "" },
	{ "UDP over IPv4, padded to 60 bytes", MAC "0800",
	  "45000020 12344000 4011a447 c0000201 c0000250", "9c401f90 000c", "646f7a65", 0xe0de,
	  0x846f, "ffffffffffffffffffffffffffff" },
	{ "UDP of odd length over IPv4", MAC "0800", "45000021 12344000 4011a446 c0000201 c0000250",
	  "9c401f90 000d", "736c656570", 0x76df, 0x8470, "ff" },
	{ "UDP over IPv6", MAC "86dd", "60000000 000c1140" IPV6, "9c401f90 000c", "646f7a65",
	  0x096e, 0x5be0, "" },
	{ "UDP of odd length over IPv6", MAC "86dd", "60000000 000d1140" IPV6, "9c401f90 000d",
	  "736c656570", 0x9f6e, 0x5be1, "ff" },
	/* The sum is 0, which would say that there is none: all ones say the same (RFC 768). */
	{ "UDP whose sum is 0 over IPv4", MAC "0800",
	  "4500001e 12344000 4011a449 c0000201 c0000250", "9c401f90 000a", "bfb7", 0xffff, 0x846d,
	  "" },
	{ "UDP whose sum is 0 over IPv6", MAC "86dd", "60000000 000a1140" IPV6, "9c401f90 000a",
	  "e846", 0xffff, 0x5bde, "" },
};
/* clang-format on */

struct frame {
	uint8_t bytes[FRAME_MAX];
	size_t len, l3, l4, field;
};

static uint8_t hex_digit(char c)
{
	return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static void append(struct frame *f, const char *hex)
{
	while (*hex) {
		if (*hex == ' ') {
			hex++;
			continue;
		}
		f->bytes[f->len++] = (uint8_t)(hex_digit(hex[0]) << 4 | hex_digit(hex[1]));
		hex += 2;
	}
}

static void append_16(struct frame *f, uint16_t value)
{
	f->bytes[f->len++] = (uint8_t)(value >> 8);
	f->bytes[f->len++] = (uint8_t)value;
}

static struct frame frame_of(const struct known *k, uint16_t checksum)
{
	struct frame f = { 0 };

	append(&f, k->link);
	f.l3 = f.len;
	append(&f, k->ip);
	f.l4 = f.len;
	append(&f, k->before);
	f.field = f.len;
	append_16(&f, checksum);
	append(&f, k->after);
	append(&f, k->padding);
	return f;
}

/* In a block of just that length, so that the address sanitizer sees each step outside. */
static enum checksum_result complete(uint8_t *frame, size_t len, size_t l3, size_t l4)
{
	_cleanup_(freep) uint8_t *copy = malloc(len ? len : 1);
	enum checksum_result result;

	assert_non_null(copy);
	memcpy(copy, frame, len);
	result = checksum_complete(copy, len, l3, l4);
	memcpy(frame, copy, len);
	return result;
}

static void expect(const char *name, struct frame *f, enum checksum_result result,
		   const struct frame *after)
{
	enum checksum_result got = complete(f->bytes, f->len, f->l3, f->l4);

	if (got != result)
		fail_msg("%s: result %d, not %d", name, (int)got, (int)result);
	if (memcmp(f->bytes, after->bytes, f->len) != 0)
		fail_msg("%s: the frame is 0x%02x%02x, not 0x%02x%02x, or differs elsewhere", name,
			 f->bytes[f->field], f->bytes[f->field + 1], after->bytes[f->field],
			 after->bytes[f->field + 1]);
}

TEST(a_known_good_frame_is_valid_and_stays_as_it_is)
{
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		struct frame f = frame_of(&known[i], known[i].checksum), before = f;

		expect(known[i].name, &f, CHECKSUM_VALID, &before);
	}
}

TEST(a_partial_checksum_becomes_the_known_one)
{
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		struct frame f = frame_of(&known[i], known[i].pseudo);
		struct frame whole = frame_of(&known[i], known[i].checksum);

		expect(known[i].name, &f, CHECKSUM_COMPLETED, &whole);
		expect(known[i].name, &f, CHECKSUM_VALID, &whole);
	}
}

TEST(a_damaged_frame_is_wrong_and_stays_as_it_is)
{
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		const struct known *k = &known[i];
		size_t ip_end = frame_of(k, 0).len - strlen(k->padding) / 2;

		/* In the ports, in the checksum, and behind it; addresses are below. */
		for (size_t at = frame_of(k, 0).l4; at < ip_end; at++) {
			struct frame f = frame_of(k, k->checksum), before;

			if (at == f.l4 + 4 || at == f.l4 + 5)
				continue; /* UDP's length: then it is malformed */
			f.bytes[at] ^= 0x20;
			before = f;
			expect(k->name, &f, CHECKSUM_WRONG, &before);
		}
	}
}

TEST(a_changed_address_is_wrong)
{
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		struct frame f = frame_of(&known[i], known[i].checksum), before;
		size_t addresses = f.bytes[f.l3] >> 4 == 4 ? 12 : 8;
		size_t len = f.bytes[f.l3] >> 4 == 4 ? 8 : 32;

		for (size_t at = 0; at < len; at++) {
			f = frame_of(&known[i], known[i].checksum);
			f.bytes[f.l3 + addresses + at] ^= 1;
			before = f;
			expect(known[i].name, &f, CHECKSUM_WRONG, &before);
		}
	}
}

/* Ethernet pads short frames with anything. */
TEST(what_is_behind_the_ip_packet_is_not_summed)
{
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		struct frame f = frame_of(&known[i], known[i].pseudo), whole;

		memset(f.bytes + f.len, 0xa5, 7);
		f.len += 7;
		whole = f;
		whole.bytes[f.field] = (uint8_t)(known[i].checksum >> 8);
		whole.bytes[f.field + 1] = (uint8_t)known[i].checksum;
		expect(known[i].name, &f, CHECKSUM_COMPLETED, &whole);
	}
}

TEST(udp_over_ipv4_may_go_without_a_checksum)
{
	struct frame f = frame_of(&known[4], 0), before = f;

	expect(known[4].name, &f, CHECKSUM_NONE, &before);
}

/* RFC 8200, 8.1: over IPv6 it may not; and TCP never. */
TEST(a_checksum_of_0_is_wrong_elsewhere)
{
	static const size_t rows[] = { 0, 2, 6 };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct frame f = frame_of(&known[rows[i]], 0), before = f;

		expect(known[rows[i]].name, &f, CHECKSUM_WRONG, &before);
	}
}

TEST(a_frame_cut_anywhere_is_malformed_and_stays_as_it_is)
{
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		struct frame f = frame_of(&known[i], known[i].pseudo), before = f;

		for (size_t len = 0; len < before.len - strlen(known[i].padding) / 2; len++) {
			f.len = len;
			expect(known[i].name, &f, CHECKSUM_MALFORMED, &before);
		}
	}
}

/* clang-format off */
static const struct {
	const char *name;
	size_t row;	/* of known */
	size_t from_l3; /* which byte is set, from the IP header on */
	uint8_t value;
} malformed[] = {
	{ "IP version 5", 0, 0, 0x55 },
	{ "IPv4 said to be IPv6", 0, 0, 0x60 },
	{ "IPv6 said to be IPv4", 2, 0, 0x45 },
	{ "IPv4 longer than the frame", 0, 2, 0x01 },
	{ "IPv4 of length 0", 0, 3, 0 },
	{ "IPv4 that ends in the TCP header", 0, 3, 37 },
	{ "IPv4 that ends in the UDP header", 4, 3, 27 },
	{ "ICMP", 0, 9, 1 },
	{ "IPv6 longer than the frame", 2, 4, 0x01 },
	{ "IPv6 of length 0", 2, 5, 0 },
	{ "ICMPv6", 2, 6, 58 },
	{ "an extension header too short for where TCP is", 3, 49, 0xff },
	{ "an extension header too long for where TCP is", 3, 41, 1 },
	{ "UDP longer than IPv4", 4, 25, 13 },
	{ "UDP shorter than its header", 4, 25, 7 },
	{ "UDP of length 0 over IPv6", 6, 45, 0 },
	{ "UDP longer than IPv6", 6, 44, 1 },
};
/* clang-format on */

TEST(headers_that_contradict_each_other_are_malformed)
{
	for (size_t i = 0; i < ARRAY_LEN(malformed); i++) {
		const struct known *k = &known[malformed[i].row];
		struct frame f = frame_of(k, k->pseudo), before;

		f.bytes[f.l3 + malformed[i].from_l3] = malformed[i].value;
		before = f;
		expect(malformed[i].name, &f, CHECKSUM_MALFORMED, &before);
	}
}

TEST(offsets_outside_the_frame_are_malformed)
{
	struct frame f = frame_of(&known[0], known[0].pseudo), before = f;

	for (size_t l3 = 0; l3 <= UINT16_MAX; l3 += 251) {
		for (size_t l4 = 0; l4 <= UINT16_MAX; l4 += 251) {
			f.l3 = l3;
			f.l4 = l4;
			expect("a wrong offset", &f, CHECKSUM_MALFORMED, &before);
		}
	}
}

/* Odd and even payloads in every shape of header that the gate can hold. */
static const struct packet_spec shapes[] = {
	{ .ip = 4 },
	{ .ip = 4, .ip_options_len = 40 },
	{ .ip = 4, .vlans = 2, .tcp_options_len = 40, .padding_len = 9 },
	{ .ip = 4, .protocol = PACKET_UDP },
	{ .ip = 4, .protocol = PACKET_UDP, .ip_options_len = 4, .padding_len = 3 },
	{ .ip = 6 },
	{ .ip = 6, .extensions = "hD", .tcp_options_len = 20 },
	{ .ip = 6, .extensions = "hrda", .padding_len = 1 },
	{ .ip = 6, .extensions = "f" },
	{ .ip = 6, .protocol = PACKET_UDP, .vlans = 1 },
	{ .ip = 6, .protocol = PACKET_UDP, .extensions = "Dah" },
};

static void build(struct packet *p, const struct packet_spec *shape, size_t payload_len,
		  enum packet_checksum checksum)
{
	struct packet_spec spec = *shape;

	spec.payload_len = payload_len;
	spec.checksum = checksum;
	packet_build(p, &spec);
}

TEST(every_shape_is_completed_to_what_a_card_would_write)
{
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
		for (size_t payload_len = 0; payload_len < 40; payload_len++) {
			struct packet partial, valid, wrong;

			build(&partial, &shapes[i], payload_len, PACKET_CHECKSUM_PARTIAL);
			build(&valid, &shapes[i], payload_len, PACKET_CHECKSUM_VALID);
			build(&wrong, &shapes[i], payload_len, PACKET_CHECKSUM_WRONG);
			assert_int_equal(complete(wrong.bytes, wrong.len, wrong.l3, wrong.l4),
					 CHECKSUM_WRONG);
			assert_int_equal(
				complete(partial.bytes, partial.len, partial.l3, partial.l4),
				CHECKSUM_COMPLETED);
			assert_memory_equal(partial.bytes, valid.bytes, valid.len);
			assert_int_equal(complete(valid.bytes, valid.len, valid.l3, valid.l4),
					 CHECKSUM_VALID);
		}
	}
}
