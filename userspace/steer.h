/* SPDX-License-Identifier: MIT */
/*
 * Steers new connections of health checks to the responder's socket while their target's gate is
 * closed: an sk_lookup program in the target's network namespace (kernel 5.9).
 */
#ifndef DOZE_STEER_H
#define DOZE_STEER_H

#include <stdint.h>

#include "datapath.h"
#include "netns.h"

struct steer;

/*
 * Attached to ns, and steering nothing before it is given ports and a socket. d and ns are
 * borrowed. -EOPNOTSUPP, said with its reason, if this kernel or these rights cannot do it.
 */
int steer_new(struct steer **out, const struct datapath *d, const struct netns *ns);

/* The application's connections are its own again. */
void steer_free(struct steer **s);

/* Health checks of a target come to this TCP port. -errno, logged. */
int steer_add_port(struct steer *s, uint16_t port, uint32_t target_id);

/* The listening socket that takes connections of a family (gate.h). Borrowed. -errno, logged. */
int steer_set_responder(struct steer *s, enum gate_family family, int listen_fd);

#endif
