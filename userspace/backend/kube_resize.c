// SPDX-License-Identifier: MIT
/* Requests, answers, and the state file. */
#include "backend/kube_resize.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/util.h"

static void kube_resize_path(const struct kube_resize *p, char *out, size_t room,
			     const char *suffix)
{
	snprintf(out, room, "/api/v1/namespaces/%s/pods/%s%s", p->namespace, p->name, suffix);
}

struct kube_request *kube_resize_get(const struct kube_resize *p, kube_answer_fn answer, void *arg)
{
	char path[512];

	kube_resize_path(p, path, sizeof(path), "");
	return kube_start(p->kube, "GET", path, NULL, answer, arg);
}

struct kube_request *kube_resize_patch(const struct kube_resize *p, enum kube_step step,
				       const char *query, kube_answer_fn answer, void *arg)
{
	_cleanup_(freep) char *body = kube_size_patch(&p->sizes, step);
	char path[512], suffix[128];

	snprintf(suffix, sizeof(suffix), "%s?fieldManager=doze%s",
		 p->lacks_resize_path ? "" : "/resize", query);
	kube_resize_path(p, path, sizeof(path), suffix);
	return body ? kube_start(p->kube, "PATCH", path, body, answer, arg) : NULL;
}

/* The patch names the uid, which the pod of that name does not have. */
static bool kube_resize_is_of_another(const struct kube_answer *a)
{
	return a->status == 422 && strstr(a->body, "metadata.uid") != NULL;
}

/* A pod that is not there has a name in its 404; a path that is not there has not. */
static bool kube_resize_is_no_path(const struct kube_answer *a)
{
	return a->status == 404 && strstr(a->body, "could not find the requested resource") != NULL;
}

int kube_resize_errno(const struct kube_answer *a)
{
	if (kube_resize_is_of_another(a))
		return -ESRCH;
	if (kube_resize_is_no_path(a))
		return -EINVAL;
	if (a->status >= 200 && a->status < 300)
		return 0;
	switch (a->status) {
	case 403:
		return -EACCES;
	case 404:
		return -ESRCH;
	case 401: /* a token is replaced before it ends, and is read again for each request */
	case 409:
	case 429:
		return -EAGAIN;
	case 400:
	case 415:
	case 422:
		return -EINVAL;
	default:
		return -EIO;
	}
}

bool kube_resize_is_refused(const struct kube_answer *a)
{
	int r = kube_resize_errno(a);

	return r == -EACCES || r == -EINVAL;
}

bool kube_resize_is_denied(const struct kube_answer *a)
{
	return a->status == 401 || kube_resize_is_refused(a);
}

enum kube_step kube_resize_first_step(const struct kube_resize *p)
{
	return p->needs_both ? KUBE_STEP_FULL : kube_size_first_step(&p->sizes);
}

bool kube_resize_has_other_step(struct kube_resize *p, enum kube_step refused)
{
	p->needs_both = refused == KUBE_STEP_LIMIT;
	return p->needs_both;
}

static bool kube_resize_is_ours(const struct kube_resize *p, const char *uid)
{
	const char *known = *p->sizes.pod_uid ? p->sizes.pod_uid : uid;

	return strcmp(uid, known) == 0 && strcmp(uid, p->uid ? p->uid : known) == 0;
}

int kube_resize_read(const struct kube_resize *p, const struct kube_answer *a,
		     struct kube_pod **out)
{
	_cleanup_(kube_pod_free) struct kube_pod *pod = NULL;
	int r = kube_resize_errno(a);

	if (r == 0) {
		r = kube_pod_parse(&pod, a->body, a->body_len);
		r = r < 0 && r != -E2BIG ? -EIO : r;
	}
	if (r < 0)
		return r;
	if (!kube_resize_is_ours(p, pod->uid))
		return -ESRCH;
	*out = TAKE_PTR(pod);
	return 0;
}

void kube_resize_refused(const struct kube_resize *p, const char *message)
{
	log_err(0, "%s", message);
	if (p->problem)
		p->problem(p->arg, "ResizeRefused", message);
}

/* A 403 of RBAC says which right is missing. That of a quota or of a full node is another one. */
static void kube_resize_explain(const struct kube_resize *p, const struct kube_answer *a,
				const char *doing, const char *rule)
{
	char message[KUBE_ERROR_MAX], whole[3 * KUBE_ERROR_MAX];
	bool is_rbac, is_old;

	kube_answer_message(a, message, sizeof(message));
	is_rbac = a->status == 403 && strstr(message, " cannot ") != NULL;
	is_old = kube_resize_is_no_path(a) || (p->lacks_resize_path && a->status == 422);
	snprintf(whole, sizeof(whole), "%s '%s/%s': %s%s%s%s (HTTP %ld)", doing, p->namespace,
		 p->name, message, is_rbac ? ": its Role lacks the rule " : "", is_rbac ? rule : "",
		 is_old ? ": Kubernetes 1.33 or newer is needed" : "", a->status);
	kube_resize_refused(p, whole);
}

/* The server has answered, with a pod that is not for us. */
static const char *kube_resize_why_not(int r)
{
	switch (r) {
	case -ESRCH:
		return "another pod has its name by now, with another uid";
	case -E2BIG:
		return "it has more than " KUBE_CONTAINERS_MAX_TEXT " containers";
	default:
		return "the answer is no pod";
	}
}

void kube_resize_explain_get(const struct kube_resize *p, const struct kube_answer *a, int r)
{
	char whole[2 * KUBE_ERROR_MAX];

	if (kube_resize_errno(a) == 0) {
		snprintf(whole, sizeof(whole), "cannot resize the pod '%s/%s': %s", p->namespace,
			 p->name, kube_resize_why_not(r));
		kube_resize_refused(p, whole);
		return;
	}
	kube_resize_explain(p, a, "cannot read the pod", "resources: [pods], verbs: [get]");
}

void kube_resize_explain_patch(const struct kube_resize *p, const struct kube_answer *a,
			       const char *doing)
{
	kube_resize_explain(p, a, doing,
			    p->lacks_resize_path ? "resources: [pods], verbs: [patch]"
						 : "resources: [pods/resize], verbs: [patch]");
}

void kube_resize_recall(struct kube_resize *p, const char *pod_uid)
{
	_cleanup_(freep) char *text = NULL;
	int r = file_read(p->state_file, &text);

	if (r == -ENOENT)
		return;
	if (r == 0)
		r = kube_size_parse(&p->sizes, text, pod_uid);
	if (r == -ESTALE)
		log_warn("the state file is of another pod", "file=%s", p->state_file);
	else if (r < 0)
		log_err(r, "cannot use the state file '%s'", p->state_file);
	if (r < 0)
		p->sizes = (struct kube_sizes){ 0 };
}

int kube_resize_plan(struct kube_resize *p, const struct kube_pod *pod,
		     char error[KUBE_SIZE_ERROR_MAX])
{
	struct kube_sizes known = p->sizes;
	int r = kube_size_plan(&p->sizes, pod, &p->choice, &known, error);

	if (r < 0)
		p->sizes = known;
	return r;
}

int kube_resize_plan_aloud(struct kube_resize *p, const struct kube_pod *pod)
{
	char error[KUBE_SIZE_ERROR_MAX];
	int r = kube_resize_plan(p, pod, error);

	return r < 0 ? log_err(r, "cannot put the pod '%s/%s' to sleep: %s", p->namespace, p->name,
			       error)
		     : 0;
}

int kube_resize_keep(const struct kube_resize *p)
{
	_cleanup_(freep) char *text = kube_size_format(&p->sizes);
	int r = text ? file_replace(p->state_file, text) : -ENOMEM;

	return r < 0 ? log_err(r, "cannot write the state file '%s'", p->state_file) : 0;
}
