/* SPDX-License-Identifier: MIT */
/*
 * The value of each setting: taken into the configuration, or refused with what it should have
 * been, as a sentence that follows the value. Strings are borrowed: value outlives c.
 */
#ifndef DOZE_CONFIG_VALUE_H
#define DOZE_CONFIG_VALUE_H

#include "config/config.h"

const char *config_set_port(struct config *c, char *value);
const char *config_set_interface(struct config *c, char *value);
const char *config_set_idle_after(struct config *c, char *value);
const char *config_set_wake_timeout(struct config *c, char *value);
const char *config_set_asleep_pod(struct config *c, char *value);
const char *config_set_reclaim_after(struct config *c, char *value);
const char *config_set_group(struct config *c, char *value);
const char *config_set_node_name(struct config *c, char *value);
const char *config_set_state_dir(struct config *c, char *value);
const char *config_set_cgroup_root(struct config *c, char *value);
const char *config_set_kubelet_cgroup(struct config *c, char *value);
const char *config_set_max_wakes(struct config *c, char *value);
const char *config_set_on_exit(struct config *c, char *value);
const char *config_set_asleep(struct config *c, char *value);
const char *config_set_asleep_cpu(struct config *c, char *value);
const char *config_set_hook(struct config *c, char *value);
const char *config_set_replay(struct config *c, char *value);
const char *config_set_ready(struct config *c, char *value);
const char *config_set_pid(struct config *c, char *value);
const char *config_set_log_level(struct config *c, char *value);
const char *config_set_container(struct config *c, char *value);
const char *config_set_pod_name(struct config *c, char *value);
const char *config_set_pod_namespace(struct config *c, char *value);
const char *config_set_own_container(struct config *c, char *value);
const char *config_set_state_file(struct config *c, char *value);
const char *config_set_kubeconfig(struct config *c, char *value);
const char *config_set_service_account_dir(struct config *c, char *value);
const char *config_set_busy_max(struct config *c, char *value);
const char *config_set_sleep_with_connections(struct config *c, char *value);
const char *config_set_min_awake(struct config *c, char *value);
const char *config_set_idle_max(struct config *c, char *value);
const char *config_set_stay_awake(struct config *c, char *value);
const char *config_set_probes(struct config *c, char *value);
const char *config_set_probe_source(struct config *c, char *value);
const char *config_set_ignore_source(struct config *c, char *value);
const char *config_set_ignore_http(struct config *c, char *value);
const char *config_set_probe_port(struct config *c, char *value);
const char *config_set_probe_https(struct config *c, char *value);
const char *config_set_listen(struct config *c, char *value);
const char *config_set_socket(struct config *c, char *value);

/* A name as Kubernetes has them: an RFC 1123 label or subdomain. */
bool config_is_name(const char *name);

#endif
