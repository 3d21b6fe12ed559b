/* SPDX-License-Identifier: MIT */
/*
 * The TCP connections of a network namespace, as the kernel sees them: sock_diag(7), kernel 4.9.
 * Where the kernel's clock cannot tell whether a request has been answered, the program of
 * activity/sockdiag_answered.h does; without it the answer stays unknown.
 */
#ifndef DOZE_SOCKDIAG_H
#define DOZE_SOCKDIAG_H

#include <stddef.h>
#include <stdint.h>

#include "activity/busy.h"
#include "base/netns.h"

struct sockdiag_answered;
struct sockdiag;

typedef void (*sockdiag_fn)(void *arg, const struct busy_socket *socket);

/*
 * The caller owns *out; ns and answered (NULL: it is not to be had) are borrowed, and outlive it.
 * Logs its errors, -errno; -ENOENT: the kernel has no tcp_diag, not even as a module.
 */
int sockdiag_new(struct sockdiag **out, const struct netns *ns, struct sockdiag_answered *answered);
void sockdiag_free(struct sockdiag **sockdiag);

/*
 * Calls each() for every connection whose local port is one of ports (host order): both families,
 * the states SYN_RECV, ESTABLISHED, CLOSE_WAIT, FIN_WAIT1 and FIN_WAIT2. Waits for one second at
 * most for each answer of the kernel. Logs its errors, -errno; each() has not been called then.
 */
int sockdiag_list(struct sockdiag *sockdiag, const uint16_t *ports, size_t ports_len,
		  sockdiag_fn each, void *arg);

/*
 * The same for the connections that processes of the namespace have opened themselves: those that
 * are ESTABLISHED, by a local port that nobody listens on. Each is seen from that end: flow.daddr
 * is its own address, "received" is what the other end has sent.
 */
int sockdiag_list_upstream(struct sockdiag *sockdiag, sockdiag_fn each, void *arg);

/*
 * Whether somebody listens on that TCP port, or takes datagrams on that UDP port, by IPv4 or IPv6:
 * 0 or 1, else -errno, logged. -ENOENT, not logged: the kernel has no udp_diag.
 */
int sockdiag_is_listening(struct sockdiag *sockdiag, uint16_t port, uint8_t protocol);

#endif
