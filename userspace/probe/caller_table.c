// SPDX-License-Identifier: MIT
/* A small table, oldest connection first. */
#include "probe/caller_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/util.h"
#include "probe/caller_http.h"
#include "probe/caller_records.h"

struct caller_table_connection {
	struct gate_flow flow;
	UT_hash_handle hh;
	uint64_t first_ns, seen_ns;
	uint32_t first_seq, next_seq;
	enum caller_kind kind;
	struct caller_records records; /* CALLER_TLS: behind the ClientHello */
	/* The next byte begins a request by HTTP/1.1. The one before acknowledged so far. */
	bool is_between;
	uint32_t asked_ack;
	/* To be judged, and compared with what is sent again; kept as long as that is of use. */
	size_t len;
	uint8_t *bytes;
};

struct caller_table {
	struct caller_table_connection *connections;
	uint64_t probe_ns;
};

int caller_table_new(struct caller_table **out, uint64_t probe_ns)
{
	struct caller_table *table = calloc(1, sizeof(*table));

	if (!table)
		return -ENOMEM;
	table->probe_ns = probe_ns;
	*out = table;
	return 0;
}

static void caller_table_drop_bytes(struct caller_table_connection *connection)
{
	free(connection->bytes);
	connection->bytes = NULL;
	connection->len = 0;
}

static void caller_table_forget(struct caller_table *table,
				struct caller_table_connection *connection)
{
	HASH_DEL(table->connections, connection);
	caller_table_drop_bytes(connection);
	free(connection);
}

void caller_table_free(struct caller_table **table)
{
	struct caller_table_connection *connection, *next;

	if (!*table)
		return;
	HASH_ITER(hh, (*table)->connections, connection, next)
	{
		caller_table_forget(*table, connection);
	}
	free(*table);
	*table = NULL;
}

static struct caller_table_connection *caller_table_find(const struct caller_table *table,
							 const struct gate_flow *flow)
{
	struct caller_table_connection *connection;

	HASH_FIND(hh, table->connections, flow, sizeof(*flow), connection);
	return connection;
}

/* uthash keeps the order of HASH_ADD, so the one that was silent longest is at the head. */
static void caller_table_make_room(struct caller_table *table, uint64_t now_ns)
{
	while (table->connections &&
	       (HASH_COUNT(table->connections) >= CALLER_TABLE_MAX ||
		now_ns - table->connections->seen_ns >= CALLER_TABLE_FORGET_NS))
		caller_table_forget(table, table->connections);
}

/* What was said before this segment is over. */
static void caller_table_begin(struct caller_table_connection *connection,
			       const struct caller_table_segment *segment)
{
	caller_table_drop_bytes(connection);
	connection->first_seq = segment->seq;
	connection->next_seq = segment->seq;
	connection->first_ns = segment->seen_ns;
	connection->is_between = false;
}

static struct caller_table_connection *caller_table_add(struct caller_table *table,
							const struct gate_flow *flow,
							const struct caller_table_segment *segment)
{
	struct caller_table_connection *connection = calloc(1, sizeof(*connection));

	if (!connection)
		return NULL;
	connection->flow = *flow;
	caller_table_begin(connection, segment);
	HASH_ADD(hh, table->connections, flow, sizeof(connection->flow), connection);
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
	if (connection->kind != CALLER_TLS)
		return caller_table_append(connection, segment->payload, segment->len)
			       ? caller_judge(connection->bytes, connection->len, rules)
			       : CALLER_CLIENT;
	return caller_records_take(&connection->records, segment->ack, segment->payload,
				   segment->len)
		       ? CALLER_TLS
		       : CALLER_CLIENT;
}

/*
 * Whether all of the segment has come before. A segment that begins in front of the first byte, or
 * says something else, belongs to another connection by the same ports. The bytes of TLS records
 * are not kept, and so not compared.
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

static enum caller_kind caller_table_kind_at(const struct caller_table *table,
					     const struct caller_table_connection *connection,
					     uint64_t now_ns)
{
	if (connection->kind == CALLER_TLS && now_ns - connection->first_ns >= table->probe_ns)
		return CALLER_CLIENT;
	return connection->kind;
}

/* bytes: all of a request, if it ends here. */
static void caller_table_note_end(struct caller_table_connection *connection,
				  const struct caller_table_segment *segment, const uint8_t *bytes,
				  size_t len)
{
	connection->is_between = len && caller_http_is_whole(bytes, len);
	connection->asked_ack = segment->ack;
}

/*
 * Behind a client's request another one is judged only if the server has spoken in between:
 * otherwise the client waits for its answer still.
 */
static bool caller_table_is_next_request(const struct caller_table_connection *connection,
					 const struct caller_table_segment *segment)
{
	return connection->is_between && segment->seq == connection->next_seq &&
	       (connection->kind != CALLER_CLIENT || segment->ack != connection->asked_ack);
}

static enum caller_kind caller_table_kind_after(const struct caller_table *table,
						struct caller_table_connection *connection,
						const struct caller_table_segment *segment,
						const struct caller_rules *rules)
{
	enum caller_kind kind = caller_table_kind_at(table, connection, segment->seen_ns);

	if (caller_table_is_sent_again(connection, segment->seq, segment->payload, segment->len))
		return kind;
	if (caller_table_is_next_request(connection, segment)) {
		caller_table_begin(connection, segment);
		kind = CALLER_UNDECIDED;
	} else if (segment->seq != connection->next_seq || connection->is_between) {
		caller_table_begin(connection, segment);
		caller_table_note_end(connection, segment, segment->payload, segment->len);
		kind = CALLER_CLIENT;
	}
	connection->next_seq += (uint32_t)segment->len;
	if (kind == CALLER_CLIENT)
		return kind;
	kind = caller_table_judge(connection, segment, rules);
	caller_table_note_end(connection, segment, connection->bytes, connection->len);
	return kind;
}

/* Whether the segment is of a new connection, by the ports of one that is over. */
static bool caller_table_is_another(const struct caller_table_connection *connection,
				    const struct caller_table_segment *segment)
{
	return segment->seen_ns - connection->seen_ns >= CALLER_TABLE_FORGET_NS ||
	       (segment->is_syn && segment->seq != connection->first_seq);
}

enum caller_kind caller_table_take(struct caller_table *table, const struct gate_flow *flow,
				   const struct caller_table_segment *segment,
				   const struct caller_rules *rules)
{
	struct caller_table_connection *connection = caller_table_find(table, flow);

	if (connection && caller_table_is_another(connection, segment)) {
		caller_table_forget(table, connection);
		connection = NULL;
	}
	if (!connection) {
		caller_table_make_room(table, segment->seen_ns);
		connection = caller_table_add(table, flow, segment);
	}
	if (!connection)
		return CALLER_CLIENT;
	/* Move it to the end of the order. */
	HASH_DEL(table->connections, connection);
	HASH_ADD(hh, table->connections, flow, sizeof(connection->flow), connection);
	connection->seen_ns = segment->seen_ns;
	connection->kind = caller_table_kind_after(table, connection, segment, rules);
	if (connection->kind == CALLER_CLIENT || connection->kind == CALLER_TLS)
		caller_table_drop_bytes(connection);
	return connection->kind;
}

enum caller_kind caller_table_kind(const struct caller_table *table, const struct gate_flow *flow,
				   uint64_t now_ns)
{
	const struct caller_table_connection *connection = caller_table_find(table, flow);

	return connection ? caller_table_kind_at(table, connection, now_ns) : CALLER_CLIENT;
}

bool caller_table_is_unproven(const struct caller_table *table, const struct gate_flow *flow,
			      uint64_t now_ns, uint64_t *age_ns)
{
	const struct caller_table_connection *connection = caller_table_find(table, flow);

	if (!connection || (connection->kind != CALLER_UNDECIDED && connection->kind != CALLER_TLS))
		return false;
	*age_ns = now_ns - connection->first_ns;
	return true;
}
