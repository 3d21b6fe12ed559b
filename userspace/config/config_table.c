// SPDX-License-Identifier: MIT
/* One row for each setting, in the order of the reference. */
#include "config/config_table.h"

#include "base/util.h"

#define CONFIG_BOTH  (CONFIG_RUN | CONFIG_SIDECAR)
#define CONFIG_ALL   (CONFIG_BOTH | CONFIG_POD)
#define CONFIG_EACH  (CONFIG_ALL | CONFIG_NODE) /* of doze node: for pods that do not say */
#define CONFIG_ANY   (CONFIG_BOTH | CONFIG_NODE)
#define CONFIG_PODS  (CONFIG_POD | CONFIG_NODE)
#define CONFIG_KUBE  (CONFIG_SIDECAR | CONFIG_NODE)
#define CONFIG_EVERY (CONFIG_ANY | CONFIG_STATUS)

/* clang-format off */

/* offsetof(). The build fails if the member is not as large as ctype: an array has -1 elements. */
#define AT(ctype, member)                                                                          \
	(offsetof(struct config, member) +                                                         \
	 0 * sizeof(char[sizeof(ctype) == sizeof(((struct config *)0)->member) ? 1 : -1]))
#define VALUE(name, ctype, member) .type = &config_value_##name, .offset = AT(ctype, member)
#define LIST(name, ctype, member)                                                                  \
	.type = &config_value_##name,                                                              \
	.offset = offsetof(struct config, member) + 0 * AT(ctype, member.of[0]),                   \
	.max = ARRAY_LEN(((struct config *)0)->member.of)
#define WORDS(...) .words = (const struct config_word[]){ __VA_ARGS__, { NULL, 0 } }

const struct config_setting config_table[] = {
	{ "port", 'p', CONFIG_ALL, LIST(port, struct target_port, ports), .noun = "port",
	  .section = "What is watched", .is_common = true,
	  .help = "A port to watch, such as 8080, 8080/tcp or 53/udp. Repeat it for more. The first "
	  "TCP port is the one that readiness is asked on. In a pod the default is every "
	  "containerPort of the containers that are put to sleep." },
	{ "containers", 0, CONFIG_SIDECAR, LIST(name, const char *, containers),
	  .noun = "container", .is_common = true,
	  .help = "Put this container to sleep. Repeat it for more. Default: every container with a "
	  "CPU limit, but for doze's own, other sidecars, and proxies such as istio-proxy." },
	{ "containers", 0, CONFIG_POD, LIST(name, const char *, containers),
	  .noun = "container", .is_common = true,
	  .help = "Put this container to sleep. Repeat it for more. Default: every container but "
	  "sidecars and proxies such as istio-proxy, with a CPU limit or without." },
	{ "own-container", 0, CONFIG_SIDECAR, VALUE(name, const char *, own_container),
	  .noun = "container", .fallback = "doze",
	  .help = "The container that doze runs in, which never sleeps. In a pod it is found without this." },
	{ "pid", 0, CONFIG_RUN, VALUE(number, pid_t, pid), .noun = "process id such as 1234",
	  .argument = "PID", .least_number = 1, .most_number = INT32_MAX, .is_common = true,
	  .help = "Instead of a command: a process that runs already, with all of its cgroup, in "
	  "its own network namespace." },
	{ "interface", 'i', CONFIG_BOTH, LIST(interface, const char *, interfaces),
	  .noun = "interface",
	  .help = "Put the gate on this interface only. Repeat it for more. Default: every interface "
	  "that is up, also those that come later." },
	{ "hook", 0, CONFIG_ANY, VALUE(choice, enum hooks_kind, gate.hook),
	  WORDS({ "auto", HOOKS_AUTO }, { "tcx", HOOKS_TCX },
		{ "tc", HOOKS_TC }, { "xdp", HOOKS_XDP }), .fallback = "auto",
	  .help = "Where the gate is attached. auto: XDP on network cards whose driver has it, else "
	  "tcx, else tc (kernel < 6.6)." },

	{ "idle-after", 0, CONFIG_EACH, VALUE(duration, uint64_t, target.idle_ns),
	  .least = "100ms", .fallback = "5m", .section = "When it sleeps", .is_common = true,
	  .help = "Sleep when nobody has called for this long: 500ms, 30s, 5m." },
	{ "stay-awake", 0, CONFIG_EACH, LIST(schedule, struct schedule, schedules),
	  .noun = "schedule", .is_common = true,
	  .help = "Hours in which it does not sleep, such as 'Mon-Fri 08:00-18:00 Europe/Berlin'. It "
	  "wakes at their start. They are [DAYS] HH:MM-HH:MM [ZONE]; without a zone: UTC. Repeat it "
	  "for more." },
	{ "busy-max", 0, CONFIG_EACH, VALUE(duration_ms, uint64_t, target.activity.busy.max_ms),
	  .help = "A connection that is at work (a request without its answer, a download) keeps the "
	  "application awake, but no longer than this without any progress. 0s: without limit. "
	  "Default 15m, or --idle-after if that is longer." },
	{ "sleep-with-connections", 0, CONFIG_EACH,
	  VALUE(choice_bool, bool, target.activity.busy.sleeps_with_connections),
	  WORDS({ "yes", true }, { "no", false }), .fallback = "yes",
	  .help = "Whether the application may sleep while clients are connected that say nothing, "
	  "such as keep-alive pools or WebSockets. Their next byte wakes it." },
	{ "ignore-pings", 0, CONFIG_EACH,
	  VALUE(choice_bool, bool, target.activity.ignores_pings),
	  WORDS({ "yes", true }, { "no", false }), .fallback = "no",
	  .help = "Whether PING frames of HTTP/2 and pings of WebSocket, by which a connection without "
	  "TLS is kept alive, are no activity." },
	{ "min-awake", 0, CONFIG_EACH, VALUE(duration, uint64_t, target.awake_min_ns),
	  .fallback = "10s",
	  .help = "Stay awake for at least this long after a wake." },
	{ "idle-max", 0, CONFIG_EACH, VALUE(duration, uint64_t, target.idle_max_ns),
	  .least = "100ms",
	  .help = "An application that is woken within 10 s of falling asleep, three times in a row, "
	  "gets twice the idle time, and twice that, up to this. A longer sleep ends it. Default: 8 "
	  "times --idle-after." },

	{ "asleep", 0, CONFIG_PODS, VALUE(choice, enum config_asleep, asleep),
	  WORDS({ "throttle", CONFIG_ASLEEP_THROTTLE }, { "freeze", CONFIG_ASLEEP_FREEZE },
		{ "reclaim", CONFIG_ASLEEP_RECLAIM }), .fallback = "throttle",
	  .section = "What sleep is", .is_common = true,
	  .help = "What sleep is: throttle (--asleep-cpu), freeze (no CPU at all, as soon as no client "
	  "is connected; kubectl exec and exec probes do not work then), or reclaim (frozen, and "
	  "later its memory is given back)." },
	{ "asleep", 0, CONFIG_RUN, VALUE(choice, enum config_asleep, asleep),
	  WORDS({ "freeze", CONFIG_ASLEEP_FREEZE }, { "throttle", CONFIG_ASLEEP_THROTTLE }),
	  .is_common = true,
	  .help = "What sleep is: freeze (no CPU at all, as soon as no client is connected; throttled "
	  "until then) or throttle (--asleep-cpu). Default freeze, or throttle on a machine that "
	  "cannot freeze." },
	{ "asleep-cpu", 0, CONFIG_EACH, VALUE(cpu, uint32_t, asleep_millicpu), .fallback = "10m",
	  .is_common = true,
	  .help = "CPU while asleep and not frozen, from 10m on; in a pod a "
	  "multiple of 10m, and 100m or more if it has an exec probe." },
	{ "reclaim-after", 0, CONFIG_PODS, VALUE(duration, uint64_t, reclaim_after_ns),
	  .fallback = "1m",
	  .help = "Of --asleep=reclaim: give memory back after it has slept for so long." },

	{ "ready", 0, CONFIG_RUN, VALUE(ready, struct ready_spec, target.ready), .fallback = "tcp",
	  .section = "How it wakes", .is_common = true,
	  .help = "How to tell that the application is ready after it woke: somebody listens on "
	  "its TCP port, or it answers GET /PATH with 200 to 399, or is not asked." },
	{ "wake-timeout", 0, CONFIG_EACH, VALUE(duration, uint64_t, target.wake_timeout_ns),
	  .least = "10ms", .fallback = "30s", .is_common = true,
	  .help = "Let the traffic through after this long even if the application is not ready." },
	{ "wake-from", 0, CONFIG_EACH, LIST(source, struct cidr, wake_sources), .noun = "source",
	  .help = "Only who calls from here wakes it. All others get what the kernel gives them: they "
	  "are not held, wake nobody and keep nobody awake, and are answered while it is awake, or "
	  "slowly. For clients that a firewall of the pod refuses, and for scanners. Repeat it for "
	  "more. Default: everybody." },
	{ "replay", 0, CONFIG_ANY, VALUE(choice_bool, bool, gate.can_replay),
	  WORDS({ "on", true }, { "off", false }), .fallback = "on",
	  .help = "on: a held SYN is delivered when the application is ready. off: it is dropped, "
	  "and the client's kernel sends it again after a second." },
	{ "group", 0, CONFIG_POD, VALUE(name, const char *, group),
	  .noun = "group, such as shop",
	  .help = "When one pod of a group is woken, all of the group in its namespace and node "
	  "wake." },
	{ "least-idle-after", 0, CONFIG_NODE, VALUE(duration, uint64_t, idle_least_ns),
	  .least = "100ms", .fallback = "100ms",
	  .help = "The shortest doze.dev/idle-after that a pod may ask for. One with less is left "
	  "alone, with an event: it would sleep and wake all day." },
	{ "most-wake-timeout", 0, CONFIG_NODE, VALUE(duration, uint64_t, wake_timeout_most_ns),
	  .least = "10ms", .fallback = "5m",
	  .help = "The longest doze.dev/wake-timeout that a pod may ask for, since its clients are held "
	  "for as long. One with more is left alone, with an event." },
	{ "most-ports", 0, CONFIG_NODE, VALUE(number, uint32_t, ports_most),
	  .noun = "number of ports such as 16", .least_number = 1, .most_number = CONFIG_PORTS_MAX,
	  .fallback = "16",
	  .help = "So many ports of a pod are watched at most. One with more is left alone, with an "
	  "event: the table of the gate has room for 8,192 ports and addresses, which are all pods'." },
	{ "host-ports", 0, CONFIG_NODE, LIST(port_range, struct config_port_range, host_ports),
	  .noun = "port",
	  .help = "Ports of the node's own network that a pod with hostNetwork may have watched, such "
	  "as 8080 or 9000-9100, or none. Repeat it for more. Default: any. Whatever it says, one of "
	  "the pod's own containers has to listen there, and nobody else." },
	{ "max-wakes", 0, CONFIG_NODE, VALUE(number, uint32_t, wakes_max),
	  .noun = "number of pods such as 20", .most_number = UINT32_MAX, .fallback = "0",
	  .is_common = true,
	  .help = "So many pods wake at the same time, 0: without limit. The others wait, with their "
	  "clients held, those of higher priority first." },
	{ "on-exit", 0, CONFIG_NODE, VALUE(choice_bool, bool, wakes_on_exit),
	  WORDS({ "keep", false }, { "wake", true }), .fallback = "keep", .is_common = true,
	  .help = "What becomes of sleeping pods when doze ends: keep (they sleep on, and answer "
	  "slowly, until the next doze) or wake." },
	{ "daemonset", 0, CONFIG_NODE, VALUE(name, const char *, daemonset), .noun = "DaemonSet",
	  .help = "The DaemonSet that runs doze. When doze ends because it, or its namespace, is "
	  "removed, sleeping pods wake whatever --on-exit says, and doze keeps its rights until "
	  "the last has its full size." },
	{ "account", 0, CONFIG_NODE, VALUE(name, const char *, account), .noun = "account",
	  .fallback = "doze-node",
	  .help = "Of --daemonset: the name of the service account of doze, of its ClusterRole and "
	  "of its ClusterRoleBinding." },
	{ "uninstall", 0, CONFIG_NODE, VALUE(switch, bool, uninstalls), .is_common = true,
	  .help = "Give every pod of the node its full size, and end." },

	{ "probes", 0, CONFIG_EACH, VALUE(choice, enum gate_probes, target.probes),
	  WORDS({ "answer", GATE_PROBES_ANSWER }, { "pass", GATE_PROBES_PASS },
		{ "wake", GATE_PROBES_NONE }), .fallback = "answer", .section = "Probes",
	  .help = "What happens to probes while asleep. answer: doze answers them. pass: they reach "
	  "the sleeping application, and wait; one that half a second does not show to be a probe "
	  "(HTTPS, gRPC) wakes it. wake: they are traffic as any other, awake and asleep." },
	{ "probe-source", 0, CONFIG_EACH, LIST(source, struct cidr, probe_sources),
	  .noun = "source", .rival = offsetof(struct config, ignored_sources),
	  .help = "Probes of the kubelet come from here, and other traffic may as well: they are "
	  "told apart by what they say. Repeat it for more. In a pod the node's addresses and the "
	  "default gateways are known without it." },
	{ "probe-port", 0, CONFIG_ALL, LIST(tcp_port, uint16_t, probe_ports), .noun = "port",
	  .help = "Probes come to this port as well, which is none of --port. Repeat it for more. In "
	  "a pod the ports of its probes are known without it." },
	{ "probe-https", 0, CONFIG_ALL, LIST(tcp_port, uint16_t, https_ports), .noun = "port",
	  .help = "Probes come to this port by HTTPS. Repeat it for more. In a pod the ports of its "
	  "probes are known without it." },
	{ "ignore-source", 0, CONFIG_EACH, LIST(source, struct cidr, ignored_sources),
	  .noun = "source", .rival = offsetof(struct config, probe_sources),
	  .help = "Checkers call from here, such as a load balancer's, and clients may as well: a "
	  "checker is known by what it says. It is no activity, and while asleep doze answers it, or "
	  "it is passed, as --probes says. It connects and says nothing, or asks by gRPC Check, or by "
	  "GET, HEAD or OPTIONS with a user agent that doze knows (ELB-HealthChecker/, GoogleHC/, "
	  "'Load Balancer Agent', Amazon-Route53-Health-Check-Service, kube-probe/, --probe-agent) or "
	  "with a request of --ignore-http; by HTTPS at the ports of --probe-https. Anything else is "
	  "a client's, wakes, and is answered by the application. Repeat it for more." },
	{ "probe-agent", 0, CONFIG_EACH, LIST(agent, const char *, probe_agents), .noun = "agent",
	  .help = "How the User-Agent of a checker begins that calls from an --ignore-source, such as "
	  "Prometheus/. Repeat it for more." },
	{ "ignore-http", 0, CONFIG_EACH, LIST(http_path, struct caller_path, ignored_http),
	  .noun = "path",
	  .help = "A request such as 'GET /healthz' is not activity while awake, from wherever it "
	  "comes: method and beginning of the path. While asleep a new connection wakes, unless it "
	  "comes from a source of probes, where doze answers it. Repeat it for more." },

	{ "pod-name", 0, CONFIG_KUBE, VALUE(name, const char *, pod_name), .noun = "pod",
	  .section = "The cluster and the node",
	  .help = "The pod of doze, which the variable POD_NAME names as well." },
	{ "pod-namespace", 0, CONFIG_KUBE, VALUE(name, const char *, pod_namespace),
	  .noun = "namespace",
	  .help = "Its namespace, which the variable POD_NAMESPACE names as well." },
	{ "pod-uid", 0, CONFIG_SIDECAR, VALUE(name, const char *, pod_uid), .noun = "uid",
	  .help = "Its uid, which the variable POD_UID names as well. A pod of the same name that has "
	  "another one, such as its successor, is not touched. Default: the first that is read." },
	{ "node-name", 0, CONFIG_NODE, VALUE(name, const char *, node_name), .noun = "node",
	  .is_common = true,
	  .help = "The node, which the variable NODE_NAME names as well." },
	{ "kubeconfig", 0, CONFIG_KUBE, VALUE(file, const char *, kubeconfig),
	  .help = "How to reach the API server from outside a pod. Default: the service account." },
	{ "service-account-dir", 0, CONFIG_KUBE, VALUE(path, const char *, service_account_dir),
	  .fallback = "/var/run/secrets/kubernetes.io/serviceaccount",
	  .help = "Where the token and the CA are mounted." },
	{ "state-file", 0, CONFIG_SIDECAR, VALUE(path, const char *, state_file),
	  .fallback = "/var/lib/doze/state.json",
	  .help = "Where doze keeps what the full size is, on a volume that outlives a restart of "
	  "its container." },
	{ "state-dir", 0, CONFIG_NODE, VALUE(path, const char *, state_dir),
	  .fallback = "/var/lib/doze",
	  .help = "Where doze keeps what it has to know of each sleeping pod, and what its full size "
	  "is: a directory of the node." },
	{ "cgroup-root", 0, CONFIG_NODE, VALUE(path, const char *, cgroup_root),
	  .fallback = "/sys/fs/cgroup",
	  .help = "Where the node's cgroups are mounted." },
	{ "kubelet-cgroup", 0, CONFIG_NODE, VALUE(path_or_none, const char *, kubelet_cgroup),
	  .help = "The kubelet's cgroup, in cgroup v2: connections from there, and no others, may be "
	  "probes. none, and while there is no such cgroup: whatever comes from the node's addresses "
	  "may be one. Default: where a process named kubelet, or k3s, is." },

	{ "listen", 0, CONFIG_ANY, VALUE(listen, const char *, listen), .section = "doze itself",
	  .is_common = true,
	  .help = "Serve /metrics, /status, /healthz and /readyz here as well, over HTTP. Such as "
	  "127.0.0.1:9090, or :9090 for every address." },
	{ "socket", 0, CONFIG_ANY, VALUE(path_or_none, const char *, socket),
	  .help = "The socket that doze status asks. Default /run/doze/run-PID.sock, in a pod "
	  "/run/doze/sidecar.sock, on a node /run/doze/node.sock." },
	{ "seccomp", 0, CONFIG_ANY, VALUE(choice_bool, bool, has_seccomp),
	  WORDS({ "on", true }, { "off", false }), .fallback = "on",
	  .help = "on: after its start doze can only make the system calls that it needs; starting "
	  "another program is none of them. off: no filter, for who traces it." },
	{ "log-level", 0, CONFIG_ANY, VALUE(choice, enum log_level, log_level),
	  WORDS({ "debug", LOG_LEVEL_DEBUG }, { "info", LOG_LEVEL_INFO }, { "warn", LOG_LEVEL_WARN },
		{ "error", LOG_LEVEL_ERROR }), .fallback = "info", .is_common = true,
	  .help = "What is logged, to stderr: this and all that is worse." },
	{ "ready", 0, CONFIG_STATUS, VALUE(switch, bool, is_ready_asked), .is_common = true,
	  .help = "Exit with 1 as well if a doze cannot do its work now, such as one that may not see "
	  "the pods of its node." },
	{ "json", 0, CONFIG_STATUS, VALUE(switch, bool, is_json), .is_common = true,
	  .help = "All that is known, as JSON: an object for each doze." },
	{ "help", 'h', CONFIG_EVERY, VALUE(switch, bool, wants_help), .is_common = true,
	  .help = "The flags that most people need." },
	{ "help-all", 0, CONFIG_EVERY, VALUE(switch, bool, wants_all_help), .is_common = true,
	  .help = "Every flag, with its environment variable." },
};
/* clang-format on */

const size_t config_table_len = ARRAY_LEN(config_table);
_Static_assert(ARRAY_LEN(config_table) <= CONFIG_SETTINGS_MAX, "room for each");
