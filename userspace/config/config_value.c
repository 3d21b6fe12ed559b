// SPDX-License-Identifier: MIT
/* One function for each setting, in the order of the table in config.c. */
#include "config/config_value.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/quantity.h"
#include "base/util.h"

#define CONFIG_IDLE_MIN_NS	   (100 * NS_PER_MS)
#define CONFIG_WAKE_TIMEOUT_MIN_NS (10 * NS_PER_MS)

const char *config_set_port(struct config *c, char *value)
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

const char *config_set_interface(struct config *c, char *value)
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

static const char *config_duration(const char *value, uint64_t min_ns, const char *too_short,
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

const char *config_set_idle_after(struct config *c, char *value)
{
	return config_duration(value, CONFIG_IDLE_MIN_NS, "is too short; 100ms is the least",
			       &c->idle_ns);
}

const char *config_set_wake_timeout(struct config *c, char *value)
{
	return config_duration(value, CONFIG_WAKE_TIMEOUT_MIN_NS, "is too short; 10ms is the least",
			       &c->wake_timeout_ns);
}

const char *config_set_asleep(struct config *c, char *value)
{
	if (strcmp(value, "freeze") == 0)
		c->asleep = CONFIG_ASLEEP_FREEZE;
	else if (strcmp(value, "throttle") == 0)
		c->asleep = CONFIG_ASLEEP_THROTTLE;
	else
		return "is neither freeze nor throttle";
	return NULL;
}

const char *config_set_asleep_cpu(struct config *c, char *value)
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

const char *config_set_hook(struct config *c, char *value)
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

const char *config_set_replay(struct config *c, char *value)
{
	c->can_replay = strcmp(value, "on") == 0;
	return c->can_replay || strcmp(value, "off") == 0 ? NULL : "is neither on nor off";
}

/* RFC 1123 labels and subdomains, which every name of Kubernetes is. */
bool config_is_name(const char *name)
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

const char *config_set_ready(struct config *c, char *value)
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

const char *config_set_pid(struct config *c, char *value)
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

const char *config_set_log_level(struct config *c, char *value)
{
	return log_parse_level(value, &c->log_level) == 0 ? NULL
							  : "is none of debug, info, warn, error";
}

const char *config_set_container(struct config *c, char *value)
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

const char *config_set_pod_name(struct config *c, char *value)
{
	c->pod_name = value;
	return config_is_name(value) ? NULL : "is not the name of a pod";
}

const char *config_set_pod_namespace(struct config *c, char *value)
{
	c->pod_namespace = value;
	return config_is_name(value) ? NULL : "is not the name of a namespace";
}

const char *config_set_own_container(struct config *c, char *value)
{
	c->own_container = value;
	return config_is_name(value) ? NULL : "is not the name of a container";
}

const char *config_set_state_file(struct config *c, char *value)
{
	c->state_file = value;
	return *value == '/' ? NULL : "is not an absolute path";
}

const char *config_set_kubeconfig(struct config *c, char *value)
{
	c->kubeconfig = value;
	return *value ? NULL : "is not a path";
}

const char *config_set_service_account_dir(struct config *c, char *value)
{
	c->service_account_dir = value;
	return *value == '/' ? NULL : "is not an absolute path";
}

static const char *config_set_flag(char *value, bool *out)
{
	*out = strcmp(value, "yes") == 0;
	return *out || strcmp(value, "no") == 0 ? NULL : "is neither yes nor no";
}

const char *config_set_busy_max(struct config *c, char *value)
{
	return config_duration(value, 0, NULL, &c->busy_max_ns);
}

const char *config_set_sleep_with_connections(struct config *c, char *value)
{
	return config_set_flag(value, &c->sleeps_with_connections);
}

const char *config_set_min_awake(struct config *c, char *value)
{
	return config_duration(value, 0, NULL, &c->awake_min_ns);
}

const char *config_set_idle_max(struct config *c, char *value)
{
	return config_duration(value, CONFIG_IDLE_MIN_NS, "is too short; 100ms is the least",
			       &c->idle_max_ns);
}

const char *config_set_stay_awake(struct config *c, char *value)
{
	if (c->schedules_len == CONFIG_SCHEDULES_MAX)
		return "is one schedule too many; at most 16 are possible";
	return schedule_parse(value, &c->schedules[c->schedules_len++]);
}

const char *config_set_probes(struct config *c, char *value)
{
	if (strcmp(value, "answer") == 0)
		c->probes = CONFIG_PROBES_ANSWER;
	else if (strcmp(value, "pass") == 0)
		c->probes = CONFIG_PROBES_PASS;
	else if (strcmp(value, "wake") == 0)
		c->probes = CONFIG_PROBES_WAKE;
	else
		return "is none of answer, pass, wake";
	return NULL;
}

static bool config_has_source(const struct config_sources *sources, const struct cidr *from)
{
	for (size_t i = 0; i < sources->len; i++) {
		if (memcmp(&sources->of[i], from, sizeof(*from)) == 0)
			return true;
	}
	return false;
}

static const char *config_set_source(struct config_sources *sources,
				     const struct config_sources *others, char *value)
{
	struct cidr from = { 0 };
	const char *wrong = cidr_parse(value, &from);

	if (wrong)
		return wrong;
	if (config_has_source(others, &from))
		return "is both a --probe-source and an --ignore-source";
	if (config_has_source(sources, &from))
		return "is given twice; name each source once";
	if (sources->len == CONFIG_SOURCES_MAX)
		return "is one source too many; at most 64 are possible";
	sources->of[sources->len++] = from;
	return NULL;
}

const char *config_set_probe_source(struct config *c, char *value)
{
	return config_set_source(&c->probe_sources, &c->ignored_sources, value);
}

const char *config_set_ignore_source(struct config *c, char *value)
{
	return config_set_source(&c->ignored_sources, &c->probe_sources, value);
}

const char *config_set_ignore_http(struct config *c, char *value)
{
	if (c->ignored_http_len == CONFIG_PATHS_MAX)
		return "is one path too many; at most 16 are possible";
	if (caller_parse_path(value, &c->ignored_http[c->ignored_http_len]) < 0)
		return "is not a method and a path such as GET /healthz";
	c->ignored_http_len++;
	return NULL;
}

static const char *config_set_tcp_port(struct config_tcp_ports *ports, char *value)
{
	uint8_t protocol;
	uint16_t port;

	if (quantity_parse_port(value, &port, &protocol) < 0 || protocol != IPPROTO_TCP)
		return "is not a TCP port from 1 to 65535";
	for (size_t i = 0; i < ports->len; i++) {
		if (ports->of[i] == port)
			return "is given twice; name each port once";
	}
	if (ports->len == CONFIG_PORTS_MAX)
		return "is one port too many; at most 64 are possible";
	ports->of[ports->len++] = port;
	return NULL;
}

const char *config_set_probe_port(struct config *c, char *value)
{
	return config_set_tcp_port(&c->probe_ports, value);
}

const char *config_set_probe_https(struct config *c, char *value)
{
	return config_set_tcp_port(&c->https_ports, value);
}

/* 127.0.0.1:9090, [::1]:9090, or :9090. */
static bool config_is_listen(const char *value)
{
	const char *colon = strrchr(value, ':');
	char text[INET6_ADDRSTRLEN + 2];
	size_t len = colon ? (size_t)(colon - value) : sizeof(text);
	struct in6_addr addr;
	uint8_t protocol;
	uint16_t port;

	if (len >= sizeof(text) || strchr(colon, '/') ||
	    quantity_parse_port(colon + 1, &port, &protocol) < 0)
		return false;
	memcpy(text, value, len);
	text[len] = '\0';
	if (len == 0 || inet_pton(AF_INET, text, &addr) == 1)
		return true;
	if (*text != '[' || text[len - 1] != ']')
		return false;
	text[len - 1] = '\0';
	return inet_pton(AF_INET6, text + 1, &addr) == 1;
}

const char *config_set_listen(struct config *c, char *value)
{
	c->listen = value;
	return config_is_listen(value) ? NULL
				       : "is not an address and a port, such as "
					 "127.0.0.1:9090 or :9090";
}

const char *config_set_socket(struct config *c, char *value)
{
	c->socket = value;
	return *value == '/' || strcmp(value, "none") == 0 ? NULL
							   : "is neither an absolute path nor none";
}

const char *config_set_asleep_pod(struct config *c, char *value)
{
	if (strcmp(value, "throttle") == 0)
		c->asleep = CONFIG_ASLEEP_THROTTLE;
	else if (strcmp(value, "freeze") == 0)
		c->asleep = CONFIG_ASLEEP_FREEZE;
	else if (strcmp(value, "reclaim") == 0)
		c->asleep = CONFIG_ASLEEP_RECLAIM;
	else
		return "is none of throttle, freeze, reclaim";
	return NULL;
}

const char *config_set_reclaim_after(struct config *c, char *value)
{
	return config_duration(value, 0, NULL, &c->reclaim_after_ns);
}

const char *config_set_group(struct config *c, char *value)
{
	c->group = value;
	return config_is_name(value) ? NULL : "is not the name of a group, such as shop";
}

const char *config_set_node_name(struct config *c, char *value)
{
	c->node_name = value;
	return config_is_name(value) ? NULL : "is not the name of a node";
}

static const char *config_set_directory(const char **out, const char *value)
{
	*out = value;
	return *value == '/' ? NULL : "is not an absolute path";
}

const char *config_set_state_dir(struct config *c, char *value)
{
	return config_set_directory(&c->state_dir, value);
}

const char *config_set_cgroup_root(struct config *c, char *value)
{
	return config_set_directory(&c->cgroup_root, value);
}

const char *config_set_kubelet_cgroup(struct config *c, char *value)
{
	c->kubelet_cgroup = value;
	return *value == '/' || strcmp(value, "none") == 0 ? NULL
							   : "is neither an absolute path nor none";
}

const char *config_set_max_wakes(struct config *c, char *value)
{
	char *end;
	unsigned long number;

	errno = 0;
	number = strtoul(value, &end, 10);
	if (errno || *end || !isdigit((unsigned char)*value) || number > UINT32_MAX)
		return "is not a number of pods such as 20";
	c->wakes_max = (uint32_t)number;
	return NULL;
}

const char *config_set_on_exit(struct config *c, char *value)
{
	c->on_exit = strcmp(value, "wake") == 0 ? CONFIG_ON_EXIT_WAKE : CONFIG_ON_EXIT_KEEP;
	return c->on_exit == CONFIG_ON_EXIT_WAKE || strcmp(value, "keep") == 0
		       ? NULL
		       : "is neither keep nor wake";
}
