// SPDX-License-Identifier: MIT
/* Its spec, then its status. */
#include "kube/kube_container.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>

#include "base/quantity.h"
#include "kube/kube_json.h"

static uint16_t kube_container_port(const cJSON *object, const char *name)
{
	int64_t port = kube_json_number(object, name);

	return port > 0 && port <= UINT16_MAX ? (uint16_t)port : 0;
}

static int64_t kube_container_millicpu(const cJSON *list)
{
	const char *text = kube_json_text(list, "cpu", NULL);
	int64_t millicpu;

	if (!text || quantity_parse_kube_cpu(text, &millicpu) < 0)
		return KUBE_CPU_NONE;
	return millicpu;
}

struct kube_cpu kube_container_cpu(const cJSON *resources)
{
	struct kube_cpu cpu = {
		.request_millicpu = kube_container_millicpu(kube_json_get(resources, "requests")),
		.limit_millicpu = kube_container_millicpu(kube_json_get(resources, "limits")),
	};

	/* A limit of zero is none: the runtime takes it for unlimited. */
	if (cpu.limit_millicpu == 0)
		cpu.limit_millicpu = KUBE_CPU_NONE;
	return cpu;
}

static void kube_container_take_ports(struct kube_container *c, const cJSON *ports)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, ports)
	{
		const char *protocol = kube_json_text(item, "protocol", "TCP");
		struct kube_port port = {
			.name = kube_json_text(item, "name", ""),
			.port = kube_container_port(item, "containerPort"),
			.protocol = strcmp(protocol, "UDP") == 0 ? IPPROTO_UDP : IPPROTO_TCP,
		};

		if (!port.port || strcmp(protocol, "SCTP") == 0 || c->ports_len == KUBE_PORTS_MAX)
			continue;
		c->ports[c->ports_len++] = port;
	}
}

static void kube_container_take_headers(struct kube_probe *p, const cJSON *headers)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, headers)
	{
		struct kube_header header = {
			.name = kube_json_text(item, "name", NULL),
			.value = kube_json_text(item, "value", ""),
		};

		if (header.name && p->headers_len < KUBE_HEADERS_MAX)
			p->headers[p->headers_len++] = header;
	}
}

/* A port is a number, or the name of one of the container's ports. */
static void kube_container_take_probe_port(struct kube_probe *p, const cJSON *action)
{
	p->port = kube_container_port(action, "port");
	p->port_name = kube_json_text(action, "port", NULL);
	p->host = kube_json_text(action, "host", NULL);
}

static void kube_container_take_probe(struct kube_probe *p, const cJSON *probe)
{
	const cJSON *http = kube_json_get(probe, "httpGet");
	const cJSON *tcp = kube_json_get(probe, "tcpSocket");
	const cJSON *grpc = kube_json_get(probe, "grpc");
	int64_t timeout_s = kube_json_number(probe, "timeoutSeconds");

	p->timeout_s = timeout_s > 0 && timeout_s <= KUBE_TIMEOUT_MAX_S ? (int)timeout_s : 1;
	if (cJSON_IsObject(http)) {
		p->kind = KUBE_PROBE_HTTP;
		kube_container_take_probe_port(p, http);
		p->path = kube_json_text(http, "path", "/");
		p->is_https = strcmp(kube_json_text(http, "scheme", "HTTP"), "HTTPS") == 0;
		kube_container_take_headers(p, kube_json_list(http, "httpHeaders"));
	} else if (cJSON_IsObject(tcp)) {
		p->kind = KUBE_PROBE_TCP;
		kube_container_take_probe_port(p, tcp);
	} else if (cJSON_IsObject(grpc)) {
		p->kind = KUBE_PROBE_GRPC;
		p->port = kube_container_port(grpc, "port");
		p->service = kube_json_text(grpc, "service", "");
	} else if (cJSON_IsObject(kube_json_get(probe, "exec"))) {
		p->kind = KUBE_PROBE_EXEC;
	}
}

static bool kube_container_restarts_on_resize(const cJSON *policies)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, policies)
	{
		if (strcmp(kube_json_text(item, "resourceName", ""), "cpu") == 0 &&
		    strcmp(kube_json_text(item, "restartPolicy", ""), "RestartContainer") == 0)
			return true;
	}
	return false;
}

void kube_container_read(struct kube_container *out, const cJSON *spec, bool is_sidecar)
{
	*out = (struct kube_container){
		.name = kube_json_text(spec, "name", ""),
		.is_sidecar = is_sidecar,
		.restarts_on_resize =
			kube_container_restarts_on_resize(kube_json_list(spec, "resizePolicy")),
		.spec = kube_container_cpu(kube_json_get(spec, "resources")),
		.container_id = "",
		.actual = { KUBE_CPU_NONE, KUBE_CPU_NONE },
		.allocated_millicpu = KUBE_CPU_NONE,
	};
	kube_container_take_ports(out, kube_json_list(spec, "ports"));
	kube_container_take_probe(&out->readiness, kube_json_get(spec, "readinessProbe"));
	kube_container_take_probe(&out->liveness, kube_json_get(spec, "livenessProbe"));
	kube_container_take_probe(&out->startup, kube_json_get(spec, "startupProbe"));
}

void kube_container_read_status(struct kube_container *c, const cJSON *status)
{
	c->container_id = kube_json_text(status, "containerID", "");
	c->restart_count = (int)kube_json_number(status, "restartCount");
	c->is_started = kube_json_is_true(status, "started");
	c->is_ready = kube_json_is_true(status, "ready");
	c->actual = kube_container_cpu(kube_json_get(status, "resources"));
	c->allocated_millicpu =
		kube_container_millicpu(kube_json_get(status, "allocatedResources"));
}

int kube_container_probe_port(const struct kube_container *c, const struct kube_probe *p,
			      uint16_t *out)
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

const char *kube_container_probe_agent(const struct kube_probe *p)
{
	for (size_t i = 0; i < p->headers_len; i++) {
		if (strcasecmp(p->headers[i].name, "User-Agent") == 0)
			return p->headers[i].value;
	}
	return NULL;
}
