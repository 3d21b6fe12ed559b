// SPDX-License-Identifier: MIT
/* A locked file, and those whose lock is free. */
#include "cgroup/record.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <utlist.h>

#include "base/file.h"
#include "base/log.h"
#include "base/util.h"

#define RECORD_SUFFIX ".undo"
#define RECORD_UNDO   "undo\t"

/* Other dozes do not interfere more often than that. */
#define RECORD_TRIES 16

static bool record_is_named(int fd, const char *path)
{
	struct stat opened, named;

	return fstat(fd, &opened) == 0 && stat(path, &named) == 0 &&
	       opened.st_ino == named.st_ino && opened.st_dev == named.st_dev;
}

/* A descriptor with the lock, or -errno; -EWOULDBLOCK: somebody else has it. */
static int record_lock(const char *path, int flags)
{
	_cleanup_(closep) int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0600);

	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
		return -errno;
	return TAKE_FD(fd);
}

/* Between our open and our lock, the sweep of another doze may have removed the file. */
static int record_make(const char *path)
{
	for (int i = 0; i < RECORD_TRIES; i++) {
		_cleanup_(closep) int fd = record_lock(path, O_CREAT);

		if (fd < 0)
			return fd;
		if (record_is_named(fd, path))
			return TAKE_FD(fd);
	}
	return -EBUSY;
}

int record_open(struct record *out, const char *directory)
{
	struct record record = RECORD_NONE;

	if (snprintf(record.path, sizeof(record.path), "%s/run-%d" RECORD_SUFFIX, directory,
		     (int)getpid()) >= (int)sizeof(record.path))
		return log_err(-ENAMETOOLONG, "cannot keep a record in '%s'", directory);
	if (mkdir(directory, 0755) < 0 && errno != EEXIST)
		return log_err(-errno, "cannot make the directory '%s'", directory);
	record.fd = record_make(record.path);
	if (record.fd < 0)
		return log_err(record.fd, "cannot keep the record '%s'", record.path);
	*out = record;
	return 0;
}

/* What does not fit into a line, such as a path with a line's end, is not recorded. */
static int record_format(char **out, const struct restores *all)
{
	const struct restore *one;
	size_t len;
	FILE *text = open_memstream(out, &len);

	if (!text)
		return -ENOMEM;
	DL_FOREACH(all->first, one)
	{
		if (!strpbrk(one->path, "\n") && !strpbrk(one->text, "\t\n"))
			fprintf(text, RECORD_UNDO "%s\t%s\n", one->text, one->path);
	}
	return fclose(text) == 0 ? 0 : -ENOMEM;
}

int record_write(const struct record *record, const struct restores *all)
{
	_cleanup_(freep) char *text = NULL;
	int r = record_format(&text, all);
	size_t len;

	if (r < 0)
		return log_err(r, "cannot write the record '%s'", record->path);
	len = strlen(text);
	if (pwrite(record->fd, text, len, 0) != (ssize_t)len ||
	    ftruncate(record->fd, (off_t)len) < 0)
		return log_err(-errno, "cannot write the record '%s'", record->path);
	return 0;
}

void record_close(struct record *record)
{
	if (record->fd >= 0)
		unlink(record->path);
	closep(&record->fd);
	*record = RECORD_NONE;
}

/* --- what a killed doze has left --- */

/* A line that is cut, because its doze was killed while it wrote, is left out. */
static void record_parse(struct restores *out, char *text)
{
	char *line, *path;

	while (strchr(text, '\n') && (line = strsep(&text, "\n"))) {
		if (strncmp(line, RECORD_UNDO, strlen(RECORD_UNDO)) != 0)
			continue;
		line += strlen(RECORD_UNDO);
		path = strchr(line, '\t');
		if (!path)
			continue;
		*path = '\0';
		restores_set(out, path + 1, line);
	}
}

/* The file, or what is there of the directories above it. -errno. */
static int record_stat_above(const char *path, struct statfs *out)
{
	char at[PATH_MAX];
	char *slash;

	if (snprintf(at, sizeof(at), "%s", path) >= (int)sizeof(at))
		return -ENAMETOOLONG;
	while (statfs(at, out) < 0) {
		slash = strrchr(at, '/');
		if ((errno != ENOENT && errno != ENOTDIR) || !slash || !slash[1])
			return -errno;
		slash[slash == at] = '\0'; /* of "/" itself the slash stays */
	}
	return 0;
}

/*
 * A cgroup that is gone needs nothing. One whose hierarchy is not mounted here, in a container or
 * under ip-netns(8), only looks as if it was gone.
 */
static bool record_is_out_of_sight(const char *path)
{
	struct statfs fs;

	if (access(path, F_OK) == 0)
		return false;
	return record_stat_above(path, &fs) < 0 ||
	       (fs.f_type != CGROUP_SUPER_MAGIC && fs.f_type != CGROUP2_SUPER_MAGIC);
}

static bool record_has_all_in_sight(const struct restores *all, const char *record)
{
	const struct restore *one;

	DL_FOREACH(all->first, one)
	{
		if (!record_is_out_of_sight(one->path))
			continue;
		log_info("the record of a killed doze stays: its cgroup is not in sight here",
			 "record=%s file=%s", record, one->path);
		return false;
	}
	return true;
}

static void record_undo(const char *path)
{
	struct restores all = { 0 };
	_cleanup_(freep) char *text = NULL;
	int r = file_read(path, &text);

	if (r < 0) {
		log_warn_err(r, "cannot read the record '%s' of a killed doze", path);
		return;
	}
	record_parse(&all, text);
	r = restores_write(&all, "a doze and its watchdog were killed");
	if (r == 0 && record_has_all_in_sight(&all, path))
		unlink(path);
	restores_clear(&all);
}

/* What it says is written with our rights: one of another user is none of a doze's. */
static bool record_is_ours(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1 &&
	       (st.st_uid == geteuid() || st.st_uid == 0);
}

static bool record_is_name(const char *name)
{
	size_t len = strlen(name), suffix_len = strlen(RECORD_SUFFIX);

	return len > suffix_len && strcmp(name + len - suffix_len, RECORD_SUFFIX) == 0;
}

void record_sweep(const char *directory)
{
	DIR *dir = opendir(directory);
	struct dirent *entry;
	char path[PATH_MAX];

	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		_cleanup_(closep) int fd = -1;

		if (!record_is_name(entry->d_name) ||
		    snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name) >=
			    (int)sizeof(path))
			continue;
		fd = record_lock(path, 0);
		if (fd >= 0 && record_is_named(fd, path) && record_is_ours(fd))
			record_undo(path);
	}
	closedir(dir);
}
