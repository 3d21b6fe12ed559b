/* SPDX-License-Identifier: MIT */
/*
 * What every way to run doze has in common: the event loop, the gate in one network namespace, and
 * one target behind it. Opened in three steps, because what a target is may have to be asked of
 * somebody first; closed in two.
 */
#ifndef DOZE_DAEMON_H
#define DOZE_DAEMON_H

#include <stddef.h>
#include <sys/signalfd.h>

#include "datapath.h"
#include "interfaces.h"
#include "status.h"
#include "target.h"

#define DAEMON_PORTS_MAX 64

/* SIGINT, SIGTERM or SIGHUP has come; called from the loop. */
typedef void (*daemon_signal_fn)(void *arg, const struct signalfd_siginfo *info);

struct daemon_gate_settings {
	pid_t netns_pid; /* the namespace of this process; 0: our own */
	enum datapath_hook hook;
	bool can_replay;
	const struct target_port *ports; /* borrowed until daemon_close() */
	size_t ports_len;
};

struct daemon {
	struct event_base *base;
	struct http *http;
	struct netns ns;
	struct replay *replay;
	struct datapath *datapath;
	struct target *target;
	struct interfaces *interfaces;
	struct server *server;
	struct status_target told; /* of the last snapshot */
	uint64_t started_ns;
	int portlock_fds[DAEMON_PORTS_MAX];
	size_t portlocks_len;
	int signal_fd;
	struct event *on_signal, *on_ring;
	daemon_signal_fn signalled;
	void *signal_arg;
};

#define DAEMON_CLOSED                                                                              \
	{                                                                                          \
		.ns = { .fd = -1, .home_fd = -1, .is_home = true }, .signal_fd = -1                \
	}

/* All log their errors, -errno; after a failure closing undoes what was done. */

/* The loop, libcurl, and the signals, which are blocked from now on. */
int daemon_open_loop(struct daemon *d, daemon_signal_fn signalled, void *arg);

/* The namespace, its ports locked, and the gate loaded. */
int daemon_open_gate(struct daemon *d, const struct daemon_gate_settings *settings);

/* The target, then the gate attached to interfaces (names; none: every one with an address). */
int daemon_open_target(struct daemon *d, struct backend *backend, struct watchdog *watchdog,
		       const struct target_settings *settings, const char *const *interfaces,
		       size_t interfaces_len);

/*
 * Serves the status (server.h): on the socket that --socket names ("none": on none), else on the
 * default one, without which doze can do; and on --listen, unless that is NULL.
 */
int daemon_open_server(struct daemon *d, const char *socket, const char *default_socket,
		       const char *listen);

/* Until daemon_leave(). */
void daemon_run(struct daemon *d);
void daemon_leave(struct daemon *d);

/* What the gate and the replay have counted, as log lines. */
void daemon_log_counters(const struct daemon *d);

/*
 * Wakes the target and detaches the gate. The backend is the caller's: it is freed after this, and
 * before daemon_free(), which ends the loop.
 */
void daemon_close(struct daemon *d);
void daemon_free(struct daemon *d);

#endif
