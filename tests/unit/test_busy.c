// SPDX-License-Identifier: MIT
/* What a connection says of its application, and how several of them add up. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <string.h>

#include "activity/busy.h"
#include "base/util.h"
#include "lib/test.h"

/* Ten seconds without a packet, and a quarter of an hour until a connection is stuck. */
#define IDLE_MS	 10000
#define MAX_MS	 900000
#define NEVER_MS UINT64_MAX
#define PROBE_MS 5000 /* of a kubelet that is more patient than usual */

enum {
	YES = BUSY_ANSWERED,
	NO = BUSY_NOT_ANSWERED,
	UNKNOWN = BUSY_ANSWER_UNKNOWN,
};

static const struct busy_settings usual = { IDLE_MS, MAX_MS, .sleeps_with_connections = true };
static const struct busy_settings connected = { IDLE_MS, MAX_MS, .sleeps_with_connections = false };
static const struct busy_settings probes = { IDLE_MS, MAX_MS, .sleeps_with_connections = true,
					     .probe_ms = PROBE_MS };
static const struct busy_settings unlimited = { IDLE_MS, 0, .sleeps_with_connections = true };

struct row {
	const char *name;
	struct busy_socket socket;
	enum busy_reason reason;
	bool is_stuck;
	uint64_t recheck_ms;
};

/* An accepted connection that is at rest, but for what is said of it. */
#define AT_REST                                                                                    \
	.state = TCP_ESTABLISHED, .is_accepted = true, .has_received = true,                       \
	.since_received_ms = IDLE_MS, .since_sent_ms = IDLE_MS, .answer = YES

static struct busy_verdict verdict_of(const struct busy_socket *socket,
				      const struct busy_settings *settings)
{
	struct busy_verdict v;

	busy_init(&v);
	busy_add(&v, socket, settings);
	return v;
}

static void expect_verdict(const struct row *row, const struct busy_verdict *v)
{
	if (v->reason != row->reason)
		fail_msg("%s: %s instead of %s", row->name, busy_reason_name(v->reason),
			 busy_reason_name(row->reason));
	if (v->is_stuck != row->is_stuck)
		fail_msg("%s: is_stuck is %d", row->name, v->is_stuck);
	if (v->recheck_ms != row->recheck_ms)
		fail_msg("%s: to be checked again after %llu ms", row->name,
			 (unsigned long long)v->recheck_ms);
	if (v->flow.sport_be != (row->reason || row->is_stuck ? htons(4242) : 0))
		fail_msg("%s: not the flow", row->name);
}

static void expect_row(const struct row *row, const struct busy_settings *settings)
{
	struct busy_socket socket = row->socket;
	struct busy_verdict v;

	socket.flow.sport_be = htons(4242);
	v = verdict_of(&socket, settings);
	expect_verdict(row, &v);
}

static void expect_rows(const struct row *rows, size_t len, const struct busy_settings *settings)
{
	for (size_t i = 0; i < len; i++)
		expect_row(&rows[i], settings);
}

struct probe_row {
	struct row row;
	enum busy_probe probe;
};

enum {
	PLAIN = BUSY_PROBE_PLAIN,
	TCP_PROBE = BUSY_PROBE_SILENT,
	HIDDEN = BUSY_PROBE_HIDDEN,
};

static void expect_probes(const struct probe_row *rows, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		struct busy_socket socket = rows[i].row.socket;
		struct busy_verdict v;

		socket.flow.sport_be = htons(4242);
		busy_init(&v);
		busy_add_probe(&v, &socket, rows[i].probe, &probes);
		expect_verdict(&rows[i].row, &v);
	}
}

/* clang-format off */

#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Winitializer-overrides"

TEST(each_state_of_a_connection_has_its_reason)
{
	static const struct row rows[] = {
	{ "at rest", { AT_REST }, BUSY_NOT, false, 0 },
	{ "a handshake", { .state = TCP_SYN_RECV }, BUSY_CONNECTING, false, 1000 },
	{ "one whose answer was lost", { .state = TCP_SYN_RECV, .retries = 1 }, BUSY_CONNECTING, false, 1000 },
	{ "one that nobody answers", { .state = TCP_SYN_RECV, .retries = 2 }, BUSY_NOT, false, 0 },
	{ "nobody has accepted", { AT_REST, .is_accepted = false }, BUSY_NOT_ACCEPTED, false, 1000 },
	{ "nobody has, and the client is gone", { AT_REST, .is_accepted = false,
	  .state = TCP_CLOSE_WAIT, .unread = 1 }, BUSY_NOT_ACCEPTED, false, 1000 },
	{ "a byte to read", { AT_REST, .unread = 1 }, BUSY_UNREAD, false, 1000 },
	{ "a byte to be taken", { AT_REST, .unacked = 1 }, BUSY_UNACKED, false, 1000 },
	{ "a request", { AT_REST, .answer = NO }, BUSY_UNANSWERED, false, 1000 },
	{ "perhaps a request", { AT_REST, .answer = UNKNOWN }, BUSY_UNANSWERED, false, 1000 },
	{ "never a request", { AT_REST, .answer = UNKNOWN, .has_received = false,
	  .since_sent_ms = NEVER_MS }, BUSY_NOT, false, 0 },
	{ "a stream", { AT_REST, .since_sent_ms = 1 }, BUSY_SENT_LATELY, false, IDLE_MS - 1 },
	{ "its end", { AT_REST, .since_sent_ms = IDLE_MS - 1 }, BUSY_SENT_LATELY, false, 1 },
	{ "after it", { AT_REST, .since_sent_ms = IDLE_MS }, BUSY_NOT, false, 0 },
	{ "the client's FIN is not read", { AT_REST, .state = TCP_CLOSE_WAIT, .unread = 1 },
	  BUSY_NOT, false, 0 },
	{ "a byte before the FIN", { AT_REST, .state = TCP_CLOSE_WAIT, .unread = 2 },
	  BUSY_UNREAD, false, 1000 },
	{ "a request, then a FIN", { AT_REST, .state = TCP_CLOSE_WAIT, .answer = NO },
	  BUSY_UNANSWERED, false, 1000 },
	{ "TLS: an answer, or a session ticket", { AT_REST, .is_tls = true,
	  .since_received_ms = IDLE_MS + 999 }, BUSY_UNANSWERED, false, 1000 },
	{ "TLS: no ticket comes so late", { AT_REST, .is_tls = true,
	  .since_received_ms = IDLE_MS + 1000 }, BUSY_NOT, false, 0 },
	{ "TLS: never a request", { AT_REST, .is_tls = true, .has_received = false }, BUSY_NOT,
	  false, 0 },
	};

	expect_rows(rows, ARRAY_LEN(rows), &usual);
}

TEST(an_application_that_has_closed_is_done)
{
	static const struct row rows[] = {
	{ "an orphan with data", { AT_REST, .is_accepted = false, .state = TCP_FIN_WAIT1,
	  .unacked = 5000 }, BUSY_NOT, false, 0 },
	{ "an orphan with a request", { AT_REST, .is_accepted = false, .state = TCP_FIN_WAIT2,
	  .answer = NO, .unread = 5000 }, BUSY_NOT, false, 0 },
	{ "an orphan of a passive close", { AT_REST, .is_accepted = false, .state = TCP_LAST_ACK,
	  .unacked = 5000 }, BUSY_NOT, false, 0 },
	{ "both have closed", { AT_REST, .state = TCP_CLOSING, .unacked = 5000 }, BUSY_NOT, false, 0 },
	{ "it listens", { .state = TCP_LISTEN, .is_accepted = true, .unread = 3 }, BUSY_NOT, false, 0 },
	{ "half, with data before its FIN", { AT_REST, .state = TCP_FIN_WAIT1, .unacked = 2 },
	  BUSY_UNACKED, false, 1000 },
	{ "half, with its FIN alone", { AT_REST, .state = TCP_FIN_WAIT1, .unacked = 1 },
	  BUSY_NOT, false, 0 },
	{ "half, with an upload", { AT_REST, .state = TCP_FIN_WAIT2, .unread = 1 },
	  BUSY_UNREAD, false, 1000 },
	{ "half: it will not answer", { AT_REST, .state = TCP_FIN_WAIT2, .answer = NO },
	  BUSY_NOT, false, 0 },
	{ "half: it will send no more", { AT_REST, .state = TCP_FIN_WAIT2, .since_sent_ms = 0 },
	  BUSY_NOT, false, 0 },
	};

	expect_rows(rows, ARRAY_LEN(rows), &usual);
	for (uint8_t s = TCP_CLOSING + 1; s; s++)
		expect_row(&(struct row){ "no such state", { AT_REST, .state = s, .unread = 2,
			   .unacked = 2, .answer = NO }, BUSY_NOT, false, 0 }, &usual);
}

TEST(of_several_reasons_the_first_is_told)
{
	struct busy_socket all = { AT_REST, .is_accepted = false, .unread = 1, .unacked = 1,
				   .answer = NO, .since_sent_ms = 0 };

	assert_int_equal(verdict_of(&all, &connected).reason, BUSY_NOT_ACCEPTED);
	all.is_accepted = true;
	assert_int_equal(verdict_of(&all, &connected).reason, BUSY_UNREAD);
	all.unread = 0;
	assert_int_equal(verdict_of(&all, &connected).reason, BUSY_UNACKED);
	all.unacked = 0;
	assert_int_equal(verdict_of(&all, &connected).reason, BUSY_UNANSWERED);
	all.answer = YES;
	assert_int_equal(verdict_of(&all, &connected).reason, BUSY_SENT_LATELY);
	all.since_sent_ms = IDLE_MS;
	assert_int_equal(verdict_of(&all, &connected).reason, BUSY_CONNECTED);
	assert_int_equal(verdict_of(&all, &usual).reason, BUSY_NOT);
}

TEST(a_connection_without_progress_is_stuck)
{
	static const struct row rows[] = {
	{ "a long computation", { AT_REST, .answer = NO, .since_received_ms = MAX_MS - 1,
	  .since_sent_ms = MAX_MS + 5 }, BUSY_UNANSWERED, false, 1000 },
	{ "too long a computation", { AT_REST, .answer = NO, .since_received_ms = MAX_MS,
	  .since_sent_ms = MAX_MS + 5 }, BUSY_NOT, true, 0 },
	{ "the first one on its connection", { AT_REST, .answer = NO, .since_received_ms = MAX_MS,
	  .since_sent_ms = NEVER_MS }, BUSY_NOT, true, 0 },
	{ "a slow download", { AT_REST, .unacked = 9, .since_received_ms = 9 * MAX_MS,
	  .since_sent_ms = MAX_MS - 1 }, BUSY_UNACKED, false, 1000 },
	{ "a client that takes no more", { AT_REST, .unacked = 9, .since_received_ms = 9 * MAX_MS,
	  .since_sent_ms = MAX_MS }, BUSY_NOT, true, 0 },
	{ "an application that reads no more", { AT_REST, .unread = 9, .since_received_ms = MAX_MS,
	  .since_sent_ms = MAX_MS }, BUSY_NOT, true, 0 },
	{ "one that accepts no more", { AT_REST, .is_accepted = false, .since_received_ms = MAX_MS,
	  .since_sent_ms = NEVER_MS }, BUSY_NOT, true, 0 },
	{ "at rest for long", { AT_REST, .since_received_ms = MAX_MS, .since_sent_ms = MAX_MS },
	  BUSY_NOT, false, 0 },
	{ "a handshake", { .state = TCP_SYN_RECV, .since_received_ms = MAX_MS,
	  .since_sent_ms = NEVER_MS }, BUSY_CONNECTING, false, 1000 },
	};

	expect_rows(rows, ARRAY_LEN(rows), &usual);
}

TEST(without_a_limit_nothing_is_stuck)
{
	static const struct row rows[] = {
	{ "a long computation", { AT_REST, .answer = NO, .since_received_ms = NEVER_MS,
	  .since_sent_ms = NEVER_MS }, BUSY_UNANSWERED, false, 1000 },
	};

	expect_rows(rows, ARRAY_LEN(rows), &unlimited);
}

TEST(a_stream_is_not_stuck_although_the_limit_is_below_the_idle_time)
{
	static const struct busy_settings low = { IDLE_MS, 100, .sleeps_with_connections = true };
	static const struct row rows[] = {
	{ "a stream", { AT_REST, .since_sent_ms = 200 }, BUSY_SENT_LATELY, false, IDLE_MS - 200 },
	};

	expect_rows(rows, ARRAY_LEN(rows), &low);
}

TEST(with_sleeps_with_connections_off_a_connection_is_enough)
{
	static const struct row rows[] = {
	{ "at rest", { AT_REST }, BUSY_CONNECTED, false, 1000 },
	{ "at rest for long", { AT_REST, .since_received_ms = NEVER_MS, .since_sent_ms = NEVER_MS },
	  BUSY_CONNECTED, false, 1000 },
	{ "stuck", { AT_REST, .answer = NO, .since_received_ms = MAX_MS, .since_sent_ms = MAX_MS },
	  BUSY_CONNECTED, false, 1000 },
	{ "stuck, and not accepted", { AT_REST, .is_accepted = false, .since_received_ms = MAX_MS,
	  .since_sent_ms = MAX_MS }, BUSY_NOT, true, 0 },
	{ "the client has closed", { AT_REST, .state = TCP_CLOSE_WAIT }, BUSY_NOT, false, 0 },
	{ "it has closed", { AT_REST, .state = TCP_FIN_WAIT2 }, BUSY_NOT, false, 0 },
	};

	expect_rows(rows, ARRAY_LEN(rows), &connected);
}
#define YOUNG .since_received_ms = 5
#define SILENT .has_received = false, .since_sent_ms = NEVER_MS

TEST(a_probe_counts_while_it_waits_for_its_answer)
{
	static const struct probe_row rows[] = {
	{ { "answered", { AT_REST, YOUNG, .since_sent_ms = 4 }, BUSY_NOT, false, 0 }, PLAIN },
	{ { "not yet", { AT_REST, YOUNG, .answer = NO }, BUSY_UNANSWERED, false, 20 }, PLAIN },
	{ { "for a while", { AT_REST, .since_received_ms = 150, .answer = NO },
	  BUSY_UNANSWERED, false, 150 }, PLAIN },
	{ { "for long", { AT_REST, .since_received_ms = PROBE_MS - 1, .answer = NO },
	  BUSY_UNANSWERED, false, 1000 }, PLAIN },
	{ { "it has failed", { AT_REST, .since_received_ms = PROBE_MS, .answer = NO },
	  BUSY_NOT, false, 0 }, PLAIN },
	{ { "nobody has accepted", { AT_REST, YOUNG, .is_accepted = false },
	  BUSY_NOT_ACCEPTED, false, 20 }, PLAIN },
	{ { "about to ask", { AT_REST, YOUNG, SILENT }, BUSY_CONNECTING, false, 20 }, PLAIN },
	{ { "told unasked", { AT_REST, SILENT, .since_received_ms = 300, .since_sent_ms = 10 },
	  BUSY_NOT, false, 0 }, PLAIN },
	};

	expect_probes(rows, ARRAY_LEN(rows));
}

TEST(who_says_nothing_counts_when_the_application_speaks)
{
	static const struct probe_row rows[] = {
	{ { "it may say something", { AT_REST, YOUNG, SILENT }, BUSY_CONNECTING, false, 20 },
	  TCP_PROBE },
	{ { "it does not", { AT_REST, SILENT, .since_received_ms = 100 }, BUSY_NOT, false, 0 },
	  TCP_PROBE },
	{ { "nobody has accepted", { AT_REST, SILENT, .since_received_ms = 100,
	  .is_accepted = false }, BUSY_NOT_ACCEPTED, false, 100 }, TCP_PROBE },
	{ { "a banner", { AT_REST, SILENT, .since_received_ms = 300, .since_sent_ms = 10 },
	  BUSY_SENT_LATELY, false, 300 }, TCP_PROBE },
	{ { "pushes", { AT_REST, SILENT, .since_sent_ms = 10 },
	  BUSY_SENT_LATELY, false, IDLE_MS - 10 }, TCP_PROBE },
	{ { "data to be taken", { AT_REST, SILENT, .unacked = 1, .since_sent_ms = 9000 },
	  BUSY_UNACKED, false, 1000 }, TCP_PROBE },
	{ { "it was told once", { AT_REST, SILENT, .since_received_ms = 2 * IDLE_MS,
	  .since_sent_ms = IDLE_MS }, BUSY_NOT, false, 0 }, TCP_PROBE },
	{ { "it has gone", { AT_REST, SILENT, .state = TCP_CLOSE_WAIT, .unread = 1,
	  .since_sent_ms = 10 }, BUSY_NOT, false, 0 }, TCP_PROBE },
	};

	expect_probes(rows, ARRAY_LEN(rows));
}

TEST(what_is_hidden_counts_as_a_clients)
{
	static const struct probe_row rows[] = {
	{ { "a stream", { AT_REST, YOUNG, .since_sent_ms = 1 }, BUSY_SENT_LATELY, false, 20 },
	  HIDDEN },
	{ { "a long one", { AT_REST, .since_received_ms = 700, .since_sent_ms = 1 },
	  BUSY_SENT_LATELY, false, 700 }, HIDDEN },
	{ { "a longer one", { AT_REST, .since_received_ms = 2000, .since_sent_ms = 1 },
	  BUSY_SENT_LATELY, false, IDLE_MS - 1 }, HIDDEN },
	{ { "a request", { AT_REST, .since_received_ms = MAX_MS - 1, .since_sent_ms = MAX_MS,
	  .answer = NO }, BUSY_UNANSWERED, false, 1000 }, HIDDEN },
	{ { "for ever", { AT_REST, .since_received_ms = MAX_MS, .since_sent_ms = MAX_MS,
	  .answer = NO }, BUSY_NOT, true, 0 }, HIDDEN },
	{ { "at rest", { AT_REST }, BUSY_NOT, false, 0 }, HIDDEN },
	};

	expect_probes(rows, ARRAY_LEN(rows));
}

/* What the gate did not see shows here, whatever else is found first. */
TEST(what_waits_for_the_application_is_found_behind_other_reasons)
{
	static const struct {
		struct busy_socket socket;
		bool is_waiting;
	} rows[] = {
		{ { AT_REST }, false },
		{ { AT_REST, .unacked = 1 }, false },
		{ { AT_REST, .answer = NO }, false },
		{ { AT_REST, .unread = 1 }, true },
		{ { AT_REST, .is_accepted = false }, true },
		{ { AT_REST, .state = TCP_CLOSE_WAIT, .unread = 1 }, false },
		{ { .state = TCP_SYN_RECV }, false },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct busy_socket first = { AT_REST, .unacked = 1 }, second = rows[i].socket;
		struct busy_verdict v;

		second.flow.sport_be = htons(4242);
		busy_init(&v);
		busy_add(&v, &first, &usual);
		busy_add(&v, &second, &usual);
		if (v.has_waiting != rows[i].is_waiting)
			fail_msg("row %zu", i);
		assert_int_equal(v.waiting.sport_be, rows[i].is_waiting ? htons(4242) : 0);
	}
}

/* clang-format on */

TEST(it_is_checked_again_after_a_quarter_of_the_idle_time_within_bounds)
{
	static const struct {
		uint64_t idle_ms, recheck_ms;
	} rows[] = {
		{ 0, 20 },    { 79, 20 },     { 80, 20 },     { 84, 21 },
		{ 400, 100 }, { 4000, 1000 }, { 4004, 1000 }, { UINT64_MAX, 1000 },
	};
	const struct busy_socket socket = { AT_REST, .unread = 1 };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct busy_settings settings = usual;

		settings.idle_ms = rows[i].idle_ms;
		assert_int_equal(verdict_of(&socket, &settings).recheck_ms, rows[i].recheck_ms);
	}
}

static struct busy_socket numbered(struct busy_socket socket, uint16_t number)
{
	socket.flow.sport_be = htons(number);
	return socket;
}

TEST(the_first_reason_stays_and_the_shortest_recheck_counts)
{
	const struct busy_socket rest = numbered((struct busy_socket){ AT_REST }, 1);
	const struct busy_socket stream =
		numbered((struct busy_socket){ AT_REST, .since_sent_ms = 2000 }, 2);
	const struct busy_socket unread = numbered((struct busy_socket){ AT_REST, .unread = 1 }, 3);
	const struct busy_socket ending =
		numbered((struct busy_socket){ AT_REST, .since_sent_ms = IDLE_MS - 7 }, 4);
	struct busy_verdict v;

	busy_init(&v);
	busy_add(&v, &rest, &usual);
	assert_int_equal(v.reason, BUSY_NOT);
	busy_add(&v, &stream, &usual);
	assert_int_equal(v.recheck_ms, 8000);
	busy_add(&v, &unread, &usual);
	assert_int_equal(v.recheck_ms, 1000);
	busy_add(&v, &ending, &usual);
	assert_int_equal(v.recheck_ms, 7);
	busy_add(&v, &unread, &usual);
	busy_add(&v, &rest, &usual);
	assert_int_equal(v.recheck_ms, 7);
	assert_int_equal(v.reason, BUSY_SENT_LATELY);
	assert_int_equal(ntohs(v.flow.sport_be), 2);
}

/* Stuck is what the verdict would else have been busy for; in any order. */
TEST(a_busy_connection_outweighs_those_that_are_stuck)
{
	const struct busy_socket stuck[] = {
		numbered((struct busy_socket){ AT_REST, .unread = 1, .since_received_ms = MAX_MS,
					       .since_sent_ms = MAX_MS },
			 1),
		numbered((struct busy_socket){ AT_REST, .answer = NO, .since_received_ms = MAX_MS,
					       .since_sent_ms = MAX_MS },
			 2),
	};
	const struct busy_socket busy = numbered((struct busy_socket){ AT_REST, .answer = NO }, 3);
	struct busy_verdict v;

	busy_init(&v);
	busy_add(&v, &stuck[0], &usual);
	busy_add(&v, &stuck[1], &usual);
	assert_true(v.is_stuck);
	assert_int_equal(ntohs(v.flow.sport_be), 1);
	busy_add(&v, &busy, &usual);
	assert_false(v.is_stuck);
	assert_int_equal(v.reason, BUSY_UNANSWERED);
	assert_int_equal(ntohs(v.flow.sport_be), 3);
	busy_add(&v, &stuck[1], &usual);
	assert_false(v.is_stuck);
	assert_int_equal(ntohs(v.flow.sport_be), 3);
}

/* clang-format off */

/* What is at rest, but was in use lately, is worth another look. */
TEST(a_client_is_connected_as_long_as_it_may_be_sent_something)
{
	static const struct {
		const char *name;
		struct busy_socket socket;
		bool is_connected;
	} rows[] = {
		{ "at rest", { AT_REST }, true },
		{ "never accepted", { AT_REST, .is_accepted = false }, true },
		{ "has said nothing",
		  { .state = TCP_ESTABLISHED, .is_accepted = true, .since_sent_ms = NEVER_MS },
		  true },
		{ "stuck", { AT_REST, .since_received_ms = MAX_MS, .since_sent_ms = MAX_MS }, true },
		{ "a handshake", { .state = TCP_SYN_RECV }, false },
		{ "the client says no more", { AT_REST, .state = TCP_CLOSE_WAIT }, true },
		{ "the client says no more, long ago",
		  { AT_REST, .state = TCP_CLOSE_WAIT, .since_received_ms = MAX_MS,
		    .since_sent_ms = MAX_MS },
		  false },
		{ "the client says no more, and waits for its answer",
		  { AT_REST, .state = TCP_CLOSE_WAIT, .since_received_ms = MAX_MS,
		    .since_sent_ms = MAX_MS, .answer = NO },
		  true },
		{ "the client has never said a word, and says no more",
		  { AT_REST, .state = TCP_CLOSE_WAIT, .since_received_ms = MAX_MS,
		    .since_sent_ms = NEVER_MS, .answer = UNKNOWN, .has_received = false },
		  false },
		{ "the application says no more", { AT_REST, .state = TCP_FIN_WAIT2 }, false },
		{ "closed by both", { AT_REST, .state = TCP_LAST_ACK }, false },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (verdict_of(&rows[i].socket, &usual).is_connected != rows[i].is_connected)
			fail_msg("%s", rows[i].name);
	}
}

TEST(probes_are_not_connected_clients_but_what_may_be_a_client_is)
{
	const struct busy_socket socket = { AT_REST };
	struct busy_verdict v;

	for (enum busy_probe probe = BUSY_PROBE_SILENT; probe <= BUSY_PROBE_HIDDEN; probe++) {
		busy_init(&v);
		busy_add_probe(&v, &socket, probe, &probes);
		assert_int_equal(v.is_connected, probe != BUSY_PROBE_PLAIN);
	}
}

TEST(the_last_data_sent_to_any_client_counts)
{
	const struct busy_socket never = { AT_REST, .since_sent_ms = NEVER_MS };
	const struct busy_socket early = { AT_REST, .since_sent_ms = 70000 };
	const struct busy_socket late = { AT_REST, .since_sent_ms = 20000 };
	struct busy_verdict v;

	busy_init(&v);
	busy_add(&v, &never, &usual);
	assert_true(v.since_sent_ms == UINT64_MAX);
	busy_add(&v, &early, &usual);
	busy_add(&v, &late, &usual);
	busy_add(&v, &early, &usual);
	assert_int_equal(v.since_sent_ms, 20000);
}

TEST(a_connection_with_payload_within_busy_max_is_in_use)
{
	static const struct {
		const char *name;
		struct busy_socket socket;
		bool usual, unlimited;
	} rows[] = {
	{ "at rest", { AT_REST }, true, true },
	{ "half closed by the client", { AT_REST, .state = TCP_CLOSE_WAIT }, true, true },
	{ "sent something just within the limit", { AT_REST, .since_received_ms = 2 * MAX_MS,
	  .since_sent_ms = MAX_MS - 1 }, true, true },
	{ "nothing for longer", { AT_REST, .since_received_ms = 2 * MAX_MS,
	  .since_sent_ms = MAX_MS }, false, true },
	{ "never a request", { AT_REST, .has_received = false }, false, false },
	{ "not accepted", { AT_REST, .is_accepted = false }, false, false },
	{ "closed by the application", { AT_REST, .state = TCP_FIN_WAIT2 }, false, false },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct busy_socket socket = rows[i].socket;

		socket.flow.sport_be = htons(4242);
		if (verdict_of(&socket, &usual).is_in_use != rows[i].usual ||
		    verdict_of(&socket, &unlimited).is_in_use != rows[i].unlimited)
			fail_msg("%s", rows[i].name);
		if (rows[i].unlimited)
			assert_int_equal(verdict_of(&socket, &unlimited).in_use.sport_be,
					 htons(4242));
	}
}

/* Seen from its own end: "answered" means that the application's request came last. */
TEST(an_application_that_waits_for_an_answer_of_others_is_busy)
{
	static const struct row rows[] = {
	{ "a request", { AT_REST }, BUSY_UPSTREAM, false, 1000 },
	{ "answered", { AT_REST, .answer = NO }, BUSY_NOT, false, 0 },
	{ "perhaps answered", { AT_REST, .answer = UNKNOWN }, BUSY_NOT, false, 0 },
	{ "nothing was asked", { AT_REST, .since_sent_ms = NEVER_MS }, BUSY_NOT, false, 0 },
	{ "no answer for longer than busy-max", { AT_REST, .since_received_ms = NEVER_MS,
	  .since_sent_ms = MAX_MS }, BUSY_NOT, false, 0 },
	{ "never an answer, for a while", { AT_REST, .has_received = false,
	  .since_sent_ms = 59999 }, BUSY_UPSTREAM, false, 1000 },
	{ "never an answer: logs, perhaps", { AT_REST, .has_received = false,
	  .since_sent_ms = 60000 }, BUSY_NOT, false, 0 },
	{ "no answer for nearly as long", { AT_REST, .since_received_ms = NEVER_MS,
	  .since_sent_ms = MAX_MS - 1 }, BUSY_UPSTREAM, false, 1000 },
	{ "closed", { AT_REST, .state = TCP_CLOSE_WAIT }, BUSY_NOT, false, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct busy_verdict v;

		busy_init(&v);
		busy_add_upstream(&v, &rows[i].socket, &usual);
		if (v.reason != rows[i].reason || v.recheck_ms != rows[i].recheck_ms)
			fail_msg("%s: %s, %llu ms", rows[i].name, busy_reason_name(v.reason),
				 (unsigned long long)v.recheck_ms);
	}
}

/* clang-format on */

#pragma clang diagnostic pop

TEST(no_connection_is_no_reason)
{
	struct busy_verdict v;

	memset(&v, 0xff, sizeof(v));
	busy_init(&v);
	assert_int_equal(v.reason, BUSY_NOT);
	assert_false(v.is_stuck);
	assert_int_equal(v.recheck_ms, 0);
}

TEST(every_reason_has_a_name_of_its_own)
{
	for (int i = 0; i < BUSY_REASONS; i++) {
		assert_non_null(busy_reason_name(i));
		for (int j = 0; j < i; j++)
			assert_string_not_equal(busy_reason_name(i), busy_reason_name(j));
	}
	assert_string_equal(busy_reason_name(BUSY_UNANSWERED), "unanswered");
	assert_string_equal(busy_reason_name(BUSY_REASONS), "unknown");
}
