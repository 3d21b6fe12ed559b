// SPDX-License-Identifier: MIT
/*
 * A list for each port and family, filtered by the kernel; then a second look at the connections
 * whose times are ambiguous.
 */
#include "activity/sockdiag.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <stdbool.h>

#include "activity/sockdiag_answered.h"
#include "activity/sockdiag_message.h"
#include "base/log.h"
#include "base/netlink.h"
#include "base/util.h"

#define SOCKDIAG_STATE(state) (1U << BPF_TCP_##state)
#define SOCKDIAG_STATES                                                                            \
	(SOCKDIAG_STATE(SYN_RECV) | SOCKDIAG_STATE(ESTABLISHED) | SOCKDIAG_STATE(CLOSE_WAIT) |     \
	 SOCKDIAG_STATE(FIN_WAIT1) | SOCKDIAG_STATE(FIN_WAIT2))
#define SOCKDIAG_STATES_UPSTREAM (SOCKDIAG_STATE(ESTABLISHED) | SOCKDIAG_STATE(LISTEN))

/* Unconnected, or connected. */
#define SOCKDIAG_STATES_UDP (SOCKDIAG_STATE(CLOSE) | SOCKDIAG_STATE(ESTABLISHED))

#define SOCKDIAG_EVERY_PORT 0
#define SOCKDIAG_PORTS	    65536

#define SOCKDIAG_ENTRIES_MIN 64
#define SOCKDIAG_TRY_PORT    9 /* any would do */

struct sockdiag_entry {
	struct busy_socket socket;
	uint64_t cookie;
};

struct sockdiag {
	const struct netns *ns;
	/* Borrowed; NULL: not on this kernel, or without these rights. */
	struct sockdiag_answered *answered;
	struct sockdiag_entry *entries;
	size_t len, room;
};

static int sockdiag_on_message(const struct nlmsghdr *message, void *arg)
{
	struct sockdiag *sockdiag = arg;
	struct sockdiag_entry *entry;
	int r;

	if (sockdiag->len == sockdiag->room) {
		size_t room = sockdiag->room ? 2 * sockdiag->room : SOCKDIAG_ENTRIES_MIN;
		struct sockdiag_entry *grown = realloc(sockdiag->entries, room * sizeof(*grown));

		if (!grown)
			return MNL_CB_ERROR; /* errno is ENOMEM */
		sockdiag->entries = grown;
		sockdiag->room = room;
	}
	entry = &sockdiag->entries[sockdiag->len];
	r = sockdiag_message_parse(message, &entry->socket, &entry->cookie);
	if (r < 0) {
		errno = -r;
		return MNL_CB_ERROR;
	}
	sockdiag->len++;
	return MNL_CB_OK;
}

static int sockdiag_dump(struct sockdiag *sockdiag, uint8_t family, uint16_t port, uint32_t states)
{
	const struct inet_diag_req_v2 request = {
		.sdiag_family = family,
		.sdiag_protocol = IPPROTO_TCP,
		.idiag_ext = 1U << (INET_DIAG_INFO - 1),
		.idiag_states = states,
		.id.idiag_sport = htons(port),
	};

	return netlink_dump(NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, &request, sizeof(request),
			    sockdiag_on_message, sockdiag);
}

static bool sockdiag_is_ambiguous(const struct busy_socket *socket)
{
	return socket->answer == BUSY_ANSWER_UNKNOWN && socket->is_accepted && !socket->unacked;
}

static bool sockdiag_has_ambiguous(const struct sockdiag *sockdiag)
{
	for (size_t i = 0; i < sockdiag->len; i++) {
		if (sockdiag_is_ambiguous(&sockdiag->entries[i].socket))
			return true;
	}
	return false;
}

/* The second look. */
static void sockdiag_resolve(struct sockdiag *sockdiag)
{
	if (!sockdiag->answered || !sockdiag_has_ambiguous(sockdiag) ||
	    sockdiag_answered_look(sockdiag->answered) < 0)
		return;
	for (size_t i = 0; i < sockdiag->len; i++) {
		struct sockdiag_entry *entry = &sockdiag->entries[i];

		if (sockdiag_is_ambiguous(&entry->socket))
			entry->socket.answer = sockdiag_answered_has(sockdiag->answered,
								     entry->cookie)
						       ? BUSY_ANSWERED
						       : BUSY_NOT_ANSWERED;
	}
}

/* What is there now, by these local ports, in these states. */
static int sockdiag_look(struct sockdiag *sockdiag, const uint16_t *ports, size_t ports_len,
			 uint32_t states)
{
	int r = netns_enter(sockdiag->ns);

	if (r < 0)
		return r;
	sockdiag->len = 0;
	for (size_t i = 0; i < ports_len && r == 0; i++) {
		r = sockdiag_dump(sockdiag, AF_INET, ports[i], states);
		if (r == 0)
			r = sockdiag_dump(sockdiag, AF_INET6, ports[i], states);
	}
	if (r == 0)
		sockdiag_resolve(sockdiag);
	netns_leave(sockdiag->ns);
	if (r == -ENOENT)
		return log_err(r, "this kernel cannot tell which connections are busy: it needs "
				  "tcp_diag (CONFIG_INET_TCP_DIAG; modprobe tcp_diag)");
	return r < 0 ? log_err(r, "cannot list TCP connections") : 0;
}

int sockdiag_new(struct sockdiag **out, const struct netns *ns, struct sockdiag_answered *answered)
{
	static const uint16_t port = SOCKDIAG_TRY_PORT;
	_cleanup_(sockdiag_free) struct sockdiag *sockdiag = calloc(1, sizeof(*sockdiag));
	int r;

	if (!sockdiag)
		return log_err(-ENOMEM, "cannot set up sock_diag");
	*sockdiag = (struct sockdiag){ .ns = ns, .answered = answered };
	/* What is missing is better said now than at the first idle deadline. */
	r = sockdiag_look(sockdiag, &port, 1, SOCKDIAG_STATES);
	if (r < 0)
		return r;
	*out = TAKE_PTR(sockdiag);
	return 0;
}

void sockdiag_free(struct sockdiag **sockdiag)
{
	if (!*sockdiag)
		return;
	free((*sockdiag)->entries);
	free(*sockdiag);
	*sockdiag = NULL;
}

int sockdiag_list(struct sockdiag *sockdiag, const uint16_t *ports, size_t ports_len,
		  sockdiag_fn each, void *arg)
{
	int r = sockdiag_look(sockdiag, ports, ports_len, SOCKDIAG_STATES);

	for (size_t i = 0; r == 0 && i < sockdiag->len; i++)
		each(arg, &sockdiag->entries[i].socket);
	return r;
}

int sockdiag_list_upstream(struct sockdiag *sockdiag, sockdiag_fn each, void *arg)
{
	static const uint16_t every_port = SOCKDIAG_EVERY_PORT;
	uint8_t listening[SOCKDIAG_PORTS / 8] = { 0 }; /* a bit for each port */
	int r = sockdiag_look(sockdiag, &every_port, 1, SOCKDIAG_STATES_UPSTREAM);

	for (size_t i = 0; r == 0 && i < sockdiag->len; i++) {
		uint16_t port = ntohs(sockdiag->entries[i].socket.flow.dport_be);

		if (sockdiag->entries[i].socket.state == BPF_TCP_LISTEN)
			listening[port / 8] |= (uint8_t)(1U << port % 8);
	}
	for (size_t i = 0; r == 0 && i < sockdiag->len; i++) {
		uint16_t port = ntohs(sockdiag->entries[i].socket.flow.dport_be);

		if (!(listening[port / 8] & 1U << port % 8))
			each(arg, &sockdiag->entries[i].socket);
	}
	return r;
}

static int sockdiag_on_listener(const struct nlmsghdr *message, void *arg)
{
	bool *is_there = arg;

	(void)message;
	*is_there = true;
	return MNL_CB_OK;
}

int sockdiag_is_listening(struct sockdiag *sockdiag, uint16_t port, uint8_t protocol)
{
	bool is_udp = protocol == IPPROTO_UDP, is_there = false;
	struct inet_diag_req_v2 request = {
		.sdiag_protocol = protocol,
		.idiag_states = is_udp ? SOCKDIAG_STATES_UDP : SOCKDIAG_STATE(LISTEN),
		.id.idiag_sport = htons(port),
	};
	static const uint8_t families[] = { AF_INET, AF_INET6 };
	int r = netns_enter(sockdiag->ns);

	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_LEN(families) && r == 0 && !is_there; i++) {
		request.sdiag_family = families[i];
		r = netlink_dump(NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, &request, sizeof(request),
				 sockdiag_on_listener, &is_there);
	}
	netns_leave(sockdiag->ns);
	if (r < 0 && !(is_udp && r == -ENOENT))
		log_warn_err(r, "cannot see who listens on port '%u'", port);
	return r < 0 ? r : is_there;
}
