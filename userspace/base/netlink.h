/* SPDX-License-Identifier: MIT */
/* The kernel's lists over netlink(7): links, addresses, routes, filters, connections. */
#ifndef DOZE_NETLINK_H
#define DOZE_NETLINK_H

#include <libmnl/libmnl.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Asks for a list in the current network namespace, and calls each() for every entry until it
 * returns MNL_CB_STOP, or MNL_CB_ERROR with errno set. protocol is NETLINK_ROUTE or another; type
 * is RTM_GETLINK and the like; header is the struct that belongs to the type, such as struct
 * ifinfomsg, and each entry has as many bytes at least. A list that changes while it is read is
 * read again, so that each() may see an entry twice. Waits for one second at most for each message.
 * -errno; logs nothing.
 */
int netlink_dump(int protocol, uint16_t type, const void *header, size_t header_len, mnl_cb_t each,
		 void *arg);

/*
 * The same for one thing: the request is whole but for its flags and sequence number. An answer of
 * the kernel that it is not to be had is -errno as well.
 */
int netlink_get(int protocol, struct nlmsghdr *request, mnl_cb_t each, void *arg);

/*
 * The attribute of that type behind the message's header; NULL if the message has none, or if it
 * is shorter than min_len.
 */
const void *netlink_attribute(const struct nlmsghdr *message, size_t header_len, uint16_t type,
			      size_t min_len);

#endif
