// SPDX-License-Identifier: MIT
/* Copies a JSON tree, but for what nobody reads. */
#include "kube/kept_pod.h"

#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "kube/kube_json.h"

#define KEPT_POD_VERSION 1

/* The members that kube_pod.c and kube_container.c read, wherever in the tree they are. */
static const char *const kept_pod_members[] = {
	"kind",
	"metadata",
	"name",
	"namespace",
	"uid",
	"generation",
	/* spec */
	"spec",
	"priority",
	"hostNetwork",
	"initContainers",
	"containers",
	"restartPolicy",
	"resizePolicy",
	"resourceName",
	"resources",
	"requests",
	"limits",
	"cpu",
	"ports",
	"containerPort",
	"protocol",
	"readinessProbe",
	"livenessProbe",
	"startupProbe",
	"timeoutSeconds",
	"httpGet",
	"path",
	"port",
	"scheme",
	"host",
	"httpHeaders",
	"value",
	"tcpSocket",
	"grpc",
	"service",
	"exec",
	/* status */
	"status",
	"phase",
	"observedGeneration",
	"qosClass",
	"hostIPs",
	"hostIP",
	"podIPs",
	"podIP",
	"ip",
	"conditions",
	"type",
	"initContainerStatuses",
	"containerStatuses",
	"containerID",
	"restartCount",
	"started",
	"ready",
	"allocatedResources",
};

static bool kept_pod_is_member(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(kept_pod_members); i++) {
		if (strcmp(kept_pod_members[i], name) == 0)
			return true;
	}
	return false;
}

static bool kept_pod_add(cJSON *to, const char *name, cJSON *item)
{
	if (item && (name ? cJSON_AddItemToObject(to, name, item) : cJSON_AddItemToArray(to, item)))
		return true;
	cJSON_Delete(item);
	return false;
}

static cJSON *kept_pod_copy_annotations(const cJSON *annotations, const char *prefix)
{
	_cleanup_(kube_json_free) cJSON *copy = cJSON_CreateObject();
	const cJSON *item;

	cJSON_ArrayForEach(item, annotations)
	{
		if (item->string && strncmp(item->string, prefix, strlen(prefix)) == 0 &&
		    !kept_pod_add(copy, item->string, cJSON_Duplicate(item, true)))
			return NULL;
	}
	return TAKE_PTR(copy);
}

/* NULL: no memory. cJSON has bounded the depth when it parsed the tree. */
static cJSON *kept_pod_copy(const cJSON *from, const char *prefix)
{
	_cleanup_(kube_json_free) cJSON *copy = cJSON_Duplicate(from, false);
	const cJSON *item;

	cJSON_ArrayForEach(item, from)
	{
		bool is_annotations = item->string && strcmp(item->string, "annotations") == 0;

		if (item->string && !is_annotations && !kept_pod_is_member(item->string))
			continue;
		if (!kept_pod_add(copy, item->string,
				  is_annotations ? kept_pod_copy_annotations(item, prefix)
						 : kept_pod_copy(item, prefix)))
			return NULL;
	}
	return TAKE_PTR(copy);
}

char *kept_pod_format(const struct kube_pod *pod, const char *prefix)
{
	_cleanup_(kube_json_free) cJSON *root = cJSON_CreateObject();

	if (!cJSON_AddNumberToObject(root, "version", KEPT_POD_VERSION) ||
	    !kept_pod_add(root, "pod", kept_pod_copy(pod->json, prefix)))
		return NULL;
	return cJSON_PrintUnformatted(root);
}

int kept_pod_parse(struct kube_pod **out, const char *text, const char *uid)
{
	_cleanup_(kube_json_free) cJSON *root = kube_json_parse(text, strlen(text));
	_cleanup_(kube_pod_free) struct kube_pod *pod = NULL;
	int r;

	if (kube_json_number(root, "version") != KEPT_POD_VERSION)
		return -EINVAL;
	r = kube_pod_take(&pod, cJSON_DetachItemFromObjectCaseSensitive(root, "pod"));
	if (r < 0)
		return r == -ENOMEM ? r : -EINVAL;
	if (strcmp(pod->uid, uid) != 0)
		return -EINVAL;
	pod->is_kept = true;
	*out = TAKE_PTR(pod);
	return 0;
}
