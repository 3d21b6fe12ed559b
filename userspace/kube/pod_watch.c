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
#include "kube/watch_line.h"

#define POD_WATCH_PAGE	       100 /* pods, and fewer where they are big */
#define POD_WATCH_TIMEOUT_S    300 /* and as much again at random: not all nodes at once */
#define POD_WATCH_SLACK_S      30  /* for the server to end the watch by itself */
#define POD_WATCH_BEGIN_MS     10000
#define POD_WATCH_SILENCE_MS   180000 /* a server sends a bookmark about once a minute */
#define POD_WATCH_PAUSE_MIN_MS 100
#define POD_WATCH_PAUSE_MAX_MS 30000
#define POD_WATCH_UID_MAX      64
#define POD_WATCH_HTTP_GONE    410

/* A pod for which put() was called. */
struct pod_watch_known {
	char uid[POD_WATCH_UID_MAX];
	unsigned int list; /* the number of the list that had it last */
	UT_hash_handle hh;
};

struct pod_watch {
	struct pod_watch_settings settings;
	struct kube *kube;
	struct kube_request *request;
	struct timer *resume;
	struct timer *silence;
	struct watch_lines lines;
	struct pod_watch_known *known;
	unsigned int lists;
	unsigned int page; /* pods */
	char *more;	   /* where the next page of a list begins; NULL: no list is under way */
	char version[WATCH_VERSION_MAX]; /* "": a list is needed */
	unsigned int pause_ms;
	bool has_begun;	 /* the server has accepted the watch */
	bool has_failed; /* and it was logged */
};

static void pod_watch_go_on(void *arg);

/* --- what is known --- */

static void pod_watch_put(struct pod_watch *w, struct kube_pod *pod)
{
	struct pod_watch_known *known;

	HASH_FIND_STR(w->known, pod->uid, known);
	if (!known) {
		known = calloc(1, sizeof(*known));
		if (!known || strlen(pod->uid) >= sizeof(known->uid)) {
			log_err(known ? -ENAMETOOLONG : -ENOMEM, "cannot remember the pod '%s/%s'",
				pod->namespace, pod->name);
			free(known);
			kube_pod_free(&pod);
			return;
		}
		memcpy(known->uid, pod->uid, strlen(pod->uid) + 1);
		HASH_ADD_STR(w->known, uid, known);
	}
	known->list = w->lists;
	w->settings.put(w->settings.arg, pod);
}

static void pod_watch_forget(struct pod_watch *w, struct pod_watch_known *known)
{
	HASH_DEL(w->known, known);
	w->settings.gone(w->settings.arg, known->uid);
	free(known);
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

/* --- the list --- */

static int pod_watch_take_page(struct pod_watch *w, const struct kube_answer *answer)
{
	_cleanup_(kube_json_free) cJSON *root = kube_json_parse(answer->body, answer->body_len);
	const cJSON *metadata = kube_json_get(root, "metadata");
	const char *version = kube_json_text(metadata, "resourceVersion", "");
	const char *more = kube_json_text(metadata, "continue", "");
	cJSON *items = cJSON_GetObjectItemCaseSensitive(root, "items");

	if (!*version || !(cJSON_IsArray(items) || cJSON_IsNull(items)))
		return -EBADMSG;
	while (cJSON_GetArraySize(items) > 0) {
		struct kube_pod *pod = NULL;

		if (kube_pod_take(&pod, cJSON_DetachItemFromArray(items, 0)) == 0)
			pod_watch_put(w, pod);
	}
	free(w->more);
	w->more = *more ? strdup(more) : NULL;
	if (!w->more)
		snprintf(w->version, sizeof(w->version), "%s", version);
	return 0;
}

/* The list goes on at the same place: a page may have any length. */
static void pod_watch_shrink_page(struct pod_watch *w)
{
	w->page /= 2;
	log_warn("so many pods are too long for one answer: asking for fewer at a time",
		 "bytes_max=%u pods=%u", KUBE_BODY_MAX, w->page);
	pod_watch_go_on(w);
}

static void pod_watch_on_page(void *arg, const struct kube_answer *answer)
{
	struct pod_watch *w = arg;
	char why[KUBE_ERROR_MAX];

	w->request = NULL;
	if (answer->is_too_long && w->page > 1) {
		pod_watch_shrink_page(w);
		return;
	}
	/* The pages of a list are of one version, which may become too old as well. */
	if (answer->status == POD_WATCH_HTTP_GONE) {
		free(w->more);
		w->more = NULL;
		pod_watch_pause(w);
		return;
	}
	if (answer->status != 200) {
		kube_answer_message(answer, why, sizeof(why));
		pod_watch_fail(w, why);
		return;
	}
	if (pod_watch_take_page(w, answer) < 0) {
		pod_watch_fail(w, "the answer is no list of pods");
		return;
	}
	pod_watch_succeed(w);
	if (!w->more)
		pod_watch_end_list(w);
	pod_watch_go_on(w);
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
		 node, w->page, *more ? "&continue=" : "", more);
	return kube_start(w->kube, "GET", path, NULL, pod_watch_on_page, w);
}

/* --- the watch --- */

static bool pod_watch_on_line(void *arg, const char *line, size_t len)
{
	struct pod_watch *w = arg;
	struct pod_watch_known *known;
	struct watch_event event;

	if (watch_line_parse(&event, line, len) < 0)
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
		HASH_FIND_STR(w->known, event.pod->uid, known);
		if (known)
			pod_watch_forget(w, known);
		kube_pod_free(&event.pod);
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
	unsigned int waited_ms = w->has_begun ? w->settings.silence_ms : POD_WATCH_BEGIN_MS;

	kube_give_up(&w->request, waited_ms);
	watch_lines_free(&w->lines);
	if (!w->has_begun) {
		pod_watch_fail(w, "the watch does not begin");
		return;
	}
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
	return watch_lines_add(&w->lines, bytes, len, pod_watch_on_line, w);
}

static void pod_watch_on_end(void *arg, const struct kube_answer *answer)
{
	struct pod_watch *w = arg;
	char why[KUBE_ERROR_MAX];

	w->request = NULL;
	timer_stop(w->silence);
	watch_lines_free(&w->lines);
	if (answer->status == POD_WATCH_HTTP_GONE) {
		*w->version = '\0';
	} else if (!w->has_begun) {
		kube_answer_message(answer, why, sizeof(why));
		pod_watch_fail(w, why);
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
	w->request = w->more || !*w->version ? pod_watch_ask_page(w, node)
					     : pod_watch_ask_watch(w, node);
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
	w->page = POD_WATCH_PAGE;
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
	watch_lines_free(&(*w)->lines);
	free((*w)->more);
	free(*w);
	*w = NULL;
}
