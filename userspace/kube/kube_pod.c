// SPDX-License-Identifier: MIT
/* Walks the JSON tree once; every string of the result belongs to the tree. */
#include "kube/kube_pod.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/quantity.h"
#include "base/util.h"

static const cJSON *pod_get(const cJSON *object, const char *name)
{
	return cJSON_GetObjectItemCaseSensitive(object, name);
}

/* An object has children as well, which are no list. */
static const cJSON *pod_list(const cJSON *object, const char *name)
{
	const cJSON *item = pod_get(object, name);

	return cJSON_IsArray(item) ? item : NULL;
}

static const char *pod_string(const cJSON *object, const char *name, const char *absent)
{
	const char *text = cJSON_GetStringValue(pod_get(object, name));

	return text ? text : absent;
}

/* Whole numbers up to 2^53, which is all that a JSON number keeps. */
static int64_t pod_number(const cJSON *object, const char *name)
{
	const cJSON *item = pod_get(object, name);

	if (!cJSON_IsNumber(item) || !(item->valuedouble > -9e15 && item->valuedouble < 9e15))
		return 0;
	return (int64_t)item->valuedouble;
}

static uint16_t pod_port(const cJSON *object, const char *name)
{
	int64_t port = pod_number(object, name);

	return port > 0 && port <= UINT16_MAX ? (uint16_t)port : 0;
}

static bool pod_is_true(const cJSON *object, const char *name)
{
	return cJSON_IsTrue(pod_get(object, name));
}

static int64_t pod_cpu(const cJSON *list)
{
	const char *text = pod_string(list, "cpu", NULL);
	int64_t millicpu;

	if (!text || quantity_parse_kube_cpu(text, &millicpu) < 0)
		return KUBE_CPU_NONE;
	return millicpu;
}

static struct kube_cpu pod_cpus(const cJSON *resources)
{
	struct kube_cpu cpu = {
		.request_millicpu = pod_cpu(pod_get(resources, "requests")),
		.limit_millicpu = pod_cpu(pod_get(resources, "limits")),
	};

	/* A limit of zero is none: the runtime takes it for unlimited. */
	if (cpu.limit_millicpu == 0)
		cpu.limit_millicpu = KUBE_CPU_NONE;
	return cpu;
}

static void pod_take_ports(struct kube_container *c, const cJSON *ports)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, ports)
	{
		const char *protocol = pod_string(item, "protocol", "TCP");
		struct kube_port port = {
			.name = pod_string(item, "name", ""),
			.port = pod_port(item, "containerPort"),
			.protocol = strcmp(protocol, "UDP") == 0 ? IPPROTO_UDP : IPPROTO_TCP,
		};

		if (!port.port || strcmp(protocol, "SCTP") == 0 || c->ports_len == KUBE_PORTS_MAX)
			continue;
		c->ports[c->ports_len++] = port;
	}
}

static void pod_take_headers(struct kube_probe *p, const cJSON *headers)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, headers)
	{
		struct kube_header header = {
			.name = pod_string(item, "name", NULL),
			.value = pod_string(item, "value", ""),
		};

		if (header.name && p->headers_len < KUBE_HEADERS_MAX)
			p->headers[p->headers_len++] = header;
	}
}

/* A port is a number, or the name of one of the container's ports. */
static void pod_take_probe_port(struct kube_probe *p, const cJSON *action)
{
	p->port = pod_port(action, "port");
	p->port_name = pod_string(action, "port", NULL);
	p->host = pod_string(action, "host", NULL);
}

static void pod_take_probe(struct kube_probe *p, const cJSON *probe)
{
	const cJSON *http = pod_get(probe, "httpGet"), *tcp = pod_get(probe, "tcpSocket");
	const cJSON *grpc = pod_get(probe, "grpc");
	int64_t timeout_s = pod_number(probe, "timeoutSeconds");

	p->timeout_s = timeout_s > 0 && timeout_s <= KUBE_TIMEOUT_MAX_S ? (int)timeout_s : 1;
	if (cJSON_IsObject(http)) {
		p->kind = KUBE_PROBE_HTTP;
		pod_take_probe_port(p, http);
		p->path = pod_string(http, "path", "/");
		p->is_https = strcmp(pod_string(http, "scheme", "HTTP"), "HTTPS") == 0;
		pod_take_headers(p, pod_list(http, "httpHeaders"));
	} else if (cJSON_IsObject(tcp)) {
		p->kind = KUBE_PROBE_TCP;
		pod_take_probe_port(p, tcp);
	} else if (cJSON_IsObject(grpc)) {
		p->kind = KUBE_PROBE_GRPC;
		p->port = pod_port(grpc, "port");
		p->service = pod_string(grpc, "service", "");
	} else if (cJSON_IsObject(pod_get(probe, "exec"))) {
		p->kind = KUBE_PROBE_EXEC;
	}
}

static bool pod_restarts_on_resize(const cJSON *policies)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, policies)
	{
		if (strcmp(pod_string(item, "resourceName", ""), "cpu") == 0 &&
		    strcmp(pod_string(item, "restartPolicy", ""), "RestartContainer") == 0)
			return true;
	}
	return false;
}

static void pod_take_container(struct kube_pod *pod, const cJSON *spec, bool is_sidecar)
{
	struct kube_container *c = &pod->containers[pod->containers_len];

	*c = (struct kube_container){
		.name = pod_string(spec, "name", ""),
		.is_sidecar = is_sidecar,
		.restarts_on_resize = pod_restarts_on_resize(pod_list(spec, "resizePolicy")),
		.spec = pod_cpus(pod_get(spec, "resources")),
		.container_id = "",
		.actual = { KUBE_CPU_NONE, KUBE_CPU_NONE },
		.allocated_millicpu = KUBE_CPU_NONE,
	};
	pod_take_ports(c, pod_list(spec, "ports"));
	pod_take_probe(&c->readiness, pod_get(spec, "readinessProbe"));
	pod_take_probe(&c->liveness, pod_get(spec, "livenessProbe"));
	pod_take_probe(&c->startup, pod_get(spec, "startupProbe"));
	pod->containers_len++;
}

/* One without a name cannot be resized: no patch can say which one is meant. */
static bool pod_is_wanted(const cJSON *container, bool is_sidecar)
{
	if (!*pod_string(container, "name", ""))
		return false;
	return !is_sidecar || strcmp(pod_string(container, "restartPolicy", ""), "Always") == 0;
}

static int pod_take_containers(struct kube_pod *pod, const cJSON *containers, bool is_sidecar)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, containers)
	{
		if (!pod_is_wanted(item, is_sidecar))
			continue;
		if (pod->containers_len == KUBE_CONTAINERS_MAX)
			return -E2BIG;
		pod_take_container(pod, item, is_sidecar);
	}
	return 0;
}

static void pod_take_statuses(struct kube_pod *pod, const cJSON *statuses)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, statuses)
	{
		const char *name = pod_string(item, "name", "");
		struct kube_container *c = (struct kube_container *)kube_pod_find(pod, name);

		if (!c)
			continue;
		c->container_id = pod_string(item, "containerID", "");
		c->restart_count = (int)pod_number(item, "restartCount");
		c->is_started = pod_is_true(item, "started");
		c->is_ready = pod_is_true(item, "ready");
		c->actual = pod_cpus(pod_get(item, "resources"));
		c->allocated_millicpu = pod_cpu(pod_get(item, "allocatedResources"));
	}
}

/* 1.33 and newer tell by conditions; before, by the string status.resize. */
static void pod_take_conditions(struct kube_pod *pod, const cJSON *status)
{
	const char *resize = pod_string(status, "resize", "");
	const cJSON *item;

	if (strcmp(resize, "Deferred") == 0 || strcmp(resize, "Infeasible") == 0) {
		pod->pending_reason = resize;
		pod->pending_message = "";
	}
	cJSON_ArrayForEach(item, pod_list(status, "conditions"))
	{
		const char *type = pod_string(item, "type", "");
		const char *reason = pod_string(item, "reason", "");

		if (strcmp(pod_string(item, "status", ""), "True") != 0)
			continue;
		if (strcmp(type, "Ready") == 0) {
			pod->is_ready = true;
		} else if (strcmp(type, "PodResizePending") == 0) {
			pod->pending_reason = reason;
			pod->pending_message = pod_string(item, "message", "");
		} else if (strcmp(type, "PodResizeInProgress") == 0 &&
			   strcmp(reason, "Error") == 0) {
			pod->error_message = pod_string(item, "message", "");
		}
	}
}

/* A list of addresses, or the one address that there was before the list. */
static size_t pod_take_ips(const cJSON *status, const char *list, const char *one, const char **out,
			   size_t max)
{
	const char *only = pod_string(status, one, NULL);
	const cJSON *item;
	size_t len = 0;

	cJSON_ArrayForEach(item, pod_list(status, list))
	{
		const char *ip = pod_string(item, "ip", NULL);

		if (ip && len < max)
			out[len++] = ip;
	}
	if (!len && only)
		out[len++] = only;
	return len;
}

/* hostIPs since 1.30, podIPs since 1.16. */
static void pod_take_addresses(struct kube_pod *pod, const cJSON *status)
{
	pod->host_ips_len = pod_take_ips(status, "hostIPs", "hostIP", pod->host_ips,
					 KUBE_HOST_IPS_MAX);
	pod->pod_ips_len = pod_take_ips(status, "podIPs", "podIP", pod->pod_ips, KUBE_POD_IPS_MAX);
}

static enum kube_qos pod_qos(const cJSON *status)
{
	const char *qos = pod_string(status, "qosClass", "");

	if (strcmp(qos, "Guaranteed") == 0)
		return KUBE_QOS_GUARANTEED;
	return strcmp(qos, "Burstable") == 0 ? KUBE_QOS_BURSTABLE : KUBE_QOS_BEST_EFFORT;
}

static int32_t pod_priority(const cJSON *spec)
{
	int64_t priority = pod_number(spec, "priority");

	return priority < INT32_MIN || priority > INT32_MAX ? 0 : (int32_t)priority;
}

static void pod_take_phase(struct kube_pod *pod, const char *phase)
{
	pod->is_running = strcmp(phase, "Running") == 0;
	pod->has_ended = strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0;
}

static int pod_take(struct kube_pod *pod, const cJSON *root)
{
	const cJSON *metadata = pod_get(root, "metadata"), *status = pod_get(root, "status");
	const cJSON *spec = pod_get(root, "spec");
	int r;

	pod->name = pod_string(metadata, "name", "");
	pod->namespace = pod_string(metadata, "namespace", "");
	pod->uid = pod_string(metadata, "uid", "");
	/* The items of a list have no kind of their own. */
	if (strcmp(pod_string(root, "kind", "Pod"), "Pod") != 0 || !*pod->name || !*pod->uid)
		return -EINVAL;
	pod->generation = pod_number(metadata, "generation");
	pod->is_terminating = pod_string(metadata, "deletionTimestamp", NULL) != NULL;
	pod->recorded_full = pod_string(pod_get(metadata, "annotations"), "doze.dev/full", NULL);
	pod->observed_generation = pod_number(status, "observedGeneration");
	pod->qos = pod_qos(status);
	pod->limit_millicpu = pod_cpus(pod_get(spec, "resources")).limit_millicpu;
	pod_take_phase(pod, pod_string(status, "phase", ""));
	pod->has_host_network = cJSON_IsTrue(pod_get(spec, "hostNetwork"));
	pod->priority = pod_priority(spec);
	r = pod_take_containers(pod, pod_list(spec, "initContainers"), true);
	if (r == 0)
		r = pod_take_containers(pod, pod_list(spec, "containers"), false);
	if (r < 0)
		return r;
	pod_take_statuses(pod, pod_list(status, "initContainerStatuses"));
	pod_take_statuses(pod, pod_list(status, "containerStatuses"));
	pod_take_conditions(pod, status);
	pod_take_addresses(pod, status);
	return 0;
}

int kube_pod_take(struct kube_pod **out, void *json)
{
	_cleanup_(kube_pod_free) struct kube_pod *pod = calloc(1, sizeof(*pod));
	int r;

	if (!pod) {
		cJSON_Delete(json);
		return -ENOMEM;
	}
	pod->json = json;
	r = pod_take(pod, json);
	if (r < 0)
		return r;
	*out = TAKE_PTR(pod);
	return 0;
}

int kube_pod_parse(struct kube_pod **out, const char *text, size_t len)
{
	cJSON *json = cJSON_ParseWithLength(text, len);

	/* An object alone says what it is. */
	if (!json || !pod_get(json, "kind")) {
		cJSON_Delete(json);
		return -EINVAL;
	}
	return kube_pod_take(out, json);
}

void kube_pod_free(struct kube_pod **pod)
{
	if (!*pod)
		return;
	cJSON_Delete((*pod)->json);
	free(*pod);
	*pod = NULL;
}

const struct kube_container *kube_pod_find(const struct kube_pod *pod, const char *name)
{
	for (size_t i = 0; i < pod->containers_len; i++) {
		if (strcmp(pod->containers[i].name, name) == 0)
			return &pod->containers[i];
	}
	return NULL;
}

size_t kube_pod_annotations(const struct kube_pod *pod, const char *prefix,
			    struct kube_annotation *out, size_t max)
{
	const cJSON *annotations = pod_get(pod_get(pod->json, "metadata"), "annotations");
	const cJSON *item;
	size_t len = 0;

	if (!cJSON_IsObject(annotations))
		return 0;
	cJSON_ArrayForEach(item, annotations)
	{
		if (!cJSON_IsString(item) || strncmp(item->string, prefix, strlen(prefix)) != 0)
			continue;
		if (len < max)
			out[len] = (struct kube_annotation){ item->string, item->valuestring };
		len++;
	}
	return len;
}

int kube_probe_port(const struct kube_container *c, const struct kube_probe *p, uint16_t *out)
{
	if (p->port) {
		*out = p->port;
		return 0;
	}
	for (size_t i = 0; i < c->ports_len; i++) {
		if (p->port_name && strcmp(c->ports[i].name, p->port_name) == 0) {
			*out = c->ports[i].port;
			return 0;
		}
	}
	return -ENOENT;
}

const char *kube_probe_agent(const struct kube_probe *p)
{
	for (size_t i = 0; i < p->headers_len; i++) {
		if (strcasecmp(p->headers[i].name, "User-Agent") == 0)
			return p->headers[i].value;
	}
	return NULL;
}
