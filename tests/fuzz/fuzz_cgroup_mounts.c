// SPDX-License-Identifier: MIT
/*
 * Fuzzes the parsers of /proc/self/mountinfo and /proc/PID/cgroup: an input is the text, in which
 * a byte of 1 stands for a thousand letters, so that names become too long soon enough.
 */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "cgroup/cgroup_mounts.h"

#define FUZZ_LETTER   1
#define FUZZ_LETTERS  1000
#define FUZZ_TEXT_MAX (16 * PATH_MAX)

#define FUZZ_CHECK(claim)                                                                          \
	do {                                                                                       \
		if (!(claim))                                                                      \
			__builtin_trap();                                                          \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool fuzz_is_string(const char text[PATH_MAX])
{
	return memchr(text, '\0', PATH_MAX) != NULL;
}

static void fuzz_mountinfo(const char *text)
{
	struct cgroup_mounts mounts;

	cgroup_mounts_parse(&mounts, text, "/");
	for (int c = 0; c < CGROUP_CONTROLS; c++) {
		const struct cgroup_mount *m = &mounts.controls[c];

		FUZZ_CHECK(m->version >= 0 && m->version <= 2);
		FUZZ_CHECK(fuzz_is_string(m->root) && fuzz_is_string(m->point));
		/* Nothing is left of what was not taken. */
		FUZZ_CHECK(m->version || (!*m->root && !*m->point));
		FUZZ_CHECK(!m->version || strstr(text, " cgroup"));
	}
}

static void fuzz_path(const char *text, int version, enum cgroup_control control)
{
	char path[PATH_MAX] = "untouched";
	int r = cgroup_mounts_path(path, text, version, control);

	FUZZ_CHECK(r == 0 || r == -ENOENT || r == -ENAMETOOLONG);
	FUZZ_CHECK(r == 0 || strcmp(path, "untouched") == 0);
	if (r < 0)
		return;
	FUZZ_CHECK(fuzz_is_string(path) && !strchr(path, '\n'));
	FUZZ_CHECK(strstr(text, path));
}

static char *fuzz_text(const uint8_t *data, size_t size)
{
	static char text[FUZZ_TEXT_MAX];
	size_t len = 0;

	for (size_t i = 0; i < size && len + FUZZ_LETTERS < sizeof(text); i++) {
		size_t n = data[i] == FUZZ_LETTER ? FUZZ_LETTERS : 1;

		memset(text + len, data[i] == FUZZ_LETTER ? 'x' : data[i], n);
		len += n;
	}
	/* Of just that length, so that the address sanitizer sees each read beyond it. */
	return strndup(text, len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(freep) char *text = fuzz_text(data, size);

	FUZZ_CHECK(text);
	fuzz_mountinfo(text);
	for (int version = 1; version <= 2; version++) {
		for (int c = 0; c < CGROUP_CONTROLS; c++)
			fuzz_path(text, version, (enum cgroup_control)c);
	}
	return 0;
}
