// SPDX-License-Identifier: MIT
/* One question after the other. */
#include "backend/kube_prepare.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"

static void kube_prepare_next(struct kube_prepare *p);

/* Kubernetes 1.33 and newer list pods/resize; 1.27 to 1.32 take the patch on the pod itself. */
static void kube_prepare_on_discovery(void *arg, const struct kube_answer *a)
{
	struct kube_prepare *p = arg;

	p->request = NULL;
	if (kube_resize_errno(a) == 0)
		p->resize->lacks_resize_path = !strstr(a->body, "\"pods/resize\"");
	if (p->resize->lacks_resize_path)
		log_warn("the API server has no pods/resize: patching the pod itself", NULL);
	kube_prepare_next(p);
}

/* -EAGAIN: worth another try. */
static int kube_prepare_errno(const struct kube_answer *a)
{
	int r = kube_resize_errno(a);

	return r == -EIO ? -EAGAIN : r;
}

static void kube_prepare_on_pod(void *arg, const struct kube_answer *a)
{
	struct kube_prepare *p = arg;
	_cleanup_(kube_pod_free) struct kube_pod *pod = NULL;
	int r = kube_resize_read(p->resize, a, &pod);

	p->request = NULL;
	if (r == -EIO)
		r = -EAGAIN;
	if (r < 0) {
		kube_resize_explain_get(p->resize, a, r);
		p->done(p->arg, NULL, r);
		return;
	}
	kube_resize_recall(p->resize, pod->uid);
	snprintf(p->resize->sizes.pod_uid, sizeof(p->resize->sizes.pod_uid), "%s", pod->uid);
	r = kube_resize_plan_aloud(p->resize, pod);
	if (r < 0) {
		p->done(p->arg, NULL, r);
		return;
	}
	p->resize->may_be_small = !kube_size_is_asked(&p->resize->sizes, pod, KUBE_STEP_FULL);
	kube_prepare_next(p);
}

static void kube_prepare_on_dry_run(void *arg, const struct kube_answer *a)
{
	struct kube_prepare *p = arg;
	int r = kube_prepare_errno(a);

	p->request = NULL;
	if (kube_resize_is_refused(a) && kube_resize_has_other_step(p->resize, p->asked))
		r = 0; /* what is asked next may be admitted */
	if (r < 0)
		kube_resize_explain_patch(p->resize, a,
					  "the API server refuses the sizes of the pod");
	/* A pod that sleeps already is not left alone: it is woken, as soon as that is allowed. */
	if (r == 0 || (r != -EAGAIN && p->resize->may_be_small))
		kube_prepare_next(p);
	else
		p->done(p->arg, NULL, r);
}

static void kube_prepare_on_pod_again(void *arg, const struct kube_answer *a)
{
	struct kube_prepare *p = arg;
	struct kube_pod *pod = NULL;
	int r = kube_resize_read(p->resize, a, &pod);

	p->request = NULL;
	p->done(p->arg, pod, r == 0 ? 0 : -EAGAIN);
}

static struct kube_request *kube_prepare_dry_run(struct kube_prepare *p, enum kube_step step)
{
	p->asked = step;
	return kube_resize_patch(p->resize, step, "&dryRun=All", kube_prepare_on_dry_run, p);
}

static struct kube_request *kube_prepare_ask(struct kube_prepare *p)
{
	switch (p->step++) {
	case 0:
		return kube_start(p->resize->kube, "GET", "/api/v1", NULL,
				  kube_prepare_on_discovery, p);
	case 1:
		return kube_resize_get(p->resize, kube_prepare_on_pod, p);
	case 2:
		return kube_prepare_dry_run(p, KUBE_STEP_ASLEEP);
	case 3:
		return kube_prepare_dry_run(p, kube_size_first_step(&p->resize->sizes));
	case 4:
		return kube_prepare_dry_run(p, KUBE_STEP_FULL);
	default:
		return kube_resize_get(p->resize, kube_prepare_on_pod_again, p);
	}
}

static void kube_prepare_next(struct kube_prepare *p)
{
	p->request = kube_prepare_ask(p);
	if (!p->request)
		p->done(p->arg, NULL, -ENOMEM);
}

int kube_prepare_start(struct kube_prepare *p, struct kube_resize *resize, kube_prepare_fn done,
		       void *arg)
{
	kube_prepare_cancel(p);
	*p = (struct kube_prepare){ .resize = resize, .done = done, .arg = arg };
	p->request = kube_prepare_ask(p);
	return p->request ? 0 : log_err(-ENOMEM, "cannot ask the API server");
}

void kube_prepare_cancel(struct kube_prepare *p)
{
	kube_cancel(&p->request);
}
