// SPDX-License-Identifier: MIT
/*
 * The smallest HTTP server worth measuring through: it answers every request with two bytes and
 * keeps the connection, on IPv4 and IPv6, in one thread.
 *
 *	usage: server PORT
 *
 * A request ends at its empty line. Bodies and HTTP/1.0 do not occur here.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/util.h"

#define SERVER_BACKLOG	  4096
#define SERVER_FDS_MAX	  8192
#define SERVER_EVENTS_MAX 256
#define SERVER_BYTES_MAX  16384

static const char server_answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
static const char server_end[] = "\r\n\r\n";

/* How much of server_end each connection has sent so far: a request may come in pieces. */
static uint8_t server_matched[SERVER_FDS_MAX];

static unsigned int server_count_requests(int fd, const char *bytes, size_t len)
{
	uint8_t matched = server_matched[fd];
	unsigned int requests = 0;

	for (size_t i = 0; i < len; i++) {
		if (bytes[i] == server_end[matched])
			matched++;
		else
			matched = bytes[i] == server_end[0];
		if (!server_end[matched]) {
			requests++;
			matched = 0;
		}
	}
	server_matched[fd] = matched;
	return requests;
}

/* An answer fits into an empty send buffer; who asks without ever reading is cut off. */
static bool server_answer_all(int fd, unsigned int requests)
{
	const ssize_t len = sizeof(server_answer) - 1;

	while (requests--) {
		if (send(fd, server_answer, (size_t)len, MSG_NOSIGNAL) != len)
			return false;
	}
	return true;
}

static void server_serve(int fd)
{
	char bytes[SERVER_BYTES_MAX];
	ssize_t n = recv(fd, bytes, sizeof(bytes), 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 || !server_answer_all(fd, server_count_requests(fd, bytes, (size_t)n)))
		close(fd);
}

static void server_watch(int epoll_fd, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		close(fd);
}

static void server_accept_all(int epoll_fd, int listen_fd)
{
	const int one = 1;
	int fd;

	while ((fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		if (fd >= SERVER_FDS_MAX) {
			close(fd);
			continue;
		}
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		server_matched[fd] = 0;
		server_watch(epoll_fd, fd);
	}
}

static int server_bind(int family, uint16_t port)
{
	const struct sockaddr_in6 ipv6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	const struct sockaddr_in ipv4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	const int one = 1, zero = 0;
	_cleanup_(closep) int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int r;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (family == AF_INET6) {
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
		r = bind(fd, (const struct sockaddr *)&ipv6, sizeof(ipv6));
	} else {
		r = bind(fd, (const struct sockaddr *)&ipv4, sizeof(ipv4));
	}
	if (r < 0 || listen(fd, SERVER_BACKLOG) < 0)
		return -errno;
	return TAKE_FD(fd);
}

/* A machine may have no IPv6. */
static int server_listen(uint16_t port)
{
	int fd = server_bind(AF_INET6, port);

	return fd < 0 ? server_bind(AF_INET, port) : fd;
}

static int server_loop(int listen_fd)
{
	struct epoll_event events[SERVER_EVENTS_MAX];
	_cleanup_(closep) int epoll_fd = epoll_create1(EPOLL_CLOEXEC);

	server_watch(epoll_fd, listen_fd);
	for (;;) {
		int n = epoll_wait(epoll_fd, events, SERVER_EVENTS_MAX, -1);

		if (n < 0 && errno != EINTR)
			return 1;
		for (int i = 0; i < n; i++) {
			if (events[i].data.fd == listen_fd)
				server_accept_all(epoll_fd, listen_fd);
			else
				server_serve(events[i].data.fd);
		}
	}
}

int main(int argc, char **argv)
{
	long port = argc == 2 ? strtol(argv[1], NULL, 10) : 0;
	_cleanup_(closep) int listen_fd = -1;

	if (port < 1 || port > UINT16_MAX) {
		fprintf(stderr, "usage: server PORT\n");
		return 2;
	}
	listen_fd = server_listen((uint16_t)port);
	if (listen_fd < 0) {
		fprintf(stderr, "server: cannot listen on port '%ld': %s\n", port,
			strerror(-listen_fd));
		return 1;
	}
	return server_loop(listen_fd);
}
