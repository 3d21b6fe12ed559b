// SPDX-License-Identifier: MIT
/*
 * The record of a killed doze, which may be cut, old, or somebody else's. An input is choices in
 * the grammar below, so that no path leads out of the directory of the fuzzer.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "cgroup/record.h"
#include "grammar.h"

#define RECORD "run-1.undo"

static const struct grammar_rule rules[] = {
	{ 'S',
	  { "", "$l$S", "$l$l$l$S", "$t", "undo\tmax 100000\tquota\nundo\tTHAWED\tfreezer\n" } },
	{ 'l',
	  { "undo\t$x\t$p\n", "undo\t$x\n", "$w\t$x\t$p\n", "\n", "undo\t$x\t$p\t$p\n", "$t\n" } },
	{ 't', { "undo\t$x\t$p", "undo", "undo\t", "undo\t$x\t", "\t\t", "$x" } },
	{ 'w', { "redo", "undo ", "Undo", "", "undoundo" } },
	{ 'x', { "0", "", "max 100000", "THAWED", "-1", " ", "undo", "\r", "$x$x" } },
	{ 'p', { "quota", "freezer", "gone", "gone/quota", "", ".", "quota/x", "\x80" } },
	{ 0 },
};

static const char *const targets[] = { "quota", "freezer" };
static const char before[] = "before";
static int root_fd, home_fd; /* libFuzzer's own paths are relative to where it was started */
static char root[] = "/tmp/doze-fuzz-record-XXXXXX";

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_put(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	if (!file)
		abort();
	fputs(text, file);
	fclose(file);
}

static void fuzz_remove(void)
{
	unlinkat(root_fd, RECORD, 0);
	for (size_t i = 0; i < ARRAY_LEN(targets); i++)
		unlinkat(root_fd, targets[i], 0);
	rmdir(root);
}

static void fuzz_go_to(int directory)
{
	if (fchdir(directory) < 0)
		abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	if (!mkdtemp(root))
		abort();
	root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	home_fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fuzz_go_to(home_fd);
	atexit(fuzz_remove);
	return 0;
}

/* The text of the last whole line that is about that file; NULL: there is none. */
static const char *fuzz_expect(char *text, const char *target)
{
	const char *found = NULL;
	char *end, *tab;

	for (; (end = strchr(text, '\n')); text = end + 1) {
		*end = '\0';
		tab = strncmp(text, "undo\t", 5) == 0 ? strchr(text + 5, '\t') : NULL;
		if (!tab)
			continue;
		*tab = '\0';
		if (strcmp(tab + 1, target) == 0)
			found = text + 5;
	}
	return found;
}

/* A write of a plain file leaves what is behind it. */
static void fuzz_check(const char *text, const char *target)
{
	_cleanup_(freep) char *copy = strdup(text);
	char now[GRAMMAR_ROOM] = "";
	FILE *file = fopen(target, "r");
	const char *expected;
	size_t len;

	if (!copy || !file)
		abort();
	len = fread(now, 1, sizeof(now) - 1, file);
	fclose(file);
	expected = fuzz_expect(copy, target);
	if (!expected && strcmp(now, before) != 0)
		abort(); /* written, although no line says so */
	if (expected && (len < strlen(expected) || strncmp(now, expected, strlen(expected)) != 0))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct grammar g;

	g = (struct grammar){ .rules = rules, .data = data, .end = data + size };
	grammar_expand(&g, "$S");
	fuzz_go_to(root_fd); /* the paths of the grammar are relative */
	for (size_t i = 0; i < ARRAY_LEN(targets); i++)
		fuzz_put(targets[i], before);
	fuzz_put(RECORD, g.out);
	record_sweep(".");
	for (size_t i = 0; i < ARRAY_LEN(targets); i++)
		fuzz_check(g.out, targets[i]);
	fuzz_go_to(home_fd);
	return 0;
}
