// SPDX-License-Identifier: MIT
/* What a line says, then how lines are put together. */
#include "kube/watch_line.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "kube/kube_answer.h"
#include "kube/kube_json.h"

#define WATCH_LINE_CODE_GONE	410
#define WATCH_LINE_CODE_TIMEOUT 504

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

/*
 * A version of the future is one of a server that was given back an older state, or that is behind
 * the one that was asked before.
 */
static bool watch_line_is_expired(const cJSON *status)
{
	int64_t code = kube_json_number(status, "code");

	return code == WATCH_LINE_CODE_GONE ||
	       (code == WATCH_LINE_CODE_TIMEOUT &&
		strstr(kube_json_text(status, "message", ""), KUBE_ANSWER_FUTURE));
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
	if (out->type == WATCH_ERROR && watch_line_is_expired(object))
		out->type = WATCH_EXPIRED;
	if (out->type != WATCH_PUT && out->type != WATCH_GONE)
		return 0;
	out->error = kube_pod_take(&out->pod,
				   cJSON_DetachItemFromObjectCaseSensitive(root, "object"));
	if (out->error < 0)
		out->type = WATCH_UNKNOWN;
	return 0;
}

/* --- a text that is not parsed --- */

static void watch_line_name_find(const char *text, const char *key, char *out, size_t room)
{
	const char *found = strstr(text, key);

	*out = '\0';
	if (found)
		snprintf(out, room, "%.*s", (int)strcspn(found + strlen(key), "\"\\"),
			 found + strlen(key));
}

/* Before these there is nothing in a Pod whose text its owner may choose. */
void watch_line_name_read(struct watch_line_name *out, const char *text)
{
	watch_line_name_find(text, "\"name\":\"", out->name, sizeof(out->name));
	watch_line_name_find(text, "\"namespace\":\"", out->namespace, sizeof(out->namespace));
	watch_line_name_find(text, "\"uid\":\"", out->uid, sizeof(out->uid));
	out->is_deleted = strncmp(text, "{\"type\":\"DELETED\"", 17) == 0;
}

/* --- lines --- */

static bool watch_line_buffer_end(struct watch_line_buffer *l, watch_line_fn each, void *arg)
{
	bool goes_on = !l->line.len || each(arg, &l->line);

	kube_text_clear(&l->line);
	return goes_on;
}

bool watch_line_buffer_add(struct watch_line_buffer *l, const char *bytes, size_t len,
			   watch_line_fn each, void *arg)
{
	const char *end;

	while ((end = memchr(bytes, '\n', len))) {
		size_t part = (size_t)(end - bytes);

		if (!kube_text_add(&l->line, bytes, part) || !watch_line_buffer_end(l, each, arg))
			return false;
		bytes += part + 1;
		len -= part + 1;
	}
	return kube_text_add(&l->line, bytes, len);
}

void watch_line_buffer_free(struct watch_line_buffer *l)
{
	kube_text_free(&l->line);
}
