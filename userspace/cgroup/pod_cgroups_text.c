// SPDX-License-Identifier: MIT
/* JSON by cJSON. */
#include "cgroup/pod_cgroups_text.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define POD_CGROUPS_TEXT_VERSION 1

static bool pod_cgroups_text_add(cJSON *to, const char *name, const struct pod_cgroup *one)
{
	cJSON *item = cJSON_AddObjectToObject(to, name);

	return item && (!*one->id || cJSON_AddStringToObject(item, "id", one->id)) &&
	       (!*one->full.burst || cJSON_AddStringToObject(item, "burst", one->full.burst)) &&
	       (!*one->full.weight || cJSON_AddStringToObject(item, "weight", one->full.weight)) &&
	       (!*one->full.quota || cJSON_AddStringToObject(item, "quota", one->full.quota));
}

char *pod_cgroups_text_format(const struct pod_cgroup *all, size_t len)
{
	cJSON *root = cJSON_CreateObject();
	bool is_whole = cJSON_AddNumberToObject(root, "version", POD_CGROUPS_TEXT_VERSION) != NULL;
	cJSON *containers = cJSON_AddObjectToObject(root, "containers");
	char *text = NULL;

	for (size_t i = 0; i < len && is_whole; i++) {
		bool is_pod = !*all[i].name;

		is_whole = pod_cgroups_text_add(is_pod ? root : containers,
						is_pod ? "pod" : all[i].name, &all[i]);
	}
	if (is_whole && containers)
		text = cJSON_PrintUnformatted(root);
	cJSON_Delete(root);
	return text;
}

/* Whoever has changed the text: only these letters are written into a file of the kernel. */
static int pod_cgroups_text_take(char *out, size_t room, const cJSON *item, const char *letters)
{
	const char *text = cJSON_GetStringValue(item);

	if (!text || strlen(text) >= room || strspn(text, letters) != strlen(text))
		return -EINVAL;
	snprintf(out, room, "%s", text);
	return 0;
}

static int pod_cgroups_text_take_one(struct pod_cgroup *one, const cJSON *item)
{
	const char *id = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, "id"));
	const cJSON *weight = cJSON_GetObjectItemCaseSensitive(item, "weight");
	const cJSON *quota = cJSON_GetObjectItemCaseSensitive(item, "quota");
	const cJSON *burst = cJSON_GetObjectItemCaseSensitive(item, "burst");
	int r = 0;

	if (weight)
		r = pod_cgroups_text_take(one->full.weight, sizeof(one->full.weight), weight,
					  "0123456789");
	if (r == 0 && burst)
		r = pod_cgroups_text_take(one->full.burst, sizeof(one->full.burst), burst,
					  "0123456789");
	if (r == 0 && !quota)
		return -ENOENT;
	if (r == 0)
		r = pod_cgroups_text_take(one->full.quota, sizeof(one->full.quota), quota,
					  "-0123456789 max");
	if (r == 0 && !*one->full.quota)
		return -EINVAL;
	return r == 0 && strcmp(id ? id : "", one->id) != 0 ? -ENOENT : r;
}

/* Its containers; NULL: doze did not write this text. */
static const cJSON *pod_cgroups_text_containers(const cJSON *root)
{
	const cJSON *version = cJSON_GetObjectItemCaseSensitive(root, "version");
	const cJSON *containers = cJSON_GetObjectItemCaseSensitive(root, "containers");

	return cJSON_IsNumber(version) && version->valueint == POD_CGROUPS_TEXT_VERSION &&
			       cJSON_IsObject(containers)
		       ? containers
		       : NULL;
}

int pod_cgroups_text_parse(struct pod_cgroup *all, size_t len, const char *text)
{
	cJSON *root = cJSON_Parse(text);
	const cJSON *containers = pod_cgroups_text_containers(root);
	int r = containers ? 0 : -EINVAL;

	for (size_t i = 0; i < len && r != -EINVAL; i++) {
		bool is_pod = !*all[i].name;
		int r_one = pod_cgroups_text_take_one(
			&all[i], cJSON_GetObjectItemCaseSensitive(is_pod ? root : containers,
								  is_pod ? "pod" : all[i].name));

		r = r_one < 0 ? r_one : r;
	}
	cJSON_Delete(root);
	return r;
}

int pod_cgroups_text_each(const char *text, pod_cgroups_text_fn fn, void *arg)
{
	cJSON *root = cJSON_Parse(text);
	const cJSON *containers = pod_cgroups_text_containers(root), *item;
	int r = containers ? 0 : -EINVAL;

	cJSON_ArrayForEach(item, containers)
	{
		const char *id = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, "id"));

		if (r == 0 && id && pod_place_is_id(id) && *item->string)
			r = fn(arg, item->string, id);
	}
	cJSON_Delete(root);
	return r;
}

int pod_cgroups_text_has(const char *text, const char *name)
{
	cJSON *root = cJSON_Parse(text);
	const cJSON *containers = pod_cgroups_text_containers(root);
	int r = -EINVAL;

	if (containers)
		r = cJSON_GetObjectItemCaseSensitive(containers, name) != NULL;
	cJSON_Delete(root);
	return r;
}
