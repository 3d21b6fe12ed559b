/* SPDX-License-Identifier: MIT */
/*
 * Members of JSON objects that others have sent. What is absent, or has another type than the one
 * asked for, reads as absent. Pure.
 */
#ifndef DOZE_KUBE_JSON_H
#define DOZE_KUBE_JSON_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

/* NULL, or a tree that kube_json_free() frees. */
static inline cJSON *kube_json_parse(const char *text, size_t len)
{
	return cJSON_ParseWithLength(text, len);
}

static inline void kube_json_free(cJSON **json)
{
	cJSON_Delete(*json);
}

static inline const cJSON *kube_json_get(const cJSON *object, const char *name)
{
	return cJSON_GetObjectItemCaseSensitive(object, name);
}

/* An array, and no object: cJSON iterates over the members of both. */
static inline const cJSON *kube_json_list(const cJSON *object, const char *name)
{
	const cJSON *item = kube_json_get(object, name);

	return cJSON_IsArray(item) ? item : NULL;
}

static inline const char *kube_json_text(const cJSON *object, const char *name, const char *absent)
{
	const char *text = cJSON_GetStringValue(kube_json_get(object, name));

	return text ? text : absent;
}

static inline bool kube_json_is_true(const cJSON *object, const char *name)
{
	return cJSON_IsTrue(kube_json_get(object, name));
}

/* Whole numbers up to 2^53, which is all that a JSON number keeps. 0: absent. */
static inline int64_t kube_json_number(const cJSON *object, const char *name)
{
	const cJSON *item = kube_json_get(object, name);

	if (!cJSON_IsNumber(item) || !(item->valuedouble > -9e15 && item->valuedouble < 9e15))
		return 0;
	return (int64_t)item->valuedouble;
}

#endif
