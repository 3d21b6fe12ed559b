// SPDX-License-Identifier: MIT
/* Copies; what is given by flags comes beside what the pod says. */
#include "config/target_config.h"

#include <netinet/in.h>
#include <string.h>

#include "base/util.h"

/* A probe that times out is not gone at once. */
#define TARGET_CONFIG_LATE_MS 500

void target_config_add_port(struct target_config *t, uint16_t port, uint8_t protocol)
{
	for (size_t i = 0; i < t->ports_len; i++) {
		if (t->ports[i].port == port && t->ports[i].protocol == protocol)
			return;
	}
	if (t->ports_len < ARRAY_LEN(t->ports))
		t->ports[t->ports_len++] = (struct target_port){ port, protocol };
}

void target_config_add_source(struct target_config *t, const struct cidr *from,
			      enum gate_source kind)
{
	for (size_t i = 0; i < t->sources_len; i++) {
		if (memcmp(&t->sources[i].from, from, sizeof(*from)) == 0)
			return;
	}
	if (t->sources_len < ARRAY_LEN(t->sources))
		t->sources[t->sources_len++] = (struct activity_source){ *from, kind };
}

static void target_config_add_number(uint16_t *ports, size_t *len, size_t max, uint16_t port)
{
	for (size_t i = 0; i < *len; i++) {
		if (ports[i] == port)
			return;
	}
	if (*len < max)
		ports[(*len)++] = port;
}

void target_config_add_probe_port(struct target_config *t, uint16_t port, bool is_https)
{
	target_config_add_number(t->check_ports, &t->check_ports_len, ARRAY_LEN(t->check_ports),
				 port);
	if (is_https)
		target_config_add_number(t->https_ports, &t->https_ports_len,
					 ARRAY_LEN(t->https_ports), port);
}

void target_config_add_probe(struct target_config *t, int timeout_s, const char *agent)
{
	uint64_t probe_ms = (uint64_t)timeout_s * 1000 + TARGET_CONFIG_LATE_MS;

	t->probe_ms = max_u64(t->probe_ms, probe_ms);
	if (agent && t->agents_len < ARRAY_LEN(t->agents))
		t->agents[t->agents_len++] = agent;
}

/* What was named by a flag wins over what is known from elsewhere: it comes first. */
static void target_config_take_sources(struct target_config *t, const struct config *config)
{
	struct activity_source known[TARGET_CONFIG_SOURCES_MAX];
	size_t known_len = t->sources_len;

	memcpy(known, t->sources, known_len * sizeof(known[0]));
	t->sources_len = 0;
	if (config->probes == CONFIG_PROBES_WAKE)
		return;
	for (size_t i = 0; i < config->ignored_sources.len; i++)
		target_config_add_source(t, &config->ignored_sources.of[i], GATE_SOURCE_IGNORED);
	for (size_t i = 0; i < config->probe_sources.len; i++)
		target_config_add_source(t, &config->probe_sources.of[i], GATE_SOURCE_PROBE);
	for (size_t i = 0; i < known_len; i++)
		target_config_add_source(t, &known[i].from, known[i].kind);
}

static size_t target_config_take_ports(struct target_config *t, const struct config *config)
{
	size_t tcp_len = 0;

	for (size_t i = 0; i < t->ports_len; i++) {
		if (t->ports[i].protocol != IPPROTO_TCP)
			continue;
		t->tcp_ports[tcp_len++] = t->ports[i].port;
		target_config_add_probe_port(t, t->ports[i].port, false);
	}
	for (size_t i = 0; i < config->probe_ports.len; i++)
		target_config_add_probe_port(t, config->probe_ports.of[i], false);
	for (size_t i = 0; i < config->https_ports.len; i++)
		target_config_add_probe_port(t, config->https_ports.of[i], true);
	return tcp_len;
}

void target_config_fill(struct target_config *t, const struct config *config)
{
	static const enum gate_probes probes[] = {
		[CONFIG_PROBES_ANSWER] = GATE_PROBES_ANSWER,
		[CONFIG_PROBES_PASS] = GATE_PROBES_PASS,
		[CONFIG_PROBES_WAKE] = GATE_PROBES_NONE,
	};
	size_t tcp_len = target_config_take_ports(t, config);

	target_config_take_sources(t, config);
	t->settings = (struct target_settings){
		.ports = t->ports,
		.ports_len = t->ports_len,
		.idle_ns = config->idle_ns,
		.idle_max_ns = config->idle_max_ns,
		.awake_min_ns = config->awake_min_ns,
		.wake_timeout_ns = config->wake_timeout_ns,
		.schedules = config->schedules,
		.schedules_len = config->schedules_len,
		.activity = {
			.ports = t->tcp_ports,
			.ports_len = tcp_len,
			.sources = t->sources,
			.sources_len = t->sources_len,
			.agents = t->agents,
			.agents_len = t->agents_len,
			.paths = config->ignored_http,
			.paths_len = config->ignored_http_len,
			.https_ports = t->https_ports,
			.https_ports_len = t->https_ports_len,
			.busy = {
				.idle_ms = config->idle_ns / NS_PER_MS,
				.max_ms = config->busy_max_ns / NS_PER_MS,
				.sleeps_with_connections = config->sleeps_with_connections,
				.probe_ms = max_u64(BUSY_PROBE_MS, t->probe_ms),
			},
		},
		.probes = probes[config->probes],
		.probe_ports = t->check_ports,
		.probe_ports_len = t->check_ports_len,
	};
}

bool target_config_has_udp(const struct target_config *t)
{
	for (size_t i = 0; i < t->ports_len; i++) {
		if (t->ports[i].protocol == IPPROTO_UDP)
			return true;
	}
	return false;
}

uint32_t target_config_tc_handle(const struct target_config *t)
{
	return (uint32_t)t->ports[0].protocol << 16 | t->ports[0].port;
}

enum hooks_kind target_config_hook(const struct config *config)
{
	static const enum hooks_kind hooks[] = {
		[CONFIG_HOOK_AUTO] = HOOKS_AUTO,
		[CONFIG_HOOK_TCX] = HOOKS_TCX,
		[CONFIG_HOOK_TC] = HOOKS_TC,
		[CONFIG_HOOK_XDP] = HOOKS_XDP,
	};

	return hooks[config->hook];
}
