// SPDX-License-Identifier: MIT
/* A relay between two connections over lo, of which the far ends are the test's. */
#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "lib/test.h"
#include "probe/relay.h"

#define SENT_LEN  (2U << 20) /* more than the kernel's buffers hold */
#define CHUNK_LEN 65536

struct rig {
	struct event_base *base;
	struct bufferevent *client, *application; /* the relay's */
	int far_client, far_application;
	struct relay *relay;
	bool is_done;
};

static void on_done(void *arg)
{
	struct rig *rig = arg;

	rig->is_done = true;
	rig->relay = NULL;
}

static void make_pair(int out[2])
{
	const int small = 8192;
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	/* Those that are accepted have the same. */
	setsockopt(listener, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	assert_return_code(bind(listener, (struct sockaddr *)&address, len), 0);
	assert_return_code(listen(listener, 1), 0);
	assert_return_code(getsockname(listener, (struct sockaddr *)&address, &len), 0);
	out[0] = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(out[0], SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	assert_return_code(connect(out[0], (struct sockaddr *)&address, len), 0);
	out[1] = accept(listener, NULL, NULL);
	assert_true(out[1] >= 0);
	close(listener);
	for (int i = 0; i < 2; i++)
		evutil_make_socket_nonblocking(out[i]);
}

static void make_rig(struct rig *rig)
{
	int pair[2];

	*rig = (struct rig){ .base = event_base_new() };
	make_pair(pair);
	rig->far_client = pair[0];
	rig->client = bufferevent_socket_new(rig->base, pair[1], BEV_OPT_CLOSE_ON_FREE);
	make_pair(pair);
	rig->far_application = pair[0];
	rig->application = bufferevent_socket_new(rig->base, pair[1], BEV_OPT_CLOSE_ON_FREE);
	assert_int_equal(relay_start(&rig->relay, rig->client, rig->application, on_done, rig), 0);
}

static void free_rig(struct rig *rig)
{
	relay_free(&rig->relay);
	close(rig->far_client);
	close(rig->far_application);
	event_base_free(rig->base);
}

static size_t waiting(const struct rig *rig)
{
	return evbuffer_get_length(bufferevent_get_input(rig->client)) +
	       evbuffer_get_length(bufferevent_get_output(rig->application));
}

/* The byte at a place of the stream. */
static uint8_t byte_at(size_t at)
{
	return (uint8_t)(at * 7 + at / 251);
}

static size_t send_some(int fd, size_t sent)
{
	uint8_t chunk[CHUNK_LEN];
	size_t len = min_u64(sizeof(chunk), SENT_LEN - sent);
	ssize_t n;

	for (size_t i = 0; i < len; i++)
		chunk[i] = byte_at(sent + i);
	n = send(fd, chunk, len, MSG_NOSIGNAL);
	return n > 0 ? (size_t)n : 0;
}

static size_t take_some(int fd, size_t taken)
{
	uint8_t chunk[CHUNK_LEN];
	ssize_t n = recv(fd, chunk, sizeof(chunk), 0);

	for (ssize_t i = 0; i < n; i++)
		assert_int_equal(chunk[i], byte_at(taken + (size_t)i));
	return n > 0 ? (size_t)n : 0;
}

TEST(who_reads_slowly_is_not_read_ahead_of)
{
	size_t sent = 0, taken = 0;
	struct rig rig;

	make_rig(&rig);
	/* Nobody takes anything, until the kernel's buffers are full. */
	while (waiting(&rig) <= RELAY_BUFFER_MAX / 2) {
		sent += send_some(rig.far_client, sent);
		event_base_loop(rig.base, EVLOOP_NONBLOCK);
	}
	/* And then all of it arrives. */
	while (taken < SENT_LEN) {
		sent += send_some(rig.far_client, sent);
		event_base_loop(rig.base, EVLOOP_NONBLOCK);
		assert_true(waiting(&rig) <= RELAY_BUFFER_MAX);
		taken += take_some(rig.far_application, taken);
	}
	assert_false(rig.is_done);
	free_rig(&rig);
}

TEST(the_ends_end_it)
{
	struct rig rig;

	make_rig(&rig);
	shutdown(rig.far_client, SHUT_WR);
	shutdown(rig.far_application, SHUT_WR);
	while (!rig.is_done)
		event_base_loop(rig.base, EVLOOP_ONCE);
	free_rig(&rig);
}

static int option(struct bufferevent *connection, int level, int name)
{
	int value = 0;
	socklen_t len = sizeof(value);

	assert_return_code(getsockopt(bufferevent_getfd(connection), level, name, &value, &len), 0);
	return value;
}

TEST(who_has_vanished_is_found_out)
{
	struct rig rig;

	make_rig(&rig);
	for (int i = 0; i < 2; i++) {
		struct bufferevent *connection = i ? rig.client : rig.application;

		assert_int_equal(option(connection, SOL_SOCKET, SO_KEEPALIVE), 1);
		assert_int_equal(option(connection, IPPROTO_TCP, TCP_KEEPIDLE), 60);
		assert_int_equal(option(connection, IPPROTO_TCP, TCP_KEEPINTVL), 15);
	}
	free_rig(&rig);
}
