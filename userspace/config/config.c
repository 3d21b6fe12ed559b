// SPDX-License-Identifier: MIT
/* One table of settings serves the command line, the environment and the help text. */
#include "config/config.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "config/config_value.h"

#define CONFIG_IDLE_MAX_FACTOR 8
#define CONFIG_BUSY_MAX_NS     (900 * NS_PER_S)
#define CONFIG_UNSET_NS	       UINT64_MAX

/* Takes the value, or returns what it should have been, as a sentence that follows the value. */
typedef const char *(*config_set_fn)(struct config *c, char *value);

struct config_setting {
	const char *name; /* the flag without its dashes */
	char letter;	  /* a short flag, or 0 */
	const char *argument;
	config_set_fn set;
	const char *separators; /* of the environment's list; NULL: it holds one value */
	unsigned int commands;	/* bits of enum config_command */
	const char *help;
};

#define CONFIG_BOTH (CONFIG_RUN | CONFIG_SIDECAR)
#define CONFIG_ALL  (CONFIG_BOTH | CONFIG_POD)
#define CONFIG_EACH (CONFIG_ALL | CONFIG_NODE) /* doze node: for pods that do not say */
#define CONFIG_ANY  (CONFIG_BOTH | CONFIG_NODE)

static const struct config_setting config_settings[] = {
	{ "port", 'p', "PORT", config_set_port, ", ", CONFIG_ALL,
	  "A port to watch, such as 8080, 8080/tcp or 53/udp. Repeat it for more. The first\n"
	  "TCP port is the one that readiness is asked on. In a pod the default is every\n"
	  "containerPort of the containers that are put to sleep." },
	{ "idle-after", 0, "DURATION", config_set_idle_after, NULL, CONFIG_EACH,
	  "Sleep when nobody has called for this long: 500ms, 30s, 5m. Default 5m." },
	{ "asleep", 0, "freeze|throttle", config_set_asleep, NULL, CONFIG_RUN,
	  "What sleep is: freeze (no CPU at all) or throttle (--asleep-cpu). Default freeze,\n"
	  "or throttle on a machine that cannot freeze." },
	{ "asleep", 0, "throttle|freeze|reclaim", config_set_asleep_pod, NULL,
	  CONFIG_POD | CONFIG_NODE,
	  "What sleep is: throttle (--asleep-cpu), freeze (no CPU at all; kubectl exec and exec\n"
	  "probes do not work), or reclaim (frozen, and later its memory is given back).\n"
	  "Default throttle." },
	{ "reclaim-after", 0, "DURATION", config_set_reclaim_after, NULL, CONFIG_POD | CONFIG_NODE,
	  "Of --asleep=reclaim: give memory back after it has slept for so long. Default 1m." },
	{ "group", 0, "NAME", config_set_group, NULL, CONFIG_POD,
	  "When one pod of a group is woken, all of the group in its namespace and node wake." },
	{ "asleep-cpu", 0, "CPU", config_set_asleep_cpu, NULL, CONFIG_EACH,
	  "CPU while asleep, from 10m on. Default 10m. For doze run, of --asleep=throttle; in a\n"
	  "pod a multiple of 10m, and 100m or more if it has an exec probe." },
	{ "ready", 0, "tcp|http:/PATH|none", config_set_ready, NULL, CONFIG_RUN,
	  "How to tell that the application is ready after it woke: it accepts a TCP\n"
	  "connection, or answers GET /PATH with 200 to 399, or is not asked. Default tcp." },
	{ "wake-timeout", 0, "DURATION", config_set_wake_timeout, NULL, CONFIG_EACH,
	  "Let the traffic through after this long even if the application is not ready.\n"
	  "Default 30s." },
	{ "replay", 0, "on|off", config_set_replay, NULL, CONFIG_ANY,
	  "on: a held SYN is delivered when the application is ready. off: it is dropped, and\n"
	  "the client's kernel sends it again after a second. Default on." },
	{ "interface", 'i', "NAME", config_set_interface, ", ", CONFIG_BOTH,
	  "Put the gate on this interface only. Repeat it for more. Default: every interface\n"
	  "that has an address, also those that come later." },
	{ "busy-max", 0, "DURATION", config_set_busy_max, NULL, CONFIG_EACH,
	  "A connection that is at work (a request without its answer, a download) keeps the\n"
	  "application awake, but no longer than this without any progress. 0s: without limit.\n"
	  "Default 15m, or --idle-after if that is longer." },
	{ "sleep-with-connections", 0, "yes|no", config_set_sleep_with_connections, NULL,
	  CONFIG_EACH,
	  "Whether the application may sleep while clients are connected that say nothing, such\n"
	  "as keep-alive pools or WebSockets. Their next byte wakes it. Default yes." },
	{ "min-awake", 0, "DURATION", config_set_min_awake, NULL, CONFIG_EACH,
	  "Stay awake for at least this long after a wake. Default 10s." },
	{ "idle-max", 0, "DURATION", config_set_idle_max, NULL, CONFIG_EACH,
	  "An application that is woken within 10 s of falling asleep, three times in a row, gets\n"
	  "twice the idle time, and twice that, up to this. A longer sleep ends it. Default: 8\n"
	  "times --idle-after." },
	{ "stay-awake", 0, "SCHEDULE", config_set_stay_awake, ";", CONFIG_EACH,
	  "Hours in which it does not sleep, and at whose start it wakes: [DAYS] HH:MM-HH:MM\n"
	  "[ZONE], such as 'Mon-Fri 08:00-18:00 Europe/Berlin'. Without a zone: UTC. Repeat it\n"
	  "for more." },
	{ "probes", 0, "answer|pass|wake", config_set_probes, NULL, CONFIG_EACH,
	  "What happens to probes while asleep. answer: doze answers them; pass: they\n"
	  "reach the sleeping application, and wait; one that is not known for one by what it\n"
	  "has said in half a second (HTTPS, gRPC) wakes; wake: they are traffic as any other,\n"
	  "awake and asleep. Default answer." },
	{ "probe-source", 0, "CIDR", config_set_probe_source, ", ", CONFIG_EACH,
	  "Probes of the kubelet come from here, and other traffic may as well: they are\n"
	  "told apart by what they say. Repeat it for more. In a pod the node's addresses and the\n"
	  "default gateways are known without it." },
	{ "probe-port", 0, "PORT", config_set_probe_port, ", ", CONFIG_ALL,
	  "Probes come to this port as well, which is none of --port. Repeat it for more.\n"
	  "In a pod the ports of its probes are known without it." },
	{ "probe-https", 0, "PORT", config_set_probe_https, ", ", CONFIG_ALL,
	  "Probes come to this port by HTTPS. Repeat it for more. In a pod the ports of\n"
	  "its probes are known without it." },
	{ "ignore-source", 0, "CIDR", config_set_ignore_source, ", ", CONFIG_EACH,
	  "Nothing that comes from here is activity, and nothing of it wakes: the probes of\n"
	  "a load balancer. While asleep doze answers GET, HEAD and OPTIONS by HTTP or HTTPS, and\n"
	  "gRPC Check, or they are passed, as --probes says. A checker that only connects is\n"
	  "content; any other (a request with a body, redis, mysql) is not answered, and fails.\n"
	  "Repeat it for more." },
	{ "ignore-http", 0, "'METHOD /PATH'", config_set_ignore_http, ",", CONFIG_EACH,
	  "A request such as 'GET /healthz' is not activity while awake, from wherever it comes,\n"
	  "if it is the first of its connection: method and beginning of the path. Repeat it for\n"
	  "more." },
	{ "hook", 0, "auto|tcx|tc|xdp", config_set_hook, NULL, CONFIG_ANY,
	  "Where the gate is attached. auto: XDP on network cards whose driver has it, else\n"
	  "tcx, else tc (kernel < 6.6). Default auto." },
	{ "pid", 0, "PID", config_set_pid, NULL, CONFIG_RUN,
	  "Instead of a command: a process that runs already, with all of its cgroup, in its\n"
	  "own network namespace." },
	{ "containers", 0, "NAME", config_set_container, ", ", CONFIG_SIDECAR | CONFIG_POD,
	  "Put this container to sleep. Repeat it for more. Default: every container with a CPU\n"
	  "limit, but for doze's own and other sidecars." },
	{ "own-container", 0, "NAME", config_set_own_container, NULL, CONFIG_SIDECAR,
	  "The container that doze runs in, which never sleeps. Default doze." },
	{ "pod-name", 0, "NAME", config_set_pod_name, NULL, CONFIG_SIDECAR,
	  "The pod, which the variable POD_NAME names as well." },
	{ "pod-namespace", 0, "NAME", config_set_pod_namespace, NULL, CONFIG_SIDECAR,
	  "Its namespace, which the variable POD_NAMESPACE names as well." },
	{ "state-file", 0, "PATH", config_set_state_file, NULL, CONFIG_SIDECAR,
	  "Where doze keeps what the full size is, on a volume that outlives a restart of its\n"
	  "container. Default /var/lib/doze/state.json." },
	{ "node-name", 0, "NAME", config_set_node_name, NULL, CONFIG_NODE,
	  "The node, which the variable NODE_NAME names as well." },
	{ "state-dir", 0, "PATH", config_set_state_dir, NULL, CONFIG_NODE,
	  "Where doze keeps what the full size of each sleeping pod is: a directory of the node.\n"
	  "Default /var/lib/doze." },
	{ "cgroup-root", 0, "PATH", config_set_cgroup_root, NULL, CONFIG_NODE,
	  "Where the node's cgroups are mounted. Default /sys/fs/cgroup." },
	{ "kubelet-cgroup", 0, "PATH|none", config_set_kubelet_cgroup, NULL, CONFIG_NODE,
	  "The kubelet's cgroup, in cgroup v2: connections from there, and no others, may be health\n"
	  "checks. none, and while there is no such cgroup: whatever comes from the node's\n"
	  "addresses may be one. Default: where a process named kubelet, or k3s, is." },
	{ "max-wakes", 0, "NUMBER", config_set_max_wakes, NULL, CONFIG_NODE,
	  "So many pods wake at the same time; the others wait, with their clients held, those of\n"
	  "higher priority first. 0: without limit. Default 0." },
	{ "on-exit", 0, "keep|wake", config_set_on_exit, NULL, CONFIG_NODE,
	  "What becomes of sleeping pods when doze ends: keep (they sleep on, and answer slowly,\n"
	  "until the next doze) or wake. Default keep." },
	{ "kubeconfig", 0, "PATH", config_set_kubeconfig, NULL, CONFIG_SIDECAR | CONFIG_NODE,
	  "How to reach the API server from outside a pod. Default: the service account." },
	{ "service-account-dir", 0, "PATH", config_set_service_account_dir, NULL,
	  CONFIG_SIDECAR | CONFIG_NODE,
	  "Where the token and the CA are mounted.\n"
	  "Default /var/run/secrets/kubernetes.io/serviceaccount." },
	{ "listen", 0, "ADDR:PORT", config_set_listen, NULL, CONFIG_ANY,
	  "Serve /metrics, /status and /healthz here as well, over HTTP: 127.0.0.1:9090, or :9090\n"
	  "for every address." },
	{ "socket", 0, "PATH|none", config_set_socket, NULL, CONFIG_ANY,
	  "The socket that doze status asks. Default /run/doze/run-PID.sock, in a pod\n"
	  "/run/doze/sidecar.sock, on a node /run/doze/node.sock." },
	{ "log-level", 0, "LEVEL", config_set_log_level, NULL, CONFIG_ANY,
	  "debug, info, warn or error. Default info." },
};

#define CONFIG_SETTINGS ARRAY_LEN(config_settings)
_Static_assert(CONFIG_SETTINGS <= ARRAY_LEN(((struct config *)0)->env_values), "room for each");

/* getopt's values for long flags: above any letter. */
#define CONFIG_LONG_BASE      256
#define CONFIG_LONG_HELP      (CONFIG_LONG_BASE + (int)CONFIG_SETTINGS)
#define CONFIG_LONG_UNINSTALL (CONFIG_LONG_HELP + 1)

static int config_set(struct config *c, const struct config_setting *setting, const char *shown,
		      char *value, char error[CONFIG_ERROR_MAX])
{
	const char *wrong = setting->set(c, value);

	if (!wrong)
		return 0;
	snprintf(error, CONFIG_ERROR_MAX, "%s: '%s' %s", shown, value, wrong);
	return -EINVAL;
}

static void config_env_name(const struct config_setting *setting, char *out, size_t room)
{
	size_t n = (size_t)snprintf(out, room, "DOZE_%s", setting->name);

	for (size_t i = 0; i < n && out[i]; i++)
		out[i] = out[i] == '-' ? '_' : (char)toupper((unsigned char)out[i]);
}

/* A value of the environment, cut into its items if it is a list. */
static int config_set_env(struct config *c, const struct config_setting *setting, const char *name,
			  char *value, char error[CONFIG_ERROR_MAX])
{
	char *rest = NULL;

	if (!setting->separators)
		return config_set(c, setting, name, value, error);
	for (char *item = strtok_r(value, setting->separators, &rest); item;
	     item = strtok_r(NULL, setting->separators, &rest)) {
		int r = config_set(c, setting, name, item + strspn(item, " "), error);

		if (r < 0)
			return r;
	}
	return 0;
}

/* A Service named doze makes Kubernetes set DOZE_PORT=tcp://10.0.0.1:80 in every pod around it. */
static bool config_is_service_link(const char *value)
{
	return strncmp(value, "tcp://", 6) == 0 || strncmp(value, "udp://", 6) == 0;
}

/* A copy of the variable's value that lives as long as c; NULL: it is not set. */
static char *config_env_value(struct config *c, const char *name)
{
	const char *value = getenv(name);

	if (!value || !*value || config_is_service_link(value))
		return NULL;
	return c->env_values[c->env_values_len++] = strdup(value);
}

static int config_parse_env(struct config *c, enum config_command command,
			    char error[CONFIG_ERROR_MAX])
{
	for (size_t i = 0; i < CONFIG_SETTINGS; i++) {
		char name[64];
		char *value;
		int r;

		if (!(config_settings[i].commands & command))
			continue;
		config_env_name(&config_settings[i], name, sizeof(name));
		value = config_env_value(c, name);
		if (!value)
			continue;
		r = config_set_env(c, &config_settings[i], name, value, error);
		if (r < 0)
			return r;
	}
	return 0;
}

struct config_getopt {
	struct option longs[CONFIG_SETTINGS + 3];
	char shorts[2 * CONFIG_SETTINGS + 4];
};

static void config_getopt_init(struct config_getopt *g, enum config_command command)
{
	char *s = g->shorts;
	struct option *l = g->longs;

	*g = (struct config_getopt){ 0 };
	*s++ = '+'; /* stop at the command, whose flags are its own */
	*s++ = ':'; /* tell a missing argument from an unknown flag */
	for (size_t i = 0; i < CONFIG_SETTINGS; i++) {
		if (!(config_settings[i].commands & command))
			continue;
		*l++ = (struct option){ config_settings[i].name, required_argument, NULL,
					CONFIG_LONG_BASE + (int)i };
		if (config_settings[i].letter) {
			*s++ = config_settings[i].letter;
			*s++ = ':';
		}
	}
	*s = 'h';
	if (command == CONFIG_NODE)
		*l++ = (struct option){ "uninstall", no_argument, NULL, CONFIG_LONG_UNINSTALL };
	*l = (struct option){ "help", no_argument, NULL, CONFIG_LONG_HELP };
}

static const struct config_setting *config_find(int opt)
{
	for (size_t i = 0; i < CONFIG_SETTINGS; i++) {
		if (opt == CONFIG_LONG_BASE + (int)i ||
		    (config_settings[i].letter && opt == config_settings[i].letter))
			return &config_settings[i];
	}
	return NULL;
}

/* getopt takes --asleep for --asleep-cpu where there is no other; a new flag would change that. */
static bool config_is_whole(const struct config_setting *setting, const char *given)
{
	return strcspn(given, "=") == 2 + strlen(setting->name);
}

/* A list given by flags replaces that of the environment. */
static void config_forget_list(struct config *c, const struct config_setting *setting)
{
	if (setting->set == config_set_port)
		c->ports_len = 0;
	else if (setting->set == config_set_interface)
		c->interfaces_len = 0;
	else if (setting->set == config_set_container)
		c->containers_len = 0;
	else if (setting->set == config_set_stay_awake)
		c->schedules_len = 0;
	else if (setting->set == config_set_probe_source)
		c->probe_sources.len = 0;
	else if (setting->set == config_set_ignore_source)
		c->ignored_sources.len = 0;
	else if (setting->set == config_set_ignore_http)
		c->ignored_http_len = 0;
	else if (setting->set == config_set_probe_port)
		c->probe_ports.len = 0;
	else if (setting->set == config_set_probe_https)
		c->https_ports.len = 0;
}

static int config_parse_flags(struct config *c, enum config_command command, int argc, char **argv,
			      char error[CONFIG_ERROR_MAX])
{
	struct config_getopt g;
	bool is_seen[CONFIG_SETTINGS] = { false };
	int opt;

	config_getopt_init(&g, command);
	opterr = 0;
	optind = 0; /* GNU: start afresh, for a second parse in one process */
	for (;;) {
		const struct config_setting *setting;
		int at = optind > 0 ? optind : 1;
		char shown[64];
		int r;

		opt = getopt_long(argc, argv, g.shorts, g.longs, NULL);
		if (opt == -1)
			return 0;
		if (opt == 'h' || opt == CONFIG_LONG_HELP) {
			c->wants_help = true;
			return 0;
		}
		if (opt == CONFIG_LONG_UNINSTALL && strcmp(argv[at], "--uninstall") == 0) {
			c->uninstalls = true;
			continue;
		}
		setting = config_find(opt);
		if (setting && opt >= CONFIG_LONG_BASE && !config_is_whole(setting, argv[at]))
			setting = NULL;
		if (!setting) {
			snprintf(error, CONFIG_ERROR_MAX,
				 opt == ':' ? "flag '%s' needs a value" : "unknown flag '%s'",
				 argv[at]);
			return -EINVAL;
		}
		if (!is_seen[setting - config_settings])
			config_forget_list(c, setting);
		is_seen[setting - config_settings] = true;
		snprintf(shown, sizeof(shown), "--%s", setting->name);
		r = config_set(c, setting, shown, optarg, error);
		if (r < 0)
			return r;
	}
}

static const char *config_check_run(const struct config *c)
{
	if (!c->ports_len)
		return "no port to watch: add -p PORT, such as -p 8080";
	if (!c->command && !c->pid)
		return "nothing to run: add -- COMMAND, or --pid PID for a process that runs already";
	if (c->command && c->pid)
		return "both a command and --pid are given: choose one";
	return NULL;
}

static const char *config_check_sidecar(struct config *c)
{
	if (!c->pod_name)
		c->pod_name = getenv("POD_NAME");
	if (!c->pod_namespace)
		c->pod_namespace = getenv("POD_NAMESPACE");
	if (!c->pod_name || !config_is_name(c->pod_name))
		return "no pod: set POD_NAME from the downward API (metadata.name)";
	if (!c->pod_namespace || !config_is_name(c->pod_namespace))
		return "no namespace: set POD_NAMESPACE from the downward API (metadata.namespace)";
	if (c->command)
		return "doze sidecar takes no command: its target is the pod";
	return NULL;
}

static const char *config_check_node(struct config *c)
{
	if (!c->node_name)
		c->node_name = getenv("NODE_NAME");
	if (!c->node_name || !config_is_name(c->node_name))
		return "no node: set NODE_NAME from the downward API (spec.nodeName)";
	if (c->command)
		return "doze node takes no command: its targets are the pods of the node";
	return NULL;
}

static const char *config_check_command(struct config *c, enum config_command command)
{
	if (command == CONFIG_RUN)
		return config_check_run(c);
	return command == CONFIG_NODE ? config_check_node(c) : config_check_sidecar(c);
}

static int config_refuse(char error[CONFIG_ERROR_MAX], const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, CONFIG_ERROR_MAX, format, args);
	va_end(args);
	return -EINVAL;
}

/* Settings that contradict each other, of those that both commands have. */
static int config_check_idle(struct config *c, char error[CONFIG_ERROR_MAX])
{
	if (!c->idle_max_ns)
		c->idle_max_ns = CONFIG_IDLE_MAX_FACTOR * c->idle_ns;
	if (c->idle_max_ns < c->idle_ns)
		return config_refuse(error,
				     "--idle-max: '%" PRIu64 "ms' is shorter than "
				     "--idle-after, '%" PRIu64 "ms'",
				     c->idle_max_ns / NS_PER_MS, c->idle_ns / NS_PER_MS);
	if (c->busy_max_ns == CONFIG_UNSET_NS)
		c->busy_max_ns = max_u64(CONFIG_BUSY_MAX_NS, c->idle_ns);
	if (c->busy_max_ns && c->busy_max_ns < c->idle_ns)
		return config_refuse(error,
				     "--busy-max: '%" PRIu64 "ms' is shorter than "
				     "--idle-after, '%" PRIu64 "ms': no connection would "
				     "ever be busy",
				     c->busy_max_ns / NS_PER_MS, c->idle_ns / NS_PER_MS);
	return 0;
}

static int config_check_probes(const struct config *c, char error[CONFIG_ERROR_MAX])
{
	const struct config_sources *sources = &c->ignored_sources;
	char text[CIDR_TEXT_MAX];

	if (c->probes != CONFIG_PROBES_WAKE)
		return 0;
	if (!sources->len)
		sources = &c->probe_sources;
	if (sources->len) {
		cidr_format(&sources->of[0], text);
		return config_refuse(error,
				     "%s: '%s' contradicts --probes 'wake', by which every "
				     "packet is a client's",
				     sources == &c->ignored_sources ? "--ignore-source"
								    : "--probe-source",
				     text);
	}
	return 0;
}

static int config_check_shared(struct config *c, char error[CONFIG_ERROR_MAX])
{
	int r = config_check_idle(c, error);

	return r < 0 ? r : config_check_probes(c, error);
}

static int config_check_pod(struct config *c, char error[CONFIG_ERROR_MAX])
{
	if (c->asleep_millicpu % 10)
		return config_refuse(error,
				     "--asleep-cpu: '%um' is no multiple of 10m, to which the "
				     "kubelet's cgroup driver rounds",
				     c->asleep_millicpu);
	return config_check_shared(c, error);
}

static int config_check(struct config *c, enum config_command command, char error[CONFIG_ERROR_MAX])
{
	const char *wrong = config_check_command(c, command);

	if (wrong)
		return config_refuse(error, "%s", wrong);
	return command == CONFIG_RUN ? config_check_shared(c, error) : config_check_pod(c, error);
}

int config_parse(struct config *out, enum config_command command, int argc, char **argv,
		 char error[CONFIG_ERROR_MAX])
{
	int r;

	*out = (struct config){
		.idle_ns = 300 * NS_PER_S,
		.wake_timeout_ns = 30 * NS_PER_S,
		.busy_max_ns = CONFIG_UNSET_NS,
		.sleeps_with_connections = true,
		.awake_min_ns = 10 * NS_PER_S,
		.reclaim_after_ns = 60 * NS_PER_S,
		.asleep_millicpu = 10,
		.can_replay = true,
		.own_container = "doze",
		.state_file = "/var/lib/doze/state.json",
		.state_dir = "/var/lib/doze",
		.cgroup_root = "/sys/fs/cgroup",
		.service_account_dir = "/var/run/secrets/kubernetes.io/serviceaccount",
		.log_level = LOG_LEVEL_INFO,
	};
	r = config_parse_env(out, command, error);
	if (r == 0)
		r = config_parse_flags(out, command, argc, argv, error);
	if (r < 0 || out->wants_help)
		return r;
	if (optind < argc)
		out->command = argv + optind;
	return config_check(out, command, error);
}

/* NULL: there is no such setting of a pod. */
static const struct config_setting *config_find_annotation(const char *name)
{
	for (size_t i = 0; i < CONFIG_SETTINGS; i++) {
		if ((config_settings[i].commands & CONFIG_POD) &&
		    strcmp(config_settings[i].name, name) == 0)
			return &config_settings[i];
	}
	return NULL;
}

/* These say whether a pod is ours, and what its full size is: not how it sleeps. */
static bool config_is_no_setting(const char *name)
{
	return strcmp(name, "enabled") == 0 || strcmp(name, "full") == 0;
}

static int config_take_annotation(struct config *c, const struct config_annotation *a,
				  char error[CONFIG_ERROR_MAX])
{
	const char *name = a->name + strlen(CONFIG_ANNOTATION_PREFIX);
	const struct config_setting *setting = config_find_annotation(name);
	char *value;

	if (config_is_no_setting(name))
		return 0;
	if (!setting)
		return config_refuse(error, "%s: '%s': there is no such setting", a->name,
				     a->value);
	if (c->env_values_len == ARRAY_LEN(c->env_values))
		return config_refuse(error, "%s: '%s': too many annotations", a->name, a->value);
	value = strdup(a->value);
	if (!value)
		return config_refuse(error, "no memory");
	c->env_values[c->env_values_len++] = value;
	config_forget_list(c, setting);
	return config_set_env(c, setting, a->name, value, error);
}

int config_from_annotations(struct config *out, const struct config *defaults,
			    const struct config_annotation *annotations, size_t len,
			    char error[CONFIG_ERROR_MAX])
{
	*out = *defaults;
	out->env_values_len = 0;
	/* What follows from the idle time follows from that of the pod. */
	if (out->idle_max_ns == CONFIG_IDLE_MAX_FACTOR * out->idle_ns)
		out->idle_max_ns = 0;
	if (out->busy_max_ns == max_u64(CONFIG_BUSY_MAX_NS, out->idle_ns))
		out->busy_max_ns = CONFIG_UNSET_NS;
	for (size_t i = 0; i < len; i++) {
		int r = config_take_annotation(out, &annotations[i], error);

		if (r < 0)
			return r;
	}
	return config_check_pod(out, error);
}

void config_free(struct config *c)
{
	for (size_t i = 0; i < c->env_values_len; i++)
		free(c->env_values[i]);
	c->env_values_len = 0;
}

static void config_print_help(FILE *out, const char *help)
{
	fputs("        ", out);
	for (; *help; help++) {
		fputc(*help, out);
		if (*help == '\n')
			fputs("        ", out);
	}
	fputc('\n', out);
}

static const char *config_list_hint(const struct config_setting *s)
{
	if (!s->separators)
		return "";
	return *s->separators == ';' ? ", separated by semicolons" : ", separated by commas";
}

void config_print_flags(FILE *out, enum config_command command)
{
	for (size_t i = 0; i < CONFIG_SETTINGS; i++) {
		const struct config_setting *s = &config_settings[i];
		char env[64];

		if (!(s->commands & command))
			continue;
		config_env_name(s, env, sizeof(env));
		fputs("    ", out);
		if (s->letter)
			fprintf(out, "-%c, ", s->letter);
		fprintf(out, "--%s %s   (%s%s)\n", s->name, s->argument, env, config_list_hint(s));
		config_print_help(out, s->help);
	}
	if (command == CONFIG_NODE) {
		fputs("    --uninstall\n", out);
		config_print_help(out, "Give every pod of the node its full size, and end.");
	}
	fputs("    -h, --help\n", out);
	config_print_help(out, "This text.");
}

const char *config_protocol_name(uint8_t protocol)
{
	return protocol == IPPROTO_UDP ? "udp" : "tcp";
}
