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
#include <linux/tcp.h>
#include <stdbool.h>
#include <string.h>

#include "activity/sockdiag_answered.h"
#include "base/address.h"
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

/* tcp_info has grown at its end; all kernels that we run on have as much of it. */
#define SOCKDIAG_INFO_LEN                                                                          \
	(offsetof(struct tcp_info, tcpi_data_segs_out) +                                           \
	 sizeof(((struct tcp_info *)0)->tcpi_data_segs_out))

struct sockdiag_entry {
	struct busy_socket socket;
	uint64_t cookie;
};

struct sockdiag {
	const struct netns *ns;
	struct mnl_socket
		*nl; /* NULL: to be opened again, after a dump that was not read to its end */
	struct sockdiag_answered
		*answered;   /* borrowed; NULL: not on this kernel, or without these rights */
	uint32_t seq;	     /* of the dump that runs */
	bool is_interrupted; /* it does not show one moment, and something may be missing */
	int error;	     /* what befell it */
	struct sockdiag_entry *entries;
	size_t len, room;
};

static void sockdiag_close(struct sockdiag *s)
{
	if (s->nl)
		mnl_socket_close(s->nl);
	s->nl = NULL;
}

/* It stays with the namespace that it is made in. */
static int sockdiag_make_socket(struct sockdiag *s)
{
	int r = netns_enter(s->ns);

	if (r < 0)
		return r;
	s->nl = mnl_socket_open2(NETLINK_SOCK_DIAG, SOCK_CLOEXEC);
	r = s->nl ? 0 : -errno;
	netns_leave(s->ns);
	return r < 0 ? log_err(r, "cannot open a sock_diag socket") : 0;
}

static int sockdiag_open(struct sockdiag *s)
{
	const struct timeval timeout = { .tv_sec = SOCKDIAG_TIMEOUT_S };
	int r = sockdiag_make_socket(s);

	if (r < 0)
		return r;
	if (setsockopt(mnl_socket_get_fd(s->nl), SOL_SOCKET, SO_RCVTIMEO, &timeout,
		       sizeof(timeout)) == 0 &&
	    mnl_socket_bind(s->nl, 0, MNL_SOCKET_AUTOPID) == 0)
		return 0;
	r = -errno;
	sockdiag_close(s);
	return log_err(r, "cannot set up the sock_diag socket");
}

void sockdiag_free(struct sockdiag **s)
{
	if (!*s)
		return;
	sockdiag_close(*s);
	free((*s)->entries);
	free(*s);
	*s = NULL;
}

/* One message. */

static void sockdiag_copy_flow(struct gate_flow *out, const struct inet_diag_msg *diag)
{
	*out = (struct gate_flow){
		.sport_be = diag->id.idiag_dport,
		.dport_be = diag->id.idiag_sport,
		.protocol = IPPROTO_TCP,
	};
	out->saddr = address_make(diag->idiag_family, diag->id.idiag_dst);
	out->daddr = address_make(diag->idiag_family, diag->id.idiag_src);
}

/*
 * The times are those of ticks: equal ones do not tell which came first, of the last payload and
 * the last data sent.
 */
static enum busy_answer sockdiag_answer(const struct busy_socket *socket)
{
	if (!socket->has_received)
		return BUSY_ANSWERED;
	if (socket->since_sent_ms == socket->since_received_ms)
		return BUSY_ANSWER_UNKNOWN;
	return socket->since_sent_ms < socket->since_received_ms ? BUSY_ANSWERED
								 : BUSY_NOT_ANSWERED;
}

/* A FIN is received as a byte. The time of the handshake stands for that of data never sent. */
static void sockdiag_copy_info(struct busy_socket *out, const struct tcp_info *info)
{
	out->has_received = info->tcpi_bytes_received > (out->state == BPF_TCP_CLOSE_WAIT ? 1 : 0);
	out->since_received_ms = info->tcpi_last_data_recv;
	out->since_sent_ms = info->tcpi_data_segs_out ? info->tcpi_last_data_sent : UINT64_MAX;
	out->answer = sockdiag_answer(out);
}

/* The attribute of that type, or NULL: it is missing, or too short. */
static const void *sockdiag_attribute(const struct nlmsghdr *message, uint16_t type, size_t len)
{
	const struct nlattr *attribute;

	mnl_attr_for_each(attribute, message, sizeof(struct inet_diag_msg))
	{
		if (mnl_attr_get_type(attribute) == type &&
		    mnl_attr_get_payload_len(attribute) >= len)
			return mnl_attr_get_payload(attribute);
	}
	return NULL;
}

int sockdiag_parse(const struct nlmsghdr *message, struct busy_socket *out, uint64_t *cookie)
{
	const struct inet_diag_msg *diag = mnl_nlmsg_get_payload(message);
	struct tcp_info info = { 0 };
	const void *bytes;

	if (message->nlmsg_len < MNL_NLMSG_HDRLEN + sizeof(*diag) ||
	    message->nlmsg_type != SOCK_DIAG_BY_FAMILY)
		return -EBADMSG;
	if (diag->idiag_family != AF_INET && diag->idiag_family != AF_INET6)
		return -EBADMSG;
	*out = (struct busy_socket){
		.state = diag->idiag_state,
		.is_accepted = diag->idiag_inode != 0,
		.has_received = true, /* until it is known to be otherwise */
		.unread = diag->idiag_rqueue,
		.unacked = diag->idiag_wqueue,
		.answer = BUSY_ANSWER_UNKNOWN,
	};
	sockdiag_copy_flow(&out->flow, diag);
	*cookie = (uint64_t)diag->id.idiag_cookie[1] << 32 | diag->id.idiag_cookie[0];
	bytes = sockdiag_attribute(message, INET_DIAG_INFO, SOCKDIAG_INFO_LEN);
	if (bytes) {
		memcpy(&info, bytes, SOCKDIAG_INFO_LEN);
		sockdiag_copy_info(out, &info);
	}
	return 0;
}

/* What a dump is asked for. */
struct sockdiag_query {
	uint8_t family;
	uint16_t port; /* the local one; SOCKDIAG_EVERY_PORT */
	uint32_t states;
};

/* One dump. */

static int sockdiag_make_room(struct sockdiag *s)
{
	size_t room = s->room ? 2 * s->room : SOCKDIAG_ENTRIES_MIN;
	struct sockdiag_entry *grown;

	if (s->len < s->room)
		return 0;
	grown = realloc(s->entries, room * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	s->entries = grown;
	s->room = room;
	return 0;
}

static int sockdiag_add(struct sockdiag *s, const struct nlmsghdr *message)
{
	struct sockdiag_entry *entry;
	int r = sockdiag_make_room(s);

	if (r < 0)
		return r;
	entry = &s->entries[s->len];
	r = sockdiag_parse(message, &entry->socket, &entry->cookie);
	if (r == 0)
		s->len++;
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
static bool sockdiag_take(struct sockdiag *s, const struct nlmsghdr *message)
{
	int r;

	if (message->nlmsg_seq != s->seq)
		return false; /* of a dump before */
	if (message->nlmsg_flags & NLM_F_DUMP_INTR)
		s->is_interrupted = true;
	if (message->nlmsg_type == NLMSG_DONE || message->nlmsg_type == NLMSG_ERROR) {
		r = sockdiag_status(message);
		s->error = r < 0 ? r : s->error;
		return true;
	}
	if (message->nlmsg_type < NLMSG_MIN_TYPE)
		return false;
	r = sockdiag_add(s, message);
	s->error = r < 0 ? r : s->error;
	return false;
}

/* 1: the dump has ended. */
static int sockdiag_receive(struct sockdiag *s)
{
	_Alignas(struct nlmsghdr) char buffer[SOCKDIAG_BUFFER_LEN];
	ssize_t n = mnl_socket_recvfrom(s->nl, buffer, sizeof(buffer));
	const struct nlmsghdr *message = (const struct nlmsghdr *)buffer;
	int left = (int)n;

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
		if (sockdiag_take(s, message))
			return 1;
	}
	return 0;
}

static int sockdiag_request(struct sockdiag *s, const struct sockdiag_query *query)
{
	char buffer[MNL_NLMSG_HDRLEN + MNL_ALIGN(sizeof(struct inet_diag_req_v2))]
		__attribute__((aligned(4)));
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
	struct inet_diag_req_v2 *request;

	message->nlmsg_type = SOCK_DIAG_BY_FAMILY;
	message->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	message->nlmsg_seq = ++s->seq;
	request = mnl_nlmsg_put_extra_header(message, sizeof(*request));
	request->sdiag_family = query->family;
	request->sdiag_protocol = IPPROTO_TCP;
	request->idiag_ext = 1U << (INET_DIAG_INFO - 1);
	request->idiag_states = query->states;
	request->id.idiag_sport = htons(query->port);
	return mnl_socket_sendto(s->nl, message, message->nlmsg_len) < 0 ? -errno : 0;
}

static int sockdiag_dump_once(struct sockdiag *s, const struct sockdiag_query *query)
{
	int r = sockdiag_request(s, query);

	s->error = 0;
	s->is_interrupted = false;
	while (r == 0)
		r = sockdiag_receive(s);
	if (r < 0) {
		sockdiag_close(s); /* what is left of the dump goes with it */
		return r;
	}
	return s->error;
}

static int sockdiag_dump(struct sockdiag *s, const struct sockdiag_query *query)
{
	size_t len = s->len;
	int r, tries = 0;

	do { /* what an interrupted one has found is found again */
		s->len = len;
		r = sockdiag_dump_once(s, query);
		if (r < 0 || !s->is_interrupted)
			return r;
	} while (++tries < SOCKDIAG_TRIES);
	return -EAGAIN;
}

static int sockdiag_dump_families(struct sockdiag *s, uint16_t port, uint32_t states)
{
	struct sockdiag_query query = { .family = AF_INET, .port = port, .states = states };
	int r = sockdiag_dump(s, &query);

	query.family = AF_INET6;
	return r < 0 ? r : sockdiag_dump(s, &query);
}

static int sockdiag_dump_all(struct sockdiag *s, const uint16_t *ports, size_t ports_len)
{
	int r = 0;

	s->len = 0;
	for (size_t i = 0; i < ports_len && r == 0; i++)
		r = sockdiag_dump_families(s, ports[i], SOCKDIAG_STATES);
	return r;
}

/* The second look. */

static bool sockdiag_is_ambiguous(const struct busy_socket *socket)
{
	return socket->answer == BUSY_ANSWER_UNKNOWN && socket->is_accepted && !socket->unacked;
}

static bool sockdiag_has_ambiguous(const struct sockdiag *s)
{
	for (size_t i = 0; i < s->len; i++) {
		if (sockdiag_is_ambiguous(&s->entries[i].socket))
			return true;
	}
	return false;
}

static int sockdiag_look_again(const struct sockdiag *s)
{
	int r = netns_enter(s->ns);

	if (r < 0)
		return r;
	r = sockdiag_answered_look(s->answered);
	netns_leave(s->ns);
	return r;
}

static void sockdiag_resolve(struct sockdiag *s)
{
	if (!s->answered || !sockdiag_has_ambiguous(s) || sockdiag_look_again(s) < 0)
		return;
	for (size_t i = 0; i < s->len; i++) {
		struct sockdiag_entry *entry = &s->entries[i];

		if (sockdiag_is_ambiguous(&entry->socket))
			entry->socket.answer = sockdiag_answered_has(s->answered, entry->cookie)
						       ? BUSY_ANSWERED
						       : BUSY_NOT_ANSWERED;
	}
}

/* Better said now than at the first idle deadline. */
static int sockdiag_try(struct sockdiag *s)
{
	const uint16_t port = SOCKDIAG_TRY_PORT;
	int r = sockdiag_dump_all(s, &port, 1);

	if (r == -ENOENT)
		return log_err(r, "this kernel cannot tell which connections are busy: it needs "
				  "tcp_diag (CONFIG_INET_TCP_DIAG; modprobe tcp_diag)");
	return r < 0 ? log_err(r, "cannot list TCP connections") : 0;
}

int sockdiag_new(struct sockdiag **out, const struct netns *ns, struct sockdiag_answered *answered)
{
	_cleanup_(sockdiag_free) struct sockdiag *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return log_err(-ENOMEM, "cannot set up sock_diag");
	s->ns = ns;
	s->answered = answered;
	r = sockdiag_open(s);
	if (r == 0)
		r = sockdiag_try(s);
	if (r < 0)
		return r;
	*out = TAKE_PTR(s);
	return 0;
}

int sockdiag_list(struct sockdiag *s, const uint16_t *ports, size_t ports_len, sockdiag_fn each,
		  void *arg)
{
	int r = s->nl ? 0 : sockdiag_open(s);

	if (r < 0)
		return r;
	r = sockdiag_dump_all(s, ports, ports_len);
	if (r < 0)
		return log_err(r, "cannot list the target's connections");
	sockdiag_resolve(s);
	for (size_t i = 0; i < s->len; i++)
		each(arg, &s->entries[i].socket);
	return 0;
}

/* A bit for each port that somebody listens on. */
static void sockdiag_find_listening(const struct sockdiag *s, uint8_t listening[SOCKDIAG_PORTS / 8])
{
	for (size_t i = 0; i < s->len; i++) {
		uint16_t port = ntohs(s->entries[i].socket.flow.dport_be);

		if (s->entries[i].socket.state == BPF_TCP_LISTEN)
			listening[port / 8] |= (uint8_t)(1U << port % 8);
	}
}

int sockdiag_list_upstream(struct sockdiag *s, sockdiag_fn each, void *arg)
{
	uint8_t listening[SOCKDIAG_PORTS / 8] = { 0 };
	int r = s->nl ? 0 : sockdiag_open(s);

	if (r < 0)
		return r;
	s->len = 0;
	r = sockdiag_dump_families(s, SOCKDIAG_EVERY_PORT, SOCKDIAG_STATES_UPSTREAM);
	if (r < 0)
		return log_err(r, "cannot list the target's own connections");
	sockdiag_resolve(s);
	sockdiag_find_listening(s, listening);
	for (size_t i = 0; i < s->len; i++) {
		uint16_t port = ntohs(s->entries[i].socket.flow.dport_be);

		if (!(listening[port / 8] & 1U << port % 8))
			each(arg, &s->entries[i].socket);
	}
	return 0;
}
