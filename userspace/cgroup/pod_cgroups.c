// SPDX-License-Identifier: MIT
/* A list of cgroups: the pod's, then its containers'. */
#include "cgroup/pod_cgroups.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "cgroup/cgroup_doomed.h"
#include "cgroup/cgroup_file.h"
#include "cgroup/pod_cgroups_text.h"
#include "cgroup/pod_place.h"
#include "cgroup/watchdog.h"

struct pod_cgroups {
	const struct cgroup_mounts *mounts;
	uint32_t asleep_millicpu;
	struct pod_cgroup *all; /* the first is the pod's */
	size_t len;
	struct watchdog *watchdog; /* NULL: nobody watches */
};

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

static void pod_cgroups_free_dirs(struct cgroup_dir dirs[CGROUP_CONTROLS])
{
	for (int control = 0; control < CGROUP_CONTROLS; control++)
		free(dirs[control].path);
}

void pod_cgroups_free(struct pod_cgroups **p)
{
	if (!*p)
		return;
	for (size_t i = 0; i < (*p)->len; i++)
		pod_cgroups_free_dirs((*p)->all[i].dirs);
	free((*p)->all);
	free(*p);
	*p = NULL;
}

/* --- finding --- */

/* Below the mount of the cpu controller; it is the same path below the others. */
static const char *pod_cgroups_below(const struct pod_cgroups *p, const char *dir)
{
	return dir + strlen(p->mounts->controls[CGROUP_CPU].point);
}

static int pod_cgroups_set_dirs(const struct pod_cgroups *p, struct pod_cgroup *one,
				const char *path)
{
	for (int control = 0; control < CGROUP_CONTROLS; control++) {
		const struct cgroup_mount *mount = &p->mounts->controls[control];
		struct cgroup_dir *dir = &one->dirs[control];

		dir->version = mount->version;
		if (mount->version && asprintf(&dir->path, "%s%s", mount->point, path) < 0) {
			dir->path = NULL;
			return -ENOMEM;
		}
	}
	return cgroup_file_format_quota(&one->dirs[CGROUP_CPU], p->asleep_millicpu, one->asleep);
}

static int pod_cgroups_append(struct pod_cgroups *p, const char *name, const char *id,
			      const char *path)
{
	struct pod_cgroup *grown = realloc(p->all, (p->len + 1) * sizeof(*grown));
	struct pod_cgroup *one;

	if (!grown)
		return -ENOMEM;
	p->all = grown;
	one = &p->all[p->len++];
	*one = (struct pod_cgroup){ 0 };
	snprintf(one->name, sizeof(one->name), "%s", name);
	snprintf(one->id, sizeof(one->id), "%s", id);
	return pod_cgroups_set_dirs(p, one, path);
}

static int pod_cgroups_find(struct pod_place *out, const struct pod_cgroups *p, const char *id)
{
	const struct cgroup_mount *mount = &p->mounts->controls[CGROUP_CPU];

	return mount->version ? pod_place_find(out, mount->point, id) : -ENODEV;
}

int pod_cgroups_add(struct pod_cgroups *p, const char *name, const char *id)
{
	struct pod_place place;
	int r = pod_cgroups_find(&place, p, id);

	if (r == 0 && p->len == 0)
		r = pod_cgroups_append(p, "", "", pod_cgroups_below(p, place.pod));
	if (r == 0)
		r = pod_cgroups_append(p, name, id, pod_cgroups_below(p, place.container));
	return r;
}

static int pod_cgroups_add_kept_one(void *arg, const char *name, const char *id)
{
	int r = pod_cgroups_add(arg, name, id);

	return r == -ENOENT ? 0 : r;
}

int pod_cgroups_add_kept(struct pod_cgroups *p, const char *text)
{
	int r = pod_cgroups_text_each(text, pod_cgroups_add_kept_one, p);

	if (r == 0 && p->len == 0)
		r = -ENOENT;
	return r;
}

int pod_cgroups_add_gone(struct pod_cgroups *p, const char *name)
{
	char path[PATH_MAX];
	int r = cgroup_file_path(path, p->all[0].dirs[CGROUP_CPU].path, "gone");

	if (r == 0)
		r = pod_cgroups_append(p, name, "", pod_cgroups_below(p, path));
	return r == -ENOMEM ? r : 0; /* that there is no such cgroup is known */
}

/* name NULL: the pod's. */
static struct pod_cgroup *pod_cgroups_named(const struct pod_cgroups *p, const char *name)
{
	for (size_t i = 0; i < p->len; i++) {
		if (strcmp(p->all[i].name, name ? name : "") == 0)
			return &p->all[i];
	}
	return NULL;
}

int pod_cgroups_follow(struct pod_cgroups *p, const char *name, const char *id)
{
	struct pod_cgroup *one = pod_cgroups_named(p, name), anew;
	struct pod_place place;
	int r;

	if (!one || strcmp(one->id, id) == 0)
		return 0;
	r = pod_cgroups_find(&place, p, id);
	if (r < 0)
		return r;
	anew = *one;
	memset(anew.dirs, 0, sizeof(anew.dirs));
	snprintf(anew.id, sizeof(anew.id), "%s", id);
	r = pod_cgroups_set_dirs(p, &anew, pod_cgroups_below(p, place.container));
	pod_cgroups_free_dirs(r < 0 ? anew.dirs : one->dirs);
	if (r < 0)
		return r;
	*one = anew;
	return 1;
}

pid_t pod_cgroups_process(const struct pod_cgroups *p)
{
	pid_t pid = -ESRCH;

	for (size_t i = 1; i < p->len && pid < 0; i++)
		pid = pod_place_process(p->all[i].dirs[CGROUP_CPU].path);
	return pid;
}

/* --- quotas and weights --- */

static int pod_cgroups_read_quota(const struct pod_cgroup *one, char out[CGROUP_QUOTA_TEXT_MAX])
{
	return cgroup_file_read_quota(&one->dirs[CGROUP_CPU], out);
}

/* "" if it cannot be read: not every kernel has weights, and a pod sleeps as well without. */
static void pod_cgroups_read_weight(const struct pod_cgroup *one, char out[CGROUP_WEIGHT_TEXT_MAX])
{
	if (cgroup_file_read_weight(&one->dirs[CGROUP_CPU], out) < 0)
		*out = '\0';
}

int pod_cgroups_take_full(struct pod_cgroups *p)
{
	for (size_t i = 0; i < p->len; i++) {
		struct pod_cgroup *one = &p->all[i];
		int r = pod_cgroups_read_quota(one, one->full.quota);

		if (r < 0)
			return log_err(r, "cannot read the CPU quota of '%s'",
				       one->dirs[CGROUP_CPU].path);
		pod_cgroups_read_weight(one, one->full.weight);
		cgroup_file_read_burst(&one->dirs[CGROUP_CPU], one->full.burst);
	}
	return 0;
}

static bool pod_cgroups_is_larger(const struct pod_cgroup *one, const char *quota, const char *than)
{
	return cgroup_file_is_larger(one->dirs[CGROUP_CPU].version, quota, than);
}

static bool pod_cgroups_is_heavier(const char *weight, const char *than)
{
	return strtoul(weight, NULL, 10) > strtoul(than, NULL, 10);
}

static void pod_cgroups_format_quota(const struct pod_cgroup *one, int64_t limit_millicpu,
				     char out[CGROUP_QUOTA_TEXT_MAX])
{
	if (cgroup_file_format_quota(&one->dirs[CGROUP_CPU], limit_millicpu, out) < 0)
		*out = '\0'; /* its cgroup is gone */
}

void pod_cgroups_derive_full(struct pod_cgroups *p, const char *name, int64_t limit_millicpu)
{
	struct pod_cgroup *one = pod_cgroups_named(p, name);

	if (one && !*one->full.quota)
		pod_cgroups_format_quota(one, limit_millicpu, one->full.quota);
}

const char *pod_cgroups_unknown(const struct pod_cgroups *p, size_t *i)
{
	while (*i < p->len) {
		const struct pod_cgroup *one = &p->all[(*i)++];

		if (!*one->full.quota && *one->name)
			return one->name;
	}
	return NULL;
}

void pod_cgroups_expect(struct pod_cgroups *p, const char *name, int64_t limit_millicpu)
{
	struct pod_cgroup *one = pod_cgroups_named(p, name);

	if (one)
		pod_cgroups_format_quota(one, limit_millicpu, one->expected);
}

static void pod_cgroups_learn(struct pod_cgroup *one)
{
	struct pod_cgroups_size now;

	if (*one->full.quota && pod_cgroups_read_quota(one, now.quota) == 0 &&
	    (pod_cgroups_is_larger(one, now.quota, one->full.quota) ||
	     strcmp(now.quota, one->expected) == 0))
		memcpy(one->full.quota, now.quota, sizeof(now.quota));
	pod_cgroups_read_weight(one, now.weight);
	if (*one->full.weight && pod_cgroups_is_heavier(now.weight, one->full.weight))
		memcpy(one->full.weight, now.weight, sizeof(now.weight));
}

/* A container's quota is never more than its pod's: on v1 the kernel refuses it. */
static void pod_cgroups_raise(struct pod_cgroups *p, struct pod_cgroup *one, const char *quota)
{
	struct pod_cgroup *pod = &p->all[0];

	if (!pod_cgroups_is_larger(one, quota, one->full.quota))
		return;
	memcpy(one->full.quota, quota, sizeof(one->full.quota));
	if (one != pod)
		pod_cgroups_raise(p, pod, quota);
}

void pod_cgroups_learn_full(struct pod_cgroups *p, bool is_over)
{
	for (size_t i = 0; i < p->len; i++) {
		pod_cgroups_learn(&p->all[i]);
		if (is_over)
			pod_cgroups_raise(p, &p->all[i], p->all[i].expected);
	}
}

/* A cgroup that is gone with its container needs nothing any more. */
static bool pod_cgroups_is_gone(int r)
{
	return r == -ENOENT || r == -ENODEV;
}

static int pod_cgroups_check_written(int r, const struct pod_cgroup *one, const char *what,
				     const char *text)
{
	if (r == 0 || pod_cgroups_is_gone(r))
		return 0;
	return log_err(r, "cannot set the CPU %s of '%s' to '%s'", what, one->dirs[CGROUP_CPU].path,
		       text);
}

static int pod_cgroups_write_quota(const struct pod_cgroup *one, const char *quota)
{
	int r = cgroup_file_write_quota(&one->dirs[CGROUP_CPU], quota);

	return pod_cgroups_check_written(r, one, "quota", quota);
}

static void pod_cgroups_write_burst(const struct pod_cgroup *one, const char *burst)
{
	const struct cgroup_dir *dir = &one->dirs[CGROUP_CPU];
	int r = *one->full.burst ? cgroup_file_write_burst(dir, burst) : 0;

	if (r < 0 && !pod_cgroups_is_gone(r))
		log_warn_err(r, "cannot set the CPU burst of '%s' to '%s'", dir->path, burst);
}

void pod_cgroups_drop_bursts(const struct pod_cgroups *p)
{
	for (size_t i = 0; i < p->len; i++)
		pod_cgroups_write_burst(&p->all[i], "0");
}

/* The asleep size may be more than the container has. */
static const char *pod_cgroups_asleep_quota(const struct pod_cgroup *one)
{
	if (*one->full.quota && pod_cgroups_is_larger(one, one->asleep, one->full.quota))
		return one->full.quota;
	return one->asleep;
}

static bool pod_cgroups_is_throttled(const struct pod_cgroup *one)
{
	char now[CGROUP_QUOTA_TEXT_MAX];

	return pod_cgroups_read_quota(one, now) == 0 &&
	       strcmp(now, pod_cgroups_asleep_quota(one)) == 0;
}

static bool pod_cgroups_is_freezing(const struct pod_cgroup *one)
{
	const struct cgroup_dir *dir = &one->dirs[CGROUP_FREEZER];

	return dir->version && cgroup_file_is_freezing(dir);
}

bool pod_cgroups_are_asleep(const struct pod_cgroups *p)
{
	for (size_t i = 1; i < p->len; i++) {
		if (!pod_cgroups_is_throttled(&p->all[i]) && !pod_cgroups_is_freezing(&p->all[i]))
			return false;
	}
	return p->len > 1;
}

bool pod_cgroups_is_asleep(const struct pod_cgroups *p, const char *name)
{
	const struct pod_cgroup *one = pod_cgroups_named(p, name);

	return one && (pod_cgroups_is_throttled(one) || pod_cgroups_is_freezing(one));
}

static bool pod_cgroups_is_undone(const struct pod_cgroup *one, bool was_frozen)
{
	char now[CGROUP_QUOTA_TEXT_MAX];

	if (pod_cgroups_read_quota(one, now) < 0)
		return false;
	return (was_frozen && !pod_cgroups_is_freezing(one)) ||
	       strcmp(now, pod_cgroups_asleep_quota(one)) != 0;
}

bool pod_cgroups_are_undone(const struct pod_cgroups *p, bool were_frozen)
{
	for (size_t i = 1; i < p->len; i++) {
		if (pod_cgroups_is_undone(&p->all[i], were_frozen))
			return true;
	}
	return false;
}

/* One that is gone is full, and so is one whose full quota was never known. */
static bool pod_cgroups_has_full_quota(const struct pod_cgroup *one)
{
	char now[CGROUP_QUOTA_TEXT_MAX];
	int r = pod_cgroups_read_quota(one, now);

	if (pod_cgroups_is_gone(r) || !*one->full.quota)
		return true;
	return r == 0 && !pod_cgroups_is_larger(one, one->full.quota, now);
}

static bool pod_cgroups_has_full_weight(const struct pod_cgroup *one)
{
	char now[CGROUP_WEIGHT_TEXT_MAX];

	pod_cgroups_read_weight(one, now);
	return !*now || !pod_cgroups_is_heavier(one->full.weight, now);
}

bool pod_cgroups_are_full(const struct pod_cgroups *p)
{
	for (size_t i = 0; i < p->len; i++) {
		const struct pod_cgroup *one = &p->all[i];

		if (!pod_cgroups_has_full_quota(one) || !pod_cgroups_has_full_weight(one) ||
		    (i > 0 && pod_cgroups_is_freezing(one)))
			return false;
	}
	return true;
}

static int pod_cgroups_fill(struct pod_cgroup *one)
{
	const char *weight = one->full.weight;
	int r = 0, r_weight = 0;

	pod_cgroups_learn(one);
	if (!pod_cgroups_has_full_quota(one))
		r = pod_cgroups_write_quota(one, one->full.quota);
	if (r == 0)
		pod_cgroups_write_burst(one, one->full.burst);
	if (!pod_cgroups_has_full_weight(one)) {
		r_weight = cgroup_file_write_weight(&one->dirs[CGROUP_CPU], weight);
		r_weight = pod_cgroups_check_written(r_weight, one, "weight", weight);
	}
	return r < 0 ? r : r_weight;
}

int pod_cgroups_set_full(struct pod_cgroups *p)
{
	int first = pod_cgroups_thaw(p);

	for (size_t i = 0; i < p->len; i++) {
		int r = pod_cgroups_fill(&p->all[i]);

		first = first == 0 ? r : first;
	}
	return first;
}

int pod_cgroups_throttle(struct pod_cgroups *p)
{
	int r = 0;

	for (size_t i = 1; i < p->len && r == 0; i++) {
		const struct pod_cgroup *one = &p->all[i];

		if (!pod_cgroups_is_throttled(one))
			r = pod_cgroups_write_quota(one, pod_cgroups_asleep_quota(one));
	}
	return r;
}

/* --- the freezer --- */

void pod_cgroups_watch(struct pod_cgroups *p, struct watchdog *w)
{
	p->watchdog = w;
}

static void pod_cgroups_tell_watchdog(const struct pod_cgroups *p, const struct cgroup_dir *dir,
				      bool is_frozen)
{
	char path[PATH_MAX];

	if (!p->watchdog || cgroup_file_freezer_path(path, dir) < 0)
		return;
	if (is_frozen)
		watchdog_add(p->watchdog, path, cgroup_file_thawed(dir->version));
	else
		watchdog_drop(p->watchdog, path);
}

bool pod_cgroups_is_any_freezing(const struct pod_cgroups *p)
{
	for (size_t i = 1; i < p->len; i++) {
		if (pod_cgroups_is_freezing(&p->all[i]))
			return true;
	}
	return false;
}

static int pod_cgroups_set_freezer(struct pod_cgroups *p, bool is_frozen)
{
	int first = 0;

	for (size_t i = 1; i < p->len; i++) {
		const struct cgroup_dir *dir = &p->all[i].dirs[CGROUP_FREEZER];
		int r;

		/* The watchdog knows of it before it is frozen, and until it is thawed. */
		if (is_frozen)
			pod_cgroups_tell_watchdog(p, dir, true);
		r = cgroup_file_freeze(dir, is_frozen);
		if (pod_cgroups_is_gone(r))
			r = 0;
		if (!is_frozen && r == 0)
			pod_cgroups_tell_watchdog(p, dir, false);
		if (r < 0 && first == 0)
			first = log_err(r, is_frozen ? "cannot freeze '%s'" : "cannot thaw '%s'",
					dir->path);
	}
	if (first < 0 && !is_frozen && p->watchdog)
		watchdog_undo(p->watchdog);
	return first;
}

static bool pod_cgroups_has_freezer(const struct pod_cgroups *p)
{
	return p->mounts->controls[CGROUP_FREEZER].version != 0;
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
		if (!cgroup_file_is_frozen(&p->all[i].dirs[CGROUP_FREEZER]))
			return false;
	}
	return true;
}

bool pod_cgroups_are_told_to_end(const struct pod_cgroups *p)
{
	for (size_t i = 1; i < p->len; i++) {
		const char *dir = p->all[i].dirs[CGROUP_FREEZER].path;

		if (dir && cgroup_doomed_is_told_to_end(dir))
			return true;
	}
	return false;
}

/* --- what they use --- */

/* The sum over the containers. */
static int pod_cgroups_sum(const struct pod_cgroups *p, enum cgroup_control control,
			   int (*read_us)(const struct cgroup_dir *dir, uint64_t *out),
			   uint64_t *out)
{
	if (!p->mounts->controls[control].version)
		return -ENODEV;
	*out = 0;
	for (size_t i = 1; i < p->len; i++) {
		uint64_t us;
		int r = read_us(&p->all[i].dirs[control], &us);

		if (r < 0)
			return r;
		*out += us;
	}
	return 0;
}

int pod_cgroups_usage_us(const struct pod_cgroups *p, uint64_t *out)
{
	return pod_cgroups_sum(p, CGROUP_USAGE, cgroup_file_read_usage_us, out);
}

int pod_cgroups_throttled_us(const struct pod_cgroups *p, uint64_t *out)
{
	return pod_cgroups_sum(p, CGROUP_CPU, cgroup_file_read_throttled_us, out);
}

const char *pod_cgroups_memory_dir(const struct pod_cgroups *p, size_t i)
{
	const struct cgroup_dir *dir = i + 1 < p->len ? &p->all[i + 1].dirs[CGROUP_CPU] : NULL;

	return dir && dir->version == 2 ? dir->path : NULL;
}

char *pod_cgroups_format(const struct pod_cgroups *p)
{
	return pod_cgroups_text_format(p->all, p->len);
}

int pod_cgroups_parse(struct pod_cgroups *p, const char *text)
{
	return pod_cgroups_text_parse(p->all, p->len, text);
}
