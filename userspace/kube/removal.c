// SPDX-License-Identifier: MIT
/* Three questions to the API server: keep my rights; am I being removed; who else is there? */
#include "kube/removal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/timer.h"
#include "base/util.h"
#include "kube/kube_json.h"

#define REMOVAL_FINALIZER "doze.dev/pods-awake"
#define REMOVAL_ADD	  "{\"metadata\":{\"finalizers\":[\"" REMOVAL_FINALIZER "\"]}}"
#define REMOVAL_DROP                                                                               \
	"{\"metadata\":{\"$deleteFromPrimitiveList/finalizers\":[\"" REMOVAL_FINALIZER "\"]}}"

#define REMOVAL_PATH_MAX    512
#define REMOVAL_PROTECT_NS  (30 * NS_PER_S)
#define REMOVAL_ASK_MAX_NS  (3 * NS_PER_S)
#define REMOVAL_ASK_STEP_NS (200 * NS_PER_MS)
#define REMOVAL_WAIT_NS	    (500 * NS_PER_MS)

/* So many pods are read to find the first that runs; one is some 10 kB. */
#define REMOVAL_LIST_MAX "100"
#define REMOVAL_DEAD_MAX 8
#define REMOVAL_NAME_MAX 254

enum removal_word {
	REMOVAL_UNKNOWN,
	REMOVAL_STAYS,
	REMOVAL_GOES
};

/* What is asked for at one time: at most three objects. */
#define REMOVAL_REQUESTS 3

struct removal_request {
	struct removal *removal;
	struct kube_request *request;
	long status;		/* of PATCH */
	enum removal_word word; /* of GET */
};

struct removal {
	struct removal_settings settings;
	struct kube *kube;
	struct timer *timer;
	struct removal_request requests[REMOVAL_REQUESTS];
	size_t open; /* requests that have no answer yet */
	void (*answered)(struct removal *removal);
	bool has_said_refused;
	uint64_t until_ns;
	/* Dozes of nodes that are down; the one behind them is being looked at. */
	char dead[REMOVAL_DEAD_MAX][REMOVAL_NAME_MAX];
	size_t dead_len;
	void (*due)(struct removal *removal); /* what the timer is for */
	removal_answer_fn answer;
	void (*done)(void *arg);
	void *arg;
};

/* --- requests --- */

static void removal_cancel(struct removal *removal)
{
	for (size_t i = 0; i < REMOVAL_REQUESTS; i++)
		kube_cancel(&removal->requests[i].request);
	removal->open = 0;
	if (removal->timer)
		timer_stop(removal->timer);
}

static void removal_on_due(void *arg)
{
	struct removal *removal = arg;

	removal->due(removal);
}

static void removal_in(struct removal *removal, uint64_t ns, void (*due)(struct removal *removal))
{
	removal->due = due;
	timer_in_ns(removal->timer, ns);
}

/* All of them are sent at once, answered() is called when all have their answer. */
static void removal_send(struct removal *removal, size_t i, const char *method, const char *path,
			 const char *body, kube_answer_fn answer)
{
	struct removal_request *sent = &removal->requests[i];

	*sent = (struct removal_request){ .removal = removal };
	sent->request = kube_start(removal->kube, method, path, body, answer, sent);
	removal->open += sent->request != NULL;
}

static void removal_count_answer(struct removal_request *sent)
{
	sent->request = NULL;
	if (--sent->removal->open == 0)
		sent->removal->answered(sent->removal);
}

/* --- the finalizer --- */

static void removal_on_patched(void *arg, const struct kube_answer *answer)
{
	struct removal_request *sent = arg;
	struct removal *removal = sent->removal;
	char message[KUBE_ERROR_MAX];

	sent->status = answer->status;
	if (answer->status >= 400 && answer->status < 500 && answer->status != 404 &&
	    !removal->has_said_refused) {
		removal->has_said_refused = true;
		kube_answer_message(answer, message, sizeof(message));
		log_warn("cannot keep its rights while it is removed: pods that sleep then get "
			 "their full size of the cgroups alone",
			 "account=%s message=\"%s\"", removal->settings.account, message);
	}
	removal_count_answer(sent);
}

/*
 * To give them free, all must be sent at once: each counts on all three rights, and the API server
 * sees within some milliseconds that one is gone. On one HTTP/2 connection they go in one piece.
 */
static void removal_patch(struct removal *removal, const char *body)
{
	static const char *const paths[REMOVAL_REQUESTS] = {
		"/api/v1/namespaces/%s/serviceaccounts/%s",
		"/apis/rbac.authorization.k8s.io/v1/clusterroles/%s",
		"/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/%s",
	};
	const struct removal_settings *s = &removal->settings;
	char path[REMOVAL_PATH_MAX];

	for (size_t i = 0; i < REMOVAL_REQUESTS; i++) {
		if (i == 0)
			snprintf(path, sizeof(path), paths[i], s->namespace, s->account);
		else
			snprintf(path, sizeof(path), paths[i], s->account);
		removal_send(removal, i, "PATCH", path, body, removal_on_patched);
	}
}

static void removal_protect(struct removal *removal);

static void removal_on_protected(struct removal *removal)
{
	for (size_t i = 0; i < REMOVAL_REQUESTS; i++) {
		long status = removal->requests[i].status;

		if (status == 0 || status == 429 || status >= 500) {
			removal_in(removal, REMOVAL_PROTECT_NS, removal_protect);
			return;
		}
	}
}

static void removal_protect(struct removal *removal)
{
	removal->answered = removal_on_protected;
	removal_patch(removal, REMOVAL_ADD);
}

/* --- removed, or replaced? --- */

static enum removal_word removal_judge(const struct kube_answer *answer)
{
	_cleanup_(kube_json_free) cJSON *object = NULL;

	/* Whoever may no longer ask has lost its rights. */
	if (answer->status == 401 || answer->status == 403 || answer->status == 404)
		return REMOVAL_GOES;
	if (answer->status != 200)
		return REMOVAL_UNKNOWN;
	object = kube_json_parse(answer->body, answer->body_len);
	if (!object)
		return REMOVAL_UNKNOWN;
	return *kube_json_text(kube_json_get(object, "metadata"), "deletionTimestamp", "")
		       ? REMOVAL_GOES
		       : REMOVAL_STAYS;
}

static void removal_on_object(void *arg, const struct kube_answer *answer)
{
	struct removal_request *sent = arg;

	sent->word = removal_judge(answer);
	removal_count_answer(sent);
}

static void removal_look(struct removal *removal);

static void removal_tell(struct removal *removal, bool is_removed)
{
	removal_answer_fn answer = removal->answer;

	removal_cancel(removal);
	removal->answer = NULL;
	answer(removal->arg, is_removed);
}

static void removal_on_looked(struct removal *removal)
{
	enum removal_word namespace = removal->requests[0].word,
			  daemonset = removal->requests[1].word;

	if (namespace == REMOVAL_GOES || daemonset == REMOVAL_GOES)
		removal_tell(removal, true);
	else if (namespace == REMOVAL_STAYS && daemonset == REMOVAL_STAYS)
		removal_tell(removal, false);
	else if (monotonic_ns() < removal->until_ns)
		removal_in(removal, REMOVAL_ASK_STEP_NS, removal_look);
}

static void removal_on_silence(struct removal *removal)
{
	log_warn("cannot see whether doze is being removed: pods that sleep get their full size",
		 "daemonset=%s/%s", removal->settings.namespace, removal->settings.daemonset);
	removal_tell(removal, true);
}

static void removal_look(struct removal *removal)
{
	char path[REMOVAL_PATH_MAX];
	uint64_t now_ns = monotonic_ns();

	if (now_ns >= removal->until_ns) {
		removal_on_silence(removal);
		return;
	}
	removal_in(removal, removal->until_ns - now_ns, removal_on_silence);
	removal->answered = removal_on_looked;
	snprintf(path, sizeof(path), "/api/v1/namespaces/%s", removal->settings.namespace);
	removal_send(removal, 0, "GET", path, NULL, removal_on_object);
	snprintf(path, sizeof(path), "/apis/apps/v1/namespaces/%s/daemonsets/%s",
		 removal->settings.namespace, removal->settings.daemonset);
	removal_send(removal, 1, "GET", path, NULL, removal_on_object);
}

void removal_ask(struct removal *removal, removal_answer_fn answer, void *arg)
{
	removal_cancel(removal);
	removal->answer = answer;
	removal->arg = arg;
	removal->until_ns = monotonic_ns() + REMOVAL_ASK_MAX_NS;
	removal_look(removal);
}

/* --- the last one --- */

static void removal_on_released(struct removal *removal)
{
	removal_cancel(removal);
	removal->done(removal->arg);
}

static void removal_give_free(struct removal *removal)
{
	removal_cancel(removal);
	log_info("doze is removed: its rights are given free", "account=%s",
		 removal->settings.account);
	removal->answered = removal_on_released;
	removal_patch(removal, REMOVAL_DROP);
	if (!removal->open)
		removal_in(removal, 0, removal_on_released);
}

static bool removal_is_running(const cJSON *pod)
{
	const cJSON *container;

	cJSON_ArrayForEach(container,
			   kube_json_list(kube_json_get(pod, "status"), "containerStatuses"))
	{
		if (kube_json_get(kube_json_get(container, "state"), "running"))
			return true;
	}
	return false;
}

static bool removal_is_dead(const struct removal *removal, const char *pod_name)
{
	for (size_t i = 0; i < removal->dead_len; i++) {
		if (strcmp(removal->dead[i], pod_name) == 0)
			return true;
	}
	return false;
}

/* The list is sorted by name: the first that runs, and whether there are more. NULL: none. */
static const cJSON *removal_find_first(const struct removal *removal, const cJSON *list,
				       bool *has_more)
{
	const cJSON *pod, *first = NULL;

	*has_more = false;
	cJSON_ArrayForEach(pod, kube_json_list(list, "items"))
	{
		const char *name = kube_json_text(kube_json_get(pod, "metadata"), "name", "");

		if (!removal_is_running(pod) || removal_is_dead(removal, name))
			continue;
		if (first) {
			*has_more = true;
			return first;
		}
		first = pod;
	}
	return first;
}

static void removal_list(struct removal *removal);

static bool removal_node_is_ready(const struct kube_answer *answer)
{
	_cleanup_(kube_json_free) cJSON *node = kube_json_parse(answer->body, answer->body_len);
	const cJSON *condition;

	cJSON_ArrayForEach(condition, kube_json_list(kube_json_get(node, "status"), "conditions"))
	{
		if (strcmp(kube_json_text(condition, "type", ""), "Ready") == 0)
			return strcmp(kube_json_text(condition, "status", ""), "True") == 0;
	}
	return false;
}

/* Of the first doze: it gives the rights free, unless its node is down. */
static void removal_on_node(void *arg, const struct kube_answer *answer)
{
	struct removal_request *sent = arg;
	struct removal *removal = sent->removal;
	bool is_down = answer->status == 404 ||
		       (answer->status == 200 && !removal_node_is_ready(answer));

	sent->request = NULL;
	removal->open = 0;
	if (!is_down || removal->dead_len + 1 == ARRAY_LEN(removal->dead)) {
		removal_on_released(removal);
		return;
	}
	removal->dead_len++;
	removal_list(removal);
}

static void removal_look_at_first(struct removal *removal, const cJSON *pod, const char *name)
{
	char path[REMOVAL_PATH_MAX];

	snprintf(removal->dead[removal->dead_len], sizeof(removal->dead[0]), "%s", name);
	snprintf(path, sizeof(path), "/api/v1/nodes/%s",
		 kube_json_text(kube_json_get(pod, "spec"), "nodeName", ""));
	removal_send(removal, 0, "GET", path, NULL, removal_on_node);
	if (!removal->open)
		removal_in(removal, REMOVAL_WAIT_NS, removal_list);
}

static void removal_on_list(void *arg, const struct kube_answer *answer)
{
	struct removal_request *sent = arg;
	struct removal *removal = sent->removal;
	_cleanup_(kube_json_free) cJSON *list = NULL;
	const cJSON *first;
	const char *name;
	bool has_more;

	sent->request = NULL;
	removal->open = 0;
	if (answer->status == 200)
		list = kube_json_parse(answer->body, answer->body_len);
	first = removal_find_first(removal, list, &has_more);
	name = kube_json_text(kube_json_get(first, "metadata"), "name", removal->settings.pod_name);
	if (answer->status == 401 || answer->status == 403)
		removal_on_released(removal); /* there is nothing left to give free */
	else if (strcmp(name, removal->settings.pod_name) != 0)
		removal_look_at_first(removal, first, name);
	else if (list && !has_more)
		removal_give_free(removal);
	else
		removal_in(removal, REMOVAL_WAIT_NS, removal_list);
}

static void removal_list(struct removal *removal)
{
	char path[REMOVAL_PATH_MAX];

	if (monotonic_ns() >= removal->until_ns) {
		removal_give_free(removal);
		return;
	}
	snprintf(path, sizeof(path),
		 "/api/v1/namespaces/%s/pods?limit=" REMOVAL_LIST_MAX
		 "&fieldSelector=spec.serviceAccountName%%3D%s",
		 removal->settings.namespace, removal->settings.account);
	removal_send(removal, 0, "GET", path, NULL, removal_on_list);
	if (!removal->open)
		removal_in(removal, REMOVAL_WAIT_NS, removal_list);
}

void removal_release(struct removal *removal, uint64_t until_ns, void (*done)(void *arg), void *arg)
{
	removal_cancel(removal);
	removal->done = done;
	removal->arg = arg;
	removal->until_ns = until_ns;
	removal_list(removal);
}

/* --- making --- */

void removal_free(struct removal **removal)
{
	if (!*removal)
		return;
	removal_cancel(*removal);
	timer_free(&(*removal)->timer);
	free(*removal);
	*removal = NULL;
}

int removal_new(struct removal **out, struct event_base *base, struct kube *kube,
		const struct removal_settings *settings)
{
	_cleanup_(removal_free) struct removal *removal = calloc(1, sizeof(*removal));

	if (removal)
		removal->timer = timer_new(base, removal_on_due, removal);
	if (!removal || !removal->timer)
		return log_err(-ENOMEM, "cannot watch over the removal of doze");
	removal->settings = *settings;
	removal->kube = kube;
	removal_protect(removal);
	*out = TAKE_PTR(removal);
	return 0;
}
