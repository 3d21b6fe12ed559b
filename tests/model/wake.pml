/* SPDX-License-Identifier: MIT */
/*
 * doze run: the scaler with gate, ring, hold and replay, the freezer and its watchdog.
 *
 * Clients send their SYNs and requests in every order against the steps of doze. doze may hang for
 * longer than GATE_STALE_NS, it and its watchdog may be killed between any two steps, the ring may
 * be full, the freezer may fail.
 *
 * When nothing more can happen (monitor()): each client has its answer, nothing is held, and the
 * target is awake behind an open gate or asleep behind a closed one. Always: no target is frozen
 * while a request that has passed the open gate waits, no SYN is replayed twice, and nobody is
 * frozen whose doze was killed and whose watchdog lives.
 *
 * Left out: which packet is activity (tests/bpf/test_gate.c has it), probes, UDP, forwarding,
 * several targets (turns.pml), the depth of sleep (asleep answers nobody). Assumed: a packet is
 * not in the gate for longer than the settle time of 20 ms; -DSLOW_PACKET takes that back, and with
 * it the promise that no request waits for the next heartbeat.
 */
#ifndef FLOWS
#define FLOWS 2 /* clients */
#endif
#ifndef REQUESTS
#define REQUESTS 2 /* of the first client, on one connection; the others send one */
#endif
#ifndef SLEEPS
#define SLEEPS 1 /* so often the gate closes */
#endif
#ifndef COPIES
#define COPIES 2 /* SYNs of one client that are held at the same time; more than 2 needs more ids */
#endif
#ifndef KILLS
#define KILLS 0 /* of doze */
#endif
#ifndef WATCHDOG_KILLS
#define WATCHDOG_KILLS 0
#endif
#ifndef HANGS
#define HANGS 0
#endif
#ifndef FAILURES
#define FAILURES 1 /* of the freezer */
#endif
#ifndef RING
#define RING 2 /* records that the ring has room for */
#endif

#include "scaler.pml"

/* A held SYN is COPIES * flow + copy, a record without a frame is TELLS. */
#define SYNS  (COPIES * FLOWS)
#define TELLS SYNS

/* The kernel: what a flow has there. */
byte connection[FLOWS]; /* 0 none, 1 to be accepted, 2 accepted */
bool unread[FLOWS];	/* a request that has not been answered */
bool came_open[FLOWS];	/* what waits there has passed an open gate */
byte answered;		/* clients who have all their answers */
bool frozen;		/* the freezer of the target's cgroup */

/* The gate and its maps. They end with doze. */
bool closing;	     /* gate_control.closing */
bool fresh;	     /* the heartbeat is younger than GATE_STALE_NS */
mtype = { NOWHERE, OPEN, STALE, HELD, LOST };
mtype ways[FLOWS] = NOWHERE; /* what the packet in the gate has seen; LOST: its doze was killed since */
bool passing[FLOWS];	     /* that packet is on its way to the kernel */
chan ring = [RING] of { byte };

/* doze */
bool alive = true;
bool killed;	       /* SIGKILL, which takes effect before its next step */
bool hung;
bool has_joined;       /* the heartbeat: only then it beats */
byte held[FLOWS];      /* hold: 0, or 1 + the newest SYN of that flow */
bool is_out[SYNS];     /* that SYN is in the ring or in hold */
bool replayed[SYNS];   /* that SYN was replayed */
bool taken;	       /* the timer of target_take() is pending */
bool asking;	       /* ready: the question is out */
bool polling;	       /* the backend waits until all is frozen, or doomed processes are gone */
bool wants_asleep;     /* backend_cgroup.wanted */
mtype = { NOTHING, TO_SHRINK, TO_OPEN, TO_REPLAY, TO_LOOK, TO_FIND };
mtype next = NOTHING;  /* what is left of the effects */
bool goes_on;	       /* the second half of a heartbeat is due */
byte failures = FAILURES;

/* The watchdog */
bool is_there = true;
bool is_armed;
bool must_undo;
bool has_record = true; /* what is to be undone, for the next doze */
bool next_doze;

#define is_waiting(f)  (connection[f] == 1 || unread[f])
#define is_anyone(what) (what(0) || (FLOWS > 1 && what(FLOWS - 1)) || (FLOWS > 2 && what(1)))
#ifdef SLOW_PACKET
#define is_late(f)     false
#define is_wronged(f)  false
#else
#define is_late(f)     passing[f]
#define is_wronged(f)  (is_waiting(f) && came_open[f])
#endif
#define is_held(f)     (held[f] != 0)

/* --- a packet --- */

/* Environment: the frame reaches the kernel, which answers a SYN by itself. */
inline deliver(f, is_syn, is_open)
{
	if
	:: is_syn && connection[f] == 0 -> connection[f] = 1; came_open[f] = is_open
	:: is_syn && connection[f] != 0 /* a SYN of a connection that is there: ignored */
	:: else -> unread[f] = true; came_open[f] = is_open
	fi
}

/* gate_hold(). The ring of a doze that was killed has no reader. */
inline gate_hold(f, id)
{
	if
#ifdef SHARED_RING
	:: ways[f] == HELD /* full of other targets' records */
#endif
	:: ways[f] == HELD && len(ring) < RING -> ring!id; is_out[id] = true
	:: else /* GATE_DROP_RING_FULL: TCP sends it again */
	fi
}

/* gate_tell() */
inline gate_tell(f)
{
	if
#ifdef SHARED_RING
	:: ways[f] == HELD
#endif
	:: ways[f] == HELD && len(ring) < RING -> ring!TELLS
	:: else /* the stamp tells: target_has_missed_traffic() */
	fi
}

/*
 * gate_target(): looks at the control and the heartbeat (decide_verdict(), decide_stale()), leaves
 * its stamp, and acts (gate_carry_out()). doze may go on between any two of these.
 */
inline gate_target(f, is_syn, id)
{
	atomic {
		/* datapath_close_gate() beats before it closes: both are looked at in one step. */
		if
		:: !closing -> ways[f] = OPEN
		:: closing && !fresh -> ways[f] = STALE
		:: closing && fresh -> ways[f] = HELD
		fi;
		passing[f] = ways[f] != HELD
	}
	atomic {
		if
		:: ways[f] == LOST || !alive
		:: else -> moved = true /* gate_stamp() */
		fi
	}
	if
	:: atomic { passing[f] -> deliver(f, is_syn, ways[f] == OPEN); passing[f] = false; ways[f] = NOWHERE }
	:: atomic { !passing[f] && is_syn -> gate_hold(f, id); ways[f] = NOWHERE }
	:: atomic { !passing[f] && !is_syn -> gate_tell(f) };
		atomic { deliver(f, false, false); ways[f] = NOWHERE }
	fi
}

/*
 * Environment: a client with TCP's own retry. It sends its SYN again while it has no answer: when
 * the last one is lost, and the last client also while one is held.
 */
proctype client(byte f)
{
	byte id;
	byte requests = (f == 0 -> REQUESTS : 1);

	do
	:: atomic { connection[f] != 0 -> id = 0; break }
	:: atomic {
		connection[f] == 0 && !is_out[COPIES * f] -> id = COPIES * f; replayed[id] = false
	   };
	   gate_target(f, true, id)
#if COPIES > 1
	:: atomic {
		f == FLOWS - 1 && connection[f] == 0 && is_out[COPIES * f] &&
		!is_out[COPIES * f + 1] && !replayed[COPIES * f + 1] -> id = COPIES * f + 1
	   };
	   gate_target(f, true, id)
#endif
	od;
	do
	:: requests > 0 -> requests--; gate_target(f, false, 0); !unread[f]
	:: requests == 0 -> break
	od;
	atomic { connection[f] == 2 -> answered++ }
}

/* Environment: the application accepts and answers, unless it is frozen. */
#define answer(f) connection[f] = 2; unread[f] = false; came_open[f] = false
active proctype application()
{
end:
	do
	:: atomic { !frozen && is_waiting(0) -> answer(0) }
#if FLOWS > 1
	:: atomic { !frozen && is_waiting(1) -> answer(1) }
#endif
#if FLOWS > 2
	:: atomic { !frozen && is_waiting(2) -> answer(2) }
#endif
	od
}

/* --- doze --- */

/* target_take(), hold_push(): only the newest SYN of a flow is kept. */
inline target_take(x)
{
	taken = true;
	pending = pending | EV_TRAFFIC;
	if
	:: x < SYNS ->
		if
		:: held[x / COPIES] != 0 -> is_out[held[x / COPIES] - 1] = false
		:: else
		fi;
		held[x / COPIES] = x + 1
	:: else
	fi
}

/* datapath_consume(), daemon_on_gate_event() */
inline datapath_consume()
{
	do
	:: len(ring) > 0 -> ring?x; target_take(x); x = 0
	:: len(ring) == 0 -> break
	od
}

/* replay_one(): the frame goes past the gate's tc hook once more, now that the gate is open. */
inline replay_one(f)
{
	if
	:: held[f] != 0 ->
		x = held[f] - 1;
		assert(!replayed[x]); /* no SYN is replayed twice */
		replayed[x] = true;
#ifndef MISTAKE_REPLAY_WITHOUT_POP
		held[f] = 0; /* hold_pop() */
		is_out[x] = false;
#endif
		if
		:: closing && fresh && len(ring) < RING -> ring!x; is_out[x] = true
		:: closing && fresh && len(ring) == RING
		:: else -> deliver(f, true, true)
		fi;
		x = 0
	:: else
	fi
}

/* target_effects_replay(), replay_all() */
inline target_effects_replay()
{
	replay_one(0);
#if FLOWS > 1
	replay_one(1);
#endif
#if FLOWS > 2
	replay_one(2);
#endif
}

/* target_effects_close_gate(), heartbeat_join(), datapath_close_gate(), datapath_beat() */
inline target_effects_close_gate()
{
	fresh = true;
#ifndef MISTAKE_NO_HEARTBEAT
	has_joined = true;
	is_armed = true; /* watchdog_beat() */
#endif
	closing = true
}

/* datapath_open_gate(), heartbeat_leave(), watchdog_rest() */
inline datapath_open_gate()
{
	closing = false;
	has_joined = false;
	fresh = false;
	is_armed = false
}

/* target_effects_open_gate(): what was held before it was open is in the ring by now, or comes. */
inline target_effects_open_gate()
{
#ifdef MISTAKE_REPLAY_BEFORE_OPEN
	datapath_consume();
	target_effects_replay();
	datapath_open_gate()
#else
	datapath_consume();
	target_effects_replay()
#endif
}

/* backend_cgroup_resize(), backend_cgroup_shrink(), backend_cgroup_freeze() */
inline backend_cgroup_shrink()
{
	assert(!is_anyone(is_wronged)); /* no sleep while busy */
	polling = false;
	if
	:: !is_there -> pending = pending | EV_SHRINK_FAILED
	:: is_there -> wants_asleep = true; frozen = true; pending = pending | EV_SHRUNK
	:: is_there -> wants_asleep = true; frozen = true; polling = true
	fi
}

/* backend_cgroup_grow(), backend_cgroup_thaw(), watchdog_undo() */
inline backend_cgroup_grow()
{
	polling = false;
	wants_asleep = false;
	if
	:: failures > 0 && frozen ->
		failures--;
		must_undo = is_there;
		pending = pending | EV_GROW_FAILED
	:: frozen = false; pending = pending | EV_GROWN
	:: frozen = false; polling = true
	fi
}

/* backend_cgroup_on_poll(), backend_cgroup_poll_freeze(), backend_cgroup_poll_doomed() */
inline backend_cgroup_on_poll()
{
	polling = false;
	if
	:: wants_asleep && frozen -> pending = pending | EV_SHRUNK
	:: wants_asleep && (!frozen || failures > 0) ->
		failures = failures - (frozen -> 1 : 0);
		pending = pending | EV_SHRINK_FAILED
	:: !wants_asleep -> pending = pending | EV_GROWN
	fi
}

/* target_effects_ask_ready(): at once, or when it answers. */
inline target_effects_ask_ready()
{
	if
	:: pending = pending | EV_READY
	:: asking = true
	fi
}

/*
 * target_effects_carry_out(), until where a packet may come between; `next` is what is left of it.
 * Opening and closing never come with another effect that could be divided.
 */
inline target_effects_carry_out()
{
	if
	:: fx & FX_CLOSE_GATE -> target_effects_close_gate()
	:: else
	fi;
	if
	:: fx & FX_GROW -> backend_cgroup_grow()
	:: else
	fi;
	if
	:: fx & FX_ASK_READY -> target_effects_ask_ready()
	:: else
	fi;
	if
	:: fx & FX_SHRINK -> next = TO_SHRINK
	:: fx & FX_OPEN_GATE -> next = TO_OPEN;
		asking = (s_state == AWAKE -> false : asking) /* target_effects_stop_asking() */
	:: fx & FX_LOOK -> next = TO_LOOK
	:: else
	fi;
	fx = 0
}

/* target_has_missed_traffic() */
#define has_missed ((s_state == ASLEEP || s_state == SHRINKING && !s_settling) && moved)

/* target_on_beat(), once the ring is read: target_look_asleep(), target_reassert() */
inline target_on_beat()
{
	goes_on = false;
	if
#ifndef MISTAKE_DEAF_HEARTBEAT
	:: s_state == ASLEEP && is_anyone(is_waiting) -> pending = pending | EV_TRAFFIC
	:: has_missed -> pending = pending | EV_TRAFFIC
#endif
	:: else ->
		if
		/* backend_cgroup_reassert(): unguarded */
		:: s_state == ASLEEP && !is_there -> pending = pending | EV_TRAFFIC
		/* backend_cgroup_is_undone(), backend_cgroup_sleep_again() */
		:: s_state == ASLEEP && is_there -> frozen = true
		:: else
		fi
	fi
}

/* Whether a heartbeat would change anything; it is left out where it would not. */
#ifdef MISTAKE_DEAF_HEARTBEAT
#define has_to_hear false
#else
#define has_to_hear (has_missed || s_state == ASLEEP && is_anyone(is_waiting))
#endif
#define beat_is_due \
	(has_joined && (!fresh || !is_armed || has_to_hear || s_state == ASLEEP && (!is_there || !frozen)))

/* What ends with the process, and what a new one has: scaler_init(), target_start() */
inline begin_anew()
{
	closing = false; fresh = false; has_joined = false; next = NOTHING;
	taken = false; asking = false; polling = false; wants_asleep = false; goes_on = false;
	must_undo = false; is_armed = false;
	do
	:: len(ring) > 0 -> ring?x
	:: len(ring) == 0 -> break
	od;
	x = 0;
	do
	:: x < SYNS -> is_out[x] = false; replayed[x] = false; held[x / COPIES] = 0;
		ways[x / COPIES] = (ways[x / COPIES] == NOWHERE -> NOWHERE : LOST); x++
	:: x == SYNS -> break
	od;
	x = 0;
	scaler_start()
}

/*
 * The event loop, daemon_run(): one event after the other, and each to its end. A packet, the
 * killer and the clock may come between any two of these steps, and nowhere else.
 */
active proctype doze() provided (!hung)
{
	byte x;
	short ev;
	bool dispatches, acts;

#define is_idle (next == NOTHING && !dispatches && !goes_on)
begin:
	atomic { target_effects_carry_out(); dispatches = true };
	{
		do
		/* target_dispatch(): events that are raised meanwhile come in their order. */
		:: atomic {
			next == NOTHING && dispatches && pending != 0 ->
			target_next(ev);
			scaler_step(ev);
			ev = 0;
			target_effects_carry_out()
		   }
		:: atomic {
			next == NOTHING && dispatches && pending == 0 ->
			dispatches = false;
#ifndef MISTAKE_NO_LATE_REPLAY
			if
			:: acts && !s_closed -> target_effects_replay() /* target_act() */
			:: else
			fi;
#endif
			acts = false
		   }
		:: atomic { next == TO_SHRINK -> next = NOTHING; backend_cgroup_shrink() }
		:: atomic {
			next == TO_OPEN -> next = TO_REPLAY;
#ifndef MISTAKE_REPLAY_BEFORE_OPEN
			datapath_open_gate()
#endif
		   }
		:: atomic { next == TO_REPLAY -> next = NOTHING; target_effects_open_gate() }
		:: atomic { /* target_effects_look() */
			next == TO_LOOK -> next = TO_FIND;
			datapath_consume();
			if
			:: !s_closed -> target_effects_replay()
			:: else
			fi
		   }
		:: atomic { /* target_effects_find_busy() */
			next == TO_FIND -> next = NOTHING;
			pending = pending | (is_anyone(is_waiting) -> EV_BUSY : EV_QUIET)
		   }
		/* The events. A heartbeat is two of them, which nothing of doze comes between. */
		:: atomic { is_idle && len(ring) > 0 -> datapath_consume() } /* daemon_on_ring() */
		:: atomic { is_idle && taken -> taken = false; acts = true; dispatches = true } /* target_on_taken() */
		:: atomic { /* target_on_deadline() */
			is_idle && (TICK_AWAKE || TICK_SETTLING(!is_anyone(is_late)) || TICK_RETRY) ->
			pending = pending | EV_TICK; dispatches = true
		   }
		:: atomic { is_idle && TICK_LATE -> s_late = true; pending = pending | EV_TICK; dispatches = true }
		:: atomic { /* heartbeat_on_timer(), target_on_beat() */
			is_idle && beat_is_due -> fresh = true; is_armed = true; goes_on = true;
			datapath_consume();
			taken = false; acts = true; dispatches = true
		   }
		:: atomic { goes_on && next == NOTHING && !dispatches -> target_on_beat(); dispatches = true }
		:: atomic { is_idle && polling -> backend_cgroup_on_poll(); dispatches = true }
		/* target_on_ready() */
		:: atomic { is_idle && asking -> asking = false; pending = pending | EV_READY; dispatches = true }
		/* watchdog_on_end(), watchdog_start_another() */
		:: atomic { is_idle && !is_there -> is_there = true; is_armed = has_joined }
		od
	} unless {
		atomic { killed -> alive = false; killed = false; begin_anew(); ev = 0; acts = false; dispatches = false }
	};
	/* record_sweep() by the next doze run, of whatever target */
	atomic {
		next_doze ->
		next_doze = false;
		frozen = (has_record -> false : frozen);
		has_record = true;
		is_there = true;
		alive = true;
		goto begin
	}
}

/* watchdog_child_run(): watchdog_child_died(), watchdog_child_silence(), restores_write() */
active proctype watchdog()
{
end:
	do
#ifdef MISTAKE_NO_WATCHDOG
	:: false
#else
	:: atomic { is_there && !alive -> frozen = false; has_record = false; is_there = false }
	:: atomic { is_there && hung && is_armed -> frozen = false; is_armed = false }
	:: atomic { is_there && must_undo -> frozen = false; must_undo = false }
#endif
	od
}

/* --- what may happen to it --- */

/* Environment: SIGKILL of doze and of its watchdog, at any moment. */
#if KILLS > 0 || WATCHDOG_KILLS > 0
active proctype killer()
{
	byte kills = KILLS, watchdog_kills = WATCHDOG_KILLS;

end:
	do
	:: atomic { kills > 0 && alive -> kills--; hung = false; killed = true; !alive } /* at once */
	:: atomic { watchdog_kills > 0 && is_there -> watchdog_kills--; is_there = false; must_undo = false }
	od
}
#endif

/* Environment: the time. A doze that hangs is silent. */
#if HANGS > 0 || defined(MISTAKE_NO_HEARTBEAT)
active proctype clock()
{
	byte hangs = HANGS;

end:
	do
	:: atomic { fresh && alive && (!has_joined || hung) -> fresh = false }
	:: atomic { hangs > 0 && alive -> hangs--; hung = true }
	:: hung -> hung = false
	od
}
#endif

/* When nothing else can happen. */
active proctype monitor()
{
	atomic {
		run client(0);
#if FLOWS > 1
		run client(1);
#endif
#if FLOWS > 2
		run client(2);
#endif
	}
end:
	do
	:: timeout ->
		if
		:: !alive ->
			assert(!frozen || has_record && !is_there);
			assert(!frozen || WATCHDOG_KILLS > 0); /* nothing stays frozen */
			next_doze = true
		:: alive ->
			assert(answered == FLOWS);
			assert(len(ring) == 0 && !is_anyone(is_held)); /* no held SYN stays held */
			assert(s_state == AWAKE || s_state == ASLEEP);
			assert(s_state == ASLEEP || !closing && !frozen);
			assert(s_state == AWAKE || closing && fresh && frozen && is_there);
			break
		fi
	od
}
