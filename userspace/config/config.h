/* SPDX-License-Identifier: MIT */
/*
 * The settings of a command, from the environment and the command line, validated. A setting has
 * one name: flag --idle-after, environment DOZE_IDLE_AFTER. A flag wins over the environment.
 */
#ifndef DOZE_CONFIG_H
#define DOZE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/cidr.h"
#include "base/log.h"
#include "probe/caller.h"
#include "target/schedule.h"

#define CONFIG_PORTS_MAX      64
#define CONFIG_INTERFACES_MAX 64
#define CONFIG_CONTAINERS_MAX 32
#define CONFIG_SOURCES_MAX    64
#define CONFIG_PATHS_MAX      16
#define CONFIG_SCHEDULES_MAX  16
#define CONFIG_ERROR_MAX      512

/* Bits: a setting belongs to one command or to several. */
enum config_command {
	CONFIG_RUN = 1 << 0,
	CONFIG_SIDECAR = 1 << 1,
	CONFIG_POD = 1 << 2, /* as annotations of a pod, for doze node */
	CONFIG_NODE = 1 << 3,
};

enum config_asleep {
	CONFIG_ASLEEP_DEFAULT, /* freeze, or throttle where nothing can freeze */
	CONFIG_ASLEEP_FREEZE,
	CONFIG_ASLEEP_THROTTLE,
	CONFIG_ASLEEP_RECLAIM, /* of doze node: frozen, and its memory given back */
};

enum config_on_exit {
	CONFIG_ON_EXIT_KEEP,
	CONFIG_ON_EXIT_WAKE,
};

enum config_hook {
	CONFIG_HOOK_AUTO,
	CONFIG_HOOK_TCX,
	CONFIG_HOOK_TC,
	CONFIG_HOOK_XDP,
};

enum config_ready {
	CONFIG_READY_TCP,
	CONFIG_READY_HTTP,
	CONFIG_READY_NONE,
};

enum config_probes {
	CONFIG_PROBES_ANSWER,
	CONFIG_PROBES_PASS,
	CONFIG_PROBES_WAKE,
};

struct config_sources {
	struct cidr of[CONFIG_SOURCES_MAX];
	size_t len;
};

struct config_tcp_ports {
	uint16_t of[CONFIG_PORTS_MAX];
	size_t len;
};

struct config_port {
	uint16_t port;
	uint8_t protocol; /* IPPROTO_TCP or IPPROTO_UDP */
};

struct config {
	struct config_port ports[CONFIG_PORTS_MAX];
	size_t ports_len;
	const char *interfaces[CONFIG_INTERFACES_MAX]; /* none: every one that has an address */
	size_t interfaces_len;
	uint64_t idle_ns;
	uint64_t wake_timeout_ns;
	uint64_t busy_max_ns; /* 0: without limit */
	bool sleeps_with_connections;
	uint64_t awake_min_ns;
	uint64_t idle_max_ns;
	struct schedule schedules[CONFIG_SCHEDULES_MAX];
	size_t schedules_len;
	enum config_probes probes;
	struct config_sources probe_sources, ignored_sources;
	struct config_tcp_ports probe_ports, https_ports;
	struct caller_path ignored_http[CONFIG_PATHS_MAX];
	size_t ignored_http_len;
	const char *listen; /* NULL: nowhere but on the socket */
	const char *socket; /* NULL: where doze status looks; "none" */
	enum config_asleep asleep;
	uint32_t asleep_millicpu; /* of throttle */
	enum config_hook hook;
	bool can_replay;
	enum config_ready ready;
	const char *ready_path; /* of CONFIG_READY_HTTP; begins with a slash */
	enum log_level log_level;
	pid_t pid;	/* 0: a command is started instead */
	char **command; /* NULL-terminated, points into argv; NULL: pid is set */
	const char *containers[CONFIG_CONTAINERS_MAX];
	size_t containers_len;
	const char *pod_name, *pod_namespace;
	const char *own_container;
	const char *state_file;
	const char *kubeconfig; /* NULL: the pod's service account */
	const char *service_account_dir;
	uint64_t reclaim_after_ns;
	const char *group; /* NULL: none */
	const char *node_name;
	const char *state_dir;
	const char *cgroup_root;
	const char *kubelet_cgroup; /* NULL: it is looked for; "none" */
	uint32_t wakes_max;	    /* at the same time; 0: without limit */
	enum config_on_exit on_exit;
	bool uninstalls;
	bool wants_help;
	char *env_values[64]; /* copies of the environment's values, which the above point into */
	size_t env_values_len;
};

/*
 * Parses argv[1..]; argv[0] is the subcommand. The strings in *out point into argv, or belong to
 * *out where they come from the environment. -EINVAL with a sentence in error that quotes the
 * value. config_free() also after a failure.
 */
int config_parse(struct config *out, enum config_command command, int argc, char **argv,
		 char error[CONFIG_ERROR_MAX]);
void config_free(struct config *c);

#define CONFIG_ANNOTATION_PREFIX "doze.dev/"

struct config_annotation {
	const char *name, *value; /* doze.dev/idle-after, 5m */
};

/*
 * The settings of one pod: those of defaults, but for what its annotations say. A list in an
 * annotation replaces that of defaults; its items are separated as in the environment. Names that
 * are not settings are wrong, but for doze.dev/enabled and doze.dev/full. -EINVAL with a sentence
 * in error that quotes name and value; config_free() also then. What defaults points to has to
 * outlive *out; the annotations need not.
 */
int config_from_annotations(struct config *out, const struct config *defaults,
			    const struct config_annotation *annotations, size_t len,
			    char error[CONFIG_ERROR_MAX]);

/* Every flag of a command with its environment name and meaning, as --help prints it. */
void config_print_flags(FILE *out, enum config_command command);

const char *config_protocol_name(uint8_t protocol);

#endif
