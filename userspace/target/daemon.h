/* SPDX-License-Identifier: MIT */
/*
 * What every way to run doze has in common, and what all targets share: the event loop, the
 * programs, the status. Opened in steps, because what a target is may have to be asked of somebody
 * first. A target has its place in a seat (target/target_seat.h).
 */
#ifndef DOZE_DAEMON_H
#define DOZE_DAEMON_H

#include <stddef.h>
#include <sys/signalfd.h>

#include "activity/sockdiag_answered.h"
#include "cgroup/watchdog.h"
#include "gate/datapath.h"
#include "gate/replay.h"
#include "gate/steer.h"
#include "probe/responder.h"
#include "report/refusals.h"
#include "report/status.h"
#include "target/heartbeat.h"
#include "target/target.h"

/* SIGINT, SIGTERM or SIGHUP has come; called from the loop. */
typedef void (*daemon_signal_fn)(void *arg, const struct signalfd_siginfo *info);

struct daemon_gate_settings {
	enum hooks_kind hook;
	bool can_replay;
	bool has_udp;
	bool has_namespaces; /* targets in more than one of them */
	uint32_t tc_handle;  /* of no other doze in these namespaces, and the same next time */
	struct watchdog *watchdog; /* NULL: none; borrowed */
};

struct daemon {
	struct event_base *base;
	struct http *http;
	struct replay_program *replay;	    /* NULL: off, or not on this kernel */
	struct sockdiag_answered *answered; /* NULL: not on this kernel */
	struct datapath *datapath;
	struct heartbeat *heartbeat;
	struct steer *steer; /* NULL: nobody has asked for it yet, or not on this kernel */
	bool has_tried_steer;
	struct server *server;
	struct target *targets[GATE_TARGETS_MAX]; /* by their ids */
	struct connection_counters past_probes;	  /* of targets that are gone */
	struct status_target *told;		  /* of the last snapshot */
	struct refusals refusals;
	const char *problem; /* why there is no target; NULL or "": none is known; borrowed */
	uint64_t started_ns;
	unsigned int leaves; /* calls of daemon_leave() */
	int signal_fd;
	struct event *on_signal, *on_ring;
	daemon_signal_fn signalled;
	void *signal_arg;
};

#define DAEMON_CLOSED                                                                              \
	{                                                                                          \
		.signal_fd = -1                                                                    \
	}

/* All log their errors, -errno; after a failure closing undoes what was done. */

/* The loop, libcurl, and the signals, which are blocked from now on. */
int daemon_open_loop(struct daemon *d, daemon_signal_fn signalled, void *arg);

/* The gate and what belongs to it is loaded, and attached to nothing. */
int daemon_open_gate(struct daemon *d, const struct daemon_gate_settings *settings);

/* After the seats. It may be opened again. */
void daemon_close_gate(struct daemon *d);

/* Loaded by the first call. NULL, logged: not on this kernel, or not with these rights. */
struct steer *daemon_steer(struct daemon *d);

/* A number that no target has. -ENOSPC, logged. */
int daemon_find_id(const struct daemon *d, uint32_t *out);

/* The gate's records of that id go to t, until it is removed. */
void daemon_add_target(struct daemon *d, uint32_t id, struct target *t);
void daemon_remove_target(struct daemon *d, uint32_t id);

/* For the status: a pod is left alone, and why; or is so no more. See report/status.h. */
void daemon_add_refusal(struct daemon *d, const char *uid, const char *pod, const char *reason,
			const char *why);
void daemon_remove_refusal(struct daemon *d, const char *uid);

/*
 * Serves the status (report/server.h): on socket, the value of --socket ("none": on none). If it is
 * NULL, on default_socket, whose failure is only logged. And on listen, unless that is NULL.
 */
int daemon_open_server(struct daemon *d, const char *socket, const char *default_socket,
		       const char *listen);

/* Until daemon_leave(). */
void daemon_run(struct daemon *d);
void daemon_leave(struct daemon *d);

/*
 * Stops the targets that are not stopped or abandoned yet. What doze carries of their clients'
 * requests has some seconds to be answered, or until daemon_leave(). Runs the loop meanwhile.
 */
void daemon_drain(struct daemon *d);

/* What the gate and the replay have counted, as log lines. */
void daemon_log_counters(const struct daemon *d);

/*
 * After the seats: nothing is attached or served any more. A backend is freed after this, and
 * before daemon_free(), which ends the loop.
 */
void daemon_close(struct daemon *d);
void daemon_free(struct daemon *d);

#endif
