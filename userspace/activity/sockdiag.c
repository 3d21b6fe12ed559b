// SPDX-License-Identifier: MIT
/*
 * A dump for each port and family, filtered by the kernel; then a second look at the connections
 * whose times are ambiguous.
 */
#include "activity/sockdiag.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/bpf.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <stdbool.h>
#include <string.h>

#include "activity/sockdiag_answered.h"
#include "activity/sockdiag_message.h"
#include "base/log.h"
#include "base/util.h"

#define SOCKDIAG_STATE(state) (1U << BPF_TCP_##state)
#define SOCKDIAG_STATES                                                                            \
	(SOCKDIAG_STATE(SYN_RECV) | SOCKDIAG_STATE(ESTABLISHED) | SOCKDIAG_STATE(CLOSE_WAIT) |     \
	 SOCKDIAG_STATE(FIN_WAIT1) | SOCKDIAG_STATE(FIN_WAIT2))
#define SOCKDIAG_STATES_UPSTREAM (SOCKDIAG_STATE(ESTABLISHED) | SOCKDIAG_STATE(LISTEN))

#define SOCKDIAG_EVERY_PORT 0
#define SOCKDIAG_PORTS	    65536

/* The kernel fills no more than this in one datagram of a dump. */
#define SOCKDIAG_BUFFER_LEN 32768

#define SOCKDIAG_TIMEOUT_S   1
#define SOCKDIAG_TRIES	     4
#define SOCKDIAG_ENTRIES_MIN 64
#define SOCKDIAG_TRY_PORT    9 /* any would do */

struct sockdiag_entry {
	struct busy_socket socket;
	uint64_t cookie;
};

struct sockdiag {
	const struct netns *ns;
	/* NULL: to be opened again, after a dump that was not read to its end. */
	struct mnl_socket *nl;
	/* Borrowed; NULL: not on this kernel, or without these rights. */
	struct sockdiag_answered *answered;
	uint32_t seq;	     /* of the dump that runs */
	bool is_interrupted; /* connections came and went during it: something may be missing */
	int error;	     /* what the kernel has said of it, or 0 */
	struct sockdiag_entry *entries;
	size_t len, room;
};

static void sockdiag_close(struct sockdiag *sockdiag)
{
	if (sockdiag->nl)
		mnl_socket_close(sockdiag->nl);
	sockdiag->nl = NULL;
}

/* A socket stays with the namespace that it is made in. */
static int sockdiag_open(struct sockdiag *sockdiag)
{
	const struct timeval timeout = { .tv_sec = SOCKDIAG_TIMEOUT_S };
	int r = netns_enter(sockdiag->ns);

	if (r < 0)
		return r;
	sockdiag->nl = mnl_socket_open2(NETLINK_SOCK_DIAG, SOCK_CLOEXEC);
	r = sockdiag->nl ? 0 : -errno;
	netns_leave(sockdiag->ns);
	if (r < 0)
		return log_err(r, "cannot open a sock_diag socket");
	if (setsockopt(mnl_socket_get_fd(sockdiag->nl), SOL_SOCKET, SO_RCVTIMEO, &timeout,
		       sizeof(timeout)) == 0 &&
	    mnl_socket_bind(sockdiag->nl, 0, MNL_SOCKET_AUTOPID) == 0)
		return 0;
	r = -errno;
	sockdiag_close(sockdiag);
	return log_err(r, "cannot set up the sock_diag socket");
}

void sockdiag_free(struct sockdiag **sockdiag)
{
	if (!*sockdiag)
		return;
	sockdiag_close(*sockdiag);
	free((*sockdiag)->entries);
	free(*sockdiag);
	*sockdiag = NULL;
}

/* --- one dump --- */

static int sockdiag_add(struct sockdiag *sockdiag, const struct nlmsghdr *message)
{
	struct sockdiag_entry *entry;
	int r;

	if (sockdiag->len == sockdiag->room) {
		size_t room = sockdiag->room ? 2 * sockdiag->room : SOCKDIAG_ENTRIES_MIN;
		struct sockdiag_entry *grown = realloc(sockdiag->entries, room * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		sockdiag->entries = grown;
		sockdiag->room = room;
	}
	entry = &sockdiag->entries[sockdiag->len];
	r = sockdiag_message_parse(message, &entry->socket, &entry->cookie);
	if (r == 0)
		sockdiag->len++;
	return r;
}

/* The kernel's verdict on a request, or on a dump at its end: an int, 0 or -errno. */
static int sockdiag_status(const struct nlmsghdr *message)
{
	int status;

	if (mnl_nlmsg_get_payload_len(message) < sizeof(status))
		return message->nlmsg_type == NLMSG_DONE ? 0 : -EBADMSG;
	memcpy(&status, mnl_nlmsg_get_payload(message), sizeof(status));
	return status < 0 ? status : 0;
}

/* Whether the dump has ended. */
static bool sockdiag_take(struct sockdiag *sockdiag, const struct nlmsghdr *message)
{
	bool has_ended = message->nlmsg_type == NLMSG_DONE || message->nlmsg_type == NLMSG_ERROR;
	int r = 0;

	if (message->nlmsg_seq != sockdiag->seq)
		return false; /* of an earlier dump */
	if (message->nlmsg_flags & NLM_F_DUMP_INTR)
		sockdiag->is_interrupted = true;
	if (has_ended)
		r = sockdiag_status(message);
	else if (message->nlmsg_type >= NLMSG_MIN_TYPE)
		r = sockdiag_add(sockdiag, message);
	if (r < 0)
		sockdiag->error = r;
	return has_ended;
}

/* 1: the dump has ended. */
static int sockdiag_receive(struct sockdiag *sockdiag)
{
	_Alignas(struct nlmsghdr) char buffer[SOCKDIAG_BUFFER_LEN];
	ssize_t n = mnl_socket_recvfrom(sockdiag->nl, buffer, sizeof(buffer));
	const struct nlmsghdr *message = (const struct nlmsghdr *)buffer;
	int left = (int)n;

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
		if (sockdiag_take(sockdiag, message))
			return 1;
	}
	return 0;
}

/* What a dump is asked for. */
struct sockdiag_query {
	uint8_t family;
	uint16_t port; /* the local one; SOCKDIAG_EVERY_PORT */
	uint32_t states;
};

static int sockdiag_request(struct sockdiag *sockdiag, const struct sockdiag_query *query)
{
	char buffer[MNL_NLMSG_HDRLEN + MNL_ALIGN(sizeof(struct inet_diag_req_v2))]
		__attribute__((aligned(4)));
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
	struct inet_diag_req_v2 *request;

	message->nlmsg_type = SOCK_DIAG_BY_FAMILY;
	message->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	message->nlmsg_seq = ++sockdiag->seq;
	request = mnl_nlmsg_put_extra_header(message, sizeof(*request));
	request->sdiag_family = query->family;
	request->sdiag_protocol = IPPROTO_TCP;
	request->idiag_ext = 1U << (INET_DIAG_INFO - 1);
	request->idiag_states = query->states;
	request->id.idiag_sport = htons(query->port);
	return mnl_socket_sendto(sockdiag->nl, message, message->nlmsg_len) < 0 ? -errno : 0;
}

static int sockdiag_dump_once(struct sockdiag *sockdiag, const struct sockdiag_query *query)
{
	int r = sockdiag_request(sockdiag, query);

	sockdiag->error = 0;
	sockdiag->is_interrupted = false;
	while (r == 0)
		r = sockdiag_receive(sockdiag);
	if (r < 0) {
		sockdiag_close(sockdiag); /* what is left of the dump goes with it */
		return r;
	}
	return sockdiag->error;
}

static int sockdiag_dump(struct sockdiag *sockdiag, const struct sockdiag_query *query)
{
	size_t len = sockdiag->len;
	int r, tries = 0;

	do {
		sockdiag->len = len; /* what an interrupted dump has found is found again */
		r = sockdiag_dump_once(sockdiag, query);
		if (r < 0 || !sockdiag->is_interrupted)
			return r;
	} while (++tries < SOCKDIAG_TRIES);
	return -EAGAIN;
}

static int sockdiag_dump_families(struct sockdiag *sockdiag, uint16_t port, uint32_t states)
{
	struct sockdiag_query query = { .family = AF_INET, .port = port, .states = states };
	int r = sockdiag_dump(sockdiag, &query);

	query.family = AF_INET6;
	return r < 0 ? r : sockdiag_dump(sockdiag, &query);
}

/* --- the second look --- */

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

static void sockdiag_resolve(struct sockdiag *sockdiag)
{
	int r;

	if (!sockdiag->answered || !sockdiag_has_ambiguous(sockdiag) ||
	    netns_enter(sockdiag->ns) < 0)
		return;
	r = sockdiag_answered_look(sockdiag->answered);
	netns_leave(sockdiag->ns);
	for (size_t i = 0; r == 0 && i < sockdiag->len; i++) {
		struct sockdiag_entry *entry = &sockdiag->entries[i];

		if (sockdiag_is_ambiguous(&entry->socket))
			entry->socket.answer = sockdiag_answered_has(sockdiag->answered,
								     entry->cookie)
						       ? BUSY_ANSWERED
						       : BUSY_NOT_ANSWERED;
	}
}

int sockdiag_new(struct sockdiag **out, const struct netns *ns, struct sockdiag_answered *answered)
{
	_cleanup_(sockdiag_free) struct sockdiag *sockdiag = calloc(1, sizeof(*sockdiag));
	int r;

	if (!sockdiag)
		return log_err(-ENOMEM, "cannot set up sock_diag");
	sockdiag->ns = ns;
	sockdiag->answered = answered;
	r = sockdiag_open(sockdiag);
	if (r < 0)
		return r;
	/* What is missing is better said now than at the first idle deadline. */
	r = sockdiag_dump_families(sockdiag, SOCKDIAG_TRY_PORT, SOCKDIAG_STATES);
	if (r == -ENOENT)
		return log_err(r, "this kernel cannot tell which connections are busy: it needs "
				  "tcp_diag (CONFIG_INET_TCP_DIAG; modprobe tcp_diag)");
	if (r < 0)
		return log_err(r, "cannot list TCP connections");
	*out = TAKE_PTR(sockdiag);
	return 0;
}

int sockdiag_list(struct sockdiag *sockdiag, const uint16_t *ports, size_t ports_len,
		  sockdiag_fn each, void *arg)
{
	int r = sockdiag->nl ? 0 : sockdiag_open(sockdiag);

	if (r < 0)
		return r;
	sockdiag->len = 0;
	for (size_t i = 0; i < ports_len && r == 0; i++)
		r = sockdiag_dump_families(sockdiag, ports[i], SOCKDIAG_STATES);
	if (r < 0)
		return log_err(r, "cannot list the target's connections");
	sockdiag_resolve(sockdiag);
	for (size_t i = 0; i < sockdiag->len; i++)
		each(arg, &sockdiag->entries[i].socket);
	return 0;
}

int sockdiag_list_upstream(struct sockdiag *sockdiag, sockdiag_fn each, void *arg)
{
	uint8_t listening[SOCKDIAG_PORTS / 8] = { 0 }; /* a bit for each port */
	int r = sockdiag->nl ? 0 : sockdiag_open(sockdiag);

	if (r < 0)
		return r;
	sockdiag->len = 0;
	r = sockdiag_dump_families(sockdiag, SOCKDIAG_EVERY_PORT, SOCKDIAG_STATES_UPSTREAM);
	if (r < 0)
		return log_err(r, "cannot list the target's own connections");
	sockdiag_resolve(sockdiag);
	for (size_t i = 0; i < sockdiag->len; i++) {
		uint16_t port = ntohs(sockdiag->entries[i].socket.flow.dport_be);

		if (sockdiag->entries[i].socket.state == BPF_TCP_LISTEN)
			listening[port / 8] |= (uint8_t)(1U << port % 8);
	}
	for (size_t i = 0; i < sockdiag->len; i++) {
		uint16_t port = ntohs(sockdiag->entries[i].socket.flow.dport_be);

		if (!(listening[port / 8] & 1U << port % 8))
			each(arg, &sockdiag->entries[i].socket);
	}
	return 0;
}
