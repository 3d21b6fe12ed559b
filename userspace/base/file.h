/* SPDX-License-Identifier: MIT */
/*
 * Small files, such as those of /proc and /sys, read or written whole. That works also when
 * descriptors have run out: base/descriptors.h keeps one back.
 */
#ifndef DOZE_FILE_H
#define DOZE_FILE_H

#include <stddef.h>
#include <stdint.h>

/* The whole file as a string, at most 1 MiB; the caller frees *out. -errno, -EFBIG. */
int file_read(const char *path, char **out);

/* Writes text in a single write(2) to a file that exists. -errno, as the kernel file returns it. */
int file_write(const char *path, const char *text);

/*
 * Replaces the file at path by one with that text, or leaves it as it was. The text is written to
 * PATH.new, synced, and renamed. -errno.
 */
int file_replace(const char *path, const char *text);

/* The same, but not synced: the text survives our end, and may not survive the machine's. */
int file_replace_unsynced(const char *path, const char *text);

/*
 * The number that follows key and a space at the start of a line; the file's only number if key is
 * NULL. -errno, -EINVAL if there is none.
 */
int file_read_u64(const char *path, const char *key, uint64_t *out);

/*
 * flock(2) on a directory, which needs no file of its own and ends with our process. operation is
 * LOCK_EX, perhaps with LOCK_NB. A descriptor that the caller closes, or -errno, -EWOULDBLOCK.
 */
int file_lock_directory(const char *path, int operation);

#endif
