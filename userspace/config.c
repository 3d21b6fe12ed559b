// SPDX-License-Identifier: MIT
/* One table of settings serves the command line, the environment and the help text. */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "quantity.h"
#include "util.h"

#define CONFIG_IDLE_MIN_NS	   (100 * NS_PER_MS)
#define CONFIG_WAKE_TIMEOUT_MIN_NS (10 * NS_PER_MS)

/* Takes the value, or returns what it should have been, as a sentence that follows the value. */
typedef const char *(*config_set_fn)(struct config *c, char *value);

struct config_setting {
	const char *name; /* the flag without its dashes */
	char letter;	  /* a short flag, or 0 */
	const char *argument;
	config_set_fn set;
	bool is_list;	       /* the environment holds several, separated by commas */
	unsigned int commands; /* bits of enum config_command */
	const char *help;
};

static const char *config_set_port(struct config *c, char *value)
{
	struct config_port port;

	switch (quantity_parse_port(value, &port.port, &port.protocol)) {
	case 0:
		break;
	case -ERANGE:
		return "is not a port from 1 to 65535";
	default:
		return "is not a port such as 8080 or 53/udp";
	}
	for (size_t i = 0; i < c->ports_len; i++) {
		if (c->ports[i].port == port.port && c->ports[i].protocol == port.protocol)
			return "is given twice; name each port once";
	}
	if (c->ports_len == CONFIG_PORTS_MAX)
		return "is one port too many; at most 64 are possible";
	c->ports[c->ports_len++] = port;
	return NULL;
}

static const char *config_set_interface(struct config *c, char *value)
{
	if (*value == '\0' || strlen(value) >= IFNAMSIZ)
		return "is not the name of an interface, such as eth0";
	for (size_t i = 0; i < c->interfaces_len; i++) {
		if (strcmp(c->interfaces[i], value) == 0)
			return "is given twice; name each interface once";
	}
	if (c->interfaces_len == CONFIG_INTERFACES_MAX)
		return "is one interface too many; at most 64 are possible";
	c->interfaces[c->interfaces_len++] = value;
	return NULL;
}

static const char *config_set_duration(const char *value, uint64_t min_ns, const char *too_short,
				       uint64_t *out)
{
	uint64_t ns;

	switch (quantity_parse_duration(value, &ns)) {
	case 0:
		break;
	case -ERANGE:
		return "is longer than 1000 days";
	default:
		return "is not a duration such as 30s or 5m";
	}
	if (ns < min_ns)
		return too_short;
	*out = ns;
	return NULL;
}

static const char *config_set_idle_after(struct config *c, char *value)
{
	return config_set_duration(value, CONFIG_IDLE_MIN_NS, "is too short; 100ms is the least",
				   &c->idle_ns);
}

static const char *config_set_wake_timeout(struct config *c, char *value)
{
	return config_set_duration(value, CONFIG_WAKE_TIMEOUT_MIN_NS,
				   "is too short; 10ms is the least", &c->wake_timeout_ns);
}

static const char *config_set_asleep(struct config *c, char *value)
{
	if (strcmp(value, "freeze") == 0)
		c->asleep = CONFIG_ASLEEP_FREEZE;
	else if (strcmp(value, "throttle") == 0)
		c->asleep = CONFIG_ASLEEP_THROTTLE;
	else
		return "is neither freeze nor throttle";
	return NULL;
}

static const char *config_set_asleep_cpu(struct config *c, char *value)
{
	switch (quantity_parse_cpu(value, &c->asleep_millicpu)) {
	case 0:
		break;
	case -ERANGE:
		return "is out of range; zero would mean no limit, and 1024 CPUs are the most";
	default:
		return "is not an amount of CPU such as 10m or 0.5";
	}
	if (c->asleep_millicpu < 10)
		return "is too little; the kernel's smallest quota is 10m";
	return NULL;
}

static const char *config_set_hook(struct config *c, char *value)
{
	static const char *const names[] = {
		[CONFIG_HOOK_AUTO] = "auto",
		[CONFIG_HOOK_TCX] = "tcx",
		[CONFIG_HOOK_TC] = "tc",
		[CONFIG_HOOK_XDP] = "xdp",
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strcmp(value, names[i]) == 0) {
			c->hook = (enum config_hook)i;
			return NULL;
		}
	}
	return "is none of auto, tcx, tc, xdp";
}

static const char *config_set_replay(struct config *c, char *value)
{
	c->can_replay = strcmp(value, "on") == 0;
	return c->can_replay || strcmp(value, "off") == 0 ? NULL : "is neither on nor off";
}

/* RFC 1123 labels and subdomains, which every name of Kubernetes is. */
static bool config_is_name(const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len > 253 || !isalnum((unsigned char)*name))
		return false;
	return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-.") == len;
}

/* What a URL path may hold unescaped, so that nothing can leave the request line. */
static bool config_is_path(const char *path)
{
	if (*path != '/')
		return false;
	for (; *path; path++) {
		if (!isgraph((unsigned char)*path))
			return false;
	}
	return true;
}

static const char *config_set_ready(struct config *c, char *value)
{
	if (strcmp(value, "tcp") == 0) {
		c->ready = CONFIG_READY_TCP;
	} else if (strcmp(value, "none") == 0) {
		c->ready = CONFIG_READY_NONE;
	} else if (strncmp(value, "http:", 5) == 0 && config_is_path(value + 5)) {
		c->ready = CONFIG_READY_HTTP;
		c->ready_path = value + 5;
	} else {
		return "is none of tcp, none, or http:/PATH such as http:/healthz";
	}
	return NULL;
}

static const char *config_set_pid(struct config *c, char *value)
{
	char *end;
	long pid;

	errno = 0;
	pid = strtol(value, &end, 10);
	if (errno || *end || !isdigit((unsigned char)*value) || pid < 1 || pid > INT32_MAX)
		return "is not a process id such as 1234";
	c->pid = (pid_t)pid;
	return NULL;
}

static const char *config_set_log_level(struct config *c, char *value)
{
	return log_parse_level(value, &c->log_level) == 0 ? NULL
							  : "is none of debug, info, warn, error";
}

static const char *config_set_container(struct config *c, char *value)
{
	if (!config_is_name(value))
		return "is not the name of a container";
	for (size_t i = 0; i < c->containers_len; i++) {
		if (strcmp(c->containers[i], value) == 0)
			return "is given twice; name each container once";
	}
	if (c->containers_len == CONFIG_CONTAINERS_MAX)
		return "is one container too many; at most 32 are possible";
	c->containers[c->containers_len++] = value;
	return NULL;
}

static const char *config_set_pod_name(struct config *c, char *value)
{
	c->pod_name = value;
	return config_is_name(value) ? NULL : "is not the name of a pod";
}

static const char *config_set_pod_namespace(struct config *c, char *value)
{
	c->pod_namespace = value;
	return config_is_name(value) ? NULL : "is not the name of a namespace";
}

static const char *config_set_own_container(struct config *c, char *value)
{
	c->own_container = value;
	return config_is_name(value) ? NULL : "is not the name of a container";
}

static const char *config_set_state_file(struct config *c, char *value)
{
	c->state_file = value;
	return *value == '/' ? NULL : "is not an absolute path";
}

static const char *config_set_kubeconfig(struct config *c, char *value)
{
	c->kubeconfig = value;
	return *value ? NULL : "is not a path";
}

static const char *config_set_service_account_dir(struct config *c, char *value)
{
	c->service_account_dir = value;
	return *value == '/' ? NULL : "is not an absolute path";
}

#define CONFIG_BOTH (CONFIG_RUN | CONFIG_SIDECAR)

static const struct config_setting config_settings[] = {
	{ "port", 'p', "PORT", config_set_port, true, CONFIG_BOTH,
	  "A port to watch, such as 8080, 8080/tcp or 53/udp. Repeat it for more. The first\n"
	  "TCP port is the one that readiness is asked on. In a pod the default is every\n"
	  "containerPort of the containers that are put to sleep." },
	{ "idle-after", 0, "DURATION", config_set_idle_after, false, CONFIG_BOTH,
	  "Sleep when nobody has called for this long: 500ms, 30s, 5m. Default 5m." },
	{ "asleep", 0, "freeze|throttle", config_set_asleep, false, CONFIG_RUN,
	  "What sleep is: freeze (no CPU at all) or throttle (--asleep-cpu). Default freeze,\n"
	  "or throttle on a machine that cannot freeze." },
	{ "asleep-cpu", 0, "CPU", config_set_asleep_cpu, false, CONFIG_BOTH,
	  "CPU while asleep, from 10m on. Default 10m. For doze run, of --asleep=throttle; in a\n"
	  "pod a multiple of 10m." },
	{ "ready", 0, "tcp|http:/PATH|none", config_set_ready, false, CONFIG_RUN,
	  "How to tell that the application is ready after it woke: it accepts a TCP\n"
	  "connection, or answers GET /PATH with 200 to 399, or is not asked. Default tcp." },
	{ "wake-timeout", 0, "DURATION", config_set_wake_timeout, false, CONFIG_BOTH,
	  "Let the traffic through after this long even if the application is not ready.\n"
	  "Default 30s." },
	{ "replay", 0, "on|off", config_set_replay, false, CONFIG_BOTH,
	  "on: a held SYN is delivered when the application is ready. off: it is dropped, and\n"
	  "the client's kernel sends it again after a second. Default on." },
	{ "interface", 'i', "NAME", config_set_interface, true, CONFIG_BOTH,
	  "Put the gate on this interface only. Repeat it for more. Default: every interface\n"
	  "that has an address, also those that come later." },
	{ "hook", 0, "auto|tcx|tc|xdp", config_set_hook, false, CONFIG_BOTH,
	  "Where the gate is attached. auto: XDP on network cards whose driver has it, else\n"
	  "tcx, else tc (kernel < 6.6). Default auto." },
	{ "pid", 0, "PID", config_set_pid, false, CONFIG_RUN,
	  "Instead of a command: a process that runs already, with all of its cgroup, in its\n"
	  "own network namespace." },
	{ "containers", 0, "NAME", config_set_container, true, CONFIG_SIDECAR,
	  "Put this container to sleep. Repeat it for more. Default: every container with a CPU\n"
	  "limit, but for doze's own and other sidecars." },
	{ "own-container", 0, "NAME", config_set_own_container, false, CONFIG_SIDECAR,
	  "The container that doze runs in, which never sleeps. Default doze." },
	{ "pod-name", 0, "NAME", config_set_pod_name, false, CONFIG_SIDECAR,
	  "The pod, which the variable POD_NAME names as well." },
	{ "pod-namespace", 0, "NAME", config_set_pod_namespace, false, CONFIG_SIDECAR,
	  "Its namespace, which the variable POD_NAMESPACE names as well." },
	{ "state-file", 0, "PATH", config_set_state_file, false, CONFIG_SIDECAR,
	  "Where doze keeps what the full size is, on a volume that outlives a restart of its\n"
	  "container. Default /var/lib/doze/state.json." },
	{ "kubeconfig", 0, "PATH", config_set_kubeconfig, false, CONFIG_SIDECAR,
	  "How to reach the API server from outside a pod. Default: the service account." },
	{ "service-account-dir", 0, "PATH", config_set_service_account_dir, false, CONFIG_SIDECAR,
	  "Where the token and the CA are mounted.\n"
	  "Default /var/run/secrets/kubernetes.io/serviceaccount." },
	{ "log-level", 0, "LEVEL", config_set_log_level, false, CONFIG_BOTH,
	  "debug, info, warn or error. Default info." },
};

#define CONFIG_SETTINGS ARRAY_LEN(config_settings)
_Static_assert(CONFIG_SETTINGS <= ARRAY_LEN(((struct config *)0)->env_values), "room for each");

/* getopt's values for long flags: above any letter. */
#define CONFIG_LONG_BASE 256
#define CONFIG_LONG_HELP (CONFIG_LONG_BASE + (int)CONFIG_SETTINGS)

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

/* A value of the environment, cut at its commas if it is a list. */
static int config_set_env(struct config *c, const struct config_setting *setting, const char *name,
			  char *value, char error[CONFIG_ERROR_MAX])
{
	char *rest = NULL;

	if (!setting->is_list)
		return config_set(c, setting, name, value, error);
	for (char *item = strtok_r(value, ", ", &rest); item; item = strtok_r(NULL, ", ", &rest)) {
		int r = config_set(c, setting, name, item, error);

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
	struct option longs[CONFIG_SETTINGS + 2];
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

int config_parse(struct config *out, enum config_command command, int argc, char **argv,
		 char error[CONFIG_ERROR_MAX])
{
	const char *wrong;
	int r;

	*out = (struct config){
		.idle_ns = 300 * NS_PER_S,
		.wake_timeout_ns = 30 * NS_PER_S,
		.asleep_millicpu = 10,
		.can_replay = true,
		.own_container = "doze",
		.state_file = "/var/lib/doze/state.json",
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
	wrong = command == CONFIG_RUN ? config_check_run(out) : config_check_sidecar(out);
	if (wrong)
		snprintf(error, CONFIG_ERROR_MAX, "%s", wrong);
	else if (command == CONFIG_SIDECAR && out->asleep_millicpu % 10)
		snprintf(
			error, CONFIG_ERROR_MAX,
			"--asleep-cpu: '%um' is no multiple of 10m, to which the kubelet's cgroup driver "
			"rounds",
			out->asleep_millicpu);
	else
		return 0;
	return -EINVAL;
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
		fprintf(out, "--%s %s   (%s%s)\n", s->name, s->argument, env,
			s->is_list ? ", separated by commas" : "");
		config_print_help(out, s->help);
	}
	fputs("    -h, --help\n", out);
	config_print_help(out, "This text.");
}

const char *config_protocol_name(uint8_t protocol)
{
	return protocol == IPPROTO_UDP ? "udp" : "tcp";
}
