/* SPDX-License-Identifier: MIT */
/*
 * The connections from sources of probes that reach the awake application: what each has sent so
 * far, and whose that makes it. Pure. It sees segments as the gate does; one that it cannot put in
 * order makes its connection a client's. Of a connection that is kept by HTTP/1.1 each request is
 * judged, as long as none has a body, and each comes after an answer.
 */
#ifndef DOZE_CALLER_TABLE_H
#define DOZE_CALLER_TABLE_H

#include "gate.h"
#include "probe/caller.h"

/* Connections at most; the one that was silent longest is forgotten first. */
#define CALLER_TABLE_MAX 256

/* A connection that was silent for so long is forgotten: its port may be another's by now. */
#define CALLER_TABLE_FORGET_NS 30000000000ULL

struct caller_table;

struct caller_table_segment {
	bool is_syn;	   /* a new connection */
	uint32_t seq, ack; /* seq: of the first byte */
	const uint8_t *payload;
	size_t len;
	uint64_t seen_ns;
};

/* The caller owns *out. A connection by TLS that lasts for probe_ns is a client's. -ENOMEM. */
int caller_table_new(struct caller_table **out, uint64_t probe_ns);
void caller_table_free(struct caller_table **table);

/* Whose the connection is by now, with this segment. */
enum caller_kind caller_table_take(struct caller_table *table, const struct gate_flow *flow,
				   const struct caller_table_segment *segment,
				   const struct caller_rules *rules);

/* Whose it is by the segments so far, and now; CALLER_CLIENT if nothing is known of it. */
enum caller_kind caller_table_kind(const struct caller_table *table, const struct gate_flow *flow,
				   uint64_t now_ns);

/*
 * Whether the connection may still be a probe's or a client's: it has said nothing since its SYN,
 * half of something, or speaks TLS. *age_ns: since its first segment.
 */
bool caller_table_is_unproven(const struct caller_table *table, const struct gate_flow *flow,
			      uint64_t now_ns, uint64_t *age_ns);

#endif
