// SPDX-License-Identifier: MIT
#include "lib/frame_random.h"

#include <string.h>

enum {
	TCP = 6,
	UDP = 17,
	HOP_BY_HOP = 0,
	ROUTING = 43,
	FRAGMENT = 44,
	AUTH = 51,
	DESTINATION = 60,
	IPV4_IN_IP = 4,
	IPV6_IN_IP = 41,
	GRE = 47,
};

uint64_t frame_random_next(struct frame_random *r)
{
	/* xorshift64* of G. Marsaglia and S. Vigna. */
	r->state ^= r->state >> 12;
	r->state ^= r->state << 25;
	r->state ^= r->state >> 27;
	return r->state * UINT64_C(2685821657736338717);
}

uint32_t frame_random_below(struct frame_random *r, uint32_t limit)
{
	return (uint32_t)((frame_random_next(r) >> 32) % limit);
}

/* One of `of` times. */
static int chance(struct frame_random *r, uint32_t of)
{
	return frame_random_below(r, of) == 0;
}

static void put(struct frame *f, const void *bytes, size_t len)
{
	if (f->len + len > FRAME_MAX)
		len = FRAME_MAX - f->len;
	memcpy(f->bytes + f->len, bytes, len);
	f->len += len;
}

static void put8(struct frame *f, uint32_t value)
{
	const uint8_t byte = (uint8_t)value;

	put(f, &byte, 1);
}

static void put16(struct frame *f, uint32_t value)
{
	put8(f, value >> 8);
	put8(f, value);
}

static void put32(struct frame *f, uint32_t value)
{
	put16(f, value >> 16);
	put16(f, value);
}

static void put_random(struct frame_random *r, struct frame *f, size_t len)
{
	while (len-- && f->len < FRAME_MAX)
		put8(f, (uint32_t)frame_random_next(r));
}

static void set16(struct frame *f, size_t at, size_t value)
{
	if (at + 2 > f->len)
		return;
	f->bytes[at] = (uint8_t)(value >> 8);
	f->bytes[at + 1] = (uint8_t)value;
}

/* --- the layers --- */

static void put_mac(struct frame_random *r, struct frame *f)
{
	static const uint8_t ours[6] = { 0 }, group[6] = { 1, 0, 0x5e }, other[6] = { 2, 1 },
			     all[6] = { 255, 255, 255, 255, 255, 255 };
	uint32_t which = frame_random_below(r, 32);

	put(f, which == 0 ? group : which == 1 ? all : which == 2 ? other : ours, 6);
	put_random(r, f, 6);
}

static void put_tags(struct frame_random *r, struct frame *f)
{
	uint32_t tags = chance(r, 4) ? frame_random_below(r, 4) : 0;

	while (tags--) {
		put16(f, chance(r, 2) ? 0x8100 : 0x88a8);
		put_random(r, f, 2);
	}
}

enum end {
	SERVER,
	CLIENT,
};

/* Which one of some addresses or ports. */
static uint32_t an_end(struct frame_random *r, enum end end, size_t len)
{
	return r->is_known ? (uint32_t)end : frame_random_below(r, (uint32_t)len);
}

static uint32_t a_port(struct frame_random *r, const struct frame_random_ends *ends, enum end end)
{
	if (chance(r, 16))
		return (uint32_t)frame_random_next(r) & 0xffff;
	if (end == SERVER && chance(r, 2))
		return ends->ports[SERVER];
	return ends->ports[an_end(r, end, ends->ports_len)];
}

static size_t a_payload_len(struct frame_random *r)
{
	static const uint32_t most[] = { 1, 2, 8, 64, 1400, 3300 };

	return frame_random_below(r, most[frame_random_below(r, 6)]);
}

static void put_tcp(struct frame_random *r, const struct frame_random_ends *ends, struct frame *f)
{
	static const uint8_t usual[] = { 0x02, 0x10, 0x18, 0x12, 0x11, 0x04, 0x14, 0x42, 0xc2 };
	uint32_t options = chance(r, 3) ? frame_random_below(r, 11) : 0;
	uint32_t flags = chance(r, 6) ? (uint32_t)frame_random_next(r)
				      : usual[frame_random_below(r, sizeof(usual))];

	put16(f, a_port(r, ends, CLIENT));
	put16(f, a_port(r, ends, SERVER));
	put_random(r, f, 8);
	put8(f, (5 + options) << 4);
	put8(f, flags);
	put_random(r, f, 6 + 4 * options);
	put_random(r, f, a_payload_len(r));
}

static void put_udp(struct frame_random *r, const struct frame_random_ends *ends, struct frame *f)
{
	size_t len = a_payload_len(r);

	put16(f, a_port(r, ends, CLIENT));
	put16(f, a_port(r, ends, SERVER));
	put16(f, chance(r, 8) ? (uint32_t)frame_random_next(r) : (uint32_t)(8 + len));
	put_random(r, f, 2 + len);
}

static void put_transport(struct frame_random *r, const struct frame_random_ends *ends,
			  struct frame *f, uint32_t protocol)
{
	if (protocol == TCP)
		put_tcp(r, ends, f);
	else if (protocol == UDP)
		put_udp(r, ends, f);
	else
		put_random(r, f, a_payload_len(r));
}

static uint32_t a_protocol(struct frame_random *r)
{
	static const uint8_t others[] = { 1, 58, 132, IPV4_IN_IP, IPV6_IN_IP, GRE, 59, AUTH };
	uint32_t which = frame_random_below(r, 16);

	if (which == 0)
		return others[frame_random_below(r, sizeof(others))];
	return which < 5 ? UDP : TCP;
}

/* Most are whole; else the first one, one in between, or the last. */
static uint32_t a_fragment(struct frame_random *r)
{
	static const uint16_t flags[] = { 0x2000, 0x2001, 0x0001, 0x1fff, 0x4000, 0x8000 };

	return chance(r, 6) ? flags[frame_random_below(r, 6)] : 0x4000;
}

static void put_ipv4(struct frame_random *r, const struct frame_random_ends *ends, struct frame *f)
{
	size_t begin = f->len;
	uint32_t options = chance(r, 5) ? frame_random_below(r, 11) : 0;
	uint32_t protocol = a_protocol(r);

	put8(f, 0x40 | (5 + options));
	put8(f, 0);
	put16(f, 0);
	put_random(r, f, 2);
	put16(f, a_fragment(r));
	put8(f, 64);
	put8(f, protocol);
	put16(f, 0);
	put(f, ends->ipv4[an_end(r, CLIENT, ends->ipv4_len)], 4);
	put(f, ends->ipv4[an_end(r, SERVER, ends->ipv4_len)], 4);
	put_random(r, f, 4 * options);
	put_transport(r, ends, f, protocol);
	set16(f, begin + 2, f->len - begin);
}

/* One extension header; returns where it names the next one. */
static size_t put_extension(struct frame_random *r, struct frame *f, uint32_t type)
{
	size_t begin = f->len;
	uint32_t units = frame_random_below(r, 3);

	put8(f, 0);
	if (type == FRAGMENT) {
		put8(f, chance(r, 2) ? 0 : (uint32_t)frame_random_next(r)); /* reserved */
		put16(f, chance(r, 2) ? frame_random_below(r, 2) : frame_random_below(r, 64));
		put32(f, 7);
	} else if (type == AUTH) {
		put8(f, units + 1);
		put_random(r, f, 2 + 4 * (units + 1));
	} else {
		put8(f, units);
		put_random(r, f, 6 + 8 * units);
	}
	return begin;
}

static void put_ipv6(struct frame_random *r, const struct frame_random_ends *ends, struct frame *f)
{
	static const uint8_t types[] = { HOP_BY_HOP, ROUTING, FRAGMENT, AUTH, DESTINATION };
	size_t begin = f->len, next = begin + 6;
	uint32_t extensions = chance(r, 3) ? frame_random_below(r, 11) : 0;
	uint32_t protocol = a_protocol(r);

	put32(f, 0x60000000U | (uint32_t)(frame_random_next(r) & 0x0fffffff));
	put16(f, 0);
	put8(f, 0);
	put8(f, 64);
	put(f, ends->ipv6[an_end(r, CLIENT, ends->ipv6_len)], 16);
	put(f, ends->ipv6[an_end(r, SERVER, ends->ipv6_len)], 16);
	while (extensions--) {
		uint32_t type = types[frame_random_below(r, sizeof(types))];

		f->bytes[next] = (uint8_t)type;
		next = put_extension(r, f, type);
	}
	f->bytes[next] = (uint8_t)protocol;
	put_transport(r, ends, f, protocol);
	set16(f, begin + 4, f->len - begin - 40);
}

/* --- what goes wrong --- */

static void spoil(struct frame_random *r, struct frame *f)
{
	uint32_t headers = f->len < 120 ? (uint32_t)f->len : 120;

	switch (frame_random_below(r, 16)) {
	case 0: /* it is cut */
		f->len = frame_random_below(r, (uint32_t)f->len + 1);
		break;
	case 1: /* it is padded */
		put_random(r, f, 1 + frame_random_below(r, 60));
		break;
	case 2: /* a byte of a header is another, perhaps a few */
	case 3:
		for (uint32_t n = 1 + frame_random_below(r, 3); n; n--)
			f->bytes[frame_random_below(r, headers)] = (uint8_t)frame_random_next(r);
		break;
	case 4: /* a bit is another */
		f->bytes[frame_random_below(r, headers)] ^= (uint8_t)(1U
								      << frame_random_below(r, 8));
		break;
	default:
		break;
	}
	if (f->len < 14)
		put_random(r, f, 14 - f->len); /* a shorter one reaches no hook */
}

void frame_random_make(struct frame_random *r, const struct frame_random_ends *ends,
		       struct frame *out)
{
	uint32_t which = frame_random_below(r, 64);

	out->len = 0;
	r->is_known = chance(r, 3);
	put_mac(r, out);
	put_tags(r, out);
	if (which == 0) {
		put_random(r, out, 2 + frame_random_below(r, 200));
	} else if (which == 1) {
		put16(out, 0x0806);
		put_random(r, out, 28);
	} else if (which < 36) {
		put16(out, 0x0800);
		put_ipv4(r, ends, out);
	} else {
		put16(out, 0x86dd);
		put_ipv6(r, ends, out);
	}
	spoil(r, out);
}
