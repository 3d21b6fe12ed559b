/* SPDX-License-Identifier: MIT */
/*
 * What becomes of a target's health checks: tells the gate where they come from, and while the
 * target is asleep has them answered, or passed on to it (gate/datapath.h, gate/steer.h,
 * probe/responder.h).
 */
#ifndef DOZE_TARGET_PROBES_H
#define DOZE_TARGET_PROBES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "activity/activity.h"
#include "gate/datapath.h"
#include "probe/responder.h"

struct event_base;
struct checks;
struct steer;

struct checks_settings {
	uint32_t target_id;
	enum gate_probes probes;
	struct steer *steer; /* borrowed; NULL: there is none, and so nothing is answered */
	/* Of the target; borrowed. None: any address. */
	const struct gate_addr *addresses;
	size_t addresses_len;
	const uint16_t *ports; /* of TCP, host order, that health checks come to; borrowed */
	size_t ports_len;
	const struct activity_settings *activity; /* sources and paths; borrowed */
	/*
	 * Who may have been a health check is a client: wake the target. flow is NULL if it is not
	 * known whose; reason is a static string.
	 */
	void (*client)(void *arg, const struct gate_flow *flow, const char *reason);
	void *arg;
};

/*
 * All of what is passed is borrowed. Where the kernel cannot steer, health checks are passed on.
 * Logs its errors, -errno. The caller owns *out.
 */
int checks_new(struct checks **out, struct event_base *base, const struct netns *ns,
	       struct datapath *d, struct activity *a, const struct checks_settings *settings);
void checks_free(struct checks **c);

/* To be told of the gate, after it opened and before it closes. */
void checks_gate_opened(struct checks *c);
void checks_gate_closes(struct checks *c);

/*
 * What may be a health check's has been passed on to the sleeping target: if that is still not told
 * in half a second, it is a client's, who waits.
 */
void checks_passed(struct checks *c);

/* A client's connection that is carried on to the target is at work. */
bool checks_are_busy(const struct checks *c);

/* NULL: none are answered. */
const struct responder_counters *checks_counters(const struct checks *c);

#endif
