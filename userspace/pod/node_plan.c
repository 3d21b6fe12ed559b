// SPDX-License-Identifier: MIT
/* One question after the other, until one of them decides. */
#include "pod/node_plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

#define NODE_PLAN_ANNOTATIONS_MAX 64

struct node_plan_annotations {
	struct kube_annotation of[NODE_PLAN_ANNOTATIONS_MAX];
	size_t len;
};

static struct node_plan_annotations node_plan_read_annotations(const struct kube_pod *pod)
{
	struct node_plan_annotations a = { .len = 0 };

	a.len = min_u64(kube_pod_annotations(pod, CONFIG_ANNOTATION_PREFIX, a.of, ARRAY_LEN(a.of)),
			ARRAY_LEN(a.of));
	return a;
}

/* Whether the pod says that it is ours. It may say something else than yes or no. */
static bool node_plan_is_ours(struct node_plan *out, const struct node_plan_annotations *a)
{
	const char *enabled = NULL;

	for (size_t i = 0; i < a->len; i++) {
		if (strcmp(a->of[i].name, NODE_PLAN_ENABLED) == 0)
			enabled = a->of[i].value;
	}
	if (!enabled || strcmp(enabled, "false") == 0)
		return false;
	if (strcmp(enabled, "true") == 0)
		return true;
	out->wish = NODE_PLAN_REFUSE;
	snprintf(out->error, sizeof(out->error), "%s: '%s' is neither true nor false",
		 NODE_PLAN_ENABLED, enabled);
	return false;
}

static bool node_plan_read_config(struct node_plan *out, const struct node_plan_annotations *a,
				  const struct config *defaults)
{
	struct config_annotation annotations[NODE_PLAN_ANNOTATIONS_MAX];
	char error[CONFIG_ERROR_MAX];

	for (size_t i = 0; i < a->len; i++)
		annotations[i] = (struct config_annotation){ a->of[i].name, a->of[i].value };
	if (config_from_annotations(&out->config, defaults, annotations, a->len, error) == 0)
		return true;
	out->wish = NODE_PLAN_REFUSE;
	snprintf(out->error, sizeof(out->error), "%s", error);
	return false;
}

struct kube_size_choice node_plan_choice(const struct config *config)
{
	return (struct kube_size_choice){
		.names = config->containers.of,
		.names_len = config->containers.len,
		.asleep_millicpu = config->asleep_millicpu,
	};
}

static bool node_plan_choose_containers(struct node_plan *out, const struct kube_pod *pod)
{
	const struct kube_size_choice choice = node_plan_choice(&out->config);

	for (size_t i = 0; i < choice.names_len; i++) {
		if (kube_pod_find(pod, choice.names[i]))
			continue;
		out->wish = NODE_PLAN_REFUSE;
		snprintf(out->error, sizeof(out->error),
			 CONFIG_ANNOTATION_PREFIX "containers: '%s' is no container of the pod",
			 choice.names[i]);
		return false;
	}
	for (size_t i = 0; i < pod->containers_len; i++) {
		if (kube_size_is_chosen(&choice, &pod->containers[i]))
			out->containers[out->containers_len++] = &pod->containers[i];
	}
	out->config.asleep_millicpu = kube_size_asleep_millicpu(pod, &choice);
	return true;
}

static bool node_plan_is_started(const struct node_plan *plan)
{
	for (size_t i = 0; i < plan->containers_len; i++) {
		if (!plan->containers[i]->is_started || !*plan->containers[i]->container_id)
			return false;
	}
	return plan->containers_len > 0;
}

void node_plan_read(struct node_plan *out, const struct kube_pod *pod,
		    const struct config *defaults)
{
	const struct node_plan_annotations annotations = node_plan_read_annotations(pod);

	*out = (struct node_plan){ .wish = NODE_PLAN_LEAVE_ALONE };
	if (pod->is_terminating) {
		out->wish = NODE_PLAN_LET_GO;
		return;
	}
	if (pod->has_ended || !node_plan_is_ours(out, &annotations) ||
	    !node_plan_read_config(out, &annotations, defaults) ||
	    !node_plan_choose_containers(out, pod))
		return;
	out->wish = pod->is_running && pod->is_ready && pod->pod_ips_len &&
				    node_plan_is_started(out)
			    ? NODE_PLAN_SEAT
			    : NODE_PLAN_WAIT;
}

bool node_plan_has(const struct node_plan *plan, const struct kube_container *c)
{
	for (size_t i = 0; i < plan->containers_len; i++) {
		if (plan->containers[i] == c)
			return true;
	}
	return false;
}

/* --- the fingerprint --- */

static void node_plan_add(FILE *out, const char *text)
{
	/* With its length, so that no two lists of texts read the same. */
	fprintf(out, "%zu:%s,", strlen(text), text);
}

char *node_plan_fingerprint(const struct kube_pod *pod)
{
	const struct node_plan_annotations annotations = node_plan_read_annotations(pod);
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return NULL;
	for (size_t i = 0; i < annotations.len; i++) {
		node_plan_add(out, annotations.of[i].name);
		node_plan_add(out, annotations.of[i].value);
	}
	for (size_t i = 0; i < pod->containers_len; i++)
		node_plan_add(out, pod->containers[i].container_id);
	for (size_t i = 0; i < pod->pod_ips_len; i++)
		node_plan_add(out, pod->pod_ips[i]);
	return fclose(out) == 0 ? text : NULL;
}
