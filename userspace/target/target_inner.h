/* SPDX-License-Identifier: MIT */
/*
 * A target from inside, for target.c, which takes events and asks the scaler, target_effects.c,
 * which does what the scaler says, and target_status.c, which tells of it.
 */
#ifndef DOZE_TARGET_INNER_H
#define DOZE_TARGET_INNER_H

#include "activity/busy_cpu.h"
#include "base/timer.h"
#include "gate/hold.h"
#include "target/depth.h"
#include "target/scaler.h"
#include "target/schedule_timer.h"
#include "target/target.h"
#include "target/target_history.h"
#include "target/target_probes.h"

/*
 * Where SYNs are dropped instead of replayed, the target must still be awake when they are sent
 * again: after 1 s (RFC 6298, 2.1), or 3 s by older stacks. Otherwise an idle time as long as that
 * would put it to sleep each time just before the client tries again, for ever.
 */
#define TARGET_RESEND_NS (4 * NS_PER_S)

/* A look at many connections takes long: at most one part in so many of the time goes into it. */
#define TARGET_LOOK_PART 20

struct target {
	struct target_settings settings;
	struct target_edges edges;
	struct scaler scaler;
	struct hold *hold;
	struct ready *ready;
	struct activity *activity;
	struct busy_cpu cpu;
	struct depth depth;
	bool is_connected;	     /* at the last look a client was */
	uint64_t look_not_before_ns; /* while asleep */
	struct target_probes *probes;
	struct schedule_timer *schedules;
	struct timer *deadline;	      /* the next SCALER_TICK */
	struct timer *taken;	      /* due while records of the gate wait for target_act() */
	struct heartbeat_member beat; /* while the gate is closed */
	unsigned int beats;
	struct wake_ticket ticket;
	unsigned int pending; /* events that wait, as bits of enum scaler_event */
	bool is_dispatching;
	uint64_t judged_ns; /* when a client was recognized last, among probes */
	struct gate_flow judged_flow;
	uint64_t disregarded_ns; /* the gate's stamps up to here are not a client's */
	uint64_t idle_told_ns;
	uint64_t recheck_ns; /* after the last look at the connections */
	struct target_history history;
	struct target_port ready_port;
};

/* The event is taken up by the dispatch that is under way, or the next one. */
void target_raise(struct target *t, enum scaler_event event);

#endif
