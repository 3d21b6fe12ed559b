// SPDX-License-Identifier: MIT
/*
 * Fuzzes the reader of Pod objects. The first byte of an input chooses what the rest is: the text
 * itself, or choices in the grammar below.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "grammar.h"
#include "kube/kept_pod.h"
#include "kube/kube_pod.h"

#define FUZZ_CHECK(claim)                                                                          \
	do {                                                                                       \
		if (!(claim))                                                                      \
			__builtin_trap();                                                          \
	} while (0)

static const struct grammar_rule rules[] = {
	{ 'P',
	  { "{\"kind\":\"Pod\",\"metadata\":$M,\"spec\":$S,\"status\":$T}",
	    "{\"kind\":$v,\"metadata\":$M}" } },
	{ 'M',
	  { "{\"name\":\"web-0\",\"uid\":\"U\"}",
	    "{\"name\":\"web-0\",\"uid\":\"U\",\"namespace\":$v,\"generation\":$v,"
	    "\"deletionTimestamp\":$v,\"annotations\":$a}",
	    "{\"name\":$v,\"uid\":$v}", "$v" } },
	{ 'a', { "{}", "{\"doze.dev/full\":$v}", "$v" } },
	{ 'S', { "{\"containers\":$C}", "{\"initContainers\":$C,\"containers\":$C}", "$v" } },
	{ 'C', { "[]", "[$l]", "$v" } },
	{ 'l', { "$c", "$c,$l" } },
	{ 'c',
	  { "{\"name\":\"$n\"}", "{\"name\":\"$n\",\"restartPolicy\":\"Always\"}",
	    "{\"name\":\"$n\",\"resources\":$R,\"ports\":$O}",
	    "{\"name\":\"$n\",\"ports\":$O,\"readinessProbe\":$B}",
	    "{\"name\":\"$n\",\"resizePolicy\":$Z,\"startupProbe\":$B}",
	    "{\"name\":$v,\"restartPolicy\":$v}", "$v" } },
	{ 'n', { "app", "b", "doze", "" } },
	{ 'R',
	  { "{}", "{\"requests\":{\"cpu\":\"$q\"},\"limits\":{\"cpu\":\"$q\"}}",
	    "{\"requests\":{\"cpu\":$v},\"limits\":$v}", "$v" } },
	{ 'q',
	  { "1", "10m", "250m", "1m", "0", "2", "20m", "1u", "1000000", "1000000.5", "x", "" } },
	{ 'O', { "[]", "[$o]", "$v" } },
	{ 'o', { "$p", "$p,$o" } },
	{ 'p',
	  { "{\"containerPort\":$i}", "{\"containerPort\":$i,\"name\":\"$n\"}",
	    "{\"containerPort\":$i,\"protocol\":\"$t\"}", "$v" } },
	{ 'i', { "80", "0", "65535", "65536", "-1", "8.5", "1e9", "$v", "\"$n\"" } },
	{ 't', { "TCP", "UDP", "SCTP", "x" } },
	{ 'B',
	  { "{}", "{\"httpGet\":{\"port\":$i,\"path\":$v,\"scheme\":\"HTTPS\",\"httpHeaders\":$H}}",
	    "{\"httpGet\":{\"port\":$i,\"host\":$v}}", "{\"tcpSocket\":{\"port\":$i,\"host\":$v}}",
	    "{\"grpc\":{\"port\":$i,\"service\":$v}}", "{\"exec\":$v}", "{\"httpGet\":$v}",
	    "$v" } },
	{ 'H', { "[]", "[$h]", "$v" } },
	{ 'h', { "{\"name\":\"$n\",\"value\":$v}", "{\"name\":$v},$h", "{\"name\":\"$n\"},$h" } },
	{ 'Z',
	  { "[]", "[{\"resourceName\":\"cpu\",\"restartPolicy\":\"RestartContainer\"}]",
	    "[{\"resourceName\":$v,\"restartPolicy\":$v}]", "$v" } },
	{ 'T',
	  { "{}", "{\"qosClass\":\"$Q\",\"conditions\":$D,\"containerStatuses\":$U}",
	    "{\"observedGeneration\":$v,\"resize\":\"$e\",\"initContainerStatuses\":$U}",
	    "{\"qosClass\":$v,\"resize\":$v}", "$v" } },
	{ 'Q', { "Burstable", "Guaranteed", "BestEffort" } },
	{ 'D', { "[]", "[$d]", "$v" } },
	{ 'd',
	  { "{\"type\":\"PodResize$y\",\"status\":\"True\",\"reason\":\"$e\",\"message\":$v}",
	    "{\"type\":\"PodResize$y\",\"status\":$v,\"reason\":$v},$d", "$v" } },
	{ 'y', { "Pending", "InProgress", "" } },
	{ 'e', { "Deferred", "Infeasible", "Error", "" } },
	{ 'U', { "[]", "[$u]", "$v" } },
	{ 'u',
	  { "{\"name\":\"$n\",\"resources\":$R,\"allocatedResources\":{\"cpu\":\"$q\"}}",
	    "{\"name\":\"$n\",\"containerID\":$v,\"restartCount\":$v,\"started\":$v,\"ready\":$v},$u",
	    "$v" } },
	{ 'v', { "null", "true", "7", "-1e300", "\"x\"", "[]", "{}", "[7]", "{\"x\":{}}" } },
	{ 0 },
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_check_cpu(const struct kube_cpu *cpu)
{
	FUZZ_CHECK(cpu->request_millicpu >= KUBE_CPU_NONE);
	FUZZ_CHECK(cpu->limit_millicpu >= KUBE_CPU_NONE && cpu->limit_millicpu != 0);
}

static void fuzz_check_probe(const struct kube_container *c)
{
	const struct kube_probe *p = &c->readiness;
	uint16_t port = 0;
	int r = kube_container_probe_port(c, &c->readiness, &port);

	FUZZ_CHECK(p->kind <= KUBE_PROBE_EXEC);
	FUZZ_CHECK((p->kind == KUBE_PROBE_HTTP) == (p->path != NULL));
	FUZZ_CHECK((p->kind == KUBE_PROBE_GRPC) == (p->service != NULL));
	FUZZ_CHECK(p->headers_len <= KUBE_HEADERS_MAX);
	for (size_t i = 0; i < p->headers_len; i++)
		FUZZ_CHECK(p->headers[i].name && p->headers[i].value);
	FUZZ_CHECK(r == 0 ? port > 0 : r == -ENOENT && port == 0);
}

static void fuzz_check_container(const struct kube_container *c)
{
	FUZZ_CHECK(*c->name && c->container_id);
	fuzz_check_cpu(&c->spec);
	fuzz_check_cpu(&c->actual);
	FUZZ_CHECK(c->allocated_millicpu >= KUBE_CPU_NONE);
	FUZZ_CHECK(c->ports_len <= KUBE_PORTS_MAX);
	for (size_t i = 0; i < c->ports_len; i++) {
		FUZZ_CHECK(c->ports[i].name && c->ports[i].port > 0);
		FUZZ_CHECK(c->ports[i].protocol == IPPROTO_TCP ||
			   c->ports[i].protocol == IPPROTO_UDP);
	}
	fuzz_check_probe(c);
}

static void fuzz_check_pod(const struct kube_pod *pod)
{
	bool is_past_sidecars = false;

	FUZZ_CHECK(*pod->name && *pod->uid && pod->namespace);
	FUZZ_CHECK(!pod->pending_reason == !pod->pending_message);
	FUZZ_CHECK(pod->containers_len <= KUBE_CONTAINERS_MAX);
	for (size_t i = 0; i < pod->containers_len; i++) {
		const struct kube_container *c = &pod->containers[i];

		FUZZ_CHECK(!(is_past_sidecars && c->is_sidecar));
		is_past_sidecars = !c->is_sidecar;
		fuzz_check_container(c);
		FUZZ_CHECK(kube_pod_find(pod, c->name));
	}
}

static void fuzz_check_same_container(const struct kube_container *a,
				      const struct kube_container *b)
{
	FUZZ_CHECK(strcmp(a->name, b->name) == 0);
	FUZZ_CHECK(strcmp(a->container_id, b->container_id) == 0);
	FUZZ_CHECK(memcmp(&a->spec, &b->spec, sizeof(a->spec)) == 0);
	FUZZ_CHECK(memcmp(&a->actual, &b->actual, sizeof(a->actual)) == 0);
	FUZZ_CHECK(a->restart_count == b->restart_count && a->is_sidecar == b->is_sidecar);
	FUZZ_CHECK(a->is_started == b->is_started && a->ports_len == b->ports_len);
	FUZZ_CHECK(a->readiness.kind == b->readiness.kind);
	FUZZ_CHECK(a->readiness.port == b->readiness.port);
	FUZZ_CHECK(a->readiness.headers_len == b->readiness.headers_len);
}

/* What is kept of a pod reads as the pod does. */
static void fuzz_check_kept(const struct kube_pod *pod)
{
	_cleanup_(freep) char *text = kept_pod_format(pod, "doze.dev/");
	_cleanup_(kube_pod_free) struct kube_pod *kept = NULL;

	FUZZ_CHECK(text && kept_pod_parse(&kept, text, pod->uid) == 0);
	fuzz_check_pod(kept);
	FUZZ_CHECK(strcmp(pod->name, kept->name) == 0 && pod->qos == kept->qos);
	FUZZ_CHECK(pod->generation == kept->generation && pod->is_ready == kept->is_ready);
	FUZZ_CHECK(!pod->recorded_full == !kept->recorded_full);
	FUZZ_CHECK(pod->containers_len == kept->containers_len);
	for (size_t i = 0; i < pod->containers_len; i++)
		fuzz_check_same_container(&pod->containers[i], &kept->containers[i]);
}

/* The text is copied to a block of just its length, so that each read beyond it is seen. */
static void fuzz_parse(const char *text, size_t len)
{
	_cleanup_(kube_pod_free) struct kube_pod *pod = NULL;
	_cleanup_(freep) char *copy = malloc(len + 1);
	int r;

	FUZZ_CHECK(copy);
	memcpy(copy, text, len);
	copy[len] = '\0';
	r = kube_pod_parse(&pod, copy, len);
	FUZZ_CHECK(r == 0 || r == -EINVAL || r == -E2BIG);
	FUZZ_CHECK((r == 0) == (pod != NULL));
	if (r < 0)
		return;
	fuzz_check_pod(pod);
	fuzz_check_kept(pod);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct grammar g;

	if (size < 1)
		return 0;
	if (!(data[0] & 1)) {
		fuzz_parse((const char *)data + 1, size - 1);
		return 0;
	}
	g.rules = rules;
	g.data = data + 1;
	g.end = data + size;
	g.len = 0;
	grammar_expand(&g, "$P");
	fuzz_parse(g.out, g.len);
	return 0;
}
