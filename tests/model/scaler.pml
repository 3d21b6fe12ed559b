/* SPDX-License-Identifier: MIT */
/*
 * The scaler, for the models of this folder: one step of userspace/target/scaler.c, without numbers.
 * Times are left out: a deadline that has passed is an event that may come at any moment while it
 * is armed. Also left out: flapping, --stay-awake (KEEP, RELEASE), the pause after failed shrinks,
 * which is only time, and STOP.
 */

/* scaler_event: a bit each, the lowest is taken first, as target_dispatch() has it. */
#define EV_TICK          1
#define EV_TRAFFIC       2
#define EV_SHRUNK        4
#define EV_SHRINK_FAILED 8
#define EV_GROWN         16
#define EV_GROW_FAILED   32
#define EV_GROW_REFUSED  64
#define EV_READY         128
#define EV_QUIET         256
#define EV_BUSY          512

/* scaler_effect: carried out in this order, as target_effects_carry_out() has it. */
#define FX_CLOSE_GATE 1
#define FX_SHRINK     2
#define FX_GROW       4
#define FX_ASK_READY  8
#define FX_OPEN_GATE  16
#define FX_LOOK       32

mtype = { AWAKE, SHRINKING, ASLEEP, GROWING, UNREADY };

mtype s_state = UNREADY;
bool s_closed;   /* is_gate_closed */
bool s_settling; /* is_settling */
bool s_looking;  /* is_looking */
bool s_refused;  /* is_refused */
bool s_retry;    /* retry_ns is set */
bool s_late;     /* the tick at hand is the one of the wake timeout */
bool moved;      /* the gate's stamp is newer than activity_ns */
byte fx = FX_ASK_READY; /* what the last step answered; at first what target_start() asks */
short pending;   /* events that wait */
byte sleeps;     /* so often has the gate been closed */

/* scaler_enter_awake() */
inline scaler_awake()
{
	fx = fx | (s_closed -> FX_OPEN_GATE : 0);
	s_state = AWAKE;
	s_closed = false;
	s_settling = false;
	s_looking = false;
	moved = false
}

/* scaler_enter_growing(), scaler_wake() */
inline scaler_grow()
{
	s_state = GROWING;
	s_settling = false;
	s_refused = false;
	s_retry = false;
	fx = fx | FX_GROW
}

/* scaler_shrink_failed() */
inline scaler_failed()
{
	fx = fx | (s_closed -> FX_OPEN_GATE : 0);
	s_closed = false;
	scaler_grow()
}

/* scaler_step_awake(), scaler_enter_settling(): one that has moved is not idle. */
inline scaler_step_awake(ev)
{
	if
	:: moved -> moved = false; s_looking = false
	:: !moved && ev == EV_QUIET && s_looking ->
		s_looking = false;
		s_state = SHRINKING;
		s_closed = true;
		s_settling = true;
		sleeps++;
		fx = fx | FX_CLOSE_GATE
	:: !moved && ev == EV_TICK -> s_looking = true; fx = fx | FX_LOOK
	:: else -> s_looking = false
	fi
}

/* scaler_step_settling(), scaler_look(), scaler_shrink(): the second look. */
inline scaler_step_settling(ev)
{
	if
#ifdef MISTAKE_NO_SECOND_LOOK
	:: ev == EV_TRAFFIC -> scaler_awake()
	:: ev == EV_TICK -> s_settling = false; fx = fx | FX_SHRINK
#else
	:: ev == EV_TRAFFIC || moved -> scaler_awake()
	:: ev == EV_TICK && !moved -> s_looking = true; fx = fx | FX_LOOK
	:: ev == EV_QUIET && s_looking && !moved -> s_settling = false; s_looking = false; fx = fx | FX_SHRINK
	:: ev == EV_BUSY && s_looking && !moved -> scaler_awake()
#endif
	:: else
	fi
}

/* scaler_step_shrinking() */
inline scaler_step_shrinking(ev)
{
	if
	:: ev == EV_SHRUNK -> s_state = ASLEEP
	:: ev == EV_TRAFFIC -> scaler_grow()
	:: ev == EV_SHRINK_FAILED -> scaler_failed()
	:: else
	fi
}

/* scaler_step_growing(), scaler_tick_growing(), scaler_refused(), scaler_tick_refused() */
inline scaler_step_growing(ev)
{
	if
	:: ev == EV_GROWN -> s_state = UNREADY; s_refused = false; s_retry = false; fx = fx | FX_ASK_READY
	:: ev == EV_GROW_REFUSED ->
		fx = fx | (s_closed -> FX_OPEN_GATE : 0);
		s_refused = true;
		s_closed = false;
		moved = false
	:: ev == EV_GROW_FAILED -> s_refused = false; s_retry = true
	:: ev == EV_TICK && s_refused -> fx = fx | (moved -> FX_GROW : 0); moved = false
	:: ev == EV_TICK && !s_refused && s_late -> s_closed = false; fx = fx | FX_OPEN_GATE
	:: ev == EV_TICK && !s_refused && !s_late -> s_retry = false; fx = fx | FX_GROW
	:: else
	fi
}

/* scaler_step_unready() */
inline scaler_step_unready(ev)
{
	if
	:: ev == EV_READY || (ev == EV_TICK && s_late) -> scaler_awake()
	:: else
	fi
}

/* scaler_step() */
inline scaler_step(ev)
{
	fx = 0;
	if
	:: s_state == AWAKE -> scaler_step_awake(ev)
	:: s_state == SHRINKING && s_settling -> scaler_step_settling(ev)
	:: s_state == SHRINKING && !s_settling -> scaler_step_shrinking(ev)
	:: s_state == ASLEEP && ev == EV_TRAFFIC -> scaler_grow()
	:: s_state == ASLEEP && ev == EV_SHRINK_FAILED -> scaler_failed()
	:: s_state == GROWING -> scaler_step_growing(ev)
	:: s_state == UNREADY -> scaler_step_unready(ev)
	:: else
	fi;
	s_late = false
}

/* scaler_init(), and what target_start() does with it */
inline scaler_start()
{
	s_state = UNREADY;
	s_closed = false;
	s_settling = false;
	s_looking = false;
	s_refused = false;
	s_retry = false;
	s_late = false;
	moved = false;
	fx = FX_ASK_READY;
	pending = 0
}

/* The lowest event that waits: target_dispatch() */
inline target_next(ev)
{
	ev = pending & -pending;
	pending = pending & ~ev
}

/* scaler_deadline_ns(): when a tick may come. In the settle time it may while `settled`. */
#define TICK_AWAKE    (s_state == AWAKE && sleeps < SLEEPS)
#define TICK_SETTLING(settled) (s_state == SHRINKING && s_settling && (settled))
#define TICK_RETRY    (s_state == GROWING && (s_retry || (s_refused && moved)))
#define TICK_LATE     ((s_state == GROWING && !s_refused || s_state == UNREADY) && s_closed)
