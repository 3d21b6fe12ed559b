/* SPDX-License-Identifier: MIT */
/*
 * Steers new connections of probes to the responder's socket while their target's gate is closed,
 * with an sk_lookup program (kernel 5.9) that is attached to the network namespace of each target.
 */
#ifndef DOZE_STEER_H
#define DOZE_STEER_H

#include <stdint.h>

#include "base/netns.h"
#include "gate/datapath.h"

struct bpf_link;
struct steer;

/*
 * d is borrowed, the caller owns *out. -EOPNOTSUPP, logged with the reason, if this kernel or our
 * rights do not allow it; steer_attach() returns the same.
 */
int steer_new(struct steer **out, const struct datapath *d);
void steer_free(struct steer **s);

/*
 * Names the node's own network namespace (base/netns.h), before the program is attached there. In
 * it ports of gate_addr_of_netns() are found as well, and so connections to 127.0.0.1.
 */
void steer_set_node(struct steer *s, uint64_t netns_id);

/* Attaches the program to ns. Once it is detached, all connections reach the application. */
int steer_attach(struct bpf_link **out, struct steer *s, const struct netns *ns);
void steer_detach(struct bpf_link **link);

/*
 * Probes of the target come to this TCP port of addr. If addr is all zeros, it means any address,
 * in every namespace. -errno, logged.
 */
int steer_add_port(struct steer *s, const struct gate_addr *addr, uint16_t port,
		   uint32_t target_id);

/*
 * The listening socket, of the target's namespace, that takes connections of a family (gate.h).
 * Borrowed. -errno, logged.
 */
int steer_set_responder(struct steer *s, uint32_t target_id, enum gate_family family,
			int listen_fd);

/* Forgets the target's ports and sockets. */
void steer_remove_target(struct steer *s, uint32_t target_id);

#endif
