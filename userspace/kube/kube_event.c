// SPDX-License-Identifier: MIT
/* A POST for each event. */
#include "kube/kube_event.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <utlist.h>

#include "base/log.h"
#include "base/util.h"

/* k8s.io/kubernetes pkg/apis/core/validation/events.go: NoteLengthLimit */
#define KUBE_EVENT_MESSAGE_MAX 1024

struct kube_event_request {
	struct kube_event_sender *events;
	struct kube_request *request;
	struct kube_event_request *prev, *next;
};

struct kube_event_sender {
	struct kube *kube;
	const char *node;
	struct kube_event_request *requests;
	bool has_said_refused;
};

/* --- the body --- */

char *kube_event_format(const struct kube_event *event, const char *node, long long now)
{
	cJSON *root = cJSON_CreateObject();
	cJSON *metadata = cJSON_AddObjectToObject(root, "metadata");
	cJSON *pod = cJSON_AddObjectToObject(root, "involvedObject");
	cJSON *source = cJSON_AddObjectToObject(root, "source");
	char name[256], message[KUBE_EVENT_MESSAGE_MAX + 1], when[32];
	time_t seconds = (time_t)now;
	struct tm utc;
	char *text;

	snprintf(name, sizeof(name), "%.250s.", event->name);
	cJSON_AddStringToObject(metadata, "generateName", name);
	cJSON_AddStringToObject(metadata, "namespace", event->namespace);
	cJSON_AddStringToObject(pod, "kind", "Pod");
	cJSON_AddStringToObject(pod, "apiVersion", "v1");
	cJSON_AddStringToObject(pod, "namespace", event->namespace);
	cJSON_AddStringToObject(pod, "name", event->name);
	cJSON_AddStringToObject(pod, "uid", event->uid);
	cJSON_AddStringToObject(source, "component", "doze");
	cJSON_AddStringToObject(source, "host", node);
	cJSON_AddStringToObject(root, "reportingComponent", "doze.dev/doze");
	cJSON_AddStringToObject(root, "reportingInstance", node);
	snprintf(message, sizeof(message), "%s", event->message);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&seconds, &utc));
	cJSON_AddStringToObject(root, "type", event->is_warning ? "Warning" : "Normal");
	cJSON_AddStringToObject(root, "reason", event->reason);
	cJSON_AddStringToObject(root, "message", message);
	cJSON_AddStringToObject(root, "firstTimestamp", when);
	cJSON_AddStringToObject(root, "lastTimestamp", when);
	cJSON_AddNumberToObject(root, "count", 1);
	text = cJSON_PrintUnformatted(root);
	cJSON_Delete(root);
	return text;
}

/* --- the requests --- */

int kube_event_sender_new(struct kube_event_sender **out, struct kube *kube, const char *node)
{
	struct kube_event_sender *e = calloc(1, sizeof(*e));

	if (!e)
		return log_err(-ENOMEM, "cannot send events");
	e->kube = kube;
	e->node = node;
	*out = e;
	return 0;
}

static void kube_event_drop(struct kube_event_request *sent)
{
	DL_DELETE(sent->events->requests, sent);
	free(sent);
}

void kube_event_sender_free(struct kube_event_sender **e)
{
	struct kube_event_request *sent, *next;

	if (!*e)
		return;
	DL_FOREACH_SAFE((*e)->requests, sent, next)
	{
		kube_cancel(&sent->request);
		kube_event_drop(sent);
	}
	free(*e);
	*e = NULL;
}

static void kube_event_on_answer(void *arg, const struct kube_answer *answer)
{
	struct kube_event_request *sent = arg;
	char message[KUBE_ERROR_MAX];

	if ((answer->status < 200 || answer->status >= 300) && !sent->events->has_said_refused) {
		sent->events->has_said_refused = true;
		kube_answer_message(answer, message, sizeof(message));
		log_warn("cannot create events on pods: its role lacks the rule resources: "
			 "[events], verbs: [create]",
			 "message=\"%s\"", message);
	}
	kube_event_drop(sent);
}

void kube_event_send(struct kube_event_sender *e, const struct kube_event *event)
{
	_cleanup_(freep) char *body = kube_event_format(event, e->node, (long long)time(NULL));
	struct kube_event_request *sent = calloc(1, sizeof(*sent));
	char path[512];

	snprintf(path, sizeof(path), "/api/v1/namespaces/%s/events", event->namespace);
	if (!body || !sent) {
		free(sent);
		return; /* the log has it */
	}
	sent->events = e;
	DL_APPEND(e->requests, sent);
	sent->request = kube_start(e->kube, "POST", path, body, kube_event_on_answer, sent);
	if (!sent->request)
		kube_event_drop(sent);
}
