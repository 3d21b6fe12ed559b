// SPDX-License-Identifier: MIT
/*
 * Looks through the tree of cgroups. The path in /proc/PID/cgroup is relative to our own cgroup
 * namespace, and may not show that a process belongs to a pod.
 */
#include "pod/kubelet_place.h"

#include <errno.h>
#include <fts.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/util.h"
#include "cgroup/cgroup_file.h"

/* The kernel cuts names to 15 characters. */
static const char *const kubelet_place_names[] = {
	"kubelet", "k3s-server", "k3s-agent", "k3s", "kubelite",
};

/* Every cgroup driver has this in the name of the directory above all pods. */
#define KUBELET_PLACE_PODS "kubepods"

struct kubelet_place_walk {
	struct kubelet_place *out;
	const char *proc;
	bool is_found, is_shared;
};

static bool kubelet_place_is_named(const char *proc, long pid)
{
	_cleanup_(freep) char *name = NULL;
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%.*s/%ld/comm", PATH_MAX - 64, proc, pid);
	if (file_read(path, &name) < 0)
		return false;
	name[strcspn(name, "\n")] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(kubelet_place_names); i++) {
		if (strcmp(name, kubelet_place_names[i]) == 0)
			return true;
	}
	return false;
}

/* Looks for pid; 0: for the first that has a kubelet's name. Returns 0 when there is none. */
static long kubelet_place_search(const char *directory, const char *proc, long pid)
{
	_cleanup_(freep) pid_t *pids = NULL;
	int len = cgroup_file_pids(&pids, directory);

	for (int i = 0; i < len; i++) {
		/* 0: a process that our own PID namespace does not show. */
		if (pids[i] > 0 && (pid ? pids[i] == pid : kubelet_place_is_named(proc, pids[i])))
			return pids[i];
	}
	return 0;
}

bool kubelet_place_has(const char *directory, pid_t pid)
{
	return kubelet_place_search(directory, "", pid) != 0;
}

static bool kubelet_place_is_below(const char *path, const char *directory)
{
	size_t len = strlen(directory);

	return strncmp(path, directory, len) == 0 && path[len] == '/';
}

/* The walk comes to a directory before those below it. */
static void kubelet_place_pass_pods(struct kubelet_place_walk *w, const char *path)
{
	if (!w->is_found || !kubelet_place_is_below(path, w->out->directory))
		return;
	w->is_found = false;
	w->is_shared = true;
}

static void kubelet_place_pass(struct kubelet_place_walk *w, const char *path, bool is_root)
{
	long pid = kubelet_place_search(path, w->proc, 0);

	if (!pid)
		return;
	if (is_root) {
		w->is_shared = true;
		return;
	}
	w->out->pid = (pid_t)pid;
	w->is_found = (size_t)snprintf(w->out->directory, sizeof(w->out->directory), "%s", path) <
		      sizeof(w->out->directory);
}

static int kubelet_place_walk(struct kubelet_place *out, const char *proc, const char *top)
{
	struct kubelet_place_walk w = { .out = out, .proc = proc };
	char *const roots[] = { (char *)top, NULL };
	FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_NOSTAT, NULL);
	FTSENT *entry;

	while (walk && (entry = fts_read(walk))) {
		bool is_root = entry->fts_level == FTS_ROOTLEVEL;

		if (entry->fts_info != FTS_D)
			continue;
		if (!is_root && strstr(entry->fts_name, KUBELET_PLACE_PODS)) {
			kubelet_place_pass_pods(&w, entry->fts_path);
			fts_set(walk, entry, FTS_SKIP);
		} else if (!w.is_found) {
			kubelet_place_pass(&w, entry->fts_path, is_root);
		}
	}
	if (walk)
		fts_close(walk);
	if (w.is_found)
		return 0;
	return w.is_shared ? -ENOTUNIQ : -ENOENT;
}

int kubelet_place_find(struct kubelet_place *out, const char *proc, const char *root)
{
	static const char *const mounts[] = { "", "/unified" };
	struct kubelet_place found;

	for (size_t i = 0; i < ARRAY_LEN(mounts); i++) {
		char top[PATH_MAX], file[PATH_MAX + 32];
		int r;

		snprintf(top, sizeof(top), "%.*s%s", PATH_MAX - 64, root, mounts[i]);
		snprintf(file, sizeof(file), "%s/cgroup.controllers", top);
		if (access(file, R_OK) < 0)
			continue;
		r = kubelet_place_walk(&found, proc, top);
		if (r == 0)
			*out = found;
		return r;
	}
	return -EOPNOTSUPP;
}
