// SPDX-License-Identifier: MIT
/* Small files, read and written whole, in a directory of their own. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "base/util.h"
#include "lib/scratch.h"
#include "lib/test.h"

#define UNTOUCHED 77 /* what a failure must leave in *out */

static char path[64], beside[64];
static int syncs;

/* In libc's place. */
int fsync(int fd)
{
	syncs++;
	return (int)syscall(SYS_fsync, fd);
}

static void make_dir(void)
{
	scratch_make();
	snprintf(path, sizeof(path), "%s/file", root);
	snprintf(beside, sizeof(beside), "%s/file.new", root);
}

static void remove_dir(void)
{
	unlink(path);
	unlink(beside);
	assert_int_equal(rmdir(root), 0);
}

struct test_fixture test_around_each = { make_dir, remove_dir };

static void fill(const char *text, size_t len)
{
	_cleanup_(closep) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_int_equal(write(fd, text, len), len);
}

static void expect_content(const char *expected)
{
	_cleanup_(freep) char *text = NULL;

	assert_int_equal(file_read(path, &text), 0);
	assert_string_equal(text, expected);
}

TEST(a_file_is_read_whole)
{
	fill("", 0);
	expect_content("");
	fill("one\ntwo\n", 8);
	expect_content("one\ntwo\n");
}

/* Around the sizes at which the buffer grows. */
TEST(a_file_of_any_size_up_to_the_limit_is_read_whole)
{
	static const size_t sizes[] = { 4094, 4095, 4096, 4097, 8191, 8192, 100000, (1 << 20) - 2 };
	_cleanup_(freep) char *content = malloc(1 << 20);

	assert_non_null(content);
	memset(content, 'x', 1 << 20);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		_cleanup_(freep) char *text = NULL;

		fill(content, sizes[i]);
		assert_int_equal(file_read(path, &text), 0);
		assert_int_equal(strlen(text), sizes[i]);
		assert_memory_equal(text, content, sizes[i]);
	}
}

TEST(a_file_that_is_too_large_is_refused)
{
	_cleanup_(freep) char *content = calloc(1, (1 << 20) + 1);
	char *text = content;

	fill(content, (1 << 20) + 1);
	assert_int_equal(file_read(path, &text), -EFBIG);
	assert_ptr_equal(text, content);
}

TEST(a_file_that_cannot_be_read_says_why)
{
	char *text = path;

	assert_int_equal(file_read(path, &text), -ENOENT);
	assert_int_equal(file_read(root, &text), -EISDIR);
	assert_ptr_equal(text, path);
}

TEST(a_file_of_the_kernel_is_read_although_its_size_is_0)
{
	_cleanup_(freep) char *text = NULL;

	assert_int_equal(file_read("/proc/self/mountinfo", &text), 0);
	assert_non_null(strstr(text, " - "));
}

TEST(writing_needs_a_file_that_is_there)
{
	assert_int_equal(file_write(path, "1"), -ENOENT);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(file_write(root, "1"), -EISDIR);
	fill("0\n", 2);
	assert_int_equal(file_write(path, "1\n"), 0);
	expect_content("1\n");
	assert_int_equal(file_write(path, ""), 0);
}

TEST(an_error_of_the_kernel_file_is_returned)
{
	assert_int_equal(file_write("/dev/full", "1"), -ENOSPC);
	assert_int_equal(file_write("/proc/self/oom_score_adj", "much"), -EINVAL);
}

TEST(replacing_makes_a_file_or_takes_the_place_of_one)
{
	assert_int_equal(file_replace(path, "a longer text\n"), 0);
	expect_content("a longer text\n");
	assert_int_equal(file_replace(path, "short\n"), 0);
	expect_content("short\n");
	assert_int_equal(access(beside, F_OK), -1);
}

/* What a crash in the middle has left behind does not matter. */
TEST(replacing_does_not_care_for_an_unfinished_one)
{
	assert_int_equal(file_replace(beside, "half of a much longer te"), 0);
	assert_int_equal(file_replace(path, "whole\n"), 0);
	expect_content("whole\n");
}

TEST(replacing_follows_no_link_and_writes_into_nothing_of_others)
{
	_cleanup_(freep) char *text = NULL;
	char other[sizeof(root) + 8];
	struct stat now;

	snprintf(other, sizeof(other), "%s/other", root);
	assert_int_equal(file_replace(other, "of somebody else\n"), 0);
	assert_int_equal(symlink(other, beside), 0);
	assert_int_equal(file_replace(path, "ours\n"), 0);
	expect_content("ours\n");
	assert_int_equal(file_read(other, &text), 0);
	assert_string_equal(text, "of somebody else\n");

	assert_int_equal(file_replace(beside, "theirs\n"), 0);
	assert_int_equal(chmod(beside, 0666), 0);
	assert_int_equal(file_replace(path, "ours again\n"), 0);
	assert_int_equal(stat(path, &now), 0);
	assert_int_equal(now.st_mode & 0777, 0600);
	assert_int_equal(unlink(other), 0);
}

TEST(replacing_that_fails_leaves_the_file_as_it_was)
{
	char long_path[2 * 4096];

	fill("before\n", 7);
	assert_int_equal(mkdir(beside, 0700), 0);
	assert_int_equal(file_replace(path, "after\n"), -EISDIR);
	assert_int_equal(rmdir(beside), 0);
	expect_content("before\n");

	assert_int_equal(file_replace("/nonexistent/file", "1"), -ENOENT);
	memset(long_path, 'x', sizeof(long_path) - 1);
	long_path[sizeof(long_path) - 1] = '\0';
	assert_int_equal(file_replace(long_path, "1"), -ENAMETOOLONG);
	assert_int_equal(file_replace(root, "1"), -EISDIR);
	strcpy(long_path, root);
	strcat(long_path, ".new");
	assert_int_equal(access(long_path, F_OK), -1);
}

/* Root may write anywhere, so it becomes nobody for a while. */
TEST(replacing_in_a_read_only_directory_leaves_the_file_as_it_was)
{
	uid_t me = geteuid();
	int r;

	fill("before\n", 7);
	assert_int_equal(chmod(root, 0555), 0);
	assert_int_equal(chmod(path, 0666), 0); /* the file itself may be written */
	if (me == 0)
		assert_int_equal(seteuid(65534), 0);
	r = file_replace(path, "after\n");
	assert_int_equal(seteuid(me), 0);
	assert_int_equal(chmod(root, 0700), 0);
	assert_int_equal(r, -EACCES);
	expect_content("before\n");
	assert_int_equal(access(beside, F_OK), -1);
}

/* The name itself is not too long, the one beside it is. */
TEST(replacing_a_file_of_the_longest_name_leaves_it_as_it_was)
{
	char name[NAME_MAX + 1], long_path[sizeof(root) + sizeof(name)];
	_cleanup_(freep) char *text = NULL;

	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	snprintf(long_path, sizeof(long_path), "%s/%s", root, name);
	fill("before\n", 7);
	assert_int_equal(rename(path, long_path), 0);
	assert_int_equal(file_replace(long_path, "after\n"), -ENAMETOOLONG);
	assert_int_equal(file_read(long_path, &text), 0);
	assert_string_equal(text, "before\n");
	assert_int_equal(unlink(long_path), 0);
}

/* Whoever has it open reads on what it was: the new one is another file. */
TEST(replacing_does_not_change_the_file_under_a_reader)
{
	_cleanup_(closep) int fd = -1;
	char text[16] = "";

	assert_int_equal(file_replace(path, "before\n"), 0);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(file_replace(path, "after\n"), 0);
	assert_int_equal(read(fd, text, sizeof(text) - 1), 7);
	assert_string_equal(text, "before\n");
	expect_content("after\n");
}

TEST(what_need_not_outlive_the_machine_is_not_synced)
{
	syncs = 0;
	assert_int_equal(file_replace_unsynced(path, "before\n"), 0);
	assert_int_equal(file_replace_unsynced(path, "after\n"), 0);
	expect_content("after\n");
	assert_int_equal(access(beside, F_OK), -1);
	assert_int_equal(syncs, 0);
	assert_int_equal(file_replace(path, "kept\n"), 0);
	assert_int_equal(syncs, 1);
	assert_int_equal(mkdir(beside, 0700), 0);
	assert_int_equal(file_replace_unsynced(path, "lost\n"), -EISDIR);
	assert_int_equal(rmdir(beside), 0);
	expect_content("kept\n");
}

/* clang-format off */
static const struct {
	const char *content, *key;
	int r;
	uint64_t value;
} numbers[] = {
	{ "123\n", NULL, 0, 123 },
	{ "0", NULL, 0, 0 },
	{ "18446744073709551615\n", NULL, 0, UINT64_MAX },
	{ "max\n", NULL, -EINVAL, 0 },
	{ "", NULL, -EINVAL, 0 },
	{ "-1\n", NULL, -EINVAL, 0 },
	{ " 1\n", NULL, -EINVAL, 0 },
	{ "18446744073709551616\n", NULL, -ERANGE, 0 },

	/* cpu.stat of cgroup v2 */
	{ "usage_usec 42\nuser_usec 40\nsystem_usec 2\n", "usage_usec", 0, 42 },
	{ "usage_usec 42\nuser_usec 40\nsystem_usec 2\n", "system_usec", 0, 2 },
	{ "usage_usec 42\nuser_usec 40\nsystem_usec 2", "system_usec", 0, 2 },
	{ "usage_usec 42\nuser_usec 40\n", "usage", -EINVAL, 0 },
	{ "usage_usec 42\nuser_usec 40\n", "usec", -EINVAL, 0 },
	{ "usage_usec 42\nuser_usec 40\n", "nr_periods", -EINVAL, 0 },
	{ "x usage_usec 1\nusage_usec 2\n", "usage_usec", 0, 2 },
	{ "\n\nusage_usec 3\n", "usage_usec", 0, 3 },
	{ "usage_usec\nusage_usec 4\n", "usage_usec", 0, 4 },
	{ "usage_usec max\n", "usage_usec", -EINVAL, 0 },
	{ "usage_usec ", "usage_usec", -EINVAL, 0 },
	{ "usage_usec", "usage_usec", -EINVAL, 0 },
	{ "usage_usec 99999999999999999999\n", "usage_usec", -ERANGE, 0 },
	{ "", "usage_usec", -EINVAL, 0 },
};
/* clang-format on */

TEST(a_number_is_read_alone_or_by_its_key)
{
	uint64_t value = UNTOUCHED;

	assert_int_equal(file_read_u64(path, NULL, &value), -ENOENT);
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		uint64_t expected = numbers[i].r == 0 ? numbers[i].value : UNTOUCHED;
		int r;

		value = UNTOUCHED;
		fill(numbers[i].content, strlen(numbers[i].content));
		r = file_read_u64(path, numbers[i].key, &value);
		if (r != numbers[i].r || value != expected)
			fail_msg("row %zu: %d, %llu", i, r, (unsigned long long)value);
	}
}
