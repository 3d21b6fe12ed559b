// SPDX-License-Identifier: MIT
/* A small table, oldest connection first. */
#include "probe/caller_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/util.h"
#include "probe/caller_records.h"

struct callers_connection {
	struct gate_flow flow;
	UT_hash_handle hh;
	uint64_t first_ns, seen_ns;
	uint32_t first_seq, next_seq;
	enum caller_kind kind;
	struct hidden hidden; /* CALLER_TLS: what is behind the ClientHello */
	/* As long as they are of use: to be judged, and compared with what is sent again. */
	size_t len;
	uint8_t *bytes;
};

struct callers {
	struct callers_connection *table;
	uint64_t check_ns;
};

int callers_new(struct callers **out, uint64_t check_ns)
{
	struct callers *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->check_ns = check_ns;
	*out = c;
	return 0;
}

static void callers_drop_bytes(struct callers_connection *connection)
{
	free(connection->bytes);
	connection->bytes = NULL;
	connection->len = 0;
}

static void callers_forget(struct callers *c, struct callers_connection *connection)
{
	HASH_DEL(c->table, connection);
	callers_drop_bytes(connection);
	free(connection);
}

void callers_free(struct callers **c)
{
	struct callers_connection *connection, *next;

	if (!*c)
		return;
	HASH_ITER(hh, (*c)->table, connection, next)
	{
		callers_forget(*c, connection);
	}
	free(*c);
	*c = NULL;
}

static struct callers_connection *callers_find(const struct callers *c,
					       const struct gate_flow *flow)
{
	struct callers_connection *connection;

	HASH_FIND(hh, c->table, flow, sizeof(*flow), connection);
	return connection;
}

/* uthash keeps the order in which they came, so the oldest is at the head. */
static void callers_make_room(struct callers *c, uint64_t now_ns)
{
	while (c->table && (HASH_COUNT(c->table) >= CALLERS_MAX ||
			    now_ns - c->table->seen_ns >= CALLERS_FORGET_NS))
		callers_forget(c, c->table);
}

static struct callers_connection *callers_add(struct callers *c, const struct gate_flow *flow,
					      const struct callers_segment *segment)
{
	struct callers_connection *connection = calloc(1, sizeof(*connection));

	if (!connection)
		return NULL;
	connection->flow = *flow;
	connection->first_seq = segment->seq;
	connection->next_seq = segment->seq;
	connection->first_ns = segment->seen_ns;
	HASH_ADD(hh, c->table, flow, sizeof(connection->flow), connection);
	return connection;
}

/* false: more than a health check says, or no memory. */
static bool callers_append(struct callers_connection *connection, const uint8_t *payload,
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

static enum caller_kind callers_judge(struct callers_connection *connection,
				      const struct callers_segment *segment,
				      const struct caller_rules *rules)
{
	if (connection->kind == CALLER_TLS)
		return hidden_take(&connection->hidden, segment->ack, segment->payload,
				   segment->len)
			       ? CALLER_TLS
			       : CALLER_CLIENT;
	if (!callers_append(connection, segment->payload, segment->len))
		return CALLER_CLIENT;
	return caller_judge(connection->bytes, connection->len, rules);
}

/*
 * All of it, and as it was before: what begins in front of the first byte, or says something else,
 * is another connection by the same ports. Hidden bytes are not kept, and so not compared.
 */
static bool callers_is_sent_again(const struct callers_connection *connection, uint32_t seq,
				  const uint8_t *payload, size_t len)
{
	uint32_t offset = seq - connection->first_seq;
	uint32_t taken = connection->next_seq - connection->first_seq;
	size_t kept;

	if (offset > taken || len > taken - offset)
		return false;
	kept = offset < connection->len ? min_u64(len, connection->len - offset) : 0;
	return kept == 0 || memcmp(connection->bytes + offset, payload, kept) == 0;
}

static enum caller_kind callers_kind_by(const struct callers *c,
					const struct callers_connection *connection,
					uint64_t now_ns)
{
	if (connection->kind == CALLER_TLS && now_ns - connection->first_ns >= c->check_ns)
		return CALLER_CLIENT;
	return connection->kind;
}

static enum caller_kind callers_kind_with(const struct callers *c,
					  struct callers_connection *connection,
					  const struct callers_segment *segment,
					  const struct caller_rules *rules)
{
	enum caller_kind kind = callers_kind_by(c, connection, segment->seen_ns);

	if (kind == CALLER_CLIENT ||
	    callers_is_sent_again(connection, segment->seq, segment->payload, segment->len))
		return kind;
	if (segment->seq != connection->next_seq)
		return CALLER_CLIENT;
	connection->next_seq += (uint32_t)segment->len;
	return callers_judge(connection, segment, rules);
}

/* It has the ports of one that is over. */
static bool callers_is_another(const struct callers_connection *connection,
			       const struct callers_segment *segment)
{
	return segment->seen_ns - connection->seen_ns >= CALLERS_FORGET_NS ||
	       (segment->is_syn && segment->seq != connection->first_seq);
}

enum caller_kind callers_take(struct callers *c, const struct gate_flow *flow,
			      const struct callers_segment *segment,
			      const struct caller_rules *rules)
{
	struct callers_connection *connection = callers_find(c, flow);

	if (connection && callers_is_another(connection, segment)) {
		callers_forget(c, connection);
		connection = NULL;
	}
	if (!connection) {
		callers_make_room(c, segment->seen_ns);
		connection = callers_add(c, flow, segment);
	}
	if (!connection)
		return CALLER_CLIENT;
	/* Move it to the end of the order. */
	HASH_DEL(c->table, connection);
	HASH_ADD(hh, c->table, flow, sizeof(connection->flow), connection);
	connection->seen_ns = segment->seen_ns;
	connection->kind = callers_kind_with(c, connection, segment, rules);
	if (connection->kind == CALLER_CLIENT || connection->kind == CALLER_TLS)
		callers_drop_bytes(connection);
	return connection->kind;
}

enum caller_kind callers_kind(const struct callers *c, const struct gate_flow *flow,
			      uint64_t now_ns)
{
	const struct callers_connection *connection = callers_find(c, flow);

	return connection ? callers_kind_by(c, connection, now_ns) : CALLER_CLIENT;
}

bool callers_is_unproven(const struct callers *c, const struct gate_flow *flow, uint64_t now_ns,
			 uint64_t *age_ns)
{
	const struct callers_connection *connection = callers_find(c, flow);

	if (!connection || (connection->kind != CALLER_UNDECIDED && connection->kind != CALLER_TLS))
		return false;
	*age_ns = now_ns - connection->first_ns;
	return true;
}
