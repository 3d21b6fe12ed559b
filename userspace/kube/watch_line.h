/* SPDX-License-Identifier: MIT */
/*
 * A watch is a stream of lines, each the JSON of an event; the network cuts it anywhere. Pure.
 * https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
 */
#ifndef DOZE_WATCH_LINE_H
#define DOZE_WATCH_LINE_H

#include <stdbool.h>
#include <stddef.h>

#include "kube/kube_pod.h"

/* etcd holds no object above 1.5 MiB. */
#define WATCH_LINE_MAX	  (4UL << 20)
#define WATCH_VERSION_MAX 64

enum watch_type {
	WATCH_PUT,	/* ADDED, MODIFIED: the pod as it is */
	WATCH_GONE,	/* DELETED: the pod as it was */
	WATCH_BOOKMARK, /* nothing happened up to this version */
	WATCH_EXPIRED,	/* 410: this version is too old, list again */
	WATCH_ERROR,	/* any other error; the stream ends */
	WATCH_UNKNOWN,	/* a pod that cannot be read, or a type of event that is new */
};

struct watch_event {
	enum watch_type type;
	char version[WATCH_VERSION_MAX]; /* to go on from; "" if the event has none */
	struct kube_pod *pod;		 /* of PUT and GONE; the caller frees it */
};

/* -EBADMSG: the line is no event: the stream is broken. */
int watch_line_parse(struct watch_event *out, const char *line, size_t len);

/* The bytes of a line that has not ended yet. All zero to begin with. */
struct watch_lines {
	char *text;
	size_t len, room;
};

typedef bool (*watch_line_fn)(void *arg, const char *line, size_t len);

/*
 * Calls each() for every line that ends within these bytes, without its newline, and not for empty
 * ones. Returns false when each() has returned false, a line is too long, or there is no memory.
 */
bool watch_lines_add(struct watch_lines *l, const char *bytes, size_t len, watch_line_fn each,
		     void *arg);
void watch_lines_free(struct watch_lines *l);

#endif
