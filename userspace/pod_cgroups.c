// SPDX-License-Identifier: MIT
/* A list of directories: the pod's, then its containers'. */
#include "pod_cgroups.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cgroup_file.h"
#include "file.h"
#include "log.h"
#include "pod_place.h"
#include "util.h"

#define POD_CGROUPS_STATE_VERSION 1

/* NULL where the hierarchy is not to be had. */
struct pod_cgroup {
	char *dirs[CGROUP_CONTROLS];
	char full[CGROUP_QUOTA_TEXT_MAX];
	char asleep[CGROUP_QUOTA_TEXT_MAX];
};

struct pod_cgroups {
	const struct cgroup_mounts *mounts;
	uint32_t asleep_millicpu;
	struct pod_cgroup *of; /* the first is the pod's */
	size_t len;
};

static int pod_cgroups_version(const struct pod_cgroups *p, enum cgroup_control control)
{
	return p->mounts->controls[control].version;
}

int pod_cgroups_new(struct pod_cgroups **out, const struct cgroup_mounts *mounts,
		    uint32_t asleep_millicpu)
{
	struct pod_cgroups *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->mounts = mounts;
	p->asleep_millicpu = asleep_millicpu;
	*out = p;
	return 0;
}

void pod_cgroups_free(struct pod_cgroups **p)
{
	if (!*p)
		return;
	for (size_t i = 0; i < (*p)->len; i++) {
		for (int control = 0; control < CGROUP_CONTROLS; control++)
			free((*p)->of[i].dirs[control]);
	}
	free((*p)->of);
	free(*p);
	*p = NULL;
}

/* --- finding --- */

/* The same path in each hierarchy; that of the usage may be another file of the quota's. */
static int pod_cgroups_set_dirs(const struct pod_cgroups *p, struct pod_cgroup *one,
				const char *path)
{
	for (int control = 0; control < CGROUP_CONTROLS; control++) {
		const struct cgroup_mount *mount = &p->mounts->controls[control];

		if (mount->version && asprintf(&one->dirs[control], "%s%s", mount->point, path) < 0)
			return -ENOMEM;
	}
	return cgroup_quota_of(one->dirs[CGROUP_CPU], pod_cgroups_version(p, CGROUP_CPU),
			       p->asleep_millicpu, one->asleep);
}

static int pod_cgroups_append(struct pod_cgroups *p, const char *path)
{
	struct pod_cgroup *grown = realloc(p->of, (p->len + 1) * sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	p->of = grown;
	p->of[p->len] = (struct pod_cgroup){ 0 };
	return pod_cgroups_set_dirs(p, &p->of[p->len++], path);
}

int pod_cgroups_add(struct pod_cgroups *p, const char *id)
{
	const struct cgroup_mount *mount = &p->mounts->controls[CGROUP_CPU];
	size_t root_len = strlen(mount->point);
	_cleanup_(freep) struct pod_place *place = malloc(sizeof(*place));
	int r;

	if (!mount->version)
		return -ENODEV;
	r = place ? pod_place_find(place, mount->point, id) : -ENOMEM;
	if (r == 0 && p->len == 0)
		r = pod_cgroups_append(p, place->pod + root_len);
	return r < 0 ? r : pod_cgroups_append(p, place->container + root_len);
}

pid_t pod_cgroups_process(const struct pod_cgroups *p)
{
	_cleanup_(freep) struct pod_place *place = calloc(1, sizeof(*place));
	pid_t pid = -ESRCH;

	for (size_t i = 1; place && i < p->len && pid < 0; i++) {
		snprintf(place->container, sizeof(place->container), "%s",
			 p->of[i].dirs[CGROUP_CPU]);
		pid = pod_place_process(place);
	}
	return pid;
}

/* --- quotas --- */

static int pod_cgroups_read(const struct pod_cgroups *p, size_t i, char out[CGROUP_QUOTA_TEXT_MAX])
{
	return cgroup_quota_read(p->of[i].dirs[CGROUP_CPU], pod_cgroups_version(p, CGROUP_CPU),
				 out);
}

int pod_cgroups_take_full(struct pod_cgroups *p)
{
	for (size_t i = 0; i < p->len; i++) {
		int r = pod_cgroups_read(p, i, p->of[i].full);

		if (r < 0)
			return log_err(r, "cannot read the CPU quota of '%s'",
				       p->of[i].dirs[CGROUP_CPU]);
	}
	return 0;
}

static int pod_cgroups_write(const struct pod_cgroups *p, size_t i, const char *quota)
{
	const char *dir = p->of[i].dirs[CGROUP_CPU];
	int r = cgroup_quota_write(dir, pod_cgroups_version(p, CGROUP_CPU), quota);

	if (r == 0 || r == -ENOENT || r == -ENODEV)
		return 0; /* done, or it is gone with its container */
	return log_err(r, "cannot set the CPU quota of '%s' to '%s'", dir, quota);
}

static bool pod_cgroups_has(const struct pod_cgroups *p, size_t i, const char *quota)
{
	char now[CGROUP_QUOTA_TEXT_MAX];

	return pod_cgroups_read(p, i, now) == 0 && strcmp(now, quota) == 0;
}

static bool pod_cgroups_has_freezer(const struct pod_cgroups *p)
{
	return pod_cgroups_version(p, CGROUP_FREEZER) != 0;
}

static bool pod_cgroups_is_to_freeze(const struct pod_cgroups *p, size_t i)
{
	return pod_cgroups_has_freezer(p) &&
	       cgroup_freezer_is_asked(p->of[i].dirs[CGROUP_FREEZER],
				       pod_cgroups_version(p, CGROUP_FREEZER));
}

bool pod_cgroups_are_asleep(const struct pod_cgroups *p)
{
	for (size_t i = 1; i < p->len; i++) {
		if (!pod_cgroups_has(p, i, p->of[i].asleep) && !pod_cgroups_is_to_freeze(p, i))
			return false;
	}
	return p->len > 1;
}

bool pod_cgroups_are_full(const struct pod_cgroups *p)
{
	char now[CGROUP_QUOTA_TEXT_MAX];

	for (size_t i = 0; i < p->len; i++) {
		int r = pod_cgroups_read(p, i, now);

		if (r == -ENOENT || r == -ENODEV || !*p->of[i].full)
			continue; /* gone, or never known */
		if (r < 0 || strcmp(now, p->of[i].full) != 0 ||
		    (i > 0 && pod_cgroups_is_to_freeze(p, i)))
			return false;
	}
	return true;
}

int pod_cgroups_set_full(struct pod_cgroups *p)
{
	int first = pod_cgroups_thaw(p);

	for (size_t i = 0; i < p->len; i++) {
		int r = *p->of[i].full ? pod_cgroups_write(p, i, p->of[i].full) : 0;

		if (first == 0)
			first = r;
	}
	return first;
}

int pod_cgroups_throttle(struct pod_cgroups *p)
{
	for (size_t i = 1; i < p->len; i++) {
		int r = pod_cgroups_has(p, i, p->of[i].asleep)
				? 0
				: pod_cgroups_write(p, i, p->of[i].asleep);

		if (r < 0)
			return r;
	}
	return 0;
}

/* --- the freezer --- */

static int pod_cgroups_set_freezer(struct pod_cgroups *p, bool is_frozen)
{
	int first = 0;

	for (size_t i = 1; i < p->len; i++) {
		const char *dir = p->of[i].dirs[CGROUP_FREEZER];
		int r = cgroup_freezer_write(dir, pod_cgroups_version(p, CGROUP_FREEZER),
					     is_frozen);

		if (r < 0 && r != -ENOENT && r != -ENODEV && first == 0)
			first = log_err(r, is_frozen ? "cannot freeze '%s'" : "cannot thaw '%s'",
					dir);
	}
	return first;
}

int pod_cgroups_freeze(struct pod_cgroups *p)
{
	return pod_cgroups_has_freezer(p) ? pod_cgroups_set_freezer(p, true) : -ENODEV;
}

int pod_cgroups_thaw(struct pod_cgroups *p)
{
	return pod_cgroups_has_freezer(p) ? pod_cgroups_set_freezer(p, false) : 0;
}

bool pod_cgroups_are_frozen(const struct pod_cgroups *p)
{
	for (size_t i = 1; i < p->len; i++) {
		if (!cgroup_freezer_is_done(p->of[i].dirs[CGROUP_FREEZER],
					    pod_cgroups_version(p, CGROUP_FREEZER)))
			return false;
	}
	return true;
}

/* --- what they use --- */

int pod_cgroups_usage_us(const struct pod_cgroups *p, uint64_t *out)
{
	bool is_v2 = pod_cgroups_version(p, CGROUP_USAGE) == 2;
	char path[PATH_MAX];

	if (!pod_cgroups_version(p, CGROUP_USAGE))
		return -ENODEV;
	*out = 0;
	for (size_t i = 1; i < p->len; i++) {
		uint64_t used;
		int r;

		snprintf(path, sizeof(path), "%.*s/%s", PATH_MAX - 64, p->of[i].dirs[CGROUP_USAGE],
			 is_v2 ? "cpu.stat" : "cpuacct.usage");
		r = file_read_u64(path, is_v2 ? "usage_usec" : NULL, &used);
		if (r < 0)
			return r;
		*out += is_v2 ? used : used / NS_PER_US;
	}
	return 0;
}

const char *pod_cgroups_memory_dir(const struct pod_cgroups *p, size_t i)
{
	bool is_v2 = pod_cgroups_version(p, CGROUP_CPU) == 2;

	return is_v2 && i + 1 < p->len ? p->of[i + 1].dirs[CGROUP_CPU] : NULL;
}

/* --- as text --- */

char *pod_cgroups_format(const struct pod_cgroups *p)
{
	cJSON *root = cJSON_CreateObject();
	cJSON *quotas = cJSON_AddObjectToObject(root, "quotas");
	char *text = NULL;
	bool is_whole = cJSON_AddNumberToObject(root, "version", POD_CGROUPS_STATE_VERSION) &&
			quotas;

	for (size_t i = 0; i < p->len && is_whole; i++)
		is_whole = cJSON_AddStringToObject(quotas, p->of[i].dirs[CGROUP_CPU],
						   p->of[i].full);
	if (is_whole)
		text = cJSON_PrintUnformatted(root);
	cJSON_Delete(root);
	return text;
}

/* What is written into a file of the kernel's is a quota, whoever has changed the text. */
static bool pod_cgroups_is_quota(const char *text)
{
	return *text && strlen(text) < CGROUP_QUOTA_TEXT_MAX &&
	       strspn(text, "-0123456789 max") == strlen(text);
}

static int pod_cgroups_take_quota(struct pod_cgroup *one, const cJSON *quotas)
{
	const char *quota = cJSON_GetStringValue(
		cJSON_GetObjectItemCaseSensitive(quotas, one->dirs[CGROUP_CPU]));

	if (!quota)
		return -ENOENT;
	if (!pod_cgroups_is_quota(quota))
		return -EINVAL;
	snprintf(one->full, sizeof(one->full), "%s", quota);
	return 0;
}

int pod_cgroups_parse(struct pod_cgroups *p, const char *text)
{
	cJSON *root = cJSON_Parse(text);
	const cJSON *version = cJSON_GetObjectItemCaseSensitive(root, "version");
	const cJSON *quotas = cJSON_GetObjectItemCaseSensitive(root, "quotas");
	int r = cJSON_IsObject(quotas) && cJSON_IsNumber(version) &&
				version->valueint == POD_CGROUPS_STATE_VERSION
			? 0
			: -EINVAL;

	for (size_t i = 0; i < p->len && r == 0; i++)
		r = pod_cgroups_take_quota(&p->of[i], quotas);
	cJSON_Delete(root);
	return r;
}
