// SPDX-License-Identifier: MIT
/* What still works when file descriptors have run out, and who stops before that. */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/acceptor.h"
#include "base/descriptors.h"
#include "base/file.h"
#include "base/util.h"
#include "lib/scratch.h"
#include "lib/test.h"

#define SOFT 200
#define HARD 256
#define KEPT (HARD / 4)

static int taken[HARD];
static size_t taken_len;

static void set_limit(void)
{
	const struct rlimit limit = { SOFT, HARD };

	assert_return_code(setrlimit(RLIMIT_NOFILE, &limit), 0);
	descriptors_raise();
}

struct test_fixture test_around_all = { set_limit, NULL };

static bool take(void)
{
	int fd = open("/", O_PATH | O_CLOEXEC);

	if (fd >= 0)
		taken[taken_len++] = fd;
	return fd >= 0;
}

static void give_back(size_t len)
{
	for (; len && taken_len; len--)
		close(taken[--taken_len]);
}

static void clean_up(void)
{
	give_back(HARD);
	scratch_remove();
}

struct test_fixture test_around_each = { scratch_make, clean_up };

static void expect_limit(rlim_t limit)
{
	struct rlimit found;

	assert_return_code(getrlimit(RLIMIT_NOFILE, &found), 0);
	assert_int_equal(found.rlim_cur, limit);
}

TEST(the_limit_is_raised_but_not_for_a_command)
{
	int status;
	pid_t pid;

	expect_limit(HARD);
	pid = fork();
	if (pid == 0) {
		struct rlimit found;

		descriptors_restore();
		_exit(getrlimit(RLIMIT_NOFILE, &found) < 0 || found.rlim_cur != SOFT);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

TEST(files_are_written_and_read_when_no_descriptor_is_left)
{
	_cleanup_(freep) char *text = NULL;
	char path[64];

	scratch_put("", "freezer.state", "FROZEN");
	snprintf(path, sizeof(path), "%s/freezer.state", root);
	while (take())
		;
	assert_int_equal(errno, EMFILE);
	for (int i = 0; i < 3; i++)
		assert_int_equal(file_write(path, "THAWED"), 0);
	assert_int_equal(file_read(path, &text), 0);
	assert_string_equal(text, "THAWED");
	assert_int_equal(file_replace_unsynced(path, "FROZEN"), 0);
	assert_false(take());
}

TEST(there_is_no_room_when_a_quarter_is_left)
{
	while (descriptors_have_room())
		assert_true(take());
	assert_in_range(taken_len, HARD / 2, HARD - KEPT);
	for (int i = 0; i < KEPT - 1; i++)
		assert_true(take());
	assert_false(descriptors_have_room());
	give_back(KEPT);
	assert_true(descriptors_have_room());
}

/* --- the acceptor --- */

struct rig {
	struct event_base *base;
	struct acceptor *acceptor;
	struct sockaddr_un address;
	int listener;
	size_t accepted;
};

static void on_accepted(void *arg, int fd)
{
	struct rig *rig = arg;

	taken[taken_len++] = fd;
	rig->accepted++;
}

static void make_rig(struct rig *rig)
{
	rig->base = event_base_new();
	rig->address.sun_family = AF_UNIX;
	snprintf(rig->address.sun_path, sizeof(rig->address.sun_path), "%s/socket", root);
	rig->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_return_code(
		bind(rig->listener, (struct sockaddr *)&rig->address, sizeof(rig->address)), 0);
	assert_return_code(listen(rig->listener, HARD), 0);
	assert_int_equal(
		acceptor_new(&rig->acceptor, rig->base, rig->listener, "a call", on_accepted, rig),
		0);
}

static void free_rig(struct rig *rig)
{
	acceptor_free(&rig->acceptor);
	event_base_free(rig->base);
	close(rig->listener);
}

/* Calls, whose own ends are closed at once: only those that are accepted have descriptors. */
static void call(struct rig *rig, size_t times)
{
	while (times--) {
		_cleanup_(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

		assert_return_code(
			connect(fd, (struct sockaddr *)&rig->address, sizeof(rig->address)), 0);
	}
}

TEST(a_crowd_is_accepted_as_long_as_there_is_room)
{
	struct rig rig = { 0 };
	size_t accepted;

	make_rig(&rig);
	call(&rig, HARD - 2);
	while (descriptors_have_room())
		event_base_loop(rig.base, EVLOOP_ONCE);
	accepted = rig.accepted;
	assert_in_range(accepted, HARD / 2, HARD - KEPT);
	event_base_loop(rig.base, EVLOOP_ONCE);
	assert_int_equal(rig.accepted, accepted);
	give_back(10);
	while (descriptors_have_room())
		event_base_loop(rig.base, EVLOOP_ONCE);
	assert_int_equal(rig.accepted, accepted + 10);
	free_rig(&rig);
}

TEST(nothing_is_accepted_in_a_pause)
{
	struct rig rig = { 0 };

	make_rig(&rig);
	acceptor_pause(rig.acceptor);
	call(&rig, 1);
	event_base_loop(rig.base, EVLOOP_NONBLOCK);
	assert_int_equal(rig.accepted, 0);
	acceptor_resume(rig.acceptor);
	while (!rig.accepted)
		event_base_loop(rig.base, EVLOOP_ONCE);
	free_rig(&rig);
}
