// SPDX-License-Identifier: MIT
/* Directories, and cgroup.procs. */
#include "cgroup/watchdog_place.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/util.h"
#include "cgroup/cgroup_mounts.h"

#define WATCHDOG_PLACE_PARENT "doze"
#define WATCHDOG_PLACE_NAME   WATCHDOG_PLACE_PARENT "/watchdogs"

/* Another watchdog may remove the directory between our mkdir and our move: so often. */
#define WATCHDOG_PLACE_TRIES 16

struct watchdog_place_move {
	char parent[PATH_MAX], dir[PATH_MAX];
	char back[PATH_MAX]; /* the directory that it came from; "": it stays */
};

/* One for each control; on v2, whose hierarchy is one, the same move three times hurts nobody. */
static struct watchdog_place_move watchdog_place_moves[CGROUP_CONTROLS];

static int watchdog_place_join(const char *dir)
{
	char path[PATH_MAX];
	int r = cgroup_file_path(path, dir, "cgroup.procs");

	return r < 0 ? r : file_write(path, "0");
}

/* Where nothing can be made, joining says so. */
static int watchdog_place_make_and_join(const struct watchdog_place_move *move)
{
	int r = -ENOENT;

	for (int i = 0; i < WATCHDOG_PLACE_TRIES && r == -ENOENT; i++) {
		mkdir(move->parent, 0755);
		mkdir(move->dir, 0755);
		r = watchdog_place_join(move->dir);
	}
	return r;
}

static int watchdog_place_plan(struct watchdog_place_move *move, const struct cgroup_mount *mount,
			       enum cgroup_control control, const char *own)
{
	_cleanup_(freep) char *back = NULL;
	struct cgroup_dir dir = { 0 };
	char path[PATH_MAX];
	int r = cgroup_mounts_path(path, own, mount->version, control);

	if (r == 0)
		r = cgroup_mounts_dir(&dir, mount, path);
	back = dir.path; /* to be freed */
	if (r == 0)
		r = cgroup_file_path(move->parent, mount->point, WATCHDOG_PLACE_PARENT);
	if (r == 0)
		r = cgroup_file_path(move->dir, mount->point, WATCHDOG_PLACE_NAME);
	if (r == 0 && snprintf(move->back, PATH_MAX, "%s", back) >= PATH_MAX)
		r = -ENAMETOOLONG;
	return r;
}

void watchdog_place_enter(void)
{
	_cleanup_(freep) struct cgroup_mounts *mounts = calloc(1, sizeof(*mounts));
	_cleanup_(freep) char *own = NULL;

	if (!mounts || cgroup_mounts_find(mounts, "/") < 0 ||
	    file_read("/proc/self/cgroup", &own) < 0)
		return;
	for (enum cgroup_control control = 0; control < CGROUP_CONTROLS; control++) {
		struct watchdog_place_move *move = &watchdog_place_moves[control];
		const struct cgroup_mount *mount = &mounts->controls[control];
		int r = mount->version ? watchdog_place_plan(move, mount, control, own) : -ENODEV;

		if (r == 0)
			r = watchdog_place_make_and_join(move);
		if (r < 0) {
			log_debug("the watchdog stays in the cgroup of doze",
				  "controller=%s errno=%d", cgroup_mounts_name(control), -r);
			move->back[0] = '\0';
		}
	}
}

void watchdog_place_leave(void)
{
	for (int control = 0; control < CGROUP_CONTROLS; control++) {
		struct watchdog_place_move *move = &watchdog_place_moves[control];

		if (!move->back[0])
			continue;
		watchdog_place_join(move->back);
		/* Both fail, as they should, while somebody else is there. */
		rmdir(move->dir);
		rmdir(move->parent);
		move->back[0] = '\0';
	}
}
