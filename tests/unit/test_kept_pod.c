// SPDX-License-Identifier: MIT
/* A Pod object as it outlives doze: the same to whoever reads it, and without what is nobody's. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/util.h"
#include "kube/kept_pod.h"
#include "lib/test.h"
#include "pod/node_plan.h"

static struct kube_pod *parse(const char *text)
{
	struct kube_pod *pod = NULL;

	assert_int_equal(kube_pod_parse(&pod, text, strlen(text)), 0);
	return pod;
}

/* Kept, and read again. */
static struct kube_pod *keep(const struct kube_pod *pod)
{
	_cleanup_(freep) char *text = kept_pod_format(pod, CONFIG_ANNOTATION_PREFIX);
	struct kube_pod *kept = NULL;

	assert_non_null(text);
	assert_int_equal(kept_pod_parse(&kept, text, pod->uid), 0);
	assert_true(kept->is_kept);
	return kept;
}

static void assert_same_text(const char *a, const char *b)
{
	assert_true(!a == !b);
	if (a)
		assert_string_equal(a, b);
}

static void assert_same_cpu(const struct kube_cpu *a, const struct kube_cpu *b)
{
	assert_int_equal(a->request_millicpu, b->request_millicpu);
	assert_int_equal(a->limit_millicpu, b->limit_millicpu);
}

static void assert_same_probe(const struct kube_probe *a, const struct kube_probe *b)
{
	assert_int_equal(a->kind, b->kind);
	assert_int_equal(a->port, b->port);
	assert_int_equal(a->is_https, b->is_https);
	assert_int_equal(a->timeout_s, b->timeout_s);
	assert_int_equal(a->headers_len, b->headers_len);
	assert_same_text(a->port_name, b->port_name);
	assert_same_text(a->path, b->path);
	assert_same_text(a->host, b->host);
	assert_same_text(a->service, b->service);
	for (size_t i = 0; i < a->headers_len; i++) {
		assert_string_equal(a->headers[i].name, b->headers[i].name);
		assert_string_equal(a->headers[i].value, b->headers[i].value);
	}
}

static void assert_same_container(const struct kube_container *a, const struct kube_container *b)
{
	assert_string_equal(a->name, b->name);
	assert_string_equal(a->container_id, b->container_id);
	assert_int_equal(a->is_sidecar, b->is_sidecar);
	assert_int_equal(a->restarts_on_resize, b->restarts_on_resize);
	assert_int_equal(a->is_started, b->is_started);
	assert_int_equal(a->is_ready, b->is_ready);
	assert_int_equal(a->restart_count, b->restart_count);
	assert_int_equal(a->allocated_millicpu, b->allocated_millicpu);
	assert_same_cpu(&a->spec, &b->spec);
	assert_same_cpu(&a->actual, &b->actual);
	assert_int_equal(a->ports_len, b->ports_len);
	for (size_t i = 0; i < a->ports_len; i++) {
		assert_string_equal(a->ports[i].name, b->ports[i].name);
		assert_int_equal(a->ports[i].port, b->ports[i].port);
		assert_int_equal(a->ports[i].protocol, b->ports[i].protocol);
	}
	assert_same_probe(&a->readiness, &b->readiness);
	assert_same_probe(&a->liveness, &b->liveness);
	assert_same_probe(&a->startup, &b->startup);
}

static void assert_same(const struct kube_pod *a, const struct kube_pod *b)
{
	_cleanup_(freep) char *left = node_plan_fingerprint(a);
	_cleanup_(freep) char *right = node_plan_fingerprint(b);

	assert_string_equal(left, right); /* or each restart would wake every pod */
	assert_string_equal(a->name, b->name);
	assert_string_equal(a->namespace, b->namespace);
	assert_same_text(a->recorded_full, b->recorded_full);
	assert_int_equal(a->generation, b->generation);
	assert_int_equal(a->observed_generation, b->observed_generation);
	assert_int_equal(a->qos, b->qos);
	assert_int_equal(a->limit_millicpu, b->limit_millicpu);
	assert_int_equal(a->priority, b->priority);
	assert_int_equal(a->is_running, b->is_running);
	assert_int_equal(a->is_ready, b->is_ready);
	assert_int_equal(a->has_host_network, b->has_host_network);
	assert_int_equal(a->host_ips_len, b->host_ips_len);
	for (size_t i = 0; i < a->host_ips_len; i++)
		assert_string_equal(a->host_ips[i], b->host_ips[i]);
	assert_int_equal(a->containers_len, b->containers_len);
	for (size_t i = 0; i < a->containers_len; i++)
		assert_same_container(&a->containers[i], &b->containers[i]);
}

TEST(a_pod_of_a_real_server_reads_the_same_when_it_was_kept)
{
	static const char *const names[] = { "best-effort", "burstable-awake",
					     "burstable-limit-asked", "guaranteed-awake",
					     "guaranteed-asleep-done" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		_cleanup_(kube_pod_free) struct kube_pod *pod = NULL, *kept = NULL;
		_cleanup_(freep) char *text = NULL;
		char path[128];

		print_message("  %s\n", names[i]);
		snprintf(path, sizeof(path), "tests/unit/pods/%s.json", names[i]);
		assert_int_equal(file_read(path, &text), 0);
		pod = parse(text);
		kept = keep(pod);
		assert_same(pod, kept);
	}
}

static const char full[] =
	"{\"kind\":\"Pod\",\"metadata\":{\"name\":\"web\",\"namespace\":\"shop\",\"uid\":\"u1\","
	"\"labels\":{\"uid\":\"SECRET\"},\"annotations\":{\"doze.dev/enabled\":\"true\","
	"\"doze.dev/full\":\"{}\",\"other/note\":\"SECRET\",\"doze.dev/asleep\":\"freeze\"}},"
	"\"spec\":{\"priority\":-7,\"hostNetwork\":true,\"resources\":{\"limits\":{\"cpu\":\"2\"}},"
	"\"volumes\":[{\"name\":\"SECRET\",\"hostPath\":{\"path\":\"SECRET\"}}],"
	"\"initContainers\":[{\"name\":\"proxy\",\"restartPolicy\":\"Always\",\"ports\":["
	"{\"containerPort\":53,\"protocol\":\"UDP\",\"name\":\"dns\"}]}],"
	"\"containers\":[{\"name\":\"app\",\"command\":[\"SECRET\"],\"args\":[\"SECRET\"],"
	"\"env\":[{\"name\":\"PASSWORD\",\"value\":\"SECRET\"}],\"image\":\"SECRET\","
	"\"resources\":{\"requests\":{\"cpu\":\"250m\",\"memory\":\"1Gi\"},"
	"\"limits\":{\"cpu\":\"1\",\"memory\":\"1Gi\"}},"
	"\"resizePolicy\":[{\"resourceName\":\"cpu\",\"restartPolicy\":\"RestartContainer\"}],"
	"\"ports\":[{\"containerPort\":8080,\"name\":\"http\"}],"
	"\"readinessProbe\":{\"httpGet\":{\"path\":\"/ready\",\"port\":\"http\","
	"\"scheme\":\"HTTPS\",\"host\":\"10.0.0.7\","
	"\"httpHeaders\":[{\"name\":\"User-Agent\",\"value\":\"us\"}]},\"timeoutSeconds\":5},"
	"\"livenessProbe\":{\"exec\":{\"command\":[\"SECRET\"]}},"
	"\"startupProbe\":{\"grpc\":{\"port\":9000,\"service\":\"s\"}}}]},"
	"\"status\":{\"phase\":\"Running\",\"qosClass\":\"Burstable\",\"hostIP\":\"192.0.2.1\","
	"\"podIPs\":[{\"ip\":\"10.0.0.7\"},{\"ip\":\"2001:db8::7\"}],"
	"\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\",\"message\":\"SECRET\"}],"
	"\"containerStatuses\":[{\"name\":\"app\",\"containerID\":\"containerd://0123456789abcdef\","
	"\"restartCount\":3,\"started\":true,\"ready\":true,\"imageID\":\"SECRET\","
	"\"resources\":{\"limits\":{\"cpu\":\"1\"}},\"allocatedResources\":{\"cpu\":\"250m\"}}]}}";

TEST(all_that_is_read_of_a_pod_is_kept_and_nothing_else)
{
	_cleanup_(kube_pod_free) struct kube_pod *pod = parse(full), *kept = keep(pod);
	_cleanup_(freep) char *text = kept_pod_format(pod, CONFIG_ANNOTATION_PREFIX);

	assert_same(pod, kept);
	assert_null(strstr(text, "SECRET"));
	assert_null(strstr(text, "memory"));
}

TEST(what_was_kept_can_be_kept_again)
{
	_cleanup_(kube_pod_free) struct kube_pod *pod = parse(full), *kept = keep(pod);
	_cleanup_(kube_pod_free) struct kube_pod *again = keep(kept);

	assert_same(pod, again);
}

TEST(a_text_that_is_none_of_ours_is_refused)
{
	static const char *const texts[] = {
		"",
		"{\"version\":1",
		"[]",
		"{\"version\":1}",
		"{\"version\":1,\"pod\":null}",
		"{\"version\":1,\"pod\":{}}",
		"{\"version\":1,\"pod\":{\"metadata\":{\"name\":\"web\"}}}",
		"{\"version\":2,\"pod\":{\"metadata\":{\"name\":\"web\",\"uid\":\"u1\"}}}",
		"{\"pod\":{\"metadata\":{\"name\":\"web\",\"uid\":\"u1\"}}}",
		"{\"version\":1,\"pod\":{\"metadata\":{\"name\":\"web\",\"uid\":\"u2\"}}}",
		"{\"version\":1,\"pod\":{\"kind\":\"Node\",\"metadata\":{\"name\":\"web\",\"uid\":\"u1\"}}}",
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct kube_pod *pod = NULL;

		print_message("  %s\n", texts[i]);
		assert_int_equal(kept_pod_parse(&pod, texts[i], "u1"), -EINVAL);
		assert_null(pod);
	}
}
