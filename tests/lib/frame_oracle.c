// SPDX-License-Identifier: MIT
#include "lib/frame_oracle.h"

#include <arpa/inet.h>
#include <string.h>

/* What was understood of a frame. */
struct frame {
	enum {
		NOT_OURS,
		LATER_FRAGMENT,
		BROKEN,
		WHOLE
	} what;
	bool is_link_group; /* to a broadcast or multicast address of the link */
	bool is_link_other; /* to another machine on this link */
	bool is_tcp;
	bool is_first_fragment;
	uint8_t source[16], destination[16];
	uint16_t source_port, destination_port;
	uint32_t seq;
	bool syn, ack, rst, fin;
	size_t l3, l4, payload_len;
};

/* --- reading --- */

static uint32_t number(const uint8_t *bytes, size_t len)
{
	uint32_t value = 0;

	for (size_t i = 0; i < len; i++)
		value = value << 8 | bytes[i];
	return value;
}

/* RFC 4291, 2.5.5.2. */
static void mapped(uint8_t out[16], const uint8_t ipv4[4])
{
	memset(out, 0, 10);
	out[10] = out[11] = 0xff;
	memcpy(out + 12, ipv4, 4);
}

/* RFC 9293, 3.1. */
static void read_tcp(struct frame *f, const uint8_t *tcp, size_t len)
{
	size_t header;

	if (len < 20) {
		f->what = BROKEN;
		return;
	}
	header = 4UL * (tcp[12] >> 4);
	if (header < 20 || header > len) {
		f->what = BROKEN;
		return;
	}
	f->source_port = (uint16_t)number(tcp, 2);
	f->destination_port = (uint16_t)number(tcp + 2, 2);
	f->seq = number(tcp + 4, 4);
	f->fin = tcp[13] & 1;
	f->syn = tcp[13] & 2;
	f->rst = tcp[13] & 4;
	f->ack = tcp[13] & 16;
	f->payload_len = len - header;
	f->is_tcp = true;
	f->what = WHOLE;
}

/* RFC 768. The length of a first fragment is that of the whole datagram. */
static void read_udp(struct frame *f, const uint8_t *udp, size_t len)
{
	size_t says;

	if (len < 8) {
		f->what = BROKEN;
		return;
	}
	says = number(udp + 4, 2);
	if (says < 8 || (says > len && !f->is_first_fragment)) {
		f->what = BROKEN;
		return;
	}
	f->source_port = (uint16_t)number(udp, 2);
	f->destination_port = (uint16_t)number(udp + 2, 2);
	f->what = WHOLE;
}

static void read_transport(struct frame *f, uint8_t protocol, bool is_later_fragment,
			   const uint8_t *bytes, size_t len)
{
	if (protocol != 6 && protocol != 17)
		f->what = NOT_OURS;
	else if (is_later_fragment)
		f->what = LATER_FRAGMENT;
	else if (protocol == 6)
		read_tcp(f, bytes, len);
	else
		read_udp(f, bytes, len);
}

/* RFC 791, 3.1. */
static void read_ipv4(struct frame *f, const uint8_t *ip, size_t len)
{
	size_t header, total;
	uint32_t fragment;

	f->what = BROKEN;
	if (len < 20 || ip[0] >> 4 != 4)
		return;
	header = 4UL * (ip[0] & 15);
	total = number(ip + 2, 2);
	if (header < 20 || total < header || total > len)
		return;
	fragment = number(ip + 6, 2);
	f->is_first_fragment = fragment & 0x2000;
	mapped(f->source, ip + 12);
	mapped(f->destination, ip + 16);
	f->l4 = f->l3 + header;
	read_transport(f, ip[9], (fragment & 0x1fff) != 0, ip + header, total - header);
}

static bool is_extension(uint8_t type)
{
	return type == 0 || type == 43 || type == 44 || type == 51 || type == 60;
}

/* RFC 8200, 4, and RFC 4302, 2.2. 0: the header does not fit. */
static size_t extension_len(uint8_t type, const uint8_t *bytes, size_t len)
{
	size_t has;

	if (len < 2)
		return 0;
	if (type == 44)
		has = 8;
	else if (type == 51)
		has = 4UL * (bytes[1] + 2U);
	else
		has = 8UL * (bytes[1] + 1U);
	return has <= len ? has : 0;
}

/* RFC 8200, 3. Deeper than eight extension headers the gate does not look. */
static void read_ipv6(struct frame *f, const uint8_t *ip, size_t len)
{
	const uint8_t *at;
	size_t left, header;
	uint8_t type;
	int depth = 0;
	bool is_later = false;

	f->what = BROKEN;
	if (len < 40 || ip[0] >> 4 != 6)
		return;
	left = number(ip + 4, 2);
	if (40 + left > len)
		return;
	memcpy(f->source, ip + 8, 16);
	memcpy(f->destination, ip + 24, 16);
	type = ip[6];
	at = ip + 40;
	/* What follows the header of a later fragment is the middle of something. */
	while (is_extension(type) && !is_later) {
		header = extension_len(type, at, left);
		if (!header || depth == 8)
			return;
		depth++;
		if (type == 44) {
			is_later = number(at + 2, 2) >> 3 != 0;
			f->is_first_fragment |= at[3] & 1;
		}
		type = at[0];
		at += header;
		left -= header;
	}
	/* An eighth header that is a fragment's leads to an extension: too deep as well. */
	if (depth == 8 && is_extension(type))
		return;
	f->l4 = f->l3 + (size_t)(at - ip);
	read_transport(f, type, is_later, at, left);
}

static void read_link(struct frame *f, const uint8_t *frame, size_t len)
{
	static const uint8_t ours[6]; /* lo's */
	size_t at = 12;
	uint32_t type = number(frame + at, 2);

	f->is_link_group = frame[0] & 1;
	f->is_link_other = !f->is_link_group && memcmp(frame, ours, 6) != 0;
	at += 2;
	for (int tag = 0; tag < 2 && (type == 0x8100 || type == 0x88a8); tag++) {
		if (len < at + 4) {
			f->what = BROKEN;
			return;
		}
		type = number(frame + at + 2, 2);
		at += 4;
	}
	f->l3 = at;
	if (type == 0x0800)
		read_ipv4(f, frame + at, len - at);
	else if (type == 0x86dd)
		read_ipv6(f, frame + at, len - at);
	else
		f->what = NOT_OURS;
}

/* --- judging --- */

static bool is_mapped(const uint8_t address[16])
{
	uint8_t same[16];

	mapped(same, address + 12);
	return memcmp(address, same, 16) == 0;
}

/* RFC 1122, 3.2.1.3; RFC 4291, 2.5.2 and 2.7. */
static bool is_nobody(const uint8_t address[16])
{
	static const uint8_t none[16], broadcast[4] = { 255, 255, 255, 255 };
	const uint8_t *ipv4 = address + 12;

	if (!is_mapped(address))
		return address[0] == 0xff || memcmp(address, none, 16) == 0;
	return ipv4[0] == 0 || (ipv4[0] >= 224 && ipv4[0] <= 239) ||
	       memcmp(ipv4, broadcast, 4) == 0;
}

static bool is_new_connection(const struct frame *f)
{
	return f->is_tcp && f->syn && !f->ack && !f->rst && !f->fin;
}

static bool is_payload(const struct frame *f)
{
	return f->is_tcp && f->payload_len > 0 && f->ack && !f->syn && !f->rst;
}

static bool is_for_target(const struct frame *f, const struct frame_oracle_world *w)
{
	uint16_t port = f->destination_port;

	if (port == w->listens)
		return true;
	if (port == w->ended || port == w->unheard)
		return f->is_tcp;
	return port == w->exact && f->is_tcp &&
	       (memcmp(f->destination, w->server[0], 16) == 0 ||
		memcmp(f->destination, w->server[1], 16) == 0);
}

/* Which of the client's two connections; -1: none. */
static int connection_of(const struct frame *f, const struct frame_oracle_world *w)
{
	for (int i = 0; i < 2; i++) {
		if (f->is_tcp && f->source_port == w->client_port &&
		    f->destination_port == w->listens && memcmp(f->source, w->client[i], 16) == 0 &&
		    memcmp(f->destination, w->server[i], 16) == 0)
			return i;
	}
	return -1;
}

static enum gate_verdict judge_new(const struct frame *f, const struct frame_oracle_world *w,
				   size_t len)
{
	if (f->destination_port == w->unheard)
		return GATE_PASS_NO_LISTENER;
	if (f->destination_port != w->listens && !w->is_closed)
		return GATE_PASS_NO_LISTENER; /* nobody waits for one to be started anew */
	if (!w->is_closed)
		return GATE_PASS_OPEN;
	if (w->is_stale)
		return GATE_PASS_STALE;
	if (f->is_first_fragment)
		return GATE_WAKE_FRAGMENT;
	return len > GATE_FRAME_MAX ? GATE_WAKE_TOO_LONG : GATE_HOLD_SYN;
}

static enum gate_verdict judge_payload(const struct frame *f, const struct frame_oracle_world *w)
{
	int connection = connection_of(f, w);

	if (connection < 0)
		return GATE_PASS_STRAY;
	/* RFC 9293, 3.8.4: a keep-alive may carry one byte, which was received before. */
	if (f->payload_len == 1 && (int32_t)(f->seq - w->next_seq[connection]) < 0)
		return GATE_PASS_KEEPALIVE;
	if (!w->is_closed)
		return GATE_PASS_OPEN;
	return w->is_stale ? GATE_PASS_STALE : GATE_WAKE_PAYLOAD;
}

static enum gate_verdict judge(const struct frame *f, const struct frame_oracle_world *w,
			       size_t len)
{
	if (!is_for_target(f, w))
		return GATE_PASS_OTHER;
	if (w->ready_port && f->source_port == w->ready_port)
		return GATE_PASS_READY;
	if (!f->is_tcp && !w->is_closed)
		return GATE_PASS_OPEN;
	if (!f->is_tcp)
		return w->is_stale ? GATE_PASS_STALE : GATE_WAKE_DATAGRAM;
	if (!is_new_connection(f) && !is_payload(f))
		return GATE_PASS_QUIET;
	if (f->is_link_group || is_nobody(f->source) || is_nobody(f->destination))
		return GATE_PASS_MARTIAN;
	return is_new_connection(f) ? judge_new(f, w, len) : judge_payload(f, w);
}

void frame_oracle_see(struct frame_oracle_seen *out, const struct frame_oracle_world *w,
		      const uint8_t *frame, size_t len)
{
	static const enum gate_verdict not_whole[] = {
		[NOT_OURS] = GATE_PASS_OTHER,
		[LATER_FRAGMENT] = GATE_PASS_FRAGMENT,
		[BROKEN] = GATE_PASS_UNPARSED,
	};
	struct frame f = { 0 };

	read_link(&f, frame, len);
	*out = (struct frame_oracle_seen){ .l3 = f.l3, .l4 = f.l4, .payload_len = f.payload_len };
	memcpy(out->flow.saddr.bytes, f.source, 16);
	memcpy(out->flow.daddr.bytes, f.destination, 16);
	out->flow.sport_be = htons(f.source_port);
	out->flow.dport_be = htons(f.destination_port);
	out->flow.protocol = f.is_tcp ? 6 : 17;
	/* A frame for another machine is seen at tc, where an interface is promiscuous. */
	if (f.is_link_other && !w->is_xdp)
		out->verdict = GATE_PASS_OTHER;
	else if (f.what != WHOLE)
		out->verdict = not_whole[f.what];
	else
		out->verdict = judge(&f, w, len);
}
