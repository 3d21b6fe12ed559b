/* SPDX-License-Identifier: MIT */
/*
 * The settings of a command, from the environment and the command line, validated. A setting has
 * one name: flag --idle-after, environment DOZE_IDLE_AFTER, annotation doze.dev/idle-after. A flag
 * wins over the environment. config_table.c has a row for each.
 */
#ifndef DOZE_CONFIG_H
#define DOZE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cidr.h"
#include "base/log.h"
#include "probe/caller.h"
#include "target/daemon.h"
#include "target/schedule.h"
#include "target/target.h"

#define CONFIG_PORTS_MAX      64
#define CONFIG_INTERFACES_MAX 64
#define CONFIG_CONTAINERS_MAX 32
#define CONFIG_SOURCES_MAX    64
#define CONFIG_PATHS_MAX      16
#define CONFIG_AGENTS_MAX     16
#define CONFIG_SCHEDULES_MAX  16
#define CONFIG_RANGES_MAX     64
#define CONFIG_SETTINGS_MAX   64
#define CONFIG_ERROR_MAX      512

/* Bits: a setting belongs to one command or to several. */
enum config_command {
	CONFIG_RUN = 1 << 0,
	CONFIG_SIDECAR = 1 << 1,
	CONFIG_NODE = 1 << 2,
	CONFIG_STATUS = 1 << 3,
	CONFIG_POD = 1 << 4, /* as annotations of a pod, for doze node */
};

enum config_asleep {
	CONFIG_ASLEEP_DEFAULT, /* freeze, or throttle where nothing can freeze */
	CONFIG_ASLEEP_FREEZE,
	CONFIG_ASLEEP_THROTTLE,
	CONFIG_ASLEEP_RECLAIM, /* of doze node: frozen, and its memory given back */
};

/* Ports, whatever their protocol; 0 to 0: none. */
struct config_port_range {
	uint16_t first, last;
};

/* config_value.c appends to a list of any type: its length comes first. */
#define CONFIG_LIST(type, max)                                                                     \
	struct {                                                                                   \
		size_t len;                                                                        \
		type of[max];                                                                      \
	}

struct config {
	/*
	 * What the settings say of a target and of the gate is written straight into the structs
	 * that these are opened with; target_config.c adds the lists.
	 */
	struct target_settings target;
	struct daemon_gate_settings gate;
	CONFIG_LIST(struct target_port, CONFIG_PORTS_MAX) ports;
	CONFIG_LIST(const char *, CONFIG_INTERFACES_MAX) interfaces; /* none: all with an address */
	CONFIG_LIST(const char *, CONFIG_CONTAINERS_MAX) containers; /* none: see --containers */
	CONFIG_LIST(struct schedule, CONFIG_SCHEDULES_MAX) schedules;
	CONFIG_LIST(struct cidr, CONFIG_SOURCES_MAX) probe_sources;
	CONFIG_LIST(struct cidr, CONFIG_SOURCES_MAX) ignored_sources;
	CONFIG_LIST(struct cidr, CONFIG_SOURCES_MAX) wake_sources; /* none: everybody wakes it */
	CONFIG_LIST(uint16_t, CONFIG_PORTS_MAX) probe_ports;
	CONFIG_LIST(uint16_t, CONFIG_PORTS_MAX) https_ports;
	CONFIG_LIST(struct caller_path, CONFIG_PATHS_MAX) ignored_http;
	CONFIG_LIST(const char *, CONFIG_AGENTS_MAX) probe_agents;
	enum config_asleep asleep;
	uint32_t asleep_millicpu; /* of throttle */
	uint64_t reclaim_after_ns;
	const char *group;  /* NULL: none */
	const char *listen; /* NULL: nowhere but on the socket */
	const char *socket; /* NULL: where doze status looks; "none" */
	bool has_seccomp;
	enum log_level log_level;
	pid_t pid; /* 0: a command is started instead */
	/* What follows the flags: points into argv, ends with NULL; NULL: nothing follows. */
	char **command;
	const char *pod_name, *pod_namespace;
	const char *pod_uid; /* NULL: not known */
	const char *own_container;
	const char *state_file;
	const char *kubeconfig; /* NULL: the pod's service account */
	const char *service_account_dir;
	const char *node_name;
	const char *daemonset, *account; /* of doze node itself; NULL: no DaemonSet */
	const char *state_dir;
	const char *cgroup_root;
	const char *kubelet_cgroup;		      /* NULL: it is looked for; "none" */
	uint64_t idle_least_ns, wake_timeout_most_ns; /* of what an annotation may say */
	uint32_t ports_most;			      /* of a pod of doze node; 0: no limit */
	CONFIG_LIST(struct config_port_range, CONFIG_RANGES_MAX) host_ports; /* none: any */
	uint32_t wakes_max; /* at the same time; 0: without limit */
	bool wakes_on_exit;
	bool uninstalls;
	bool is_json, is_ready_asked; /* of doze status */
	bool wants_help, wants_all_help;
	char *env_values[CONFIG_SETTINGS_MAX]; /* copies that the above point into */
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
 * The settings of one pod: those of defaults, which were parsed for CONFIG_NODE, but for what its
 * annotations say. A list in an annotation replaces that of defaults; its items are separated as in
 * the environment. Names that are not settings are wrong, but for doze.dev/enabled,
 * doze.dev/full and doze.dev/cpu-max. -EINVAL with a sentence in error that quotes name and value;
 * config_free() also then. What defaults points to has to outlive *out; the annotations need not.
 */
int config_from_annotations(struct config *out, const struct config *defaults,
			    const struct config_annotation *annotations, size_t len,
			    char error[CONFIG_ERROR_MAX]);

const char *config_protocol_name(uint8_t protocol);

/* Whether --host-ports has it. */
bool config_has_host_port(const struct config *c, uint16_t port);

#endif
