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
#include "kube/kube_text.h"

#define WATCH_VERSION_MAX 64

enum watch_type {
	WATCH_PUT,	/* ADDED, MODIFIED: the pod as it is */
	WATCH_GONE,	/* DELETED: the pod as it was */
	WATCH_BOOKMARK, /* nothing happened up to this version */
	WATCH_EXPIRED,	/* this version is too old (410), or one of the future (504): list again */
	WATCH_ERROR,	/* any other error; the stream ends */
	WATCH_UNKNOWN,	/* a pod that cannot be read, or a type of event that is new */
};

struct watch_event {
	enum watch_type type;
	char version[WATCH_VERSION_MAX]; /* to go on from; "" if the event has none */
	struct kube_pod *pod;		 /* of PUT and GONE; the caller frees it */
	int error;			 /* of UNKNOWN: why the pod cannot be read, or 0 */
};

/* -EBADMSG: the line is no event: the stream is broken. */
int watch_line_parse(struct watch_event *out, const char *line, size_t len);

/*
 * Whose object a text is that is too long to be parsed, or cannot be: found in its beginning, where
 * the API server writes its metadata. "" where it is not.
 */
struct watch_line_name {
	bool is_deleted; /* the line of a watch says so */
	char namespace[256], name[256], uid[64];
};
void watch_line_name_read(struct watch_line_name *out, const char *text);

/* The bytes of a line that has not ended yet. All zero to begin with. */
struct watch_line_buffer {
	struct kube_text line;
};

typedef bool (*watch_line_fn)(void *arg, const struct kube_text *line);

/*
 * Calls each() for every line that ends within these bytes, without its newline, and not for empty
 * ones. Returns false when each() has returned false, or there is no memory.
 */
bool watch_line_buffer_add(struct watch_line_buffer *l, const char *bytes, size_t len,
			   watch_line_fn each, void *arg);
void watch_line_buffer_free(struct watch_line_buffer *l);

#endif
