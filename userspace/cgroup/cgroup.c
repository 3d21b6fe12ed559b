// SPDX-License-Identifier: MIT
/* An own cgroup is locked, so that another doze can tell whether its doze still lives. */
#include "cgroup/cgroup.h"

#include <dirent.h>
#include <errno.h>
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

/* Other dozes do not interfere more often than that. */
#define CGROUP_TRIES 16

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

void cgroup_free(struct cgroup *cg)
{
	for (int control = 0; control < CGROUP_CONTROLS; control++)
		free(cg->controls[control].path);
	closep(&cg->lock_fd);
	*cg = CGROUP_EMPTY;
}

/* On v2 one directory is that of several controls. */
static bool cgroup_is_first_of_dir(const struct cgroup *cg, int control)
{
	const struct cgroup_dir *dir = &cg->controls[control];

	for (int i = 0; i < control && dir->version; i++) {
		if (cg->controls[i].version && strcmp(cg->controls[i].path, dir->path) == 0)
			return false;
	}
	return dir->version != 0;
}

/* --- a cgroup of our own --- */

/* Where an own cgroup of that name is. The versions are set for what has been made. */
static int cgroup_name(struct cgroup *cg, const struct cgroup_mounts *mounts, const char *name)
{
	cg->is_own = true;
	for (int control = 0; control < CGROUP_CONTROLS; control++) {
		const struct cgroup_mount *mount = &mounts->controls[control];
		char **path = &cg->controls[control].path;

		if (mount->version &&
		    asprintf(path, "%s/" CGROUP_PARENT "/%s", mount->point, name) < 0) {
			*path = NULL;
			return -ENOMEM;
		}
	}
	return 0;
}

static void cgroup_parent(char out[PATH_MAX], const char *path)
{
	const char *slash = strrchr(path, '/');

	snprintf(out, PATH_MAX, "%.*s", slash ? (int)(slash - path) : 0, path);
}

/* A directory that is there already is as good as a new one. */
static int cgroup_mkdir(const char *path)
{
	return mkdir(path, 0755) == 0 || errno == EEXIST ? 0 : -errno;
}

/* v2 hands a controller down one level at a time. */
static void cgroup_hand_down_cpu(const char *dir)
{
	char path[PATH_MAX];
	int r = cgroup_file_path(path, dir, "cgroup.subtree_control");

	if (r == 0)
		r = file_write(path, "+cpu");
	if (r < 0)
		log_debug("cannot hand the cpu controller down", "cgroup=%s errno=%d", dir, -r);
}

/* The parent of all dozes goes with the last of them, perhaps between our two mkdirs. */
static int cgroup_make(struct cgroup *cg, const struct cgroup_mounts *mounts, int control)
{
	const struct cgroup_mount *mount = &mounts->controls[control];
	struct cgroup_dir *dir = &cg->controls[control];
	char parent[PATH_MAX];
	int r = -ENOENT;

	cgroup_parent(parent, dir->path);
	for (int i = 0; i < CGROUP_TRIES && r == -ENOENT; i++) {
		r = cgroup_mkdir(parent);
		if (r < 0)
			return r;
		if (mount->version == 2 && control == CGROUP_CPU) {
			cgroup_hand_down_cpu(mount->point);
			cgroup_hand_down_cpu(parent);
		}
		r = cgroup_mkdir(dir->path);
	}
	if (r == 0)
		dir->version = mount->version;
	return r;
}

static bool cgroup_is_same_dir(int fd, const char *path)
{
	struct stat opened, named;

	return fstat(fd, &opened) == 0 && stat(path, &named) == 0 &&
	       opened.st_ino == named.st_ino && opened.st_dev == named.st_dev;
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
static int cgroup_make_locked(struct cgroup *cg, const struct cgroup_mounts *mounts, int control)
{
	const char *path = cg->controls[control].path;

	if (!path)
		return -ENODEV;
	for (int i = 0; i < CGROUP_TRIES; i++) {
		_cleanup_(closep) int fd = -1;
		int r = cgroup_make(cg, mounts, control);

		if (r == 0)
			r = fd = file_lock_directory(path, LOCK_EX);
		if (r < 0 && r != -ENOENT)
			return r;
		if (r >= 0 && cgroup_is_same_dir(fd, path)) {
			cg->lock_fd = TAKE_FD(fd);
			return 0;
		}
	}
	return -EBUSY;
}

int cgroup_create(struct cgroup *out, const struct cgroup_mounts *mounts,
		  const struct cgroup_needs *needs)
{
	struct cgroup cg = CGROUP_EMPTY;
	int first = cgroup_lock_control(mounts), failed = first;
	char name[32];
	int r = cgroup_check_needs(mounts, needs);

	if (r < 0)
		return r;
	snprintf(name, sizeof(name), CGROUP_NAME_PREFIX "%d", (int)getpid());
	r = cgroup_name(&cg, mounts, name);
	if (r == 0)
		r = cgroup_make_locked(&cg, mounts, first);
	for (int control = 0; control < CGROUP_CONTROLS && r == 0; control++) {
		failed = control;
		if (control != first && mounts->controls[control].version)
			r = cgroup_make(&cg, mounts, control);
	}
	if (r < 0) {
		log_err(r, "cannot make the cgroup '%s'", cg.controls[failed].path ?: name);
		cgroup_remove(&cg);
		cgroup_free(&cg);
		return r;
	}
	*out = cg;
	return 0;
}

/* --- the cgroup of a process --- */

static int cgroup_check_shared(const char *path, const char *own_path, pid_t pid,
			       const char *controller)
{
	if (strcmp(path, "/") == 0)
		return log_err(
			-EINVAL,
			"pid '%d' is in the root cgroup of '%s', with the whole machine: start "
			"it with doze run -- COMMAND, or give it a cgroup of its own",
			(int)pid, controller);
	if (cgroup_mounts_is_within(own_path, path))
		return log_err(-EINVAL,
			       "pid '%d' is in the cgroup '%s', and so is doze itself: start doze "
			       "from somewhere else",
			       (int)pid, path);
	return 0;
}

static int cgroup_take(struct cgroup *cg, const struct cgroup_mount *mount,
		       enum cgroup_control control, const char *text, const char *own_text,
		       pid_t pid)
{
	const char *name = cgroup_mounts_name(control);
	char path[PATH_MAX], own_path[PATH_MAX];
	int r = cgroup_mounts_path(path, text, mount->version, control);

	if (r == 0)
		r = cgroup_mounts_path(own_path, own_text, mount->version, control);
	if (r == 0)
		r = cgroup_mounts_dir(&cg->controls[control], mount, path);
	if (r < 0)
		return log_err(r, "cannot find the cgroup of pid '%d' for '%s'", (int)pid, name);
	return cgroup_check_shared(path, own_path, pid, name);
}

/* The usage is only shown: a process of the root cgroup has none of its own, and that is fine. */
static void cgroup_take_usage(struct cgroup *cg, const struct cgroup_mount *mount, const char *text)
{
	char path[PATH_MAX];

	if (mount->version && cgroup_mounts_path(path, text, mount->version, CGROUP_USAGE) == 0 &&
	    strcmp(path, "/") != 0)
		cgroup_mounts_dir(&cg->controls[CGROUP_USAGE], mount, path);
}

/* On v1 the process may have a freezer of its own, and share its quota with the machine, or us. */
static void cgroup_take_cpu_if_own(struct cgroup *cg, const struct cgroup_mount *mount,
				   const char *text, const char *own_text)
{
	char path[PATH_MAX], own_path[PATH_MAX];

	if (mount->version && cgroup_mounts_path(path, text, mount->version, CGROUP_CPU) == 0 &&
	    cgroup_mounts_path(own_path, own_text, mount->version, CGROUP_CPU) == 0 &&
	    strcmp(path, "/") != 0 && !cgroup_mounts_is_within(own_path, path))
		cgroup_mounts_dir(&cg->controls[CGROUP_CPU], mount, path);
}

int cgroup_of_pid(struct cgroup *out, const struct cgroup_mounts *mounts,
		  const struct cgroup_needs *needs, pid_t pid)
{
	_cleanup_(freep) char *text = NULL, *own_text = NULL;
	_cleanup_(cgroup_free) struct cgroup cg = CGROUP_EMPTY;
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
	if (needs->needs_freezer)
		r = cgroup_take(&cg, &mounts->controls[CGROUP_FREEZER], CGROUP_FREEZER, text,
				own_text, pid);
	if (r == 0 && needs->needs_cpu)
		r = cgroup_take(&cg, &mounts->controls[CGROUP_CPU], CGROUP_CPU, text, own_text,
				pid);
	if (r < 0)
		return r;
	if (!needs->needs_cpu)
		cgroup_take_cpu_if_own(&cg, &mounts->controls[CGROUP_CPU], text, own_text);
	cgroup_take_usage(&cg, &mounts->controls[CGROUP_USAGE], text);
	*out = cg;
	cg = CGROUP_EMPTY;
	return 0;
}

/* --- what is done to it --- */

int cgroup_enter(const struct cgroup *cg)
{
	for (int control = 0; control < CGROUP_CONTROLS; control++) {
		char path[PATH_MAX];
		int r;

		if (!cgroup_is_first_of_dir(cg, control))
			continue;
		r = cgroup_file_path(path, cg->controls[control].path, "cgroup.procs");
		if (r == 0)
			r = file_write(path, "0");
		if (r < 0)
			return r;
	}
	return 0;
}

void cgroup_signal(const struct cgroup *cg, int signal)
{
	/* Each directory of an own cgroup has the same processes. */
	for (int control = 0; control < CGROUP_CONTROLS && cg->is_own; control++) {
		_cleanup_(freep) pid_t *pids = NULL;
		int len;

		if (!cg->controls[control].version)
			continue;
		len = cgroup_file_pids(&pids, cg->controls[control].path);
		for (int i = 0; i < len; i++) {
			if (pids[i] > 0)
				kill(pids[i], signal);
		}
		return;
	}
}

int cgroup_remove(struct cgroup *cg)
{
	char parent[PATH_MAX];

	if (!cg->is_own)
		return 0;
	/*
	 * The directory with the lock is the first of them, and goes last: a doze that waits for
	 * the lock makes all of them anew when it finds that one gone.
	 */
	for (int control = CGROUP_CONTROLS - 1; control >= 0; control--) {
		const char *path = cg->controls[control].path;

		if (!cgroup_is_first_of_dir(cg, control))
			continue;
		if (rmdir(path) < 0 && errno != ENOENT)
			return -errno;
		cgroup_parent(parent, path);
		rmdir(parent); /* fails, as it should, while another doze has its cgroup there */
	}
	cgroup_free(cg);
	return 0;
}

/* --- what a killed doze has left --- */

/* An own cgroup has had no limit before we set one, so without bounds is its full size. */
static void cgroup_sweep_one(const struct cgroup_mounts *mounts, const char *name)
{
	_cleanup_(cgroup_free) struct cgroup cg = CGROUP_EMPTY;
	const struct cgroup_dir *cpu = &cg.controls[CGROUP_CPU];
	const struct cgroup_dir *freezer = &cg.controls[CGROUP_FREEZER];
	char quota[CGROUP_QUOTA_TEXT_MAX];

	if (cgroup_name(&cg, mounts, name) < 0)
		return;
	for (int control = 0; control < CGROUP_CONTROLS; control++)
		cg.controls[control].version = mounts->controls[control].version;
	if (cpu->version && cgroup_file_format_quota(cpu, -1, quota) == 0)
		cgroup_file_write_quota(cpu, quota);
	if (freezer->version)
		cgroup_file_freeze(freezer, false);
	log_warn("thawed what a killed doze has left", "cgroup=%s/%s", CGROUP_PARENT, name);
	cgroup_remove(&cg); /* -EBUSY: its processes run on, and the next sweep removes it */
}

void cgroup_sweep(const struct cgroup_mounts *mounts)
{
	const struct cgroup_mount *mount = &mounts->controls[cgroup_lock_control(mounts)];
	char parent[PATH_MAX], path[PATH_MAX];
	struct dirent *entry;
	DIR *dir;

	if (!mount->version || cgroup_file_path(parent, mount->point, CGROUP_PARENT) < 0)
		return;
	dir = opendir(parent);
	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		_cleanup_(closep) int lock_fd = -1;

		if (strncmp(entry->d_name, CGROUP_NAME_PREFIX, strlen(CGROUP_NAME_PREFIX)) != 0 ||
		    cgroup_file_path(path, parent, entry->d_name) < 0)
			continue;
		/* Nobody else has the lock if its doze is gone. */
		lock_fd = file_lock_directory(path, LOCK_EX | LOCK_NB);
		if (lock_fd >= 0)
			cgroup_sweep_one(mounts, entry->d_name);
	}
	closedir(dir);
}
