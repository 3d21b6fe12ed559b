/* SPDX-License-Identifier: MIT */
/*
 * doze node: what the size of one pod is in its spec, its status and its cgroups.
 *
 * backend_pod and backend_kube change it at the same time as a kubelet that actuates late: a patch
 * is carried out some time after it was sent, or never; its answer comes late, or never; the kubelet
 * sees the newest spec some time later, may put it off, writes the cgroup when it likes, and says so
 * later still. doze may be killed between any two events, and is started anew by its supervisor;
 * what it has asked for may be carried out after that.
 *
 * When nothing more can happen (monitor()): a pod that is awake has its full size in spec, status
 * and cgroup, behind an open gate, and nothing of it is kept in a state file; one that is asleep is
 * behind a closed one. Always: the full size is known as long as the pod may be smaller, and no pod
 * is frozen when a new doze begins.
 *
 * Left out: containers other than one, a pod that goes or is resized by somebody else, weights and
 * bursts, pods that are taken in before the API server answers, cgroups that cannot be written, refusals that last (they are time). Assumed: the API server
 * gives a request up within BACKEND_KUBE_DOUBT_NS.
 */
#ifndef SLEEPS
#define SLEEPS 1 /* so often the gate closes */
#endif
#ifndef CALLS
#define CALLS 1 /* so often somebody calls a sleeper */
#endif
#ifndef FAULTS
#define FAULTS 0 /* answers of the API server that are lost or errors */
#endif
#ifndef REFUSALS
#define REFUSALS 0 /* of the kubelet, which may change its mind */
#endif
#ifndef KILLS
#define KILLS 0 /* of doze */
#endif

/*
 * -DLATE_PATCHES: what doze does not promise yet, and what the model finds. What a doze that was
 * killed has asked for is carried out when the next one has read the pod.
 */
#ifdef LATE_PATCHES
#define CAN_BEGIN true
#else
#define CAN_BEGIN (orphans[0] == 0 && orphans[1] == 0)
#endif

#include "scaler.pml"

/* The sizes in their order: kube_step. HALF is that of KUBE_STEP_LIMIT: the limit full, the request not. */
#define SMALL 0
#define HALF  1
#define WHOLE 2
#ifdef GUARANTEED
#define FIRST WHOLE /* kube_size_first_step() */
#else
#define FIRST HALF
#endif

/* The API server's pod. */
byte spec = WHOLE;
bool is_seen = true;	 /* the kubelet has seen that spec */
bool st_observed = true; /* and has said so */
byte st_allocated = WHOLE, st_actual = WHOLE;
bool st_pending;
bool news; /* it has changed since it was read */

/* The kubelet, and what it writes. */
byte k_spec = WHOLE, k_allocated = WHOLE, k_actual = WHOLE;
bool k_pending;
byte refusals = REFUSALS;
bool is_full = true; /* the quota */
bool frozen;

/* Requests in flight: backend_kube.request and .down; and patches whose sender is gone. */
#define REQUEST 0
#define DOWN	1
mtype = { NONE, SENT, DONE, REFUSED, UNKNOWN };
mtype r_state[2] = NONE;
bool r_is_patch[2];
byte r_step[2];
byte faults = FAULTS;
byte orphans[2]; /* 0, or 1 + its step */
/* What the read of REQUEST has found. */
byte got_spec, got_allocated, got_actual;
bool got_observed, got_pending;

/* backend_kube */
mtype = { IDLE, SHRINK_READ, SHRINK_PATCH, SHRINK_CHECK, KUBE_ASLEEP, GROW_PATCH, GROW_GRANT, RESTORE };
mtype k_phase = IDLE;
byte step;
bool may_be_small, was_small, was_refused, is_grow_refused, waits, is_timer, in_doubt, is_last_look;
bool again; /* the next look is due although nothing has changed */

/* What is due within the same event: goes_on() */
mtype = { NOTHING, ASLEEP_DONE, ASLEEP_REFUSED, ASLEEP_FAILED, SMALL_SIZE, FULL_SIZE };
mtype says = NOTHING, wants = NOTHING;
bool must_start, goes_deeper;

/* backend_pod */
mtype = { FULL, ASKING, POD_ASLEEP, RESTORING };
mtype p_phase = FULL;
bool has_shrunk_again;
bool is_kept;  /* the quota file is there */
bool is_known; /* the file of the spec is there: kube_resize_keep() */

/* The rest of doze */
bool alive; /* the first doze is started as any other */
bool is_leaving; /* node_pod: NODE_POD_LEAVING, else seated */
bool watched;	 /* the watchdog knows of the freezer */
bool is_held;	 /* somebody waits at the closed gate */
byte calls = CALLS;
byte kills = KILLS;

/* --- requests --- */

/* A patch of ours may still be carried out. */
#define is_in_flight (orphans[0] != 0 || orphans[1] != 0 || r_state[DOWN] != NONE)

/* kube_cancel(), backend_kube_cancel(): a patch may be carried out all the same. */
inline kube_cancel(slot)
{
	if
	:: r_is_patch[slot] && r_state[slot] != NONE && r_state[slot] != SENT -> in_doubt = true
	:: r_is_patch[slot] && r_state[slot] == SENT ->
#ifndef MISTAKE_SHRINK_FORGOTTEN
		in_doubt = true;
#endif
		if
		:: orphans[0] == 0 -> orphans[0] = 1 + r_step[slot]
		:: orphans[0] != 0 && orphans[1] == 0 -> orphans[1] = 1 + r_step[slot]
		:: else /* a third one is lost */
		fi
	:: else
	fi;
	kube_forget(slot)
}

/* kube_request_free(): nothing of it is left. */
inline kube_forget(slot)
{
	r_state[slot] = NONE;
	r_is_patch[slot] = false;
	r_step[slot] = 0
}

/* kube_resize_get() */
inline kube_resize_get()
{
	r_state[REQUEST] = SENT
}

/* kube_resize_patch() */
inline kube_resize_patch(what)
{
	r_state[REQUEST] = SENT;
	r_is_patch[REQUEST] = true;
	r_step[REQUEST] = what
}

/* kube_size_is_actuated(), kube_size_is_granted() */
#define is_granted(what)  (!got_pending && got_observed && got_allocated == what)
#define is_actuated(what) (is_granted(what) && got_actual == what)

/* --- backend_kube --- */

/* backend_kube_enter() */
inline k_enter(phase)
{
	k_phase = phase;
	is_timer = false
}

/* backend_kube_next(), backend_kube_start_phase(): what goes_on() does for must_start */
inline k_start_phase()
{
	must_start = false;
	kube_cancel(REQUEST);
	is_timer = false;
	again = false;
	if
	:: k_phase == SHRINK_PATCH -> kube_resize_patch(SMALL)
	:: k_phase == GROW_PATCH -> step = FIRST; kube_resize_patch(FIRST)
	:: k_phase == IDLE
	:: else -> is_last_look = !is_in_flight; kube_resize_get()
	fi
}

/* backend_kube_settle() */
inline k_settle()
{
#ifdef MISTAKE_NO_DOUBT
	in_doubt = false;
#endif
	k_enter((in_doubt -> RESTORE : IDLE));
	is_timer = in_doubt
}

/* backend_kube_shrink() */
inline k_shrink()
{
	kube_cancel(REQUEST);
	kube_cancel(DOWN);
	waits = false;
	k_enter(SHRINK_READ);
	must_start = true
}

/* backend_kube_grow(), backend_kube_resize(): a patch down that is in flight cannot be taken back. */
inline k_grow()
{
	if
	:: !may_be_small -> kube_cancel(REQUEST); k_settle(); skip
	:: else ->
		if
#ifdef MISTAKE_SHRINK_FORGOTTEN
		:: false
#else
		:: k_phase == SHRINK_PATCH && r_state[REQUEST] != NONE ->
			r_state[DOWN] = r_state[REQUEST];
			r_is_patch[DOWN] = true;
			r_step[DOWN] = r_step[REQUEST];
			kube_forget(REQUEST)
#endif
		:: else
		fi;
		k_enter(GROW_PATCH);
		waits = true;
		must_start = true
	fi
}

/* backend_kube_grown() */
inline k_grown()
{
	k_enter(RESTORE);
	is_timer = true;
	again = true;
	waits = false;
	is_grow_refused = false
}

/* backend_kube_tell_grow_refused() */
inline k_tell_grow_refused()
{
	waits = false;
	is_grow_refused = true
}

/* backend_kube_shrink_failed() */
inline k_shrink_failed(r_is_refusal)
{
	k_enter(IDLE);
	says = (r_is_refusal -> ASLEEP_REFUSED : ASLEEP_FAILED)
}

/* backend_kube_on_shrink_read(), kube_size_is_settled(), kube_size_plan(), kube_resize_keep() */
inline k_on_shrink_read()
{
	if
	:: answer == DONE && got_observed && (got_pending || got_allocated == got_spec && got_actual == got_spec) ->
		/* One that is small, or half grown, takes its full size from the state file. */
		assert(got_spec == WHOLE || is_known);
#ifndef MISTAKE_STATE_AFTER_SHRINK
		is_known = true;
#endif
		was_small = may_be_small;
		may_be_small = true;
		was_refused = false;
		k_enter(SHRINK_PATCH);
		must_start = true
	:: else -> k_shrink_failed(false)
	fi
}

/* backend_kube_on_shrink_patch(), backend_kube_note_doubt() */
inline k_on_shrink_patch()
{
	in_doubt = in_doubt || answer == UNKNOWN;
	if
	:: answer == DONE -> k_enter(SHRINK_CHECK); is_timer = true; again = true
	:: answer == UNKNOWN -> k_shrink_failed(false)
	:: answer == REFUSED -> may_be_small = was_small; k_shrink_failed(true)
	fi
}

/* backend_kube_on_shrink_check(), backend_kube_has_refused(), backend_kube_take_refusal() */
inline k_on_shrink_check()
{
	if
	:: answer == DONE && is_actuated(SMALL) -> k_enter(KUBE_ASLEEP); says = ASLEEP_DONE
	:: answer == DONE && !is_actuated(SMALL) && got_pending && got_observed ->
		was_refused = true;
		k_enter(RESTORE);
		must_start = true;
		says = ASLEEP_REFUSED
	:: !(answer == DONE && is_actuated(SMALL)) -> is_timer = true; again = again || answer != DONE
	:: !(answer == DONE && is_actuated(SMALL)) && faults > 0 -> /* BACKEND_KUBE_SHRINK_TIMEOUT_NS */
		faults--;
		k_shrink_failed(false)
	fi
}

/* backend_kube_on_grow_patch(), backend_kube_on_no_grow(), backend_kube_note_doubt() */
inline k_on_grow_patch()
{
	if
	:: answer == DONE && step == HALF -> k_grown()
	:: answer == DONE && step == WHOLE -> k_enter(GROW_GRANT); is_timer = true; again = true
	:: answer == REFUSED -> is_timer = true; k_tell_grow_refused()
	:: answer == UNKNOWN -> in_doubt = true; is_timer = true
	fi
}

/* backend_kube_on_grow_grant() */
inline k_on_grow_grant()
{
	if
	:: answer == DONE && is_granted(WHOLE) -> k_grown()
	:: answer == DONE && !is_granted(WHOLE) && got_spec != WHOLE -> k_enter(GROW_PATCH); is_timer = true
	:: answer == DONE && !is_granted(WHOLE) && got_spec == WHOLE && got_pending && got_observed ->
		k_tell_grow_refused(); is_timer = true
	:: answer != DONE || !is_granted(WHOLE) && got_spec == WHOLE -> is_timer = true; again = again || answer != DONE
	fi
}

/* backend_kube_on_restore_read(), backend_kube_start_restore(), backend_kube_is_restored(), backend_kube_note_look() */
inline k_on_restore_read()
{
	if
	:: answer == DONE && got_spec != WHOLE ->
		step = (got_spec == SMALL && !was_refused -> FIRST : WHOLE);
		may_be_small = true;
		kube_resize_patch(step)
	:: answer == DONE && got_spec == WHOLE && (!may_be_small || r_state[DOWN] == NONE && is_actuated(WHOLE)) ->
		may_be_small = false;
		in_doubt = in_doubt && !is_last_look;
		k_settle()
	:: else -> is_timer = true; again = again || answer != DONE
	fi
}

/* backend_kube_on_restore_patch() */
inline k_on_restore_patch()
{
	in_doubt = in_doubt || answer == UNKNOWN;
	is_timer = true;
	again = true
}

/* backend_kube_on_superseded() */
inline k_on_superseded()
{
	in_doubt = in_doubt || r_state[DOWN] == UNKNOWN;
	kube_forget(DOWN);
	if
	:: k_phase == GROW_GRANT || k_phase == RESTORE || k_phase == IDLE ->
		kube_cancel(REQUEST);
		k_enter((k_phase == GROW_GRANT -> GROW_GRANT : RESTORE));
		must_start = true
	:: else
	fi
}

/* The answer to backend_kube.request, by its phase: backend_kube_start_phase() */
inline k_on_answer()
{
	answer = r_state[REQUEST];
	was_patch = r_is_patch[REQUEST];
	kube_forget(REQUEST);
	if
	:: k_phase == SHRINK_READ -> k_on_shrink_read()
	:: k_phase == SHRINK_PATCH -> k_on_shrink_patch()
	:: k_phase == SHRINK_CHECK -> k_on_shrink_check()
	:: k_phase == GROW_PATCH -> k_on_grow_patch()
	:: k_phase == GROW_GRANT -> k_on_grow_grant()
	:: k_phase == RESTORE && !was_patch -> k_on_restore_read()
	:: k_phase == RESTORE && was_patch -> k_on_restore_patch()
	fi;
	answer = NONE;
	was_patch = false;
	is_last_look = is_last_look && r_state[REQUEST] != NONE;
	got_spec = 0; got_allocated = 0; got_actual = 0; got_observed = false; got_pending = false
}

/* Whether a look would find anything new; it is left out where it would not. */
#define look_is_due (is_timer && (k_phase == GROW_PATCH || again || news || st_pending || in_doubt && !is_in_flight))

/* --- backend_pod --- */

/* backend_done() */
inline backend_done(ev)
{
	pending = pending | (is_leaving -> 0 : ev)
}

/* backend_pod_on_kube_asleep(): refused for good, it sleeps by its cgroups alone. */
inline backend_pod_on_kube_asleep()
{
	if
	:: p_phase == ASKING && says == ASLEEP_FAILED -> backend_done(EV_SHRINK_FAILED)
	:: p_phase == ASKING && says != ASLEEP_FAILED -> goes_deeper = true
	:: else
	fi;
	says = NOTHING
}

/* backend_pod_go_deeper(), pod_cgroups_throttle(), pod_cgroups_freeze(), backend_pod_poll_freeze() */
inline backend_pod_go_deeper()
{
	goes_deeper = false;
	is_full = false;
	if
	:: true /* --asleep=throttle, or a client is connected */
	:: true -> watched = true; frozen = true
	fi;
	if
	:: p_phase = POD_ASLEEP; backend_done(EV_SHRUNK)
	:: frozen -> backend_done(EV_SHRINK_FAILED)
	fi
}

/* backend_pod_shrink(), pod_cgroups_take_full(), backend_pod_write_state() */
inline backend_pod_shrink()
{
	assert(p_phase != FULL || is_full); /* what is taken for full is full */
#ifndef MISTAKE_STATE_AFTER_SHRINK
	is_kept = true;
#endif
	p_phase = ASKING;
	k_shrink()
}

/* backend_pod_grow(), pod_cgroups_set_full(), pod_cgroups_thaw() */
inline backend_pod_grow()
{
	has_shrunk_again = false;
	if
	:: p_phase != FULL -> frozen = false; watched = false; is_full = true; p_phase = RESTORING
	:: else
	fi;
	backend_done(EV_GROWN);
	k_grow()
}

#ifdef MISTAKE_NO_SETTLE
#define settle_is_due (p_phase == RESTORING)
#else
#define settle_is_due (p_phase == RESTORING && (!is_full || !may_be_small))
#endif
/* backend_pod_settle(): what the kubelet has written meanwhile is overwritten. */
inline backend_pod_settle()
{
#ifdef MISTAKE_NO_SETTLE
	p_phase = FULL;
	is_kept = false
#else
	if
	:: !is_full -> is_full = true
	:: is_full && !may_be_small -> p_phase = FULL; is_kept = false
	fi
#endif
}

/* backend_pod_reassert() */
#define reassert_is_due (s_state == ASLEEP && p_phase == POD_ASLEEP && is_full)
inline backend_pod_reassert()
{
	if
	:: !has_shrunk_again -> has_shrunk_again = true; wants = SMALL_SIZE
	:: has_shrunk_again -> goes_deeper = true
	fi
}

/* --- the target and its pod --- */

/* target_effects_carry_out() */
inline target_effects_carry_out()
{
	wants = (fx & FX_SHRINK -> SMALL_SIZE : (fx & FX_GROW -> FULL_SIZE : wants));
	pending = pending | (fx & FX_ASK_READY -> EV_READY : 0) | (fx & FX_LOOK -> EV_QUIET : 0);
	is_held = (fx & FX_OPEN_GATE -> false : is_held);
	fx = 0
}

/*
 * What follows from an event, each to its end: target_dispatch(), backend_resize(), backend_done().
 * Packets are wake.pml's, and never come between.
 */
inline goes_on()
{
	do
	:: must_start -> k_start_phase()
	:: !must_start && says != NOTHING -> backend_pod_on_kube_asleep()
	:: !must_start && says == NOTHING && goes_deeper -> backend_pod_go_deeper()
	:: !must_start && says == NOTHING && !goes_deeper && wants == SMALL_SIZE ->
		wants = NOTHING; backend_pod_shrink()
	:: !must_start && says == NOTHING && !goes_deeper && wants == FULL_SIZE ->
		wants = NOTHING; backend_pod_grow()
	:: !must_start && says == NOTHING && !goes_deeper && wants == NOTHING && pending != 0 ->
		target_next(ev);
		scaler_step(ev);
		ev = 0;
		target_effects_carry_out()
	:: !must_start && says == NOTHING && !goes_deeper && wants == NOTHING && pending == 0 -> break
	od
}

/* node_pod_leave(): the full size first, without a gate. */
inline node_pod_leave()
{
	is_leaving = true;
	wants = FULL_SIZE
}

/* node_pod_come_in(), pod_size_find(), backend_kube_adopt(), backend_pod_new(), node_pod_needs_mending() */
inline node_pod_come_in()
{
	is_leaving = false;
	k_phase = IDLE;
	may_be_small = spec != WHOLE;
	in_doubt = false;
	assert(spec == WHOLE || is_known); /* the full size is known */
	p_phase = (is_kept || may_be_small -> POD_ASLEEP : FULL);
	scaler_start();
	if
	:: p_phase == FULL -> pending = EV_READY
	/* pod_size_recall(), pod_cgroups_are_asleep(); target_resume(), scaler_resume_asleep() */
	:: p_phase == POD_ASLEEP && is_kept && (!is_full || frozen) ->
		s_state = ASLEEP;
		s_closed = true;
		goes_deeper = true;
		if
		:: skip
		:: pending = EV_TRAFFIC /* called_meanwhile */
		fi
	:: else -> node_pod_leave()
	fi;
	fx = 0
}

/* Environment: what ends with the process, its connections to the API server too. */
inline daemon_dies()
{
	alive = false;
	kube_cancel(REQUEST);
	kube_cancel(DOWN);
	k_enter(IDLE);
	may_be_small = false; was_small = false; was_refused = false; is_grow_refused = false;
	waits = false; in_doubt = false; again = false; step = 0;
	p_phase = FULL; has_shrunk_again = false; is_leaving = false; is_held = false;
	got_spec = 0; got_allocated = 0; got_actual = 0; got_observed = false; got_pending = false;
	scaler_start();
	fx = 0
}

/* daemon_run(), cmd_node_daemon(): an event is carried out to its end. */
active proctype doze()
{
	short ev;
	mtype answer = NONE;
	bool was_patch;

end:
	do
	:: atomic {
		if
		:: alive && r_state[REQUEST] != NONE && r_state[REQUEST] != SENT -> k_on_answer()
		:: alive && r_state[DOWN] != NONE && r_state[DOWN] != SENT -> k_on_superseded()
		:: alive && look_is_due -> /* backend_kube_on_timer() */
			must_start = true
		:: alive && settle_is_due -> backend_pod_settle() /* backend_pod_on_timer() */
		:: alive && !is_leaving && (TICK_AWAKE || TICK_SETTLING(true) || TICK_RETRY) -> pending = EV_TICK
		:: alive && !is_leaving && TICK_LATE -> s_late = true; pending = EV_TICK
		:: alive && s_closed && calls > 0 -> calls--; is_held = true; pending = EV_TRAFFIC
		:: alive && reassert_is_due -> backend_pod_reassert() /* target_on_beat() */
		/* node_pod_on_poll(), backend_pod_is_settled(), pod_kept_drop() */
		:: alive && is_leaving && p_phase == FULL && !may_be_small -> 
			is_kept = false;
			is_known = false;
			daemon_dies()
		/* supervisor_on_daemon_end(), supervisor_settle(), watchdog_child_died() */
		:: alive && kills > 0 -> kills--; daemon_dies()
		:: !alive && watched ->
#ifndef MISTAKE_NO_WATCHDOG
			frozen = false;
#endif
			watched = false
		/* supervisor_start_later(), supervisor_start(), node_pod_take() */
		:: !alive && !watched && CAN_BEGIN -> assert(!frozen); alive = true; node_pod_come_in()
		fi;
		goes_on()
	   }
	od
}

/* --- the cluster --- */

/* Environment: a patch is carried out. */
inline apply(what)
{
	if
	:: spec != what -> spec = what; is_seen = false; st_observed = false; news = true
	:: else
	fi
}

/* Environment: the API server. Patches overtake each other. */
active proctype server()
{
	byte i;

end:
	do
	:: atomic {
		r_state[REQUEST] == SENT && !r_is_patch[REQUEST] ->
		got_spec = spec; got_observed = st_observed; got_allocated = st_allocated;
		got_actual = st_actual; got_pending = st_pending; news = false;
		r_state[REQUEST] = DONE
	   }
	:: atomic { r_state[REQUEST] == SENT && r_is_patch[REQUEST] -> apply(r_step[REQUEST]); r_state[REQUEST] = DONE }
	:: atomic { r_state[DOWN] == SENT -> apply(r_step[DOWN]); r_state[DOWN] = DONE }
	:: atomic {
		faults > 0 && (r_state[REQUEST] == SENT || r_state[DOWN] == SENT) ->
		faults--;
		i = (r_state[DOWN] == SENT -> DOWN : REQUEST);
		if
		:: r_is_patch[i] -> apply(r_step[i]); r_state[i] = UNKNOWN
		:: r_is_patch[i] && orphans[0] == 0 -> orphans[0] = 1 + r_step[i]; r_state[i] = UNKNOWN
		:: r_is_patch[i] -> r_state[i] = REFUSED
		:: r_state[i] = UNKNOWN
		fi;
		i = 0
	   }
	:: atomic { orphans[0] != 0 -> apply(orphans[0] - 1); orphans[0] = 0 }
	:: atomic { orphans[0] != 0 -> orphans[0] = 0 }
	:: atomic { orphans[1] != 0 -> apply(orphans[1] - 1); orphans[1] = 0 }
	:: atomic { orphans[1] != 0 -> orphans[1] = 0 }
	od
}

/* Environment: the kubelet. It sees, grants, writes and says, each some time after the other. */
active proctype kubelet()
{
end:
	do
	:: atomic { !is_seen -> is_seen = true; k_spec = spec; k_pending = k_pending && k_spec != k_allocated }
	:: atomic { k_allocated != k_spec -> k_allocated = k_spec; k_pending = false }
	:: atomic { k_allocated != k_spec && refusals > 0 && !k_pending -> refusals--; k_pending = true }
	:: atomic { k_actual != k_allocated -> k_actual = k_allocated; is_full = k_actual != SMALL }
	:: atomic {
		st_observed != is_seen || st_allocated != k_allocated || st_actual != k_actual ||
		st_pending != k_pending ->
		st_observed = is_seen; st_allocated = k_allocated; st_actual = k_actual;
		st_pending = k_pending;
		news = true
	   }
	od
}

/* When nothing else can happen. */
active proctype monitor()
{
	timeout;
	assert(alive && !is_leaving && !is_held);
	assert(s_state == AWAKE || s_state == ASLEEP);
	assert(s_state == ASLEEP || !s_closed && is_full && !frozen);
	/* The last word on size is right. */
	assert(s_state == ASLEEP || spec == WHOLE && st_observed && st_allocated == WHOLE && st_actual == WHOLE);
	assert(s_state == ASLEEP || p_phase == FULL && k_phase == IDLE && !is_kept);
	assert(s_state == AWAKE || s_closed && !is_full && is_kept && p_phase == POD_ASLEEP)
}
