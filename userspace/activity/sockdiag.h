/* SPDX-License-Identifier: MIT */
/*
 * The TCP connections to some ports of a network namespace, as the kernel sees them: sock_diag(7).
 * Kernel 4.9; whether a request has been answered within a tick is told by
 * activity/sockdiag_answered.h, else it stays unknown in those cases.
 *
 * "Answered" is what can be seen from outside: data was sent after the last payload. It is exact
 * for a client that sends a request when it has all of the answer before it. It is not the answer
 * if one of several requests on a connection is (pipelining, HTTP/2), if it is "100 Continue", a
 * WINDOW_UPDATE or PING of HTTP/2, a TLS session ticket, or data that the application pushes by
 * itself. To know better, a connection would have to be read; activity/activity.h has what else
 * there is.
 */
#ifndef DOZE_SOCKDIAG_H
#define DOZE_SOCKDIAG_H

#include <stddef.h>
#include <stdint.h>

#include "activity/busy.h"
#include "base/netns.h"

struct sockdiag_answered;
struct nlmsghdr;
struct sockdiag;

typedef void (*sockdiag_fn)(void *arg, const struct busy_socket *socket);

/*
 * The caller owns *out; ns and answered (NULL: it is not to be had) are borrowed, and outlive it.
 * Logs its errors, -errno; -ENOENT: the kernel has no tcp_diag, not even as a module.
 */
int sockdiag_new(struct sockdiag **out, const struct netns *ns, struct sockdiag_answered *answered);
void sockdiag_free(struct sockdiag **s);

/*
 * Calls each() once for every connection whose local port is one of ports (host order): both
 * families, the states SYN_RECV, ESTABLISHED, CLOSE_WAIT, FIN_WAIT1 and FIN_WAIT2. Does not wait
 * for longer than a second. Logs its errors, -errno; each() has not been called then.
 */
int sockdiag_list(struct sockdiag *s, const uint16_t *ports, size_t ports_len, sockdiag_fn each,
		  void *arg);

/*
 * The same for the connections that processes of the namespace have opened themselves: ESTABLISHED,
 * and by a local port that nobody listens on. Each is seen from that end: flow.daddr is its own
 * address, "received" is what the other end has sent.
 */
int sockdiag_list_upstream(struct sockdiag *s, sockdiag_fn each, void *arg);

/*
 * One connection of the kernel's answer. Pure. message->nlmsg_len bytes can be read, rounded up to
 * a multiple of four. -EBADMSG: it is not one.
 */
int sockdiag_parse(const struct nlmsghdr *message, struct busy_socket *out, uint64_t *cookie);

#endif
