// SPDX-License-Identifier: MIT
/* Does one thing at a time: a request for a page of the list, a watch, or a pause. */
#include "kube/pod_watch.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/log.h"
#include "base/timer.h"
#include "base/util.h"
#include "kube/kube_json.h"
#include "kube/list_items.h"
#include "kube/watch_line.h"

#define POD_WATCH_PAGE	       100 /* pods */
#define POD_WATCH_LIST_S       120 /* for a page, which may be long */
#define POD_WATCH_TIMEOUT_S    300 /* and as much again at random: not all nodes at once */
#define POD_WATCH_SLACK_S      30  /* for the server to end the watch by itself */
#define POD_WATCH_BEGIN_MS     10000
#define POD_WATCH_SILENCE_MS   180000 /* a server sends a bookmark about once a minute */
#define POD_WATCH_PAUSE_MIN_MS 100
#define POD_WATCH_PAUSE_MAX_MS 30000
#define POD_WATCH_UID_MAX      64
/* A server may ask us to wait. Too long would be blind for too long. */
#define POD_WATCH_RETRY_AFTER_MAX_S 60

/* A pod for which put() was called. */
struct pod_watch_known {
	char uid[POD_WATCH_UID_MAX];
	unsigned int list; /* the number of the list that had it last */
	bool is_skipped;   /* it could not be read, which was logged */
	UT_hash_handle hh;
};

struct pod_watch {
	struct pod_watch_settings settings;
	struct kube *kube;
	struct kube_request *request;
	struct timer *resume;
	struct timer *silence;
	struct watch_line_buffer lines; /* of a watch */
	struct list_items items;	/* of a page of the list */
	struct pod_watch_known *known;
	unsigned int lists;
	char *more; /* where the next page of a list begins; NULL: no list is under way */
	char version[WATCH_VERSION_MAX]; /* "": a list is needed */
	unsigned int pause_ms;
	bool is_listing; /* else it watches */
	bool has_begun;	 /* the server has accepted it */
	bool has_heard;	 /* an event or a bookmark came on this watch */
	bool has_failed; /* and it was logged */
};

static void pod_watch_go_on(void *arg);

/* --- what is known --- */

static struct pod_watch_known *pod_watch_find(struct pod_watch *w, const char *uid)
{
	struct pod_watch_known *known;

	HASH_FIND_STR(w->known, uid, known);
	return known;
}

/* Found or made, and seen in the last list. NULL, logged: it cannot be remembered. */
static struct pod_watch_known *pod_watch_know(struct pod_watch *w, const char *uid,
					      const char *namespace, const char *name)
{
	struct pod_watch_known *known = pod_watch_find(w, uid);

	if (!known) {
		known = calloc(1, sizeof(*known));
		if (!known || strlen(uid) >= sizeof(known->uid)) {
			log_err(known ? -ENAMETOOLONG : -ENOMEM, "cannot remember the pod '%s/%s'",
				namespace, name);
			free(known);
			return NULL;
		}
		memcpy(known->uid, uid, strlen(uid) + 1);
		HASH_ADD_STR(w->known, uid, known);
	}
	known->list = w->lists;
	return known;
}

static void pod_watch_put(struct pod_watch *w, struct kube_pod *pod)
{
	struct pod_watch_known *known = pod_watch_know(w, pod->uid, pod->namespace, pod->name);

	if (!known) {
		kube_pod_free(&pod);
		return;
	}
	known->is_skipped = false;
	w->settings.put(w->settings.arg, pod);
}

static void pod_watch_forget(struct pod_watch *w, struct pod_watch_known *known)
{
	HASH_DEL(w->known, known);
	w->settings.gone(w->settings.arg, known->uid);
	free(known);
}

/* error: of kube_pod_take(). */
static const char *pod_watch_why(const struct kube_text *text, int error)
{
	if (text->is_cut)
		return "it is longer than " KUBE_TEXT_MAX_TEXT " as JSON";
	if (error == -E2BIG)
		return "it has more than " KUBE_CONTAINERS_MAX_TEXT " containers";
	return error == -ENOMEM ? "no memory" : "it is no pod that doze understands";
}

static void pod_watch_tell_unreadable(struct pod_watch *w, const struct watch_line_name *name,
				      const struct kube_text *text, int error)
{
	const struct pod_watch_unreadable pod = {
		.name = name,
		.text = text,
		.why = pod_watch_why(text, error),
	};
	char escaped[sizeof(name->namespace) + sizeof(name->name)];

	log_escape(escaped, sizeof(escaped), name->name);
	log_warn("a pod cannot be read, and is left as it is",
		 "namespace=%s pod=\"%s\" uid=%s why=\"%s\"", name->namespace, escaped, name->uid,
		 pod.why);
	w->settings.unreadable(w->settings.arg, &pod);
}

/* One pod that cannot be read is no reason to see no other. It stays as it was last seen. */
static void pod_watch_skip(struct pod_watch *w, const struct kube_text *text, int error)
{
	struct pod_watch_known *known;
	struct watch_line_name name;

	watch_line_name_read(&name, text->text);
	if (!*name.uid)
		return;
	known = pod_watch_find(w, name.uid);
	if (name.is_deleted) {
		if (known)
			pod_watch_forget(w, known);
		return;
	}
	known = pod_watch_know(w, name.uid, name.namespace, name.name);
	if (!known || known->is_skipped)
		return;
	known->is_skipped = true;
	pod_watch_tell_unreadable(w, &name, text, error);
}

/* A pod that the last list did not have has gone while nobody watched. */
static void pod_watch_end_list(struct pod_watch *w)
{
	struct pod_watch_known *known, *next;

	HASH_ITER(hh, w->known, known, next)
	{
		if (known->list != w->lists)
			pod_watch_forget(w, known);
	}
	if (w->settings.listed)
		w->settings.listed(w->settings.arg);
}

/* --- pauses --- */

static void pod_watch_pause(struct pod_watch *w)
{
	/* From half of the pause to one and a half of it. */
	long ms = w->pause_ms / 2 + random() % (w->pause_ms + 1);

	timer_in_ns(w->resume, (uint64_t)ms * NS_PER_MS);
	w->pause_ms = (unsigned int)min_u64(2ULL * w->pause_ms, POD_WATCH_PAUSE_MAX_MS);
}

static void pod_watch_say_back(struct pod_watch *w)
{
	if (w->has_failed)
		log_info("the API server answers again", "node=%s", w->settings.node);
	w->has_failed = false;
	w->settings.refused(w->settings.arg, "");
}

static void pod_watch_succeed(struct pod_watch *w)
{
	pod_watch_say_back(w);
	w->pause_ms = POD_WATCH_PAUSE_MIN_MS;
}

/* Logs the first failure, not each one. */
static void pod_watch_fail(struct pod_watch *w, const char *why)
{
	if (!w->has_failed)
		log_err(0, "cannot watch the pods of node '%s': %s", w->settings.node, why);
	w->has_failed = true;
	pod_watch_pause(w);
}

/* The server has said no, or nothing. It may say when it wants to be asked again. */
static void pod_watch_fail_answer(struct pod_watch *w, const struct kube_answer *answer)
{
	uint64_t wanted_ms =
		1000 * min_u64(answer->retry_after_s > 0 ? (uint64_t)answer->retry_after_s : 0,
			       POD_WATCH_RETRY_AFTER_MAX_S);
	char why[KUBE_ERROR_MAX];

	kube_answer_message(answer, why, sizeof(why));
	/* As opposed to a server that does not answer: what is known is still true then. */
	if (answer->status == 401 || answer->status == 403)
		w->settings.refused(w->settings.arg, why);
	pod_watch_fail(w, why);
	if (wanted_ms) /* and up to half a second more: not all nodes at once */
		timer_in_ns(w->resume, (wanted_ms + (uint64_t)random() % 500) * NS_PER_MS);
}

/* --- the list --- */

static bool pod_watch_on_item(void *arg, const struct kube_text *item)
{
	struct pod_watch *w = arg;
	struct kube_pod *pod = NULL;
	int r = item->is_cut ? -EMSGSIZE
			     : kube_pod_take(&pod, kube_json_parse(item->text, item->len));

	if (r == 0)
		pod_watch_put(w, pod);
	else
		pod_watch_skip(w, item, r);
	return true;
}

/* -EBADMSG: it is no list, or its end is missing. */
static int pod_watch_end_page(struct pod_watch *w)
{
	const struct kube_text *envelope = &w->items.envelope;
	_cleanup_(kube_json_free) cJSON *root = kube_json_parse(envelope->text, envelope->len);
	const cJSON *metadata = kube_json_get(root, "metadata");
	const cJSON *items = kube_json_get(root, "items");
	const char *version = kube_json_text(metadata, "resourceVersion", "");
	const char *more = kube_json_text(metadata, "continue", "");

	if (!*version || !(cJSON_IsArray(items) || cJSON_IsNull(items)))
		return -EBADMSG;
	list_items_free(&w->items);
	free(w->more);
	w->more = *more ? strdup(more) : NULL;
	if (!w->more)
		snprintf(w->version, sizeof(w->version), "%s", version);
	return 0;
}

static bool pod_watch_on_page_bytes(void *arg, const char *bytes, size_t len)
{
	struct pod_watch *w = arg;

	timer_in_ns(w->silence, POD_WATCH_BEGIN_MS * NS_PER_MS);
	return list_items_add(&w->items, bytes, len, pod_watch_on_item, w);
}

/* The list begins anew. */
static void pod_watch_forget_version(struct pod_watch *w)
{
	*w->version = '\0';
	free(w->more);
	w->more = NULL;
}

static void pod_watch_on_page(void *arg, const struct kube_answer *answer)
{
	struct pod_watch *w = arg;

	w->request = NULL;
	timer_stop(w->silence);
	if (kube_answer_is_expired(answer)) {
		/* The pages of a list are of one version, which may become too old as well. */
		pod_watch_forget_version(w);
		pod_watch_pause(w);
	} else if (answer->status != 200) {
		pod_watch_fail_answer(w, answer);
	} else if (pod_watch_end_page(w) < 0) {
		pod_watch_fail(w, "the answer is no list of pods");
	} else {
		pod_watch_succeed(w);
		if (!w->more)
			pod_watch_end_list(w);
		pod_watch_go_on(w);
	}
}

/* For a query: RFC 3986, 2.3 has the characters that stand for themselves. */
static void pod_watch_escape(const char *text, char *out, size_t room)
{
	size_t n = 0;

	for (; *text && n + 4 < room; text++) {
		if (isalnum((unsigned char)*text) || strchr("-._~", *text))
			out[n++] = *text;
		else
			n += (size_t)snprintf(out + n, room - n, "%%%02X", (unsigned char)*text);
	}
	out[n] = '\0';
}

static struct kube_request *pod_watch_ask_page(struct pod_watch *w, const char *node)
{
	char path[8192], more[4096] = "";

	if (w->more)
		pod_watch_escape(w->more, more, sizeof(more));
	else
		w->lists++;
	snprintf(path, sizeof(path), "/api/v1/pods?fieldSelector=spec.nodeName%%3D%s&limit=%u%s%s",
		 node, POD_WATCH_PAGE, *more ? "&continue=" : "", more);
	list_items_free(&w->items);
	timer_in_ns(w->silence, POD_WATCH_BEGIN_MS * NS_PER_MS);
	return kube_start_stream(w->kube, path, POD_WATCH_LIST_S, pod_watch_on_page_bytes,
				 pod_watch_on_page, w);
}

/* --- the watch --- */

static bool pod_watch_on_line(void *arg, const struct kube_text *line)
{
	struct pod_watch *w = arg;
	struct pod_watch_known *known;
	struct watch_event event;

	w->has_heard = true;
	if (line->is_cut) {
		pod_watch_skip(w, line, -EMSGSIZE);
		return true;
	}
	if (watch_line_parse(&event, line->text, line->len) < 0)
		return false;
	if (event.type == WATCH_EXPIRED) {
		*w->version = '\0';
		return false;
	}
	if (event.type == WATCH_ERROR)
		return false;
	if (*event.version)
		snprintf(w->version, sizeof(w->version), "%s", event.version);
	pod_watch_succeed(w);
	if (event.type == WATCH_PUT) {
		pod_watch_put(w, event.pod);
	} else if (event.type == WATCH_GONE) {
		known = pod_watch_find(w, event.pod->uid);
		if (known)
			pod_watch_forget(w, known);
		kube_pod_free(&event.pod);
	} else if (event.type == WATCH_UNKNOWN) {
		pod_watch_skip(w, line, event.error);
	}
	return true;
}

/*
 * The connection or the server is dead. Or there was nothing to tell: then little is lost by a new
 * watch.
 */
static void pod_watch_on_silence(void *arg)
{
	struct pod_watch *w = arg;
	unsigned int waited_ms = w->has_begun && !w->is_listing ? w->settings.silence_ms
								: POD_WATCH_BEGIN_MS;

	kube_give_up(&w->request, waited_ms);
	watch_line_buffer_free(&w->lines);
	list_items_free(&w->items);
	if (w->is_listing || !w->has_begun) {
		pod_watch_fail(w, w->is_listing ? "the list does not come"
						: "the watch does not begin");
		return;
	}
	/* Not even a bookmark: the server may wait for a version that it does not have yet. */
	if (!w->has_heard)
		pod_watch_forget_version(w);
	log_debug("the watch of pods is silent, and begins anew", "silence_ms=%u", waited_ms);
	w->pause_ms = POD_WATCH_PAUSE_MIN_MS; /* the silence was long enough */
	pod_watch_pause(w);
}

static bool pod_watch_on_bytes(void *arg, const char *bytes, size_t len)
{
	struct pod_watch *w = arg;

	if (!w->has_begun)
		pod_watch_say_back(w);
	w->has_begun = true;
	timer_in_ns(w->silence, w->settings.silence_ms * NS_PER_MS);
	return watch_line_buffer_add(&w->lines, bytes, len, pod_watch_on_line, w);
}

static void pod_watch_on_end(void *arg, const struct kube_answer *answer)
{
	struct pod_watch *w = arg;
	char why[KUBE_ERROR_MAX];

	w->request = NULL;
	timer_stop(w->silence);
	watch_line_buffer_free(&w->lines);
	if (kube_answer_is_expired(answer)) {
		pod_watch_forget_version(w);
	} else if (!w->has_begun) {
		pod_watch_fail_answer(w, answer);
		return;
	}
	log_escape(why, sizeof(why), answer->transport ? answer->transport : "its time is over");
	log_debug("the watch of pods has ended", "why=\"%s\"", why);
	pod_watch_pause(w); /* so that no server can make us spin */
}

static struct kube_request *pod_watch_ask_watch(struct pod_watch *w, const char *node)
{
	long timeout_s = POD_WATCH_TIMEOUT_S + random() % POD_WATCH_TIMEOUT_S;
	char path[1024], version[3 * WATCH_VERSION_MAX];

	w->has_begun = false;
	w->has_heard = false;
	timer_in_ns(w->silence, POD_WATCH_BEGIN_MS * NS_PER_MS);
	pod_watch_escape(w->version, version, sizeof(version));
	snprintf(path, sizeof(path),
		 "/api/v1/pods?fieldSelector=spec.nodeName%%3D%s&watch=1&allowWatchBookmarks=true"
		 "&timeoutSeconds=%ld&resourceVersion=%s",
		 node, timeout_s, version);
	return kube_start_stream(w->kube, path, timeout_s + POD_WATCH_SLACK_S, pod_watch_on_bytes,
				 pod_watch_on_end, w);
}

static void pod_watch_go_on(void *arg)
{
	struct pod_watch *w = arg;
	char node[3 * 256];

	pod_watch_escape(w->settings.node, node, sizeof(node));
	w->is_listing = w->more || !*w->version;
	w->request = w->is_listing ? pod_watch_ask_page(w, node) : pod_watch_ask_watch(w, node);
	if (w->request)
		return;
	timer_stop(w->silence);
	pod_watch_fail(w, "the request cannot be sent");
}

int pod_watch_new(struct pod_watch **out, struct event_base *base, struct kube *kube,
		  const struct pod_watch_settings *settings)
{
	_cleanup_(pod_watch_free) struct pod_watch *w = calloc(1, sizeof(*w));

	if (!w)
		return log_err(-ENOMEM, "cannot watch pods");
	w->settings = *settings;
	w->kube = kube;
	w->pause_ms = POD_WATCH_PAUSE_MIN_MS;
	if (!w->settings.silence_ms)
		w->settings.silence_ms = POD_WATCH_SILENCE_MS;
	w->resume = timer_new(base, pod_watch_go_on, w);
	w->silence = timer_new(base, pod_watch_on_silence, w);
	if (!w->resume || !w->silence)
		return log_err(-ENOMEM, "cannot watch pods");
	pod_watch_go_on(w);
	*out = TAKE_PTR(w);
	return 0;
}

void pod_watch_free(struct pod_watch **w)
{
	struct pod_watch_known *known, *next;

	if (!*w)
		return;
	kube_cancel(&(*w)->request);
	HASH_ITER(hh, (*w)->known, known, next)
	{
		HASH_DEL((*w)->known, known);
		free(known);
	}
	timer_free(&(*w)->resume);
	timer_free(&(*w)->silence);
	watch_line_buffer_free(&(*w)->lines);
	list_items_free(&(*w)->items);
	free((*w)->more);
	free(*w);
	*w = NULL;
}
