// SPDX-License-Identifier: MIT
/* Lists of what the flags say and of what the pod says, each item once. */
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
	target_config_add_number(t->probe_ports, &t->probe_ports_len, ARRAY_LEN(t->probe_ports),
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

void target_config_add_ports(struct target_config *t, const struct config *config)
{
	for (size_t i = 0; i < config->ports.len; i++)
		target_config_add_port(t, config->ports.of[i].port, config->ports.of[i].protocol);
}

/* Who is named is a client, and everybody else is outside. */
static void target_config_fill_wake_sources(struct target_config *t, const struct config *config)
{
	static const struct cidr everybody;

	for (size_t i = 0; i < config->wake_sources.len; i++)
		target_config_add_source(t, &config->wake_sources.of[i], GATE_SOURCE_CLIENT);
	if (config->wake_sources.len)
		target_config_add_source(t, &everybody, GATE_SOURCE_OUTSIDE);
}

/* What a flag names wins over what is known from elsewhere: it comes first. */
static void target_config_fill_sources(struct target_config *t, const struct config *config)
{
	struct activity_source known[TARGET_CONFIG_SOURCES_MAX];
	size_t known_len = t->sources_len;

	memcpy(known, t->sources, known_len * sizeof(known[0]));
	t->sources_len = 0;
	if (config->target.probes == GATE_PROBES_NONE) {
		target_config_fill_wake_sources(t, config);
		return;
	}
	for (size_t i = 0; i < config->ignored_sources.len; i++)
		target_config_add_source(t, &config->ignored_sources.of[i], GATE_SOURCE_CHECKER);
	for (size_t i = 0; i < config->probe_sources.len; i++)
		target_config_add_source(t, &config->probe_sources.of[i], GATE_SOURCE_PROBE);
	for (size_t i = 0; i < known_len; i++)
		target_config_add_source(t, &known[i].from, known[i].kind);
	target_config_fill_wake_sources(t, config);
}

static void target_config_fill_ports(struct target_config *t, const struct config *config)
{
	t->tcp_ports_len = 0;
	for (size_t i = 0; i < t->ports_len; i++) {
		if (t->ports[i].protocol != IPPROTO_TCP)
			continue;
		t->tcp_ports[t->tcp_ports_len++] = t->ports[i].port;
		target_config_add_probe_port(t, t->ports[i].port, false);
	}
	for (size_t i = 0; i < config->probe_ports.len; i++)
		target_config_add_probe_port(t, config->probe_ports.of[i], false);
	for (size_t i = 0; i < config->https_ports.len; i++)
		target_config_add_probe_port(t, config->https_ports.of[i], true);
}

void target_config_fill(struct target_config *t, const struct config *config)
{
	struct target_settings *s = &t->settings;

	target_config_fill_ports(t, config);
	target_config_fill_sources(t, config);
	*s = config->target;
	s->ports = t->ports;
	s->ports_len = t->ports_len;
	s->schedules = config->schedules.of;
	s->schedules_len = config->schedules.len;
	s->probe_ports = t->probe_ports;
	s->probe_ports_len = t->probe_ports_len;
	s->activity.ports = t->tcp_ports;
	s->activity.ports_len = t->tcp_ports_len;
	s->activity.sources = t->sources;
	s->activity.sources_len = t->sources_len;
	s->activity.agents = t->agents;
	s->activity.agents_len = t->agents_len;
	s->activity.checkers = config->probe_agents.of;
	s->activity.checkers_len = config->probe_agents.len;
	s->activity.paths = config->ignored_http.of;
	s->activity.paths_len = config->ignored_http.len;
	s->activity.https_ports = t->https_ports;
	s->activity.https_ports_len = t->https_ports_len;
	s->activity.checker_https_ports = config->https_ports.of;
	s->activity.checker_https_ports_len = config->https_ports.len;
	s->activity.busy.probe_ms = max_u64(BUSY_PROBE_MS, t->probe_ms);
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
