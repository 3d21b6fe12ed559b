// SPDX-License-Identifier: MIT
/* A small table, oldest connection first. */
#include "callers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "util.h"

struct callers_connection {
	struct gate_flow flow;
	UT_hash_handle hh;
	uint64_t seen_ns;
	uint32_t first_seq, next_seq;
	enum caller_kind kind;
	size_t hidden; /* CALLER_TLS: bytes behind the ClientHello */
	size_t len;
	uint8_t bytes[]; /* CALLER_BYTES_MAX of them */
};

struct callers {
	struct callers_connection *table;
};

int callers_new(struct callers **out)
{
	*out = calloc(1, sizeof(**out));
	return *out ? 0 : -ENOMEM;
}

static void callers_forget(struct callers *c, struct callers_connection *connection)
{
	HASH_DEL(c->table, connection);
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
					      uint32_t seq)
{
	struct callers_connection *connection = calloc(1, sizeof(*connection) + CALLER_BYTES_MAX);

	if (!connection)
		return NULL;
	connection->flow = *flow;
	connection->first_seq = seq;
	connection->next_seq = seq;
	HASH_ADD(hh, c->table, flow, sizeof(connection->flow), connection);
	return connection;
}

static void callers_append(struct callers_connection *connection, const uint8_t *payload,
			   size_t len, const struct caller_rules *rules)
{
	if (connection->kind == CALLER_TLS) {
		connection->hidden += len;
		if (connection->hidden > CALLERS_TLS_MAX)
			connection->kind = CALLER_CLIENT;
		return;
	}
	if (len > CALLER_BYTES_MAX - connection->len) {
		connection->kind = CALLER_CLIENT;
		return;
	}
	memcpy(connection->bytes + connection->len, payload, len);
	connection->len += len;
	connection->kind = caller_judge(connection->bytes, connection->len, rules);
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

enum caller_kind callers_take(struct callers *c, const struct gate_flow *flow, uint32_t seq,
			      const uint8_t *payload, size_t len, const struct caller_rules *rules,
			      uint64_t now_ns)
{
	struct callers_connection *connection = callers_find(c, flow);

	if (connection && now_ns - connection->seen_ns >= CALLERS_FORGET_NS) {
		callers_forget(c, connection);
		connection = NULL;
	}
	if (!connection) {
		callers_make_room(c, now_ns);
		connection = callers_add(c, flow, seq);
	}
	if (!connection)
		return CALLER_CLIENT;
	/* Move it to the end of the order. */
	HASH_DEL(c->table, connection);
	HASH_ADD(hh, c->table, flow, sizeof(connection->flow), connection);
	connection->seen_ns = now_ns;
	if (connection->kind == CALLER_CLIENT)
		return CALLER_CLIENT;
	if (callers_is_sent_again(connection, seq, payload, len))
		return connection->kind;
	if (seq != connection->next_seq) {
		connection->kind = CALLER_CLIENT;
		return CALLER_CLIENT;
	}
	connection->next_seq += (uint32_t)len;
	callers_append(connection, payload, len, rules);
	return connection->kind;
}

enum caller_kind callers_kind(const struct callers *c, const struct gate_flow *flow)
{
	const struct callers_connection *connection = callers_find(c, flow);

	return connection ? connection->kind : CALLER_CLIENT;
}
