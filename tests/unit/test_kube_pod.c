// SPDX-License-Identifier: MIT
/*
 * What is read of a Pod object. tests/unit/pods/ holds bodies of tests/fake/recordings/, as a real
 * server sent them; what no recording shows is written here.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/util.h"
#include "kube/kube_pod.h"
#include "lib/test.h"

/* The part of a Pod without which it is none. */
#define META "\"kind\":\"Pod\",\"metadata\":{\"name\":\"web-0\",\"uid\":\"U\"}"

/* A Pod with one container, of which text says more. */
#define APP(text) "{" META ",\"spec\":{\"containers\":[{\"name\":\"app\"," text "}]}}"

static struct kube_pod *parse(const char *text)
{
	struct kube_pod *pod = NULL;

	assert_int_equal(kube_pod_parse(&pod, text, strlen(text)), 0);
	assert_non_null(pod);
	return pod;
}

static char *read_recorded(const char *name)
{
	char path[128];
	char *text = NULL;

	snprintf(path, sizeof(path), "tests/unit/pods/%s.json", name);
	if (file_read(path, &text) < 0)
		fail_msg("cannot read %s: tests are run from the root of the repository", path);
	return text;
}

static struct kube_pod *parse_recorded(const char *name)
{
	_cleanup_(freep) char *text = read_recorded(name);

	return parse(text);
}

static void assert_cpu(const struct kube_cpu *cpu, int64_t request, int64_t limit)
{
	assert_int_equal(cpu->request_millicpu, request);
	assert_int_equal(cpu->limit_millicpu, limit);
}

static void assert_text(const char *text, const char *expected)
{
	assert_true(!text == !expected);
	if (expected)
		assert_string_equal(text, expected);
}

/* How the resize that a pod asks for is doing. */
enum resize {
	FINE,
	LATE,
	FAIL,
	GONE,
};

enum {
	BURSTABLE = KUBE_QOS_BURSTABLE,
	GUARANTEED = KUBE_QOS_GUARANTEED,
	UNSIZED = KUBE_QOS_BEST_EFFORT,
};

/* clang-format off */
static const struct recorded {
	const char *file;
	enum kube_qos qos;
	int64_t generation, observed;
	struct kube_cpu spec, actual;
	int64_t allocated;
	enum resize resize;
} recorded[] = {
	/* file, class, generation: wanted and seen, spec, actual, allocated */
	{ "burstable-awake",           BURSTABLE,  1, 1, { 250, 1000 },  { 250, 1000 }, 250, FINE },
	{ "burstable-at-1m",           BURSTABLE,  3, 3, { 1, 1 },       { 1, 1 },      1,   FINE },
	{ "burstable-limit-asked",     BURSTABLE,  4, 3, { 10, 1000 },   { 1, 1 },      1,   FINE },
	{ "burstable-deferred",        BURSTABLE,  6, 6, { 1900, 1900 }, { 250, 1000 }, 250, LATE },
	{ "burstable-error",           BURSTABLE,  8, 8, { 250, 1000 },  { 250, 1000 }, 250, FAIL },
	{ "guaranteed-awake",          GUARANTEED, 1, 1, { 500, 500 },   { 500, 500 },  500, FINE },
	{ "guaranteed-asleep-asked",   GUARANTEED, 6, 5, { 10, 10 },     { 500, 500 },  500, FINE },
	/* In progress without a reason is no error. */
	{ "guaranteed-asleep-granted", GUARANTEED, 6, 6, { 10, 10 },     { 500, 500 },  10,  FINE },
	{ "guaranteed-asleep-done",    GUARANTEED, 6, 6, { 10, 10 },     { 10, 10 },    10,  FINE },
	{ "guaranteed-full-granted",   GUARANTEED, 7, 7, { 500, 500 },   { 10, 10 },    500, FINE },
	{ "best-effort",               UNSIZED,    1, 1, { -1, -1 },     { -1, -1 },    -1,  FINE },
	{ "terminating",               BURSTABLE,  3, 2, { 10, 10 },     { 10, 10 },    10,  GONE },
};
/* clang-format on */

TEST(recorded_pods_are_understood)
{
	for (size_t i = 0; i < ARRAY_LEN(recorded); i++) {
		const struct recorded *row = &recorded[i];
		_cleanup_(kube_pod_free) struct kube_pod *pod = parse_recorded(row->file);

		print_message("  %s\n", row->file);
		assert_int_equal(pod->qos, row->qos);
		assert_int_equal(pod->generation, row->generation);
		assert_int_equal(pod->observed_generation, row->observed);
		assert_int_equal(pod->is_terminating, row->resize == GONE);
		assert_int_equal(pod->pending_reason != NULL, row->resize == LATE);
		assert_int_equal(pod->error_message != NULL, row->resize == FAIL);
		assert_int_equal(pod->containers_len, 1);
		assert_cpu(&pod->containers[0].spec, row->spec.request_millicpu,
			   row->spec.limit_millicpu);
		assert_cpu(&pod->containers[0].actual, row->actual.request_millicpu,
			   row->actual.limit_millicpu);
		assert_int_equal(pod->containers[0].allocated_millicpu, row->allocated);
	}
}

TEST(a_recorded_pod_names_itself_its_port_and_its_probe)
{
	_cleanup_(kube_pod_free) struct kube_pod *pod = parse_recorded("burstable-awake");
	const struct kube_container *c = kube_pod_find(pod, "app");
	uint16_t port = 0;

	assert_string_equal(pod->name, "rec-b");
	assert_string_equal(pod->namespace, "default");
	assert_string_equal(pod->uid, "5c6eb96d-0661-4fee-80ea-26a9aba51a06");
	assert_null(pod->recorded_full);
	assert_non_null(c);
	assert_false(c->is_sidecar || c->restarts_on_resize || c->startup.kind != KUBE_PROBE_NONE);
	assert_true(c->is_started && c->is_ready);
	assert_int_equal(c->restart_count, 0);
	assert_ptr_equal(strstr(c->container_id, "containerd://6a599e"), c->container_id);
	assert_int_equal(c->ports_len, 1);
	assert_string_equal(c->ports[0].name, "http");
	assert_int_equal(c->ports[0].port, 8080);
	assert_int_equal(c->ports[0].protocol, IPPROTO_TCP);
	assert_int_equal(c->readiness.kind, KUBE_PROBE_HTTP);
	assert_string_equal(c->readiness.path, "/");
	assert_string_equal(c->readiness.port_name, "http");
	assert_int_equal(kube_container_probe_port(c, &c->readiness, &port), 0);
	assert_int_equal(port, 8080);
	assert_int_equal(pod->host_ips_len, 1);
	assert_string_equal(pod->host_ips[0], "10.88.255.1");
	assert_int_equal(c->liveness.kind, KUBE_PROBE_NONE);
	assert_null(kube_pod_find(pod, "ap"));
	assert_null(kube_pod_find(pod, ""));
}

TEST(a_resize_that_is_stuck_says_why)
{
	_cleanup_(kube_pod_free) struct kube_pod *deferred = parse_recorded("burstable-deferred");
	_cleanup_(kube_pod_free) struct kube_pod *failed = parse_recorded("burstable-error");

	assert_string_equal(deferred->pending_reason, "Deferred");
	assert_string_equal(deferred->pending_message,
			    "Node didn't have enough resource: cpu, requested: 1900, used: 1010, "
			    "capacity: 2000");
	assert_string_equal(failed->error_message,
			    "cannot decrease memory limits: [attempting to set pod memory limit "
			    "(65536) below current usage (1064960), attempting to set container "
			    "\"app\" memory limit (65536) below current usage (1064960)]");
}

TEST(native_sidecars_come_first_and_init_containers_not_at_all)
{
	_cleanup_(kube_pod_free) struct kube_pod *pod = parse(
		"{" META ",\"spec\":{\"containers\":[{\"name\":\"app\"},{\"name\":\"cache\"}],"
		"\"initContainers\":[{\"name\":\"migrate\"},"
		"{\"name\":\"doze\",\"restartPolicy\":\"Always\"},"
		"{\"name\":\"once\",\"restartPolicy\":\"OnFailure\"},"
		"{\"name\":\"proxy\",\"restartPolicy\":\"Always\"}]},\"status\":{"
		"\"initContainerStatuses\":[{\"name\":\"migrate\",\"ready\":true},"
		"{\"name\":\"proxy\",\"ready\":true,\"restartCount\":3}],"
		"\"containerStatuses\":[{\"name\":\"cache\",\"started\":true,"
		"\"allocatedResources\":{\"cpu\":\"2m\"}},{\"name\":\"gone\"}]}}");
	static const char *const names[] = { "doze", "proxy", "app", "cache" };

	assert_int_equal(pod->containers_len, ARRAY_LEN(names));
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		assert_string_equal(pod->containers[i].name, names[i]);
		assert_int_equal(pod->containers[i].is_sidecar, i < 2);
	}
	assert_true(pod->containers[1].is_ready);
	assert_int_equal(pod->containers[1].restart_count, 3);
	assert_true(pod->containers[3].is_started);
	assert_int_equal(pod->containers[3].allocated_millicpu, 2);
	assert_string_equal(pod->containers[0].container_id, "");
	assert_null(kube_pod_find(pod, "migrate"));
}

TEST(ports_are_tcp_or_udp)
{
	_cleanup_(kube_pod_free) struct kube_pod *pod =
		parse(APP("\"ports\":["
			  "{\"containerPort\":80},"
			  "{\"containerPort\":53,\"name\":\"dns\",\"protocol\":\"UDP\"},"
			  "{\"containerPort\":3868,\"name\":\"s\",\"protocol\":\"SCTP\"},"
			  "{\"containerPort\":65535,\"protocol\":\"TCP\"},"
			  "{\"containerPort\":0},{\"containerPort\":65536},{\"containerPort\":-1},"
			  "{\"containerPort\":\"81\"},{\"name\":\"none\"},null,7,\"x\"]"));
	static const struct kube_port expected[] = {
		{ "", 80, IPPROTO_TCP },
		{ "dns", 53, IPPROTO_UDP },
		{ "", 65535, IPPROTO_TCP },
	};
	const struct kube_container *c = &pod->containers[0];

	assert_int_equal(c->ports_len, ARRAY_LEN(expected));
	for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
		assert_string_equal(c->ports[i].name, expected[i].name);
		assert_int_equal(c->ports[i].port, expected[i].port);
		assert_int_equal(c->ports[i].protocol, expected[i].protocol);
	}
}

/* clang-format off */
static const struct probe_row {
	const char *probe;
	enum kube_probe_kind kind;
	int port; /* as kube_container_probe_port() says; 0: it finds none */
	const char *path, *host, *service;
	bool is_https;
} probes[] = {
	{ "{}", KUBE_PROBE_NONE, 0, NULL, NULL, NULL, false },
	{ "null", KUBE_PROBE_NONE, 0, NULL, NULL, NULL, false },
	{ "{\"exec\":{\"command\":[\"true\"]}}", KUBE_PROBE_EXEC, 0, NULL, NULL, NULL, false },
	{ "{\"exec\":\"true\"}", KUBE_PROBE_NONE, 0, NULL, NULL, NULL, false },
	{ "{\"tcpSocket\":{\"port\":81}}", KUBE_PROBE_TCP, 81, NULL, NULL, NULL, false },
	{ "{\"tcpSocket\":{\"port\":\"admin\",\"host\":\"192.0.2.1\"}}",
	  KUBE_PROBE_TCP, 9000, NULL, "192.0.2.1", NULL, false },
	{ "{\"grpc\":{\"port\":81}}", KUBE_PROBE_GRPC, 81, NULL, NULL, "", false },
	{ "{\"grpc\":{\"port\":81,\"service\":\"live\"}}",
	  KUBE_PROBE_GRPC, 81, NULL, NULL, "live", false },
	{ "{\"httpGet\":{\"port\":81}}", KUBE_PROBE_HTTP, 81, "/", NULL, NULL, false },
	{ "{\"httpGet\":{\"port\":81,\"path\":\"/z?a=b\",\"scheme\":\"HTTP\"}}",
	  KUBE_PROBE_HTTP, 81, "/z?a=b", NULL, NULL, false },
	{ "{\"httpGet\":{\"port\":81,\"scheme\":\"HTTPS\",\"host\":\"h\"}}",
	  KUBE_PROBE_HTTP, 81, "/", "h", NULL, true },
	{ "{\"httpGet\":{\"port\":\"http\"}}", KUBE_PROBE_HTTP, 8080, "/", NULL, NULL, false },
	/* no port of that name, none at all, or none that there is */
	{ "{\"httpGet\":{\"port\":\"htt\"}}", KUBE_PROBE_HTTP, 0, "/", NULL, NULL, false },
	{ "{\"httpGet\":{\"port\":\"\"}}", KUBE_PROBE_HTTP, 80, "/", NULL, NULL, false },
	{ "{\"httpGet\":{}}", KUBE_PROBE_HTTP, 0, "/", NULL, NULL, false },
	{ "{\"httpGet\":{\"port\":65536}}", KUBE_PROBE_HTTP, 0, "/", NULL, NULL, false },
	{ "{\"httpGet\":{\"port\":true,\"path\":7}}", KUBE_PROBE_HTTP, 0, "/", NULL, NULL, false },
};
/* clang-format on */

TEST(annotations_are_found_by_their_prefix)
{
	_cleanup_(kube_pod_free) struct kube_pod *pod = NULL;
	static const char text[] = "{\"kind\":\"Pod\",\"metadata\":{\"name\":\"a\",\"uid\":\"u\","
				   "\"annotations\":{\"doze.dev/enabled\":\"true\","
				   "\"example.com/idle-after\":\"1s\",\"doze.dev/count\":7,"
				   "\"doze.dev/idle-after\":\"5s\"}}}";
	struct kube_annotation found[2];

	assert_int_equal(kube_pod_parse(&pod, text, sizeof(text) - 1), 0);
	assert_int_equal(kube_pod_annotations(pod, "doze.dev/", found, 2), 2);
	assert_string_equal(found[0].name, "doze.dev/enabled");
	assert_string_equal(found[1].name, "doze.dev/idle-after");
	assert_string_equal(found[1].value, "5s");
	assert_int_equal(kube_pod_annotations(pod, "doze.dev/", found, 1), 2);
	assert_int_equal(kube_pod_annotations(pod, "other/", found, 2), 0);
}

TEST(every_probe_of_a_container_is_kept)
{
	_cleanup_(kube_pod_free) struct kube_pod *pod =
		parse(APP("\"livenessProbe\":{\"tcpSocket\":{\"port\":81}},"
			  "\"startupProbe\":{\"httpGet\":{\"port\":82,\"scheme\":\"HTTPS\"}}"));
	const struct kube_container *c = &pod->containers[0];
	uint16_t port = 0;

	assert_int_equal(c->readiness.kind, KUBE_PROBE_NONE);
	assert_int_equal(c->liveness.kind, KUBE_PROBE_TCP);
	assert_int_equal(kube_container_probe_port(c, &c->liveness, &port), 0);
	assert_int_equal(port, 81);
	assert_true(c->startup.kind == KUBE_PROBE_HTTP && c->startup.is_https);
	assert_int_equal(kube_container_probe_port(c, &c->readiness, &port), -ENOENT);
}

TEST(the_nodes_addresses_are_those_of_the_status)
{
	static const char one[] = "{\"kind\":\"Pod\",\"metadata\":{\"name\":\"a\",\"uid\":\"u\"},"
				  "\"status\":{\"hostIP\":\"192.0.2.7\"}}";
	static const char two[] = "{\"kind\":\"Pod\",\"metadata\":{\"name\":\"a\",\"uid\":\"u\"},"
				  "\"status\":{\"hostIP\":\"192.0.2.7\",\"hostIPs\":["
				  "{\"ip\":\"192.0.2.7\"},{\"ip\":7},{\"ip\":\"2001:db8::7\"}]}}";
	_cleanup_(kube_pod_free) struct kube_pod *old = NULL, *new = NULL;

	assert_int_equal(kube_pod_parse(&old, one, sizeof(one) - 1), 0);
	assert_int_equal(old->host_ips_len, 1);
	assert_string_equal(old->host_ips[0], "192.0.2.7");
	assert_int_equal(kube_pod_parse(&new, two, sizeof(two) - 1), 0);
	assert_int_equal(new->host_ips_len, 2);
	assert_string_equal(new->host_ips[1], "2001:db8::7");
}

TEST(every_kind_of_probe_is_understood)
{
	for (size_t i = 0; i < ARRAY_LEN(probes); i++) {
		const struct probe_row *row = &probes[i];
		_cleanup_(kube_pod_free) struct kube_pod *pod = NULL;
		const struct kube_container *c;
		uint16_t port = 0;
		char text[1024];

		print_message("  %s\n", row->probe);
		snprintf(text, sizeof(text),
			 APP("\"readinessProbe\":%s,\"ports\":[{\"containerPort\":80},"
			     "{\"containerPort\":8080,\"name\":\"http\"},"
			     "{\"containerPort\":9000,\"name\":\"admin\"}]"),
			 row->probe);
		pod = parse(text);
		c = &pod->containers[0];
		assert_int_equal(c->readiness.kind, row->kind);
		assert_text(c->readiness.path, row->path);
		assert_text(c->readiness.host, row->host);
		assert_text(c->readiness.service, row->service);
		assert_int_equal(c->readiness.is_https, row->is_https);
		assert_int_equal(kube_container_probe_port(c, &c->readiness, &port),
				 row->port ? 0 : -ENOENT);
		assert_int_equal(port, row->port);
	}
}

TEST(headers_of_a_probe_are_kept_in_order)
{
	_cleanup_(kube_pod_free) struct kube_pod *pod =
		parse(APP("\"readinessProbe\":{\"httpGet\":{\"port\":80,\"httpHeaders\":["
			  "{\"name\":\"X-A\",\"value\":\"1\"},{\"value\":\"nameless\"},"
			  "{\"name\":\"X-B\"},{\"name\":\"X-A\",\"value\":\"2\"}]}}"));
	const struct kube_probe *p = &pod->containers[0].readiness;

	assert_int_equal(p->headers_len, 3);
	assert_string_equal(p->headers[0].name, "X-A");
	assert_string_equal(p->headers[0].value, "1");
	assert_string_equal(p->headers[1].name, "X-B");
	assert_string_equal(p->headers[1].value, "");
	assert_string_equal(p->headers[2].value, "2");
	assert_null(kube_container_probe_agent(p));
	assert_int_equal(p->timeout_s, 1);
}

TEST(the_user_agent_of_a_probe_is_that_of_its_headers)
{
	_cleanup_(kube_pod_free) struct kube_pod *pod =
		parse(APP("\"livenessProbe\":{\"timeoutSeconds\":10,\"httpGet\":{\"httpHeaders\":["
			  "{\"name\":\"X-User-Agent\",\"value\":\"no\"},"
			  "{\"name\":\"user-agent\",\"value\":\"my-check/1.0\"}]}}"));
	const struct kube_probe *p = &pod->containers[0].liveness;

	assert_string_equal(kube_container_probe_agent(p), "my-check/1.0");
	assert_int_equal(p->timeout_s, 10);
}

TEST(a_timeout_that_is_none_is_the_default)
{
	static const char *const timeouts[] = { "0", "-1", "1e9", "\"5\"", "null" };
	char text[300];

	for (size_t i = 0; i < ARRAY_LEN(timeouts); i++) {
		_cleanup_(kube_pod_free) struct kube_pod *pod = NULL;

		snprintf(text, sizeof(text),
			 APP("\"startupProbe\":{\"timeoutSeconds\":%s,\"grpc\":{\"port\":80}}"),
			 timeouts[i]);
		pod = parse(text);
		assert_int_equal(pod->containers[0].startup.timeout_s, 1);
	}
}

/* clang-format off */
static const struct {
	const char *resources;
	int64_t request, limit;
} resources[] = {
	{ "{}", -1, -1 },
	{ "{\"requests\":{\"cpu\":\"250m\"},\"limits\":{\"cpu\":\"1\"}}", 250, 1000 },
	{ "{\"limits\":{\"cpu\":\"1500m\"}}", -1, 1500 },
	{ "{\"requests\":{\"memory\":\"64Mi\"},\"limits\":{\"memory\":\"64Mi\"}}", -1, -1 },
	/* a limit of 0 is none */
	{ "{\"requests\":{\"cpu\":\"0\"},\"limits\":{\"cpu\":\"0\"}}", 0, -1 },
	{ "{\"requests\":{\"cpu\":\"100u\"},\"limits\":{\"cpu\":\"0.0101\"}}", 1, 11 },
	{ "{\"requests\":{\"cpu\":1},\"limits\":{\"cpu\":\"much\"}}", -1, -1 },
	{ "{\"requests\":\"1\",\"limits\":[\"1\"]}", -1, -1 },
	{ "null", -1, -1 },
};
/* clang-format on */

TEST(cpu_that_is_not_given_is_none)
{
	for (size_t i = 0; i < ARRAY_LEN(resources); i++) {
		_cleanup_(kube_pod_free) struct kube_pod *pod = NULL;
		char text[512];

		print_message("  %s\n", resources[i].resources);
		snprintf(text, sizeof(text), APP("\"resources\":%s"), resources[i].resources);
		pod = parse(text);
		assert_cpu(&pod->containers[0].spec, resources[i].request, resources[i].limit);
		assert_cpu(&pod->containers[0].actual, -1, -1);
		assert_int_equal(pod->containers[0].allocated_millicpu, -1);
	}
}

#define CONDITIONS(list)   "{\"conditions\":[" list "]}"
#define PENDING(is, more)  "{\"type\":\"PodResizePending\",\"status\":" is more "}"
#define PROGRESS(is, more) "{\"type\":\"PodResizeInProgress\",\"status\":" is more "}"
#define TRUE		   "\"True\""
#define FALSE		   "\"False\""
#define REASON(reason)	   ",\"reason\":\"" reason "\""
#define MESSAGE(text)	   ",\"message\":\"" text "\""

/* clang-format off */
static const struct {
	const char *status;
	const char *pending, *message, *error;
} conditions[] = {
	{ "{}", NULL, NULL, NULL },
	{ CONDITIONS(PENDING(TRUE, REASON("Deferred") MESSAGE("full"))), "Deferred", "full", NULL },
	{ CONDITIONS(PENDING(TRUE, REASON("Infeasible") MESSAGE("no"))), "Infeasible", "no", NULL },
	{ CONDITIONS(PENDING(TRUE, "")), "", "", NULL },
	{ CONDITIONS(PENDING(FALSE, REASON("Deferred"))), NULL, NULL, NULL },
	{ CONDITIONS(PENDING("true", REASON("Deferred"))), NULL, NULL, NULL },
	{ CONDITIONS(PROGRESS(TRUE, "")), NULL, NULL, NULL },
	{ CONDITIONS(PROGRESS(TRUE, REASON("Error") MESSAGE("no"))), NULL, NULL, "no" },
	{ CONDITIONS(PROGRESS(TRUE, REASON("Error"))), NULL, NULL, "" },
	{ CONDITIONS(PROGRESS(FALSE, REASON("Error"))), NULL, NULL, NULL },
	{ CONDITIONS(PROGRESS(TRUE, REASON("Error") MESSAGE("no")) ","
		     PENDING(TRUE, REASON("Deferred") MESSAGE("full"))), "Deferred", "full", "no" },
	{ CONDITIONS("{\"type\":\"Ready\",\"status\":" TRUE REASON("Error") "},null,7"),
	  NULL, NULL, NULL },
	/* before 1.33 */
	{ "{\"resize\":\"Deferred\"}", "Deferred", "", NULL },
	{ "{\"resize\":\"Infeasible\"}", "Infeasible", "", NULL },
	{ "{\"resize\":\"InProgress\"}", NULL, NULL, NULL },
	{ "{\"resize\":\"Proposed\"}", NULL, NULL, NULL },
	{ "{\"resize\":7}", NULL, NULL, NULL },
};
/* clang-format on */

TEST(a_resize_that_waits_or_fails_says_so)
{
	for (size_t i = 0; i < ARRAY_LEN(conditions); i++) {
		_cleanup_(kube_pod_free) struct kube_pod *pod = NULL;
		char text[1024];

		print_message("  %s\n", conditions[i].status);
		snprintf(text, sizeof(text), "{" META ",\"status\":%s}", conditions[i].status);
		pod = parse(text);
		assert_text(pod->pending_reason, conditions[i].pending);
		assert_text(pod->pending_message, conditions[i].message);
		assert_text(pod->error_message, conditions[i].error);
	}
}

/* clang-format off */
static const struct {
	const char *policy;
	bool restarts;
} policies[] = {
	{ "[]", false },
	{ "[{\"resourceName\":\"cpu\",\"restartPolicy\":\"NotRequired\"}]", false },
	{ "[{\"resourceName\":\"memory\",\"restartPolicy\":\"RestartContainer\"}]", false },
	{ "[{\"resourceName\":\"memory\",\"restartPolicy\":\"RestartContainer\"},"
	  "{\"resourceName\":\"cpu\",\"restartPolicy\":\"RestartContainer\"}]", true },
	{ "[{\"resourceName\":\"cpu\"},null]", false },
	{ "\"RestartContainer\"", false },
};
/* clang-format on */

TEST(only_the_policy_for_cpu_counts)
{
	for (size_t i = 0; i < ARRAY_LEN(policies); i++) {
		_cleanup_(kube_pod_free) struct kube_pod *pod = NULL;
		char text[512];

		print_message("  %s\n", policies[i].policy);
		snprintf(text, sizeof(text), APP("\"resizePolicy\":%s"), policies[i].policy);
		pod = parse(text);
		assert_int_equal(pod->containers[0].restarts_on_resize, policies[i].restarts);
	}
}

TEST(metadata_tells_of_the_end_and_of_the_full_size)
{
	_cleanup_(kube_pod_free) struct kube_pod *pod = parse(
		"{\"kind\":\"Pod\",\"metadata\":{\"name\":\"web-0\",\"namespace\":\"shop\","
		"\"uid\":\"U\",\"generation\":1234567890123,"
		"\"deletionTimestamp\":\"2026-01-01T00:00:00Z\","
		"\"annotations\":{\"doze.dev/full\":\"{\\\"app\\\":{\\\"limit\\\":"
		"\\\"1\\\"}}\",\"doze.dev/fuller\":\"x\"}}}");

	assert_true(pod->is_terminating);
	assert_int_equal(pod->generation, 1234567890123);
	assert_string_equal(pod->recorded_full, "{\"app\":{\"limit\":\"1\"}}");
}

TEST(what_is_absent_reads_as_absent)
{
	_cleanup_(kube_pod_free) struct kube_pod *pod = parse("{" META "}");
	_cleanup_(kube_pod_free) struct kube_pod *bare = parse(APP("\"x\":0"));
	const struct kube_container *c = &bare->containers[0];

	assert_string_equal(pod->namespace, "");
	assert_int_equal(pod->generation, 0);
	assert_int_equal(pod->observed_generation, 0);
	assert_int_equal(pod->qos, KUBE_QOS_BEST_EFFORT);
	assert_false(pod->is_terminating);
	assert_null(pod->pending_reason);
	assert_null(pod->error_message);
	assert_null(pod->recorded_full);
	assert_int_equal(pod->containers_len, 0);

	assert_int_equal(bare->containers_len, 1);
	assert_cpu(&c->spec, KUBE_CPU_NONE, KUBE_CPU_NONE);
	assert_int_equal(c->ports_len, 0);
	assert_int_equal(c->readiness.kind, KUBE_PROBE_NONE);
	assert_string_equal(c->container_id, "");
	assert_false(c->is_started || c->is_ready);
}

/* An object that would pass for a list of whatever is looked for. */
#define IMPOSTOR                                                                                   \
	"{\"x\":{\"name\":\"app\",\"containerPort\":80,\"resourceName\":\"cpu\","                  \
	"\"restartPolicy\":\"RestartContainer\"}}"

/* Whatever has another type than the API says; %s is put in each of its places. */
static const char *const wrong_types[] = {
	"null", "true", "7", "-1e300", "\"x\"", "[]", "{}", "[7]", "[[]]", IMPOSTOR,
};

#define META_AND(more) "{\"kind\":\"Pod\",\"metadata\":{\"name\":\"web-0\",\"uid\":\"U\"," more "}}"

static const char *const wrong_places[] = {
	"{" META ",\"spec\":%s,\"status\":{}}",
	"{" META ",\"spec\":{},\"status\":%s}",
	"{" META ",\"spec\":{\"containers\":%s}}",
	"{" META ",\"spec\":{\"initContainers\":%s}}",
	"{" META ",\"status\":{\"conditions\":%s}}",
	"{" META ",\"status\":{\"qosClass\":%s,\"resize\":7,\"observedGeneration\":\"1\"}}",
	"{\"kind\":\"Pod\",\"metadata\":{\"name\":\"web-0\",\"uid\":\"U\",\"annotations\":%s}}",
	META_AND("\"generation\":-1e300,\"x\":%s"),
	META_AND("\"generation\":\"7\",\"x\":%s"),
};

TEST(what_has_another_type_reads_as_absent)
{
	for (size_t i = 0; i < ARRAY_LEN(wrong_places); i++) {
		for (size_t j = 0; j < ARRAY_LEN(wrong_types); j++) {
			_cleanup_(kube_pod_free) struct kube_pod *pod = NULL;
			char text[512];

			snprintf(text, sizeof(text), wrong_places[i], wrong_types[j]);
			pod = parse(text);
			if (pod->containers_len || pod->pending_reason || pod->recorded_full ||
			    pod->generation || pod->observed_generation)
				fail_msg("something is read of: %s", text);
		}
	}
}

static const char *const wrong_containers[] = {
	"\"ports\":%s",	    "\"readinessProbe\":%s",	   "\"resizePolicy\":%s",
	"\"resources\":%s", "\"startupProbe\":7,\"x\":%s", "\"readinessProbe\":{\"httpGet\":%s}",
};

TEST(a_container_with_fields_of_another_type_is_still_one)
{
	for (size_t i = 0; i < ARRAY_LEN(wrong_containers); i++) {
		for (size_t j = 0; j < ARRAY_LEN(wrong_types); j++) {
			_cleanup_(kube_pod_free) struct kube_pod *pod = NULL;
			const struct kube_container *c;
			char field[256], text[512];

			snprintf(field, sizeof(field), wrong_containers[i], wrong_types[j]);
			snprintf(text, sizeof(text), APP("%s"), field);
			pod = parse(text);
			c = kube_pod_find(pod, "app");
			assert_non_null(c);
			if (c->ports_len || c->restarts_on_resize ||
			    c->startup.kind != KUBE_PROBE_NONE || c->readiness.port ||
			    c->readiness.headers_len || c->spec.limit_millicpu != KUBE_CPU_NONE)
				fail_msg("something is read of: %s", text);
		}
	}
}

static const char *const no_pods[] = {
	"",
	"null",
	"7",
	"[]",
	"{}",
	"Too many requests, please try again later.\n",
	"{\"kind\":\"Pod\"}",
	"{\"kind\":\"Pod\",\"metadata\":{\"name\":\"web-0\"}}",
	"{\"kind\":\"Pod\",\"metadata\":{\"uid\":\"U\"}}",
	"{\"kind\":\"Pod\",\"metadata\":{\"name\":\"\",\"uid\":\"U\"}}",
	"{\"kind\":\"Pod\",\"metadata\":{\"name\":\"web-0\",\"uid\":\"\"}}",
	"{\"kind\":\"Pod\",\"metadata\":{\"name\":\"web-0\",\"uid\":7}}",
	"{\"kind\":\"Pod\",\"metadata\":[\"web-0\"]}",
	"{\"metadata\":{\"name\":\"web-0\",\"uid\":\"U\"}}",
	/* Names that are none of Kubernetes: parts of a path, of a URL, of the log. */
	"{\"kind\":\"Pod\",\"metadata\":{\"name\":\"web/0\",\"uid\":\"U\"}}",
	"{\"kind\":\"Pod\",\"metadata\":{\"name\":\"web-0?x=1\",\"uid\":\"U\"}}",
	"{\"kind\":\"Pod\",\"metadata\":{\"name\":\"a\\nlevel=info\",\"uid\":\"U\"}}",
	"{\"kind\":\"Pod\",\"metadata\":{\"name\":\"\\u001b[2J\",\"uid\":\"U\"}}",
	"{\"kind\":\"Pod\",\"metadata\":{\"name\":\"web-0\",\"uid\":\"../../etc/cron.d/x\"}}",
	"{\"kind\":\"Pod\",\"metadata\":{\"name\":\"web-0\",\"namespace\":\"a b\",\"uid\":\"U\"}}",
	"{\"kind\":\"PodList\",\"metadata\":{\"name\":\"web-0\",\"uid\":\"U\"}}",
	"{\"kind\":\"Status\",\"metadata\":{\"name\":\"web-0\",\"uid\":\"U\"}}",
	"{\"KIND\":\"Pod\",\"metadata\":{\"name\":\"web-0\",\"uid\":\"U\"}}",
};

TEST(what_is_no_pod_is_refused)
{
	struct kube_pod *untouched = (struct kube_pod *)&no_pods;

	for (size_t i = 0; i < ARRAY_LEN(no_pods); i++) {
		struct kube_pod *pod = untouched;
		int r = kube_pod_parse(&pod, no_pods[i], strlen(no_pods[i]));

		if (r != -EINVAL || pod != untouched)
			fail_msg("%d for: %s", r, no_pods[i]);
	}
}

TEST(a_container_whose_name_is_none_is_left_out)
{
	static const char text[] =
		"{\"kind\":\"Pod\",\"metadata\":{\"name\":\"web-0\",\"uid\":\"U\"},\"spec\":{"
		"\"containers\":[{\"name\":\"a\\nb\"},{\"name\":\"../x\"},{\"name\":\"app\"}]}}";
	_cleanup_(kube_pod_free) struct kube_pod *pod = NULL;

	assert_int_equal(kube_pod_parse(&pod, text, strlen(text)), 0);
	assert_int_equal(pod->containers_len, 1);
	assert_string_equal(pod->containers[0].name, "app");
}

TEST(a_pod_cut_at_any_byte_is_refused)
{
	static const char *const files[] = { "burstable-error", "guaranteed-asleep-granted" };

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		_cleanup_(freep) char *text = read_recorded(files[i]);
		size_t whole_len = strcspn(text, "\n");

		for (size_t len = 0; len < whole_len; len++) {
			/* Of just that length, so that each read beyond it is seen. */
			_cleanup_(freep) char *cut = strndup(text, len);
			struct kube_pod *pod = NULL;
			int r = kube_pod_parse(&pod, cut, len);

			if (r != -EINVAL || pod)
				fail_msg("%s cut after %zu bytes: %d", files[i], len, r);
		}
	}
}

/* As many containers as the API allows in no pod that we have ever seen. */
static char *many_containers(size_t count)
{
	size_t room = 256 + count * 32, len;
	char *text = malloc(room);

	assert_non_null(text);
	len = (size_t)snprintf(text, room, "{" META ",\"spec\":{\"containers\":[");
	for (size_t i = 0; i < count; i++)
		len += (size_t)snprintf(text + len, room - len, "%s{\"name\":\"c%zu\"}",
					i ? "," : "", i);
	snprintf(text + len, room - len, "]}}");
	return text;
}

TEST(a_container_too_many_is_refused_rather_than_forgotten)
{
	_cleanup_(freep) char *all = many_containers(KUBE_CONTAINERS_MAX);
	_cleanup_(freep) char *more = many_containers(KUBE_CONTAINERS_MAX + 1);
	_cleanup_(kube_pod_free) struct kube_pod *pod = parse(all);
	struct kube_pod *none = NULL;

	assert_int_equal(pod->containers_len, KUBE_CONTAINERS_MAX);
	assert_int_equal(kube_pod_parse(&none, more, strlen(more)), -E2BIG);
	assert_null(none);
}

TEST(ports_and_headers_beyond_the_last_are_left_out)
{
	_cleanup_(kube_pod_free) struct kube_pod *pod = NULL;
	char ports[4096] = "", headers[4096] = "", text[10000];

	for (int i = 1; i <= KUBE_PORTS_MAX + 1; i++)
		sprintf(ports + strlen(ports), "%s{\"containerPort\":%d}", i > 1 ? "," : "", i);
	for (int i = 0; i <= KUBE_HEADERS_MAX; i++)
		sprintf(headers + strlen(headers), "%s{\"name\":\"X-%d\"}", i ? "," : "", i);
	snprintf(text, sizeof(text),
		 APP("\"ports\":[%s],\"readinessProbe\":{\"httpGet\":{\"httpHeaders\":[%s]}}"),
		 ports, headers);
	pod = parse(text);
	assert_int_equal(pod->containers[0].ports_len, KUBE_PORTS_MAX);
	assert_int_equal(pod->containers[0].readiness.headers_len, KUBE_HEADERS_MAX);
}

TEST(freeing_none_does_nothing)
{
	struct kube_pod *pod = NULL;

	kube_pod_free(&pod);
	pod = parse("{" META "}");
	kube_pod_free(&pod);
	assert_null(pod);
}
