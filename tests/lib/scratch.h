/* SPDX-License-Identifier: MIT */
/*
 * A directory for each test, as its setup and teardown: what is in it goes with it. Paths are below
 * root.
 */
#ifndef DOZE_TESTS_SCRATCH_H
#define DOZE_TESTS_SCRATCH_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/test.h"

static char root[] = "/tmp/doze-test-XXXXXX";

static inline void scratch_make(void)
{
	strcpy(root + strlen(root) - 6, "XXXXXX");
	assert_non_null(mkdtemp(root));
}

static inline int scratch_remove_one(const char *path, const struct stat *st, int type,
				     struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline void scratch_remove(void)
{
	assert_int_equal(nftw(root, scratch_remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

/* With all directories above it. */
static inline void scratch_mkdir(const char *path)
{
	char full[1024];

	snprintf(full, sizeof(full), "%s/%s", root, path);
	for (char *slash = full + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		mkdir(full, 0755);
		*slash = '/';
	}
	assert_int_equal(mkdir(full, 0755), 0);
}

static inline void scratch_put(const char *path, const char *name, const char *text)
{
	char full[1100];
	FILE *file;

	snprintf(full, sizeof(full), "%s/%s/%s", root, path, name);
	file = fopen(full, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

#endif
