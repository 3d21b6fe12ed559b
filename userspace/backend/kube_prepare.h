/* SPDX-License-Identifier: MIT */
/*
 * What is asked before a pod is resized for the first time: what the server can do, how the pod is,
 * and each patch without effect (dryRun).
 */
#ifndef DOZE_KUBE_PREPARE_H
#define DOZE_KUBE_PREPARE_H

#include "backend/kube_resize.h"

/*
 * pod is the callee's from now on; NULL if r is not 0. r: -EAGAIN when the server did not answer
 * and another try may help, or another -errno when this pod cannot be put to sleep. Each failure is
 * logged in one line.
 */
typedef void (*kube_prepare_fn)(void *arg, struct kube_pod *pod, int r);

struct kube_prepare {
	struct kube_resize *resize; /* borrowed; what is found is written there */
	struct kube_request *request;
	size_t step;
	enum kube_step asked; /* by the last dry run */
	kube_prepare_fn done;
	void *arg;
};

/* Asks one question after the other, then calls done(). -ENOMEM, logged. */
int kube_prepare_start(struct kube_prepare *p, struct kube_resize *resize, kube_prepare_fn done,
		       void *arg);

/* Nothing more is asked, and done() is not called any more. */
void kube_prepare_cancel(struct kube_prepare *p);

#endif
