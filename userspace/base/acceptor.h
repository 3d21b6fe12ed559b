/* SPDX-License-Identifier: MIT */
/*
 * Accepts what comes to a listening socket: a few at a time, so that a crowd does not stop the
 * loop, and none while descriptors are scarce. Those wait in the kernel's queue.
 */
#ifndef DOZE_ACCEPTOR_H
#define DOZE_ACCEPTOR_H

#define ACCEPTOR_TURN_MAX 32 /* that are accepted in one turn of the loop */

struct acceptor;
struct event_base;

/* fd is the callee's. May call acceptor_pause(), and may not free the acceptor. */
typedef void (*acceptor_fn)(void *arg, int fd);

/*
 * The caller owns *out, and listen_fd, which is open for as long. what: such as "a probe", for the
 * log. -ENOMEM.
 */
int acceptor_new(struct acceptor **out, struct event_base *base, int listen_fd, const char *what,
		 acceptor_fn accepted, void *arg);
void acceptor_free(struct acceptor **a);

/* Accepts nothing until acceptor_resume(). Both may be called at any time. */
void acceptor_pause(struct acceptor *a);
void acceptor_resume(struct acceptor *a);

#endif
