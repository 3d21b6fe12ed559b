// SPDX-License-Identifier: MIT
/* Lines first, events second. */
#include "kube/watch_line.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

#define WATCH_CODE_GONE 410

static void watch_delete(cJSON **json)
{
	cJSON_Delete(*json);
}

static const char *watch_text(const cJSON *object, const char *name)
{
	const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));

	return text ? text : "";
}

static enum watch_type watch_type_of(const char *type)
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

static enum watch_type watch_error_type(const cJSON *status)
{
	const cJSON *code = cJSON_GetObjectItemCaseSensitive(status, "code");

	return cJSON_IsNumber(code) && (int)code->valuedouble == WATCH_CODE_GONE ? WATCH_EXPIRED
										 : WATCH_ERROR;
}

int watch_parse(struct watch_event *out, const char *line, size_t len)
{
	_cleanup_(watch_delete) cJSON *root = cJSON_ParseWithLength(line, len);
	const cJSON *object = cJSON_GetObjectItemCaseSensitive(root, "object");
	const cJSON *metadata = cJSON_GetObjectItemCaseSensitive(object, "metadata");

	*out = (struct watch_event){ .type = watch_type_of(watch_text(root, "type")) };
	if (!*watch_text(root, "type") || !cJSON_IsObject(object))
		return -EBADMSG;
	snprintf(out->version, sizeof(out->version), "%s", watch_text(metadata, "resourceVersion"));
	if (out->type == WATCH_ERROR)
		out->type = watch_error_type(object);
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
