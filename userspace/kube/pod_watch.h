/* SPDX-License-Identifier: MIT */
/*
 * The pods of a node, as the API server knows them: listed once, watched from there on. A watch
 * that ends, or is silent for too long, is begun anew where it ended; one whose version is too old
 * (410) begins with a list again. A server that does not answer is asked again, in pauses that
 * grow, with jitter.
 */
#ifndef DOZE_POD_WATCH_H
#define DOZE_POD_WATCH_H

#include "kube/kube.h"
#include "kube/kube_pod.h"
#include "kube/kube_text.h"
#include "kube/watch_line.h"

struct event_base;
struct pod_watch;

/* A pod that doze cannot read. */
struct pod_watch_unreadable {
	const struct watch_line_name *name;
	const struct kube_text *text; /* what there is of it */
	const char *why;	      /* "it has more than 256 containers" */
};

struct pod_watch_settings {
	const char *node; /* borrowed */
	/* A pod is there, or has changed; it is the callee's. */
	void (*put)(void *arg, struct kube_pod *pod);
	/* A pod is no longer there. */
	void (*gone)(void *arg, const char *uid);
	/* It stays as it was told last. It is told once, until it can be read again. */
	void (*unreadable)(void *arg, const struct pod_watch_unreadable *pod);
	/* A list is complete: put() has been called for every pod that there is. */
	void (*listed)(void *arg);
	/* The server does not let us see the pods, and why; "": it does. It may say so again. */
	void (*refused)(void *arg, const char *why);
	void *arg;
	/* A watch on which nothing has come for so long is begun anew. 0: three minutes. */
	unsigned int silence_ms;
};

/* Begins at once. kube is borrowed. The caller owns *out. -errno, logged. */
int pod_watch_new(struct pod_watch **out, struct event_base *base, struct kube *kube,
		  const struct pod_watch_settings *settings);
void pod_watch_free(struct pod_watch **w);

#endif
