/* SPDX-License-Identifier: MIT */
/* From the configuration of a command, and what is known of its pod, to one target's settings. */
#ifndef DOZE_TARGET_CONFIG_H
#define DOZE_TARGET_CONFIG_H

#include "config/config.h"
#include "target/target.h"

#define TARGET_CONFIG_SOURCES_MAX (3 * CONFIG_SOURCES_MAX + 32)
#define TARGET_CONFIG_PORTS_MAX	  (3 * CONFIG_PORTS_MAX)
#define TARGET_CONFIG_AGENTS_MAX  8

/* What the settings point into; it stays where it is. */
struct target_config {
	struct target_settings settings;
	struct target_port ports[CONFIG_PORTS_MAX];
	size_t ports_len;
	uint16_t tcp_ports[CONFIG_PORTS_MAX];
	size_t tcp_ports_len;
	struct activity_source sources[TARGET_CONFIG_SOURCES_MAX];
	size_t sources_len;
	uint16_t probe_ports[TARGET_CONFIG_PORTS_MAX];
	size_t probe_ports_len;
	uint16_t https_ports[CONFIG_PORTS_MAX];
	size_t https_ports_len;
	const char *agents[TARGET_CONFIG_AGENTS_MAX];
	size_t agents_len;
	uint64_t probe_ms; /* the longest timeout of a probe, and a bit; 0: no probe is known */
};

/*
 * What is said of a pod, or known from elsewhere. What has been added before, and what there is no
 * room for, is left out.
 */
void target_config_add_port(struct target_config *t, uint16_t port, uint8_t protocol);
void target_config_add_source(struct target_config *t, const struct cidr *from,
			      enum gate_source kind);
void target_config_add_probe_port(struct target_config *t, uint16_t port, bool is_https);
/*
 * timeout_s: a probe without an answer for so long has failed. agent: the user agent of a probe
 * that does not have the kubelet's own, or NULL.
 */
void target_config_add_probe(struct target_config *t, int timeout_s, const char *agent);
/* The ports that --port names. */
void target_config_add_ports(struct target_config *t, const struct config *config);

/* Afterwards: all the rest. config is borrowed, and outlives the target. */
void target_config_fill(struct target_config *t, const struct config *config);

bool target_config_has_udp(const struct target_config *t);

/* No other doze in this network namespace has it, and it is the same after a restart. */
uint32_t target_config_tc_handle(const struct target_config *t);

#endif
