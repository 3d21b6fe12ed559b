// SPDX-License-Identifier: MIT
/* What a line says, then how lines are put together. */
#include "kube/watch_line.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "kube/kube_json.h"

#define WATCH_LINE_CODE_GONE 410

static enum watch_type watch_line_type(const char *type)
{
	static const struct {
		const char *name;
		enum watch_type type;
	} types[] = {
		{ "ADDED", WATCH_PUT },	   { "MODIFIED", WATCH_PUT },
		{ "DELETED", WATCH_GONE }, { "BOOKMARK", WATCH_BOOKMARK },
		{ "ERROR", WATCH_ERROR },
	};

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		if (strcmp(type, types[i].name) == 0)
			return types[i].type;
	}
	return WATCH_UNKNOWN;
}

int watch_line_parse(struct watch_event *out, const char *line, size_t len)
{
	_cleanup_(kube_json_free) cJSON *root = kube_json_parse(line, len);
	const cJSON *object = kube_json_get(root, "object");
	const char *type = kube_json_text(root, "type", "");

	if (!*type || !cJSON_IsObject(object))
		return -EBADMSG;
	*out = (struct watch_event){ .type = watch_line_type(type) };
	snprintf(out->version, sizeof(out->version), "%s",
		 kube_json_text(kube_json_get(object, "metadata"), "resourceVersion", ""));
	if (out->type == WATCH_ERROR && kube_json_number(object, "code") == WATCH_LINE_CODE_GONE)
		out->type = WATCH_EXPIRED;
	if (out->type != WATCH_PUT && out->type != WATCH_GONE)
		return 0;
	if (kube_pod_take(&out->pod, cJSON_DetachItemFromObjectCaseSensitive(root, "object")) < 0)
		out->type = WATCH_UNKNOWN;
	return 0;
}

static bool watch_lines_keep(struct watch_lines *l, const char *bytes, size_t len)
{
	size_t room = l->room ? l->room : 4096;
	char *grown;

	if (len > WATCH_LINE_MAX - l->len)
		return false;
	while (room < l->len + len)
		room *= 2;
	if (room > l->room) {
		grown = realloc(l->text, room);
		if (!grown)
			return false;
		l->text = grown;
		l->room = room;
	}
	memcpy(l->text + l->len, bytes, len);
	l->len += len;
	return true;
}

bool watch_lines_add(struct watch_lines *l, const char *bytes, size_t len, watch_line_fn each,
		     void *arg)
{
	const char *end;

	while ((end = memchr(bytes, '\n', len))) {
		size_t part = (size_t)(end - bytes), whole;

		if (!watch_lines_keep(l, bytes, part))
			return false;
		whole = l->len;
		l->len = 0;
		if (whole && !each(arg, l->text, whole))
			return false;
		bytes += part + 1;
		len -= part + 1;
	}
	return watch_lines_keep(l, bytes, len);
}

void watch_lines_free(struct watch_lines *l)
{
	free(l->text);
	*l = (struct watch_lines){ 0 };
}
