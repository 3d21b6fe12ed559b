// SPDX-License-Identifier: MIT
/*
 * The watchdog of a real process: a forked "doze" that is killed, or falls silent. What is to be
 * restored is a file in a directory of its own, or a FIFO, which also tells when it is written.
 *
 * The watchdogs that outlive their doze become our children, so that we can wait for their end.
 */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/util.h"
#include "cgroup/record.h"
#include "cgroup/watchdog.h"
#include "lib/scratch.h"
#include "lib/test.h"

#define LIMIT_MS      20000 /* for what should be over in milliseconds, or in WATCHDOG_SILENCE_MS */
#define FIFOS	      2
#define FIFO_TEXT_MAX 256

static char file[64], fifos[FIFOS][64];
static int fifo_fds[FIFOS];

static void write_new_file(const char *path, const char *text)
{
	_cleanup_(closep) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		fail_msg("cannot write '%s'", path);
}

static void make_dir(void)
{
	scratch_make();
	snprintf(file, sizeof(file), "%s/file", root);
	write_new_file(file, "1");
	for (int i = 0; i < FIFOS; i++) {
		snprintf(fifos[i], sizeof(fifos[i]), "%s/fifo%d", root, i);
		assert_true(mkfifo(fifos[i], 0600) >= 0);
		/* Also for writing: it never ends. */
		fifo_fds[i] = open(fifos[i], O_RDWR | O_NONBLOCK | O_CLOEXEC);
	}
}

static void remove_dir(void)
{
	for (int i = 0; i < FIFOS; i++) {
		close(fifo_fds[i]);
		unlink(fifos[i]);
	}
	unlink(file);
	assert_int_equal(rmdir(root), 0);
}

static void prepare(void)
{
	log_set_level(LOG_LEVEL_ERROR);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
}

struct test_fixture test_around_each = { make_dir, remove_dir };
struct test_fixture test_around_all = { prepare, NULL };

static void expect_file(const char *expected)
{
	_cleanup_(freep) char *text = NULL;

	assert_int_equal(file_read(file, &text), 0);
	assert_string_equal(text, expected);
}

/* What the FIFO holds by now. */
static void expect_fifo(int i, const char *expected)
{
	char text[FIFO_TEXT_MAX] = "";
	ssize_t n = read(fifo_fds[i], text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = '\0';
	assert_string_equal(text, expected);
}

static void wait_for_fifo(int i)
{
	struct pollfd fd = { .fd = fifo_fds[i], .events = POLLIN };

	if (poll(&fd, 1, LIMIT_MS) != 1)
		fail_msg("nothing was restored in %d ms", LIMIT_MS);
}

/* The watchdog's, or a doze's; nobody else is our child. */
static void wait_for_one_child(void)
{
	pid_t pid;

	do {
		pid = waitpid(-1, NULL, 0);
	} while (pid < 0 && errno == EINTR);
	assert_true(pid > 0);
}

/* What a doze does before it is killed. */
typedef void (*doze_fn)(struct watchdog *w);

static void doze_main(doze_fn prepare, int ready_fd)
{
	struct watchdog *w = NULL;

	setpgid(0, 0);
	alarm(LIMIT_MS / 1000);
	if (watchdog_start(&w) < 0)
		_exit(1);
	prepare(w);
	if (write(ready_fd, "", 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

/* Returns when it is ready to be killed. */
static pid_t doze_start(doze_fn prepare)
{
	int fds[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0)
		doze_main(prepare, fds[1]);
	close(fds[1]);
	assert_int_equal(read(fds[0], &byte, 1), 1);
	close(fds[0]);
	return pid;
}

/* The doze first, then the watchdog, when it has done its work. */
static void wait_for_both(void)
{
	wait_for_one_child();
	wait_for_one_child();
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static void add_file(struct watchdog *w)
{
	if (watchdog_add(w, file, "0") < 0)
		_exit(1);
}

TEST(a_killed_doze_has_its_file_restored)
{
	pid_t pid = doze_start(add_file);

	expect_file("1");
	kill(pid, SIGKILL);
	wait_for_both();
	expect_file("0");
}

static void add_file_and_rest(struct watchdog *w)
{
	add_file(w);
	watchdog_beat(w);
	watchdog_rest(w);
}

/* Rest is about silence. Whoever is dead is dead. */
TEST(a_killed_doze_has_its_file_restored_also_when_nothing_is_asleep)
{
	pid_t pid = doze_start(add_file_and_rest);

	kill(pid, SIGKILL);
	wait_for_both();
	expect_file("0");
}

/* Paths that differ, of the same FIFO. */
static void add_several(struct watchdog *w)
{
	static const char slashes[] = "////////////////";
	char path[128], text[8];

	for (int i = 0; i < 16; i++) {
		snprintf(path, sizeof(path), "%s/%.*sfifo0", root, i, slashes);
		snprintf(text, sizeof(text), "%d,", i);
		if (watchdog_add(w, path, text) < 0)
			_exit(1);
	}
}

static void add_again_and_drop(struct watchdog *w)
{
	if (watchdog_add(w, fifos[0], "old") < 0 || watchdog_add(w, fifos[1], "x") < 0 ||
	    watchdog_add(w, fifos[0], "new") < 0)
		_exit(1);
	watchdog_drop(w, fifos[1]);
	watchdog_drop(w, file); /* which it was never told of */
}

TEST(of_one_file_the_last_text_counts_and_one_that_was_dropped_is_left_alone)
{
	pid_t pid = doze_start(add_again_and_drop);

	kill(pid, SIGKILL);
	wait_for_both();
	expect_fifo(0, "new");
	expect_fifo(1, "");
	expect_file("1");
}

static void add_a_thousand(struct watchdog *w)
{
	char path[128];

	for (int i = 0; i < 1000; i++) {
		snprintf(path, sizeof(path), "%s/no-such-%d", root, i);
		if (watchdog_add(w, path, "0") < 0)
			_exit(1);
	}
	add_file(w);
}

TEST(there_may_be_as_many_as_a_node_has_containers)
{
	pid_t pid = doze_start(add_a_thousand);

	kill(pid, SIGKILL);
	wait_for_both();
	expect_file("0");
}

TEST(what_a_doze_that_lives_cannot_undo_is_undone_for_it)
{
	struct watchdog *w = NULL;

	assert_int_equal(watchdog_start(&w), 0);
	assert_int_equal(watchdog_add(w, fifos[0], "0"), 0);
	watchdog_undo(w);
	wait_for_fifo(0);
	watchdog_free(&w);
}

TEST(files_are_restored_in_the_order_in_which_they_were_added)
{
	pid_t pid = doze_start(add_several);

	kill(pid, SIGKILL);
	wait_for_both();
	expect_fifo(0, "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,");
}

static void add_what_is_gone(struct watchdog *w)
{
	char gone[128];

	snprintf(gone, sizeof(gone), "%s/gone", root);
	if (watchdog_add(w, gone, "0") < 0 || watchdog_add(w, root, "0") < 0)
		_exit(1);
	add_file(w);
}

TEST(a_file_that_cannot_be_restored_does_not_keep_the_others_from_it)
{
	pid_t pid = doze_start(add_what_is_gone);

	kill(pid, SIGKILL);
	wait_for_both();
	expect_file("0");
}

/* The name is given after the signals are ignored. */
static bool is_watchdog_up(void)
{
	_cleanup_(freep) char *children = NULL;
	_cleanup_(freep) char *name = NULL;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	if (file_read(path, &children) < 0)
		_exit(1);
	snprintf(path, sizeof(path), "/proc/%d/comm", atoi(children));
	return file_read(path, &name) == 0 && strcmp(name, "doze-watchdog\n") == 0;
}

static void add_file_and_see_the_watchdog(struct watchdog *w)
{
	uint64_t limit_ns = monotonic_ns() + LIMIT_MS * NS_PER_MS;

	add_file(w);
	while (!is_watchdog_up() && monotonic_ns() < limit_ns)
		sched_yield();
}

/* Ctrl-C, a closed terminal, a shell that kills its job: the whole process group ends. */
TEST(the_watchdog_outlives_the_signals_that_end_a_process_group)
{
	static const int signals[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGKILL };
	char children[64];

	snprintf(children, sizeof(children), "/proc/self/task/%d/children", (int)getpid());
	if (access(children, R_OK) < 0) {
		print_message("this kernel has no '%s'\n", children);
		skip();
	}
	for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
		pid_t pid;

		write_new_file(file, "1");
		pid = doze_start(add_file_and_see_the_watchdog);
		kill(-pid, signals[i]);
		wait_for_both();
		expect_file("0");
	}
}

TEST(a_doze_that_ends_well_leaves_its_file_alone)
{
	struct watchdog *w = NULL;

	assert_int_equal(watchdog_start(&w), 0);
	assert_int_equal(watchdog_add(w, file, "0"), 0);
	watchdog_beat(w);
	watchdog_free(&w);
	assert_null(w);
	/* It has ended, so it will not write either. */
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	expect_file("1");
	watchdog_free(&w);
}

/* The one that is silent while asleep is the clock for those that may be silent. */
TEST(silence_restores_only_while_something_is_asleep)
{
	struct watchdog *never_beat = NULL, *rested = NULL, *asleep = NULL;
	uint64_t silent_since_ns, silent_ms;

	assert_int_equal(watchdog_start(&never_beat), 0);
	assert_int_equal(watchdog_start(&rested), 0);
	assert_int_equal(watchdog_start(&asleep), 0);
	assert_int_equal(watchdog_add(never_beat, file, "0"), 0);
	assert_int_equal(watchdog_add(rested, fifos[1], "x"), 0);
	assert_int_equal(watchdog_add(asleep, fifos[0], "0"), 0);
	watchdog_beat(rested);
	watchdog_rest(rested);
	watchdog_beat(asleep);
	silent_since_ns = monotonic_ns();
	wait_for_fifo(0);
	silent_ms = (monotonic_ns() - silent_since_ns) / NS_PER_MS;
	assert_in_range(silent_ms, WATCHDOG_SILENCE_MS - 10, LIMIT_MS);

	/* Once, not each time that the silence has been as long again; and it goes on watching. */
	expect_fifo(0, "0");
	watchdog_beat(asleep);
	wait_for_fifo(0);
	expect_fifo(0, "0");

	watchdog_free(&never_beat);
	watchdog_free(&rested);
	watchdog_free(&asleep);
	expect_file("1");
	expect_fifo(1, "");
	expect_fifo(0, "");
}

/* A cgroup is frozen after the gate has closed, which was the last beat for a second. */
TEST(what_is_added_between_two_beats_is_watched_over_at_once)
{
	struct watchdog *w = NULL;

	assert_int_equal(watchdog_start(&w), 0);
	watchdog_beat(w);
	assert_int_equal(watchdog_add(w, fifos[0], "0"), 0);
	wait_for_fifo(0);
	expect_fifo(0, "0");
	watchdog_free(&w);
}

TEST(a_name_that_is_too_long_is_refused_and_hurts_nobody)
{
	struct watchdog *w = NULL;
	char name[8192];

	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(watchdog_start(&w), 0);
	assert_int_equal(watchdog_add(w, name, "0"), -ENAMETOOLONG);
	assert_int_equal(watchdog_add(w, "", name), -ENAMETOOLONG);
	assert_int_equal(watchdog_add(w, file, "0"), 0);
	watchdog_free(&w);
	expect_file("1");
}

static pid_t only_child(void)
{
	_cleanup_(freep) char *children = NULL;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	return file_read(path, &children) < 0 ? 0 : atoi(children);
}

TEST(a_watchdog_that_was_killed_keeps_nobody_from_waking)
{
	struct watchdog *w = NULL;
	siginfo_t info;
	pid_t pid;

	assert_int_equal(watchdog_start(&w), 0);
	pid = only_child();
	if (pid == 0) {
		print_message("this kernel does not list children\n");
		watchdog_free(&w);
		skip();
	}
	kill(pid, SIGKILL);
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	watchdog_beat(w);
	watchdog_rest(w);
	assert_int_equal(watchdog_add(w, file, "0"), -EPIPE);
	watchdog_free(&w);
}

static void loop_until_it_is_another(struct event_base *base, pid_t before)
{
	uint64_t limit_ns = monotonic_ns() + LIMIT_MS * NS_PER_MS;

	while (only_child() == before || !is_watchdog_up()) {
		if (monotonic_ns() > limit_ns)
			_exit(1);
		event_base_loop(base, EVLOOP_NONBLOCK);
		sched_yield();
	}
}

static void add_file_and_lose_two_watchdogs(struct watchdog *w)
{
	struct event_base *base = event_base_new();

	add_file(w);
	if (watchdog_add(w, fifos[0], "0") < 0 || watchdog_join(w, base) < 0)
		_exit(1);
	for (int i = 0; i < 2; i++) {
		pid_t pid = only_child();

		kill(pid, SIGKILL);
		loop_until_it_is_another(base, pid);
	}
}

TEST(a_watchdog_that_was_killed_is_replaced_by_one_that_knows_all)
{
	char children[64];
	pid_t pid;

	snprintf(children, sizeof(children), "/proc/self/task/%d/children", (int)getpid());
	if (access(children, R_OK) < 0) {
		print_message("this kernel has no '%s'\n", children);
		skip();
	}
	pid = doze_start(add_file_and_lose_two_watchdogs);
	kill(pid, SIGKILL);
	wait_for_both();
	expect_file("0");
	expect_fifo(0, "0");
}

/* A link of the gate must end with its doze, and not with the last watchdog. */
TEST(a_watchdog_that_is_started_late_has_nothing_of_ours_open)
{
	struct watchdog *w = NULL;
	char byte;
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(watchdog_start(&w), 0);
	close(fds[1]);
	assert_int_equal(read(fds[0], &byte, 1), 0);
	close(fds[0]);
	watchdog_free(&w);
}

TEST(whether_a_watchdog_is_there_is_seen_at_once)
{
	struct watchdog *w = NULL;
	siginfo_t info;
	pid_t pid;

	assert_int_equal(watchdog_start(&w), 0);
	assert_true(watchdog_is_there(w));
	pid = only_child();
	if (pid > 0) {
		kill(pid, SIGKILL);
		assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
		assert_false(watchdog_is_there(w));
	}
	watchdog_free(&w);
}

/* --- the record --- */

static char records[96], record_file[160];

static void name_record_of(pid_t pid)
{
	snprintf(records, sizeof(records), "%s/run", root);
	snprintf(record_file, sizeof(record_file), "%s/run-%d.undo", records, (int)pid);
}

static void add_file_and_keep_a_record(struct watchdog *w)
{
	name_record_of(0);
	watchdog_keep_record(w, records);
	add_file(w);
}

static void add_file_keep_a_record_and_lose_the_watchdog(struct watchdog *w)
{
	siginfo_t info;
	pid_t pid = only_child();

	add_file_and_keep_a_record(w);
	kill(pid, SIGKILL);
	if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) < 0)
		_exit(1);
}

TEST(what_a_doze_and_its_watchdog_left_is_undone_by_the_next)
{
	pid_t pid = doze_start(add_file_keep_a_record_and_lose_the_watchdog);

	name_record_of(pid);
	record_sweep(records); /* it still lives */
	expect_file("1");
	assert_int_equal(access(record_file, F_OK), 0);

	kill(pid, SIGKILL);
	wait_for_both(); /* the watchdog, dead already, is ours to reap now */
	expect_file("1");
	record_sweep(records);
	expect_file("0");
	assert_int_equal(access(record_file, F_OK), -1);

	write_new_file(file, "1");
	record_sweep(records);
	expect_file("1");
	assert_int_equal(rmdir(records), 0);
}

TEST(a_record_goes_with_what_the_watchdog_has_undone)
{
	pid_t pid = doze_start(add_file_and_keep_a_record);

	name_record_of(pid);
	assert_int_equal(access(record_file, F_OK), 0);
	kill(pid, SIGKILL);
	wait_for_both();
	expect_file("0");
	assert_int_equal(rmdir(records), 0);
}

TEST(a_record_goes_with_a_doze_that_ends_well)
{
	struct watchdog *w = NULL;

	assert_int_equal(watchdog_start(&w), 0);
	add_file_and_keep_a_record(w);
	watchdog_free(&w);
	expect_file("1");
	assert_int_equal(rmdir(records), 0);
}

static void put_record(const char *text)
{
	name_record_of(1);
	assert_int_equal(mkdir(records, 0700), 0);
	write_new_file(record_file, text);
}

/* Whoever was killed while it wrote has not frozen anything yet. */
TEST(a_record_that_is_cut_or_no_record_undoes_nothing)
{
	char text[256];

	snprintf(text, sizeof(text), "undo\nundo\t0\nwhat\t0\t%s\n\nundo\t0\t%s", file, file);
	put_record(text);
	record_sweep(records);
	expect_file("1");
	assert_int_equal(rmdir(records), 0);
}

static bool is_cgroup_mounted(const char *point)
{
	struct statfs fs;

	return statfs(point, &fs) == 0 &&
	       (fs.f_type == CGROUP_SUPER_MAGIC || fs.f_type == CGROUP2_SUPER_MAGIC);
}

static const char *cgroup_mount_point(void)
{
	static const char *const points[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/cpu",
					      "/sys/fs/cgroup/unified" };

	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
		if (is_cgroup_mounted(points[i]))
			return points[i];
	}
	return NULL;
}

TEST(a_record_of_a_cgroup_that_is_gone_is_removed)
{
	const char *point = cgroup_mount_point();
	char text[256];

	if (!point)
		skip();
	snprintf(text, sizeof(text), "undo\t0\t%s/doze-test-gone/run-1/cpu.max\nundo\t0\t%s\n",
		 point, file);
	put_record(text);
	record_sweep(records);
	expect_file("0");
	assert_int_equal(access(record_file, F_OK), -1);
	assert_int_equal(rmdir(records), 0);
}

/* As of a doze that was killed in another mount namespace than that of the next one. */
TEST(a_record_whose_cgroups_are_not_mounted_here_stays)
{
	char text[256];

	snprintf(text, sizeof(text), "undo\t0\t%s/hidden/doze/run-1/cpu.max\nundo\t0\t%s\n", root,
		 file);
	put_record(text);
	record_sweep(records);
	expect_file("0"); /* what can be undone is */
	assert_int_equal(access(record_file, F_OK), 0);
	write_new_file(record_file, "undo\t0\tno/such/file\n");
	record_sweep(records);
	assert_int_equal(access(record_file, F_OK), 0);
	assert_int_equal(unlink(record_file), 0);
	assert_int_equal(rmdir(records), 0);
}

/* Root writes what a record says: nobody else may have written the record. */
TEST(a_record_of_another_user_or_with_another_name_undoes_nothing)
{
	char text[256], other[sizeof(record_file) + 8];

	if (geteuid() != 0)
		skip();
	snprintf(text, sizeof(text), "undo\t0\t%s\n", file);
	put_record(text);
	assert_int_equal(chown(record_file, 65534, 65534), 0);
	record_sweep(records);
	expect_file("1");
	assert_int_equal(chown(record_file, 0, 0), 0);
	snprintf(other, sizeof(other), "%s.link", record_file);
	assert_int_equal(link(record_file, other), 0);
	record_sweep(records);
	expect_file("1");
	assert_int_equal(unlink(other), 0);
	record_sweep(records);
	expect_file("0");
	assert_int_equal(rmdir(records), 0);
}

TEST(what_cannot_be_undone_stays_in_its_record)
{
	char text[256];

	snprintf(text, sizeof(text), "undo\t0\t%s\nundo\t0\t%s\n", root, file);
	put_record(text);
	record_sweep(records);
	expect_file("0");
	assert_int_equal(unlink(record_file), 0);
	assert_int_equal(rmdir(records), 0);
}
