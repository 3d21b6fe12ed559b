// SPDX-License-Identifier: MIT
/* An inet_diag_msg, and behind it the tcp_info as an attribute. */
#include "activity/sockdiag_message.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <stddef.h>
#include <string.h>

#include "base/address.h"
#include "base/netlink.h"

/* tcp_info has grown at its end; all kernels that we run on have as much of it. */
#define SOCKDIAG_MESSAGE_INFO_LEN                                                                  \
	(offsetof(struct tcp_info, tcpi_data_segs_out) +                                           \
	 sizeof(((struct tcp_info *)0)->tcpi_data_segs_out))

/* The kernel counts the time of each in ticks: with equal times either may have been the last. */
static enum busy_answer sockdiag_message_answer(const struct busy_socket *socket)
{
	if (!socket->has_received)
		return BUSY_ANSWERED;
	if (socket->since_sent_ms == socket->since_received_ms)
		return BUSY_ANSWER_UNKNOWN;
	return socket->since_sent_ms < socket->since_received_ms ? BUSY_ANSWERED
								 : BUSY_NOT_ANSWERED;
}

static void sockdiag_message_copy_info(const struct tcp_info *info, struct busy_socket *out)
{
	/* A FIN is received as a byte. */
	out->has_received = info->tcpi_bytes_received > (out->state == BPF_TCP_CLOSE_WAIT ? 1 : 0);
	out->since_received_ms = info->tcpi_last_data_recv;
	/* Where no data was sent, the kernel has the time of the handshake here. */
	out->since_sent_ms = info->tcpi_data_segs_out ? info->tcpi_last_data_sent : UINT64_MAX;
	out->answer = sockdiag_message_answer(out);
}

int sockdiag_message_parse(const struct nlmsghdr *message, struct busy_socket *out,
			   uint64_t *cookie)
{
	const struct inet_diag_msg *diag = mnl_nlmsg_get_payload(message);
	const void *bytes;
	struct tcp_info info = { 0 };

	if (message->nlmsg_len < MNL_NLMSG_HDRLEN + sizeof(*diag) ||
	    message->nlmsg_type != SOCK_DIAG_BY_FAMILY ||
	    (diag->idiag_family != AF_INET && diag->idiag_family != AF_INET6))
		return -EBADMSG;
	*cookie = (uint64_t)diag->id.idiag_cookie[1] << 32 | diag->id.idiag_cookie[0];
	*out = (struct busy_socket){
		.flow = { .saddr = address_make(diag->idiag_family, diag->id.idiag_dst),
			  .daddr = address_make(diag->idiag_family, diag->id.idiag_src),
			  .sport_be = diag->id.idiag_dport,
			  .dport_be = diag->id.idiag_sport,
			  .protocol = IPPROTO_TCP },
		.state = diag->idiag_state,
		.is_accepted = diag->idiag_inode != 0,
		.retries = diag->idiag_state == BPF_TCP_SYN_RECV ? diag->idiag_retrans : 0,
		.has_received = true, /* a tcp_info may deny it */
		.unread = diag->idiag_rqueue,
		.unacked = diag->idiag_wqueue,
		.answer = BUSY_ANSWER_UNKNOWN,
	};
	bytes = netlink_attribute(message, sizeof(*diag), INET_DIAG_INFO,
				  SOCKDIAG_MESSAGE_INFO_LEN);
	if (bytes) {
		memcpy(&info, bytes, SOCKDIAG_MESSAGE_INFO_LEN);
		sockdiag_message_copy_info(&info, out);
	}
	return 0;
}
