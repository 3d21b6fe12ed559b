// SPDX-License-Identifier: MIT
/* The server on a unix socket: whose file it takes, and how many callers it bears. */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/file.h"
#include "base/util.h"
#include "lib/scratch.h"
#include "lib/test.h"
#include "report/server.h"
#include "report/server_connection.h"

#define CROWD 200

static struct event_base *base;
static struct server *server;
static char path[64];

static void on_snapshot(void *arg, struct status *out)
{
	(void)arg;
	*out = (struct status){ .version = "1.2", .problem = "" };
}

static int serve(void)
{
	const struct server_settings settings = {
		.base = base,
		.socket_path = path,
		.snapshot = on_snapshot,
	};

	return server_new(&server, &settings);
}

static void make(void)
{
	alarm(60); /* what does not come ends the test */
	scratch_make();
	snprintf(path, sizeof(path), "%s/doze.sock", root);
	base = event_base_new();
}

static void clean_up(void)
{
	server_free(&server);
	event_base_free(base);
	scratch_remove();
}

struct test_fixture test_around_each = { make, clean_up };

static struct sockaddr_un address(void)
{
	struct sockaddr_un found = { .sun_family = AF_UNIX };

	strcpy(found.sun_path, path);
	return found;
}

static int call(void)
{
	struct sockaddr_un to = address();
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_return_code(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

/* All that is answered to a request, up to the end. */
static const char *hear(int fd)
{
	static char text[65536];
	size_t len = 0;
	ssize_t n;

	while ((n = recv(fd, text + len, sizeof(text) - 1 - len, 0)) != 0) {
		if (n < 0)
			event_base_loop(base, EVLOOP_NONBLOCK);
		else
			len += (size_t)n;
	}
	text[len] = '\0';
	return text;
}

static const char *ask(const char *request)
{
	_cleanup_(closep) int fd = call();

	assert_int_equal(send(fd, request, strlen(request), 0), strlen(request));
	return hear(fd);
}

static void expect_begins(const char *text, const char *beginning)
{
	if (strncmp(text, beginning, strlen(beginning)) != 0)
		fail_msg("'%s' does not begin with '%s'", text, beginning);
}

/* --- whose file it takes --- */

TEST(a_file_that_is_no_socket_is_left_alone)
{
	_cleanup_(freep) char *text = NULL;

	scratch_put("", "doze.sock", "precious\n");
	assert_int_equal(serve(), -EEXIST);
	assert_null(server);
	assert_int_equal(file_read(path, &text), 0);
	assert_string_equal(text, "precious\n");
}

TEST(a_link_is_no_socket_either)
{
	struct stat st;

	assert_return_code(symlink("/nowhere", path), 0);
	assert_int_equal(serve(), -EEXIST);
	assert_return_code(lstat(path, &st), 0);
}

TEST(the_socket_of_a_doze_that_lives_is_left_alone)
{
	struct server *first;

	assert_int_equal(serve(), 0);
	first = TAKE_PTR(server);
	assert_int_equal(serve(), -EADDRINUSE);
	expect_begins(ask("GET /healthz HTTP/1.1\r\n\r\n"), "HTTP/1.1 200 OK\r\n");
	server_free(&first);
	assert_int_equal(access(path, F_OK), -1);
}

TEST(the_socket_of_a_doze_that_was_killed_is_taken_over)
{
	struct sockaddr_un at = address();
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	assert_return_code(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	close(fd);
	assert_int_equal(serve(), 0);
	expect_begins(ask("GET /healthz HTTP/1.1\r\n\r\n"), "HTTP/1.1 200 OK\r\n");
}

TEST(the_socket_is_roots_alone)
{
	struct stat st;

	assert_int_equal(serve(), 0);
	assert_return_code(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

/* --- what it answers --- */

TEST(requests_are_answered)
{
	static const struct {
		const char *request, *answer, *end;
	} rows[] = {
		{ "GET /healthz HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\n", "\r\n\r\nok\n" },
		{ "GET /status HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\n", "}" },
		{ "HEAD /healthz HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\n",
		  "Content-Length: 3\r\nConnection: close\r\n\r\n" },
		{ "GET /nix HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found\r\n", "\r\n\r\n" },
		{ "POST /metrics HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
		  "HTTP/1.1 405 Method Not Allowed\r\n", "\r\n\r\n" },
		{ "nonsense\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n", "\r\n\r\n" },
	};

	assert_int_equal(serve(), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *answer = ask(rows[i].request);
		size_t len = strlen(rows[i].end);

		expect_begins(answer, rows[i].answer);
		assert_in_range(strlen(answer), len, 65536);
		assert_string_equal(answer + strlen(answer) - len, rows[i].end);
	}
}

TEST(a_request_without_an_end_is_refused)
{
	static char long_request[SERVER_HEAD_MAX + 1];

	memset(long_request, 'x', SERVER_HEAD_MAX);
	assert_int_equal(serve(), 0);
	expect_begins(ask(long_request), "HTTP/1.1 400 Bad Request\r\n");
}

TEST(who_closes_its_end_behind_the_request_is_answered)
{
	_cleanup_(closep) int fd = -1;

	assert_int_equal(serve(), 0);
	fd = call();
	assert_int_equal(send(fd, "GET /healthz HTTP/1.0\r\n\r\n", 25, 0), 25);
	shutdown(fd, SHUT_WR);
	expect_begins(hear(fd), "HTTP/1.1 200 OK\r\n");
}

/* --- how many callers it bears --- */

static size_t count_open(const int *fds, size_t len)
{
	size_t open = 0;
	char byte;

	for (size_t i = 0; i < len; i++)
		open += recv(fds[i], &byte, 1, 0) < 0 && errno == EAGAIN;
	return open;
}

TEST(a_crowd_that_says_nothing_keeps_nobody_from_an_answer)
{
	int crowd[CROWD];

	assert_int_equal(serve(), 0);
	for (size_t i = 0; i < CROWD; i++)
		crowd[i] = call();
	expect_begins(ask("GET /healthz HTTP/1.1\r\n\r\n"), "HTTP/1.1 200 OK\r\n");
	assert_in_range(count_open(crowd, CROWD), 1, SERVER_CONNECTIONS_MAX);
	for (size_t i = 0; i < CROWD; i++)
		close(crowd[i]);
}
