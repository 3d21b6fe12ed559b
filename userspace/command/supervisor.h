/* SPDX-License-Identifier: MIT */
/*
 * `doze node` and `doze sidecar` are two processes. The first is the watchdog of the second, which
 * does the work: it undoes what a daemon that died or hangs has done, and starts it anew at once,
 * because a runtime that restarts a container waits longer each time.
 *
 *   supervisor ---- fork ----> daemon: runs the command
 *      ^  |  ^                   |
 *      |  |  `-- restores, beats '          (cgroup/watchdog.h)
 *      |  `----- SIGTERM, SIGINT, SIGHUP -> passed on
 *      `-------- its end:  exit status  -> ours
 *                          by a signal  -> restore, start anew after a pause
 *
 * It is the first process of its container: whoever is left without a parent there is reaped here.
 */
#ifndef DOZE_SUPERVISOR_H
#define DOZE_SUPERVISOR_H

#include "cgroup/watchdog.h"
#include "config/config.h"

/* The daemon: owns the watchdog, and joins its loop to it (watchdog_join()). Its exit status. */
typedef int (*supervisor_daemon_fn)(const struct config *config, struct watchdog *watchdog);

struct supervisor_settings {
	supervisor_daemon_fn daemon;
	const struct config *config;
	int hang_ms; /* a daemon whose loop stands still for so long is killed; 0: for a minute */
};

/* Returns the exit status of the process. Called before anything is opened. */
int supervisor_run(const struct supervisor_settings *settings);

#endif
