// SPDX-License-Identifier: MIT
/* Connections by their segments: in order, sent again, missing, and forgotten. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "lib/test.h"
#include "probe/caller_table.h"

#define PROBE                                                                                      \
	"GET /healthz HTTP/1.1\r\nHost: 192.0.2.5:8080\r\nUser-Agent: kube-probe/1.30\r\n"         \
	"Accept: */*\r\nConnection: close\r\n\r\n"
#define PROBE_LEN (sizeof(PROBE) - 1)

/* A ClientHello with one cipher and one extension of an unknown type. */
#define HELLO_RANDOM "0123456789abcdef0123456789abcdef"
#define HELLO_START  "\x16\x03\x01\x00\x45\x01\x00\x00\x41\x03\x03" HELLO_RANDOM
#define HELLO	     HELLO_START "\x00\x00\x02\x13\x01\x01\x00\x00\x16\x00\xaa\x00\x00" HELLO_OFFERS
#define HELLO_OFFERS "\x00\x10\x00\x0e\x00\x0c\x02h2\x08http/1.1"
#define HELLO_LEN    (sizeof(HELLO) - 1)

#define START_SEQ UINT32_C(1000)
#define START_NS  (77 * NS_PER_S)
#define PROBE_NS  (2 * NS_PER_S)

static const char probe[] = PROBE, hello[] = HELLO;

static const struct caller_rules kubelet = { .knows_kubelet = true, .has_https = true };

static struct gate_flow flow_of(uint16_t port)
{
	return (struct gate_flow){
		.saddr.bytes = { [10] = 0xff, 0xff, 192, 0, 2, 1 },
		.daddr.bytes = { [10] = 0xff, 0xff, 192, 0, 2, 5 },
		.sport_be = htons(port),
		.dport_be = htons(8080),
		.protocol = IPPROTO_TCP,
	};
}

/* From memory of just that length, so that the address sanitizer sees each read beyond it. */
static enum caller_kind take(struct caller_table *c, uint16_t port, uint32_t seq, const void *bytes,
			     size_t len, uint64_t now_ns)
{
	_cleanup_(freep) uint8_t *copy = malloc(len ? len : 1);
	const struct caller_table_segment segment = {
		.seq = seq,
		.payload = copy,
		.len = len,
		.seen_ns = now_ns,
	};
	struct gate_flow flow = flow_of(port);
	enum caller_kind kind;

	assert_non_null(copy);
	memcpy(copy, bytes, len);
	kind = caller_table_take(c, &flow, &segment, &kubelet);
	assert_int_equal(caller_table_kind(c, &flow, now_ns), kind);
	return kind;
}

static enum caller_kind kind_of(const struct caller_table *c, uint16_t port)
{
	struct gate_flow flow = flow_of(port);

	return caller_table_kind(c, &flow, START_NS);
}

/* A segment: which bytes of the stream, and what the connection is behind it. */
struct row {
	size_t from, to;
	enum caller_kind kind;
};

static void expect_rows(const char *name, uint32_t start, const char *stream,
			const struct row *rows, size_t len)
{
	_cleanup_(caller_table_free) struct caller_table *c = NULL;

	assert_int_equal(caller_table_new(&c, PROBE_NS), 0);
	for (size_t i = 0; i < len; i++) {
		enum caller_kind kind = take(c, 1, start + (uint32_t)rows[i].from,
					     stream + rows[i].from, rows[i].to - rows[i].from,
					     START_NS + i);

		if (kind != rows[i].kind)
			fail_msg("%s: %s by segment %zu", name, caller_kind_name(kind), i);
	}
}

#define EXPECT_ROWS(name, stream, ...)                                                             \
	do {                                                                                       \
		static const struct row rows_[] = { __VA_ARGS__ };                                 \
                                                                                                   \
		expect_rows(name, START_SEQ, stream, rows_, ARRAY_LEN(rows_));                     \
		/* And where the numbers begin anew. */                                            \
		expect_rows(name, UINT32_MAX - 20, stream, rows_, ARRAY_LEN(rows_));               \
		expect_rows(name, INT32_MAX - 20, stream, rows_, ARRAY_LEN(rows_));                \
	} while (0)

enum {
	UNDECIDED = CALLER_UNDECIDED,
	HTTP = CALLER_HTTP,
	TLS = CALLER_TLS,
	CLIENT = CALLER_CLIENT,
	N = PROBE_LEN,
	H = HELLO_LEN,
};

/* clang-format off */
TEST(a_probe_in_segments_is_one)
{
	EXPECT_ROWS("at once", PROBE, { 0, N, HTTP });
	EXPECT_ROWS("in two", PROBE, { 0, 20, UNDECIDED }, { 20, N, HTTP });
	EXPECT_ROWS("with nothing within", PROBE,
		    { 0, 0, UNDECIDED }, { 0, 20, UNDECIDED }, { 20, 20, UNDECIDED },
		    { 20, N, HTTP }, { N, N, HTTP });
}

TEST(a_probe_by_the_byte_is_one)
{
	_cleanup_(caller_table_free) struct caller_table *c = NULL;

	assert_int_equal(caller_table_new(&c, PROBE_NS), 0);
	for (size_t i = 0; i < N; i++)
		assert_int_equal(take(c, 1, START_SEQ + (uint32_t)i, probe + i, 1, START_NS),
				 i < N - 1 ? UNDECIDED : HTTP);
}

TEST(what_is_sent_again_changes_nothing)
{
	EXPECT_ROWS("the first", PROBE,
		    { 0, 20, UNDECIDED }, { 0, 20, UNDECIDED }, { 20, N, HTTP });
	EXPECT_ROWS("the last", PROBE, { 0, 20, UNDECIDED }, { 20, N, HTTP }, { 20, N, HTTP });
	EXPECT_ROWS("all of it at once", PROBE,
		    { 0, 20, UNDECIDED }, { 20, N, HTTP }, { 0, N, HTTP });
	EXPECT_ROWS("some of it", PROBE, { 0, N, HTTP }, { 5, 7, HTTP }, { N - 1, N, HTTP });
}

TEST(what_is_out_of_order_is_a_clients)
{
	EXPECT_ROWS("a gap", PROBE, { 0, 20, UNDECIDED }, { 21, N, CLIENT });
	EXPECT_ROWS("a gap that is filled", PROBE,
		    { 0, 20, UNDECIDED }, { 30, N, CLIENT }, { 20, 30, CLIENT }, { 0, N, CLIENT });
	EXPECT_ROWS("a part of it again", PROBE, { 0, 20, UNDECIDED }, { 10, N, CLIENT });
	EXPECT_ROWS("the end first", PROBE, { 20, N, CLIENT }, { 0, 20, CLIENT });
	/* It is not one that can be sent again: the first bytes have not been seen. */
	EXPECT_ROWS("bytes in front", "xxx" PROBE,
		    { 3, N + 3, HTTP }, { 0, 3, CLIENT }, { 3, N + 3, CLIENT });
	EXPECT_ROWS("one byte in front", "\0" PROBE, { 1, N + 1, HTTP }, { 0, 20, CLIENT });
}

TEST(a_second_request_makes_it_a_clients_for_good)
{
	EXPECT_ROWS("the next one", PROBE PROBE,
		    { 0, N, HTTP }, { N, 2 * N, CLIENT }, { 0, N, CLIENT });
	EXPECT_ROWS("a byte of it", PROBE PROBE, { 0, N, HTTP }, { N, N + 1, CLIENT });
	EXPECT_ROWS("within one segment", PROBE PROBE, { 0, N + 1, CLIENT });
	EXPECT_ROWS("a client's, then a probe", "x\r\n" PROBE, { 0, 3, CLIENT }, { 3, N, CLIENT });
}
/* clang-format on */

/* --- a connection that is kept --- */

#define PING  "GET /ping HTTP/1.1\r\nHost: a\r\n\r\n"
#define OTHER "GET /shop HTTP/1.1\r\nHost: a\r\n\r\n"
#define BYE   "GET /ping HTTP/1.1\r\nConnection: close\r\n\r\n"
#define POST  "POST /a HTTP/1.1\r\nContent-Length: 34\r\n\r\n"

static const struct caller_path pings[] = { { "GET", 3, "/ping" } };
static const struct caller_rules by_path = { .paths = pings, .paths_len = 1 };

/* Each said in a segment; the server has spoken in between if hears. */
struct said {
	const char *bytes;
	bool hears;
	uint32_t lost; /* bytes that were not seen before it */
	enum caller_kind kind;
};

static void expect_said(const char *name, const struct said *said, size_t len)
{
	_cleanup_(caller_table_free) struct caller_table *c = NULL;
	struct gate_flow flow = flow_of(1);
	uint32_t seq = UINT32_MAX - 20, ack = 7;

	assert_int_equal(caller_table_new(&c, PROBE_NS), 0);
	for (size_t i = 0; i < len; i++) {
		size_t said_len = strlen(said[i].bytes);
		struct caller_table_segment segment = {
			.seq = seq += said[i].lost,
			.ack = ack += said[i].hears ? 100 : 0,
			.payload = (const uint8_t *)said[i].bytes,
			.len = said_len,
			.seen_ns = START_NS + i,
		};
		enum caller_kind kind = caller_table_take(c, &flow, &segment, &by_path);

		if (kind != said[i].kind)
			fail_msg("%s: %s by segment %zu", name, caller_kind_name(kind), i);
		assert_int_equal(caller_table_take(c, &flow, &segment, &by_path), kind);
		seq += (uint32_t)said_len;
	}
}

#define EXPECT_SAID(name, ...)                                                                     \
	do {                                                                                       \
		static const struct said said_[] = { __VA_ARGS__ };                                \
                                                                                                   \
		expect_said(name, said_, ARRAY_LEN(said_));                                        \
	} while (0)

/* clang-format off */
TEST(each_request_of_a_connection_is_judged)
{
	EXPECT_SAID("a scraper", { PING, true, 0, HTTP }, { PING, true, 0, HTTP },
		    { PING, true, 0, HTTP });
	EXPECT_SAID("in halves", { PING, true, 0, HTTP }, { "GET /pi", true, 0, UNDECIDED },
		    { "ng HTTP/1.1\r\n\r\n", false, 0, HTTP }, { PING, true, 0, HTTP });
	EXPECT_SAID("a pool", { PING, true, 0, HTTP }, { OTHER, true, 0, CLIENT },
		    { PING, true, 0, HTTP }, { OTHER, true, 0, CLIENT }, { OTHER, true, 0, CLIENT },
		    { PING, true, 0, HTTP });
	EXPECT_SAID("half of another", { PING, true, 0, HTTP }, { "GET /sh", true, 0, UNDECIDED },
		    { "op HTTP/1.1\r\n\r\n", false, 0, CLIENT }, { PING, true, 0, HTTP });
}

TEST(a_request_behind_one_that_waits_is_a_clients)
{
	EXPECT_SAID("at once", { OTHER, true, 0, CLIENT }, { PING, false, 0, CLIENT },
		    { PING, true, 0, HTTP });
	EXPECT_SAID("in one segment", { PING OTHER, true, 0, CLIENT }, { PING, true, 0, CLIENT });
	EXPECT_SAID("two that are ignored", { PING PING, true, 0, CLIENT });
	EXPECT_SAID("half of it", { PING "GET", true, 0, CLIENT },
		    { " /ping HTTP/1.1\r\n\r\n", true, 0, CLIENT }, { PING, true, 0, CLIENT });
}

TEST(where_a_request_begins_is_not_known_behind_a_body)
{
	EXPECT_SAID("a body that looks like a request", { POST, true, 0, CLIENT },
		    { PING, true, 0, CLIENT }, { PING, true, 0, CLIENT });
	EXPECT_SAID("another protocol", { "GET / HTTP/1.1\r\nUpgrade: a\r\n\r\n", true, 0, CLIENT },
		    { PING, true, 0, CLIENT });
	EXPECT_SAID("none", { "hello\r\n", true, 0, CLIENT }, { PING, true, 0, CLIENT });
}

TEST(behind_a_gap_the_next_whole_request_is_judged_again)
{
	EXPECT_SAID("a request", { PING, true, 0, HTTP }, { PING, true, 99, CLIENT },
		    { PING, true, 0, HTTP });
	EXPECT_SAID("before anything was answered", { PING, true, 0, HTTP }, { PING, true, 99, CLIENT },
		    { PING, false, 0, CLIENT });
	EXPECT_SAID("half of one", { PING, true, 0, HTTP }, { "HTTP/1.1\r\n\r\n", true, 9, CLIENT },
		    { PING, true, 0, CLIENT });
}

TEST(who_says_that_it_ends_and_goes_on_is_a_client)
{
	EXPECT_SAID("close", { BYE, true, 0, HTTP }, { PING, true, 0, CLIENT },
		    { PING, true, 0, CLIENT });
	EXPECT_SAID("1.0", { "GET /ping HTTP/1.0\r\n\r\n", true, 0, HTTP }, { PING, true, 0, CLIENT });
}
/* clang-format on */

/* The ports are another connection's, whose numbers happen to lie behind. */
TEST(other_bytes_are_not_the_same_sent_again)
{
	_cleanup_(caller_table_free) struct caller_table *c = NULL;
	static const char post[] = "POST / HTTP/1.1\r\n";

	assert_int_equal(caller_table_new(&c, PROBE_NS), 0);
	assert_int_equal(take(c, 1, START_SEQ, PROBE, N, START_NS), HTTP);
	assert_int_equal(take(c, 1, START_SEQ, post, sizeof(post) - 1, START_NS), CLIENT);
	assert_int_equal(take(c, 2, START_SEQ, PROBE, N, START_NS), HTTP);
	assert_int_equal(take(c, 2, START_SEQ - 500, post, sizeof(post) - 1, START_NS), CLIENT);
	assert_int_equal(take(c, 3, START_SEQ, PROBE, N, START_NS), HTTP);
	assert_int_equal(take(c, 3, START_SEQ - INT32_MAX, post, sizeof(post) - 1, START_NS),
			 CLIENT);
}

TEST(what_is_hidden_is_judged_by_its_records)
{
	_cleanup_(caller_table_free) struct caller_table *c = NULL;
	static const char finished[] =
		"\x17\3\3\0\x35.....................................................";
	const size_t len = sizeof(finished) - 1;
	uint32_t seq = START_SEQ + HELLO_LEN;

	assert_int_equal(caller_table_new(&c, PROBE_NS), 0);
	assert_int_equal(take(c, 1, START_SEQ, HELLO, 10, START_NS), UNDECIDED);
	assert_int_equal(take(c, 1, START_SEQ + 10, hello + 10, H - 10, START_NS), TLS);
	assert_int_equal(take(c, 1, seq, finished, len, START_NS), TLS);
	/* Sent again, it is not more; also with the hello, in whose bytes it then begins. */
	assert_int_equal(take(c, 1, seq, finished, len, START_NS), TLS);
	assert_int_equal(take(c, 1, START_SEQ, HELLO, H, START_NS), TLS);
	assert_int_equal(take(c, 1, seq + (uint32_t)len, "no record", 9, START_NS), CLIENT);
	assert_int_equal(take(c, 1, seq, finished, len, START_NS), CLIENT);
	/* Out of order. */
	assert_int_equal(take(c, 2, START_SEQ, HELLO, H, START_NS), TLS);
	assert_int_equal(take(c, 2, seq + 1, finished, 1, START_NS), CLIENT);
}

TEST(who_stays_by_tls_is_a_client)
{
	_cleanup_(caller_table_free) struct caller_table *c = NULL;
	struct gate_flow flow = flow_of(1), other = flow_of(2);

	assert_int_equal(caller_table_new(&c, PROBE_NS), 0);
	assert_int_equal(take(c, 1, START_SEQ, HELLO, H, START_NS), TLS);
	assert_int_equal(take(c, 2, START_SEQ, PROBE, N, START_NS), HTTP);
	assert_int_equal(caller_table_kind(c, &flow, START_NS + PROBE_NS - 1), TLS);
	assert_int_equal(caller_table_kind(c, &flow, START_NS + PROBE_NS), CLIENT);
	assert_int_equal(caller_table_kind(c, &other, START_NS + PROBE_NS), HTTP);
	/* What it says then is activity. */
	assert_int_equal(take(c, 1, START_SEQ + H, "\x17", 1, START_NS + PROBE_NS), CLIENT);
}

static enum caller_kind take_syn(struct caller_table *c, uint16_t port, uint32_t seq,
				 uint64_t now_ns)
{
	const struct caller_table_segment segment = { .is_syn = true,
						      .seq = seq,
						      .seen_ns = now_ns };
	struct gate_flow flow = flow_of(port);

	return caller_table_take(c, &flow, &segment, &kubelet);
}

static bool is_unproven(const struct caller_table *c, uint16_t port, uint64_t now_ns,
			uint64_t age_ns)
{
	struct gate_flow flow = flow_of(port);
	uint64_t age = 77;

	if (!caller_table_is_unproven(c, &flow, now_ns, &age))
		return false;
	assert_int_equal(age, age_ns);
	return true;
}

TEST(what_is_not_told_yet_has_an_age)
{
	_cleanup_(caller_table_free) struct caller_table *c = NULL;
	uint64_t now = START_NS;

	assert_int_equal(caller_table_new(&c, PROBE_NS), 0);
	assert_false(is_unproven(c, 1, now, 0));
	/* From its SYN on, also if that is sent again. */
	assert_int_equal(take_syn(c, 1, START_SEQ, now), UNDECIDED);
	assert_int_equal(take_syn(c, 1, START_SEQ, now + 10), UNDECIDED);
	assert_true(is_unproven(c, 1, now + 20, 20));
	assert_int_equal(take(c, 1, START_SEQ, PROBE, 20, now + 30), UNDECIDED);
	assert_true(is_unproven(c, 1, now + 40, 40));
	assert_int_equal(take(c, 1, START_SEQ + 20, probe + 20, N - 20, now + 50), HTTP);
	assert_false(is_unproven(c, 1, now + 60, 0));
	/* Of one that was there before, from the first bytes. */
	assert_int_equal(take(c, 2, START_SEQ, HELLO, H, now + 70), TLS);
	assert_true(is_unproven(c, 2, now + 80, 10));
	assert_int_equal(take(c, 3, START_SEQ, "x", 1, now), CLIENT);
	assert_false(is_unproven(c, 3, now, 0));
}

TEST(a_syn_with_the_ports_of_another_begins_anew)
{
	_cleanup_(caller_table_free) struct caller_table *c = NULL;

	assert_int_equal(caller_table_new(&c, PROBE_NS), 0);
	assert_int_equal(take(c, 1, START_SEQ, "x", 1, START_NS), CLIENT);
	assert_int_equal(take_syn(c, 1, START_SEQ + 5000, START_NS + 5), UNDECIDED);
	assert_true(is_unproven(c, 1, START_NS + 5, 0));
	assert_int_equal(take(c, 1, START_SEQ + 5000, PROBE, N, START_NS + 6), HTTP);
}

TEST(more_bytes_than_a_probe_has_are_a_clients)
{
	static char bytes[2 * CALLER_BYTES_MAX];
	_cleanup_(caller_table_free) struct caller_table *c = NULL;

	memset(bytes, 'x', sizeof(bytes));
	memcpy(bytes, "GET /", 5);
	assert_int_equal(caller_table_new(&c, PROBE_NS), 0);
	assert_int_equal(take(c, 1, START_SEQ, bytes, CALLER_BYTES_MAX - 1, START_NS), UNDECIDED);
	assert_int_equal(take(c, 1, START_SEQ + CALLER_BYTES_MAX - 1, "x", 1, START_NS), CLIENT);
	assert_int_equal(take(c, 2, START_SEQ, bytes, CALLER_BYTES_MAX - 1, START_NS), UNDECIDED);
	assert_int_equal(take(c, 2, START_SEQ + CALLER_BYTES_MAX - 1, "xx", 2, START_NS), CLIENT);
	assert_int_equal(take(c, 3, START_SEQ, bytes, sizeof(bytes), START_NS), CLIENT);
	assert_int_equal(take(c, 4, START_SEQ, bytes, 5, START_NS), UNDECIDED);
	assert_int_equal(take(c, 4, START_SEQ + 5, bytes + 5, sizeof(bytes) - 5, START_NS), CLIENT);
}

TEST(of_a_connection_that_is_not_known_nothing_is_thought)
{
	_cleanup_(caller_table_free) struct caller_table *c = NULL;
	struct gate_flow back = flow_of(1);

	assert_int_equal(caller_table_new(&c, PROBE_NS), 0);
	assert_int_equal(kind_of(c, 1), CLIENT);
	assert_int_equal(take(c, 1, START_SEQ, PROBE, N, START_NS), HTTP);
	assert_int_equal(kind_of(c, 2), CLIENT);
	back.daddr.bytes[15] = 6;
	assert_int_equal(caller_table_kind(c, &back, START_NS), CLIENT);
	assert_int_equal(kind_of(c, 1), HTTP);
	caller_table_free(&c);
	assert_null(c);
	caller_table_free(&c);
}

TEST(a_full_table_forgets_the_one_that_was_silent_longest)
{
	_cleanup_(caller_table_free) struct caller_table *c = NULL;

	assert_int_equal(caller_table_new(&c, PROBE_NS), 0);
	for (uint16_t i = 1; i <= CALLER_TABLE_MAX; i++)
		assert_int_equal(take(c, i, START_SEQ, PROBE, 20, START_NS + i), UNDECIDED);
	/* The first one speaks, and so the second was silent longest. */
	assert_int_equal(take(c, 1, START_SEQ + 20, probe + 20, 1, START_NS + 1000), UNDECIDED);
	assert_int_equal(kind_of(c, 2), UNDECIDED);
	assert_int_equal(take(c, 1000, START_SEQ, PROBE, N, START_NS + 1001), HTTP);
	assert_int_equal(kind_of(c, 2), CLIENT);
	assert_int_equal(kind_of(c, 3), UNDECIDED);
	/* One more makes room by the third alone; what is known of the others is all there. */
	assert_int_equal(take(c, 1001, START_SEQ, PROBE, N, START_NS + 1002), HTTP);
	assert_int_equal(kind_of(c, 3), CLIENT);
	assert_int_equal(take(c, 1, START_SEQ + 21, probe + 21, N - 21, START_NS + 1003), HTTP);
	for (uint16_t i = 4; i <= CALLER_TABLE_MAX; i++)
		assert_int_equal(take(c, i, START_SEQ + 20, probe + 20, N - 20, START_NS + 1004),
				 HTTP);
	assert_int_equal(kind_of(c, 1000), HTTP);
	/* The middle of a probe is none. */
	assert_int_equal(take(c, 2, START_SEQ + 20, probe + 20, N - 20, START_NS + 1005), CLIENT);
}

TEST(a_connection_that_was_silent_for_long_is_forgotten)
{
	_cleanup_(caller_table_free) struct caller_table *c = NULL;
	uint64_t now = START_NS;

	assert_int_equal(caller_table_new(&c, PROBE_NS), 0);
	assert_int_equal(take(c, 1, START_SEQ, PROBE, 20, now), UNDECIDED);
	now += CALLER_TABLE_FORGET_NS - 1;
	assert_int_equal(take(c, 1, START_SEQ + 20, probe + 20, 20, now), UNDECIDED);
	/* It has spoken since, and is remembered as long again. */
	now += CALLER_TABLE_FORGET_NS - 1;
	assert_int_equal(take(c, 1, START_SEQ + 40, probe + 40, N - 40, now), HTTP);
	/* By now it is another, with other numbers, and judged by itself. */
	now += CALLER_TABLE_FORGET_NS;
	assert_int_equal(take(c, 1, START_SEQ - 7, PROBE, N, now), HTTP);
	assert_int_equal(take(c, 2, START_SEQ, "x", 1, now), CLIENT);
	now += CALLER_TABLE_FORGET_NS;
	assert_int_equal(take(c, 2, START_SEQ, PROBE, N, now), HTTP);
	/* Others that are as old went with the first that came after. */
	assert_int_equal(take(c, 3, START_SEQ, PROBE, N, now), HTTP);
	assert_int_equal(kind_of(c, 1), CLIENT);
	assert_int_equal(kind_of(c, 2), HTTP);
}
