// SPDX-License-Identifier: MIT
/* `doze node`: the annotated pods of this node are the targets. */
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/confine.h"
#include "base/log.h"
#include "base/timer.h"
#include "base/util.h"
#include "cgroup/watchdog.h"
#include "command/command.h"
#include "command/privilege.h"
#include "command/supervisor.h"
#include "config/config.h"
#include "config/target_config.h"
#include "kube/kube.h"
#include "kube/removal.h"
#include "pod/node.h"
#include "report/server.h"
#include "target/daemon.h"

/*
 * The API server has so long after SIGTERM, and the last doze waits so long for the others. The
 * DaemonSet gives 55 s; a service account that is being deleted counts for 60 s.
 */
#define CMD_NODE_STOP_NS      (20 * NS_PER_S)
#define CMD_NODE_RELEASE_NS   (45 * NS_PER_S)
#define CMD_NODE_STOP_STEP_US 20000

/* Tells our tc filters from those of `doze run` and `doze sidecar`, whose handles name a port. */
#define CMD_NODE_TC_HANDLE 0x646f7a65U

struct cmd_node {
	const struct config *config;
	struct daemon daemon;
	struct watchdog *watchdog;
	struct kube_access access;
	struct kube *kube;
	struct node *node;
	struct kube_request *looking; /* for the node */
	bool is_node_unseen;	      /* the API server was away */
	struct removal *removal;      /* NULL: no DaemonSet runs doze */
	struct timer *stopping;
	uint64_t stop_ns, release_ns;
	bool is_stopping, is_removed;
	int status; /* of the process */
};

/* --- stopping --- */

static void cmd_node_on_released(void *arg)
{
	struct cmd_node *c = arg;

	daemon_leave(&c->daemon);
}

static void cmd_node_on_stopping(void *arg)
{
	struct cmd_node *c = arg;
	bool is_late = monotonic_ns() >= c->stop_ns;

	if (!node_is_settled(c->node) && !is_late) {
		timer_in_ns(c->stopping, CMD_NODE_STOP_STEP_US * NS_PER_US);
		return;
	}
	if (!node_is_settled(c->node))
		log_warn("not every pod has its full size yet: the next doze goes on", NULL);
	if (c->is_removed)
		removal_release(c->removal, c->release_ns, cmd_node_on_released, c);
	else
		daemon_leave(&c->daemon);
}

static void cmd_node_leave_when_settled(struct cmd_node *c, uint64_t limit_ns)
{
	c->stop_ns = monotonic_ns() + limit_ns;
	timer_in_ns(c->stopping, CMD_NODE_STOP_STEP_US * NS_PER_US);
}

static void cmd_node_stop(struct cmd_node *c, bool wakes)
{
	log_info("stopping", "asleep=%s", wakes ? "wake" : "keep");
	node_stop(c->node, wakes);
	if (wakes)
		cmd_node_leave_when_settled(c, CMD_NODE_STOP_NS);
	else
		daemon_leave(&c->daemon);
}

/* Until this answer doze has gone on as ever. */
static void cmd_node_on_removal(void *arg, bool is_removed)
{
	struct cmd_node *c = arg;

	c->is_removed = is_removed;
	cmd_node_stop(c, is_removed || c->config->wakes_on_exit || c->config->uninstalls);
}

static void cmd_node_on_signal(void *arg, const struct signalfd_siginfo *info)
{
	struct cmd_node *c = arg;

	log_info("a signal ends doze", "signal=%u", info->ssi_signo);
	if (c->is_stopping || !c->node) {
		daemon_leave(&c->daemon);
		return;
	}
	c->is_stopping = true;
	c->release_ns = monotonic_ns() + CMD_NODE_RELEASE_NS;
	if (c->removal)
		removal_ask(c->removal, cmd_node_on_removal, c);
	else
		cmd_node_on_removal(c, false);
}

/* --- the node --- */

/* With a wrong name the list of pods would be empty for ever, without an error. */
static void cmd_node_on_node(void *arg, const struct kube_answer *answer)
{
	struct cmd_node *c = arg;
	char message[KUBE_ERROR_MAX];

	c->looking = NULL;
	c->is_node_unseen = answer->status == 0; /* asked again when the server has answered */
	if (answer->status == 200 || c->is_node_unseen)
		return;
	kube_answer_message(answer, message, sizeof(message));
	if (answer->status != 404) {
		log_warn("cannot see whether the node is there (ClusterRole: resources: [nodes], "
			 "verbs: [get])",
			 "node=%s message=\"%s\"", c->config->node_name, message);
		return;
	}
	log_err(0, "there is no node '%s': NODE_NAME is spec.nodeName of the downward API (%s)",
		c->config->node_name, message);
	c->status = 1;
	daemon_leave(&c->daemon);
}

static void cmd_node_look(struct cmd_node *c)
{
	char path[512];

	snprintf(path, sizeof(path), "/api/v1/nodes/%s", c->config->node_name);
	c->looking = kube_start(c->kube, "GET", path, NULL, cmd_node_on_node, c);
}

/* With --uninstall: every pod that was asleep is on the way to its full size by now. */
static void cmd_node_on_listed(void *arg)
{
	struct cmd_node *c = arg;

	malloc_trim(0); /* a list of pods is large, and has been read */
	if (c->is_node_unseen)
		cmd_node_look(c);
	if (c->config->uninstalls)
		cmd_node_leave_when_settled(c, UINT64_MAX / 2);
}

/* --- setting up: each step logs its own failure --- */

static struct privilege_needs cmd_node_needs(const struct config *config)
{
	return (struct privilege_needs){
		.enters_netns = true,
		.opens_others = true,
		.replays_on_lo = config->gate.can_replay,
		.reads_others = config->kubeconfig != NULL,
	};
}

static int cmd_node_check_privileges(struct cmd_node *c)
{
	const struct privilege_needs needs = cmd_node_needs(c->config);

	return privilege_check(&needs);
}

static int cmd_node_open_access(struct cmd_node *c)
{
	return command_open_access(&c->access, c->config);
}

static int cmd_node_open_loop(struct cmd_node *c)
{
	int r = daemon_open_loop(&c->daemon, cmd_node_on_signal, c);

	if (r == 0)
		r = watchdog_join(c->watchdog, c->daemon.base);
	if (r < 0)
		return r;
	c->stopping = timer_new(c->daemon.base, cmd_node_on_stopping, c);
	return c->stopping ? 0 : log_err(-ENOMEM, "cannot wait for the end");
}

static int cmd_node_open_gate(struct cmd_node *c)
{
	struct daemon_gate_settings settings = c->config->gate;
	int r;

	settings.has_udp = true;
	settings.has_namespaces = true;
	settings.tc_handle = CMD_NODE_TC_HANDLE;
	settings.watchdog = c->watchdog;
	r = daemon_open_gate(&c->daemon, &settings);
	malloc_trim(0); /* the types of the kernel, some MB, were needed to load the gate */
	return r;
}

static int cmd_node_open_node(struct cmd_node *c)
{
	const struct node_settings settings = {
		.config = c->config,
		.watchdog = c->watchdog,
		.listed = cmd_node_on_listed,
		.arg = c,
	};
	const struct removal_settings removal = {
		.namespace = c->config->pod_namespace,
		.pod_name = c->config->pod_name,
		.daemonset = c->config->daemonset,
		.account = c->config->account,
	};
	int r = kube_new(&c->kube, c->daemon.http, &c->access);

	if (r == 0)
		r = node_new(&c->node, &c->daemon, c->kube, &settings);
	if (r < 0)
		return r;
	if (c->config->daemonset && !c->config->uninstalls)
		r = removal_new(&c->removal, c->daemon.base, c->kube, &removal);
	if (r < 0)
		return r;
	cmd_node_look(c);
	return 0;
}

static int cmd_node_open_server(struct cmd_node *c)
{
	return daemon_open_server(&c->daemon, c->config->socket, SERVER_DIRECTORY "/node.sock",
				  c->config->listen);
}

static int cmd_node_confine(struct cmd_node *c)
{
	const struct privilege_needs needs = cmd_node_needs(c->config);

	privilege_keep(&needs);
	confine_calls(CONFINE_DAEMON);
	return 0;
}

static void cmd_node_take_down(struct cmd_node *c)
{
	if (c->node && !c->is_stopping)
		node_stop(c->node, false);
	kube_cancel(&c->looking);
	removal_free(&c->removal);
	node_free(&c->node);
	daemon_close(&c->daemon);
	kube_free(&c->kube);
	kube_access_free(&c->access);
	timer_free(&c->stopping);
	watchdog_free(&c->watchdog);
	daemon_free(&c->daemon);
}

static int cmd_node_daemon(const struct config *config, struct watchdog *watchdog)
{
	static struct cmd_node c = { .daemon = DAEMON_CLOSED };
	int r;

	c.config = config;
	c.watchdog = watchdog;
	r = COMMAND_STEPS(&c, cmd_node_check_privileges, cmd_node_open_access, cmd_node_open_loop,
			  cmd_node_open_gate, cmd_node_open_node, cmd_node_open_server,
			  cmd_node_confine);
	if (r == 0) {
		log_info("watching the node", "node=%s", config->node_name);
		daemon_run(&c.daemon);
		daemon_drain(&c.daemon);
		daemon_log_counters(&c.daemon);
	}
	cmd_node_take_down(&c);
	return r == 0 ? c.status : 1;
}

static int cmd_node_start(const struct config *config)
{
	const struct supervisor_settings settings = {
		.daemon = cmd_node_daemon,
		.config = config,
	};
	struct privilege_needs needs = cmd_node_needs(config);

	needs.starts = true;
	privilege_keep(&needs);
	confine_calls(CONFINE_SUPERVISOR);
	return supervisor_run(&settings);
}

const struct command cmd_node = {
	.name = "node",
	.settings = CONFIG_NODE,
	.run = cmd_node_start,
	.brief = "run on a node, and let its annotated pods sleep when idle",
	.usage = "[FLAG]...",
	.about =
		"Runs on every node of a cluster. A pod with the annotation doze.dev/enabled: "
		"\"true\" is put to sleep when nobody calls it, and woken by the first packet: its "
		"cgroups are written at once, and the API server is told. A pod may have flags of "
		"its own as annotations, such as doze.dev/idle-after.",
	.needs =
		"Needs the node's PID namespace and cgroups, and CAP_BPF, CAP_PERFMON, "
		"CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_ADMIN and CAP_SYS_PTRACE. Of the API server it "
		"needs pods: list and watch; pods/resize: patch; pods: get; nodes: get; events: "
		"create. With --daemonset also namespaces and daemonsets: get; serviceaccounts, "
		"clusterroles and clusterrolebindings: patch, each by its name. Kubernetes 1.33 or "
		"newer.",
	.signals =
		"The first process starts the one that works, and starts it anew when it is "
		"killed, crashes, or hangs. Signals: SIGTERM and SIGINT end it; what becomes of pods that sleep, --on-exit "
		"and --daemonset say.",
	.exit_status = "Exit status: 0 after a signal, or when --uninstall is done; 2 if the flags "
		       "are wrong; 1 if something else is.",
};
