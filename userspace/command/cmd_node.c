// SPDX-License-Identifier: MIT
/* `doze node`: the annotated pods of this node are the targets. */
#include "command/cmd_node.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/timer.h"
#include "base/util.h"
#include "cgroup/watchdog.h"
#include "command/privilege.h"
#include "config/config.h"
#include "config/config_print.h"
#include "config/target_config.h"
#include "kube/kube.h"
#include "kube/kubeconfig.h"
#include "pod/node.h"
#include "report/server.h"
#include "target/daemon.h"

#define NODE_EXIT_USAGE 2

/* On SIGTERM with --on-exit=wake: so long for the API server, of Kubernetes' 30 s. */
#define NODE_STOP_NS	  (20 * NS_PER_S)
#define NODE_STOP_STEP_US 20000

/* Tells our tc filters from those of `doze run` and `doze sidecar`, whose handles name a port. */
#define NODE_TC_HANDLE 0x646f7a65U

struct node_command {
	struct config config;
	struct daemon daemon;
	struct watchdog *watchdog;
	struct kube_access access;
	struct kube *kube;
	struct node *node;
	struct kube_request *looking; /* for the node */
	struct timer *stopping;
	uint64_t stop_ns;
	bool is_stopping;
	int status; /* of the process */
};

static void node_print_help(void)
{
	fputs("Usage: doze node [FLAG]...\n"
	      "\n"
	      "Runs on every node of a cluster. A pod with the annotation doze.dev/enabled: \"true\"\n"
	      "is put to sleep when nobody calls it, and woken by the first packet: its cgroups are\n"
	      "written at once, and the API server is told. Every flag for pods can be given for one\n"
	      "pod as an annotation, doze.dev/idle-after for --idle-after; so can doze.dev/port,\n"
	      "doze.dev/containers, doze.dev/probe-port, doze.dev/probe-https and doze.dev/group.\n"
	      "\n"
	      "Flags, each with its environment variable (a flag wins):\n\n",
	      stdout);
	config_print_flags(stdout, CONFIG_NODE);
	fputs("\n"
	      "Needs the node's PID namespace and cgroups, and CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN,\n"
	      "CAP_NET_RAW, CAP_SYS_ADMIN and CAP_SYS_PTRACE. Of the API server it needs pods: list\n"
	      "and watch; pods/resize: patch; pods: get; nodes: get; events: create. Kubernetes 1.33\n"
	      "or newer.\n"
	      "\n"
	      "Signals: SIGTERM and SIGINT end it; what becomes of pods that sleep, --on-exit says.\n"
	      "\n"
	      "Exit status: 0 after a signal, or when --uninstall is done; 2 if the flags are wrong; 1\n"
	      "if something else is.\n",
	      stdout);
}

/* --- stopping --- */

static void node_on_stopping(void *arg)
{
	struct node_command *c = arg;
	bool is_late = monotonic_ns() >= c->stop_ns;

	if (!node_is_settled(c->node) && !is_late) {
		timer_in_ns(c->stopping, NODE_STOP_STEP_US * NS_PER_US);
		return;
	}
	if (!node_is_settled(c->node))
		log_warn("not every pod has its full size yet: the next doze goes on", NULL);
	daemon_leave(&c->daemon);
}

static void node_leave_when_settled(struct node_command *c, uint64_t limit_ns)
{
	c->stop_ns = monotonic_ns() + limit_ns;
	timer_in_ns(c->stopping, NODE_STOP_STEP_US * NS_PER_US);
}

static void node_on_signal(void *arg, const struct signalfd_siginfo *info)
{
	struct node_command *c = arg;
	bool wakes = c->config.wakes_on_exit || c->config.uninstalls;

	log_info("stopping", "signal=%u asleep=%s", info->ssi_signo, wakes ? "wake" : "keep");
	if (c->is_stopping || !c->node) {
		daemon_leave(&c->daemon);
		return;
	}
	c->is_stopping = true;
	node_stop(c->node, wakes);
	if (wakes)
		node_leave_when_settled(c, NODE_STOP_NS);
	else
		daemon_leave(&c->daemon);
}

/* --uninstall: who was asleep is on the way to the full size by now. */
static void node_on_listed(void *arg)
{
	struct node_command *c = arg;

	malloc_trim(0); /* a list of pods is large, and has been read */
	if (c->config.uninstalls)
		node_leave_when_settled(c, UINT64_MAX / 2);
}

/* --- setting up: each step logs its own failure --- */

static int node_start_watchdog(struct node_command *c)
{
	return watchdog_start(&c->watchdog);
}

static int node_check_privileges(struct node_command *c)
{
	const struct privilege_needs needs = {
		.enters_netns = true,
		.opens_others = true,
		.replays_on_lo = c->config.gate.can_replay,
	};

	return privilege_check(&needs);
}

static int node_open_access(struct node_command *c)
{
	char error[KUBE_ERROR_MAX] = "no memory";
	int r;

	if (c->config.kubeconfig)
		r = kubeconfig_read(&c->access, c->config.kubeconfig, error);
	else
		r = kube_access_in_cluster(&c->access, c->config.service_account_dir, error);
	return r < 0 ? log_err(r == -ENOMEM ? r : 0, "%s", error), r : 0;
}

static int node_open_loop(struct node_command *c)
{
	int r;

	daemon_raise_files();
	r = daemon_open_loop(&c->daemon, node_on_signal, c);
	if (r < 0)
		return r;
	c->stopping = timer_new(c->daemon.base, node_on_stopping, c);
	return c->stopping ? 0 : log_err(-ENOMEM, "cannot wait for the end");
}

static int node_open_gate(struct node_command *c)
{
	const struct daemon_gate_settings settings = {
		.hook = c->config.gate.hook,
		.can_replay = c->config.gate.can_replay,
		.has_udp = true,
		.has_namespaces = true,
		.tc_handle = NODE_TC_HANDLE,
		.watchdog = c->watchdog,
	};

	int r = daemon_open_gate(&c->daemon, &settings);

	malloc_trim(0); /* the types of the kernel, some MB, were needed to load the gate */
	return r;
}

/* A name that is no node's would give an empty list for ever. */
static void node_on_node(void *arg, const struct kube_answer *answer)
{
	struct node_command *c = arg;
	char message[KUBE_ERROR_MAX];

	c->looking = NULL;
	if (answer->status == 200)
		return;
	kube_answer_message(answer, message, sizeof(message));
	if (answer->status != 404) {
		log_warn("cannot see whether the node is there (ClusterRole: resources: [nodes], "
			 "verbs: [get])",
			 "node=%s message=\"%s\"", c->config.node_name, message);
		return;
	}
	log_err(0, "there is no node '%s': NODE_NAME is spec.nodeName of the downward API (%s)",
		c->config.node_name, message);
	c->status = 1;
	daemon_leave(&c->daemon);
}

static int node_open_node(struct node_command *c)
{
	const struct node_settings settings = {
		.config = &c->config,
		.watchdog = c->watchdog,
		.listed = node_on_listed,
		.arg = c,
	};
	char path[512];
	int r = kube_new(&c->kube, c->daemon.http, &c->access);

	if (r == 0)
		r = node_new(&c->node, &c->daemon, c->kube, &settings);
	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "/api/v1/nodes/%s", c->config.node_name);
	c->looking = kube_start(c->kube, "GET", path, NULL, node_on_node, c);
	return 0;
}

static int node_open_server(struct node_command *c)
{
	return daemon_open_server(&c->daemon, c->config.socket, SERVER_DIRECTORY "/node.sock",
				  c->config.listen);
}

static int node_set_up(struct node_command *c)
{
	static int (*const steps[])(struct node_command * c) = {
		/* Before anything is opened that the watchdog would inherit. */
		node_start_watchdog, node_check_privileges, node_open_access, node_open_loop,
		node_open_gate,	     node_open_node,	    node_open_server,
	};

	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		int r = steps[i](c);

		if (r != 0)
			return r;
	}
	return 0;
}

static void node_main(struct node_command *c)
{
	log_info("watching the node", "node=%s", c->config.node_name);
	daemon_run(&c->daemon);
	daemon_drain(&c->daemon);
	daemon_log_counters(&c->daemon);
}

static void node_take_down(struct node_command *c)
{
	if (c->node && !c->is_stopping)
		node_stop(c->node, false);
	kube_cancel(&c->looking);
	node_free(&c->node);
	daemon_close(&c->daemon);
	kube_free(&c->kube);
	kube_access_free(&c->access);
	timer_free(&c->stopping);
	daemon_free(&c->daemon);
	watchdog_free(&c->watchdog);
	config_free(&c->config);
}

int cmd_node(int argc, char **argv)
{
	static struct node_command c = { .daemon = DAEMON_CLOSED };
	char error[CONFIG_ERROR_MAX];
	int r;

	if (config_parse(&c.config, CONFIG_NODE, argc, argv, error) < 0) {
		fprintf(stderr, "doze node: %s (doze node --help lists all flags)\n", error);
		config_free(&c.config);
		return NODE_EXIT_USAGE;
	}
	if (c.config.wants_help || c.config.wants_all_help) {
		node_print_help();
		config_free(&c.config);
		return 0;
	}
	log_set_level(c.config.log_level);
	srandom((unsigned int)(monotonic_ns() ^ (uint64_t)getpid()));
	r = node_set_up(&c);
	if (r == 0)
		node_main(&c);
	node_take_down(&c);
	return r == 0 ? c.status : 1;
}
