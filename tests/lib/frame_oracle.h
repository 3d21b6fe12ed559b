/* SPDX-License-Identifier: MIT */
/*
 * What a gate must make of a frame, said once more: as slow and as clear as possible, from the RFCs
 * and from what GATE_VERDICTS promises. It shares nothing with bpf/parse.h and bpf/decide.h but the
 * names of the verdicts.
 */
#ifndef DOZE_TESTS_FRAME_ORACLE_H
#define DOZE_TESTS_FRAME_ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gate.h"

/* One target, and what the kernel has behind it. */
struct frame_oracle_world {
	bool is_closed, is_stale;
	uint16_t ready_port; /* 0: doze does not ask */
	bool is_xdp;

	/* Ports of the target: those in use listen; the others do not. */
	uint16_t listens; /* by TCP and UDP */
	uint16_t ended;	  /* TCP: somebody listened when the gate was closed */
	uint16_t unheard; /* TCP: nobody did */
	uint16_t exact;	  /* TCP, of the server's addresses alone; somebody listened */

	/* The server, and a client that is connected to its port listens. */
	uint8_t server[2][16], client[2][16]; /* of IPv4 and of IPv6 */
	uint16_t client_port;
	uint32_t next_seq[2]; /* which byte the server expects */
};

struct frame_oracle_seen {
	enum gate_verdict verdict;
	/* Of what is put into the ring. */
	struct gate_flow flow;
	size_t l3, l4, payload_len;
};

void frame_oracle_see(struct frame_oracle_seen *out, const struct frame_oracle_world *w,
		      const uint8_t *frame, size_t len);

#endif
