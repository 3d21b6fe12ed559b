// SPDX-License-Identifier: MIT
/*
 * Connections of every kind over lo of a network namespace of its own, as sock_diag and the BPF
 * iterator tell of them. What takes a moment is waited for, never slept for.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "activity/sockdiag.h"
#include "activity/sockdiag_answered.h"
#include "base/address.h"
#include "base/util.h"
#include "lib/isolate.h"
#include "lib/test.h"

#define PORT	    8080
#define LISTED_MAX  6000
#define PAIRS_MAX   5000
#define TIMES	    200
#define LIMIT_NS    (20 * NS_PER_S)
#define FIN_LEN	    1
#define PROBE_TIMER 1 /* seconds: the shortest TCP_KEEPIDLE */

/* Nothing here takes so long. */
static const struct busy_settings usual = {
	.idle_ms = 3600000,
	.max_ms = 7200000,
	.sleeps_with_connections = true,
};

struct pair {
	int client, server;
};

static struct {
	bool is_entered;
	int outside; /* the network namespace to go back to */
	struct netns ns;
	struct sockdiag_answered *answered; /* NULL: see has_iterator */
	struct sockdiag *diag;
	bool has_iterator;
	int listener;
	struct pair pairs[PAIRS_MAX];
	size_t pairs_len;
} rig = { .listener = -1 };

static struct busy_socket listed[LISTED_MAX];
static size_t listed_len;

/* Setting up and tearing down. */

static void set_up_lo(void)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &request), 0);
	close(fd);
}

static void enter_namespace(void)
{
	rig.outside = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	assert_true(rig.outside >= 0);
	if (isolate_network() < 0) {
		print_message("skipped: no network namespace: %s\n", strerror(errno));
		close(rig.outside);
		return;
	}
	rig.is_entered = true;
	set_up_lo();
}

static void look_for_iterator(void)
{
	int r = sockdiag_answered_new(&rig.answered);

	rig.has_iterator = r == 0;
	if (r < 0)
		print_message("skipped, what needs an iterator over TCP sockets: %s\n",
			      strerror(-r));
}

static void rig_new(void)
{
	const struct rlimit files = { 2 * PAIRS_MAX + 100, 2 * PAIRS_MAX + 100 };

	signal(SIGPIPE, SIG_IGN);
	setrlimit(RLIMIT_NOFILE, &files);
	enter_namespace();
	if (!rig.is_entered)
		return;
	look_for_iterator();
	rig.ns = NETNS_NONE;
	assert_int_equal(netns_open(&rig.ns, 0), 0);
	assert_int_equal(sockdiag_new(&rig.diag, &rig.ns, rig.answered), 0);
}

static void rig_free(void)
{
	if (!rig.is_entered)
		return;
	sockdiag_free(&rig.diag);
	sockdiag_answered_free(&rig.answered);
	netns_close(&rig.ns);
	assert_int_equal(setns(rig.outside, CLONE_NEWNET), 0);
	close(rig.outside);
}

static void close_pair(struct pair *p)
{
	closep(&p->client);
	closep(&p->server);
	*p = (struct pair){ -1, -1 };
}

/* After each test, also one that failed half-way. RST: nothing of it is seen by the next. */
static void close_all(void)
{
	const struct linger at_once = { .l_onoff = 1 };

	for (size_t i = 0; i < rig.pairs_len; i++) {
		setsockopt(rig.pairs[i].client, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
		setsockopt(rig.pairs[i].server, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
		close_pair(&rig.pairs[i]);
	}
	rig.pairs_len = 0;
	closep(&rig.listener);
	rig.listener = -1;
}

struct test_fixture test_around_each = { NULL, close_all };
struct test_fixture test_around_all = { rig_new, rig_free };

static void skip_without_namespace(void)
{
	if (!rig.is_entered)
		skip(); /* enter_namespace() has said why */
}

static void skip_without_iterator(void)
{
	skip_without_namespace();
	if (!rig.has_iterator)
		skip(); /* look_for_iterator() has said why */
}

/* Connections. */

static void set_option(int fd, int level, int option, int value)
{
	assert_int_equal(setsockopt(fd, level, option, &value, sizeof(value)), 0);
}

static socklen_t make_address(union address_sockaddr *out, const char *text, uint16_t port)
{
	int family = strchr(text, ':') ? AF_INET6 : AF_INET;
	uint8_t bytes[sizeof(struct in6_addr)];
	struct gate_addr addr;

	assert_int_equal(inet_pton(family, text, bytes), 1);
	addr = address_make(family, bytes);
	return address_to_sockaddr(&addr, htons(port), out);
}

static int listen_at(const char *text, uint16_t port)
{
	union address_sockaddr address;
	socklen_t len = make_address(&address, text, port);
	int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	assert_int_equal(bind(fd, &address.any, len), 0);
	assert_int_equal(listen(fd, 1024), 0);
	return fd;
}

static struct pair *add_pair(int client, int server)
{
	assert_in_range(rig.pairs_len, 0, PAIRS_MAX - 1);
	rig.pairs[rig.pairs_len] = (struct pair){ client, server };
	return &rig.pairs[rig.pairs_len++];
}

static struct pair *connect_only(const char *text, uint16_t port)
{
	union address_sockaddr address;
	socklen_t len = make_address(&address, text, port);
	struct pair *p = add_pair(socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0), -1);

	assert_true(p->client >= 0);
	assert_int_equal(connect(p->client, &address.any, len), 0);
	set_option(p->client, IPPROTO_TCP, TCP_NODELAY, 1);
	return p;
}

static void accept_into(struct pair *p)
{
	p->server = accept4(rig.listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(p->server >= 0);
	set_option(p->server, IPPROTO_TCP, TCP_NODELAY, 1);
}

/* The listener is made with the first one. */
static struct pair *connect_pair(void)
{
	struct pair *p;

	if (rig.listener < 0)
		rig.listener = listen_at("127.0.0.1", PORT);
	p = connect_only("127.0.0.1", PORT);
	accept_into(p);
	return p;
}

static void pass_on(int from, int to, size_t len)
{
	char bytes[4096] = { 0 };

	assert_in_range(len, 1, sizeof(bytes));
	assert_int_equal(send(from, bytes, len, 0), len);
	assert_int_equal(recv(to, bytes, len, MSG_WAITALL), len);
}

static void request(const struct pair *p)
{
	pass_on(p->client, p->server, 100);
}

static void answer(const struct pair *p)
{
	pass_on(p->server, p->client, 200);
}

/* Until neither side takes more. */
static void fill(const struct pair *p)
{
	static char bytes[1 << 20];

	while (send(p->server, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
	assert_int_equal(errno, EAGAIN);
}

/* Nothing reaches this end of a connection any more. */
static void go_deaf(int fd)
{
	struct sock_filter drop = BPF_STMT(BPF_RET | BPF_K, 0);
	const struct sock_fprog program = { 1, &drop };

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)),
			 0);
}

static uint16_t local_port(int fd)
{
	union address_sockaddr address;
	socklen_t len = sizeof(address);
	__be16 port_be;

	assert_int_equal(getsockname(fd, &address.any, &len), 0);
	address_from_sockaddr(&address, &port_be);
	return ntohs(port_be);
}

static struct tcp_info info_of(int fd)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
	return info;
}

static void hear_again(int fd)
{
	set_option(fd, SOL_SOCKET, SO_DETACH_FILTER, 0);
}

/* Looking. */

static void on_socket(void *arg, const struct busy_socket *socket)
{
	struct busy_verdict *v = arg;

	assert_in_range(listed_len, 0, LISTED_MAX - 1);
	listed[listed_len++] = *socket;
	busy_add(v, socket, &usual);
}

static struct busy_verdict look_at(const uint16_t *ports, size_t ports_len)
{
	struct busy_verdict v;

	busy_init(&v);
	listed_len = 0;
	assert_int_equal(sockdiag_list(rig.diag, ports, ports_len, on_socket, &v), 0);
	return v;
}

static struct busy_verdict look(void)
{
	const uint16_t port = PORT;

	return look_at(&port, 1);
}

static const struct busy_socket *listed_of(const struct pair *p)
{
	uint16_t port = local_port(p->client);

	for (size_t i = 0; i < listed_len; i++) {
		if (ntohs(listed[i].flow.sport_be) == port)
			return &listed[i];
	}
	fail_msg("the connection from port %u is not listed", port);
	return NULL;
}

static const struct busy_socket *look_for(const struct pair *p)
{
	look();
	return listed_of(p);
}

typedef bool (*condition_fn)(const struct pair *p);

static void wait_until(condition_fn is_met, const struct pair *p, const char *what)
{
	uint64_t until_ns = monotonic_ns() + LIMIT_NS;

	while (!is_met(p)) {
		if (monotonic_ns() > until_ns)
			fail_msg("not within 20 s: %s", what);
		usleep(1000);
	}
}

static bool is_acked(const struct pair *p)
{
	return look_for(p)->unacked == 0;
}

static bool is_listed(const struct pair *p)
{
	uint16_t port = local_port(p->client);

	look();
	for (size_t i = 0; i < listed_len; i++) {
		if (ntohs(listed[i].flow.sport_be) == port)
			return true;
	}
	return false;
}

static bool is_established(const struct pair *p)
{
	return look_for(p)->state == TCP_ESTABLISHED;
}

static bool is_in_close_wait(const struct pair *p)
{
	return look_for(p)->state == TCP_CLOSE_WAIT;
}

static bool is_in_fin_wait_2(const struct pair *p)
{
	return look_for(p)->state == TCP_FIN_WAIT2;
}

/* The peer has answered a keep-alive, long after the last data. */
static bool is_kept_alive(const struct pair *p)
{
	struct tcp_info info = info_of(p->server);

	return info.tcpi_last_data_recv > info.tcpi_last_ack_recv + 500;
}

/*
 * A delayed ACK of what has been received is on its way; the kernel delays it by 40 ms, 200 at
 * most.
 */
static bool is_half_a_second_old(const struct pair *p)
{
	return info_of(p->server).tcpi_last_data_recv > 500;
}

static void expect_reason(enum busy_reason reason)
{
	struct busy_verdict v = look();

	if (v.reason != reason)
		fail_msg("%s instead of %s", busy_reason_name(v.reason), busy_reason_name(reason));
}

/* What is reported. */

TEST(nothing_is_listed_where_nothing_is)
{
	skip_without_namespace();
	rig.listener = listen_at("127.0.0.1", PORT);
	expect_reason(BUSY_NOT);
	assert_int_equal(listed_len, 0);
}

TEST(a_new_connection_is_at_rest)
{
	const struct busy_socket *s;
	struct pair *p;

	skip_without_namespace();
	p = connect_pair();
	s = look_for(p);
	assert_int_equal(listed_len, 1);
	assert_int_equal(s->state, TCP_ESTABLISHED);
	assert_true(s->is_accepted);
	assert_false(s->has_received);
	assert_int_equal(s->unread, 0);
	assert_int_equal(s->unacked, 0);
	assert_true(s->since_sent_ms == UINT64_MAX);
	assert_in_range(s->since_received_ms, 0, 20000);
	assert_int_equal(s->answer, BUSY_ANSWERED);
	expect_reason(BUSY_NOT);
}

static const struct {
	const char *listens, *connects;
	uint8_t address[16];
} families[] = {
	{ "127.0.0.1", "127.0.0.1", { [10] = 0xff, 0xff, 127, 0, 0, 1 } },
	{ "::1", "::1", { [15] = 1 } },
	{ "::", "::1", { [15] = 1 } },
	{ "::", "127.0.0.1", { [10] = 0xff, 0xff, 127, 0, 0, 1 } },
};

TEST(the_flow_is_the_clients_in_either_family)
{
	skip_without_namespace();
	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		struct gate_flow expected = {
			.dport_be = htons(PORT),
			.protocol = IPPROTO_TCP,
		};
		struct pair *p;

		memcpy(expected.saddr.bytes, families[i].address, 16);
		memcpy(expected.daddr.bytes, families[i].address, 16);
		rig.listener = listen_at(families[i].listens, PORT);
		p = connect_only(families[i].connects, PORT);
		accept_into(p);
		request(p);
		expected.sport_be = htons(local_port(p->client));
		assert_memory_equal(&look_for(p)->flow, &expected, sizeof(expected));
		assert_int_equal(listed_len, 1);
		expect_reason(BUSY_UNANSWERED);
		close_all();
	}
}

TEST(a_handshake_that_is_not_complete_is_connecting)
{
	union address_sockaddr address;
	socklen_t len = make_address(&address, "127.0.0.1", PORT);
	struct pair *p;

	skip_without_namespace();
	rig.listener = listen_at("127.0.0.1", PORT);
	p = add_pair(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), -1);
	go_deaf(p->client);
	assert_int_equal(connect(p->client, &address.any, len), -1);
	assert_int_equal(errno, EINPROGRESS);
	wait_until(is_listed, p, "SYN_RECV");
	assert_int_equal(listed_of(p)->state, TCP_SYN_RECV);
	expect_reason(BUSY_CONNECTING);
	/* To its end: it would outlive the listener, and be seen by the next test. */
	hear_again(p->client);
	wait_until(is_established, p, "the handshake");
	expect_reason(BUSY_NOT_ACCEPTED);
}

TEST(a_connection_that_nobody_accepts_is_not_accepted)
{
	struct pair *p;

	skip_without_namespace();
	rig.listener = listen_at("127.0.0.1", PORT);
	p = connect_only("127.0.0.1", PORT);
	assert_false(look_for(p)->is_accepted);
	expect_reason(BUSY_NOT_ACCEPTED);
	shutdown(p->client, SHUT_WR);
	wait_until(is_in_close_wait, p, "CLOSE_WAIT");
	expect_reason(BUSY_NOT_ACCEPTED);
	accept_into(p);
	expect_reason(BUSY_NOT);
}

TEST(what_the_application_has_not_read_is_unread)
{
	struct pair *p;

	skip_without_namespace();
	p = connect_pair();
	assert_int_equal(send(p->client, "request", 7, 0), 7);
	assert_int_equal(look_for(p)->unread, 7);
	expect_reason(BUSY_UNREAD);
}

TEST(what_the_client_has_not_taken_is_unacked)
{
	struct pair *p;

	skip_without_namespace();
	p = connect_pair();
	request(p);
	fill(p);
	assert_true(look_for(p)->unacked > 4096);
	expect_reason(BUSY_UNACKED);
}

TEST(data_that_the_application_sends_by_itself_is_sent_lately)
{
	struct busy_verdict v;
	struct pair *p;

	skip_without_namespace();
	p = connect_pair();
	answer(p);
	wait_until(is_acked, p, "the ACK");
	v = look();
	assert_int_equal(v.reason, BUSY_SENT_LATELY);
	assert_int_equal(v.recheck_ms, usual.idle_ms - listed_of(p)->since_sent_ms);
}

/* The FIN is a byte to read, until the application has seen the end of file. */
TEST(in_close_wait_the_fin_counts_as_a_byte)
{
	const struct busy_socket *s;
	struct pair *p;
	char byte;

	skip_without_namespace();
	p = connect_pair();
	shutdown(p->client, SHUT_WR);
	wait_until(is_in_close_wait, p, "CLOSE_WAIT");
	s = listed_of(p);
	assert_int_equal(s->unread, FIN_LEN);
	assert_false(s->has_received);
	expect_reason(BUSY_NOT);
	assert_int_equal(recv(p->server, &byte, 1, 0), 0);
	assert_int_equal(look_for(p)->unread, 0);
	expect_reason(BUSY_NOT);
}

TEST(a_client_that_half_closes_after_its_request_is_answered_still)
{
	struct pair *p;
	char byte;

	skip_without_namespace();
	p = connect_pair();
	assert_int_equal(send(p->client, "r", 1, 0), 1);
	shutdown(p->client, SHUT_WR);
	wait_until(is_in_close_wait, p, "CLOSE_WAIT");
	assert_int_equal(listed_of(p)->unread, 1 + FIN_LEN);
	assert_true(listed_of(p)->has_received);
	expect_reason(BUSY_UNREAD);
	assert_int_equal(recv(p->server, &byte, 1, 0), 1);
	expect_reason(BUSY_UNANSWERED);
	assert_int_equal(recv(p->server, &byte, 1, 0), 0);
	expect_reason(BUSY_UNANSWERED);
	answer(p);
	wait_until(is_acked, p, "the ACK");
	if (rig.has_iterator)
		expect_reason(BUSY_SENT_LATELY);
}

/* The server's FIN is a byte to be acknowledged; the kernel delivers an orphan's data by itself. */
TEST(an_orphan_is_not_busy)
{
	const struct busy_socket *s;
	uint32_t unacked;
	struct pair *p;

	skip_without_namespace();
	p = connect_pair();
	fill(p);
	unacked = look_for(p)->unacked;
	close(p->server);
	p->server = -1;
	s = look_for(p);
	assert_int_equal(s->state, TCP_FIN_WAIT1);
	assert_false(s->is_accepted);
	assert_int_equal(s->unacked, unacked + FIN_LEN);
	expect_reason(BUSY_NOT);
}

TEST(an_orphan_whose_client_stays_is_not_busy)
{
	struct pair *p;

	skip_without_namespace();
	p = connect_pair();
	request(p);
	close(p->server);
	p->server = -1;
	wait_until(is_in_fin_wait_2, p, "FIN_WAIT2");
	assert_false(listed_of(p)->is_accepted);
	expect_reason(BUSY_NOT);
}

TEST(a_fin_alone_is_nothing_that_the_client_has_yet_to_take)
{
	const struct busy_socket *s;
	struct pair *p;

	skip_without_namespace();
	p = connect_pair();
	go_deaf(p->client);
	shutdown(p->server, SHUT_WR);
	s = look_for(p);
	assert_int_equal(s->state, TCP_FIN_WAIT1);
	assert_true(s->is_accepted);
	assert_int_equal(s->unacked, FIN_LEN);
	expect_reason(BUSY_NOT);
}

TEST(an_upload_after_the_servers_fin_is_unread)
{
	struct pair *p;

	skip_without_namespace();
	p = connect_pair();
	shutdown(p->server, SHUT_WR);
	wait_until(is_in_fin_wait_2, p, "FIN_WAIT2");
	expect_reason(BUSY_NOT);
	assert_int_equal(send(p->client, "more", 4, 0), 4);
	assert_int_equal(look_for(p)->unread, 4);
	expect_reason(BUSY_UNREAD);
}

TEST(only_the_ports_asked_for_are_listed)
{
	const uint16_t two[] = { PORT, PORT + 1 }, none[] = { PORT + 2 };
	struct pair *a, *b;

	skip_without_namespace();
	a = connect_pair();
	closep(&rig.listener);
	rig.listener = listen_at("::1", PORT + 1);
	b = connect_only("::1", PORT + 1);
	accept_into(b);
	request(b);
	look_at(two, 2);
	assert_int_equal(listed_len, 2);
	assert_int_equal(listed_of(a)->flow.dport_be, htons(PORT));
	assert_int_equal(listed_of(b)->flow.dport_be, htons(PORT + 1));
	assert_int_equal(look_at(two, 1).reason, BUSY_NOT);
	assert_int_equal(listed_len, 1);
	assert_int_equal(look_at(two + 1, 1).reason, BUSY_UNANSWERED);
	assert_int_equal(listed_len, 1);
	look_at(none, 1);
	assert_int_equal(listed_len, 0);
	look_at(NULL, 0);
	assert_int_equal(listed_len, 0);
}

/* The client's end of it has the port as its remote one. */
TEST(a_connection_to_the_same_port_elsewhere_is_not_listed)
{
	const uint16_t none[] = { PORT + 2 };
	struct pair *p;

	skip_without_namespace();
	p = connect_pair();
	look();
	assert_int_equal(listed_len, 1);
	assert_int_equal(listed[0].flow.dport_be, htons(PORT));
	assert_int_equal(listed[0].flow.sport_be, htons(local_port(p->client)));
	look_at(none, 1);
	assert_int_equal(listed_len, 0);
}

/* Answered or not. */

static unsigned int count_of(enum busy_answer answer)
{
	unsigned int count = 0;

	for (size_t i = 0; i < listed_len; i++)
		count += listed[i].answer == answer;
	return count;
}

/* Those that only the iterator can tell. */
static unsigned int count_within_a_tick(void)
{
	unsigned int count = 0;

	for (size_t i = 0; i < listed_len; i++)
		count += listed[i].since_received_ms == listed[i].since_sent_ms;
	return count;
}

static bool are_all_acked(const struct pair *unused)
{
	(void)unused;
	look();
	for (size_t i = 0; i < listed_len; i++) {
		if (listed[i].unacked)
			return false;
	}
	return true;
}

static void expect_all(enum busy_answer answer)
{
	look();
	assert_int_equal(listed_len, TIMES);
	assert_int_equal(count_of(answer), TIMES);
	/* Nearly all of them are; else nothing has been tested. */
	assert_in_range(count_within_a_tick(), TIMES / 4, TIMES);
}

TEST(a_request_is_unanswered_until_its_answer_is_sent)
{
	struct pair *p;

	skip_without_namespace();
	p = connect_pair();
	request(p);
	assert_int_equal(look_for(p)->answer, BUSY_NOT_ANSWERED);
	expect_reason(BUSY_UNANSWERED);
	wait_until(is_half_a_second_old, p, "time");
	expect_reason(BUSY_UNANSWERED);
	answer(p);
	wait_until(is_acked, p, "the ACK");
	expect_reason(BUSY_SENT_LATELY);
	request(p);
	wait_until(is_half_a_second_old, p, "time");
	expect_reason(BUSY_UNANSWERED);
}

/* The client acknowledges its first answers at once. */
TEST(an_answer_within_the_tick_of_its_request_is_seen)
{
	skip_without_iterator();
	for (int i = 0; i < TIMES; i++) {
		struct pair *p = connect_pair();

		request(p);
		answer(p);
	}
	wait_until(are_all_acked, NULL, "the ACKs");
	expect_all(BUSY_ANSWERED);
}

/* And delays its ACK later. */
TEST(so_is_the_last_of_many_answers)
{
	skip_without_iterator();
	for (int i = 0; i < TIMES; i++) {
		struct pair *p = connect_pair();

		for (int j = 0; j < 20; j++) {
			request(p);
			answer(p);
		}
	}
	wait_until(are_all_acked, NULL, "the ACKs");
	expect_all(BUSY_ANSWERED);
}

/* Answers of many segments, and small writes. */
TEST(so_is_an_answer_in_pieces)
{
	skip_without_iterator();
	for (int i = 0; i < TIMES; i++) {
		struct pair *p = connect_pair();

		request(p);
		for (int j = 0; j < 5; j++)
			pass_on(p->server, p->client, j % 2 ? 4000 : 1);
	}
	wait_until(are_all_acked, NULL, "the ACKs");
	expect_all(BUSY_ANSWERED);
}

/* At any time: before its delayed ACK, and after. */
TEST(a_request_within_the_tick_of_the_answer_before_is_unanswered)
{
	skip_without_iterator();
	for (int rounds = 1; rounds < 20; rounds += 6) {
		for (int i = 0; i < TIMES; i++) {
			struct pair *p = connect_pair();

			for (int j = 0; j < rounds; j++) {
				request(p);
				answer(p);
			}
			request(p);
			if (look_for(p)->answer == BUSY_ANSWERED)
				fail_msg("connection %d, after %d answers", i, rounds);
		}
		expect_all(BUSY_NOT_ANSWERED);
		wait_until(is_half_a_second_old, &rig.pairs[TIMES - 1], "time");
		expect_all(BUSY_NOT_ANSWERED);
		close_all();
	}
}

TEST(so_is_a_request_in_pieces)
{
	skip_without_iterator();
	for (int i = 0; i < TIMES; i++) {
		struct pair *p = connect_pair();

		request(p);
		answer(p);
		for (int j = 0; j < 5; j++)
			pass_on(p->client, p->server, j % 2 ? 4000 : 1);
	}
	expect_all(BUSY_NOT_ANSWERED);
	wait_until(is_half_a_second_old, &rig.pairs[TIMES - 1], "time");
	expect_all(BUSY_NOT_ANSWERED);
}

static void set_keepalive(int fd)
{
	set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, PROBE_TIMER);
	set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, PROBE_TIMER);
}

/* The answer to a keep-alive is a bare ACK, as the ACK of an answer is. */
TEST(a_keepalive_does_not_answer_a_request)
{
	skip_without_iterator();
	for (int i = 0; i < TIMES; i++) {
		struct pair *p = connect_pair();

		set_keepalive(p->server);
		if (i % 2)
			set_keepalive(p->client);
		request(p);
		answer(p);
		request(p);
	}
	for (int i = 0; i < TIMES; i++)
		wait_until(is_kept_alive, &rig.pairs[i], "a keep-alive");
	expect_all(BUSY_NOT_ANSWERED);
}

TEST(a_keepalive_does_not_hide_an_answer_whose_ack_was_delayed)
{
	skip_without_iterator();
	for (int i = 0; i < TIMES; i++) {
		struct pair *p = connect_pair();

		set_keepalive(p->server);
		if (i % 2)
			set_keepalive(p->client);
		set_option(p->client, IPPROTO_TCP, TCP_QUICKACK, 0);
		for (int j = 0; j < 3; j++) {
			request(p);
			answer(p);
		}
	}
	for (int i = 0; i < TIMES; i++)
		wait_until(is_kept_alive, &rig.pairs[i], "a keep-alive");
	expect_all(BUSY_ANSWERED);
}

/* A limit that is stated in activity/sockdiag_message.h. */
TEST(of_two_requests_at_once_the_first_answer_counts)
{
	struct pair *p;

	skip_without_iterator();
	p = connect_pair();
	request(p);
	request(p);
	answer(p);
	wait_until(is_acked, p, "the ACK");
	assert_int_equal(look_for(p)->answer, BUSY_ANSWERED);
}

/* Other namespaces, and many. */

struct child {
	pid_t pid;
	int ready_fd;
};

/* A request without an answer, in a namespace of its own, until it is killed. */
static void child_run(int ready_fd)
{
	struct pair *p;

	if (isolate_network() < 0)
		_exit(1);
	set_up_lo();
	p = connect_pair();
	request(p);
	if (write(ready_fd, "", 1) != 1)
		_exit(1);
	pause();
}

static struct child child_start(void)
{
	struct child child;
	int fds[2];
	char byte;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	child.pid = fork();
	assert_true(child.pid >= 0);
	if (child.pid == 0) {
		child_run(fds[1]);
		_exit(0);
	}
	close(fds[1]);
	child.ready_fd = fds[0];
	assert_int_equal(read(child.ready_fd, &byte, 1), 1);
	return child;
}

static void child_stop(struct child *child)
{
	kill(child->pid, SIGKILL);
	waitpid(child->pid, NULL, 0);
	close(child->ready_fd);
}

TEST(the_namespace_is_the_targets)
{
	const uint16_t port = PORT;
	struct sockdiag *diag = NULL;
	struct netns ns = NETNS_NONE;
	struct busy_verdict v;
	struct child child;

	skip_without_namespace();
	child = child_start();
	busy_init(&v);
	listed_len = 0;
	if (netns_open(&ns, child.pid) == 0 && sockdiag_new(&diag, &ns, rig.answered) == 0)
		sockdiag_list(diag, &port, 1, on_socket, &v);
	sockdiag_free(&diag);
	netns_close(&ns);
	child_stop(&child);
	assert_int_equal(listed_len, 1);
	assert_int_equal(v.reason, BUSY_UNANSWERED);
	expect_reason(BUSY_NOT);
	assert_int_equal(listed_len, 0);
}

static uint64_t look_us(void)
{
	uint64_t best_ns = UINT64_MAX;

	for (int i = 0; i < 5; i++) {
		uint64_t start_ns = monotonic_ns();

		look();
		best_ns = min_u64(best_ns, monotonic_ns() - start_ns);
	}
	return best_ns / NS_PER_US;
}

static void connect_until(size_t len)
{
	while (rig.pairs_len < len) {
		struct pair *p = connect_pair();

		request(p);
		answer(p);
	}
}

TEST(thousands_of_connections_are_listed)
{
	static const size_t numbers[] = { 1, 100, PAIRS_MAX };
	struct rlimit files;

	skip_without_namespace();
	getrlimit(RLIMIT_NOFILE, &files);
	if (files.rlim_cur < 2 * PAIRS_MAX + 100) {
		print_message("skipped: no more than %lu files\n", (unsigned long)files.rlim_cur);
		skip();
	}
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		connect_until(numbers[i]);
		wait_until(are_all_acked, NULL, "the ACKs");
		look();
		assert_int_equal(listed_len, numbers[i]);
		if (rig.has_iterator)
			assert_int_equal(count_of(BUSY_ANSWERED), numbers[i]);
		print_message("%zu connections: %llu us\n", numbers[i],
			      (unsigned long long)look_us());
	}
	request(&rig.pairs[PAIRS_MAX / 2]);
	look();
	assert_int_equal(count_of(BUSY_NOT_ANSWERED), 1);
}

/* Upstream. */

static void on_upstream(void *arg, const struct busy_socket *socket)
{
	struct busy_verdict *v = arg;

	assert_in_range(listed_len, 0, LISTED_MAX - 1);
	listed[listed_len++] = *socket;
	busy_add_upstream(v, socket, &usual);
}

static void expect_upstream(enum busy_reason reason, size_t len)
{
	struct busy_verdict v;

	busy_init(&v);
	listed_len = 0;
	assert_int_equal(sockdiag_list_upstream(rig.diag, on_upstream, &v), 0);
	if (v.reason != reason)
		fail_msg("%s instead of %s", busy_reason_name(v.reason), busy_reason_name(reason));
	assert_int_equal(listed_len, len);
}

static bool is_acked_by_server(const struct pair *p)
{
	return info_of(p->client).tcpi_unacked == 0;
}

/* Both ends are in this namespace; the accepted one is not listed. */
TEST(only_who_has_asked_waits_upstream)
{
	struct pair *p;

	skip_without_iterator();
	expect_upstream(BUSY_NOT, 0);
	p = connect_pair();
	expect_upstream(BUSY_NOT, 1);
	request(p);
	wait_until(is_acked_by_server, p, "the request's ACK");
	expect_upstream(BUSY_UPSTREAM, 1);
	assert_int_equal(ntohs(listed[0].flow.sport_be), PORT);
	assert_int_equal(ntohs(listed[0].flow.dport_be), local_port(p->client));
	answer(p);
	expect_upstream(BUSY_NOT, 1);
}
