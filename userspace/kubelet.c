// SPDX-License-Identifier: MIT
/* Looks for the process, then for the cgroup that has it, and attaches one program there. */
#include "kubelet.h"

#include <bpf/libbpf.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "kubelet.skel.h"
#include "log.h"
#include "util.h"

/* As the kernel has their names, 15 characters at most. */
static const char *const kubelet_names[] = {
	"kubelet", "k3s-server", "k3s-agent", "k3s", "kubelite",
};

struct kubelet {
	struct kubelet_bpf *skel;
	struct bpf_link *link;
};

static int kubelet_load(struct kubelet *k, const struct datapath *d, int cgroup_fd)
{
	int r;

	k->skel = kubelet_bpf__open();
	if (!k->skel)
		return -errno;
	r = datapath_share_maps(d, k->skel->obj);
	if (r == 0)
		r = kubelet_bpf__load(k->skel);
	if (r < 0)
		return r;
	k->link = bpf_program__attach_cgroup(k->skel->progs.kubelet, cgroup_fd);
	return k->link ? 0 : -errno;
}

int kubelet_new(struct kubelet **out, const struct datapath *d, const char *directory)
{
	_cleanup_(kubelet_free) struct kubelet *k = calloc(1, sizeof(*k));
	_cleanup_(closep) int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = fd < 0 ? -errno : -ENOMEM;

	if (fd >= 0 && k)
		r = kubelet_load(k, d, fd);
	if (r < 0)
		return log_warn_err(r,
				    "cannot tell the kubelet's connections by its cgroup '%s': "
				    "health checks are known by what they say",
				    directory);
	*out = TAKE_PTR(k);
	return 0;
}

void kubelet_free(struct kubelet **k)
{
	if (!*k)
		return;
	bpf_link__destroy((*k)->link);
	kubelet_bpf__destroy((*k)->skel);
	free(*k);
	*k = NULL;
}

/* --- finding it --- */

static bool kubelet_is_named(const char *pid)
{
	_cleanup_(freep) char *name = NULL;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%.20s/comm", pid);
	if (!isdigit((unsigned char)*pid) || file_read(path, &name) < 0)
		return false;
	name[strcspn(name, "\n")] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(kubelet_names); i++) {
		if (strcmp(name, kubelet_names[i]) == 0)
			return true;
	}
	return false;
}

/* 0: there is none. */
static long kubelet_find_pid(void)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	long pid = 0;

	while (proc && !pid && (entry = readdir(proc))) {
		if (kubelet_is_named(entry->d_name))
			pid = atol(entry->d_name);
	}
	if (proc)
		closedir(proc);
	return pid;
}

static bool kubelet_has_pid(const char *directory, long pid)
{
	char path[PATH_MAX];
	bool is_there = false;
	FILE *file;
	long found;

	snprintf(path, sizeof(path), "%.*s/cgroup.procs", PATH_MAX - 64, directory);
	file = fopen(path, "re");
	while (file && !is_there && fscanf(file, "%ld", &found) == 1)
		is_there = found == pid;
	if (file)
		fclose(file);
	return is_there;
}

/* The path in /proc/PID/cgroup is relative to our own cgroup namespace: the tree is not. */
static int kubelet_walk(char *out, size_t room, const char *top, long pid)
{
	char *const roots[] = { (char *)top, NULL };
	FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_NOSTAT, NULL);
	int r = -ENOENT;
	FTSENT *entry;

	while (walk && r == -ENOENT && (entry = fts_read(walk))) {
		if (entry->fts_info == FTS_D && kubelet_has_pid(entry->fts_path, pid))
			r = (size_t)snprintf(out, room, "%s", entry->fts_path) < room
				    ? 0
				    : -ENAMETOOLONG;
	}
	if (walk)
		fts_close(walk);
	return r;
}

int kubelet_find(char *out, size_t room, const char *root)
{
	static const char *const mounts[] = { "", "/unified" };
	long pid = kubelet_find_pid();
	int r = -ENOENT;

	for (size_t i = 0; pid && r == -ENOENT && i < ARRAY_LEN(mounts); i++) {
		char top[PATH_MAX], file[PATH_MAX + 32];

		snprintf(top, sizeof(top), "%.*s%s", PATH_MAX - 64, root, mounts[i]);
		snprintf(file, sizeof(file), "%s/cgroup.controllers", top);
		if (access(file, R_OK) == 0)
			r = kubelet_walk(out, room, top, pid);
	}
	return r;
}
