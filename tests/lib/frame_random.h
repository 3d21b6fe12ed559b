/* SPDX-License-Identifier: MIT */
/*
 * Random frames: most are almost right, some are cut, garbled or nothing at all. It knows nothing
 * of bpf/, nor of the oracle.
 */
#ifndef DOZE_TESTS_FRAME_RANDOM_H
#define DOZE_TESTS_FRAME_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* BPF_PROG_RUN takes a page less its own headroom. */
#define FRAME_MAX 3400

struct frame {
	uint8_t bytes[FRAME_MAX];
	size_t len;
};

struct frame_random {
	uint64_t state; /* the seed, not 0 */
	int is_known;	/* this frame is of the first client, to the first server */
};

uint64_t frame_random_next(struct frame_random *r);

/* Below limit, which is not 0. */
uint32_t frame_random_below(struct frame_random *r, uint32_t limit);

/* Addresses and ports that are worth to be tried: the first server's, the first client's, others.
 */
struct frame_random_ends {
	const uint8_t (*ipv4)[4];
	size_t ipv4_len;
	const uint8_t (*ipv6)[16];
	size_t ipv6_len;
	const uint16_t *ports; /* host order */
	size_t ports_len;
};

void frame_random_make(struct frame_random *r, const struct frame_random_ends *ends,
		       struct frame *out);

#endif
