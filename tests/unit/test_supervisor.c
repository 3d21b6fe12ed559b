// SPDX-License-Identifier: MIT
/*
 * A supervisor in a process of its own, with a daemon that tells through a pipe what happens to it.
 * A daemon that outlives its supervisor becomes our child.
 */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/util.h"
#include "command/supervisor.h"
#include "lib/scratch.h"
#include "lib/test.h"

#define LIMIT_MS 30000

/* What a daemon tells: that it runs (its pid), or which signal it got (negative). */
static int told_fds[2];
static char file[64];

static void prepare(void)
{
	log_set_level(LOG_LEVEL_ERROR);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
}

static void set_file(const char *text)
{
	int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static void make(void)
{
	scratch_make();
	snprintf(file, sizeof(file), "%s/file", root);
	set_file("1");
	assert_int_equal(pipe2(told_fds, O_CLOEXEC), 0);
}

static void take_back(void)
{
	close(told_fds[0]);
	close(told_fds[1]);
	scratch_remove();
}

struct test_fixture test_around_each = { make, take_back };
struct test_fixture test_around_all = { prepare, NULL };

static void tell(int what)
{
	if (write(told_fds[1], &what, sizeof(what)) != sizeof(what))
		_exit(99);
}

static int hear(void)
{
	struct pollfd fd = { .fd = told_fds[0], .events = POLLIN };
	int what = 0;

	if (poll(&fd, 1, LIMIT_MS) != 1)
		fail_msg("the daemon told nothing in %d ms", LIMIT_MS);
	assert_int_equal(read(told_fds[0], &what, sizeof(what)), (ssize_t)sizeof(what));
	return what;
}

static void expect_file(const char *expected)
{
	_cleanup_(freep) char *text = NULL;

	assert_int_equal(file_read(file, &text), 0);
	assert_string_equal(text, expected);
}

/* --- daemons --- */

static void wait_for_a_signal(void)
{
	sigset_t set;
	int number = 0;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigwait(&set, &number);
	tell(-number);
}

static int serve(const struct config *config, struct watchdog *watchdog)
{
	(void)config;
	alarm(LIMIT_MS / 1000);
	if (watchdog_add(watchdog, file, "0") < 0)
		return 98;
	tell(getpid());
	wait_for_a_signal();
	watchdog_free(&watchdog);
	return 7;
}

static int refuse(const struct config *config, struct watchdog *watchdog)
{
	(void)config;
	watchdog_add(watchdog, file, "0");
	watchdog_free(&watchdog);
	return 3;
}

/* Its loop begins, and stands still. */
static int hang(const struct config *config, struct watchdog *watchdog)
{
	struct event_base *base = event_base_new();

	(void)config;
	alarm(LIMIT_MS / 1000);
	if (!base || watchdog_join(watchdog, base) < 0)
		return 98;
	event_base_loop(base, EVLOOP_ONCE);
	tell(getpid());
	for (;;)
		pause();
}

/* --- supervisors --- */

static pid_t supervise(supervisor_daemon_fn daemon)
{
	pid_t pid = fork();

	if (pid == 0) {
		const struct supervisor_settings settings = { .daemon = daemon, .hang_ms = 50 };

		_exit(supervisor_run(&settings));
	}
	return pid;
}

static void expect_status(pid_t pid, int status)
{
	int got;

	assert_int_equal(TEMP_FAILURE_RETRY(waitpid(pid, &got, 0)), pid);
	assert_true(WIFEXITED(got));
	assert_int_equal(WEXITSTATUS(got), status);
}

static void wait_for_status(pid_t pid, const char *line)
{
	uint64_t limit_ns = monotonic_ns() + LIMIT_MS * NS_PER_MS;
	bool is_there = false;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	while (!is_there) {
		_cleanup_(freep) char *status = NULL;

		if (monotonic_ns() > limit_ns || file_read(path, &status) < 0)
			fail_msg("pid %d has no '%s'", (int)pid, line);
		is_there = status && strstr(status, line) != NULL;
	}
}

TEST(a_daemon_that_is_killed_is_undone_and_started_anew_each_time)
{
	pid_t pid = supervise(serve);

	for (int i = 0; i < 4; i++) {
		pid_t daemon = hear();

		set_file("1");
		kill(daemon, SIGKILL);
	}
	assert_true(hear() > 0);
	expect_file("0");
	kill(pid, SIGTERM);
	assert_int_equal(hear(), -SIGTERM);
	expect_status(pid, 7);
}

TEST(a_daemon_that_ends_by_itself_is_not_started_anew_and_nothing_is_undone)
{
	expect_status(supervise(refuse), 3);
	expect_file("1");
}

TEST(a_signal_is_passed_on)
{
	pid_t pid = supervise(serve);

	hear();
	kill(pid, SIGHUP);
	assert_int_equal(hear(), -SIGHUP);
	expect_status(pid, 7);
	expect_file("1");
}

TEST(a_signal_that_comes_before_the_daemon_waits_for_it_is_not_lost)
{
	pid_t pid = supervise(serve), daemon = hear();

	kill(daemon, SIGSTOP);
	kill(pid, SIGTERM);
	kill(daemon, SIGCONT);
	assert_int_equal(hear(), -SIGTERM);
	expect_status(pid, 7);
}

TEST(a_daemon_that_is_killed_while_it_ends_is_not_started_anew)
{
	pid_t pid = supervise(serve), daemon = hear();

	kill(daemon, SIGSTOP);
	wait_for_status(daemon, "State:\tT");
	kill(pid, SIGTERM);
	wait_for_status(daemon, "ShdPnd:\t0000000000004000"); /* 1 << (SIGTERM - 1) */
	kill(daemon, SIGKILL);
	expect_status(pid, 128 + SIGKILL);
	expect_file("0");
}

TEST(a_daemon_whose_loop_stands_still_is_killed_and_started_anew)
{
	pid_t pid = supervise(hang), first = hear(), second = hear();

	assert_int_not_equal(first, second);
	kill(pid, SIGKILL);
	kill(second, SIGKILL);
	while (waitpid(-1, NULL, 0) > 0)
		;
}

TEST(a_daemon_does_not_outlive_its_supervisor)
{
	pid_t pid = supervise(serve);

	hear();
	kill(pid, SIGKILL);
	assert_int_equal(hear(), -SIGTERM);
	while (waitpid(-1, NULL, 0) > 0)
		;
}
