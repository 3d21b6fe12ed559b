/* SPDX-License-Identifier: MIT */
/* Small kernel files (/proc, /sys): read or written whole, in one system call where it matters. */
#ifndef DOZE_FILE_H
#define DOZE_FILE_H

#include <stddef.h>
#include <stdint.h>

/* The whole file as a string, at most 1 MiB; the caller frees *out. -errno, -EFBIG. */
int file_read(const char *path, char **out);

/* Writes text in a single write(2) to a file that exists. -errno, as the kernel file returns it. */
int file_write(const char *path, const char *text);

/*
 * Replaces the file at path by one with that text, or leaves it as it was: written beside it,
 * synced, and renamed. -errno.
 */
int file_replace(const char *path, const char *text);

/* The same, but not synced: it survives us, and not the machine. */
int file_replace_unsynced(const char *path, const char *text);

/* The number that follows key and a space at the start of a line, or the file's only number when
 * key is NULL. -errno, -EINVAL when there is none. */
int file_read_u64(const char *path, const char *key, uint64_t *out);

/*
 * flock(2) on a directory: it needs no place of its own, and ends with us. operation: LOCK_EX, with
 * LOCK_NB. A descriptor that the caller closes, or -errno, -EWOULDBLOCK.
 */
int file_lock_directory(const char *path, int operation);

#endif
