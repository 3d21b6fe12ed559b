/* SPDX-License-Identifier: MIT */
/*
 * One container of a Pod object: its CPU, its ports, its probes, and what its status says. The
 * strings belong to the JSON tree. Pure.
 */
#ifndef DOZE_KUBE_CONTAINER_H
#define DOZE_KUBE_CONTAINER_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KUBE_PORTS_MAX	   64
#define KUBE_HEADERS_MAX   16
#define KUBE_TIMEOUT_MAX_S 3600 /* of a probe; Kubernetes has no limit */

/* No request, or no limit: for a limit that means unlimited. */
#define KUBE_CPU_NONE (-1)

struct kube_cpu {
	int64_t request_millicpu;
	int64_t limit_millicpu;
};

struct kube_port {
	const char *name; /* "" if it has none */
	uint16_t port;
	uint8_t protocol; /* IPPROTO_TCP, IPPROTO_UDP */
};

enum kube_probe_kind {
	KUBE_PROBE_NONE,
	KUBE_PROBE_HTTP,
	KUBE_PROBE_TCP,
	KUBE_PROBE_GRPC,
	KUBE_PROBE_EXEC,
};

struct kube_header {
	const char *name, *value;
};

struct kube_probe {
	enum kube_probe_kind kind;
	uint16_t port;	       /* 0: port_name names it, or there is none */
	const char *port_name; /* NULL unless the port is given by name */
	const char *path;      /* of httpGet; "/" if it has none */
	const char *host;      /* of httpGet and tcpSocket; NULL: the pod's address */
	const char *service;   /* of grpc; "" if it has none */
	bool is_https;
	struct kube_header headers[KUBE_HEADERS_MAX];
	size_t headers_len;
	int timeout_s; /* 1, if it says nothing else */
};

struct kube_container {
	const char *name;
	bool is_sidecar;	 /* an init container with restartPolicy Always */
	bool restarts_on_resize; /* resizePolicy: RestartContainer for cpu */
	struct kube_cpu spec;
	struct kube_port ports[KUBE_PORTS_MAX];
	size_t ports_len;
	struct kube_probe readiness, liveness, startup;
	/* Of its status; "" and 0 before it has one. */
	const char *container_id;
	int restart_count;
	bool is_started, is_ready;
	struct kube_cpu actual;	    /* what the kubelet has actuated */
	int64_t allocated_millicpu; /* the request it has granted */
};

/* What its spec says; the rest as before it has a status. */
void kube_container_read(struct kube_container *out, const cJSON *spec, bool is_sidecar);

void kube_container_read_status(struct kube_container *c, const cJSON *status);

/* The CPU of a member "resources", which a pod may have as well. */
struct kube_cpu kube_container_cpu(const cJSON *resources);

/*
 * The port of one of its probes, by number or by name. -ENOENT: the container has no port of that
 * name, or the probe has no port.
 */
int kube_container_probe_port(const struct kube_container *c, const struct kube_probe *p,
			      uint16_t *out);

/* The User-Agent among the headers of the probe. NULL: the kubelet sends its own. */
const char *kube_container_probe_agent(const struct kube_probe *p);

#endif
