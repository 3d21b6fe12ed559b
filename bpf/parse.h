/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Finds the TCP or UDP header of a frame: Ethernet, up to two VLAN tags, IPv4 with options, IPv6
 * with extension headers. Pure: bytes in, struct parse_packet out, so that the same code runs in
 * the kernel, in unit tests and under the fuzzer.
 *
 * The parser moves a cursor, checks bounds before each read, and gives up rather than guess.
 */
#ifndef DOZE_PARSE_H
#define DOZE_PARSE_H

#include "gate.h"

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define PARSE_SWAP16(x) ((__u16)__builtin_bswap16(x))
#define PARSE_SWAP32(x) ((__u32)__builtin_bswap32(x))
#else
#define PARSE_SWAP16(x) ((__u16)(x))
#define PARSE_SWAP32(x) ((__u32)(x))
#endif

enum {
	PARSE_ETHERTYPE_IPV4 = 0x0800,
	PARSE_ETHERTYPE_IPV6 = 0x86dd,
	PARSE_ETHERTYPE_VLAN = 0x8100,	  /* 802.1Q */
	PARSE_ETHERTYPE_VLAN_AD = 0x88a8, /* 802.1ad */

	PARSE_PROTO_HOPOPTS = 0,
	PARSE_PROTO_TCP = 6,
	PARSE_PROTO_UDP = 17,
	PARSE_PROTO_ROUTING = 43,
	PARSE_PROTO_FRAGMENT = 44,
	PARSE_PROTO_AUTH = 51,
	PARSE_PROTO_DSTOPTS = 60,

	PARSE_TCP_FIN = 0x01,
	PARSE_TCP_SYN = 0x02,
	PARSE_TCP_RST = 0x04,
	PARSE_TCP_ACK = 0x10,

	PARSE_VLANS_MAX = 2,
	/* RFC 8200 4.1 lists seven; the kernel's own flow dissector stops at 8 as well. */
	PARSE_EXTENSIONS_MAX = 8,
	/* Past this offset no honest header begins. It also bounds the cursor for the verifier. */
	PARSE_OFFSET_MAX = 4096,
};

struct parse_ethernet {
	__u8 destination[6];
	__u8 source[6];
	__be16 type_be;
} __attribute__((packed));

struct parse_vlan {
	__be16 tci_be;
	__be16 type_be;
} __attribute__((packed));

struct parse_ipv4 {
	__u8 version_ihl;
	__u8 tos;
	__be16 total_len_be;
	__be16 id_be;
	__be16 fragment_be;
	__u8 ttl;
	__u8 protocol;
	__be16 checksum_be;
	__u8 saddr[4];
	__u8 daddr[4];
} __attribute__((packed));

struct parse_ipv6 {
	__be32 version_class_flow_be;
	__be16 payload_len_be;
	__u8 next_header;
	__u8 hop_limit;
	__u8 saddr[16];
	__u8 daddr[16];
} __attribute__((packed));

struct parse_extension {
	__u8 next_header;
	__u8 len;
	__be16 fragment_be; /* of a fragment header only */
} __attribute__((packed));

struct parse_tcp {
	__be16 sport_be;
	__be16 dport_be;
	__be32 seq_be;
	__be32 ack_be;
	__u8 offset_reserved;
	__u8 flags;
	__be16 window_be;
	__be16 checksum_be;
	__be16 urgent_be;
} __attribute__((packed));

struct parse_udp {
	__be16 sport_be;
	__be16 dport_be;
	__be16 len_be;
	__be16 checksum_be;
} __attribute__((packed));

/* The bytes that can be read, [start, end), of a frame of frame_len bytes. */
struct parse_bytes {
	const void *start;
	const void *end;
	__u32 frame_len;
	__u16 ethertype; /* of a link without Ethernet header; 0: the frame begins with one */
};

struct parse_packet {
	struct gate_flow flow;
	__u32 payload_len; /* TCP only: bytes after the TCP header */
	__u32 frame_len;
	__u32 tcp_seq; /* host order */
	__u16 l3_offset;
	__u16 l4_offset;
	__u16 payload_offset; /* of TCP */
	__u8 tcp_flags;
	bool is_first_fragment; /* more fragments follow */
	bool is_aggregate;	/* several datagrams that GRO or GSO glued together */
	bool is_to_group;	/* the link's address is a broadcast or multicast one */
};

enum parse_result {
	PARSE_OK,
	PARSE_OTHER,	      /* not TCP or UDP over IP */
	PARSE_LATER_FRAGMENT, /* belongs to a datagram whose ports were in an earlier frame */
	PARSE_MALFORMED,
	PARSE_SHORT, /* whole in the frame, but not within [start, end): pull and parse again */
};

/* The cursor: what of the frame has been understood so far. */
struct parse_cursor {
	__u32 offset;
	__u32 ip_end; /* where the IP packet ends; the frame may carry padding behind it */
	__u16 ethertype;
	__u8 protocol;
	bool is_later_fragment;
	bool is_to_group;
};

static __always_inline const void *parse_header(const struct parse_bytes *b, __u32 offset,
						__u32 len)
{
	const void *header;

	if (offset > PARSE_OFFSET_MAX)
		return 0;
	header = (const char *)b->start + offset;
	/*
	 * Only pleases the verifier (all kernels): clang 19 computes the pointer a second time for
	 * the access, and that copy has not been compared with the end.
	 */
	asm volatile("" : "+r"(header));
	if ((const char *)header + len > (const char *)b->end)
		return 0;
	return header;
}

/* Why parse_header() found nothing: the frame ends here, or only the readable part does. */
static __always_inline enum parse_result parse_missing(const struct parse_bytes *b, __u32 offset,
						       __u32 len)
{
	return offset <= PARSE_OFFSET_MAX && offset + len <= b->frame_len ? PARSE_SHORT
									  : PARSE_MALFORMED;
}

static __always_inline enum parse_result parse_link(const struct parse_bytes *b,
						    struct parse_cursor *c)
{
	const struct parse_ethernet *eth;
	const struct parse_vlan *vlan;

	if (b->ethertype) {
		c->ethertype = b->ethertype;
		return PARSE_OK;
	}
	eth = parse_header(b, 0, sizeof(*eth));
	if (!eth)
		return parse_missing(b, 0, sizeof(*eth));
	c->offset = sizeof(*eth);
	c->is_to_group = eth->destination[0] & 1;
	c->ethertype = PARSE_SWAP16(eth->type_be);
	for (int i = 0; i < PARSE_VLANS_MAX; i++) {
		if (c->ethertype != PARSE_ETHERTYPE_VLAN && c->ethertype != PARSE_ETHERTYPE_VLAN_AD)
			break;
		vlan = parse_header(b, c->offset, sizeof(*vlan));
		if (!vlan)
			return parse_missing(b, c->offset, sizeof(*vlan));
		c->offset += sizeof(*vlan);
		c->ethertype = PARSE_SWAP16(vlan->type_be);
	}
	return PARSE_OK;
}

static __always_inline void parse_mapped(struct gate_addr *out, const __u8 ipv4[4])
{
	*out = (struct gate_addr){ .bytes = { [10] = 0xff, 0xff } };
	__builtin_memcpy(out->bytes + 12, ipv4, 4);
}

static __always_inline enum parse_result
parse_ipv4(const struct parse_bytes *b, struct parse_cursor *c, struct parse_packet *out)
{
	const struct parse_ipv4 *ip = parse_header(b, c->offset, sizeof(*ip));
	__u32 header_len, total_len;
	__u16 fragment;

	if (!ip)
		return parse_missing(b, c->offset, sizeof(*ip));
	header_len = (ip->version_ihl & 0x0f) * 4U;
	total_len = PARSE_SWAP16(ip->total_len_be);
	/* BIG TCP: GRO glued more than 64 kB together, which this field cannot say. */
	if (total_len == 0 && b->frame_len > 0xffff)
		total_len = b->frame_len - c->offset;
	if (ip->version_ihl >> 4 != 4 || header_len < sizeof(*ip) || total_len < header_len ||
	    c->offset + total_len > b->frame_len)
		return PARSE_MALFORMED;

	fragment = PARSE_SWAP16(ip->fragment_be);
	c->is_later_fragment = (fragment & 0x1fff) != 0;
	out->is_first_fragment = (fragment & 0x2000) != 0;
	parse_mapped(&out->flow.saddr, ip->saddr);
	parse_mapped(&out->flow.daddr, ip->daddr);
	c->protocol = ip->protocol;
	c->ip_end = c->offset + total_len;
	c->offset += header_len;
	return PARSE_OK;
}

static __always_inline bool parse_is_extension(__u8 protocol)
{
	const __u64 extensions = 1ULL << PARSE_PROTO_HOPOPTS | 1ULL << PARSE_PROTO_ROUTING |
				 1ULL << PARSE_PROTO_FRAGMENT | 1ULL << PARSE_PROTO_AUTH |
				 1ULL << PARSE_PROTO_DSTOPTS;

	return protocol < 64 && extensions >> protocol & 1;
}

/* 1 if they are equal, else 0, without a branch. */
static __always_inline __u32 parse_equal(__u32 a, __u32 b)
{
	return ((a ^ b) - 1) >> 31;
}

/*
 * One way through the loop, in arithmetic instead of branches: with a branch for each kind of
 * header, eight rounds are more paths than the verifier follows (all kernels).
 */
static __always_inline enum parse_result
parse_extensions(const struct parse_bytes *b, struct parse_cursor *c, struct parse_packet *out)
{
	const struct parse_extension *ext;
	__u32 is_auth, is_fragment, fragment;

	for (int i = 0; i < PARSE_EXTENSIONS_MAX; i++) {
		if (!parse_is_extension(c->protocol) || c->is_later_fragment)
			return PARSE_OK;
		ext = parse_header(b, c->offset, sizeof(*ext));
		if (!ext)
			return parse_missing(b, c->offset, sizeof(*ext));
		is_auth = parse_equal(c->protocol, PARSE_PROTO_AUTH);
		is_fragment = parse_equal(c->protocol, PARSE_PROTO_FRAGMENT);
		fragment = PARSE_SWAP16(ext->fragment_be) * is_fragment;
		c->is_later_fragment = (fragment & 0xfff8) != 0;
		out->is_first_fragment |= fragment & 1;
		/*
		 * RFC 8200, 4.2: 8 (len + 1). RFC 4302, 2.2: 4 (len + 2). A fragment header has 8
		 * bytes, and its len is reserved: masked, as RFC 8200, 4.5 says to ignore it.
		 */
		c->offset += ((ext->len & (is_fragment - 1)) + 1 + is_auth) << (3 - is_auth);
		c->protocol = ext->next_header;
		if (c->offset > c->ip_end)
			return PARSE_MALFORMED;
	}
	return parse_is_extension(c->protocol) ? PARSE_MALFORMED : PARSE_OK;
}

static __always_inline enum parse_result
parse_ipv6(const struct parse_bytes *b, struct parse_cursor *c, struct parse_packet *out)
{
	const struct parse_ipv6 *ip = parse_header(b, c->offset, sizeof(*ip));
	__u32 payload_len;

	if (!ip)
		return parse_missing(b, c->offset, sizeof(*ip));
	payload_len = PARSE_SWAP16(ip->payload_len_be);
	/* BIG TCP and jumbograms write 0 here. */
	if (payload_len == 0 && b->frame_len > 0xffff)
		payload_len = b->frame_len - c->offset - sizeof(*ip);
	if (PARSE_SWAP32(ip->version_class_flow_be) >> 28 != 6 ||
	    c->offset + sizeof(*ip) + payload_len > b->frame_len)
		return PARSE_MALFORMED;

	__builtin_memcpy(out->flow.saddr.bytes, ip->saddr, 16);
	__builtin_memcpy(out->flow.daddr.bytes, ip->daddr, 16);
	c->protocol = ip->next_header;
	c->offset += sizeof(*ip);
	c->ip_end = c->offset + payload_len;
	return parse_extensions(b, c, out);
}

static __always_inline enum parse_result
parse_tcp(const struct parse_bytes *b, const struct parse_cursor *c, struct parse_packet *out)
{
	const struct parse_tcp *tcp = parse_header(b, c->offset, sizeof(*tcp));
	__u32 header_len;

	if (!tcp)
		return parse_missing(b, c->offset, sizeof(*tcp));
	header_len = (tcp->offset_reserved >> 4) * 4U;
	if (header_len < sizeof(*tcp) || c->offset + header_len > c->ip_end)
		return PARSE_MALFORMED;
	out->flow.sport_be = tcp->sport_be;
	out->flow.dport_be = tcp->dport_be;
	out->tcp_flags = tcp->flags;
	out->tcp_seq = PARSE_SWAP32(tcp->seq_be);
	out->payload_offset = c->offset + header_len;
	out->payload_len = c->ip_end - c->offset - header_len;
	return PARSE_OK;
}

static __always_inline enum parse_result
parse_udp(const struct parse_bytes *b, const struct parse_cursor *c, struct parse_packet *out)
{
	const struct parse_udp *udp = parse_header(b, c->offset, sizeof(*udp));
	__u32 len;

	if (!udp)
		return parse_missing(b, c->offset, sizeof(*udp));
	len = PARSE_SWAP16(udp->len_be);
	if (len < sizeof(*udp) || c->offset + sizeof(*udp) > c->ip_end)
		return PARSE_MALFORMED;
	/* A first fragment, and a head of glued datagrams, say more than this frame's share. */
	if (!out->is_first_fragment && !out->is_aggregate && c->offset + len > c->ip_end)
		return PARSE_MALFORMED;
	out->flow.sport_be = udp->sport_be;
	out->flow.dport_be = udp->dport_be;
	return PARSE_OK;
}

/* Fills *out when the answer is PARSE_OK; is_aggregate is the caller's to set, before the call. */
static __always_inline enum parse_result parse_frame(const struct parse_bytes *b,
						     struct parse_packet *out)
{
	struct parse_cursor c = {};
	enum parse_result r = parse_link(b, &c);

	if (r != PARSE_OK)
		return r;
	out->l3_offset = c.offset;
	if (c.ethertype == PARSE_ETHERTYPE_IPV4)
		r = parse_ipv4(b, &c, out);
	else if (c.ethertype == PARSE_ETHERTYPE_IPV6)
		r = parse_ipv6(b, &c, out);
	else
		return PARSE_OTHER;
	if (r != PARSE_OK)
		return r;
	if (c.protocol != PARSE_PROTO_TCP && c.protocol != PARSE_PROTO_UDP)
		return PARSE_OTHER;
	if (c.is_later_fragment)
		return PARSE_LATER_FRAGMENT;

	out->l4_offset = c.offset;
	out->frame_len = b->frame_len;
	out->flow.protocol = c.protocol;
	out->is_to_group = c.is_to_group;
	return c.protocol == PARSE_PROTO_TCP ? parse_tcp(b, &c, out) : parse_udp(b, &c, out);
}

#endif
