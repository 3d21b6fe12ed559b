// SPDX-License-Identifier: MIT
/*
 * Both ends of the traffic of guest.sh, in one static program.
 *
 *	peer serve PORT			echo over TCP and UDP, IPv4 and IPv6
 *	peer tcp|udp ADDRESS PORT	one request and its answer
 *	peer keep ADDRESS PORT		a request, and once stdin has a line another one
 *	peer probe ADDRESS PORT		a kubelet's probe; prints the first line of its answer
 *	peer tun NAME NETNS NETNS	a tun interface in each namespace, and a wire between them
 *
 * tcp, udp and keep print how many milliseconds the (last) answer took, and how often TCP has sent
 * the SYN again (keep: the last request); they fail after 15 s.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PEER_TIMEOUT_S	 15
#define PEER_BACKLOG	 128
#define PEER_CLIENTS_MAX 256
#define PEER_BYTES_MAX	 2048

static void peer_fail(const char *what)
{
	fprintf(stderr, "peer: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t peer_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* --- serve --- */

static int peer_bind(int type, int port)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
	int fd = socket(AF_INET6, type, 0);
	int on = 1, off = 0;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) < 0 ||
	    bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0 ||
	    (type == SOCK_STREAM && listen(fd, PEER_BACKLOG) < 0))
		peer_fail("cannot serve");
	return fd;
}

static void peer_echo_datagram(int fd)
{
	struct sockaddr_storage from;
	socklen_t from_len = sizeof(from);
	char bytes[PEER_BYTES_MAX];
	ssize_t n = recvfrom(fd, bytes, sizeof(bytes), 0, (struct sockaddr *)&from, &from_len);

	if (n >= 0)
		sendto(fd, bytes, (size_t)n, 0, (struct sockaddr *)&from, from_len);
}

/* -1 once the client has gone. */
static int peer_echo_stream(int fd)
{
	char bytes[PEER_BYTES_MAX];
	ssize_t n = recv(fd, bytes, sizeof(bytes), 0);

	if (n > 0 && send(fd, bytes, (size_t)n, MSG_NOSIGNAL) == n)
		return fd;
	close(fd);
	return -1;
}

static void peer_accept(int fd, struct pollfd fds[PEER_CLIENTS_MAX])
{
	int client = accept(fd, NULL, NULL);

	for (int i = 2; i < PEER_CLIENTS_MAX; i++) {
		if (client >= 0 && fds[i].fd < 0) {
			fds[i].fd = client;
			return;
		}
	}
	close(client);
}

static int peer_serve(int port)
{
	struct pollfd fds[PEER_CLIENTS_MAX];

	for (int i = 0; i < PEER_CLIENTS_MAX; i++)
		fds[i] = (struct pollfd){ .fd = -1, .events = POLLIN };
	fds[0].fd = peer_bind(SOCK_STREAM, port);
	fds[1].fd = peer_bind(SOCK_DGRAM, port);
	for (;;) {
		if (poll(fds, PEER_CLIENTS_MAX, -1) < 0 && errno != EINTR)
			peer_fail("cannot wait");
		for (int i = 2; i < PEER_CLIENTS_MAX; i++) {
			if (fds[i].fd >= 0 && fds[i].revents)
				fds[i].fd = peer_echo_stream(fds[i].fd);
		}
		if (fds[0].revents)
			peer_accept(fds[0].fd, fds);
		if (fds[1].revents)
			peer_echo_datagram(fds[1].fd);
	}
}

/* --- tcp, udp, keep --- */

static int peer_connect(const char *address, const char *port, int type)
{
	const struct timeval timeout = { .tv_sec = PEER_TIMEOUT_S };
	struct sockaddr_in6 to = { .sin6_family = AF_INET6 };
	bool is_ipv4 = !strchr(address, ':');
	char text[INET6_ADDRSTRLEN];
	int fd = socket(AF_INET6, type, 0);

	/* ::ffff:192.0.2.1 makes an IPv4 packet. */
	snprintf(text, sizeof(text), "%s%s", is_ipv4 ? "::ffff:" : "", address);
	if (inet_pton(AF_INET6, text, &to.sin6_addr) != 1)
		peer_fail("no such address");
	to.sin6_port = htons((uint16_t)atoi(port));
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0 ||
	    connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		peer_fail("cannot connect");
	return fd;
}

static void peer_ask(int fd)
{
	static const char request[] = "ping";
	char answer[sizeof(request)];

	if (send(fd, request, sizeof(request), MSG_NOSIGNAL) != sizeof(request))
		peer_fail("cannot send");
	if (recv(fd, answer, sizeof(answer), MSG_WAITALL) != sizeof(answer) ||
	    memcmp(answer, request, sizeof(request)) != 0)
		peer_fail("no answer");
}

static unsigned int peer_sent_again(int fd)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len); /* of UDP there is none */
	return info.tcpi_total_retrans;
}

static void peer_print(uint64_t start_ms, unsigned int sent_again)
{
	printf("%llu %u\n", (unsigned long long)(peer_now_ms() - start_ms), sent_again);
}

static int peer_request(const char *address, const char *port, int type)
{
	uint64_t start_ms = peer_now_ms();
	int fd = peer_connect(address, port, type);
	unsigned int sent_again = peer_sent_again(fd);

	peer_ask(fd);
	peer_print(start_ms, sent_again);
	return 0;
}

static int peer_keep(const char *address, const char *port)
{
	int fd = peer_connect(address, port, SOCK_STREAM);
	unsigned int sent_again;
	uint64_t start_ms;

	peer_ask(fd);
	getchar();
	start_ms = peer_now_ms();
	sent_again = peer_sent_again(fd);
	peer_ask(fd);
	peer_print(start_ms, peer_sent_again(fd) - sent_again);
	return 0;
}

static int peer_probe(const char *address, const char *port)
{
	static const char request[] = "GET /healthz HTTP/1.1\r\nHost: server\r\n"
				      "User-Agent: kube-probe/1.36\r\nConnection: close\r\n\r\n";
	int fd = peer_connect(address, port, SOCK_STREAM);
	char answer[PEER_BYTES_MAX] = "";

	if (send(fd, request, strlen(request), MSG_NOSIGNAL) < 0 ||
	    recv(fd, answer, sizeof(answer) - 1, 0) <= 0)
		peer_fail("no answer");
	printf("%.*s\n", (int)strcspn(answer, "\r\n"), answer);
	return 0;
}

/* --- tun --- */

static int peer_open_tun(const char *name, const char *netns)
{
	struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	int ns = open(netns, O_RDONLY | O_CLOEXEC);
	int fd;

	if (ns < 0 || setns(ns, CLONE_NEWNET) < 0)
		peer_fail("cannot enter the network namespace");
	/* The interface will be in the namespace that this was opened in. */
	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	strncpy(request.ifr_name, name, IFNAMSIZ - 1);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0)
		peer_fail("cannot make a tun interface");
	close(ns);
	return fd;
}

static void peer_copy(int from, int to)
{
	char packet[PEER_BYTES_MAX];
	ssize_t n = read(from, packet, sizeof(packet));

	/* A wire loses what the other end does not take. */
	if (n > 0 && write(to, packet, (size_t)n) < 0)
		return;
}

static int peer_tun(const char *name, const char *netns_a, const char *netns_b)
{
	struct pollfd ends[2] = {
		{ .fd = peer_open_tun(name, netns_a), .events = POLLIN },
		{ .fd = peer_open_tun(name, netns_b), .events = POLLIN },
	};

	for (;;) {
		if (poll(ends, 2, -1) < 0 && errno != EINTR)
			peer_fail("cannot wait");
		for (int i = 0; i < 2; i++) {
			if (ends[i].revents)
				peer_copy(ends[i].fd, ends[!i].fd);
		}
	}
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "serve") == 0)
		return peer_serve(atoi(argv[2]));
	if (argc == 4 && strcmp(argv[1], "tcp") == 0)
		return peer_request(argv[2], argv[3], SOCK_STREAM);
	if (argc == 4 && strcmp(argv[1], "udp") == 0)
		return peer_request(argv[2], argv[3], SOCK_DGRAM);
	if (argc == 4 && strcmp(argv[1], "keep") == 0)
		return peer_keep(argv[2], argv[3]);
	if (argc == 4 && strcmp(argv[1], "probe") == 0)
		return peer_probe(argv[2], argv[3]);
	if (argc == 5 && strcmp(argv[1], "tun") == 0)
		return peer_tun(argv[2], argv[3], argv[4]);
	fputs("peer: see the top of peer.c\n", stderr);
	return 2;
}
