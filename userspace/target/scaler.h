/* SPDX-License-Identifier: MIT */
/*
 * When a target sleeps and when it wakes. Pure. It is given events and the time, and answers with
 * effects, which the caller carries out in the order of their values.
 *
 *              READY                      idle: CLOSE_GATE, later SHRINK
 *   UNREADY ------------> AWAKE ------------------------------------> SHRINKING
 *      ^   OPEN_GATE        ^     <---- it moved: OPEN_GATE ----------   |    |
 *      | GROWN              | wake timeout: OPEN_GATE              SHRUNK |    |
 *      | ASK_READY          |                                             v    |
 *   GROWING <---------------------------- TRAFFIC: GROW ------------- ASLEEP   |
 *      ^------------------ TRAFFIC: GROW; SHRINK_FAILED: GROW, OPEN_GATE ------'
 *
 * A full size that is refused is no reason to let a client wait: GROWING then goes on behind an
 * open gate, and GROW is repeated each second in which somebody calls.
 *
 * A new scaler is UNREADY with the gate open: a target is not put to sleep before it has been
 * ready once.
 *
 * Closing the gate is a race with a packet that has just passed it. So SHRINKING begins with a
 * settle time, in which the gate is closed and nothing is shrunk yet; if the activity has moved
 * at its end, the gate opens again.
 *
 * Packets do not tell everything: a request may be computed for longer than the idle time. So
 * before it closes the gate, and again at the end of the settle time, the scaler asks whether the
 * target is at work (LOOK), and goes on when it is told that it is not (QUIET).
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
	SCALER_UNREADY,
};

enum scaler_event {
	SCALER_TICK,	/* time has passed, the deadline perhaps */
	SCALER_TRAFFIC, /* the gate has held a frame, or told of a payload, while closed */
	SCALER_SHRUNK,	/* the backend has reached the asleep size */
	SCALER_SHRINK_FAILED,
	SCALER_GROWN, /* the backend has reached the full size */
	SCALER_GROW_FAILED,
	SCALER_GROW_REFUSED, /* the full size is refused; GROWN still comes if it is granted */
	SCALER_READY,	     /* the application has answered that it is ready */
	SCALER_QUIET,	     /* the answer to LOOK: nothing is at work */
	SCALER_BUSY,	     /* the answer to LOOK: something is at work */
	SCALER_KEEP,	     /* stay awake, or wake, until RELEASE */
	SCALER_RELEASE,	     /* the idle time decides again */
	SCALER_STOP,	     /* doze is about to end: the full size, and the gate open */
	SCALER_ABANDON, /* as STOP, but a target that is asleep stays so, behind an open gate */
};

/* Bits of an effect set. */
enum scaler_effect {
	SCALER_CLOSE_GATE = 1 << 0,
	SCALER_SHRINK = 1 << 1,
	SCALER_GROW = 1 << 2, /* supersedes a shrink that is in flight */
	SCALER_STOP_ASKING = 1 << 3,
	SCALER_ASK_READY = 1 << 4,
	SCALER_OPEN_GATE = 1 << 5, /* then replay every held frame */
	SCALER_TIMED_OUT = 1 << 6, /* to be said: the gate opens although nothing answered */
	SCALER_LOOK = 1 << 7,	   /* to be answered with QUIET or BUSY */
	SCALER_FLAPPED = 1 << 8,   /* to be said: idle_ns is another now */
	SCALER_REFUSED = 1 << 9,   /* to be said: the gate opens although it has not grown */
};

/* Nanoseconds, as all times here. */
struct scaler_settings {
	uint64_t idle_ns;	  /* without activity for so long: sleep */
	uint64_t awake_min_ns;	  /* but not before it has been awake for so long */
	uint64_t settle_ns;	  /* from closing the gate to the last look at the activity */
	uint64_t wake_timeout_ns; /* from the waking packet to an open gate, come what may */
	uint64_t retry_min_ns;	  /* the first pause after a failed grow; it doubles */
	uint64_t retry_max_ns;
	/*
	 * A shrink that fails again and again is tried after the idle time, then twice as long, up
	 * to that; 0: always after the idle time.
	 */
	uint64_t shrink_pause_max_ns;
	bool looks; /* false: no LOOK, packets alone decide */
	/*
	 * Woken SCALER_FLAPS times in a row within flap_ns of falling asleep: the idle time doubles
	 * with this and each further one, up to idle_max_ns. A longer sleep ends it.
	 */
	uint64_t flap_ns;
	uint64_t idle_max_ns;
};

#define SCALER_FLAPS 3

/* The pause between two GROW that are refused. */
#define SCALER_REFUSED_PAUSE_NS 1000000000

/* To be read by others, and written by the scaler alone. */
struct scaler {
	struct scaler_settings settings;
	enum scaler_state state;
	bool is_gate_closed;
	bool is_settling; /* SHRINKING: the gate is closed, the size still full */
	bool is_looking;  /* LOOK has not been answered yet */
	bool is_kept;	  /* KEEP */
	bool is_refused;  /* GROWING: the last GROW was refused */
	bool is_stopped;
	uint64_t since_ns;    /* when the state, or the settling, was entered */
	uint64_t wake_ns;     /* when GROWING began */
	uint64_t activity_ns; /* the last activity known, or the moment the target became ready */
	uint64_t retry_ns;    /* GROWING, failed or refused: when to try again; else 0 */
	uint64_t retry_pause_ns;
	uint64_t shrink_pause_ns;      /* after the last failed shrink; 0: it has not failed */
	uint64_t shrink_not_before_ns; /* because of that */
	uint64_t idle_ns;	       /* as flapping has made it; settings.idle_ns without */
	uint64_t shrink_ns;	       /* when it fell asleep last */
	unsigned int flaps;	       /* in a row */
	uint64_t busy_till_ns;	       /* AWAKE: not asked again before */
};

struct scaler_input {
	enum scaler_event event;
	uint64_t now_ns;
	uint64_t activity_ns; /* the gate's newest stamp of this target; 0: it has none */
	uint64_t recheck_ns;  /* of BUSY: after so long LOOK may come again */
};

void scaler_init(struct scaler *s, const struct scaler_settings *settings, uint64_t now_ns);

/*
 * For a target that sleeps already, put to sleep by a doze before us: instead of any step. Returns
 * the effects.
 */
unsigned int scaler_resume_asleep(struct scaler *s, uint64_t now_ns);

/* Returns the effects. */
unsigned int scaler_step(struct scaler *s, const struct scaler_input *in);

/* From now on it is awake for at least so long after a wake, or longer if the settings say so. */
void scaler_raise_awake_min(struct scaler *s, uint64_t awake_min_ns);

/* When to send SCALER_TICK next; UINT64_MAX: only an event can change anything. */
uint64_t scaler_deadline_ns(const struct scaler *s);

const char *scaler_state_name(enum scaler_state state);

#endif
