// SPDX-License-Identifier: MIT
/* Finds, makes and removes cgroups, v1 and v2. */
#include "cgroup/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/util.h"

#define CGROUP_PARENT	   "doze"
#define CGROUP_NAME_PREFIX "run-"

/* More dozes than that do not come in between. */
#define CGROUP_TRIES 16

static const char *const cgroup_v1_names[CGROUP_CONTROLS] = {
	[CGROUP_FREEZER] = "freezer",
	[CGROUP_CPU] = "cpu",
	[CGROUP_USAGE] = "cpuacct",
};

/* Whether list, separated by commas, has name. */
static bool cgroup_list_has(const char *list, size_t list_len, const char *name)
{
	size_t len = strlen(name);

	for (size_t at = 0; at + len <= list_len; at++) {
		bool begins = at == 0 || list[at - 1] == ',';
		bool ends = at + len == list_len || list[at + len] == ',';

		if (begins && ends && strncmp(list + at, name, len) == 0)
			return true;
	}
	return false;
}

/* Undoes mountinfo's \040 and the like; false when it does not fit. */
static bool cgroup_unescape(char out[PATH_MAX], const char *text, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		if (n + 1 >= PATH_MAX)
			return false;
		if (text[i] == '\\' && i + 3 < len) {
			out[n++] = (char)((text[i + 1] & 7) << 6 | (text[i + 2] & 7) << 3 |
					  (text[i + 3] & 7));
			i += 3;
		} else {
			out[n++] = text[i];
		}
	}
	out[n] = '\0';
	return true;
}

/* The fields of a line, [start, start + len), separated by spaces. */
struct cgroup_field {
	const char *start;
	size_t len;
};

#define CGROUP_FIELDS_MAX 32

static size_t cgroup_split(struct cgroup_field fields[CGROUP_FIELDS_MAX], const char *line,
			   const char *end)
{
	size_t n = 0;

	while (line < end && n < CGROUP_FIELDS_MAX) {
		const char *space = memchr(line, ' ', (size_t)(end - line));

		fields[n].start = line;
		fields[n].len = (size_t)((space ? space : end) - line);
		n++;
		if (!space)
			break;
		line = space + 1;
	}
	return n;
}

static bool cgroup_field_is(const struct cgroup_field *field, const char *text)
{
	return field->len == strlen(text) && strncmp(field->start, text, field->len) == 0;
}

/* Whether inner is the directory outer, or one below it. */
static bool cgroup_is_within(const char *inner, const char *outer)
{
	size_t len = strlen(outer);

	if (strcmp(outer, "/") == 0)
		return true;
	return strncmp(inner, outer, len) == 0 && (inner[len] == '/' || inner[len] == '\0');
}

static void cgroup_take_mount(struct cgroup_mount *out, int version,
			      const struct cgroup_field *root, const struct cgroup_field *point,
			      const char *under)
{
	struct cgroup_mount taken = { .version = version };

	/* The first v1 mount wins over a later one and over any of v2. */
	if (out->version == 1 || (out->version == 2 && version == 2))
		return;
	if (cgroup_unescape(taken.root, root->start, root->len) &&
	    cgroup_unescape(taken.point, point->start, point->len) &&
	    cgroup_is_within(taken.point, under))
		*out = taken;
}

/* id parent major:minor root point options [tag]... - type source super-options */
static void cgroup_parse_mount(struct cgroup_mounts *out, const char *line, const char *end,
			       const char *under)
{
	struct cgroup_field fields[CGROUP_FIELDS_MAX];
	size_t n = cgroup_split(fields, line, end);
	size_t dash = 6;

	while (dash < n && !cgroup_field_is(&fields[dash], "-"))
		dash++;
	if (dash + 3 >= n)
		return;
	for (int control = 0; control < CGROUP_CONTROLS; control++) {
		const struct cgroup_field *options = &fields[dash + 3];
		int version = 0;

		if (cgroup_field_is(&fields[dash + 1], "cgroup2"))
			version = 2;
		else if (cgroup_field_is(&fields[dash + 1], "cgroup") &&
			 cgroup_list_has(options->start, options->len, cgroup_v1_names[control]))
			version = 1;
		if (version)
			cgroup_take_mount(&out->controls[control], version, &fields[3], &fields[4],
					  under);
	}
}

void cgroup_parse_mountinfo(struct cgroup_mounts *out, const char *mountinfo, const char *under)
{
	memset(out, 0, sizeof(*out));
	while (*mountinfo) {
		const char *end = strchrnul(mountinfo, '\n');

		cgroup_parse_mount(out, mountinfo, end, under);
		mountinfo = *end ? end + 1 : end;
	}
}

/* hierarchy-id:controllers:path; v2 is 0::path. */
static bool cgroup_is_line_of(const char *line, const char *end, int version,
			      enum cgroup_control control, const char **path_out)
{
	const char *controllers = memchr(line, ':', (size_t)(end - line));
	const char *path;

	if (!controllers)
		return false;
	controllers++;
	path = memchr(controllers, ':', (size_t)(end - controllers));
	if (!path)
		return false;
	*path_out = path + 1;
	if (version == 2)
		return strncmp(line, "0::", 3) == 0;
	return cgroup_list_has(controllers, (size_t)(path - controllers), cgroup_v1_names[control]);
}

int cgroup_parse_path(char out[PATH_MAX], const char *text, int version,
		      enum cgroup_control control)
{
	while (*text) {
		const char *end = strchrnul(text, '\n');
		const char *path;

		if (cgroup_is_line_of(text, end, version, control, &path)) {
			if (end - path >= PATH_MAX)
				return -ENAMETOOLONG;
			memcpy(out, path, (size_t)(end - path));
			out[end - path] = '\0';
			return 0;
		}
		text = *end ? end + 1 : end;
	}
	return -ENOENT;
}

static int cgroup_join(char out[PATH_MAX], const char *a, const char *b)
{
	return snprintf(out, PATH_MAX, "%s/%s", a, b) < PATH_MAX ? 0 : -ENAMETOOLONG;
}

/* On v2 the cpu files exist only where the controller is there and its parent hands it down. */
static bool cgroup_v2_has_cpu(const struct cgroup_mount *mount)
{
	_cleanup_(freep) char *controllers = NULL;
	char path[PATH_MAX];

	if (cgroup_join(path, mount->point, "cgroup.controllers") < 0 ||
	    file_read(path, &controllers) < 0)
		return false;
	for (char *c = controllers; *c; c++)
		*c = *c == ' ' ? ',' : *c == '\n' ? '\0' : *c;
	return cgroup_list_has(controllers, strlen(controllers), "cpu");
}

int cgroup_find_mounts(struct cgroup_mounts *out, const char *under)
{
	_cleanup_(freep) char *mountinfo = NULL;
	struct cgroup_mount *cpu = &out->controls[CGROUP_CPU];
	int r = file_read("/proc/self/mountinfo", &mountinfo);

	if (r < 0)
		return log_err(r, "cannot read '/proc/self/mountinfo'");
	cgroup_parse_mountinfo(out, mountinfo, under);
	if (cpu->version == 2 && !cgroup_v2_has_cpu(cpu))
		cpu->version = 0;
	return 0;
}

static int cgroup_check_needs(const struct cgroup_mounts *mounts, const struct cgroup_needs *needs)
{
	if (needs->needs_freezer && !mounts->controls[CGROUP_FREEZER].version)
		return log_err(-ENODEV,
			       "this machine has no cgroup controller 'freezer': mount cgroup v2, "
			       "or v1's freezer, or try --asleep=throttle");
	if (needs->needs_cpu && !mounts->controls[CGROUP_CPU].version)
		return log_err(-ENODEV,
			       "this machine has no cgroup controller 'cpu': mount cgroup v2 with "
			       "it, or v1's cpu, or try --asleep=freeze");
	return 0;
}

/* A directory that is there already is as good as a new one. */
static int cgroup_mkdir(const char *dir)
{
	return mkdir(dir, 0755) == 0 || errno == EEXIST ? 0 : -errno;
}

/* v2 hands a controller down one level at a time. */
static void cgroup_hand_down_cpu(const char *dir)
{
	char path[PATH_MAX];
	int r = cgroup_join(path, dir, "cgroup.subtree_control");

	if (r == 0)
		r = file_write(path, "+cpu");
	if (r < 0)
		log_debug("cannot hand the cpu controller down", "cgroup=%s errno=%d", dir, -r);
}

static bool cgroup_is_first_of_dir(const struct cgroup *cg, int control)
{
	for (int i = 0; i < control; i++) {
		if (cg->controls[i].version &&
		    strcmp(cg->controls[i].dir, cg->controls[control].dir) == 0)
			return false;
	}
	return cg->controls[control].version != 0;
}

/* The parent of all dozes goes with the last of them, perhaps between our two mkdirs. */
static int cgroup_mkdir_in(const char *parent, const char *dir, const struct cgroup_mount *cpu_v2)
{
	int r = -ENOENT;

	for (int i = 0; i < CGROUP_TRIES && r == -ENOENT; i++) {
		r = cgroup_mkdir(parent);
		if (r < 0)
			return r;
		if (cpu_v2) {
			cgroup_hand_down_cpu(cpu_v2->point);
			cgroup_hand_down_cpu(parent);
		}
		r = cgroup_mkdir(dir);
	}
	return r;
}

/* Leaves the directory's name in cg also when it fails, for the message. */
static int cgroup_create_in(struct cgroup *cg, const struct cgroup_mount *mount, int control,
			    const char *name)
{
	char parent[PATH_MAX];
	char *dir = cg->controls[control].dir;
	int r = cgroup_join(parent, mount->point, CGROUP_PARENT);

	if (r == 0)
		r = cgroup_join(dir, parent, name);
	if (r < 0)
		return r;
	r = cgroup_mkdir_in(parent, dir,
			    mount->version == 2 && control == CGROUP_CPU ? mount : NULL);
	if (r == 0)
		cg->controls[control].version = mount->version;
	return r;
}

static bool cgroup_is_same_dir(int fd, const char *dir)
{
	struct stat opened, named;

	return fstat(fd, &opened) == 0 && stat(dir, &named) == 0 && opened.st_ino == named.st_ino &&
	       opened.st_dev == named.st_dev;
}

/* Where the lock is: a hierarchy that every doze of this machine uses. */
static int cgroup_lock_control(const struct cgroup_mounts *mounts)
{
	return mounts->controls[CGROUP_FREEZER].version ? CGROUP_FREEZER : CGROUP_CPU;
}

/*
 * Between our mkdir and our lock, the sweep of another doze may take the directory for an
 * abandoned one; and its parent goes with the last of its children. Then it is made again.
 */
static int cgroup_create_locked(struct cgroup *cg, const struct cgroup_mount *mount, int control,
				const char *name)
{
	for (int i = 0; i < CGROUP_TRIES; i++) {
		_cleanup_(closep) int fd = -1;
		int r = cgroup_create_in(cg, mount, control, name);

		if (r == 0)
			r = fd = file_lock_directory(cg->controls[control].dir, LOCK_EX);
		if (r < 0 && r != -ENOENT)
			return r;
		if (r >= 0 && cgroup_is_same_dir(fd, cg->controls[control].dir)) {
			cg->lock_fd = TAKE_FD(fd);
			return 0;
		}
	}
	return -EBUSY;
}

static int cgroup_create_all(struct cgroup *cg, const struct cgroup_mounts *mounts,
			     const char *name)
{
	int first = cgroup_lock_control(mounts);
	int r = cgroup_create_locked(cg, &mounts->controls[first], first, name);

	if (r < 0)
		return log_err(r, "cannot make the cgroup '%s'", cg->controls[first].dir);
	for (int control = 0; control < CGROUP_CONTROLS; control++) {
		if (control == first || !mounts->controls[control].version)
			continue;
		r = cgroup_create_in(cg, &mounts->controls[control], control, name);
		if (r < 0)
			return log_err(r, "cannot make the cgroup '%s'", cg->controls[control].dir);
	}
	return 0;
}

int cgroup_create(struct cgroup *out, const struct cgroup_mounts *mounts,
		  const struct cgroup_needs *needs)
{
	struct cgroup cg = CGROUP_EMPTY;
	char name[32];
	int r = cgroup_check_needs(mounts, needs);

	if (r < 0)
		return r;
	cg.is_own = true;
	snprintf(name, sizeof(name), CGROUP_NAME_PREFIX "%d", (int)getpid());
	r = cgroup_create_all(&cg, mounts, name);
	if (r < 0) {
		cgroup_remove(&cg);
		return r;
	}
	*out = cg;
	return 0;
}

/* The directory of path in mount; -EXDEV when only another part of the hierarchy is mounted. */
static int cgroup_dir_of(char out[PATH_MAX], const struct cgroup_mount *mount, const char *path)
{
	size_t root_len = strcmp(mount->root, "/") == 0 ? 0 : strlen(mount->root);

	if (strncmp(path, mount->root, root_len) != 0 ||
	    (path[root_len] != '/' && path[root_len] != '\0'))
		return -EXDEV;
	return snprintf(out, PATH_MAX, "%s%s", mount->point, path + root_len) < PATH_MAX
		       ? 0
		       : -ENAMETOOLONG;
}

static int cgroup_check_shared(const char *path, const char *own_path, pid_t pid,
			       const char *controller)
{
	if (strcmp(path, "/") == 0)
		return log_err(
			-EINVAL,
			"pid '%d' is in the root cgroup of '%s', with the whole machine: start "
			"it with doze run -- COMMAND, or give it a cgroup of its own",
			(int)pid, controller);
	if (cgroup_is_within(own_path, path))
		return log_err(-EINVAL,
			       "pid '%d' is in the cgroup '%s', and so is doze itself: start doze "
			       "from somewhere else",
			       (int)pid, path);
	return 0;
}

static int cgroup_of_pid_in(struct cgroup *cg, const struct cgroup_mount *mount, int control,
			    const char *text, const char *own_text, pid_t pid)
{
	char path[PATH_MAX], own_path[PATH_MAX];
	enum cgroup_control which = (enum cgroup_control)control;
	int r = cgroup_parse_path(path, text, mount->version, which);

	if (r == 0)
		r = cgroup_parse_path(own_path, own_text, mount->version, which);
	if (r == 0)
		r = cgroup_dir_of(cg->controls[control].dir, mount, path);
	if (r < 0)
		return log_err(r, "cannot find the cgroup of pid '%d' for '%s'", (int)pid,
			       cgroup_v1_names[control]);
	r = cgroup_check_shared(path, own_path, pid, cgroup_v1_names[control]);
	if (r == 0)
		cg->controls[control].version = mount->version;
	return r;
}

/* The usage is only shown: a process of the root cgroup has none of its own, and that is fine. */
static void cgroup_take_usage(struct cgroup *cg, const struct cgroup_mounts *mounts,
			      const char *text)
{
	const struct cgroup_mount *mount = &mounts->controls[CGROUP_USAGE];
	char path[PATH_MAX];

	if (mount->version && cgroup_parse_path(path, text, mount->version, CGROUP_USAGE) == 0 &&
	    strcmp(path, "/") != 0 &&
	    cgroup_dir_of(cg->controls[CGROUP_USAGE].dir, mount, path) == 0)
		cg->controls[CGROUP_USAGE].version = mount->version;
}

int cgroup_of_pid(struct cgroup *out, const struct cgroup_mounts *mounts,
		  const struct cgroup_needs *needs, pid_t pid)
{
	_cleanup_(freep) char *text = NULL;
	_cleanup_(freep) char *own_text = NULL;
	bool is_needed[CGROUP_CONTROLS] = { needs->needs_freezer, needs->needs_cpu, false };
	struct cgroup cg = CGROUP_EMPTY;
	char path[64];
	int r = cgroup_check_needs(mounts, needs);

	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
	r = file_read(path, &text);
	if (r < 0)
		return log_err(r, "cannot read '%s' of pid '%d'", path, (int)pid);
	r = file_read("/proc/self/cgroup", &own_text);
	if (r < 0)
		return log_err(r, "cannot read '/proc/self/cgroup'");
	for (int control = 0; control < CGROUP_CONTROLS && r == 0; control++) {
		if (is_needed[control])
			r = cgroup_of_pid_in(&cg, &mounts->controls[control], control, text,
					     own_text, pid);
	}
	if (r < 0)
		return r;
	cgroup_take_usage(&cg, mounts, text);
	*out = cg;
	return 0;
}

int cgroup_enter(const struct cgroup *cg)
{
	for (int control = 0; control < CGROUP_CONTROLS; control++) {
		char path[PATH_MAX];
		int r;

		if (!cgroup_is_first_of_dir(cg, control))
			continue;
		r = cgroup_join(path, cg->controls[control].dir, "cgroup.procs");
		if (r == 0)
			r = file_write(path, "0");
		if (r < 0)
			return r;
	}
	return 0;
}

/* Any directory of an own cgroup lists the same processes. */
static const char *cgroup_any_dir(const struct cgroup *cg)
{
	for (int control = 0; control < CGROUP_CONTROLS; control++) {
		if (cg->controls[control].version)
			return cg->controls[control].dir;
	}
	return NULL;
}

int cgroup_signal(const struct cgroup *cg, int signal)
{
	_cleanup_(freep) char *pids = NULL;
	const char *dir = cgroup_any_dir(cg);
	char path[PATH_MAX];
	char *rest = NULL;
	int count = 0;

	if (!cg->is_own || !dir || cgroup_join(path, dir, "cgroup.procs") < 0 ||
	    file_read(path, &pids) < 0)
		return 0;
	for (char *line = strtok_r(pids, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		int pid = atoi(line);

		/* 0: a process of another pid namespace. */
		if (pid > 0 && kill(pid, signal) == 0)
			count++;
	}
	return count;
}

static void cgroup_remove_parent(const char *dir)
{
	char parent[PATH_MAX];
	char *slash;

	snprintf(parent, sizeof(parent), "%s", dir);
	slash = strrchr(parent, '/');
	if (!slash)
		return;
	*slash = '\0';
	rmdir(parent); /* fails, as it should, while another doze has its cgroup there */
}

int cgroup_remove(struct cgroup *cg)
{
	if (!cg->is_own)
		return 0;
	/*
	 * The directory with the lock is the first of them, and goes last: a doze that waits for
	 * the lock makes all of them anew when it finds that one gone.
	 */
	for (int control = CGROUP_CONTROLS - 1; control >= 0; control--) {
		if (!cgroup_is_first_of_dir(cg, control))
			continue;
		if (rmdir(cg->controls[control].dir) < 0 && errno != ENOENT)
			return -errno;
		cgroup_remove_parent(cg->controls[control].dir);
	}
	closep(&cg->lock_fd);
	*cg = CGROUP_EMPTY;
	return 0;
}

int cgroup_write(const struct cgroup *cg, enum cgroup_control control, const char *file,
		 const char *text)
{
	char path[PATH_MAX];
	int r = cgroup_join(path, cg->controls[control].dir, file);

	return r < 0 ? r : file_write(path, text);
}

int cgroup_usage_us(const struct cgroup *cg, uint64_t *out)
{
	bool is_v2 = cg->controls[CGROUP_USAGE].version == 2;
	char path[PATH_MAX];
	int r;

	if (!cg->controls[CGROUP_USAGE].version)
		return -ENODEV;
	r = cgroup_join(path, cg->controls[CGROUP_USAGE].dir, is_v2 ? "cpu.stat" : "cpuacct.usage");
	if (r == 0)
		r = file_read_u64(path, is_v2 ? "usage_usec" : NULL, out);
	if (r == 0 && !is_v2)
		*out /= NS_PER_US;
	return r;
}

/* An own cgroup has had no limit before we set one, so this is its full size. */
static void cgroup_sweep_one(const struct cgroup_mounts *mounts, const char *name)
{
	static const struct {
		enum cgroup_control control;
		int version;
		const char *file, *text;
	} full[] = {
		{ CGROUP_CPU, 1, "cpu.cfs_quota_us", "-1" },
		{ CGROUP_CPU, 2, "cpu.max", "max" },
		{ CGROUP_FREEZER, 1, "freezer.state", "THAWED" },
		{ CGROUP_FREEZER, 2, "cgroup.freeze", "0" },
	};
	struct cgroup cg = CGROUP_EMPTY;
	char parent[PATH_MAX];

	cg.is_own = true;
	for (int control = 0; control < CGROUP_CONTROLS; control++) {
		const struct cgroup_mount *mount = &mounts->controls[control];

		if (mount->version && cgroup_join(parent, mount->point, CGROUP_PARENT) == 0 &&
		    cgroup_join(cg.controls[control].dir, parent, name) == 0)
			cg.controls[control].version = mount->version;
	}
	for (size_t i = 0; i < ARRAY_LEN(full); i++) {
		if (cg.controls[full[i].control].version == full[i].version)
			cgroup_write(&cg, full[i].control, full[i].file, full[i].text);
	}
	log_warn("thawed what a killed doze has left", "cgroup=%s/%s", CGROUP_PARENT, name);
	cgroup_remove(&cg); /* -EBUSY: its processes run on, and the next sweep removes it */
}

/* A lock on the directory if nobody else has it, that is, if its doze is gone; else -errno. */
static int cgroup_lock_abandoned(const char *parent, const char *name)
{
	char dir[PATH_MAX];

	if (strncmp(name, CGROUP_NAME_PREFIX, strlen(CGROUP_NAME_PREFIX)) != 0 ||
	    cgroup_join(dir, parent, name) < 0)
		return -EINVAL;
	return file_lock_directory(dir, LOCK_EX | LOCK_NB);
}

void cgroup_sweep(const struct cgroup_mounts *mounts)
{
	const struct cgroup_mount *mount = &mounts->controls[cgroup_lock_control(mounts)];
	char parent[PATH_MAX];
	struct dirent *entry;
	DIR *dir;

	if (!mount->version || cgroup_join(parent, mount->point, CGROUP_PARENT) < 0)
		return;
	dir = opendir(parent);
	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		_cleanup_(closep) int lock_fd = cgroup_lock_abandoned(parent, entry->d_name);

		if (lock_fd >= 0)
			cgroup_sweep_one(mounts, entry->d_name);
	}
	closedir(dir);
}
