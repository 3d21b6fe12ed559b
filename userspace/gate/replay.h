/* SPDX-License-Identifier: MIT */
/*
 * Delivers a held frame as if it had just arrived on its interface: BPF_PROG_RUN with live frames
 * (kernel 5.18), Documentation/bpf/bpf_prog_run.rst. On lo the kernel would drop such a frame as a
 * martian, because a packet that is really sent there carries its route along. There the packet is
 * sent again instead, through a raw socket.
 *
 * The gate must be open: on tcx and tc the replayed frame passes it once more.
 */
#ifndef DOZE_REPLAY_H
#define DOZE_REPLAY_H

#include <stdint.h>

#include "base/netns.h"
#include "gate/hold.h"

struct replay_program;
struct replay;

struct replay_counters {
	uint64_t replayed;
	uint64_t dropped_checksum; /* damaged on the way to us: the application must not see it */
	uint64_t dropped_refused;  /* the kernel did not take it: TCP sends it again */
};

/*
 * Loads the program, one for all network namespaces, and tries it with a frame that no protocol
 * wants. -EOPNOTSUPP, logged as a warning, when this kernel cannot replay; other errors are logged
 * as such. The caller owns *out.
 */
int replay_program_new(struct replay_program **out);
void replay_program_free(struct replay_program **p);

/* The replay into one namespace. What is passed is borrowed. Logs its errors, -errno. */
int replay_new(struct replay **out, struct replay_program *program, const struct netns *ns);
void replay_free(struct replay **replay);

/* Delivers all that is held, oldest first, and empties h. Returns how many were delivered. */
unsigned int replay_all(struct replay *replay, struct hold *h);

/* Delivers one SYN that is not held. */
void replay_frame(struct replay *replay, const struct gate_event *event, const void *frame);

/* Of one namespace, and of all namespaces that the program has replayed into. */
const struct replay_counters *replay_counters(const struct replay *replay);
const struct replay_counters *replay_program_counters(const struct replay_program *p);

#endif
