/* SPDX-License-Identifier: MIT */
/* A directory for each test, as its setup and teardown: what is in it goes with it. */
#ifndef DOZE_TESTS_SCRATCH_H
#define DOZE_TESTS_SCRATCH_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/test.h"

static char root[] = "/tmp/doze-test-XXXXXX";

static void make_root(void)
{
	strcpy(root + strlen(root) - 6, "XXXXXX");
	assert_non_null(mkdtemp(root));
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void remove_root(void)
{
	assert_int_equal(nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

#endif
