// SPDX-License-Identifier: MIT
/*
 * Measures one request after another: connect, ask, first byte of the answer.
 *
 *	usage: client ADDRESS PORT
 *
 * It waits for a line on its stdin before each try, and answers with a line of its own:
 * "CONNECT_NS FIRST_BYTE_NS", both counted from before the connect, or "failed: WHAT: WHY".
 */
#include <errno.h>
#include <netdb.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/util.h"

/* A SYN that is lost four times has waited 1 + 2 + 4 + 8 s. */
#define CLIENT_TIMEOUT_S 20

static const char client_request[] = "GET / HTTP/1.1\r\nHost: bench\r\n\r\n";

struct client_try {
	uint64_t start_ns;
	uint64_t connected_ns;
	uint64_t first_byte_ns;
};

/* Returns NULL, or what has failed; errno says why. */
static const char *client_try(const struct addrinfo *to, struct client_try *out)
{
	const struct timeval timeout = { .tv_sec = CLIENT_TIMEOUT_S };
	_cleanup_(closep) int fd = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char byte;
	ssize_t n;

	if (fd < 0)
		return "socket";
	/* SO_SNDTIMEO bounds the connect as well (socket(7)). */
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	out->start_ns = monotonic_ns();
	if (connect(fd, to->ai_addr, to->ai_addrlen) < 0)
		return "connect";
	out->connected_ns = monotonic_ns();
	if (send(fd, client_request, strlen(client_request), MSG_NOSIGNAL) < 0)
		return "send";
	errno = 0;
	n = recv(fd, &byte, 1, 0);
	out->first_byte_ns = monotonic_ns();
	return n == 1 ? NULL : "recv";
}

static void client_report(const struct addrinfo *to)
{
	struct client_try t;
	const char *failed = client_try(to, &t);

	if (failed)
		printf("failed: %s: %s\n", failed, errno ? strerror(errno) : "end of stream");
	else
		printf("%ju %ju\n", (uintmax_t)(t.connected_ns - t.start_ns),
		       (uintmax_t)(t.first_byte_ns - t.start_ns));
	fflush(stdout);
}

int main(int argc, char **argv)
{
	const struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
	};
	struct addrinfo *to;
	char line[64];
	int r;

	if (argc != 3) {
		fprintf(stderr, "usage: client ADDRESS PORT\n");
		return 2;
	}
	r = getaddrinfo(argv[1], argv[2], &hints, &to);
	if (r) {
		fprintf(stderr, "client: '%s' port '%s': %s\n", argv[1], argv[2], gai_strerror(r));
		return 2;
	}
	while (fgets(line, sizeof(line), stdin))
		client_report(to);
	freeaddrinfo(to);
	return 0;
}
