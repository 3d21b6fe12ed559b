// SPDX-License-Identifier: MIT
/* `doze run`: one target on this machine, put to sleep by its cgroup. No cluster needed. */
#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "backend/backend_cgroup.h"
#include "base/confine.h"
#include "base/log.h"
#include "base/util.h"
#include "cgroup/cgroup.h"
#include "cgroup/cgroup_mounts.h"
#include "cgroup/record.h"
#include "command/command.h"
#include "command/privilege.h"
#include "command/process.h"
#include "config/config.h"
#include "config/target_config.h"
#include "report/server.h"
#include "target/daemon.h"
#include "target/target_seat.h"

/* What is left in the cgroup when the command has ended gets this long after SIGTERM. */
#define CMD_RUN_GRACE_MS 5000

struct cmd_run {
	const struct config *config;
	struct target_config target;
	char socket[64];
	struct watchdog *watchdog;
	struct process process;
	struct cgroup cgroup;
	enum backend_cgroup_mode mode;
	struct backend_cgroup *backend;
	struct daemon daemon;
	struct target_seat seat;
	struct event *on_exit;
};

/* --- events --- */

static void cmd_run_on_process_exit(evutil_socket_t fd, short what, void *arg)
{
	struct cmd_run *run = arg;

	(void)fd;
	(void)what;
	daemon_leave(&run->daemon);
}

/*
 * The process is awake when the signal reaches it. A signal of the terminal (SI_KERNEL) went to
 * the whole foreground group, and so to a child of ours as well: it must not get it twice.
 */
static void cmd_run_on_signal(void *arg, const struct signalfd_siginfo *info)
{
	struct cmd_run *run = arg;
	int r;

	log_info("passing a signal on", "signal=%u", info->ssi_signo);
	target_stop(run->seat.target);
	if (!run->process.is_child) {
		daemon_leave(&run->daemon);
		return;
	}
	if (info->ssi_code == SI_KERNEL)
		return;
	r = process_signal(&run->process, (int)info->ssi_signo);
	if (r < 0 && r != -ESRCH)
		log_err(r, "cannot signal pid %d", (int)run->process.pid);
}

/* --- setting up: each step logs its own failure --- */

static int cmd_run_check_privileges(struct cmd_run *run)
{
	const struct privilege_needs needs = {
		.enters_netns = run->config->pid != 0,
		.replays_on_lo = run->config->gate.can_replay,
	};

	return privilege_check(&needs);
}

static int cmd_run_find_process(struct cmd_run *run)
{
	if (run->config->pid)
		return process_adopt(&run->process, run->config->pid);
	return process_find_command(run->config->command[0]);
}

/* Freezes by default; throttles where it is asked for, or where nothing can freeze. */
static enum backend_cgroup_mode cmd_run_choose_mode(const struct cmd_run *run,
						    const struct cgroup_mounts *mounts)
{
	if (run->config->asleep == CONFIG_ASLEEP_THROTTLE)
		return BACKEND_CGROUP_THROTTLE;
	if (run->config->asleep == CONFIG_ASLEEP_DEFAULT &&
	    !mounts->controls[CGROUP_FREEZER].version && mounts->controls[CGROUP_CPU].version) {
		log_warn("no cgroup freezer on this machine", "asleep=throttle");
		return BACKEND_CGROUP_THROTTLE;
	}
	return BACKEND_CGROUP_FREEZE;
}

static int cmd_run_open_cgroup(struct cmd_run *run, const struct cgroup_mounts *mounts,
			       enum backend_cgroup_mode mode)
{
	const struct cgroup_needs needs = {
		.needs_freezer = mode == BACKEND_CGROUP_FREEZE,
		.needs_cpu = mode == BACKEND_CGROUP_THROTTLE,
	};

	cgroup_sweep(mounts);
	record_sweep(SERVER_DIRECTORY);
	if (run->config->pid)
		return cgroup_of_pid(&run->cgroup, mounts, &needs, run->config->pid);
	return cgroup_create(&run->cgroup, mounts, &needs);
}

static int cmd_run_open_backend(struct cmd_run *run)
{
	struct backend_cgroup_settings settings = {
		.asleep_millicpu = run->config->asleep_millicpu,
	};
	_cleanup_(freep) struct cgroup_mounts *mounts = calloc(1, sizeof(*mounts));
	int r = mounts ? cgroup_mounts_find(mounts, "/") : -ENOMEM;

	if (r < 0)
		return r;
	settings.mode = cmd_run_choose_mode(run, mounts);
	r = cmd_run_open_cgroup(run, mounts, settings.mode);
	if (r < 0)
		return r;
	run->mode = settings.mode;
	return backend_cgroup_new(&run->backend, run->daemon.base, &run->cgroup, &settings,
				  run->watchdog);
}

static int cmd_run_open_loop(struct cmd_run *run)
{
	int r = daemon_open_loop(&run->daemon, cmd_run_on_signal, run);

	if (r < 0)
		return r;
	watchdog_keep_record(run->watchdog, SERVER_DIRECTORY);
	return watchdog_join(run->watchdog, run->daemon.base);
}

static int cmd_run_open_gate(struct cmd_run *run)
{
	const struct target_seat_settings target_seat_settings = {
		.netns_pid = run->config->pid,
		.ports = run->target.ports,
		.ports_len = run->config->ports.len,
	};
	struct daemon_gate_settings settings = run->config->gate;
	int r;

	target_config_add_ports(&run->target, run->config);
	settings.watchdog = run->watchdog;
	settings.has_udp = target_config_has_udp(&run->target);
	settings.tc_handle = target_config_tc_handle(&run->target);
	r = daemon_open_gate(&run->daemon, &settings);
	return r < 0 ? r : target_seat_open(&run->seat, &run->daemon, &target_seat_settings);
}

static int cmd_run_open_target(struct cmd_run *run)
{
	const struct target_seat_target what = {
		.backend = backend_cgroup_as_backend(run->backend),
		.settings = &run->target.settings,
		.interfaces = run->config->interfaces.of,
		.interfaces_len = run->config->interfaces.len,
	};

	target_config_fill(&run->target, run->config);
	if (!backend_cgroup_can_throttle(run->backend)) {
		log_warn("no CPU quota here: the process stays awake while a client is connected",
			 NULL);
		run->target.settings.activity.busy.sleeps_with_connections = false;
	}
	return target_seat_open_target(&run->seat, &what);
}

static int cmd_run_open_server(struct cmd_run *run)
{
	snprintf(run->socket, sizeof(run->socket), SERVER_DIRECTORY "/run-%d.sock", (int)getpid());
	return daemon_open_server(&run->daemon, run->config->socket, run->socket,
				  run->config->listen);
}

static int cmd_run_start_process(struct cmd_run *run)
{
	if (run->config->pid)
		return 0;
	return process_start(&run->process, run->config->command, &run->cgroup);
}

static int cmd_run_watch_process(struct cmd_run *run)
{
	run->on_exit = event_new(run->daemon.base, run->process.pidfd, EV_READ,
				 cmd_run_on_process_exit, run);
	if (!run->on_exit || event_add(run->on_exit, NULL) < 0)
		return log_err(-ENOMEM, "cannot watch pid %d", (int)run->process.pid);
	return 0;
}

/* The command has been started, with all that doze was given. From here on doze starts nothing. */
static int cmd_run_confine(struct cmd_run *run)
{
	const struct privilege_needs needs = {
		.enters_netns = run->config->pid != 0,
		.opens_others = run->config->pid != 0,
		.replays_on_lo = run->config->gate.can_replay,
		.signals_others = run->config->pid == 0,
		.writes_others = true,
	};

	privilege_keep(&needs);
	confine_calls(CONFINE_RUN);
	return 0;
}

/* --- taking down: the reverse --- */

/* The command has ended; what it left running in its cgroup ends with it. */
static void cmd_run_end_cgroup(struct cmd_run *run)
{
	const struct timespec pause = { .tv_nsec = 5 * (long)NS_PER_MS };
	uint64_t kill_ns = monotonic_ns() + CMD_RUN_GRACE_MS * NS_PER_MS;
	uint64_t give_up_ns = kill_ns + CMD_RUN_GRACE_MS * NS_PER_MS;

	cgroup_signal(&run->cgroup, SIGTERM);
	while (cgroup_remove(&run->cgroup) == -EBUSY) {
		uint64_t now_ns = monotonic_ns();

		if (now_ns >= give_up_ns) {
			log_err(-EBUSY, "cannot end all processes of the cgroup: the next doze "
					"run removes it");
			return;
		}
		if (now_ns >= kill_ns)
			cgroup_signal(&run->cgroup, SIGKILL);
		nanosleep(&pause, NULL);
	}
}

static void cmd_run_take_down(struct cmd_run *run)
{
	if (run->seat.target)
		target_stop(run->seat.target);
	cmd_run_end_cgroup(run);
	target_seat_close(&run->seat);
	daemon_close(&run->daemon);
	backend_cgroup_free(&run->backend);
	cgroup_free(&run->cgroup);
	if (run->on_exit)
		event_free(run->on_exit);
	watchdog_free(&run->watchdog);
	daemon_free(&run->daemon);
	process_release(&run->process);
}

static void cmd_run_log_watching(const struct cmd_run *run)
{
	bool freezes = run->mode == BACKEND_CGROUP_FREEZE;

	log_info("watching",
		 "port=%u/%s idle_after_ms=%" PRIu64 " asleep=%s cgroup_version=%d pid=%d",
		 run->config->ports.of[0].port,
		 config_protocol_name(run->config->ports.of[0].protocol),
		 run->config->target.idle_ns / NS_PER_MS, freezes ? "freeze" : "throttle",
		 run->cgroup.controls[freezes ? CGROUP_FREEZER : CGROUP_CPU].version,
		 (int)run->process.pid);
}

static int cmd_run_main(struct cmd_run *run)
{
	int status = 0;

	cmd_run_log_watching(run);
	target_start(run->seat.target);
	daemon_run(&run->daemon);
	daemon_drain(&run->daemon);
	if (run->process.is_child)
		status = process_wait(&run->process);
	daemon_log_counters(&run->daemon);
	return status;
}

static int cmd_run_start(const struct config *config)
{
	static struct cmd_run run = {
		.process = PROCESS_NONE,
		.cgroup = CGROUP_EMPTY,
		.daemon = DAEMON_CLOSED,
		.seat = TARGET_SEAT_CLOSED,
	};
	int r, status = 1;

	run.config = config;
	/* Before anything is opened that the watchdog would inherit. */
	r = watchdog_start(&run.watchdog);
	if (r == 0)
		r = COMMAND_STEPS(&run, cmd_run_check_privileges, cmd_run_find_process,
				  cmd_run_open_loop, cmd_run_open_gate, cmd_run_open_backend,
				  cmd_run_open_target, cmd_run_open_server, cmd_run_start_process,
				  cmd_run_watch_process, cmd_run_confine);
	if (r == 0)
		status = cmd_run_main(&run);
	cmd_run_take_down(&run);
	return status;
}

const struct command cmd_run = {
	.name = "run",
	.settings = CONFIG_RUN,
	.run = cmd_run_start,
	.brief = "start a process, or take one that runs, and let it sleep when idle",
	.usage = "-p PORT [FLAG]... -- COMMAND [ARGUMENT]...\n-p PORT [FLAG]... --pid PID",
	.about =
		"Puts a process to sleep in place when nobody calls its ports, and wakes it on the "
		"first packet. The client's SYN is held meanwhile and delivered when the process is "
		"ready. Nothing is between client and process: no proxy, no other port.",
	.needs = "Needs CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN, CAP_NET_RAW and write access to the "
		 "cgroups (root has all of them); --pid into another network namespace needs "
		 "CAP_SYS_ADMIN.",
	.signals = "Signals: SIGINT, SIGTERM and SIGHUP wake the process and are passed on to it. "
		   "After SIGKILL of doze a watchdog thaws the process, and the gate is gone with "
		   "doze. With --pid a signal ends doze alone: the process is left awake.",
	.exit_status = "Exit status: that of the command (128 + N if signal N ended it); 2 if the "
		       "flags are wrong; 1 if something else is. With --pid: 0.",
};
