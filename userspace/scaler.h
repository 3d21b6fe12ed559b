/* SPDX-License-Identifier: MIT */
/*
 * When a target sleeps and when it wakes. Pure: no clock, no I/O, no kernel. It is given events
 * and the time, and answers with effects, which the caller carries out in the order of their
 * values.
 *
 *              READY                      idle: CLOSE_GATE, later SHRINK
 *   PROBING ------------> AWAKE ------------------------------------> SHRINKING
 *      ^   OPEN_GATE        ^     <---- it moved: OPEN_GATE ----------   |    |
 *      | GROWN              | wake timeout: OPEN_GATE              SHRUNK |    |
 *      | PROBE              |                                             v    |
 *   GROWING <---------------------------- TRAFFIC: GROW ------------- ASLEEP   |
 *      ^------------------ TRAFFIC: GROW; SHRINK_FAILED: GROW, OPEN_GATE ------'
 *
 * A new scaler is PROBING with the gate open: a target is not put to sleep before it has been
 * ready once.
 *
 * Closing the gate is a race with a packet that has just passed it. So SHRINKING begins with a
 * settle time, in which the gate is closed and nothing is shrunk yet; if the activity has moved
 * at its end, the gate opens again.
 */
#ifndef DOZE_SCALER_H
#define DOZE_SCALER_H

#include <stdbool.h>
#include <stdint.h>

enum scaler_state {
	SCALER_AWAKE,
	SCALER_SHRINKING,
	SCALER_ASLEEP,
	SCALER_GROWING,
	SCALER_PROBING,
};

enum scaler_event {
	SCALER_TICK,	/* time has passed, the deadline perhaps */
	SCALER_TRAFFIC, /* the gate has held a frame, or told of a payload, while closed */
	SCALER_SHRUNK,	/* the backend has reached the asleep size */
	SCALER_SHRINK_FAILED,
	SCALER_GROWN, /* the backend has reached the full size */
	SCALER_GROW_FAILED,
	SCALER_READY, /* the readiness probe has answered */
	SCALER_STOP,  /* doze is about to end */
};

/* Bits of an effect set. */
enum scaler_effect {
	SCALER_CLOSE_GATE = 1 << 0,
	SCALER_SHRINK = 1 << 1,
	SCALER_GROW = 1 << 2, /* supersedes a shrink that is in flight */
	SCALER_STOP_PROBE = 1 << 3,
	SCALER_PROBE = 1 << 4,
	SCALER_OPEN_GATE = 1 << 5, /* then replay every held frame */
	SCALER_TIMED_OUT = 1 << 6, /* to be said: the gate opens although nothing answered */
};

/* Nanoseconds, as all times here. */
struct scaler_settings {
	uint64_t idle_ns;	  /* without activity for so long: sleep */
	uint64_t awake_min_ns;	  /* but not before it has been awake for so long */
	uint64_t settle_ns;	  /* from closing the gate to the last look at the activity */
	uint64_t wake_timeout_ns; /* from the waking packet to an open gate, come what may */
	uint64_t retry_min_ns;	  /* the first pause after a failed grow; it doubles */
	uint64_t retry_max_ns;
};

struct scaler {
	struct scaler_settings settings;
	enum scaler_state state;
	bool is_gate_closed;
	bool is_settling; /* SHRINKING: the gate is closed, the size still full */
	bool is_stopped;
	uint64_t since_ns;    /* when the state, or the settling, was entered */
	uint64_t wake_ns;     /* when GROWING began */
	uint64_t activity_ns; /* the last activity known, or the moment the target became ready */
	uint64_t retry_ns;    /* GROWING after a failure: when to try again; else 0 */
	uint64_t retry_pause_ns;
};

void scaler_init(struct scaler *s, const struct scaler_settings *settings, uint64_t now_ns);

/* activity_ns: the gate's newest stamp of this target, 0 if it has none. Returns the effects. */
unsigned int scaler_step(struct scaler *s, enum scaler_event event, uint64_t now_ns,
			 uint64_t activity_ns);

/* When to send SCALER_TICK next; UINT64_MAX: only an event can change anything. */
uint64_t scaler_deadline_ns(const struct scaler *s);

const char *scaler_state_name(enum scaler_state state);

#endif
