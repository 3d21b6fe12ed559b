// SPDX-License-Identifier: MIT
/* `doze sidecar`: the pod that it runs in is the target, put to sleep through the API server. */
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/backend_kube.h"
#include "base/confine.h"
#include "base/file.h"
#include "base/log.h"
#include "base/timer.h"
#include "base/util.h"
#include "command/command.h"
#include "command/privilege.h"
#include "command/supervisor.h"
#include "config/config.h"
#include "kube/kube.h"
#include "kube/kube_event.h"
#include "pod/own_container.h"
#include "pod/pod_target.h"
#include "report/server.h"
#include "target/daemon.h"
#include "target/target_seat.h"

/*
 * What cannot be put to sleep yet is tried again, in pauses from the first to the last. A server
 * that does not answer will answer soon; a refusal lasts until somebody changes the cluster.
 */
#define CMD_SIDECAR_PAUSE_MIN_S	       1
#define CMD_SIDECAR_PAUSE_UNANSWERED_S 30
#define CMD_SIDECAR_PAUSE_MAX_S	       300

#define CMD_SIDECAR_PROBLEM_MAX 1024

/* On SIGTERM the API server has so long to give the pod its full size; we look after each step. */
#define CMD_SIDECAR_STOP_NS	 (5 * NS_PER_S)
#define CMD_SIDECAR_STOP_STEP_US 20000

struct cmd_sidecar {
	const struct config *config;
	struct watchdog *watchdog;
	struct daemon daemon;
	struct target_seat seat;
	struct kube_access access;
	struct kube *kube;
	struct backend_kube *backend;
	struct kube_event_sender *events;
	struct kube_pod *pod; /* as it was when we began to watch it */
	struct pod_target target;
	struct timer *retry, *stopping;
	int pause_s;
	char problem[CMD_SIDECAR_PROBLEM_MAX]; /* why nothing sleeps; "": it is watched */
	char own_name[OWN_CONTAINER_NAME_MAX]; /* "": only the flag tells */
	uint64_t stop_ns;
	bool is_stopping;
};

/* --- stopping --- */

static void cmd_sidecar_on_stopping(void *arg)
{
	struct cmd_sidecar *s = arg;

	if (backend_kube_is_full(s->backend) || monotonic_ns() >= s->stop_ns)
		daemon_leave(&s->daemon);
	else
		timer_in_ns(s->stopping, CMD_SIDECAR_STOP_STEP_US * NS_PER_US);
}

static void cmd_sidecar_on_signal(void *arg, const struct signalfd_siginfo *info)
{
	struct cmd_sidecar *s = arg;

	log_info("stopping", "signal=%u", info->ssi_signo);
	if (s->is_stopping)
		return;
	s->is_stopping = true;
	if (!s->seat.target) {
		daemon_leave(&s->daemon);
		return;
	}
	target_stop(s->seat.target);
	s->stop_ns = monotonic_ns() + CMD_SIDECAR_STOP_NS;
	timer_in_ns(s->stopping, CMD_SIDECAR_STOP_STEP_US * NS_PER_US);
}

/* The pod is gone: nothing is left to be resized, so we go as well. */
static void cmd_sidecar_on_gone(void *arg)
{
	struct cmd_sidecar *s = arg;

	s->is_stopping = true;
	daemon_leave(&s->daemon);
}

static void cmd_sidecar_on_restarted(void *arg)
{
	struct cmd_sidecar *s = arg;

	if (s->seat.target)
		target_restarted(s->seat.target);
}

/* --- the API server --- */

static int cmd_sidecar_check_privileges(struct cmd_sidecar *s)
{
	const struct privilege_needs needs = { 0 };

	(void)s;
	return privilege_check(&needs);
}

/* Whatever its name is: a container that put itself to sleep would wake nobody. */
static int cmd_sidecar_find_own_container(struct cmd_sidecar *s)
{
	_cleanup_(freep) char *mounts = NULL;

	if (!*s->own_name && file_read("/proc/self/mountinfo", &mounts) == 0 &&
	    own_container_find(mounts, s->own_name))
		log_info("our own container stays awake", "container=%s", s->own_name);
	return 0;
}

static int cmd_sidecar_open_access(struct cmd_sidecar *s)
{
	int r = s->access.server ? 0 : command_open_access(&s->access, s->config);

	if (r < 0)
		kube_access_free(&s->access);
	return r;
}

static struct kube_size_choice cmd_sidecar_choice(const struct cmd_sidecar *s)
{
	return (struct kube_size_choice){
		.names = s->config->containers.of,
		.names_len = s->config->containers.len,
		.own_name = *s->own_name ? s->own_name : s->config->own_container,
		.asleep_millicpu = s->config->asleep_millicpu,
	};
}

static int cmd_sidecar_open_backend(struct cmd_sidecar *s)
{
	const struct backend_kube_settings settings = {
		.namespace = s->config->pod_namespace,
		.name = s->config->pod_name,
		.uid = s->config->pod_uid,
		.state_file = s->config->state_file,
		.choice = cmd_sidecar_choice(s),
		.restarted = cmd_sidecar_on_restarted,
		.gone = cmd_sidecar_on_gone,
		.arg = s,
	};
	int r = s->kube ? 0 : kube_new(&s->kube, s->daemon.http, &s->access);

	if (r == 0 && !s->events)
		r = kube_event_sender_new(&s->events, s->kube, s->config->pod_name);
	if (r == 0 && !s->backend)
		r = backend_kube_new(&s->backend, s->daemon.base, s->kube, &settings);
	return r;
}

/* --- what the pod says --- */

static void cmd_sidecar_say_left_out(const struct cmd_sidecar *s)
{
	const struct kube_size_choice choice = cmd_sidecar_choice(s);

	for (size_t i = 0; i < s->pod->containers_len; i++) {
		const struct kube_container *c = &s->pod->containers[i];

		if (kube_size_is_proxy(c->name) && !kube_size_is_chosen(&choice, c))
			log_info("a proxy stays awake, as long as it is not named in --containers",
				 "container=%s", c->name);
	}
}

/*
 * The containers that are put to sleep; ports, readiness and probes are theirs. One that was
 * asleep when we came, and is no longer chosen, is only grown.
 */
static int cmd_sidecar_read_pod(struct cmd_sidecar *s)
{
	const struct kube_sizes *sizes = backend_kube_sizes(s->backend);
	const struct kube_size_choice choice = cmd_sidecar_choice(s);
	const struct kube_container *containers[KUBE_CONTAINERS_MAX];
	char error[POD_TARGET_ERROR_MAX];
	size_t len = 0;
	int r;

	for (size_t i = 0; i < sizes->len; i++) {
		const struct kube_container *c = kube_pod_find(s->pod, sizes->sizes[i].name);

		if (c && kube_size_is_chosen(&choice, c))
			containers[len++] = c;
	}
	r = pod_target_read(&s->target, s->pod, containers, len, s->config, GATE_SOURCE_PROBE,
			    error);
	return r < 0 ? log_err(r, "%s", error) : 0;
}

/* --- the gate and the target --- */

static int cmd_sidecar_open_gate(struct cmd_sidecar *s)
{
	const struct target_seat_settings target_seat_settings = {
		.ports = s->target.config.ports,
		.ports_len = s->target.config.ports_len,
	};
	struct daemon_gate_settings settings = s->config->gate;
	int r;

	settings.has_udp = target_config_has_udp(&s->target.config);
	settings.tc_handle = target_config_tc_handle(&s->target.config);
	r = daemon_open_gate(&s->daemon, &settings);
	return r < 0 ? r : target_seat_open(&s->seat, &s->daemon, &target_seat_settings);
}

static int cmd_sidecar_open_target(struct cmd_sidecar *s)
{
	const struct target_seat_target what = {
		.backend = backend_kube_as_backend(s->backend),
		.settings = &s->target.config.settings,
		.interfaces = s->config->interfaces.of,
		.interfaces_len = s->config->interfaces.len,
	};

	pod_target_fill(&s->target, &s->seat.ns, s->config);
	return target_seat_open_target(&s->seat, &what);
}

/* --- the start --- */

static void cmd_sidecar_send_event(struct cmd_sidecar *s)
{
	const char *read_uid = backend_kube_sizes(s->backend)->pod_uid;
	const struct kube_event event = {
		.namespace = s->config->pod_namespace,
		.name = s->config->pod_name,
		.uid = s->config->pod_uid ? s->config->pod_uid : read_uid,
		.is_warning = true,
		.reason = "CannotSleep",
		.message = s->problem,
	};

	kube_event_send(s->events, &event);
}

/* Said once, until it is another problem. */
static void cmd_sidecar_tell_problem(struct cmd_sidecar *s, int r)
{
	if (strcmp(s->problem, log_last_error()) == 0)
		return;
	snprintf(s->problem, sizeof(s->problem), "%s", log_last_error());
	log_warn("the pod does not sleep, and its traffic passes: trying again", "in_s=%d",
		 s->pause_s);
	if (s->backend && r != -EAGAIN)
		cmd_sidecar_send_event(s);
}

/* Nothing of the gate is left, and the pod has its full size, if an earlier doze has taken it. */
static void cmd_sidecar_let_pass(struct cmd_sidecar *s)
{
	target_seat_close(&s->seat);
	s->seat = (struct target_seat)TARGET_SEAT_CLOSED;
	daemon_close_gate(&s->daemon);
	pod_target_free(&s->target);
	if (!s->pod)
		return;
	kube_pod_free(&s->pod);
	backend_kube_as_backend(s->backend)->done = NULL;
	if (!backend_kube_is_full(s->backend))
		backend_resize(backend_kube_as_backend(s->backend), BACKEND_FULL);
}

/*
 * A sidecar that ends would be started anew by the kubelet, again and again, and meanwhile its pod
 * is not Ready: without us the application would be served.
 */
static void cmd_sidecar_try_later(struct cmd_sidecar *s, int r)
{
	int most_s = r == -EAGAIN ? CMD_SIDECAR_PAUSE_UNANSWERED_S : CMD_SIDECAR_PAUSE_MAX_S;

	cmd_sidecar_let_pass(s);
	cmd_sidecar_tell_problem(s, r);
	timer_in_ns(s->retry, (uint64_t)s->pause_s * NS_PER_S);
	s->pause_s = (int)min_u64(2 * (uint64_t)s->pause_s, (uint64_t)most_s);
}

static void cmd_sidecar_watch(struct cmd_sidecar *s)
{
	cmd_sidecar_say_left_out(s);
	*s->problem = '\0';
	log_set_only_news(false);
	log_info("watching", "pod=%s/%s port=%u idle_after_ms=%" PRIu64, s->config->pod_namespace,
		 s->config->pod_name, s->target.config.ports[0].port,
		 s->config->target.idle_ns / NS_PER_MS);
	target_start(s->seat.target);
	/* A doze before us put it to sleep. Nobody has watched the gate since: wake it. */
	if (!backend_kube_is_full(s->backend)) {
		log_info("the pod is asleep: waking it", NULL);
		backend_resize(backend_kube_as_backend(s->backend), BACKEND_FULL);
	}
}

static void cmd_sidecar_on_prepared(void *arg, struct kube_pod *pod, int r)
{
	struct cmd_sidecar *s = arg;

	s->pod = pod;
	if (r == 0)
		r = COMMAND_STEPS(s, cmd_sidecar_read_pod, cmd_sidecar_open_gate,
				  cmd_sidecar_open_target);
	if (r < 0)
		cmd_sidecar_try_later(s, r);
	else
		cmd_sidecar_watch(s);
}

static int cmd_sidecar_prepare(struct cmd_sidecar *s)
{
	return backend_kube_prepare(s->backend, cmd_sidecar_on_prepared, s);
}

static void cmd_sidecar_try(void *arg)
{
	struct cmd_sidecar *s = arg;
	int r = COMMAND_STEPS(s, cmd_sidecar_check_privileges, cmd_sidecar_find_own_container,
			      cmd_sidecar_open_access, cmd_sidecar_open_backend,
			      cmd_sidecar_prepare);

	if (r < 0)
		cmd_sidecar_try_later(s, r);
}

/* --- the whole --- */

/* A status that nobody can read keeps nobody from sleeping. */
static int cmd_sidecar_open_server(struct cmd_sidecar *s)
{
	s->daemon.problem = s->problem;
	daemon_open_server(&s->daemon, s->config->socket, SERVER_DIRECTORY "/sidecar.sock",
			   s->config->listen);
	return 0;
}

static int cmd_sidecar_open_loop(struct cmd_sidecar *s)
{
	int r;

	r = daemon_open_loop(&s->daemon, cmd_sidecar_on_signal, s);
	if (r == 0)
		r = watchdog_join(s->watchdog, s->daemon.base);
	if (r < 0)
		return r;
	s->retry = timer_new(s->daemon.base, cmd_sidecar_try, s);
	s->stopping = timer_new(s->daemon.base, cmd_sidecar_on_stopping, s);
	return s->retry && s->stopping ? 0 : log_err(-ENOMEM, "cannot make a timer");
}

static void cmd_sidecar_main(struct cmd_sidecar *s)
{
	s->pause_s = CMD_SIDECAR_PAUSE_MIN_S;
	log_set_only_news(true);
	cmd_sidecar_try(s);
	daemon_run(&s->daemon);
	daemon_drain(&s->daemon);
	daemon_log_counters(&s->daemon);
}

/* The gate may be opened much later, and so what that needs is kept. */
static struct privilege_needs cmd_sidecar_needs(const struct config *config)
{
	return (struct privilege_needs){
		.replays_on_lo = config->gate.can_replay,
		.reads_others = config->kubeconfig != NULL,
	};
}

static int cmd_sidecar_confine(struct cmd_sidecar *s)
{
	const struct privilege_needs needs = cmd_sidecar_needs(s->config);

	privilege_keep(&needs);
	confine_calls(CONFINE_DAEMON);
	return 0;
}

static void cmd_sidecar_take_down(struct cmd_sidecar *s)
{
	target_seat_close(&s->seat);
	daemon_close(&s->daemon);
	backend_kube_free(&s->backend);
	kube_event_sender_free(&s->events);
	kube_free(&s->kube);
	kube_access_free(&s->access);
	kube_pod_free(&s->pod);
	pod_target_free(&s->target);
	timer_free(&s->retry);
	timer_free(&s->stopping);
	watchdog_free(&s->watchdog);
	daemon_free(&s->daemon);
}

static int cmd_sidecar_daemon(const struct config *config, struct watchdog *watchdog)
{
	static struct cmd_sidecar s = { .daemon = DAEMON_CLOSED, .seat = TARGET_SEAT_CLOSED };
	int r;

	s.config = config;
	s.watchdog = watchdog;
	r = COMMAND_STEPS(&s, cmd_sidecar_open_loop, cmd_sidecar_open_server, cmd_sidecar_confine);
	if (r == 0)
		cmd_sidecar_main(&s);
	cmd_sidecar_take_down(&s);
	return r == 0 ? 0 : 1;
}

static int cmd_sidecar_start(const struct config *config)
{
	const struct supervisor_settings settings = {
		.daemon = cmd_sidecar_daemon,
		.config = config,
	};
	struct privilege_needs needs = cmd_sidecar_needs(config);

	needs.starts = true;
	privilege_keep(&needs);
	confine_calls(CONFINE_SUPERVISOR);
	return supervisor_run(&settings);
}

const struct command cmd_sidecar = {
	.name = "sidecar",
	.settings = CONFIG_SIDECAR,
	.run = cmd_sidecar_start,
	.brief = "run in a pod, and let its other containers sleep when idle",
	.usage = "[FLAG]...",
	.about =
		"Runs as a container of a pod. Takes the CPU of the pod's other containers to almost "
		"nothing when nobody calls, by pods/resize, and gives it back on the first packet. "
		"No port is changed, nothing is between client and application.",
	.needs =
		"Needs CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN; CAP_NET_RAW to replay on lo. Of the "
		"API server it needs pods: get and pods/resize: patch. Kubernetes 1.33 or newer.",
	.signals =
		"The first process starts the one that works, and starts it anew when it is "
		"killed, crashes, or hangs. Signals: SIGTERM and SIGINT open the gate and ask for the full size.",
	.exit_status =
		"Exit status: 0 after a signal or when the pod is gone; 2 if the flags are "
		"wrong. What keeps the pod from sleeping ends nothing: the traffic passes, the "
		"log and the status say why, and doze tries again.",
};
