// SPDX-License-Identifier: MIT
/* Builds frames for the tests, and lists the ways in which a frame can be malformed. */
#include "lib/packet.h"

#include <assert.h>
#include <stdlib.h>

enum {
	PACKET_ETHERTYPE_IPV4 = 0x0800,
	PACKET_ETHERTYPE_IPV6 = 0x86dd,
	PACKET_ETHERTYPE_VLAN = 0x8100,
	PACKET_ETHERTYPE_VLAN_AD = 0x88a8,
	PACKET_VLAN_ID = 42,
	PACKET_FRAGMENT_ID = 0x1234,
};

static void packet_u8(struct packet *p, unsigned int value)
{
	assert(p->len < sizeof(p->bytes));
	p->bytes[p->len++] = (__u8)value;
}

static void packet_be16(struct packet *p, unsigned int value)
{
	packet_u8(p, value >> 8);
	packet_u8(p, value);
}

static void packet_be32(struct packet *p, unsigned int value)
{
	packet_be16(p, value >> 16);
	packet_be16(p, value);
}

static void packet_fill(struct packet *p, unsigned int value, size_t len)
{
	while (len--)
		packet_u8(p, value);
}

static void packet_set_be16(struct packet *p, size_t offset, size_t value)
{
	p->bytes[offset] = (__u8)(value >> 8);
	p->bytes[offset + 1] = (__u8)value;
}

static unsigned int packet_or(unsigned int value, unsigned int otherwise)
{
	return value ? value : otherwise;
}

static void packet_link(struct packet *p, const struct packet_spec *s)
{
	unsigned int ethertype = s->ip == 6 ? PACKET_ETHERTYPE_IPV6 : PACKET_ETHERTYPE_IPV4;

	for (size_t i = 0; i < sizeof(s->destination); i++)
		packet_u8(p, s->destination[i]);
	packet_be16(p, 0x0200); /* locally administered */
	packet_be32(p, 1);
	for (unsigned int left = s->vlans; left > 0; left--) {
		packet_be16(p, left > 1 ? PACKET_ETHERTYPE_VLAN_AD : PACKET_ETHERTYPE_VLAN);
		packet_be16(p, PACKET_VLAN_ID);
	}
	packet_be16(p, packet_or(s->ethertype, ethertype));
}

static void packet_addr4(struct packet *p, unsigned int last)
{
	packet_be32(p, 0xc0000200 | last); /* 192.0.2.last */
}

static void packet_addr6(struct packet *p, unsigned int last)
{
	packet_be32(p, 0x20010db8); /* 2001:db8::last */
	packet_fill(p, 0, 8);
	packet_be32(p, last);
}

static void packet_ipv4(struct packet *p, const struct packet_spec *s)
{
	packet_u8(p, 0x40 | (unsigned int)(5 + s->ip_options_len / 4));
	packet_u8(p, 0);
	packet_be16(p, 0); /* total length: packet_finish() */
	packet_be16(p, PACKET_FRAGMENT_ID);
	packet_be16(p, s->more_fragments << 13 | s->fragment_offset / 8);
	packet_u8(p, 64);
	packet_u8(p, packet_or(s->protocol, PACKET_TCP));
	packet_be16(p, 0); /* checksum: packet_finish() */
	packet_addr4(p, packet_or(s->client, PACKET_CLIENT));
	packet_addr4(p, packet_or(s->server, PACKET_SERVER));
	packet_fill(p, 1, s->ip_options_len); /* no-operation */
}

static unsigned int packet_extension_protocol(char letter)
{
	switch (letter) {
	case 'h':
		return 0;
	case 'r':
		return 43;
	case 'f':
		return 44;
	case 'a':
		return 51;
	case 'd':
	case 'D':
		return 60;
	}
	abort(); /* not a letter of packet_spec.extensions */
}

/* What the header before *rest says comes next: an extension, or the transport. */
static unsigned int packet_next_header(const struct packet_spec *s, const char *rest)
{
	return *rest ? packet_extension_protocol(*rest) : packet_or(s->protocol, PACKET_TCP);
}

/* The second byte is the length: in 8 bytes after the first 8, but of a in 4 after the first 8. */
static void packet_extension(struct packet *p, const struct packet_spec *s, const char *letter)
{
	packet_u8(p, packet_next_header(s, letter + 1));
	switch (*letter) {
	case 'a': /* RFC 4302: SPI, sequence number, a check value of 12 bytes */
		packet_u8(p, 4);
		packet_fill(p, 0, 22);
		break;
	case 'f': /* RFC 8200, 4.5; the second byte is reserved, and not a length */
		packet_u8(p, 0xff);
		packet_be16(p, s->fragment_offset | s->more_fragments);
		packet_be32(p, PACKET_FRAGMENT_ID);
		break;
	case 'r': /* no segments left */
		packet_u8(p, 0);
		packet_fill(p, 0, 6);
		break;
	case 'D':
		packet_u8(p, 2);
		packet_fill(p, 0, 22); /* Pad1 */
		break;
	default:
		packet_u8(p, 0);
		packet_fill(p, 0, 6);
	}
}

static void packet_ipv6(struct packet *p, const struct packet_spec *s)
{
	const char *extensions = s->extensions ? s->extensions : "";

	packet_be32(p, 0x60000000);
	packet_be16(p, 0); /* payload length: packet_finish() */
	packet_u8(p, packet_next_header(s, extensions));
	packet_u8(p, 64);
	packet_addr6(p, packet_or(s->client, PACKET_CLIENT));
	packet_addr6(p, packet_or(s->server, PACKET_SERVER));
	for (const char *letter = extensions; *letter; letter++)
		packet_extension(p, s, letter);
}

static void packet_tcp(struct packet *p, const struct packet_spec *s)
{
	packet_be16(p, packet_or(s->client_port, PACKET_CLIENT_PORT));
	packet_be16(p, packet_or(s->server_port, PACKET_SERVER_PORT));
	packet_be32(p, 0x01020304); /* sequence number */
	packet_be32(p, s->tcp_flags & PACKET_ACK ? 0x05060708 : 0);
	packet_u8(p, (unsigned int)(5 + s->tcp_options_len / 4) << 4);
	packet_u8(p, s->tcp_flags);
	packet_be16(p, 0xfaf0);		       /* window */
	packet_be32(p, 0);		       /* checksum: packet_finish(); urgent pointer */
	packet_fill(p, 1, s->tcp_options_len); /* no-operation */
}

static void packet_udp(struct packet *p, const struct packet_spec *s)
{
	packet_be16(p, packet_or(s->client_port, PACKET_CLIENT_PORT));
	packet_be16(p, packet_or(s->server_port, PACKET_SERVER_PORT));
	packet_be16(p, (unsigned int)(8 + s->payload_len));
	packet_be16(p, 0); /* checksum: packet_finish() */
}

/* RFC 1071. A sum of 16-bit words, to be folded once, at the end. */
static unsigned long packet_sum(const __u8 *bytes, size_t len)
{
	unsigned long sum = 0;

	for (size_t i = 0; i < len; i++)
		sum += i % 2 ? bytes[i] : (unsigned long)bytes[i] << 8;
	return sum;
}

static unsigned int packet_fold(unsigned long sum)
{
	while (sum > 0xffff)
		sum = (sum & 0xffff) + (sum >> 16);
	return (unsigned int)sum;
}

static unsigned int packet_transport_checksum(const struct packet *p, const struct packet_spec *s,
					      unsigned int protocol)
{
	size_t len = p->ip_end - p->l4;
	unsigned long pseudo = len + protocol;
	unsigned int sum;

	if (s->ip == 6)
		pseudo += packet_sum(p->bytes + p->l3 + 8, 32); /* both addresses */
	else
		pseudo += packet_sum(p->bytes + p->l3 + 12, 8);
	if (s->checksum == PACKET_CHECKSUM_NONE)
		return 0;
	if (s->checksum == PACKET_CHECKSUM_PARTIAL)
		return packet_fold(pseudo);
	sum = packet_fold(pseudo + packet_sum(p->bytes + p->l4, len)) ^ 0xffff;
	if (s->checksum == PACKET_CHECKSUM_WRONG)
		return sum ^ 0x0101;
	/* RFC 768: a computed 0 is sent as all ones, because 0 means that there is none. */
	return sum == 0 && protocol == PACKET_UDP ? 0xffff : sum;
}

/* Lengths and checksums, which are known once everything else is in its place. */
static void packet_finish(struct packet *p, const struct packet_spec *s, unsigned int protocol)
{
	if (s->ip == 6) {
		packet_set_be16(p, p->l3 + 4, p->ip_end - p->l3 - 40);
	} else {
		packet_set_be16(p, p->l3 + 2, p->ip_end - p->l3);
		packet_set_be16(p, p->l3 + 10,
				packet_fold(packet_sum(p->bytes + p->l3, p->l4 - p->l3)) ^ 0xffff);
	}
	if (protocol == PACKET_TCP)
		packet_set_be16(p, p->l4 + 16, packet_transport_checksum(p, s, protocol));
	else if (protocol == PACKET_UDP)
		packet_set_be16(p, p->l4 + 6, packet_transport_checksum(p, s, protocol));
}

void packet_build(struct packet *p, const struct packet_spec *s)
{
	unsigned int protocol = packet_or(s->protocol, PACKET_TCP);

	*p = (struct packet){ 0 };
	packet_link(p, s);
	p->l3 = p->len;
	if (s->ip == 6)
		packet_ipv6(p, s);
	else
		packet_ipv4(p, s);
	p->l4 = p->len;
	if (protocol == PACKET_TCP)
		packet_tcp(p, s);
	else if (protocol == PACKET_UDP)
		packet_udp(p, s);
	p->payload = p->len;
	for (size_t i = 0; i < s->payload_len; i++)
		packet_u8(p, 'a' + i % 26);
	p->ip_end = p->len;
	packet_finish(p, s, protocol);
	packet_fill(p, 0, s->padding_len);
}

static size_t packet_layer_offset(const struct packet *p, enum packet_layer layer)
{
	switch (layer) {
	case PACKET_IP:
		return p->l3;
	case PACKET_TRANSPORT:
		return p->l4;
	default:
		return 0;
	}
}

void packet_build_malformed(struct packet *p, const struct packet_malformed *m)
{
	packet_build(p, &m->spec);
	for (size_t i = 0; i < PACKET_EDITS_MAX; i++) {
		const struct packet_edit *edit = &m->edits[i];

		p->bytes[packet_layer_offset(p, edit->layer) + edit->offset] = edit->value;
	}
}

/*
 * A SYN to a target, but for the edits: whoever believes one of these holds or drops it.
 * IPv4: byte 0 is version and IHL, 3 the low byte of the total length (40 here).
 * IPv6: byte 5 is the low byte of the payload length (20 here). TCP: 12 is the data offset.
 */
const struct packet_malformed packet_malformed[] = {
	{ "IPv4 that says version 5", { .tcp_flags = PACKET_SYN }, { { PACKET_IP, 0, 0x55 } } },
	{ "IPv4 that says version 6", { .tcp_flags = PACKET_SYN }, { { PACKET_IP, 0, 0x65 } } },
	{ "IPv4 with an IHL of 0", { .tcp_flags = PACKET_SYN }, { { PACKET_IP, 0, 0x40 } } },
	{ "IPv4 with an IHL of 4", { .tcp_flags = PACKET_SYN }, { { PACKET_IP, 0, 0x44 } } },
	{ "IPv4 with an IHL beyond the total length",
	  { .tcp_flags = PACKET_SYN },
	  { { PACKET_IP, 0, 0x4f } } },
	{ "IPv4 with a total length of 0", { .tcp_flags = PACKET_SYN }, { { PACKET_IP, 3, 0 } } },
	{ "IPv4 shorter than its header", { .tcp_flags = PACKET_SYN }, { { PACKET_IP, 3, 19 } } },
	{ "IPv4 shorter than its header with options",
	  { .tcp_flags = PACKET_SYN, .ip_options_len = 40 },
	  { { PACKET_IP, 3, 59 } } },
	{ "IPv4 longer than the frame", { .tcp_flags = PACKET_SYN }, { { PACKET_IP, 3, 41 } } },
	{ "IPv4 much longer than the frame",
	  { .tcp_flags = PACKET_SYN },
	  { { PACKET_IP, 2, 255 } } },
	{ "IPv4 that ends within the TCP header",
	  { .tcp_flags = PACKET_SYN },
	  { { PACKET_IP, 3, 39 } } },
	{ "a later fragment with an IHL of 4",
	  { .fragment_offset = 1480, .payload_len = 8 },
	  { { PACKET_IP, 0, 0x44 } } },
	{ "a later fragment shorter than its header",
	  { .fragment_offset = 1480, .payload_len = 8 },
	  { { PACKET_IP, 3, 19 } } },

	{ "IPv6 that says version 4",
	  { .ip = 6, .tcp_flags = PACKET_SYN },
	  { { PACKET_IP, 0, 0x45 } } },
	{ "IPv6 longer than the frame",
	  { .ip = 6, .tcp_flags = PACKET_SYN },
	  { { PACKET_IP, 5, 21 } } },
	{ "IPv6 with a payload length of 0",
	  { .ip = 6, .tcp_flags = PACKET_SYN },
	  { { PACKET_IP, 5, 0 } } },
	{ "IPv6 that ends within the TCP header",
	  { .ip = 6, .tcp_flags = PACKET_SYN },
	  { { PACKET_IP, 5, 19 } } },
	{ "an extension header beyond the end",
	  { .ip = 6, .extensions = "h", .tcp_flags = PACKET_SYN },
	  { { PACKET_IP, 41, 255 } } },
	{ "an extension header that begins at the end",
	  { .ip = 6, .extensions = "d", .protocol = 60 },
	  { { 0 } } },
	{ "an extension header that begins in the padding",
	  { .ip = 6, .extensions = "d", .protocol = 60, .padding_len = 64 },
	  { { 0 } } },
	{ "an authentication header beyond the end",
	  { .ip = 6, .extensions = "a", .tcp_flags = PACKET_SYN },
	  { { PACKET_IP, 41, 255 } } },
	{ "nine extension headers",
	  { .ip = 6, .extensions = "hddddrdda", .tcp_flags = PACKET_SYN },
	  { { 0 } } },

	{ "a TCP data offset of 0",
	  { .tcp_flags = PACKET_SYN },
	  { { PACKET_TRANSPORT, 12, 0x00 } } },
	{ "a TCP data offset of 4",
	  { .tcp_flags = PACKET_SYN },
	  { { PACKET_TRANSPORT, 12, 0x40 } } },
	{ "a TCP data offset beyond the end",
	  { .tcp_flags = PACKET_SYN },
	  { { PACKET_TRANSPORT, 12, 0x60 } } },
	{ "a TCP data offset into the padding",
	  { .tcp_flags = PACKET_SYN, .padding_len = 40 },
	  { { PACKET_TRANSPORT, 12, 0xf0 } } },
	{ "a TCP header in the padding",
	  { .tcp_flags = PACKET_SYN, .padding_len = 40 },
	  { { PACKET_IP, 3, 20 } } },

	{ "UDP with a length of 0", { .protocol = PACKET_UDP }, { { PACKET_TRANSPORT, 5, 0 } } },
	{ "UDP with a length of 7", { .protocol = PACKET_UDP }, { { PACKET_TRANSPORT, 5, 7 } } },
	{ "UDP longer than its packet",
	  { .protocol = PACKET_UDP, .payload_len = 4 },
	  { { PACKET_TRANSPORT, 5, 13 } } },
	{ "UDP longer than its packet, with padding behind it",
	  { .protocol = PACKET_UDP, .payload_len = 4, .padding_len = 40 },
	  { { PACKET_TRANSPORT, 5, 13 } } },
	{ "a UDP header in the padding",
	  { .protocol = PACKET_UDP, .padding_len = 40 },
	  { { PACKET_IP, 3, 27 } } },
	{ "a first fragment that ends within the UDP header",
	  { .protocol = PACKET_UDP, .more_fragments = 1 },
	  { { PACKET_IP, 3, 27 } } },
};

const size_t packet_malformed_len = sizeof(packet_malformed) / sizeof(packet_malformed[0]);
