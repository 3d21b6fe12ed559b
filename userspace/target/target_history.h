/* SPDX-License-Identifier: MIT */
/* What happened to a target, and why: logged at once, and kept for the status. */
#ifndef DOZE_TARGET_HISTORY_H
#define DOZE_TARGET_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "activity/busy.h"
#include "report/status.h"
#include "target/scaler.h"

/* When each phase of a wake was over. */
struct target_history_wake {
	const char *reason;    /* NULL: none is under way */
	struct gate_flow flow; /* the client's; all zero if there is none */
	uint64_t seen_ns, taken_ns, resized_ns, ready_ns;
	uint64_t asleep_cpu_us; /* used while asleep */
};

struct target_history {
	struct status_target told;
	struct target_history_wake wake;
	uint64_t state_ns;	  /* when its state began */
	uint64_t asleep_since_ns; /* 0: it is not */
	uint64_t asleep_usage_us;
	uint64_t woke_ns;      /* the last time */
	enum busy_reason busy; /* the last look's */
	struct gate_flow busy_flow;
};

void target_history_init(struct target_history *h, const char *name, uint64_t now_ns);

void target_history_state(struct target_history *h, enum scaler_state before,
			  enum scaler_state after, uint64_t now_ns);

/* It has fallen asleep; usage_us is the CPU that it has used ever. */
void target_history_asleep(struct target_history *h, uint64_t activity_ns, uint64_t usage_us,
			   uint64_t now_ns);

/* reason, a static string, wakes it. Only the first reason of a wake is kept. */
void target_history_wakes(struct target_history *h, const char *reason,
			  const struct gate_flow *flow, uint64_t seen_ns, uint64_t now_ns);

/* It begins to wake. What it has used of the CPU since it fell asleep, it has used asleep. */
void target_history_waking(struct target_history *h, uint64_t usage_us);
void target_history_resized(struct target_history *h, uint64_t now_ns);
void target_history_ready(struct target_history *h, uint64_t now_ns);

/* The gate is open, and so many held frames have been replayed. */
void target_history_awake(struct target_history *h, unsigned int replayed, uint64_t now_ns);

/* What a look at its connections has shown. */
void target_history_looked(struct target_history *h, const struct busy_verdict *v);

/* A client was taken for a probe first. */
void target_history_misjudged(struct target_history *h, const struct gate_flow *flow);

/* The idle time has changed. */
void target_history_flapped(struct target_history *h, uint64_t idle_ns, uint64_t before_ns);

/* "192.0.2.1:4242" or "[2001:db8::1]:4242", into STATUS_DETAIL_MAX bytes; "" for none. */
void target_history_format_client(const struct gate_flow *flow, char out[STATUS_DETAIL_MAX]);

#endif
