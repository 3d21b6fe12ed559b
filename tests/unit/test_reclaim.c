// SPDX-License-Identifier: MIT
/* How memory is given back: step by step, with a kernel that is this file. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/util.h"
#include "cgroup/reclaim.h"
#include "lib/scratch.h"
#include "lib/test.h"

#define MIB (1ULL << 20)

#define STEPS_MAX 16

static char current_file[64], reclaim_file[64];
static int reclaim_fd = -1;
static uint64_t used, stuck; /* by the cgroup; of which so much cannot be taken */
static uint64_t steps[STEPS_MAX];
static size_t steps_len;

static void put(const char *path, uint64_t number)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fprintf(file, "%" PRIu64 "\n", number);
	fclose(file);
}

/* Both in libc's place. The machine that the test runs on may be short of memory. */
int open(const char *path, int flags, ...)
{
	va_list more;
	mode_t mode;
	int fd;

	va_start(more, flags);
	mode = va_arg(more, mode_t);
	va_end(more);
	if (strcmp(path, "/proc/pressure/memory") == 0) {
		errno = ENOENT;
		return -1;
	}
	fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
	if (strcmp(path, reclaim_file) == 0)
		reclaim_fd = fd;
	return fd;
}

static bool take(uint64_t bytes)
{
	uint64_t there = used > stuck ? used - stuck : 0;

	assert_in_range(steps_len, 0, STEPS_MAX - 1);
	steps[steps_len++] = bytes;
	used -= min_u64(bytes, there);
	put(current_file, used);
	return there >= bytes;
}

ssize_t write(int fd, const void *text, size_t len)
{
	if (fd < 0 || fd != reclaim_fd)
		return syscall(SYS_write, fd, text, len);
	reclaim_fd = -1;
	if (take(strtoull(text, NULL, 10)))
		return (ssize_t)len;
	errno = EAGAIN;
	return -1;
}

static void make_dir(void)
{
	scratch_make();
	snprintf(current_file, sizeof(current_file), "%s/memory.current", root);
	snprintf(reclaim_file, sizeof(reclaim_file), "%s/memory.reclaim", root);
	put(reclaim_file, 0);
}

static void remove_dir(void)
{
	unlink(current_file);
	unlink(reclaim_file);
	assert_int_equal(rmdir(root), 0);
}

/* clang-format off */
static const struct {
	const char *story;
	uint64_t used, floor, stuck;
	size_t steps_len;
	uint64_t steps[STEPS_MAX];
	uint64_t left;
} sleeps[] = {
	{ "down to the floor, and the last step is shorter", 4 * MIB + 5, MIB + 1, 0,
	  4, { MIB, MIB, MIB, 4 }, MIB + 1 },
	{ "less than the floor is left alone", 4 * MIB, 5 * MIB, 0, 0, { 0 }, 4 * MIB },
	{ "until no more can be taken, of which a part was", 4 * MIB, 0, 2 * MIB + MIB / 2,
	  2, { MIB, MIB }, 2 * MIB + MIB / 2 },
};
/* clang-format on */

static void sleep_once(struct reclaim *r, struct event_base *base, size_t i)
{
	steps_len = 0;
	used = sleeps[i].used;
	stuck = sleeps[i].stuck;
	put(current_file, used);
	reclaim_start(r);
	event_base_dispatch(base); /* until nothing is left to be done */
	assert_int_equal(steps_len, sleeps[i].steps_len);
	assert_memory_equal(steps, sleeps[i].steps, steps_len * sizeof(*steps));
	assert_int_equal(used, sleeps[i].left);
}

TEST(memory_is_given_back_in_small_steps_and_counted, .setup = make_dir, .teardown = remove_dir)
{
	for (size_t i = 0; i < ARRAY_LEN(sleeps); i++) {
		const struct reclaim_settings settings = {
			.after_ns = 1,
			.floor_bytes = sleeps[i].floor,
			.name = "shop/web",
		};
		_cleanup_(reclaim_free) struct reclaim *r = NULL;
		struct event_base *base = event_base_new();
		uint64_t bytes = sleeps[i].used - sleeps[i].left;

		print_message("  %s\n", sleeps[i].story);
		assert_int_equal(reclaim_new(&r, base, &settings), 0);
		assert_int_equal(reclaim_add(r, root), 0);
		assert_int_equal(reclaim_total_bytes(r), 0);
		sleep_once(r, base, i);
		assert_int_equal(reclaim_total_bytes(r), bytes);
		sleep_once(r, base, i);
		assert_int_equal(reclaim_total_bytes(r), 2 * bytes);
		reclaim_free(&r);
		event_base_free(base);
	}
}

TEST(the_daemon_has_most_of_the_time_for_others)
{
	assert_int_equal(reclaim_pause_ns(0), 20 * NS_PER_MS);
	assert_int_equal(reclaim_pause_ns(NS_PER_MS), 20 * NS_PER_MS);
	assert_int_equal(reclaim_pause_ns(50 * NS_PER_MS), NS_PER_S);
}
