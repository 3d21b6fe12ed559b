// SPDX-License-Identifier: MIT
/* Asks rtnetlink(7) for filters: libbpf can look up one by its handle, but not list them. */
#include "gate/clsact.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/util.h"

struct clsact_request {
	struct nlmsghdr header;
	struct tcmsg tc;
};

/* 1: there is one; 0: there is none; else -errno. */
static int clsact_read_answer(int fd)
{
	_Alignas(struct nlmsghdr) char bytes[8192];
	ssize_t n = recv(fd, bytes, sizeof(bytes), 0);
	const struct nlmsghdr *first = (const struct nlmsghdr *)bytes;

	if (n < 0)
		return -errno;
	if (!NLMSG_OK(first, (size_t)n) || first->nlmsg_type == NLMSG_ERROR)
		return -EPROTO;
	/* The first message tells: none comes before NLMSG_DONE but filters. */
	return first->nlmsg_type == NLMSG_DONE ? 0 : 1;
}

/* A socket for each dump: what is not read of the answer goes with it. */
static int clsact_ask(unsigned int ifindex, unsigned int direction)
{
	_cleanup_(closep) int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	struct clsact_request request = {
		.header = { .nlmsg_len = sizeof(request),
			    .nlmsg_type = RTM_GETTFILTER,
			    .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.tc = { .tcm_ifindex = (int)ifindex,
			.tcm_parent = TC_H_MAKE(TC_H_CLSACT, direction) },
	};

	if (fd < 0 || send(fd, &request, sizeof(request), 0) < 0)
		return -errno;
	return clsact_read_answer(fd);
}

bool clsact_has_filters(unsigned int ifindex)
{
	return clsact_ask(ifindex, TC_H_MIN_INGRESS) != 0 ||
	       clsact_ask(ifindex, TC_H_MIN_EGRESS) != 0;
}
