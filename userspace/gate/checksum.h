/* SPDX-License-Identifier: MIT */
/*
 * Makes the TCP or UDP checksum of a held frame whole again. Pure. A frame sent on this machine
 * carries only the sum of the pseudo header, for a network card to finish (CHECKSUM_PARTIAL);
 * replayed as it is, the kernel would drop it (TcpInCsumErrors).
 */
#ifndef DOZE_CHECKSUM_H
#define DOZE_CHECKSUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum checksum_result {
	CHECKSUM_VALID,	    /* was right, nothing was changed */
	CHECKSUM_COMPLETED, /* held the pseudo header's sum, is right now */
	CHECKSUM_NONE,	    /* UDP over IPv4 with 0: the sender wants none (RFC 768) */
	CHECKSUM_WRONG,	    /* neither: damaged on the way, must not be replayed; unchanged */
	CHECKSUM_MALFORMED, /* no TCP or UDP over IP at these offsets */
};

/* l3 and l4: offsets of the IP and of the TCP or UDP header in the frame of len bytes. */
enum checksum_result checksum_complete(uint8_t *frame, size_t len, size_t l3, size_t l4);

/* The frame is malformed, or its checksum is neither right nor one that is yet to be completed. */
bool checksum_is_wrong(const uint8_t *frame, size_t len, size_t l3, size_t l4);

#endif
