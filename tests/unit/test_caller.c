// SPDX-License-Identifier: MIT
/*
 * Who calls, by the first bytes of a connection. A client that is taken for a probe would
 * wait for ever, so whatever differs in one point from a probe has a row here.
 */
#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "lib/test.h"
#include "probe/caller.h"
#include "probe/caller_h2.h"
#include "probe/caller_http.h"

#define AGENT "User-Agent: kube-probe/1.30\r\n"
#define REST  "Accept: */*\r\nConnection: close\r\n\r\n"
#define PROBE "GET /healthz HTTP/1.1\r\nHost: 10.0.0.5:8080\r\n" AGENT REST

#define GET   "GET /healthz HTTP/1.1\r\nHost: 10.0.0.5:8080\r\n"
#define CLOSE "Connection: close\r\n\r\n"

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

static const struct caller_path paths[] = {
	{ "GET", 3, "/ping" },
	{ "POST", 4, "/hook/" },
};

static const struct caller_rules kubelet = { .knows_kubelet = true, .has_https = true };
static const struct caller_rules checkers = { .knows_checkers = true, .has_https = true };
static const struct caller_rules by_path = { .paths = paths, .paths_len = ARRAY_LEN(paths) };
static const struct caller_rules nothing = { .has_https = true };

/* From memory of just that length, so that the address sanitizer sees each read beyond it. */
static enum caller_kind judge(const void *bytes, size_t len, const struct caller_rules *rules)
{
	_cleanup_(freep) uint8_t *copy = malloc(len ? len : 1);

	assert_non_null(copy);
	memcpy(copy, bytes, len);
	return caller_judge(copy, len, rules);
}

static enum caller_kind judge_text(const char *text, const struct caller_rules *rules)
{
	return judge(text, strlen(text), rules);
}

/* Undecided up to the last byte, and then it is this. */
static void expect_at_last_byte(const void *bytes, size_t len, const struct caller_rules *rules,
				enum caller_kind kind)
{
	for (size_t i = 0; i < len; i++) {
		if (judge(bytes, i, rules) != CALLER_UNDECIDED)
			fail_msg("decided as %s by %zu of %zu bytes",
				 caller_kind_name(judge(bytes, i, rules)), i, len);
	}
	assert_int_equal(judge(bytes, len, rules), kind);
}

struct row {
	const char *text;
	enum caller_kind kind;
};

static void expect_rows(const struct row *rows, size_t len, const struct caller_rules *rules)
{
	for (size_t i = 0; i < len; i++) {
		enum caller_kind kind = judge_text(rows[i].text, rules);

		if (kind != rows[i].kind)
			fail_msg("%s instead of %s: %s", caller_kind_name(kind),
				 caller_kind_name(rows[i].kind), rows[i].text);
	}
}

/* --- HTTP/1.1 --- */

/* clang-format off */
TEST(the_kubelet_and_nobody_else_is_the_kubelet)
{
	static const struct row rows[] = {
	{ PROBE,                                                               CALLER_HTTP },
	{ "GET / HTTP/1.1\r\n" AGENT CLOSE,                                    CALLER_HTTP },
	{ "GET /a?b=c&d=%20 HTTP/1.1\r\n" AGENT CLOSE,                         CALLER_HTTP },
	/* The names and "close" in any case. */
	{ GET "user-agent: kube-probe/1.30\r\nconnection: close\r\n\r\n",      CALLER_HTTP },
	{ GET "USER-AGENT: kube-probe/1.30\r\nCONNECTION: Close\r\n\r\n",      CALLER_HTTP },
	{ GET "User-Agent:kube-probe/1.30\r\nConnection: \tclose\r\n\r\n",     CALLER_HTTP },
	{ GET CLOSE,                                                           CALLER_CLIENT },
	{ GET AGENT "\r\n",                                                    CALLER_CLIENT },
	{ GET AGENT "Connection: keep-alive\r\n\r\n",                          CALLER_CLIENT },
	{ GET AGENT "Connection: close, te\r\n\r\n",                           CALLER_CLIENT },
	{ GET AGENT "X-Connection: close\r\n\r\n",                             CALLER_CLIENT },
	/* Whose user agent? */
	{ GET "User-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n" CLOSE,         CALLER_CLIENT },
	{ GET "User-Agent: Mozilla/5.0 kube-probe/1.30\r\n" CLOSE,             CALLER_CLIENT },
	{ GET "User-Agent: xkube-probe/1.30\r\n" CLOSE,                        CALLER_CLIENT },
	{ GET "User-Agent: kube-probe\r\n" CLOSE,                              CALLER_CLIENT },
	{ GET "User-Agent: kube-prober/1.30\r\n" CLOSE,                        CALLER_CLIENT },
	{ GET "User-Agent: Kube-Probe/1.30\r\n" CLOSE,                         CALLER_CLIENT },
	{ GET "User-Agent:\r\n" CLOSE,                                         CALLER_CLIENT },
	{ GET "User-Agent : kube-probe/1.30\r\n" CLOSE,                        CALLER_CLIENT },
	{ GET "X-User-Agent: kube-probe/1.30\r\n" CLOSE,                       CALLER_CLIENT },
	{ GET "Referer: kube-probe/1.30\r\n" CLOSE,                            CALLER_CLIENT },
	{ GET "X: a\r\n User-Agent: kube-probe/1.30\r\n" CLOSE,                CALLER_CLIENT },
	{ GET "X: User-Agent: kube-probe/1.30\r\n" CLOSE,                      CALLER_CLIENT },
	{ GET "Cookie: a\x01\r\n" AGENT CLOSE,                                 CALLER_CLIENT },
	{ "GET /kube-probe/1.30 HTTP/1.1\r\nUser-Agent: x\r\n" CLOSE,          CALLER_CLIENT },
	{ "GET /User-Agent:kube-probe/1.30 HTTP/1.1\r\n" CLOSE,                CALLER_CLIENT },
	/* Said twice. */
	{ GET AGENT AGENT CLOSE,                                               CALLER_CLIENT },
	{ GET "User-Agent: curl/8\r\n" AGENT CLOSE,                            CALLER_CLIENT },
	{ GET AGENT "User-Agent: curl/8\r\n" CLOSE,                            CALLER_CLIENT },
	{ GET AGENT "Connection: keep-alive\r\n" CLOSE,                        CALLER_CLIENT },
	{ GET AGENT "Connection: close\r\nConnection: upgrade\r\n\r\n",        CALLER_CLIENT },
	/* Another request. */
	{ "POST /healthz HTTP/1.1\r\n" AGENT CLOSE,                            CALLER_CLIENT },
	{ "HEAD /healthz HTTP/1.1\r\n" AGENT CLOSE,                            CALLER_CLIENT },
	{ "GETX /healthz HTTP/1.1\r\n" AGENT CLOSE,                            CALLER_CLIENT },
	{ "GE /healthz HTTP/1.1\r\n" AGENT CLOSE,                              CALLER_CLIENT },
	{ "get /healthz HTTP/1.1\r\n" AGENT CLOSE,                             CALLER_CLIENT },
	{ "GET /healthz HTTP/1.0\r\n" AGENT CLOSE,                             CALLER_CLIENT },
	{ "GET /healthz HTTP/1.11\r\n" AGENT CLOSE,                            CALLER_CLIENT },
	{ "GET /healthz http/1.1\r\n" AGENT CLOSE,                             CALLER_CLIENT },
	{ "GET /healthz HTTP/2\r\n" AGENT CLOSE,                               CALLER_CLIENT },
	{ "GET /healthz\r\n" AGENT CLOSE,                                      CALLER_CLIENT },
	{ "GET  /healthz HTTP/1.1\r\n" AGENT CLOSE,                            CALLER_CLIENT },
	{ "GET /healthz  HTTP/1.1\r\n" AGENT CLOSE,                            CALLER_CLIENT },
	{ "GET /a b HTTP/1.1\r\n" AGENT CLOSE,                                 CALLER_CLIENT },
	{ "GET healthz HTTP/1.1\r\n" AGENT CLOSE,                              CALLER_CLIENT },
	{ "GET http://a/healthz HTTP/1.1\r\n" AGENT CLOSE,                     CALLER_CLIENT },
	{ "GET HTTP/1.1\r\n" AGENT CLOSE,                                      CALLER_CLIENT },
	{ "GET  HTTP/1.1\r\n" AGENT CLOSE,                                     CALLER_CLIENT },
	{ " HTTP/1.1\r\n" AGENT CLOSE,                                         CALLER_CLIENT },
	{ "\r\n" PROBE,                                                        CALLER_CLIENT },
	{ " " PROBE,                                                           CALLER_CLIENT },
	/* With a body, or more than an answer wanted. */
	{ GET AGENT "Content-Length: 5\r\n" CLOSE,                             CALLER_CLIENT },
	{ GET AGENT "content-length: 0\r\n" CLOSE,                             CALLER_CLIENT },
	{ GET AGENT "Content-Length : 5\r\n" CLOSE,                            CALLER_CLIENT },
	{ GET AGENT "Transfer-Encoding: chunked\r\n" CLOSE,                    CALLER_CLIENT },
	{ GET AGENT "Expect: 100-continue\r\n" CLOSE,                          CALLER_CLIENT },
	{ GET AGENT "Upgrade: websocket\r\n" CLOSE,                            CALLER_CLIENT },
	{ GET AGENT "HTTP2-Settings: AAMAAABk\r\n" CLOSE,                      CALLER_CLIENT },
	{ PROBE "x",                                                           CALLER_CLIENT },
	{ PROBE "\r\n",                                                        CALLER_CLIENT },
	{ PROBE PROBE,                                                         CALLER_CLIENT },
	/* Not as it is written by anyone. */
	{ "GET /healthz HTTP/1.1\n" AGENT CLOSE,                               CALLER_CLIENT },
	{ GET "User-Agent: kube-probe/1.30\n" CLOSE,                           CALLER_CLIENT },
	{ GET AGENT "Connection: close\r\n\n",                                 CALLER_CLIENT },
	{ GET AGENT "no colon\r\n" CLOSE,                                      CALLER_CLIENT },
	{ GET AGENT ": no name\r\n" CLOSE,                                     CALLER_CLIENT },
	{ GET AGENT "A\rB: c\r\n" CLOSE,                                       CALLER_CLIENT },
	{ "SSH-2.0-OpenSSH_9.2\r\n",                                           CALLER_CLIENT },
	{ "\x03",                                                              CALLER_CLIENT },
	{ "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",                                  CALLER_CLIENT },
	/* They may become one. */
	{ "",                                                                  CALLER_UNDECIDED },
	{ "P",                                                                 CALLER_UNDECIDED },
	{ "POST /",                                                            CALLER_UNDECIDED },
	{ GET AGENT "Connection: close\r\n\r",                                 CALLER_UNDECIDED },
	};

	expect_rows(rows, ARRAY_LEN(rows), &kubelet);
}

TEST(the_kubelet_has_the_user_agent_that_a_probe_gives_it)
{
	static const char *const agents[] = { "my-check/1.0", "" };
	const struct caller_rules rules = { .knows_kubelet = true, .agents = agents, .agents_len = 2 };
	const struct caller_rules others = { .agents = agents, .agents_len = 2 };
	static const struct row rows[] = {
	{ PROBE,                                                               CALLER_HTTP },
	{ GET "User-Agent: my-check/1.0\r\n" CLOSE,                            CALLER_HTTP },
	{ GET "User-Agent: my-check/1.01\r\n" CLOSE,                           CALLER_CLIENT },
	{ GET "User-Agent: my-check/1.\r\n" CLOSE,                             CALLER_CLIENT },
	{ GET "User-Agent: My-check/1.0\r\n" CLOSE,                            CALLER_CLIENT },
	{ GET "User-Agent: my-check/1.0\r\n\r\n",                              CALLER_CLIENT },
	{ GET "User-Agent: \r\n" CLOSE,                                        CALLER_CLIENT },
	{ GET CLOSE,                                                           CALLER_CLIENT },
	};

	expect_rows(rows, ARRAY_LEN(rows), &rules);
	assert_int_equal(judge_text(rows[1].text, &others), CALLER_CLIENT);
}

TEST(from_anywhere_else_the_kubelet_is_a_client)
{
	assert_int_equal(judge_text(PROBE, &nothing), CALLER_CLIENT);
	assert_int_equal(judge_text(PROBE, &by_path), CALLER_CLIENT);
}

#define ELB "User-Agent: ELB-HealthChecker/2.0\r\n"

TEST(where_checkers_call_from_a_checker_is_known_by_its_user_agent)
{
	static const struct row rows[] = {
	{ PROBE,                                                     CALLER_HTTP },
	{ "GET /any HTTP/1.1\r\n" ELB "\r\n",                        CALLER_HTTP },
	{ "GET / HTTP/1.1\r\n" ELB "Connection: keep-alive\r\n\r\n", CALLER_HTTP },
	{ "GET / HTTP/1.1\r\nUser-Agent: GoogleHC/1.0\r\n\r\n",    CALLER_HTTP },
	{ "GET / HTTP/1.1\r\nUser-Agent: Load Balancer Agent\r\n\r\n", CALLER_HTTP },
	{ "GET / HTTP/1.1\r\nUser-Agent: Amazon-Route53-Health-Check-Service (ref 1; a)\r\n\r\n",
	                                                             CALLER_HTTP },
	{ "GET / HTTP/1.1\r\nuser-agent:kube-probe/1.36\r\n\r\n",  CALLER_HTTP },
	{ "HEAD / HTTP/1.1\r\n" ELB "\r\n",                          CALLER_HTTP },
	{ "OPTIONS * HTTP/1.0\r\n" ELB "\r\n",                       CALLER_HTTP },
	/* A load balancer's clients, from the same address. */
	{ "GET /api/orders HTTP/1.1\r\nHost: a\r\n\r\n",           CALLER_CLIENT },
	{ "GET / HTTP/1.1\r\nUser-Agent: Mozilla/5.0\r\n\r\n",     CALLER_CLIENT },
	{ "GET / HTTP/1.1\r\nUser-Agent: curl ELB-HealthChecker/2.0\r\n\r\n", CALLER_CLIENT },
	{ "GET / HTTP/1.1\r\nUser-Agent: elb-healthchecker/2.0\r\n\r\n", CALLER_CLIENT },
	{ "GET / HTTP/1.1\r\nUser-Agent: ELB-HealthChecker\r\n\r\n", CALLER_CLIENT },
	{ "GET / HTTP/1.1\r\nX-User-Agent: GoogleHC/1.0\r\n\r\n",  CALLER_CLIENT },
	{ "GET / HTTP/1.1\r\nVia: GoogleHC/1.0\r\n\r\n",           CALLER_CLIENT },
	{ "GET / HTTP/1.1\r\n" ELB "User-Agent: curl/8\r\n\r\n",   CALLER_CLIENT },
	{ "GET / HTTP/1.1\r\nUser-Agent: my-check/1\r\n\r\n",      CALLER_CLIENT },
	{ "GET / HTTP/1.1\r\nUser-Agent:\r\n\r\n",                 CALLER_CLIENT },
	{ "OPTIONS / HTTP/1.0\r\n\r\n",                            CALLER_CLIENT },
	{ "GET /ELB-HealthChecker/2.0\r\n",                         CALLER_CLIENT },
	/* More than an answer is wanted. */
	{ "POST / HTTP/1.1\r\n" ELB "\r\n",                          CALLER_CLIENT },
	{ "HEADER / HTTP/1.1\r\n" ELB "\r\n",                        CALLER_CLIENT },
	{ "GET * HTTP/1.1\r\n" ELB "\r\n",                           CALLER_CLIENT },
	{ "GET / HTTP/1.2\r\n" ELB "\r\n",                           CALLER_CLIENT },
	{ "GET / HTTP/1.1\r\n" ELB "Content-Length: 1\r\n\r\n",    CALLER_CLIENT },
	{ "GET / HTTP/1.1\r\n" ELB "Upgrade: h2c\r\n\r\n",         CALLER_CLIENT },
	{ "GET / HTTP/1.1\r\n" ELB "\r\nGET / HTTP/1.1\r\n\r\n",   CALLER_CLIENT },
	/* Other protocols. */
	{ "*1\r\n$4\r\nPING\r\n",                                  CALLER_CLIENT },
	{ "\x03",                                                   CALLER_CLIENT },
	{ "",                                                        CALLER_UNDECIDED },
	{ "GET / HTTP/1.1\r\n" ELB,                                 CALLER_UNDECIDED },
	};

	expect_rows(rows, ARRAY_LEN(rows), &checkers);
}

TEST(a_setting_names_more_user_agents_of_checkers)
{
	static const char *const more[] = { "Prometheus/", "my check" };
	const struct caller_rules rules = { .knows_checkers = true, .checkers = more, .checkers_len = 2 };
	const struct caller_rules elsewhere = { .knows_kubelet = true, .checkers = more, .checkers_len = 2 };
	static const struct row rows[] = {
	{ "GET /metrics HTTP/1.1\r\nUser-Agent: Prometheus/3.1\r\n\r\n", CALLER_HTTP },
	{ "GET / HTTP/1.1\r\nUser-Agent: my check, too\r\n\r\n",   CALLER_HTTP },
	{ "GET / HTTP/1.1\r\n" ELB "\r\n",                           CALLER_HTTP },
	{ "GET / HTTP/1.1\r\nUser-Agent: prometheus/3.1\r\n\r\n",  CALLER_CLIENT },
	{ "GET / HTTP/1.1\r\nUser-Agent: my-check\r\n\r\n",        CALLER_CLIENT },
	};

	expect_rows(rows, ARRAY_LEN(rows), &rules);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(judge_text(rows[i].text, &elsewhere), CALLER_CLIENT);
}

TEST(other_versions_and_methods_are_not_the_kubelets)
{
	static const struct row rows[] = {
	{ "GET /healthz HTTP/1.0\r\n" AGENT CLOSE,                   CALLER_CLIENT },
	{ "OPTIONS /healthz HTTP/1.1\r\n" AGENT CLOSE,               CALLER_CLIENT },
	{ "OPTIONS * HTTP/1.1\r\n" AGENT CLOSE,                      CALLER_CLIENT },
	{ "GET /healthz\r\n",                                        CALLER_CLIENT },
	};

	expect_rows(rows, ARRAY_LEN(rows), &kubelet);
}

TEST(an_ignored_path_is_one_with_its_method)
{
	static const struct row rows[] = {
	{ "GET /ping HTTP/1.1\r\nHost: a\r\n\r\n",                   CALLER_HTTP },
	{ "GET /ping/deep?x HTTP/1.1\r\nHost: a\r\n\r\n",            CALLER_HTTP },
	{ "GET /pingpong HTTP/1.1\r\nHost: a\r\n\r\n",               CALLER_HTTP },
	{ "GET /ping HTTP/1.0\r\n\r\n",                              CALLER_HTTP },
	{ "GET /ping\r\n",                                           CALLER_CLIENT },
	{ "POST /hook/7 HTTP/1.1\r\nHost: a\r\n\r\n",                CALLER_HTTP },
	{ "GET /pin HTTP/1.1\r\nHost: a\r\n\r\n",                    CALLER_CLIENT },
	{ "GET /Ping HTTP/1.1\r\nHost: a\r\n\r\n",                   CALLER_CLIENT },
	{ "GET /a/ping HTTP/1.1\r\nHost: a\r\n\r\n",                 CALLER_CLIENT },
	{ "GET //ping HTTP/1.1\r\nHost: a\r\n\r\n",                  CALLER_CLIENT },
	{ "GET /?/ping HTTP/1.1\r\nHost: a\r\n\r\n",                 CALLER_CLIENT },
	{ "POST /ping HTTP/1.1\r\nHost: a\r\n\r\n",                  CALLER_CLIENT },
	{ "HEAD /ping HTTP/1.1\r\nHost: a\r\n\r\n",                  CALLER_CLIENT },
	{ "GETS /ping HTTP/1.1\r\nHost: a\r\n\r\n",                  CALLER_CLIENT },
	{ "GET /hook/7 HTTP/1.1\r\nHost: a\r\n\r\n",                 CALLER_CLIENT },
	{ "POST /hook HTTP/1.1\r\nHost: a\r\n\r\n",                  CALLER_CLIENT },
	{ "POST /hook/ HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",     CALLER_CLIENT },
	{ "GET /ping HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n",        CALLER_CLIENT },
	};

	expect_rows(rows, ARRAY_LEN(rows), &by_path);
}

TEST(what_a_post_asks_for_doze_cannot_do)
{
	struct caller_rules asleep = by_path;

	asleep.are_answered = true;
	assert_int_equal(judge_text("GET /ping HTTP/1.1\r\n\r\n", &asleep), CALLER_HTTP);
	assert_int_equal(judge_text("POST /hook/7 HTTP/1.1\r\n\r\n", &asleep), CALLER_CLIENT);
}

TEST(behind_a_whole_request_another_may_come)
{
	static const struct {
		const char *text;
		bool is_whole;
	} rows[] = {
	{ "GET / HTTP/1.1\r\n\r\n",                                true },
	{ "DELETE /a HTTP/1.1\r\nHost: a\r\n\r\n",                true },
	{ "GET / HTTP/1.1\r\nConnection: keep-alive\r\n\r\n",    true },
	{ "GET / HTTP/1.1\r\nConnection: close\r\n\r\n",         false },
	{ "GET / HTTP/1.0\r\n\r\n",                                false },
	{ "GET / HTTP/1.1\r\n\r",                                  false },
	{ "GET / HTTP/1.1\r\n\r\nG",                               false },
	{ "GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n",        false },
	{ "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n",        false },
	{ "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", false },
	{ "GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",        false },
	{ "CONNECT a:1 HTTP/1.1\r\n\r\n",                          false },
	{ "PRI * HTTP/2.0\r\n\r\n",                                false },
	{ "*1\r\n$4\r\nPING\r\n",                                  false },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (caller_http_is_whole((const uint8_t *)rows[i].text, strlen(rows[i].text)) !=
		    rows[i].is_whole)
			fail_msg("%s", rows[i].text);
	}
}
/* clang-format on */

TEST(a_probe_is_told_by_its_last_byte_and_not_before)
{
	expect_at_last_byte(PROBE, sizeof(PROBE) - 1, &kubelet, CALLER_HTTP);
}

TEST(a_second_request_on_the_connection_is_a_clients)
{
	static const char two[] = PROBE PROBE;

	for (size_t len = sizeof(PROBE); len < sizeof(two); len++)
		assert_int_equal(judge(two, len, &kubelet), CALLER_CLIENT);
}

TEST(a_nul_is_in_no_probe)
{
	static const char nul[] = GET "X: a\0b\r\n" AGENT CLOSE;

	assert_int_equal(judge(nul, sizeof(nul) - 1, &kubelet), CALLER_CLIENT);
}

/* A probe whose head is so long in all. */
static size_t long_probe(char *out, size_t len)
{
	size_t at = (size_t)sprintf(out, "%s%s", GET, "Cookie: ");
	size_t end = len - strlen("\r\n" AGENT CLOSE);

	memset(out + at, 'x', end - at);
	return end + (size_t)sprintf(out + end, "\r\n%s%s", AGENT, CLOSE);
}

TEST(no_probe_is_longer_than_the_limit)
{
	char probe[2 * CALLER_BYTES_MAX + 1];
	size_t len = long_probe(probe, CALLER_BYTES_MAX);

	assert_int_equal(len, CALLER_BYTES_MAX);
	expect_at_last_byte(probe, len, &kubelet, CALLER_HTTP);
	len = long_probe(probe, CALLER_BYTES_MAX + 1);
	assert_int_equal(judge(probe, len, &kubelet), CALLER_CLIENT);
	assert_int_equal(judge(probe, CALLER_BYTES_MAX, &kubelet), CALLER_CLIENT);
	assert_int_equal(judge(probe, CALLER_BYTES_MAX - 1, &kubelet), CALLER_UNDECIDED);
	/* 8 kB of headers before the user agent, in pieces and at once. */
	len = long_probe(probe, 2 * CALLER_BYTES_MAX);
	for (size_t i = CALLER_BYTES_MAX; i <= len; i++)
		assert_int_equal(judge(probe, i, &kubelet), CALLER_CLIENT);
}

/* --- HTTP/2 --- */

enum {
	FRAME_DATA = 0,
	FRAME_HEADERS = 1,
	FRAME_RST_STREAM = 3,
	FRAME_SETTINGS = 4,
	FRAME_PUSH_PROMISE = 5,
	FRAME_PING = 6,
	FRAME_GOAWAY = 7,
	FRAME_WINDOW_UPDATE = 8,
	FRAME_CONTINUATION = 9,
	END_STREAM = 1,
	ACK = 1,
	END_HEADERS = 4,
};

struct wire {
	uint8_t bytes[2 * CALLER_BYTES_MAX];
	size_t len;
};

static void put(struct wire *w, const void *bytes, size_t len)
{
	assert_true(len <= sizeof(w->bytes) - w->len);
	memcpy(w->bytes + w->len, bytes, len);
	w->len += len;
}

static void put_frame(struct wire *w, uint8_t type, uint8_t flags, uint8_t stream,
		      const void *bytes, size_t len)
{
	const uint8_t head[] = {
		0, (uint8_t)(len >> 8), (uint8_t)len, type, flags, 0, 0, 0, stream
	};

	put(w, head, sizeof(head));
	put(w, bytes, len);
}

/* What a call says of itself, and how it is packed. */
struct call {
	const char *method, *path, *agent, *content_type;
	const char *extra_name, *extra_value;
	bool is_huffman;
};

static const struct call check = { "POST", "/grpc.health.v1.Health/Check",
				   "kube-probe/1.30 grpc-go/1.65.0", "application/grpc",
				   .is_huffman = true };

static size_t call_headers(const struct call *call, nghttp2_nv *out)
{
	const char *const pairs[][2] = {
		{ ":method", call->method },
		{ ":scheme", "http" },
		{ ":path", call->path },
		{ ":authority", "10.0.0.5:9090" },
		{ "content-type", call->content_type },
		{ "user-agent", call->agent },
		{ "te", "trailers" },
		{ call->extra_name, call->extra_value },
	};
	size_t len = 0;

	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		if (pairs[i][0] && pairs[i][1])
			out[len++] = (nghttp2_nv){ (uint8_t *)pairs[i][0], (uint8_t *)pairs[i][1],
						   strlen(pairs[i][0]), strlen(pairs[i][1]), 0 };
	}
	return len;
}

/* RFC 7541, 6.2.2: a literal without indexing, its name and value as they are. */
static void put_plain(struct wire *block, const nghttp2_nv *nv)
{
	const uint8_t literal = 0, name_len = (uint8_t)nv->namelen;
	const uint8_t value_len = (uint8_t)nv->valuelen;

	assert_true(nv->namelen < 127 && nv->valuelen < 127);
	put(block, &literal, 1);
	put(block, &name_len, 1);
	put(block, nv->name, nv->namelen);
	put(block, &value_len, 1);
	put(block, nv->value, nv->valuelen);
}

static void put_block(struct wire *block, const struct call *call)
{
	nghttp2_hd_deflater *deflater;
	nghttp2_nv nv[8];
	size_t nv_len = call_headers(call, nv);
	ssize_t len;

	if (!call->is_huffman) {
		for (size_t i = 0; i < nv_len; i++)
			put_plain(block, &nv[i]);
		return;
	}
	assert_int_equal(nghttp2_hd_deflate_new(&deflater, 4096), 0);
	len = nghttp2_hd_deflate_hd(deflater, block->bytes, sizeof(block->bytes), nv, nv_len);
	nghttp2_hd_deflate_del(deflater);
	assert_true(len > 0);
	block->len = (size_t)len;
}

static void put_headers(struct wire *w, uint8_t stream, const struct call *call)
{
	struct wire block = { .len = 0 };

	put_block(&block, call);
	put_frame(w, FRAME_HEADERS, END_HEADERS, stream, block.bytes, block.len);
}

/* An empty HealthCheckRequest, behind its five bytes of gRPC. */
static void put_body(struct wire *w, uint8_t stream)
{
	put_frame(w, FRAME_DATA, END_STREAM, stream, "\0\0\0\0\0", 5);
}

static void put_start(struct wire *w)
{
	put(w, PREFACE, sizeof(PREFACE) - 1);
	put_frame(w, FRAME_SETTINGS, 0, 0, "", 0);
}

static void put_call(struct wire *w, const struct call *call)
{
	put_start(w);
	put_headers(w, 1, call);
	put_body(w, 1);
}

static enum caller_kind judge_call(const struct call *call, const struct caller_rules *rules)
{
	struct wire w = { .len = 0 };

	put_call(&w, call);
	return judge(w.bytes, w.len, rules);
}

TEST(a_grpc_probe_is_told_by_its_last_byte)
{
	static const char *const agents[] = { "kube-probe/1.30", "kube-probe/1.30 grpc-go/1.65.0" };

	for (size_t i = 0; i < ARRAY_LEN(agents); i++) {
		for (int is_huffman = 0; is_huffman < 2; is_huffman++) {
			struct call call = check;
			struct wire w = { .len = 0 };

			call.agent = agents[i];
			call.is_huffman = is_huffman;
			put_call(&w, &call);
			/* The agent is in clear, or packed: both ways are on the wire. */
			assert_int_equal(memmem(w.bytes, w.len, "kube-probe", 10) == NULL,
					 is_huffman);
			expect_at_last_byte(w.bytes, w.len, &kubelet, CALLER_GRPC);
		}
	}
}

TEST(another_call_is_a_clients)
{
	/* clang-format off */
	static const struct {
		struct call call;
		enum caller_kind kubelet, checkers;
	} rows[] = {
#define CHECK "/grpc.health.v1.Health/Check"
#define GRPC  "application/grpc"
#define K     "kube-probe/1.30"
	{ { "POST", CHECK, K, GRPC, NULL, NULL, 0 },                    CALLER_GRPC, CALLER_GRPC },
	{ { "POST", CHECK, K, GRPC "+proto", NULL, NULL, 0 },           CALLER_GRPC, CALLER_GRPC },
	{ { "POST", CHECK, "grpc-go/1.65.0", GRPC, NULL, NULL, 0 },     CALLER_CLIENT, CALLER_GRPC },
	{ { "POST", CHECK, NULL, GRPC, NULL, NULL, 0 },                 CALLER_CLIENT, CALLER_GRPC },
	{ { "POST", CHECK, "x " K, GRPC, NULL, NULL, 0 },               CALLER_CLIENT, CALLER_GRPC },
	{ { "POST", CHECK, "x", GRPC, "x-agent", K, 0 },                CALLER_CLIENT, CALLER_GRPC },
	{ { "POST", CHECK, "x", GRPC, "user-agent", K, 0 },             CALLER_CLIENT, CALLER_CLIENT },
	{ { "POST", CHECK, K, GRPC, "user-agent", "x", 0 },             CALLER_CLIENT, CALLER_CLIENT },
	{ { "POST", "/a.B/Check", K, GRPC, NULL, NULL, 0 },             CALLER_CLIENT, CALLER_CLIENT },
	{ { "POST", "/grpc.health.v1.Health/Watch", K, GRPC, NULL, NULL, 0 },
	                                                                CALLER_CLIENT, CALLER_CLIENT },
	{ { "POST", CHECK "s", K, GRPC, NULL, NULL, 0 },                CALLER_CLIENT, CALLER_CLIENT },
	{ { "POST", "/a", K, GRPC, ":path", CHECK, 0 },                 CALLER_CLIENT, CALLER_CLIENT },
	{ { "POST", CHECK, K, GRPC, "X-Upper", "is not allowed", 0 },   CALLER_CLIENT, CALLER_CLIENT },
	{ { "GET", CHECK, K, GRPC, NULL, NULL, 0 },                     CALLER_CLIENT, CALLER_CLIENT },
	{ { "POST", CHECK, K, "text/plain", NULL, NULL, 0 },            CALLER_CLIENT, CALLER_CLIENT },
	{ { "POST", CHECK, K, NULL, NULL, NULL, 0 },                    CALLER_CLIENT, CALLER_CLIENT },
	};
	/* clang-format on */

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct call *call = &rows[i].call;

		if (judge_call(call, &kubelet) != rows[i].kubelet ||
		    judge_call(call, &checkers) != rows[i].checkers)
			fail_msg("row %zu: %s, %s", i, caller_kind_name(judge_call(call, &kubelet)),
				 caller_kind_name(judge_call(call, &checkers)));
		assert_int_equal(judge_call(call, &nothing), CALLER_CLIENT);
		assert_int_equal(judge_call(call, &by_path), CALLER_CLIENT);
	}
}

/* What grpc-go sends besides the call, while it waits for the answer to it. */
TEST(frames_without_a_request_change_nothing)
{
	static const uint8_t window[4] = { 0, 0, 1, 0 };
	struct wire w = { .len = 0 };

	put_start(&w);
	put_frame(&w, FRAME_WINDOW_UPDATE, 0, 0, window, sizeof(window));
	put_headers(&w, 1, &check);
	put_frame(&w, FRAME_PING, 0, 0, "12345678", 8);
	put_frame(&w, FRAME_SETTINGS, ACK, 0, "", 0);
	assert_int_equal(judge(w.bytes, w.len, &kubelet), CALLER_UNDECIDED);
	put_body(&w, 1);
	assert_int_equal(judge(w.bytes, w.len, &kubelet), CALLER_GRPC);
	put_frame(&w, FRAME_PING, ACK, 0, "87654321", 8);
	put_frame(&w, FRAME_WINDOW_UPDATE, 0, 0, window, sizeof(window));
	put_frame(&w, FRAME_RST_STREAM, 0, 1, "\0\0\0\x8", 4);
	assert_int_equal(judge(w.bytes, w.len, &kubelet), CALLER_GRPC);
	/* It closes the connection. */
	put_frame(&w, FRAME_GOAWAY, 0, 0, "\0\0\0\0\0\0\0\0client transport shutdown", 33);
	assert_int_equal(judge(w.bytes, w.len, &kubelet), CALLER_GRPC);
}

TEST(a_second_call_is_a_clients)
{
	struct wire w = { .len = 0 };

	put_call(&w, &check);
	put_headers(&w, 3, &check);
	assert_int_equal(judge(w.bytes, w.len, &kubelet), CALLER_CLIENT);
	put_body(&w, 3);
	assert_int_equal(judge(w.bytes, w.len, &kubelet), CALLER_CLIENT);
}

TEST(headers_may_come_in_several_frames)
{
	struct wire w = { .len = 0 }, block = { .len = 0 };

	put_block(&block, &check);
	put_start(&w);
	put_frame(&w, FRAME_HEADERS, 0, 1, block.bytes, 10);
	put_frame(&w, FRAME_CONTINUATION, END_HEADERS, 1, block.bytes + 10, block.len - 10);
	put_body(&w, 1);
	expect_at_last_byte(w.bytes, w.len, &kubelet, CALLER_GRPC);
}

TEST(settings_of_the_server_are_acknowledged_a_few_times)
{
	struct wire w = { .len = 0 };

	put_call(&w, &check);
	for (int i = 0; i < 4; i++) {
		put_frame(&w, FRAME_SETTINGS, ACK, 0, "", 0);
		assert_int_equal(judge(w.bytes, w.len, &kubelet), CALLER_GRPC);
	}
	put_frame(&w, FRAME_SETTINGS, ACK, 0, "", 0);
	put_headers(&w, 3, &check);
	assert_int_equal(judge(w.bytes, w.len, &kubelet), CALLER_CLIENT);
}

/* nghttp2 would take no more notice of what follows such a frame. */
TEST(what_is_no_http2_behind_a_probe_is_a_clients)
{
	static const struct {
		uint8_t type, flags, stream;
		const char *bytes;
		size_t len;
	} rows[] = {
		{ FRAME_PING, 0, 0, "short", 5 },
		{ FRAME_PING, 0, 1, "12345678", 8 },
		{ FRAME_WINDOW_UPDATE, 0, 0, "\0\0\0\0", 4 },
		{ FRAME_WINDOW_UPDATE, 0, 0, "\x7f\xff\xff\xff", 4 },
		{ FRAME_SETTINGS, 0, 0, "x", 1 },
		{ FRAME_SETTINGS, ACK, 0, "123456", 6 },
		{ FRAME_PUSH_PROMISE, END_HEADERS, 1, "\0\0\0\2", 4 },
		{ FRAME_DATA, END_STREAM, 1, "more", 4 },
		{ FRAME_DATA, END_STREAM, 0, "more", 4 },
		{ FRAME_DATA, END_STREAM, 5, "more", 4 },
		{ FRAME_HEADERS, END_HEADERS | END_STREAM, 2, "\x82", 1 },
		{ FRAME_HEADERS, END_HEADERS | END_STREAM, 3, "\xff\xff\xff\xff\xff\xff", 6 },
		{ FRAME_HEADERS, END_HEADERS | END_STREAM, 1, "\x82", 1 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct wire w = { .len = 0 };

		put_call(&w, &check);
		put_frame(&w, rows[i].type, rows[i].flags, rows[i].stream, rows[i].bytes,
			  rows[i].len);
		put_headers(&w, 7, &check);
		if (judge(w.bytes, w.len, &kubelet) != CALLER_CLIENT)
			fail_msg("row %zu", i);
	}
}

TEST(a_call_that_goes_on_and_on_is_a_clients)
{
	struct wire w = { .len = 0 };
	char body[1000] = { 0 };

	put_start(&w);
	put_headers(&w, 1, &check);
	for (int i = 0; i < 5; i++)
		put_frame(&w, FRAME_DATA, 0, 1, body, sizeof(body));
	assert_int_equal(judge(w.bytes, CALLER_BYTES_MAX - 1, &kubelet), CALLER_UNDECIDED);
	for (size_t len = CALLER_BYTES_MAX; len <= w.len; len++)
		assert_int_equal(judge(w.bytes, len, &kubelet), CALLER_CLIENT);
}

TEST(http2_is_told_by_its_preface)
{
	static const char preface[] = PREFACE;

	assert_false(caller_h2_begins((const uint8_t *)preface, 0));
	for (size_t len = 1; len < sizeof(preface) - 1; len++)
		assert_true(caller_h2_begins((const uint8_t *)preface, len));
	assert_true(caller_h2_begins((const uint8_t *)PREFACE "more", sizeof(PREFACE "more") - 1));
	assert_false(caller_h2_begins((const uint8_t *)"PO", 2));
	assert_false(caller_h2_begins((const uint8_t *)"GET", 3));
	assert_false(caller_h2_begins((const uint8_t *)"PRI * HTTP/2.0\r\n\r\nSM\r\n\rX", 24));
}

/* --- TLS --- */

#define GO_OFFERS "\x02h2\x08http/1.1"

/* A record of OpenSSL's. */
static void put_hello(struct wire *w, const char *server_name, const char *alpn)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl = SSL_new(ctx);
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	int len;

	assert_non_null(ssl);
	SSL_set_bio(ssl, in, out);
	if (server_name)
		assert_int_equal(SSL_set_tlsext_host_name(ssl, server_name), 1);
	if (alpn)
		assert_int_equal(
			SSL_set_alpn_protos(ssl, (const uint8_t *)alpn, (unsigned int)strlen(alpn)),
			0);
	SSL_connect(ssl);
	len = BIO_read(out, w->bytes, sizeof(w->bytes));
	assert_true(len > 50);
	w->len = (size_t)len;
	SSL_free(ssl);
	SSL_CTX_free(ctx);
}

TEST(a_hello_as_go_sends_it_to_an_address_may_be_a_probes)
{
	struct wire w = { .len = 0 };

	put_hello(&w, NULL, GO_OFFERS);
	expect_at_last_byte(w.bytes, w.len, &kubelet, CALLER_TLS);
	expect_at_last_byte(w.bytes, w.len, &checkers, CALLER_TLS);
	put_hello(&w, NULL, NULL);
	expect_at_last_byte(w.bytes, w.len, &checkers, CALLER_TLS);
	put_hello(&w, "www.example.com", "\x02h2");
	expect_at_last_byte(w.bytes, w.len, &checkers, CALLER_TLS);
}

TEST(a_hello_with_a_name_or_other_protocols_is_a_clients)
{
	struct wire w = { .len = 0 };

	put_hello(&w, "www.example.com", GO_OFFERS);
	expect_at_last_byte(w.bytes, w.len, &kubelet, CALLER_CLIENT);
	put_hello(&w, NULL, NULL);
	expect_at_last_byte(w.bytes, w.len, &kubelet, CALLER_CLIENT);
	put_hello(&w, NULL, "\x08http/1.1\x02h2");
	expect_at_last_byte(w.bytes, w.len, &kubelet, CALLER_CLIENT);
	put_hello(&w, "www.example.com", "\x02h2");
	expect_at_last_byte(w.bytes, w.len, &kubelet, CALLER_CLIENT);
}

TEST(where_no_https_probes_come_a_hello_is_a_clients)
{
	const struct caller_rules no_https = { .knows_kubelet = true };
	const struct caller_rules no_https_checkers = { .knows_checkers = true };
	struct wire w = { .len = 0 };

	put_hello(&w, NULL, GO_OFFERS);
	assert_int_equal(judge(w.bytes, w.len, &no_https), CALLER_CLIENT);
	assert_int_equal(judge(w.bytes, 1, &no_https), CALLER_CLIENT);
	assert_int_equal(judge(w.bytes, w.len, &no_https_checkers), CALLER_CLIENT);
	/* HTTPS probes come to the port, but not from there. */
	assert_int_equal(judge(w.bytes, w.len, &nothing), CALLER_CLIENT);
}

/* A ClientHello in its smallest form: no session, one cipher, the extensions given. */
static void put_small_hello(struct wire *w, const char *extensions, size_t len)
{
	const uint8_t record[] = { 22, 3, 1, 0, (uint8_t)(4 + 43 + len) };
	const uint8_t handshake[] = { 1, 0, 0, (uint8_t)(43 + len), 3, 3 };
	const uint8_t random[32] = { 7 };
	const uint8_t suites[] = { 0, 0, 2, 0x13, 1, 1, 0, 0, (uint8_t)len };

	put(w, record, sizeof(record));
	put(w, handshake, sizeof(handshake));
	put(w, random, sizeof(random));
	put(w, suites, sizeof(suites));
	put(w, extensions, len);
}

/* Which byte is changed, and to what; an empty extension of an unknown type comes first. */
TEST(a_hello_that_does_not_add_up_is_a_clients)
{
	static const struct {
		size_t at;
		uint8_t byte;
		enum caller_kind kind;
	} rows[] = {
		{ 2, 3, CALLER_TLS },	     /* the record's version does not matter */
		{ 0, 23, CALLER_CLIENT },    /* application data */
		{ 1, 2, CALLER_CLIENT },     /* SSL 2 */
		{ 4, 68, CALLER_CLIENT },    /* the record ends within, and something follows */
		{ 4, 70, CALLER_UNDECIDED }, /* it is longer */
		{ 4, 0, CALLER_CLIENT },     { 5, 2, CALLER_CLIENT }, /* a ServerHello */
		{ 6, 1, CALLER_CLIENT },			      /* in several records */
		{ 8, 64, CALLER_CLIENT },    { 8, 66, CALLER_CLIENT },
		{ 43, 255, CALLER_CLIENT }, /* a session id longer than the rest */
		{ 44, 255, CALLER_CLIENT }, /* suites */
		{ 48, 255, CALLER_CLIENT }, /* compression methods */
		{ 51, 23, CALLER_CLIENT },  /* extensions */
		{ 51, 21, CALLER_CLIENT },   { 51, 0, CALLER_CLIENT },
		{ 55, 1, CALLER_CLIENT },  /* an extension longer than all of them */
		{ 53, 0, CALLER_CLIENT },  /* it is a server's name */
		{ 53, 16, CALLER_CLIENT }, /* it is ALPN, and so there are two */
		{ 53, 42, CALLER_TLS },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct wire w = { .len = 0 };

		put_small_hello(&w, "\0\xaa\0\0\0\x10\0\x0e\0\x0c" GO_OFFERS, 22);
		assert_int_equal(judge(w.bytes, w.len, &kubelet), CALLER_TLS);
		w.bytes[rows[i].at] = rows[i].byte;
		if (judge(w.bytes, w.len, &kubelet) != rows[i].kind)
			fail_msg("byte %zu as %u: %s", rows[i].at, rows[i].byte,
				 caller_kind_name(judge(w.bytes, w.len, &kubelet)));
	}
}

TEST(early_data_is_a_clients)
{
	struct wire w = { .len = 0 };

	put_hello(&w, NULL, NULL);
	put(&w, "\x17\x03\x03\x00\x01x", 6);
	assert_int_equal(judge(w.bytes, w.len, &kubelet), CALLER_CLIENT);
}

/* --- the setting --- */

TEST(paths_are_a_method_and_a_path)
{
	/* clang-format off */
	static const struct {
		const char *text;
		int r;
		size_t method_len;
		const char *prefix;
	} rows[] = {
		{ "GET /healthz",              0,       3,  "/healthz" },
		{ "GET /",                     0,       3,  "/" },
		{ "HEAD /a/b?c=%20&d",         0,       4,  "/a/b?c=%20&d" },
		{ "A /",                       0,       1,  "/" },
		{ "ABCDEFGHIJKLMNOP /",        0,       16, "/" },
		{ "ABCDEFGHIJKLMNOPQ /",       -EINVAL, 0,  NULL },
		{ "",                          -EINVAL, 0,  NULL },
		{ " ",                         -EINVAL, 0,  NULL },
		{ "GET",                       -EINVAL, 0,  NULL },
		{ "GET ",                      -EINVAL, 0,  NULL },
		{ "/healthz",                  -EINVAL, 0,  NULL },
		{ " /healthz",                 -EINVAL, 0,  NULL },
		{ " GET /healthz",             -EINVAL, 0,  NULL },
		{ "GET  /healthz",             -EINVAL, 0,  NULL },
		{ "GET\t/healthz",             -EINVAL, 0,  NULL },
		{ "GET/healthz",               -EINVAL, 0,  NULL },
		{ "get /healthz",              -EINVAL, 0,  NULL },
		{ "GET2 /healthz",             -EINVAL, 0,  NULL },
		{ "GET healthz",               -EINVAL, 0,  NULL },
		{ "GET http://a/",             -EINVAL, 0,  NULL },
		{ "GET /a b",                  -EINVAL, 0,  NULL },
		{ "GET /healthz ",             -EINVAL, 0,  NULL },
		{ "GET /healthz HTTP/1.1",     -EINVAL, 0,  NULL },
		{ "GET /a\n",                  -EINVAL, 0,  NULL },
		{ "GET /\x7f",                 -EINVAL, 0,  NULL },
		{ "GET /\xc3\xa4",             -EINVAL, 0,  NULL },
	};
	/* clang-format on */

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct caller_path path = { .method_len = 77 };
		int r = caller_parse_path(rows[i].text, &path);

		if (r != rows[i].r)
			fail_msg("'%s': %d", rows[i].text, r);
		if (r < 0) {
			assert_int_equal(path.method_len, 77);
			continue;
		}
		assert_ptr_equal(path.method, rows[i].text);
		assert_int_equal(path.method_len, rows[i].method_len);
		assert_string_equal(path.prefix, rows[i].prefix);
	}
}

TEST(kinds_have_the_names_of_metrics)
{
	assert_string_equal(caller_kind_name(CALLER_HTTP), "http");
	assert_string_equal(caller_kind_name(CALLER_GRPC), "grpc");
	assert_string_equal(caller_kind_name(CALLER_TLS), "https");
}
