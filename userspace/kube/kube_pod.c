// SPDX-License-Identifier: MIT
/* Walks the JSON tree once; every string of the result belongs to the tree. */
#include "kube/kube_pod.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "kube/kube_json.h"

/*
 * Names become parts of paths, of URLs and of the log. Kubernetes lets no other characters into
 * them, and neither do we, whatever a server says.
 */
static bool kube_pod_is_name(const char *text)
{
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.";

	return text[strspn(text, allowed)] == '\0';
}

/* One without a name cannot be resized: no patch can say which one is meant. */
static bool kube_pod_is_wanted(const cJSON *container, bool is_sidecar)
{
	const char *name = kube_json_text(container, "name", "");

	if (!*name || !kube_pod_is_name(name))
		return false;
	return !is_sidecar || strcmp(kube_json_text(container, "restartPolicy", ""), "Always") == 0;
}

static int kube_pod_take_containers(struct kube_pod *pod, const cJSON *containers, bool is_sidecar)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, containers)
	{
		if (!kube_pod_is_wanted(item, is_sidecar))
			continue;
		if (pod->containers_len == KUBE_CONTAINERS_MAX)
			return -E2BIG;
		kube_container_read(&pod->containers[pod->containers_len++], item, is_sidecar);
	}
	return 0;
}

static void kube_pod_take_statuses(struct kube_pod *pod, const cJSON *statuses)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, statuses)
	{
		const char *name = kube_json_text(item, "name", "");
		struct kube_container *c = (struct kube_container *)kube_pod_find(pod, name);

		if (c)
			kube_container_read_status(c, item);
	}
}

/* 1.33 and newer tell by conditions; before, by the string status.resize. */
static void kube_pod_take_conditions(struct kube_pod *pod, const cJSON *status)
{
	const char *resize = kube_json_text(status, "resize", "");
	const cJSON *item;

	if (strcmp(resize, "Deferred") == 0 || strcmp(resize, "Infeasible") == 0) {
		pod->pending_reason = resize;
		pod->pending_message = "";
	}
	cJSON_ArrayForEach(item, kube_json_list(status, "conditions"))
	{
		const char *type = kube_json_text(item, "type", "");
		const char *reason = kube_json_text(item, "reason", "");

		if (strcmp(kube_json_text(item, "status", ""), "True") != 0)
			continue;
		if (strcmp(type, "Ready") == 0) {
			pod->is_ready = true;
		} else if (strcmp(type, "PodResizePending") == 0) {
			pod->pending_reason = reason;
			pod->pending_message = kube_json_text(item, "message", "");
		} else if (strcmp(type, "PodResizeInProgress") == 0 &&
			   strcmp(reason, "Error") == 0) {
			pod->error_message = kube_json_text(item, "message", "");
		}
	}
}

/* A list of addresses, or the one address that there was before the list. */
static size_t kube_pod_take_ips(const cJSON *status, const char *list, const char *one,
				const char **out, size_t max)
{
	const char *only = kube_json_text(status, one, NULL);
	const cJSON *item;
	size_t len = 0;

	cJSON_ArrayForEach(item, kube_json_list(status, list))
	{
		const char *ip = kube_json_text(item, "ip", NULL);

		if (ip && len < max)
			out[len++] = ip;
	}
	if (!len && only)
		out[len++] = only;
	return len;
}

static enum kube_qos kube_pod_qos(const cJSON *status)
{
	const char *qos = kube_json_text(status, "qosClass", "");

	if (strcmp(qos, "Guaranteed") == 0)
		return KUBE_QOS_GUARANTEED;
	return strcmp(qos, "Burstable") == 0 ? KUBE_QOS_BURSTABLE : KUBE_QOS_BEST_EFFORT;
}

static int kube_pod_read(struct kube_pod *pod, const cJSON *root)
{
	const cJSON *metadata = kube_json_get(root, "metadata");
	const cJSON *spec = kube_json_get(root, "spec"), *status = kube_json_get(root, "status");
	const char *phase = kube_json_text(status, "phase", "");
	int64_t priority = kube_json_number(spec, "priority");
	int r;

	pod->name = kube_json_text(metadata, "name", "");
	pod->namespace = kube_json_text(metadata, "namespace", "");
	pod->uid = kube_json_text(metadata, "uid", "");
	/* The items of a list have no kind of their own. */
	if (strcmp(kube_json_text(root, "kind", "Pod"), "Pod") != 0 || !*pod->name || !*pod->uid)
		return -EINVAL;
	if (!kube_pod_is_name(pod->name) || !kube_pod_is_name(pod->namespace) ||
	    !kube_pod_is_name(pod->uid))
		return -EINVAL;
	pod->generation = kube_json_number(metadata, "generation");
	pod->is_terminating = kube_json_text(metadata, "deletionTimestamp", NULL) != NULL;
	pod->recorded_full = kube_json_text(kube_json_get(metadata, "annotations"), "doze.dev/full",
					    NULL);
	pod->limit_millicpu = kube_container_cpu(kube_json_get(spec, "resources")).limit_millicpu;
	pod->has_host_network = kube_json_is_true(spec, "hostNetwork");
	pod->priority = priority < INT32_MIN || priority > INT32_MAX ? 0 : (int32_t)priority;
	pod->observed_generation = kube_json_number(status, "observedGeneration");
	pod->qos = kube_pod_qos(status);
	pod->is_running = strcmp(phase, "Running") == 0;
	pod->has_ended = strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0;
	/* hostIPs since 1.30, podIPs since 1.16. */
	pod->host_ips_len = kube_pod_take_ips(status, "hostIPs", "hostIP", pod->host_ips,
					      KUBE_HOST_IPS_MAX);
	pod->pod_ips_len = kube_pod_take_ips(status, "podIPs", "podIP", pod->pod_ips,
					     KUBE_POD_IPS_MAX);
	kube_pod_take_conditions(pod, status);
	r = kube_pod_take_containers(pod, kube_json_list(spec, "initContainers"), true);
	if (r == 0)
		r = kube_pod_take_containers(pod, kube_json_list(spec, "containers"), false);
	if (r < 0)
		return r;
	kube_pod_take_statuses(pod, kube_json_list(status, "initContainerStatuses"));
	kube_pod_take_statuses(pod, kube_json_list(status, "containerStatuses"));
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
	r = kube_pod_read(pod, json);
	if (r < 0)
		return r;
	*out = TAKE_PTR(pod);
	return 0;
}

int kube_pod_parse(struct kube_pod **out, const char *text, size_t len)
{
	cJSON *json = cJSON_ParseWithLength(text, len);

	/* An object alone says what it is. */
	if (!json || !kube_json_get(json, "kind")) {
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
	const cJSON *annotations = kube_json_get(kube_json_get(pod->json, "metadata"),
						 "annotations");
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
