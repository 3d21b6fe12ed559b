/* SPDX-License-Identifier: MIT */
/*
 * What one message of sock_diag(7) says about a TCP connection. Pure.
 *
 * A request is "answered" when data was sent after the last payload came. Nobody sees more from
 * outside without reading the connection. It is exact for a client that sends a request when it
 * has all of the answer before it. It is wrong where what was sent is not the whole answer: one of
 * several answers (pipelining, HTTP/2), "100 Continue", a WINDOW_UPDATE or PING of HTTP/2, a
 * session ticket of TLS, data that the application pushes by itself. activity/busy_cpu.h and
 * sockdiag_list_upstream() look at a target in other ways for that reason.
 */
#ifndef DOZE_SOCKDIAG_MESSAGE_H
#define DOZE_SOCKDIAG_MESSAGE_H

#include <stdint.h>

#include "activity/busy.h"

struct nlmsghdr;

/*
 * message->nlmsg_len bytes can be read, rounded up to a multiple of four. *cookie is the socket's.
 * -EBADMSG: the message tells of no connection; both outputs are untouched.
 */
int sockdiag_message_parse(const struct nlmsghdr *message, struct busy_socket *out,
			   uint64_t *cookie);

#endif
