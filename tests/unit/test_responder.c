// SPDX-License-Identifier: MIT
/* The responder, with connections over lo in the place of those that are steered to it. */
#include <arpa/inet.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "lib/test.h"
#include "probe/responder.h"
#include "probe/selfcert.h"

/* The beginning of HTTP/2, the headers of some call, and what acknowledges our SETTINGS. */
#define PREFACE	     "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
#define HEADERS	     "\0\0\1\1\4\0\0\0\5\x82"
#define SETTINGS_ACK "\0\0\0\4\1\0\0\0\0"
#define SETTINGS_LEN 9

struct rig {
	struct event_base *base;
	struct netns ns;
	struct responder *responder;
	unsigned int woken;
	int listener, client;
};

static struct caller_rules rules_of(void *arg, const struct gate_flow *flow)
{
	(void)arg;
	(void)flow;
	return (struct caller_rules){ .knows_kubelet = true, .has_https = true };
}

static void on_client(void *arg, const struct gate_flow *flow)
{
	struct rig *rig = arg;

	(void)flow;
	rig->woken++;
}

static void make_rig(struct rig *rig)
{
	const struct connection_settings settings = {
		.base = rig->base = event_base_new(),
		.ns = &rig->ns,
		.rules = rules_of,
		.client = on_client,
		.arg = rig,
	};
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(address);

	alarm(60); /* what does not come ends the test */
	assert_return_code(netns_open(&rig->ns, 0), 0);
	assert_return_code(responder_new(&rig->responder, &settings), 0);
	rig->listener = socket(AF_INET, SOCK_STREAM, 0);
	assert_return_code(bind(rig->listener, (struct sockaddr *)&address, len), 0);
	assert_return_code(listen(rig->listener, 8), 0);
	assert_return_code(getsockname(rig->listener, (struct sockaddr *)&address, &len), 0);
	rig->client = socket(AF_INET, SOCK_STREAM, 0);
	assert_return_code(connect(rig->client, (struct sockaddr *)&address, len), 0);
	responder_adopt(rig->responder,
			accept4(rig->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC));
}

static void free_rig(struct rig *rig)
{
	responder_free(&rig->responder);
	close(rig->client);
	close(rig->listener);
	netns_close(&rig->ns);
	event_base_free(rig->base);
}

static void say(struct rig *rig, const char *bytes, size_t len)
{
	assert_int_equal(send(rig->client, bytes, len, 0), len);
}

#define SAY(rig, text) say(rig, text, sizeof(text) - 1)

static void loop_until_woken(struct rig *rig, unsigned int times)
{
	while (rig->woken < times)
		event_base_loop(rig->base, EVLOOP_ONCE);
}

/* The event loop's turn, until our SETTINGS are there. */
static void hear_settings(struct rig *rig)
{
	char settings[SETTINGS_LEN];

	while (recv(rig->client, settings, sizeof(settings), MSG_DONTWAIT) < 0)
		event_base_loop(rig->base, EVLOOP_NONBLOCK);
}

TEST(who_acknowledges_when_the_gate_has_closed_again_wakes_once_more)
{
	struct rig rig = { 0 };

	make_rig(&rig);
	responder_release(rig.responder, false);
	SAY(&rig, PREFACE);
	hear_settings(&rig);
	SAY(&rig, HEADERS);
	loop_until_woken(&rig, 1);
	responder_release(rig.responder, true);
	responder_release(rig.responder, false);
	SAY(&rig, SETTINGS_ACK);
	loop_until_woken(&rig, 2);
	free_rig(&rig);
}

/* To the listening socket itself, which nobody steers there: each ends at once. */
static int call_itself(const struct rig *rig)
{
	struct sockaddr_in address;
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_return_code(getsockname(responder_listen_fd(rig->responder, GATE_FAMILY_IPV4),
				       (struct sockaddr *)&address, &len),
			   0);
	assert_return_code(connect(fd, (struct sockaddr *)&address, len), 0);
	return fd;
}

TEST(a_crowd_is_accepted_a_few_at_a_time)
{
	struct rig rig = { 0 };
	int crowd[200];
	uint64_t turns = 0;

	make_rig(&rig);
	for (size_t i = 0; i < ARRAY_LEN(crowd); i++)
		crowd[i] = call_itself(&rig);
	while (responder_counters(rig.responder)->failed < ARRAY_LEN(crowd)) {
		uint64_t before = responder_counters(rig.responder)->failed;

		event_base_loop(rig.base, EVLOOP_ONCE);
		assert_in_range(responder_counters(rig.responder)->failed - before, 0, 32);
		turns++;
	}
	assert_true(turns >= ARRAY_LEN(crowd) / 32);
	for (size_t i = 0; i < ARRAY_LEN(crowd); i++)
		close(crowd[i]);
	free_rig(&rig);
}

/* As the kubelet says hello: no server name, h2 and http/1.1. */
static SSL *say_hello(struct rig *rig, SSL_CTX *context)
{
	static const unsigned char offered[] = "\x02h2\x08http/1.1";
	SSL *ssl = SSL_new(context);

	assert_non_null(ssl);
	assert_int_equal(SSL_set_alpn_protos(ssl, offered, sizeof(offered) - 1), 0);
	SSL_set_fd(ssl, rig->client);
	evutil_make_socket_nonblocking(rig->client);
	while (SSL_connect(ssl) < 1)
		event_base_loop(rig->base, EVLOOP_NONBLOCK);
	return ssl;
}

#define PROBE "GET / HTTP/1.1\r\nUser-Agent: kube-probe/1.36\r\nConnection: close\r\n\r\n"
#define OK    "HTTP/1.1 200 OK\r\n"

TEST(a_caller_that_closes_its_end_behind_a_request_is_answered)
{
	struct rig rig = { 0 };
	char answer[sizeof(OK) - 1];

	make_rig(&rig);
	SAY(&rig, PROBE);
	shutdown(rig.client, SHUT_WR);
	while (recv(rig.client, answer, sizeof(answer), MSG_DONTWAIT | MSG_PEEK) < 0)
		event_base_loop(rig.base, EVLOOP_NONBLOCK);
	assert_int_equal(recv(rig.client, answer, sizeof(answer), 0), sizeof(answer));
	assert_memory_equal(answer, OK, sizeof(answer));
	free_rig(&rig);
}

/* The application is started anew: whether its port can be bound, with SO_REUSEADDR or without. */
static bool can_bind_anew(struct rig *rig, int reuses)
{
	struct sockaddr_in address;
	socklen_t len = sizeof(address);
	int r, fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_return_code(getsockname(rig->listener, (struct sockaddr *)&address, &len), 0);
	close(rig->listener);
	rig->listener = -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &reuses, sizeof(reuses));
	r = bind(fd, (struct sockaddr *)&address, len);
	close(fd);
	return r == 0;
}

static void hear_answer(struct rig *rig)
{
	char answer[512];

	while (recv(rig->client, answer, sizeof(answer), MSG_DONTWAIT) < 0)
		event_base_loop(rig->base, EVLOOP_NONBLOCK);
}

TEST(an_application_is_started_anew_while_its_client_is_connected_to_us)
{
	struct rig rig = { 0 };

	make_rig(&rig);
	SAY(&rig, "HELO\r\n");
	loop_until_woken(&rig, 1);
	assert_true(can_bind_anew(&rig, 1));
	free_rig(&rig);
}

/* It waits for the end of our answer. What TIME_WAIT is left of that lets the port be bound. */
TEST(an_application_is_started_anew_after_a_probe_that_closed_last)
{
	struct rig rig = { 0 };
	char end;

	make_rig(&rig);
	SAY(&rig, PROBE);
	hear_answer(&rig);
	while (recv(rig.client, &end, 1, MSG_DONTWAIT) != 0)
		event_base_loop(rig.base, EVLOOP_NONBLOCK);
	shutdown(rig.client, SHUT_WR);
	assert_true(can_bind_anew(&rig, 1));
	free_rig(&rig);
}

TEST(a_probe_that_closes_first_leaves_no_time_wait)
{
	struct tcp_info info = { .tcpi_state = TCP_ESTABLISHED };
	struct rig rig = { 0 };
	socklen_t len = sizeof(info);

	make_rig(&rig);
	SAY(&rig, PROBE);
	hear_answer(&rig);
	shutdown(rig.client, SHUT_WR);
	/* Both have closed: our end is gone when the client's is in TIME_WAIT. */
	while (info.tcpi_state != TCP_CLOSE) {
		event_base_loop(rig.base, EVLOOP_NONBLOCK);
		len = sizeof(info);
		assert_return_code(getsockopt(rig.client, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
	}
	assert_true(can_bind_anew(&rig, 0));
	free_rig(&rig);
}

TEST(a_caller_that_does_so_by_tls_is_answered)
{
	SSL_CTX *context = NULL;
	struct rig rig = { 0 };
	char answer[sizeof(OK) - 1];
	int n;
	SSL *ssl;

	make_rig(&rig);
	assert_return_code(selfcert_new_client(&context), 0);
	ssl = say_hello(&rig, context);
	assert_int_equal(SSL_write(ssl, PROBE, sizeof(PROBE) - 1), sizeof(PROBE) - 1);
	SSL_shutdown(ssl);
	shutdown(rig.client, SHUT_WR);
	while ((n = SSL_read(ssl, answer, sizeof(answer))) < 0 &&
	       SSL_get_error(ssl, n) == SSL_ERROR_WANT_READ)
		event_base_loop(rig.base, EVLOOP_NONBLOCK);
	assert_int_equal(n, sizeof(answer));
	assert_memory_equal(answer, OK, sizeof(answer));
	SSL_free(ssl);
	selfcert_free(&context);
	free_rig(&rig);
}
