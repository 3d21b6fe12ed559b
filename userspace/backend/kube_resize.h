/* SPDX-License-Identifier: MIT */
/* A pod that is resized through the API server: what is asked, and what an answer means. */
#ifndef DOZE_KUBE_RESIZE_H
#define DOZE_KUBE_RESIZE_H

#include "backend/kube_size.h"
#include "kube/kube.h"
#include "kube/kube_pod.h"

struct kube_resize {
	struct kube *kube;	      /* borrowed, as all that follows */
	const char *namespace, *name; /* of the pod */
	const char *uid;	      /* the same; NULL: not known */
	const char *state_file;
	struct kube_size_choice choice;
	/* The cluster refuses something, which the log was told as well. NULL: nobody cares. */
	void (*problem)(void *arg, const char *reason, const char *message);
	void *arg;

	struct kube_sizes sizes;
	bool lacks_resize_path; /* the server is older than pods/resize */
	bool needs_both;	/* limits alone are refused, limits and requests were not yet */
	bool may_be_small;	/* less than full was asked for, and full was not seen since */
};

/* Each as kube_start(). query is added to the path: "" or "&dryRun=All". */
struct kube_request *kube_resize_get(const struct kube_resize *p, kube_answer_fn answer, void *arg);
struct kube_request *kube_resize_patch(const struct kube_resize *p, enum kube_step step,
				       const char *query, kube_answer_fn answer, void *arg);

/*
 * 0, or what an answer's status means: -EACCES, -ESRCH, -EINVAL, -EAGAIN, else -EIO. -ESRCH: the
 * pod is gone, also when another one has its name by now.
 */
int kube_resize_errno(const struct kube_answer *a);

/* Whether an answer says no, and will say so again until somebody changes the cluster. */
bool kube_resize_is_refused(const struct kube_answer *a);

/* The same, or the token is not good: nobody is kept waiting until it is. */
bool kube_resize_is_denied(const struct kube_answer *a);

/* The first patch of a wake: as kube_size_first_step(), unless that was refused. */
enum kube_step kube_resize_first_step(const struct kube_resize *p);

/*
 * After a refusal of that step: whether the limits alone were asked for, and limits and requests
 * together are worth a try (a LimitRange's maxLimitRequestRatio). The first step is another then.
 */
bool kube_resize_has_other_step(struct kube_resize *p, enum kube_step refused);

/*
 * The pod in an answer, which the caller owns. Else an error as above; -ESRCH also for a pod of the
 * same name with another uid, -E2BIG for one with too many containers. Where our uid is not known,
 * the first pod that is read is taken for ours, unless it was adopted.
 */
int kube_resize_read(const struct kube_resize *p, const struct kube_answer *a,
		     struct kube_pod **out);

/* Say why an answer is an error, in the log and to problem(). r: of kube_resize_read(). */
void kube_resize_explain_get(const struct kube_resize *p, const struct kube_answer *a, int r);
void kube_resize_explain_patch(const struct kube_resize *p, const struct kube_answer *a,
			       const char *doing);

/* Logs that sentence as an error, and tells it to problem() as well. */
void kube_resize_refused(const struct kube_resize *p, const char *message);

/* Takes from the state file what full was before a crash. Logs its errors. */
void kube_resize_recall(struct kube_resize *p, const char *pod_uid);

/* Plans the sizes anew, as kube_size_plan(); those known before stay when it fails. */
int kube_resize_plan(struct kube_resize *p, const struct kube_pod *pod,
		     char error[KUBE_SIZE_ERROR_MAX]);

/* The same, but logs the error. */
int kube_resize_plan_aloud(struct kube_resize *p, const struct kube_pod *pod);

/* Writes the state file. Logs its errors, -errno. */
int kube_resize_keep(const struct kube_resize *p);

#endif
