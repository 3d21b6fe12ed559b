// SPDX-License-Identifier: MIT
/* Plans, patches and compares sizes; JSON by cJSON. */
#include "backend/kube_size.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/quantity.h"
#include "base/util.h"
#include "kube/kube_json.h"

#define KUBE_SIZE_ASLEEP_REQUEST_MILLICPU 1
#define KUBE_SIZE_ASLEEP_STEP_MILLICPU	  10 /* every asleep size is a multiple */

#define KUBE_SIZE_STATE_VERSION 1

bool kube_size_is_proxy(const char *name)
{
	static const char *const names[] = {
		"istio-proxy",	       "linkerd-proxy",	 "kuma-sidecar",
		"consul-dataplane",    "envoy",		 "envoy-sidecar",
		"cloud-sql-proxy",     "cloudsql-proxy", "alloydb-auth-proxy",
		"csql-proxy",	       "vault-agent",	 "daprd",
		"gke-gcsfuse-sidecar", "queue-proxy",
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strcmp(names[i], name) == 0)
			return true;
	}
	return false;
}

bool kube_size_is_chosen(const struct kube_size_choice *choice, const struct kube_container *c)
{
	for (size_t i = 0; i < choice->names_len; i++) {
		if (strcmp(choice->names[i], c->name) == 0)
			return true;
	}
	return !choice->names_len && !c->is_sidecar && !kube_size_is_proxy(c->name) &&
	       !(choice->own_name && strcmp(c->name, choice->own_name) == 0);
}

static bool kube_size_has_exec_probe(const struct kube_container *c)
{
	return c->readiness.kind == KUBE_PROBE_EXEC || c->liveness.kind == KUBE_PROBE_EXEC ||
	       c->startup.kind == KUBE_PROBE_EXEC;
}

uint32_t kube_size_asleep_millicpu(const struct kube_pod *pod,
				   const struct kube_size_choice *choice)
{
	for (size_t i = 0; i < pod->containers_len; i++) {
		const struct kube_container *c = &pod->containers[i];

		if (kube_size_is_chosen(choice, c) && kube_size_has_exec_probe(c) &&
		    choice->asleep_millicpu < KUBE_SIZE_EXEC_MILLICPU)
			return KUBE_SIZE_EXEC_MILLICPU;
	}
	return choice->asleep_millicpu;
}

static struct kube_cpu kube_size_asleep(const struct kube_pod *pod, const struct kube_container *c,
					int64_t asleep_millicpu)
{
	struct kube_cpu asleep = { KUBE_SIZE_ASLEEP_REQUEST_MILLICPU, asleep_millicpu };

	if (pod->qos == KUBE_QOS_GUARANTEED)
		asleep.request_millicpu = asleep_millicpu;
	/* A request that was never there is not added: it could not be taken away again. */
	else if (c->spec.request_millicpu == KUBE_CPU_NONE)
		asleep.request_millicpu = KUBE_CPU_NONE;
	else if (c->spec.request_millicpu == 0)
		asleep.request_millicpu = 0;
	return asleep;
}

const struct kube_size *kube_size_find(const struct kube_sizes *sizes, const char *name)
{
	for (size_t i = 0; sizes && i < sizes->len; i++) {
		if (strcmp(sizes->sizes[i].name, name) == 0)
			return &sizes->sizes[i];
	}
	return NULL;
}

int64_t kube_size_full_limit(const struct kube_sizes *sizes, const struct kube_container *c)
{
	const struct kube_size *size = kube_size_find(sizes, c->name);

	return size ? size->full.limit_millicpu : c->spec.limit_millicpu;
}

bool kube_size_is_full_known(const struct kube_sizes *sizes, const char *name)
{
	const struct kube_size *size = kube_size_find(sizes, name);

	return !size || !size->is_recorded;
}

int64_t kube_size_full_pod_limit(const struct kube_sizes *sizes, const struct kube_pod *pod)
{
	int64_t sum = 0;

	if (pod->limit_millicpu != KUBE_CPU_NONE)
		return pod->limit_millicpu;
	for (size_t i = 0; i < pod->containers_len; i++) {
		int64_t limit = kube_size_full_limit(sizes, &pod->containers[i]);

		if (limit == KUBE_CPU_NONE)
			return KUBE_CPU_NONE;
		sum += limit;
	}
	return sum;
}

/* {"app":{"request":"250m","limit":"1"}}; a request left out is the limit, as in a manifest. */
static int kube_size_read_recorded(const char *recorded, const char *name, struct kube_cpu *out)
{
	_cleanup_(kube_json_free) cJSON *root = recorded ? cJSON_Parse(recorded) : NULL;
	const cJSON *item = kube_json_get(root, name);
	const char *request = kube_json_text(item, "request", NULL);
	const char *limit = kube_json_text(item, "limit", NULL);
	int r = -ENOENT;

	*out = (struct kube_cpu){ KUBE_CPU_NONE, KUBE_CPU_NONE };
	if (limit)
		r = quantity_parse_kube_cpu(limit, &out->limit_millicpu);
	if (r == 0)
		r = quantity_parse_kube_cpu(request ? request : limit, &out->request_millicpu);
	if (r == 0 && (out->limit_millicpu == 0 || out->request_millicpu > out->limit_millicpu))
		return -EINVAL;
	return r;
}

/* What is full for a container that sleeps already: somebody must have written it down. */
static int kube_size_recall(const struct kube_pod *pod, const struct kube_size *known,
			    struct kube_size *out)
{
	if (known) {
		out->full = known->full;
		out->is_recorded = known->is_recorded;
		return 0;
	}
	out->is_recorded = true;
	return kube_size_read_recorded(pod->recorded_full, out->name, &out->full);
}

/*
 * As an earlier doze has put it to sleep; the asleep size that is chosen now may be another. A pod
 * that was kept is as it was before that.
 */
static bool kube_size_is_known_asleep(const struct kube_pod *pod, const struct kube_container *c,
				      const struct kube_size *known)
{
	return known && (pod->is_kept || c->spec.limit_millicpu == known->asleep.limit_millicpu);
}

/* Its limit was given back, its request not yet: that request is no new full size. */
static bool kube_size_is_half_awake(const struct kube_container *c, const struct kube_size *now,
				    const struct kube_size *known)
{
	return known && c->spec.limit_millicpu == known->full.limit_millicpu &&
	       c->spec.request_millicpu == now->asleep.request_millicpu;
}

/* Why a container cannot be put to sleep, or NULL. */
static const char *kube_size_refusal(const struct kube_container *c, uint32_t asleep_millicpu)
{
	if (c->spec.limit_millicpu == KUBE_CPU_NONE)
		return "has no CPU limit, and one that is added can never be taken away again";
	if (c->restarts_on_resize)
		return "restarts when its CPU is resized (resizePolicy RestartContainer)";
	if (c->spec.limit_millicpu < asleep_millicpu)
		return "has a CPU limit below the asleep size";
	return NULL;
}

static int kube_size_plan_one(struct kube_size *out, const struct kube_pod *pod,
			      const struct kube_container *c, const struct kube_size_choice *choice,
			      const struct kube_sizes *known, char error[KUBE_SIZE_ERROR_MAX])
{
	const struct kube_size *before = kube_size_find(known, c->name);

	*out = (struct kube_size){
		.is_sidecar = c->is_sidecar,
		.full = c->spec,
		.restart_count = c->restart_count,
	};
	snprintf(out->name, sizeof(out->name), "%s", c->name);
	out->asleep = kube_size_asleep(pod, c, choice->asleep_millicpu);
	if (kube_size_is_half_awake(c, out, before)) {
		out->full = before->full; /* its limit is granted, whoever has recorded it */
		return 0;
	}
	if (kube_size_is_known_asleep(pod, c, before)) {
		out->full = before->full;
		out->is_recorded = before->is_recorded;
		out->asleep = before->asleep;
		return 0;
	}
	if (c->spec.limit_millicpu != out->asleep.limit_millicpu ||
	    kube_size_recall(pod, before, out) == 0)
		return 0;
	snprintf(
		error, KUBE_SIZE_ERROR_MAX,
		"container '%s' is asleep already, and what its full size was is not known: give the "
		"pod the annotation doze.dev/full='{\"%s\":{\"request\":\"...\",\"limit\":\"...\"}}', "
		"resize it to its full size, or delete it: its owner makes a new one, which has it",
		c->name, c->name);
	return -ENODATA;
}

static int kube_size_check_names(const struct kube_pod *pod, const struct kube_size_choice *choice,
				 char error[KUBE_SIZE_ERROR_MAX])
{
	for (size_t i = 0; i < choice->names_len && !choice->only_known; i++) {
		if (kube_pod_find(pod, choice->names[i]))
			continue;
		snprintf(error, KUBE_SIZE_ERROR_MAX,
			 "containers: the pod '%s' has no container '%s'", pod->name,
			 choice->names[i]);
		return -EINVAL;
	}
	return 0;
}

static bool kube_size_is_planned(const struct kube_pod *pod, const struct kube_container *c,
				 const struct kube_size_choice *choice,
				 const struct kube_sizes *known)
{
	const struct kube_size *before = kube_size_find(known, c->name);

	if (choice->only_known && known && known->len)
		return before != NULL;
	return kube_size_is_chosen(choice, c) || kube_size_is_known_asleep(pod, c, before);
}

static int kube_size_plan_container(struct kube_sizes *out, const struct kube_pod *pod,
				    const struct kube_container *c,
				    const struct kube_size_choice *choice,
				    const struct kube_sizes *known, char error[KUBE_SIZE_ERROR_MAX])
{
	const char *refusal = kube_size_refusal(c, choice->asleep_millicpu);
	int r;

	if (!kube_size_is_planned(pod, c, choice, known))
		return 0;
	if (refusal && !kube_size_is_known_asleep(pod, c, kube_size_find(known, c->name))) {
		snprintf(error, KUBE_SIZE_ERROR_MAX, "container '%s' %s", c->name, refusal);
		return choice->names_len && !choice->only_known ? -EINVAL : 0;
	}
	r = kube_size_plan_one(&out->sizes[out->len], pod, c, choice, known, error);
	if (r == 0)
		out->len++;
	return r;
}

int kube_size_plan(struct kube_sizes *out, const struct kube_pod *pod,
		   const struct kube_size_choice *choice, const struct kube_sizes *known,
		   char error[KUBE_SIZE_ERROR_MAX])
{
	struct kube_size_choice effective = *choice;
	int r;

	effective.asleep_millicpu = kube_size_asleep_millicpu(pod, choice);
	*out = (struct kube_sizes){ .qos = pod->qos };
	snprintf(out->pod_uid, sizeof(out->pod_uid), "%s", pod->uid);
	snprintf(error, KUBE_SIZE_ERROR_MAX, "the pod '%s' has no container to put to sleep",
		 pod->name);
	if (pod->qos == KUBE_QOS_BEST_EFFORT) {
		snprintf(error, KUBE_SIZE_ERROR_MAX,
			 "the pod '%s' is BestEffort, which Kubernetes cannot resize: give its "
			 "containers CPU requests and limits",
			 pod->name);
		return -EINVAL;
	}
	r = kube_size_check_names(pod, choice, error);
	for (size_t i = 0; i < pod->containers_len && r == 0; i++)
		r = kube_size_plan_container(out, pod, &pod->containers[i], &effective, known,
					     error);
	if (r < 0)
		return r;
	if (!out->len)
		return -EINVAL;
	*error = '\0'; /* of one that was left out */
	return 0;
}

enum kube_step kube_size_first_step(const struct kube_sizes *sizes)
{
	return sizes->qos == KUBE_QOS_GUARANTEED ? KUBE_STEP_FULL : KUBE_STEP_LIMIT;
}

static void kube_size_add_cpu(cJSON *resources, const char *list, int64_t millicpu)
{
	char text[32];

	if (millicpu == KUBE_CPU_NONE)
		return;
	snprintf(text, sizeof(text), "%" PRId64 "m", millicpu);
	cJSON_AddStringToObject(cJSON_AddObjectToObject(resources, list), "cpu", text);
}

static const struct kube_cpu *kube_size_of_step(const struct kube_size *size, enum kube_step step)
{
	return step == KUBE_STEP_ASLEEP ? &size->asleep : &size->full;
}

/* The request that a step leaves in the spec. */
static int64_t kube_size_request_of(const struct kube_size *size, enum kube_step step)
{
	return step == KUBE_STEP_FULL ? size->full.request_millicpu : size->asleep.request_millicpu;
}

static void kube_size_add_container(cJSON *spec, const struct kube_size *size, enum kube_step step)
{
	const char *list = size->is_sidecar ? "initContainers" : "containers";
	cJSON *containers = cJSON_GetObjectItem(spec, list);
	cJSON *container = cJSON_CreateObject(), *resources;

	if (!containers)
		containers = cJSON_AddArrayToObject(spec, list);
	cJSON_AddItemToArray(containers, container);
	cJSON_AddStringToObject(container, "name", size->name);
	resources = cJSON_AddObjectToObject(container, "resources");
	kube_size_add_cpu(resources, "requests", kube_size_request_of(size, step));
	kube_size_add_cpu(resources, "limits", kube_size_of_step(size, step)->limit_millicpu);
}

char *kube_size_patch(const struct kube_sizes *sizes, enum kube_step step)
{
	cJSON *root = cJSON_CreateObject();
	cJSON *metadata = cJSON_AddObjectToObject(root, "metadata");
	cJSON *spec = cJSON_AddObjectToObject(root, "spec");
	char *text;

	cJSON_AddStringToObject(metadata, "uid", sizes->pod_uid);
	for (size_t i = 0; i < sizes->len; i++)
		kube_size_add_container(spec, &sizes->sizes[i], step);
	text = cJSON_PrintUnformatted(root);
	cJSON_Delete(root);
	return text;
}

bool kube_size_is_asked(const struct kube_sizes *sizes, const struct kube_pod *pod,
			enum kube_step step)
{
	for (size_t i = 0; i < sizes->len; i++) {
		const struct kube_container *c = kube_pod_find(pod, sizes->sizes[i].name);

		if (!c ||
		    c->spec.limit_millicpu !=
			    kube_size_of_step(&sizes->sizes[i], step)->limit_millicpu ||
		    c->spec.request_millicpu != kube_size_request_of(&sizes->sizes[i], step))
			return false;
	}
	return true;
}

bool kube_size_is_observed(const struct kube_pod *pod)
{
	return !pod->observed_generation || pod->observed_generation >= pod->generation;
}

/*
 * By what is allocated. A server that does not report it: when the kubelet has seen the request and
 * has not put it off; if it does not report that either, when it has done it.
 */
static bool kube_size_is_one_granted(const struct kube_pod *pod, const struct kube_container *c,
				     const struct kube_size *size, enum kube_step step)
{
	if (c->allocated_millicpu != KUBE_CPU_NONE)
		return c->allocated_millicpu == kube_size_request_of(size, step);
	return pod->observed_generation ||
	       c->actual.limit_millicpu == kube_size_of_step(size, step)->limit_millicpu;
}

bool kube_size_is_granted(const struct kube_sizes *sizes, const struct kube_pod *pod,
			  enum kube_step step)
{
	if (pod->pending_reason || !kube_size_is_observed(pod))
		return false;
	for (size_t i = 0; i < sizes->len; i++) {
		const struct kube_container *c = kube_pod_find(pod, sizes->sizes[i].name);

		if (!c || !kube_size_is_one_granted(pod, c, &sizes->sizes[i], step))
			return false;
	}
	return true;
}

/*
 * The kubelet echoes a limit of up to 10m and a request of up to 2m as allocated, since the
 * runtime cannot tell them apart (pkg/kubelet/kubelet_pods.go); of what is actual the limit alone
 * is compared.
 */
bool kube_size_is_actuated(const struct kube_sizes *sizes, const struct kube_pod *pod,
			   enum kube_step step)
{
	if (pod->error_message || !kube_size_is_granted(sizes, pod, step))
		return false;
	for (size_t i = 0; i < sizes->len; i++) {
		const struct kube_container *c = kube_pod_find(pod, sizes->sizes[i].name);

		if (!c || c->actual.limit_millicpu !=
				  kube_size_of_step(&sizes->sizes[i], step)->limit_millicpu)
			return false;
	}
	return true;
}

static bool kube_size_is_other(int64_t millicpu, int64_t spec_millicpu)
{
	return millicpu != KUBE_CPU_NONE && millicpu != spec_millicpu;
}

bool kube_size_is_moving(const struct kube_sizes *sizes, const struct kube_pod *pod)
{
	if (!kube_size_is_observed(pod))
		return true;
	for (size_t i = 0; i < sizes->len && !pod->pending_reason; i++) {
		const struct kube_container *c = kube_pod_find(pod, sizes->sizes[i].name);

		if (!c)
			continue;
		if (kube_size_is_other(c->allocated_millicpu, c->spec.request_millicpu) ||
		    kube_size_is_other(c->actual.limit_millicpu, c->spec.limit_millicpu))
			return true;
	}
	return false;
}

bool kube_size_is_settled(const struct kube_sizes *sizes, const struct kube_pod *pod)
{
	if (kube_size_is_moving(sizes, pod))
		return false;
	for (size_t i = 0; i < sizes->len; i++) {
		const struct kube_container *c = kube_pod_find(pod, sizes->sizes[i].name);

		if (!c || !c->is_started || !c->is_ready)
			return false;
	}
	return true;
}

bool kube_size_has_restarted(const struct kube_sizes *sizes, const struct kube_pod *pod)
{
	for (size_t i = 0; i < sizes->len; i++) {
		const struct kube_container *c = kube_pod_find(pod, sizes->sizes[i].name);

		if (c && c->restart_count != sizes->sizes[i].restart_count)
			return true;
	}
	return false;
}

static void kube_size_add_millicpu(cJSON *to, const char *name, int64_t millicpu)
{
	cJSON_AddNumberToObject(to, name, (double)millicpu);
}

char *kube_size_format(const struct kube_sizes *sizes)
{
	cJSON *root = cJSON_CreateObject();
	cJSON *containers;
	char *text;

	cJSON_AddNumberToObject(root, "version", KUBE_SIZE_STATE_VERSION);
	cJSON_AddStringToObject(root, "podUID", sizes->pod_uid);
	containers = cJSON_AddArrayToObject(root, "containers");
	for (size_t i = 0; i < sizes->len; i++) {
		const struct kube_size *size = &sizes->sizes[i];
		cJSON *item = cJSON_CreateObject();

		cJSON_AddItemToArray(containers, item);
		cJSON_AddStringToObject(item, "name", size->name);
		kube_size_add_millicpu(item, "requestMillicpu", size->full.request_millicpu);
		kube_size_add_millicpu(item, "limitMillicpu", size->full.limit_millicpu);
		if (size->is_recorded)
			cJSON_AddTrueToObject(item, "isRecorded");
		kube_size_add_millicpu(item, "asleepRequestMillicpu",
				       size->asleep.request_millicpu);
		kube_size_add_millicpu(item, "asleepLimitMillicpu", size->asleep.limit_millicpu);
	}
	text = cJSON_PrintUnformatted(root);
	cJSON_Delete(root);
	return text;
}

static bool kube_size_read_millicpu(const cJSON *container, const char *name, int64_t *out)
{
	const cJSON *item = kube_json_get(container, name);

	if (!cJSON_IsNumber(item) || !(item->valuedouble >= -1 && item->valuedouble <= 1e9))
		return false;
	*out = (int64_t)item->valuedouble;
	return true;
}

static bool kube_size_parse_container(struct kube_size *out, const cJSON *container)
{
	const char *name = kube_json_text(container, "name", "");
	struct kube_cpu *full = &out->full, *asleep = &out->asleep;

	snprintf(out->name, sizeof(out->name), "%s", name);
	out->is_recorded = kube_json_is_true(container, "isRecorded");
	return *name && strlen(name) < sizeof(out->name) &&
	       kube_size_read_millicpu(container, "requestMillicpu", &full->request_millicpu) &&
	       kube_size_read_millicpu(container, "limitMillicpu", &full->limit_millicpu) &&
	       kube_size_read_millicpu(container, "asleepRequestMillicpu",
				       &asleep->request_millicpu) &&
	       kube_size_read_millicpu(container, "asleepLimitMillicpu", &asleep->limit_millicpu) &&
	       full->limit_millicpu > 0 &&
	       asleep->limit_millicpu >= KUBE_SIZE_ASLEEP_STEP_MILLICPU &&
	       asleep->request_millicpu <= asleep->limit_millicpu;
}

static int kube_size_parse_root(struct kube_sizes *out, const cJSON *root, const char *pod_uid)
{
	const char *uid = kube_json_text(root, "podUID", NULL);
	const cJSON *containers = kube_json_list(root, "containers"), *container;

	if (!uid || !containers || kube_json_number(root, "version") != KUBE_SIZE_STATE_VERSION)
		return -EINVAL;
	if (strcmp(uid, pod_uid) != 0)
		return -ESTALE;
	snprintf(out->pod_uid, sizeof(out->pod_uid), "%s", uid);
	cJSON_ArrayForEach(container, containers)
	{
		if (out->len == KUBE_CONTAINERS_MAX ||
		    !kube_size_parse_container(&out->sizes[out->len], container))
			return -EINVAL;
		out->len++;
	}
	return out->len ? 0 : -EINVAL;
}

int kube_size_parse(struct kube_sizes *out, const char *text, const char *pod_uid)
{
	_cleanup_(kube_json_free) cJSON *root = cJSON_Parse(text);

	*out = (struct kube_sizes){ 0 };
	return kube_size_parse_root(out, root, pod_uid);
}
