// SPDX-License-Identifier: MIT
/* A small table, oldest connection first. */
#include "probe/caller_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/util.h"
#include "probe/caller_records.h"

struct caller_table_connection {
	struct gate_flow flow;
	UT_hash_handle hh;
	uint64_t first_ns, seen_ns;
	uint32_t first_seq, next_seq;
	enum caller_kind kind;
	struct caller_records hidden; /* CALLER_TLS: what is behind the ClientHello */
	/* As long as they are of use: to be judged, and compared with what is sent again. */
	size_t len;
	uint8_t *bytes;
};

struct caller_table {
	struct caller_table_connection *table;
	uint64_t probe_ns;
};

int caller_table_new(struct caller_table **out, uint64_t probe_ns)
{
	struct caller_table *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->probe_ns = probe_ns;
	*out = c;
	return 0;
}

static void caller_table_drop_bytes(struct caller_table_connection *connection)
{
	free(connection->bytes);
	connection->bytes = NULL;
	connection->len = 0;
}

static void caller_table_forget(struct caller_table *c, struct caller_table_connection *connection)
{
	HASH_DEL(c->table, connection);
	caller_table_drop_bytes(connection);
	free(connection);
}

void caller_table_free(struct caller_table **c)
{
	struct caller_table_connection *connection, *next;

	if (!*c)
		return;
	HASH_ITER(hh, (*c)->table, connection, next)
	{
		caller_table_forget(*c, connection);
	}
	free(*c);
	*c = NULL;
}

static struct caller_table_connection *caller_table_find(const struct caller_table *c,
							 const struct gate_flow *flow)
{
	struct caller_table_connection *connection;

	HASH_FIND(hh, c->table, flow, sizeof(*flow), connection);
	return connection;
}

/* uthash keeps the order in which they came, so the oldest is at the head. */
static void caller_table_make_room(struct caller_table *c, uint64_t now_ns)
{
	while (c->table && (HASH_COUNT(c->table) >= CALLER_TABLE_MAX ||
			    now_ns - c->table->seen_ns >= CALLER_TABLE_FORGET_NS))
		caller_table_forget(c, c->table);
}

static struct caller_table_connection *caller_table_add(struct caller_table *c,
							const struct gate_flow *flow,
							const struct caller_table_segment *segment)
{
	struct caller_table_connection *connection = calloc(1, sizeof(*connection));

	if (!connection)
		return NULL;
	connection->flow = *flow;
	connection->first_seq = segment->seq;
	connection->next_seq = segment->seq;
	connection->first_ns = segment->seen_ns;
	HASH_ADD(hh, c->table, flow, sizeof(connection->flow), connection);
	return connection;
}

/* false: more than a probe says, or no memory. */
static bool caller_table_append(struct caller_table_connection *connection, const uint8_t *payload,
				size_t len)
{
	uint8_t *grown;

	if (len == 0)
		return true;
	if (len > CALLER_BYTES_MAX - connection->len)
		return false;
	grown = realloc(connection->bytes, connection->len + len);
	if (!grown)
		return false;
	memcpy(grown + connection->len, payload, len);
	connection->bytes = grown;
	connection->len += len;
	return true;
}

static enum caller_kind caller_table_judge(struct caller_table_connection *connection,
					   const struct caller_table_segment *segment,
					   const struct caller_rules *rules)
{
	if (connection->kind == CALLER_TLS)
		return caller_records_take(&connection->hidden, segment->ack, segment->payload,
					   segment->len)
			       ? CALLER_TLS
			       : CALLER_CLIENT;
	if (!caller_table_append(connection, segment->payload, segment->len))
		return CALLER_CLIENT;
	return caller_judge(connection->bytes, connection->len, rules);
}

/*
 * All of it, and as it was before: what begins in front of the first byte, or says something else,
 * is another connection by the same ports. Hidden bytes are not kept, and so not compared.
 */
static bool caller_table_is_sent_again(const struct caller_table_connection *connection,
				       uint32_t seq, const uint8_t *payload, size_t len)
{
	uint32_t offset = seq - connection->first_seq;
	uint32_t taken = connection->next_seq - connection->first_seq;
	size_t kept;

	if (offset > taken || len > taken - offset)
		return false;
	kept = offset < connection->len ? min_u64(len, connection->len - offset) : 0;
	return kept == 0 || memcmp(connection->bytes + offset, payload, kept) == 0;
}

static enum caller_kind caller_table_kind_by(const struct caller_table *c,
					     const struct caller_table_connection *connection,
					     uint64_t now_ns)
{
	if (connection->kind == CALLER_TLS && now_ns - connection->first_ns >= c->probe_ns)
		return CALLER_CLIENT;
	return connection->kind;
}

static enum caller_kind caller_table_kind_with(const struct caller_table *c,
					       struct caller_table_connection *connection,
					       const struct caller_table_segment *segment,
					       const struct caller_rules *rules)
{
	enum caller_kind kind = caller_table_kind_by(c, connection, segment->seen_ns);

	if (kind == CALLER_CLIENT ||
	    caller_table_is_sent_again(connection, segment->seq, segment->payload, segment->len))
		return kind;
	if (segment->seq != connection->next_seq)
		return CALLER_CLIENT;
	connection->next_seq += (uint32_t)segment->len;
	return caller_table_judge(connection, segment, rules);
}

/* It has the ports of one that is over. */
static bool caller_table_is_another(const struct caller_table_connection *connection,
				    const struct caller_table_segment *segment)
{
	return segment->seen_ns - connection->seen_ns >= CALLER_TABLE_FORGET_NS ||
	       (segment->is_syn && segment->seq != connection->first_seq);
}

enum caller_kind caller_table_take(struct caller_table *c, const struct gate_flow *flow,
				   const struct caller_table_segment *segment,
				   const struct caller_rules *rules)
{
	struct caller_table_connection *connection = caller_table_find(c, flow);

	if (connection && caller_table_is_another(connection, segment)) {
		caller_table_forget(c, connection);
		connection = NULL;
	}
	if (!connection) {
		caller_table_make_room(c, segment->seen_ns);
		connection = caller_table_add(c, flow, segment);
	}
	if (!connection)
		return CALLER_CLIENT;
	/* Move it to the end of the order. */
	HASH_DEL(c->table, connection);
	HASH_ADD(hh, c->table, flow, sizeof(connection->flow), connection);
	connection->seen_ns = segment->seen_ns;
	connection->kind = caller_table_kind_with(c, connection, segment, rules);
	if (connection->kind == CALLER_CLIENT || connection->kind == CALLER_TLS)
		caller_table_drop_bytes(connection);
	return connection->kind;
}

enum caller_kind caller_table_kind(const struct caller_table *c, const struct gate_flow *flow,
				   uint64_t now_ns)
{
	const struct caller_table_connection *connection = caller_table_find(c, flow);

	return connection ? caller_table_kind_by(c, connection, now_ns) : CALLER_CLIENT;
}

bool caller_table_is_unproven(const struct caller_table *c, const struct gate_flow *flow,
			      uint64_t now_ns, uint64_t *age_ns)
{
	const struct caller_table_connection *connection = caller_table_find(c, flow);

	if (!connection || (connection->kind != CALLER_UNDECIDED && connection->kind != CALLER_TLS))
		return false;
	*age_ns = now_ns - connection->first_ns;
	return true;
}
