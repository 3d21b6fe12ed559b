// SPDX-License-Identifier: MIT
/*
 * Fuzzes what is read of the kernel's lists: addresses, routes, interfaces, sockets. The fuzzer
 * plays libmnl's socket: each datagram is messages whose headers are mostly right.
 *
 * An input is a byte that says who asks, then messages: a byte of its kind, a byte of its length,
 * and its payload.
 */
#include <errno.h>
#include <event2/event.h>
#include <linux/rtnetlink.h>
#include <sanitizer/asan_interface.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "activity/sockdiag.h"
#include "base/log.h"
#include "base/netlink.h"
#include "base/netns.h"
#include "base/netns_addresses.h"
#include "base/netns_route.h"
#include "base/util.h"
#include "gate/interfaces.h"
#include "pod/netns_gateways.h"

#define FOUND_MAX 4
#define USED_MAX  64

#define FUZZ_CHECK(claim)                                                                          \
	do {                                                                                       \
		if (!(claim))                                                                      \
			__builtin_trap();                                                          \
	} while (0)

static struct {
	const uint8_t *at, *end;
	int event_fd;
	struct event_base *base;
	void *poisoned; /* the rest of the reader's buffer */
	size_t poisoned_len;
	unsigned int used[USED_MAX]; /* interfaces */
	size_t used_len;
} played;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* --- instead of libmnl's socket --- */

struct mnl_socket *mnl_socket_open2(int bus, int flags)
{
	(void)bus;
	(void)flags;
	return (struct mnl_socket *)&played;
}

int mnl_socket_bind(struct mnl_socket *nl, unsigned int groups, pid_t pid)
{
	(void)nl;
	(void)groups;
	(void)pid;
	return 0;
}

int mnl_socket_get_fd(const struct mnl_socket *nl)
{
	(void)nl;
	return played.event_fd;
}

ssize_t mnl_socket_sendto(const struct mnl_socket *nl, const void *buf, size_t len)
{
	(void)nl;
	(void)buf;
	return (ssize_t)len;
}

static void unpoison(void)
{
	if (played.poisoned)
		ASAN_UNPOISON_MEMORY_REGION(played.poisoned, played.poisoned_len);
	played.poisoned = NULL;
}

int mnl_socket_close(struct mnl_socket *nl)
{
	(void)nl;
	unpoison();
	return 0;
}

static uint8_t take(void)
{
	return played.at < played.end ? *played.at++ : 0;
}

static uint16_t type_of(uint8_t kind)
{
	static const uint16_t types[] = {
		RTM_NEWADDR, RTM_NEWROUTE, RTM_NEWLINK, 20 /* SOCK_DIAG_BY_FAMILY */,
		NLMSG_ERROR, NLMSG_DONE,   NLMSG_NOOP,	RTM_DELLINK,
	};

	return types[kind % ARRAY_LEN(types)];
}

/* One message; a length that is wrong is made so by a kind above 127. */
static size_t put_message(char *out, size_t room)
{
	uint8_t kind = take();
	size_t len = min_u64(take(), (uint64_t)(played.end - played.at));
	size_t whole = NLMSG_ALIGN(NLMSG_HDRLEN + len);
	struct nlmsghdr header = {
		.nlmsg_len = (uint32_t)(NLMSG_HDRLEN + len),
		.nlmsg_type = type_of(kind & 7),
		.nlmsg_flags = kind & 8 ? NLM_F_MULTI | NLM_F_DUMP_INTR : NLM_F_MULTI,
		.nlmsg_seq = (kind & 0x30) == 0x30 ? 9 : 1,
	};

	if (whole > room)
		return 0;
	if (kind & 0x80)
		header.nlmsg_len += kind & 0x40 ? 5 : (uint32_t)-5;
	memset(out, 0, whole);
	memcpy(out, &header, sizeof(header));
	memcpy(out + NLMSG_HDRLEN, played.at, len);
	played.at += len;
	return whole;
}

/* Up to three messages; at the input's end nothing more comes. */
ssize_t mnl_socket_recvfrom(const struct mnl_socket *nl, void *buf, size_t size)
{
	size_t len = 0;

	(void)nl;
	unpoison();
	if (played.at == played.end) {
		errno = EAGAIN;
		return -1;
	}
	for (int i = 0; i < 3 && played.at < played.end; i++)
		len += put_message((char *)buf + len, size - len);
	played.poisoned = (char *)buf + len;
	played.poisoned_len = size - len;
	ASAN_POISON_MEMORY_REGION(played.poisoned, played.poisoned_len);
	return (ssize_t)len;
}

int netns_enter(const struct netns *ns)
{
	(void)ns;
	return 0;
}

void netns_leave(const struct netns *ns)
{
	(void)ns;
}

/* --- who asks --- */

static int on_appeared(void *arg, unsigned int ifindex, const char *name)
{
	(void)arg;
	FUZZ_CHECK(strlen(name) < 16);
	for (size_t i = 0; i < played.used_len; i++)
		FUZZ_CHECK(played.used[i] != ifindex);
	if (played.used_len == USED_MAX)
		return -ENOSPC;
	played.used[played.used_len++] = ifindex;
	return 0;
}

static void on_gone(void *arg, unsigned int ifindex, const char *name)
{
	(void)arg;
	(void)name;
	for (size_t i = 0; i < played.used_len; i++) {
		if (played.used[i] == ifindex) {
			played.used[i] = played.used[--played.used_len];
			return;
		}
	}
	FUZZ_CHECK(false);
}

static void ask_for_interfaces(const struct netns *ns)
{
	const struct interfaces_settings settings = { .appeared = on_appeared, .gone = on_gone };
	struct interfaces *interfaces = NULL;

	if (interfaces_new(&interfaces, played.base, ns, &settings) == 0)
		event_base_loop(played.base, EVLOOP_NONBLOCK);
	interfaces_free(&interfaces);
}

static void on_socket(void *arg, const struct busy_socket *socket)
{
	(void)arg;
	FUZZ_CHECK(socket);
}

static void ask_for_sockets(const struct netns *ns, bool is_upstream)
{
	const uint16_t ports[] = { 8080, 9090 };
	struct sockdiag *sockdiag = NULL;

	if (sockdiag_new(&sockdiag, ns, NULL) < 0)
		return;
	if (is_upstream)
		sockdiag_list_upstream(sockdiag, on_socket, NULL);
	else
		sockdiag_list(sockdiag, ports, ARRAY_LEN(ports), on_socket, NULL);
	sockdiag_free(&sockdiag);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct netns ns = NETNS_NONE;
	const struct gate_flow flow = { .protocol = 6 };
	struct gate_addr found[FOUND_MAX];

	if (!size)
		return 0;
	log_set_level(LOG_LEVEL_ERROR);
	if (!played.base) {
		played.base = event_base_new();
		played.event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	}
	played.at = data + 1;
	played.end = data + size;
	played.used_len = 0;
	if (data[0] % 6 == 0)
		FUZZ_CHECK(netns_addresses_list(&ns, found, FOUND_MAX) <= FOUND_MAX);
	else if (data[0] % 6 == 1)
		FUZZ_CHECK(netns_gateways_list(&ns, found, FOUND_MAX) <= FOUND_MAX);
	else if (data[0] % 6 == 2)
		netns_route_is_local(&ns, &flow, 7);
	else if (data[0] % 6 == 3)
		ask_for_interfaces(&ns);
	else
		ask_for_sockets(&ns, data[0] % 6 == 4);
	unpoison();
	return 0;
}
