// SPDX-License-Identifier: MIT
/*
 * Fuzzes the reader of Pod objects. The first byte of an input chooses what the rest is: the text
 * itself, or text in which each byte above 127 stands for one of the words below.
 */
/* needs: userspace/kube_pod.c userspace/quantity.c */
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kube_pod.h"
#include "util.h"

#define WORD_MAX 128

#define FUZZ_CHECK(claim)                                                                          \
	do {                                                                                       \
		if (!(claim))                                                                      \
			__builtin_trap();                                                          \
	} while (0)

static const char *const words[] = {
	"{\"kind\":\"Pod\",\"metadata\":{\"name\":\"web-0\",\"uid\":\"U\",",
	"{\"kind\":\"Pod\",\"metadata\":{\"name\":\"web-0\",\"uid\":\"U\"},\"spec\":{",
	"{\"kind\":\"Pod\",\"metadata\":{\"name\":\"web-0\",\"uid\":\"U\"},\"status\":{",
	"},\"status\":{",
	"\"generation\":",
	"\"observedGeneration\":",
	"\"deletionTimestamp\":",
	"\"annotations\":{\"doze.dev/full\":",
	"\"qosClass\":\"Guaranteed\"",
	"\"resize\":\"Deferred\"",
	"\"conditions\":[",
	"\"type\":\"PodResizePending\"",
	"\"type\":\"PodResizeInProgress\"",
	"\"status\":\"True\"",
	"\"reason\":\"Error\"",
	"\"message\":",
	"\"initContainers\":[",
	"\"containers\":[",
	"\"restartPolicy\":\"Always\"",
	"\"resizePolicy\":[",
	"\"resourceName\":\"cpu\",\"restartPolicy\":\"RestartContainer\"",
	"\"initContainerStatuses\":[",
	"\"containerStatuses\":[",
	"\"containerID\":",
	"\"restartCount\":",
	"\"started\":true",
	"\"ready\":true",
	"\"resources\":{",
	"\"allocatedResources\":{",
	"\"requests\":{",
	"\"limits\":{",
	"\"cpu\":\"",
	"\"ports\":[",
	"{\"containerPort\":80}",
	"\"containerPort\":",
	"\"protocol\":\"UDP\"",
	"\"protocol\":\"SCTP\"",
	"\"name\":\"app\"",
	"\"name\":",
	"\"readinessProbe\":{",
	"\"startupProbe\":{",
	"\"httpGet\":{",
	"\"httpHeaders\":[",
	"\"value\":",
	"\"tcpSocket\":{",
	"\"grpc\":{",
	"\"exec\":{",
	"\"port\":",
	"\"path\":",
	"\"host\":",
	"\"service\":",
	"\"scheme\":\"HTTPS\"",
	"{\"name\":\"app\"},",
	"},{",
	"}],",
	"}]}}",
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t fuzz_expand(char *out, const uint8_t *data, size_t size)
{
	size_t len = 0;

	for (size_t i = 0; i < size; i++) {
		const char *word = words[data[i] % ARRAY_LEN(words)];

		if (data[i] < 128) {
			out[len++] = (char)data[i];
			continue;
		}
		memcpy(out + len, word, strlen(word));
		len += strlen(word);
	}
	return len;
}

static void fuzz_check_cpu(const struct kube_cpu *cpu)
{
	FUZZ_CHECK(cpu->request_millicpu >= KUBE_CPU_NONE);
	FUZZ_CHECK(cpu->limit_millicpu >= KUBE_CPU_NONE && cpu->limit_millicpu != 0);
}

static void fuzz_check_probe(const struct kube_container *c)
{
	const struct kube_probe *p = &c->readiness;
	uint16_t port = 0;
	int r = kube_probe_port(c, &port);

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(kube_pod_free) struct kube_pod *pod = NULL;
	_cleanup_(freep) char *text = NULL;
	_cleanup_(freep) char *wide = malloc(size * WORD_MAX + 1);
	size_t len = 0;
	int r;

	if (size < 1)
		return 0;
	if (data[0] & 1)
		len = fuzz_expand(wide, data + 1, size - 1);
	else
		memcpy(wide, data + 1, len = size - 1);
	/* Of just that length, so that the address sanitizer sees each read beyond it. */
	text = malloc(len + 1);
	memcpy(text, wide, len);
	text[len] = '\0';
	r = kube_pod_parse(&pod, text, len);
	FUZZ_CHECK(r == 0 || r == -EINVAL || r == -E2BIG);
	FUZZ_CHECK((r == 0) == (pod != NULL));
	if (r == 0)
		fuzz_check_pod(pod);
	return 0;
}
