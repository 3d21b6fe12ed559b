/* SPDX-License-Identifier: MIT */
/*
 * Builds frames for the tests: Ethernet, VLAN tags, IPv4 or IPv6, TCP or UDP. It knows nothing of
 * bpf/parse.h, so that one can be held against the other.
 *
 *	packet_build(&p, &(struct packet_spec){ .tcp_flags = PACKET_SYN, .vlans = 2 });
 *
 * What is left out of a spec is the plainest choice: TCP over IPv4, from PACKET_CLIENT_PORT of
 * 192.0.2.1 (2001:db8::1) to PACKET_SERVER_PORT of 192.0.2.80 (2001:db8::50), checksums right.
 */
#ifndef DOZE_TESTS_PACKET_H
#define DOZE_TESTS_PACKET_H

#include <linux/types.h>
#include <stddef.h>

enum {
	PACKET_FIN = 0x01,
	PACKET_SYN = 0x02,
	PACKET_RST = 0x04,
	PACKET_PSH = 0x08,
	PACKET_ACK = 0x10,

	PACKET_TCP = 6,
	PACKET_UDP = 17,

	PACKET_CLIENT = 1,  /* last byte of the client's address */
	PACKET_SERVER = 80, /* and of the server's */
	PACKET_CLIENT_PORT = 40000,
	PACKET_SERVER_PORT = 8080,

	PACKET_BYTES_MAX = 4096,
	PACKET_EDITS_MAX = 2,
};

enum packet_checksum {
	PACKET_CHECKSUM_VALID,
	PACKET_CHECKSUM_PARTIAL, /* the pseudo header's sum only: a card does the rest */
	PACKET_CHECKSUM_WRONG,
	PACKET_CHECKSUM_NONE, /* 0: over IPv4, UDP may go without (RFC 768) */
};

struct packet_spec {
	__u8 destination[6]; /* MAC; all zero is lo's own, so that the kernel takes it as ours */
	__u16 ethertype;     /* 0: what ip says */
	unsigned int vlans;  /* the outermost of several is 802.1ad */

	unsigned int ip;       /* 4 or 6 */
	__u8 client;	       /* last byte of the source address */
	__u8 server;	       /* last byte of the destination address */
	size_t ip_options_len; /* IPv4, a multiple of 4 */
	/*
	 * IPv6, one letter for each extension header: h(op-by-hop), r(outing), d(estination),
	 * a(uthentication), f(ragment), and D for a destination header of 24 bytes instead of 8.
	 */
	const char *extensions;
	/* In the IPv4 header, or in each f of the extensions. In bytes, a multiple of 8. */
	unsigned int fragment_offset;
	unsigned int more_fragments; /* 1: more follow */

	__u8 protocol; /* PACKET_TCP, PACKET_UDP, or another: then only the payload follows */
	__u16 client_port;
	__u16 server_port;
	__u8 tcp_flags;
	size_t tcp_options_len; /* a multiple of 4 */
	size_t payload_len;
	enum packet_checksum checksum;
	size_t padding_len; /* behind the IP packet, as Ethernet pads to 60 bytes */
};

struct packet {
	__u8 bytes[PACKET_BYTES_MAX];
	size_t len;
	size_t l3;	/* offset of the IP header */
	size_t l4;	/* offset of the TCP or UDP header */
	size_t payload; /* offset of what follows it */
	size_t ip_end;	/* where the IP packet ends, and padding begins */
};

void packet_build(struct packet *p, const struct packet_spec *spec);

enum packet_layer {
	PACKET_LINK,
	PACKET_IP,
	PACKET_TRANSPORT,
};

/* Sets one byte, at an offset from the header of a layer; checksums stay as they were. */
struct packet_edit {
	enum packet_layer layer;
	size_t offset;
	__u8 value;
};

/* A frame that is wrong in one way. An edit of value 0 at offset 0 of the link changes nothing. */
struct packet_malformed {
	const char *name;
	struct packet_spec spec;
	struct packet_edit edits[PACKET_EDITS_MAX];
};

extern const struct packet_malformed packet_malformed[];
extern const size_t packet_malformed_len;

void packet_build_malformed(struct packet *p, const struct packet_malformed *m);

#endif
