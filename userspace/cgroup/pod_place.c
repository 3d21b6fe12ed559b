// SPDX-License-Identifier: MIT
/* Walks the directories of a hierarchy with fts(3), which does not follow links. */
#include "cgroup/pod_place.h"

#include <errno.h>
#include <fts.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "cgroup/cgroup_file.h"

/* kubelet.slice, kubepods, QoS, pod, container; the rest is for a cgroupRoot of one's own. */
#define POD_PLACE_DEPTH_MAX 8
#define POD_PLACE_ID_MIN    12

bool pod_place_is_id(const char *text)
{
	size_t len = strlen(text);

	return len >= POD_PLACE_ID_MIN && len < POD_PLACE_ID_MAX &&
	       strspn(text, "0123456789abcdef") == len;
}

int pod_place_id(const char *container_id, char out[POD_PLACE_ID_MAX])
{
	const char *id = strstr(container_id, "://");

	if (!id || !pod_place_is_id(id + 3))
		return -EINVAL;
	memcpy(out, id + 3, strlen(id + 3) + 1);
	return 0;
}

enum pod_place_extent {
	POD_PLACE_USUAL, /* not where only a node that is itself a container has its pods */
	POD_PLACE_ALL,
};

/* These have most of the tree. */
static bool pod_place_is_unusual(const FTSENT *entry)
{
	static const char *const names[] = { "system.slice", "user.slice", "init.scope" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strcmp(entry->fts_name, names[i]) == 0)
			return true;
	}
	return false;
}

static bool pod_place_is_elsewhere(const FTSENT *entry, enum pod_place_extent extent)
{
	return entry->fts_level > POD_PLACE_DEPTH_MAX ||
	       (extent == POD_PLACE_USUAL && pod_place_is_unusual(entry));
}

/* CRI-O keeps conmon, which minds the container, in a cgroup with the same id. */
static bool pod_place_is_container(const FTSENT *entry, const char *id)
{
	return strstr(entry->fts_name, id) && !strstr(entry->fts_name, "conmon");
}

/* In an unusual place other containers may be, too: only below a kubelet's directory. */
static bool pod_place_is_pods_container(const FTSENT *entry, const char *id)
{
	return pod_place_is_container(entry, id) && strstr(entry->fts_path, "kubepods");
}

static int pod_place_take(struct pod_place *out, const FTSENT *entry)
{
	const char *slash = strrchr(entry->fts_path, '/');

	if (!slash || entry->fts_pathlen >= PATH_MAX)
		return -ENAMETOOLONG;
	snprintf(out->container, sizeof(out->container), "%s", entry->fts_path);
	snprintf(out->pod, sizeof(out->pod), "%.*s", (int)(slash - entry->fts_path),
		 entry->fts_path);
	return 0;
}

static FTS *pod_place_walk(const char *root)
{
	char *const roots[] = { (char *)root, NULL };

	return fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_NOSTAT, NULL);
}

typedef bool (*pod_place_is_fn)(const FTSENT *entry, const char *text);

/* The first directory for which is() is true. out may be NULL. -ENOENT: there is none. */
static int pod_place_search(struct pod_place *out, const char *root, enum pod_place_extent extent,
			    pod_place_is_fn is, const char *text)
{
	FTS *walk = pod_place_walk(root);
	int r = walk ? -ENOENT : -errno;
	FTSENT *entry;

	while (walk && r == -ENOENT && (entry = fts_read(walk))) {
		if (entry->fts_info != FTS_D)
			continue;
		if (pod_place_is_elsewhere(entry, extent))
			fts_set(walk, entry, FTS_SKIP);
		else if (is(entry, text))
			r = out ? pod_place_take(out, entry) : 0;
	}
	if (walk)
		fts_close(walk);
	return r;
}

int pod_place_find(struct pod_place *out, const char *root, const char *id)
{
	int r = pod_place_search(out, root, POD_PLACE_USUAL, pod_place_is_container, id);

	return r == -ENOENT
		       ? pod_place_search(out, root, POD_PLACE_ALL, pod_place_is_pods_container, id)
		       : r;
}

/* "-" has a meaning of its own in the names of systemd, so the uid has "_" there. */
static bool pod_place_is_pod(const FTSENT *entry, const char *uid)
{
	const char *name = strstr(entry->fts_name, "pod");
	size_t len = strlen(uid), i = 0;

	/* "kubepods-pod..." has it twice. */
	for (; name; name = strstr(name + 1, "pod")) {
		for (i = 0; i < len; i++) {
			char c = name[3 + i];

			if (c != uid[i] && !(c == '_' && uid[i] == '-'))
				break;
		}
		if (i == len)
			return true;
	}
	return false;
}

bool pod_place_has_pod(const char *root, const char *uid)
{
	return pod_place_search(NULL, root, POD_PLACE_ALL, pod_place_is_pod, uid) == 0;
}

void pod_place_each_directory(const char *directory, bool (*each)(void *arg, const char *path),
			      void *arg)
{
	FTS *walk = pod_place_walk(directory);
	bool goes_on = true;
	FTSENT *entry;

	while (walk && goes_on && (entry = fts_read(walk)))
		goes_on = entry->fts_info != FTS_D || each(arg, entry->fts_path);
	if (walk)
		fts_close(walk);
}

struct pod_place_processes {
	bool (*each)(void *arg, pid_t pid);
	void *arg;
};

static bool pod_place_on_directory(void *arg, const char *path)
{
	const struct pod_place_processes *processes = arg;
	_cleanup_(freep) pid_t *pids = NULL;
	int len = cgroup_file_pids(&pids, path);
	bool goes_on = true;

	for (int i = 0; i < len && goes_on; i++)
		goes_on = !pids[i] || processes->each(processes->arg, pids[i]);
	return goes_on;
}

void pod_place_each_process(const char *directory, bool (*each)(void *arg, pid_t pid), void *arg)
{
	struct pod_place_processes processes = { each, arg };

	pod_place_each_directory(directory, pod_place_on_directory, &processes);
}

static bool pod_place_on_process(void *arg, pid_t pid)
{
	*(pid_t *)arg = pid;
	return false;
}

pid_t pod_place_process(const char *container)
{
	pid_t pid = 0;

	pod_place_each_process(container, pod_place_on_process, &pid);
	return pid > 0 ? pid : -ESRCH;
}
