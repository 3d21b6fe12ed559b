// SPDX-License-Identifier: MIT
/* Dumps with libmnl. Each has a socket of its own: what is left of an answer goes with it. */
#include "base/netlink.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/util.h"

/* The kernel fills no more than this in one datagram of a dump. */
#define NETLINK_BUFFER_LEN 32768

#define NETLINK_TIMEOUT_S 1
#define NETLINK_TRIES	  4
#define NETLINK_SEQ	  1
#define NETLINK_ERRNO_MAX 4095 /* the kernel's MAX_ERRNO */

struct netlink_answer {
	size_t header_len;
	mnl_cb_t each;
	void *arg;
};

static int netlink_on_message(const struct nlmsghdr *message, void *arg)
{
	const struct netlink_answer *answer = arg;

	if (mnl_nlmsg_get_payload_len(message) < answer->header_len)
		return MNL_CB_OK;
	return answer->each(message, answer->arg);
}

/*
 * The verdict on the request, or on the list at its end: an int, 0 or -errno. libmnl does not look
 * at the one at the end.
 */
static int netlink_on_end(const struct nlmsghdr *message, void *arg)
{
	int status = 0;

	(void)arg;
	if (mnl_nlmsg_get_payload_len(message) >= sizeof(status))
		memcpy(&status, mnl_nlmsg_get_payload(message), sizeof(status));
	else if (message->nlmsg_type == NLMSG_ERROR)
		status = -EBADMSG;
	if (status < -NETLINK_ERRNO_MAX)
		status = -EBADMSG;
	if (status >= 0)
		return MNL_CB_STOP;
	errno = -status;
	return MNL_CB_ERROR;
}

static int netlink_receive(struct mnl_socket *nl, struct netlink_answer *answer)
{
	static mnl_cb_t on_control[] = {
		[NLMSG_ERROR] = netlink_on_end,
		[NLMSG_DONE] = netlink_on_end,
	};
	_Alignas(struct nlmsghdr) char buffer[NETLINK_BUFFER_LEN];
	int r;

	do {
		ssize_t n = mnl_socket_recvfrom(nl, buffer, sizeof(buffer));

		r = n < 0 ? MNL_CB_ERROR
			  : mnl_cb_run2(buffer, (size_t)n, NETLINK_SEQ, 0, netlink_on_message,
					answer, on_control, ARRAY_LEN(on_control));
	} while (r > MNL_CB_STOP);
	return r < 0 ? -errno : 0;
}

static int netlink_ask(int protocol, struct nlmsghdr *request, uint16_t flags,
		       struct netlink_answer *answer)
{
	const struct timeval timeout = { .tv_sec = NETLINK_TIMEOUT_S };
	struct mnl_socket *nl = mnl_socket_open2(protocol, SOCK_CLOEXEC);
	int r;

	if (!nl)
		return -errno;
	request->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	request->nlmsg_seq = NETLINK_SEQ;
	setsockopt(mnl_socket_get_fd(nl), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	r = mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0 ? -errno : 0;
	if (r == 0 && mnl_socket_sendto(nl, request, request->nlmsg_len) < 0)
		r = -errno;
	if (r == 0)
		r = netlink_receive(nl, answer);
	mnl_socket_close(nl);
	return r;
}

int netlink_dump(int protocol, uint16_t type, const void *header, size_t header_len, mnl_cb_t each,
		 void *arg)
{
	_Alignas(struct nlmsghdr) char buffer[256];
	struct netlink_answer answer = { header_len, each, arg };
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	int r, tries = 0;

	request->nlmsg_type = type;
	memcpy(mnl_nlmsg_put_extra_header(request, header_len), header, header_len);
	do { /* EINTR: the list has changed meanwhile (NLM_F_DUMP_INTR) */
		r = netlink_ask(protocol, request, NLM_F_DUMP, &answer);
	} while (r == -EINTR && ++tries < NETLINK_TRIES);
	return r;
}

int netlink_get(int protocol, struct nlmsghdr *request, mnl_cb_t each, void *arg)
{
	struct netlink_answer answer = { 0, each, arg };

	return netlink_ask(protocol, request, NLM_F_ACK, &answer);
}

const void *netlink_attribute(const struct nlmsghdr *message, size_t header_len, uint16_t type,
			      size_t min_len)
{
	const struct nlattr *attribute;

	mnl_attr_for_each(attribute, message, header_len)
	{
		if (mnl_attr_get_type(attribute) == type &&
		    mnl_attr_get_payload_len(attribute) >= min_len)
			return mnl_attr_get_payload(attribute);
	}
	return NULL;
}
