// SPDX-License-Identifier: MIT
/* A list of directories: the pod's, then its containers'. */
#include "cgroup/pod_cgroups.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/util.h"
#include "cgroup/cgroup_file.h"
#include "cgroup/pod_place.h"
#include "cgroup/watchdog.h"

/* Version 1 had the quotas alone, by their directories. */
#define POD_CGROUPS_STATE_VERSION 2

#define POD_CGROUPS_NAME_MAX 64

/* What is not known, or not there, is "". */
struct pod_cgroup_size {
	char quota[CGROUP_QUOTA_TEXT_MAX];
	char weight[CGROUP_WEIGHT_TEXT_MAX];
};

struct pod_cgroup {
	char name[POD_CGROUPS_NAME_MAX]; /* of the container; "": the pod */
	char id[POD_PLACE_ID_MAX];
	char *dirs[CGROUP_CONTROLS]; /* NULL where the hierarchy is not to be had */
	struct pod_cgroup_size full;
	char asleep[CGROUP_QUOTA_TEXT_MAX];
	char expected[CGROUP_QUOTA_TEXT_MAX]; /* pod_cgroups_expect() */
};

struct pod_cgroups {
	const struct cgroup_mounts *mounts;
	uint32_t asleep_millicpu;
	struct pod_cgroup *of; /* the first is the pod's */
	size_t len;
	struct watchdog *watchdog; /* NULL: nobody watches */
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

static void pod_cgroups_free_dirs(char *dirs[CGROUP_CONTROLS])
{
	for (int control = 0; control < CGROUP_CONTROLS; control++)
		free(dirs[control]);
}

void pod_cgroups_free(struct pod_cgroups **p)
{
	if (!*p)
		return;
	for (size_t i = 0; i < (*p)->len; i++)
		pod_cgroups_free_dirs((*p)->of[i].dirs);
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

		if (mount->version &&
		    asprintf(&one->dirs[control], "%s%s", mount->point, path) < 0) {
			one->dirs[control] = NULL;
			return -ENOMEM;
		}
	}
	return cgroup_quota_of(one->dirs[CGROUP_CPU], pod_cgroups_version(p, CGROUP_CPU),
			       p->asleep_millicpu, one->asleep);
}

static int pod_cgroups_append(struct pod_cgroups *p, const char *name, const char *id,
			      const char *path)
{
	struct pod_cgroup *grown = realloc(p->of, (p->len + 1) * sizeof(*grown));
	struct pod_cgroup *one;

	if (!grown)
		return -ENOMEM;
	p->of = grown;
	one = &p->of[p->len++];
	*one = (struct pod_cgroup){ 0 };
	snprintf(one->name, sizeof(one->name), "%s", name);
	snprintf(one->id, sizeof(one->id), "%s", id);
	return pod_cgroups_set_dirs(p, one, path);
}

/* Where it is below each hierarchy. The caller free()s *out. */
static int pod_cgroups_find(struct pod_place **out, const struct pod_cgroups *p, const char *id)
{
	const struct cgroup_mount *mount = &p->mounts->controls[CGROUP_CPU];
	_cleanup_(freep) struct pod_place *place = malloc(sizeof(*place));
	int r;

	if (!mount->version)
		return -ENODEV;
	r = place ? pod_place_find(place, mount->point, id) : -ENOMEM;
	if (r == 0)
		*out = TAKE_PTR(place);
	return r;
}

int pod_cgroups_add(struct pod_cgroups *p, const char *name, const char *id)
{
	size_t root_len = strlen(p->mounts->controls[CGROUP_CPU].point);
	_cleanup_(freep) struct pod_place *place = NULL;
	int r = pod_cgroups_find(&place, p, id);

	if (r == 0 && p->len == 0)
		r = pod_cgroups_append(p, "", "", place->pod + root_len);
	return r < 0 ? r : pod_cgroups_append(p, name, id, place->container + root_len);
}

/* Where none is, as if it had just been removed. */
int pod_cgroups_add_gone(struct pod_cgroups *p, const char *name)
{
	size_t root_len = strlen(p->mounts->controls[CGROUP_CPU].point);
	_cleanup_(freep) char *path = NULL;
	int r;

	if (asprintf(&path, "%s/gone", p->of[0].dirs[CGROUP_CPU] + root_len) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	r = pod_cgroups_append(p, name, "", path);
	return r == -ENOMEM ? r : 0;
}

/* NULL: the pod's. */
static struct pod_cgroup *pod_cgroups_named(const struct pod_cgroups *p, const char *name)
{
	for (size_t i = 0; i < p->len; i++) {
		if (strcmp(p->of[i].name, name ? name : "") == 0)
			return &p->of[i];
	}
	return NULL;
}

int pod_cgroups_follow(struct pod_cgroups *p, const char *name, const char *id)
{
	size_t root_len = strlen(p->mounts->controls[CGROUP_CPU].point);
	struct pod_cgroup *one = pod_cgroups_named(p, name);
	_cleanup_(freep) struct pod_place *place = NULL;
	struct pod_cgroup anew;
	int r;

	if (!one || strcmp(one->id, id) == 0)
		return 0;
	r = pod_cgroups_find(&place, p, id);
	if (r < 0)
		return r;
	anew = *one;
	memset(anew.dirs, 0, sizeof(anew.dirs));
	snprintf(anew.id, sizeof(anew.id), "%s", id);
	r = pod_cgroups_set_dirs(p, &anew, place->container + root_len);
	pod_cgroups_free_dirs(r < 0 ? anew.dirs : one->dirs);
	if (r < 0)
		return r;
	*one = anew;
	return 1;
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

/* --- quotas and weights --- */

static int pod_cgroups_read_quota(const struct pod_cgroups *p, const struct pod_cgroup *one,
				  char out[CGROUP_QUOTA_TEXT_MAX])
{
	return cgroup_quota_read(one->dirs[CGROUP_CPU], pod_cgroups_version(p, CGROUP_CPU), out);
}

/* One that cannot be read is "": not every kernel has it, and nobody sleeps less without. */
static void pod_cgroups_read_weight(const struct pod_cgroups *p, const struct pod_cgroup *one,
				    char out[CGROUP_WEIGHT_TEXT_MAX])
{
	if (cgroup_weight_read(one->dirs[CGROUP_CPU], pod_cgroups_version(p, CGROUP_CPU), out) < 0)
		*out = '\0';
}

int pod_cgroups_take_full(struct pod_cgroups *p)
{
	for (size_t i = 0; i < p->len; i++) {
		struct pod_cgroup *one = &p->of[i];
		int r = pod_cgroups_read_quota(p, one, one->full.quota);

		if (r < 0)
			return log_err(r, "cannot read the CPU quota of '%s'",
				       one->dirs[CGROUP_CPU]);
		pod_cgroups_read_weight(p, one, one->full.weight);
	}
	return 0;
}

static bool pod_cgroups_is_larger(const struct pod_cgroups *p, const char *quota, const char *than)
{
	return cgroup_quota_is_larger(pod_cgroups_version(p, CGROUP_CPU), quota, than);
}

static bool pod_cgroups_is_heavier(const char *weight, const char *than)
{
	return strtoul(weight, NULL, 10) > strtoul(than, NULL, 10);
}

static void pod_cgroups_text_of(const struct pod_cgroups *p, const struct pod_cgroup *one,
				int64_t limit_millicpu, char out[CGROUP_QUOTA_TEXT_MAX])
{
	if (cgroup_quota_of(one->dirs[CGROUP_CPU], pod_cgroups_version(p, CGROUP_CPU),
			    limit_millicpu, out) < 0)
		*out = '\0'; /* its cgroup is gone */
}

void pod_cgroups_derive_full(struct pod_cgroups *p, const char *name, int64_t limit_millicpu)
{
	struct pod_cgroup *one = pod_cgroups_named(p, name);

	if (one && !*one->full.quota)
		pod_cgroups_text_of(p, one, limit_millicpu, one->full.quota);
}

const char *pod_cgroups_unknown(const struct pod_cgroups *p, size_t *i)
{
	while (*i < p->len) {
		const struct pod_cgroup *one = &p->of[(*i)++];

		if (!*one->full.quota && *one->name)
			return one->name;
	}
	return NULL;
}

void pod_cgroups_expect(struct pod_cgroups *p, const char *name, int64_t limit_millicpu)
{
	struct pod_cgroup *one = pod_cgroups_named(p, name);

	if (one)
		pod_cgroups_text_of(p, one, limit_millicpu, one->expected);
}

static void pod_cgroups_learn(const struct pod_cgroups *p, struct pod_cgroup *one)
{
	struct pod_cgroup_size now;

	if (*one->full.quota && pod_cgroups_read_quota(p, one, now.quota) == 0 &&
	    (pod_cgroups_is_larger(p, now.quota, one->full.quota) ||
	     strcmp(now.quota, one->expected) == 0))
		memcpy(one->full.quota, now.quota, sizeof(now.quota));
	pod_cgroups_read_weight(p, one, now.weight);
	if (*one->full.weight && pod_cgroups_is_heavier(now.weight, one->full.weight))
		memcpy(one->full.weight, now.weight, sizeof(now.weight));
}

/* A container's quota is never more than its pod's: on v1 the kernel refuses it. */
static void pod_cgroups_raise(struct pod_cgroups *p, struct pod_cgroup *one, const char *quota)
{
	struct pod_cgroup *pod = &p->of[0];

	if (!pod_cgroups_is_larger(p, quota, one->full.quota))
		return;
	memcpy(one->full.quota, quota, sizeof(one->full.quota));
	if (one != pod)
		pod_cgroups_raise(p, pod, quota);
}

void pod_cgroups_learn_full(struct pod_cgroups *p, bool is_over)
{
	for (size_t i = 0; i < p->len; i++) {
		pod_cgroups_learn(p, &p->of[i]);
		if (is_over)
			pod_cgroups_raise(p, &p->of[i], p->of[i].expected);
	}
}

static int pod_cgroups_write_quota(const struct pod_cgroups *p, const struct pod_cgroup *one,
				   const char *quota)
{
	const char *dir = one->dirs[CGROUP_CPU];
	int r = cgroup_quota_write(dir, pod_cgroups_version(p, CGROUP_CPU), quota);

	if (r == 0 || r == -ENOENT || r == -ENODEV)
		return 0; /* done, or it is gone with its container */
	return log_err(r, "cannot set the CPU quota of '%s' to '%s'", dir, quota);
}

static int pod_cgroups_write_weight(const struct pod_cgroups *p, const struct pod_cgroup *one)
{
	const char *dir = one->dirs[CGROUP_CPU], *weight = one->full.weight;
	int r = cgroup_weight_write(dir, pod_cgroups_version(p, CGROUP_CPU), weight);

	if (r == 0 || r == -ENOENT || r == -ENODEV)
		return 0;
	return log_err(r, "cannot set the CPU weight of '%s' to '%s'", dir, weight);
}

/* The asleep size may be more than the container has. */
static const char *pod_cgroups_asleep_quota(const struct pod_cgroups *p,
					    const struct pod_cgroup *one)
{
	if (*one->full.quota && pod_cgroups_is_larger(p, one->asleep, one->full.quota))
		return one->full.quota;
	return one->asleep;
}

static bool pod_cgroups_is_throttled(const struct pod_cgroups *p, const struct pod_cgroup *one)
{
	char now[CGROUP_QUOTA_TEXT_MAX];

	return pod_cgroups_read_quota(p, one, now) == 0 &&
	       strcmp(now, pod_cgroups_asleep_quota(p, one)) == 0;
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
		if (!pod_cgroups_is_throttled(p, &p->of[i]) && !pod_cgroups_is_to_freeze(p, i))
			return false;
	}
	return p->len > 1;
}

/* Gone, or never known: full. */
static bool pod_cgroups_has_full_quota(const struct pod_cgroups *p, const struct pod_cgroup *one)
{
	char now[CGROUP_QUOTA_TEXT_MAX];
	int r = pod_cgroups_read_quota(p, one, now);

	if (r == -ENOENT || r == -ENODEV || !*one->full.quota)
		return true;
	return r == 0 && !pod_cgroups_is_larger(p, one->full.quota, now);
}

static bool pod_cgroups_has_full_weight(const struct pod_cgroups *p, const struct pod_cgroup *one)
{
	char now[CGROUP_WEIGHT_TEXT_MAX];

	pod_cgroups_read_weight(p, one, now);
	return !*now || !pod_cgroups_is_heavier(one->full.weight, now);
}

bool pod_cgroups_are_full(const struct pod_cgroups *p)
{
	for (size_t i = 0; i < p->len; i++) {
		if (!pod_cgroups_has_full_quota(p, &p->of[i]) ||
		    !pod_cgroups_has_full_weight(p, &p->of[i]) ||
		    (i > 0 && pod_cgroups_is_to_freeze(p, i)))
			return false;
	}
	return true;
}

static int pod_cgroups_fill(const struct pod_cgroups *p, struct pod_cgroup *one)
{
	int r = 0, r_weight = 0;

	pod_cgroups_learn(p, one);
	if (!pod_cgroups_has_full_quota(p, one))
		r = pod_cgroups_write_quota(p, one, one->full.quota);
	if (!pod_cgroups_has_full_weight(p, one))
		r_weight = pod_cgroups_write_weight(p, one);
	return r < 0 ? r : r_weight;
}

int pod_cgroups_set_full(struct pod_cgroups *p)
{
	int first = pod_cgroups_thaw(p);

	for (size_t i = 0; i < p->len; i++) {
		int r = pod_cgroups_fill(p, &p->of[i]);

		if (first == 0)
			first = r;
	}
	return first;
}

int pod_cgroups_throttle(struct pod_cgroups *p)
{
	for (size_t i = 1; i < p->len; i++) {
		const struct pod_cgroup *one = &p->of[i];
		int r = pod_cgroups_is_throttled(p, one)
				? 0
				: pod_cgroups_write_quota(p, one, pod_cgroups_asleep_quota(p, one));

		if (r < 0)
			return r;
	}
	return 0;
}

/* --- the freezer --- */

void pod_cgroups_watch(struct pod_cgroups *p, struct watchdog *w)
{
	p->watchdog = w;
}

/* Before it is frozen, and after it is thawed: in between somebody knows of it. */
static void pod_cgroups_tell_watchdog(const struct pod_cgroups *p, const char *dir, bool is_frozen)
{
	int version = pod_cgroups_version(p, CGROUP_FREEZER);
	char path[PATH_MAX];

	if (!p->watchdog)
		return;
	snprintf(path, sizeof(path), "%.*s/%s", PATH_MAX - 64, dir, cgroup_freezer_file(version));
	if (is_frozen)
		watchdog_add(p->watchdog, path, cgroup_freezer_thawed(version));
	else
		watchdog_drop(p->watchdog, path);
}

static int pod_cgroups_freeze_one(const struct pod_cgroups *p, const char *dir, bool is_frozen)
{
	int r;

	if (is_frozen)
		pod_cgroups_tell_watchdog(p, dir, true);
	r = cgroup_freezer_write(dir, pod_cgroups_version(p, CGROUP_FREEZER), is_frozen);
	if (!is_frozen && (r == 0 || r == -ENOENT || r == -ENODEV))
		pod_cgroups_tell_watchdog(p, dir, false);
	return r;
}

static int pod_cgroups_set_freezer(struct pod_cgroups *p, bool is_frozen)
{
	int first = 0;

	for (size_t i = 1; i < p->len; i++) {
		const char *dir = p->of[i].dirs[CGROUP_FREEZER];
		int r = pod_cgroups_freeze_one(p, dir, is_frozen);

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

static bool pod_cgroups_format_one(cJSON *in, const char *name, const struct pod_cgroup *one)
{
	cJSON *item = cJSON_AddObjectToObject(in, name);

	if (!item || (*one->id && !cJSON_AddStringToObject(item, "id", one->id)) ||
	    (*one->full.weight && !cJSON_AddStringToObject(item, "weight", one->full.weight)))
		return false;
	return !*one->full.quota || cJSON_AddStringToObject(item, "quota", one->full.quota);
}

char *pod_cgroups_format(const struct pod_cgroups *p)
{
	cJSON *root = cJSON_CreateObject();
	bool is_whole = cJSON_AddNumberToObject(root, "version", POD_CGROUPS_STATE_VERSION) != NULL;
	cJSON *containers = cJSON_AddObjectToObject(root, "containers");
	char *text = NULL;

	for (size_t i = 0; i < p->len && is_whole; i++)
		is_whole = i == 0 ? pod_cgroups_format_one(root, "pod", &p->of[i])
				  : pod_cgroups_format_one(containers, p->of[i].name, &p->of[i]);
	if (is_whole && containers)
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

static bool pod_cgroups_is_weight(const char *text)
{
	return strlen(text) < CGROUP_WEIGHT_TEXT_MAX && strspn(text, "0123456789") == strlen(text);
}

static int pod_cgroups_take_quota(struct pod_cgroup *one, const cJSON *item)
{
	const char *quota = cJSON_GetStringValue(item);

	if (!item)
		return -ENOENT;
	if (!quota || !pod_cgroups_is_quota(quota))
		return -EINVAL;
	snprintf(one->full.quota, sizeof(one->full.quota), "%s", quota);
	return 0;
}

static int pod_cgroups_take_weight(struct pod_cgroup *one, const cJSON *item)
{
	const char *weight = cJSON_GetStringValue(item);

	if (!item)
		return 0; /* there was none */
	if (!weight || !pod_cgroups_is_weight(weight))
		return -EINVAL;
	snprintf(one->full.weight, sizeof(one->full.weight), "%s", weight);
	return 0;
}

static int pod_cgroups_take_one(struct pod_cgroup *one, const cJSON *item)
{
	const char *id = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, "id"));
	int r = pod_cgroups_take_weight(one, cJSON_GetObjectItemCaseSensitive(item, "weight"));

	if (r == 0)
		r = pod_cgroups_take_quota(one, cJSON_GetObjectItemCaseSensitive(item, "quota"));
	return r == 0 && strcmp(id ? id : "", one->id) != 0 ? -ENOENT : r;
}

/* Where the text says something of one of them; version 1 or 2. */
static int pod_cgroups_take_from(struct pod_cgroup *one, const cJSON *root, int version)
{
	const cJSON *in = cJSON_GetObjectItemCaseSensitive(root,
							   version == 1 ? "quotas" : "containers");

	if (!cJSON_IsObject(in))
		return -EINVAL;
	if (version == 1)
		return pod_cgroups_take_quota(
			one, cJSON_GetObjectItemCaseSensitive(in, one->dirs[CGROUP_CPU]));
	if (!*one->name)
		return pod_cgroups_take_one(one, cJSON_GetObjectItemCaseSensitive(root, "pod"));
	return pod_cgroups_take_one(one, cJSON_GetObjectItemCaseSensitive(in, one->name));
}

/* 0: none that we know. */
static int pod_cgroups_text_version(const cJSON *root)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(root, "version");
	int version = cJSON_IsNumber(item) ? item->valueint : 0;

	return version == 1 || version == POD_CGROUPS_STATE_VERSION ? version : 0;
}

int pod_cgroups_parse(struct pod_cgroups *p, const char *text)
{
	cJSON *root = cJSON_Parse(text);
	int version = pod_cgroups_text_version(root);
	int r = version ? 0 : -EINVAL;

	for (size_t i = 0; i < p->len && r != -EINVAL; i++) {
		int r_one = pod_cgroups_take_from(&p->of[i], root, version);

		r = r_one < 0 ? r_one : r;
	}
	cJSON_Delete(root);
	return r;
}

static bool pod_cgroups_has_id(const cJSON *quotas, const char *id)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, quotas)
	{
		if (*id && item->string && strstr(item->string, id))
			return true;
	}
	return false;
}

int pod_cgroups_text_has(const char *text, const char *name, const char *id)
{
	cJSON *root = cJSON_Parse(text);
	int version = pod_cgroups_text_version(root);
	const cJSON *in = cJSON_GetObjectItemCaseSensitive(root,
							   version == 1 ? "quotas" : "containers");
	int r = -EINVAL;

	if (version && cJSON_IsObject(in))
		r = version == 1 ? pod_cgroups_has_id(in, id) : cJSON_HasObjectItem(in, name) != 0;
	cJSON_Delete(root);
	return r;
}
