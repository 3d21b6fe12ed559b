// SPDX-License-Identifier: MIT
/* Reads the environment, the flags and the annotations by the table, then checks the whole. */
#include "config/config.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "config/config_print.h"
#include "config/config_table.h"
#include "config/config_value.h"

#define CONFIG_IDLE_MAX_FACTOR 8
#define CONFIG_BUSY_MAX_MS     (900 * UINT64_C(1000))
#define CONFIG_UNSET	       UINT64_MAX

/* getopt's values for long flags: above any letter. */
#define CONFIG_LONG_BASE 256

__attribute__((format(printf, 2, 3))) static int config_refuse(char error[CONFIG_ERROR_MAX],
							       const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, CONFIG_ERROR_MAX, format, args);
	va_end(args);
	return -EINVAL;
}

static int config_set(struct config *c, const struct config_setting *s, const char *shown,
		      char *value, char error[CONFIG_ERROR_MAX])
{
	struct config_value v = { .setting = s, .text = value };
	const char *wrong = config_value_set(c, &v);

	return wrong ? config_refuse(error, "%s: '%s' %s", shown, value, wrong) : 0;
}

/* A value that is cut into its items if the setting is a list, which it replaces. */
static int config_set_whole(struct config *c, const struct config_setting *s, const char *shown,
			    char *value, char error[CONFIG_ERROR_MAX])
{
	char *rest = NULL;
	int r = 0;

	if (!s->max)
		return config_set(c, s, shown, value, error);
	config_value_forget(c, s);
	for (char *item = strtok_r(value, s->type->separators, &rest); item && r == 0;
	     item = strtok_r(NULL, s->type->separators, &rest))
		r = config_set(c, s, shown, item + strspn(item, " "), error);
	return r;
}

/* A copy that lives as long as c; NULL: there is no memory. */
static char *config_keep(struct config *c, const char *value)
{
	char *kept = c->env_values_len < ARRAY_LEN(c->env_values) ? strdup(value) : NULL;

	if (kept)
		c->env_values[c->env_values_len++] = kept;
	return kept;
}

static int config_parse_env(struct config *c, enum config_command command,
			    char error[CONFIG_ERROR_MAX])
{
	int r = 0;

	for (size_t i = 0; i < config_table_len && r == 0; i++) {
		const struct config_setting *s = &config_table[i];
		char name[CONFIG_PRINT_NAME_MAX];
		const char *value;
		char *kept;

		if (!(s->commands & command) || s->type == &config_value_switch)
			continue;
		value = getenv(config_print_env_name(s, name));
		/* A Service named doze makes Kubernetes set DOZE_PORT=tcp://10.0.0.1:80. */
		if (!value || !*value || strncmp(value, "tcp://", 6) == 0 ||
		    strncmp(value, "udp://", 6) == 0)
			continue;
		kept = config_keep(c, value);
		r = kept ? config_set_whole(c, s, name, kept, error)
			 : config_refuse(error, "no memory");
	}
	return r;
}

struct config_getopt {
	struct option longs[CONFIG_SETTINGS_MAX + 1];
	char shorts[2 * CONFIG_SETTINGS_MAX + 3];
};

static void config_getopt_init(struct config_getopt *g, enum config_command command)
{
	char *at = g->shorts;
	struct option *l = g->longs;

	*g = (struct config_getopt){ 0 };
	*at++ = '+'; /* stop at the command, whose flags are its own */
	*at++ = ':'; /* tell a missing argument from an unknown flag */
	for (size_t i = 0; i < config_table_len; i++) {
		const struct config_setting *s = &config_table[i];
		bool has_argument = s->type != &config_value_switch;

		if (!(s->commands & command))
			continue;
		*l++ = (struct option){ s->name, has_argument ? required_argument : no_argument,
					NULL, CONFIG_LONG_BASE + (int)i };
		if (s->letter)
			*at++ = s->letter;
		if (s->letter && has_argument)
			*at++ = ':';
	}
}

/*
 * NULL: getopt has found no flag, or has taken the beginning of a name for it, as --asleep for
 * --asleep-cpu where no other flag begins so; a new flag would change that.
 */
static const struct config_setting *config_find_flag(int opt, const char *given)
{
	for (size_t i = 0; i < config_table_len; i++) {
		const struct config_setting *s = &config_table[i];

		if (s->letter && opt == s->letter)
			return s;
		if (opt == CONFIG_LONG_BASE + (int)i)
			return strcspn(given, "=") == 2 + strlen(s->name) ? s : NULL;
	}
	return NULL;
}

static int config_parse_flags(struct config *c, enum config_command command, int argc, char **argv,
			      char error[CONFIG_ERROR_MAX])
{
	struct config_getopt g;
	bool is_seen[CONFIG_SETTINGS_MAX] = { false };

	config_getopt_init(&g, command);
	opterr = 0;
	optind = 0; /* GNU: start afresh, for a second parse in one process */
	while (!c->wants_help && !c->wants_all_help) {
		const char *given = argv[optind > 0 ? optind : 1];
		int r, opt = getopt_long(argc, argv, g.shorts, g.longs, NULL);
		const struct config_setting *s = config_find_flag(opt, given);
		char shown[CONFIG_PRINT_NAME_MAX];

		if (opt == -1)
			return 0;
		if (!s)
			return config_refuse(
				error, opt == ':' ? "flag '%s' needs a value" : "unknown flag '%s'",
				given);
		/* The first flag of a list replaces what the environment says. */
		if (!is_seen[s - config_table])
			config_value_forget(c, s);
		is_seen[s - config_table] = true;
		snprintf(shown, sizeof(shown), "--%s", s->name);
		r = config_set(c, s, shown, optarg, error);
		if (r < 0)
			return r;
	}
	return 0;
}

static const char *config_check_run(const struct config *c)
{
	if (!c->ports.len)
		return "no port to watch: add -p PORT, such as -p 8080";
	if (!c->command && !c->pid)
		return "nothing to run: add -- COMMAND, or --pid PID for a process that runs already";
	if (c->command && c->pid)
		return "both a command and --pid are given: choose one";
	return NULL;
}

/* Whether there is a name: that of the flag, or of the variable. */
static bool config_has_name(const char **name, const char *variable)
{
	if (!*name)
		*name = getenv(variable);
	return *name && config_value_is_name(*name);
}

static const char *config_check_sidecar(struct config *c)
{
	if (!config_has_name(&c->pod_name, "POD_NAME"))
		return "no pod: set POD_NAME from the downward API (metadata.name)";
	if (!config_has_name(&c->pod_namespace, "POD_NAMESPACE"))
		return "no namespace: set POD_NAMESPACE from the downward API (metadata.namespace)";
	if (!config_has_name(&c->pod_uid, "POD_UID") && c->pod_uid)
		return "the uid is none: set POD_UID from the downward API (metadata.uid)";
	return c->command ? "doze sidecar takes no command: its target is the pod" : NULL;
}

static const char *config_check_node(struct config *c)
{
	if (!config_has_name(&c->node_name, "NODE_NAME"))
		return "no node: set NODE_NAME from the downward API (spec.nodeName)";
	if (c->daemonset && (!config_has_name(&c->pod_name, "POD_NAME") ||
			     !config_has_name(&c->pod_namespace, "POD_NAMESPACE")))
		return "--daemonset needs POD_NAME and POD_NAMESPACE from the downward API";
	return c->command ? "doze node takes no command: its targets are the pods of the node"
			  : NULL;
}

/* What follows from the idle time where it is not said, and what contradicts it. */
static int config_complete_idle(struct config *c, char error[CONFIG_ERROR_MAX])
{
	struct target_settings *t = &c->target;
	struct busy_settings *busy = &t->activity.busy;

	busy->idle_ms = t->idle_ns / NS_PER_MS;
	if (!t->idle_max_ns)
		t->idle_max_ns = CONFIG_IDLE_MAX_FACTOR * t->idle_ns;
	if (t->idle_max_ns < t->idle_ns)
		return config_refuse(error,
				     "--idle-max: '%" PRIu64
				     "ms' is shorter than --idle-after, '%" PRIu64 "ms'",
				     t->idle_max_ns / NS_PER_MS, busy->idle_ms);
	if (busy->max_ms == CONFIG_UNSET)
		busy->max_ms = max_u64(CONFIG_BUSY_MAX_MS, busy->idle_ms);
	if (busy->max_ms && busy->max_ms < busy->idle_ms)
		return config_refuse(error,
				     "--busy-max: '%" PRIu64
				     "ms' is shorter than --idle-after, '%" PRIu64
				     "ms': no connection would ever be busy",
				     busy->max_ms, busy->idle_ms);
	return 0;
}

static int config_check_probes(const struct config *c, char error[CONFIG_ERROR_MAX])
{
	bool is_ignored = c->ignored_sources.len > 0;
	char text[CIDR_TEXT_MAX];

	if (c->target.probes != GATE_PROBES_NONE || (!is_ignored && !c->probe_sources.len))
		return 0;
	cidr_format(is_ignored ? &c->ignored_sources.of[0] : &c->probe_sources.of[0], text);
	return config_refuse(error,
			     "%s: '%s' contradicts --probes 'wake', by which every packet is "
			     "a client's",
			     is_ignored ? "--ignore-source" : "--probe-source", text);
}

static int config_complete(struct config *c, enum config_command command,
			   char error[CONFIG_ERROR_MAX])
{
	int r;

	if (command != CONFIG_RUN && c->asleep_millicpu % 10)
		return config_refuse(error,
				     "--asleep-cpu: '%um' is no multiple of 10m, to which "
				     "the kubelet's cgroup driver rounds",
				     c->asleep_millicpu);
	r = config_complete_idle(c, error);
	return r < 0 ? r : config_check_probes(c, error);
}

static int config_check(struct config *c, enum config_command command, char error[CONFIG_ERROR_MAX])
{
	const char *wrong = NULL;

	if (command == CONFIG_RUN)
		wrong = config_check_run(c);
	else if (command == CONFIG_SIDECAR)
		wrong = config_check_sidecar(c);
	else if (command == CONFIG_NODE)
		wrong = config_check_node(c);
	if (wrong)
		return config_refuse(error, "%s", wrong);
	if (command == CONFIG_NODE) {
		/* What follows from the idle time follows from that of each pod. */
		struct config as_pod = *c;

		return config_complete(&as_pod, CONFIG_POD, error);
	}
	return command == CONFIG_STATUS ? 0 : config_complete(c, command, error);
}

static void config_set_fallbacks(struct config *c, enum config_command command)
{
	*c = (struct config){ .target.activity.busy.max_ms = CONFIG_UNSET };
	for (size_t i = 0; i < config_table_len; i++) {
		struct config_value v = { .setting = &config_table[i],
					  .text = (char *)config_table[i].fallback };

		if (v.text && (v.setting->commands & command))
			config_value_set(c, &v);
	}
}

int config_parse(struct config *out, enum config_command command, int argc, char **argv,
		 char error[CONFIG_ERROR_MAX])
{
	int r;

	config_set_fallbacks(out, command);
	r = config_parse_env(out, command, error);
	if (r == 0)
		r = config_parse_flags(out, command, argc, argv, error);
	if (r < 0 || out->wants_help || out->wants_all_help)
		return r;
	if (optind < argc)
		out->command = argv + optind;
	return config_check(out, command, error);
}

/* What the administrator allows. The node's own flags are his. */
static int config_check_bounds(const struct config *pod, const struct config *node,
			       char error[CONFIG_ERROR_MAX])
{
	const struct target_settings *t = &pod->target;

	if (t->idle_ns < node->idle_least_ns && t->idle_ns != node->target.idle_ns)
		return config_refuse(error,
				     "doze.dev/idle-after: '%" PRIu64 "ms' is shorter than this "
				     "node allows: --least-idle-after '%" PRIu64 "ms'",
				     t->idle_ns / NS_PER_MS, node->idle_least_ns / NS_PER_MS);
	if (t->wake_timeout_ns > node->wake_timeout_most_ns &&
	    t->wake_timeout_ns != node->target.wake_timeout_ns)
		return config_refuse(error,
				     "doze.dev/wake-timeout: '%" PRIu64 "ms' is longer than this "
				     "node allows: --most-wake-timeout '%" PRIu64 "ms'",
				     t->wake_timeout_ns / NS_PER_MS,
				     node->wake_timeout_most_ns / NS_PER_MS);
	return 0;
}

/* NULL: there is no such setting of a pod. */
static const struct config_setting *config_find_annotation(const char *name)
{
	for (size_t i = 0; i < config_table_len; i++) {
		const struct config_setting *s = &config_table[i];

		if ((s->commands & CONFIG_POD) && strcmp(s->name, name) == 0)
			return s;
	}
	return NULL;
}

static int config_take_annotation(struct config *c, const struct config_annotation *a,
				  char error[CONFIG_ERROR_MAX])
{
	const char *name = a->name + strlen(CONFIG_ANNOTATION_PREFIX);
	const struct config_setting *s = config_find_annotation(name);
	char *value;

	/* Whether a pod is ours, and what its full size is: not how it sleeps. */
	if (strcmp(name, "enabled") == 0 || strcmp(name, "full") == 0 ||
	    strcmp(name, "cpu-max") == 0)
		return 0;
	if (!s)
		return config_refuse(error, "%s: '%s': there is no such setting", a->name,
				     a->value);
	if (c->env_values_len == ARRAY_LEN(c->env_values))
		return config_refuse(error, "%s: '%s': too many annotations", a->name, a->value);
	value = config_keep(c, a->value);
	if (!value)
		return config_refuse(error, "no memory");
	return config_set_whole(c, s, a->name, value, error);
}

int config_from_annotations(struct config *out, const struct config *defaults,
			    const struct config_annotation *annotations, size_t len,
			    char error[CONFIG_ERROR_MAX])
{
	int r;

	*out = *defaults;
	out->env_values_len = 0;
	for (size_t i = 0; i < len; i++) {
		r = config_take_annotation(out, &annotations[i], error);
		if (r < 0)
			return r;
	}
	r = config_check_bounds(out, defaults, error);
	return r < 0 ? r : config_complete(out, CONFIG_POD, error);
}

const char *config_protocol_name(uint8_t protocol)
{
	return protocol == IPPROTO_UDP ? "udp" : "tcp";
}

void config_free(struct config *c)
{
	for (size_t i = 0; i < c->env_values_len; i++)
		free(c->env_values[i]);
	c->env_values_len = 0;
}

bool config_has_host_port(const struct config *c, uint16_t port)
{
	for (size_t i = 0; i < c->host_ports.len; i++) {
		if (c->host_ports.of[i].first <= port && port <= c->host_ports.of[i].last)
			return true;
	}
	return c->host_ports.len == 0;
}
