/* SPDX-License-Identifier: MIT */
/*
 * What becomes of a target's probes: tells the gate where they come from, and while the target is
 * asleep has them answered, or passed on to it (gate/keys.h, gate/steer.h, probe/responder.h).
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
struct target_probes;
struct steer;

struct target_probes_settings {
	uint32_t target_id;
	enum gate_probes probes;
	struct steer *steer; /* borrowed; NULL: there is none, and so nothing is answered */
	/* Of the target; borrowed. None: any address. */
	const struct gate_addr *addresses;
	size_t addresses_len;
	const uint16_t *ports; /* of TCP, host order, that probes come to; borrowed */
	size_t ports_len;
	const struct activity_settings *activity; /* sources and paths; borrowed */
	/*
	 * Called when a connection taken for a probe's is a client's: wake the target. flow is
	 * NULL if the client is not known; reason is a static string.
	 */
	void (*client)(void *arg, const struct gate_flow *flow, const char *reason);
	void *arg;
};

/*
 * All of what is passed is borrowed. Where the kernel cannot steer, probes are passed on.
 * Logs its errors, -errno. The caller owns *out.
 */
int target_probes_new(struct target_probes **out, struct event_base *base, const struct netns *ns,
		      struct datapath *d, struct activity *a,
		      const struct target_probes_settings *settings);
void target_probes_free(struct target_probes **p);

/* To be told of the gate, after it opened and before it closes. */
void target_probes_gate_opened(struct target_probes *p);
void target_probes_gate_closes(struct target_probes *p);

/*
 * A packet that may be a probe's has been passed on to the sleeping target. If its connection still
 * waits after half a second, it is a client's.
 */
void target_probes_passed(struct target_probes *p);

/* We carry a client's connection on to the target. */
bool target_probes_are_busy(const struct target_probes *p);

/* NULL: none are answered. */
const struct connection_counters *target_probes_counters(const struct target_probes *p);

/* Whether probes are known to come from anywhere. */
bool target_probes_may_come(const struct activity_settings *a);

#endif
