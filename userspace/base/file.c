// SPDX-License-Identifier: MIT
/* Reads and writes small kernel files whole. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/descriptors.h"
#include "base/util.h"

#define FILE_MAX (1U << 20)

/* A target is thawed by a write to a file, also when descriptors have run out. */
static int file_open(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);

	if (fd < 0 && (errno == EMFILE || errno == ENFILE) && descriptors_give())
		fd = open(path, flags | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : fd;
}

static void file_closep(int *fd)
{
	if (*fd < 0)
		return;
	close(*fd);
	descriptors_keep();
}

static int file_read_fd(int fd, char **out)
{
	_cleanup_(freep) char *text = NULL;
	size_t len = 0, room = 0;

	for (;;) {
		ssize_t n;

		if (room - len < 2) {
			char *grown;

			room = room ? 2 * room : 4096;
			if (room > FILE_MAX)
				return -EFBIG;
			grown = realloc(text, room);
			if (!grown)
				return -ENOMEM;
			text = grown;
		}
		n = read(fd, text + len, room - len - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	text[len] = '\0';
	*out = TAKE_PTR(text);
	return 0;
}

int file_read(const char *path, char **out)
{
	_cleanup_(file_closep) int fd = file_open(path, O_RDONLY);

	if (fd < 0)
		return fd;
	return file_read_fd(fd, out);
}

int file_write(const char *path, const char *text)
{
	_cleanup_(file_closep) int fd = file_open(path, O_WRONLY);
	ssize_t n;

	if (fd < 0)
		return fd;
	do {
		n = write(fd, text, strlen(text));
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return (size_t)n == strlen(text) ? 0 : -EIO;
}

/*
 * What is there already, such as half of an older one, is not written into: it may be a link to
 * another file, or open in the hands of somebody else.
 */
static int file_write_anew(const char *path, const char *text, bool is_synced)
{
	_cleanup_(file_closep) int fd = -1;
	size_t len = strlen(text);

	if (unlink(path) < 0 && errno != ENOENT)
		return -errno;
	fd = file_open(path, O_WRONLY | O_CREAT | O_EXCL);
	if (fd < 0)
		return fd;
	if (write(fd, text, len) != (ssize_t)len)
		return errno ? -errno : -EIO;
	return is_synced && fsync(fd) < 0 ? -errno : 0;
}

static int file_put_in_place(const char *path, const char *text, bool is_synced)
{
	char beside[PATH_MAX];
	int r;

	if (snprintf(beside, sizeof(beside), "%s.new", path) >= (int)sizeof(beside))
		return -ENAMETOOLONG;
	r = file_write_anew(beside, text, is_synced);
	if (r == 0 && rename(beside, path) < 0)
		r = -errno;
	if (r < 0)
		unlink(beside);
	return r;
}

int file_replace(const char *path, const char *text)
{
	return file_put_in_place(path, text, true);
}

int file_replace_unsynced(const char *path, const char *text)
{
	return file_put_in_place(path, text, false);
}

static const char *file_find_key(const char *text, const char *key)
{
	size_t len = strlen(key);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		if (*line == '\n')
			line++;
		if (strncmp(line, key, len) == 0 && line[len] == ' ')
			return line + len + 1;
	}
	return NULL;
}

int file_read_u64(const char *path, const char *key, uint64_t *out)
{
	_cleanup_(freep) char *text = NULL;
	const char *number;
	uint64_t value;
	int r = file_read(path, &text);

	if (r < 0)
		return r;
	number = key ? file_find_key(text, key) : text;
	if (!number || *number < '0' || *number > '9')
		return -EINVAL;
	errno = 0;
	value = strtoull(number, NULL, 10);
	if (errno)
		return -errno;
	*out = value;
	return 0;
}

int file_lock_directory(const char *path, int operation)
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (flock(fd, operation) < 0)
		return -errno;
	return TAKE_FD(fd);
}
