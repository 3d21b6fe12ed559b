// SPDX-License-Identifier: MIT
/* Each test confines a child of its own, which cannot be undone, and gets what it returns. */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/keyctl.h>
#include <linux/reboot.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/confine.h"
#include "base/file.h"
#include "base/log.h"
#include "base/util.h"
#include "lib/test.h"

#define FAILED 99

static void be_quiet(void)
{
	log_set_level(LOG_LEVEL_ERROR);
}

struct test_fixture test_around_all = { be_quiet, NULL };

/* The exit status of a child that is confined and calls run(arg). */
static int in_confined_child(enum confine_who who, int (*run)(const void *arg), const void *arg)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		confine_calls(who);
		_exit(run(arg));
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status))
		fail_msg("signal %d has ended the child", WTERMSIG(status));
	return WEXITSTATUS(status);
}

static const enum confine_who everybody[] = { CONFINE_SUPERVISOR, CONFINE_DAEMON, CONFINE_RUN,
					      CONFINE_WATCHDOG };

/* --- what nobody may --- */

struct call {
	const char *name;
	long number;
	long arguments[6];
	int error;
};

static char true_path[] = "/bin/true";
static char *true_argv[] = { true_path, NULL };

/* Each would succeed, or fail in another way, for root without a filter. */
static const struct call forbidden[] = {
	{ "execve", SYS_execve, { (long)true_path, (long)true_argv, 0 }, ENOSYS },
	{ "execveat", SYS_execveat, { AT_FDCWD, (long)true_path, (long)true_argv, 0, 0 }, ENOSYS },
	{ "ptrace", SYS_ptrace, { PTRACE_TRACEME }, ENOSYS },
	{ "process_vm_readv", SYS_process_vm_readv, { 1 }, ENOSYS },
	{ "process_vm_writev", SYS_process_vm_writev, { 1 }, ENOSYS },
	{ "pidfd_getfd", SYS_pidfd_getfd, { -1, 0, 0 }, ENOSYS },
	{ "mount", SYS_mount, { 0, (long)"/", 0, MS_REMOUNT | MS_BIND, 0 }, ENOSYS },
	{ "umount2", SYS_umount2, { (long)"/proc/none", 0 }, ENOSYS },
	{ "open_tree", SYS_open_tree, { AT_FDCWD, (long)"/", 0 }, ENOSYS },
	{ "move_mount", SYS_move_mount, { -1, 0, -1, 0, 0 }, ENOSYS },
	{ "pivot_root", SYS_pivot_root, { 0, 0 }, ENOSYS },
	{ "chroot", SYS_chroot, { (long)"/" }, ENOSYS },
	{ "unshare", SYS_unshare, { CLONE_NEWUSER }, ENOSYS },
	{ "init_module", SYS_init_module, { 0, 0, 0 }, ENOSYS },
	{ "finit_module", SYS_finit_module, { -1, 0, 0 }, ENOSYS },
	{ "delete_module", SYS_delete_module, { (long)"none", 0 }, ENOSYS },
	{ "kexec_load", SYS_kexec_load, { 0, 0, 0, 0 }, ENOSYS },
	{ "reboot", SYS_reboot, { 0, 0, LINUX_REBOOT_CMD_CAD_OFF }, ENOSYS },
	{ "swapon", SYS_swapon, { (long)"/proc/none", 0 }, ENOSYS },
	{ "sethostname", SYS_sethostname, { 0, -1 }, ENOSYS },
	{ "settimeofday", SYS_settimeofday, { 0, 0 }, ENOSYS },
	{ "keyctl", SYS_keyctl, { KEYCTL_GET_KEYRING_ID, 0, 0 }, ENOSYS },
	{ "add_key", SYS_add_key, { 0, 0, 0, 0, 0 }, ENOSYS },
	{ "setuid", SYS_setuid, { 0 }, ENOSYS },
	{ "setgid", SYS_setgid, { 0 }, ENOSYS },
	{ "setresuid", SYS_setresuid, { 0, 0, 0 }, ENOSYS },
	{ "setgroups", SYS_setgroups, { 0, 0 }, ENOSYS },
	{ "personality", SYS_personality, { 0xffffffff }, ENOSYS },
	{ "perf_event_open", SYS_perf_event_open, { 0, 0, 0, -1, 0 }, ENOSYS },
	{ "userfaultfd", SYS_userfaultfd, { 0 }, ENOSYS },
	{ "io_uring_setup", SYS_io_uring_setup, { 1, 0 }, ENOSYS },
	{ "open_by_handle_at", SYS_open_by_handle_at, { -1, 0, 0 }, ENOSYS },
	{ "syslog", SYS_syslog, { 10, 0, 0 }, ENOSYS },
	{ "shmget", SYS_shmget, { 0, 4096, 0600 }, ENOSYS },
	/* These are allowed with other arguments. */
	{ "setns of a mount", SYS_setns, { -1, CLONE_NEWNS }, EPERM },
	{ "setns of any", SYS_setns, { -1, 0 }, EPERM },
	{ "a packet socket", SYS_socket, { AF_PACKET, SOCK_RAW, 0 }, EPERM },
	{ "a socket of crypto", SYS_socket, { AF_ALG, SOCK_SEQPACKET, 0 }, EPERM },
	{ "a terminal's input", SYS_ioctl, { 0, TIOCSTI, (long)"x" }, EPERM },
	{ "a program's id", SYS_bpf, { BPF_PROG_GET_NEXT_ID, 0, 0 }, EPERM },
	{ "a program of others", SYS_bpf, { BPF_PROG_GET_FD_BY_ID, 0, 0 }, EPERM },
	{ "a map of others", SYS_bpf, { BPF_MAP_GET_FD_BY_ID, 0, 0 }, EPERM },
	{ "a pinned object", SYS_bpf, { BPF_OBJ_GET, 0, 0 }, EPERM },
	{ "an object to pin", SYS_bpf, { BPF_OBJ_PIN, 0, 0 }, EPERM },
};

static int make_call(const void *arg)
{
	const struct call *call = arg;
	const long *a = call->arguments;
	long result = syscall(call->number, a[0], a[1], a[2], a[3], a[4], a[5]);

	return result < 0 ? errno : 0;
}

TEST(what_takes_over_a_machine_is_refused_to_everybody)
{
	for (size_t w = 0; w < ARRAY_LEN(everybody); w++) {
		for (size_t i = 0; i < ARRAY_LEN(forbidden); i++) {
			const struct call *call = &forbidden[i];
			int error = in_confined_child(everybody[w], make_call, call);
			bool is_refused = error == call->error ||
					  (everybody[w] == CONFINE_WATCHDOG && error == ENOSYS);

			if (!is_refused)
				fail_msg("%s: error %d to %d", call->name, error, everybody[w]);
		}
	}
}

/* --- what some may --- */

static int map_code(const void *arg)
{
	(void)arg;
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
			       MAP_FAILED
		       ? errno
		       : 0;
}

static int make_memory_executable(const void *arg)
{
	void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)arg;
	if (memory == MAP_FAILED)
		return FAILED;
	return mprotect(memory, 4096, PROT_READ | PROT_EXEC) < 0 ? errno : 0;
}

TEST(who_has_started_gets_no_new_code)
{
	static const enum confine_who started[] = { CONFINE_DAEMON, CONFINE_RUN, CONFINE_WATCHDOG };

	for (size_t i = 0; i < ARRAY_LEN(started); i++) {
		assert_int_equal(in_confined_child(started[i], map_code, NULL), EPERM);
		assert_int_equal(in_confined_child(started[i], make_memory_executable, NULL),
				 EPERM);
	}
	/* OpenSSL may yet load a library. */
	assert_int_equal(in_confined_child(CONFINE_SUPERVISOR, map_code, NULL), 0);
}

static int make_child(const void *arg)
{
	int status;
	pid_t pid = fork();

	(void)arg;
	if (pid == 0)
		_exit(7);
	if (pid < 0)
		return errno;
	return waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 7 ? 0 : FAILED;
}

static int make_namespace(const void *arg)
{
	(void)arg;
	return syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0) < 0 ? errno : 0;
}

TEST(parents_alone_make_children_and_nobody_makes_namespaces)
{
	assert_int_equal(in_confined_child(CONFINE_SUPERVISOR, make_child, NULL), 0);
	assert_int_equal(in_confined_child(CONFINE_RUN, make_child, NULL), 0);
	assert_int_equal(in_confined_child(CONFINE_DAEMON, make_child, NULL), EPERM);
	assert_int_not_equal(in_confined_child(CONFINE_WATCHDOG, make_child, NULL), 0);
	assert_int_equal(in_confined_child(CONFINE_SUPERVISOR, make_namespace, NULL), EPERM);
	assert_int_equal(in_confined_child(CONFINE_RUN, make_namespace, NULL), EPERM);
}

static int kill_somebody(const void *arg)
{
	(void)arg;
	return kill(getppid(), 0) < 0 ? errno : 0;
}

TEST(a_daemon_signals_nobody)
{
	assert_int_equal(in_confined_child(CONFINE_DAEMON, kill_somebody, NULL), ENOSYS);
	assert_int_equal(in_confined_child(CONFINE_WATCHDOG, kill_somebody, NULL), ENOSYS);
	assert_int_equal(in_confined_child(CONFINE_RUN, kill_somebody, NULL), 0);
}

/* As the supervisor's daemon does: what either filter refuses is refused. */
static int confine_again(const void *arg)
{
	confine_calls(CONFINE_DAEMON);
	return make_child(arg);
}

TEST(a_childs_filter_is_added_to_that_of_its_parent)
{
	assert_int_equal(in_confined_child(CONFINE_SUPERVISOR, confine_again, NULL), EPERM);
}

static int try_twice(const void *arg)
{
	make_call(arg);
	make_call(arg);
	return (int)confine_refused();
}

TEST(what_is_refused_is_counted)
{
	assert_int_equal(in_confined_child(CONFINE_DAEMON, try_twice, &forbidden[0]), 2);
}

/* The C library asks for clone3(2) first, and goes on with clone(2). */
static int try_clone3(const void *arg)
{
	(void)arg;
	if (syscall(SYS_clone3, NULL, 0) != -1 || errno != ENOSYS)
		return FAILED;
	return (int)confine_refused();
}

TEST(clone3_is_not_there_and_not_counted)
{
	assert_int_equal(in_confined_child(CONFINE_SUPERVISOR, try_clone3, NULL), 0);
}

static int try_many(const void *arg)
{
	int fds[2];
	char *text;

	(void)arg;
	if (file_read("/proc/self/status", &text) < 0)
		return 1;
	if (!strstr(text, "Seccomp:\t2") || !strstr(text, "NoNewPrivs:\t1"))
		return 2;
	free(text);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds) < 0 || send(fds[0], "x", 1, 0) != 1)
		return 3;
	if (socket(AF_INET, SOCK_RAW, IPPROTO_RAW) < 0 && errno != EPERM)
		return 4;
	if (socket(AF_NETLINK, SOCK_RAW, 0) < 0)
		return 5;
	if (syscall(SYS_bpf, BPF_MAP_CREATE, NULL, 0) != -1 || errno == EPERM)
		return 6;
	return (int)confine_refused();
}

TEST(what_doze_needs_is_allowed)
{
	assert_int_equal(in_confined_child(CONFINE_SUPERVISOR, try_many, NULL), 0);
	assert_int_equal(in_confined_child(CONFINE_DAEMON, try_many, NULL), 0);
	assert_int_equal(in_confined_child(CONFINE_RUN, try_many, NULL), 0);
}

static int exec_true(const void *arg)
{
	confine_set_off();
	confine_calls(CONFINE_DAEMON);
	return make_call(arg);
}

TEST(seccomp_off_refuses_nothing)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(exec_true(&forbidden[0]));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* --- capabilities --- */

static bool has(cap_flag_t flag, cap_value_t value)
{
	cap_t caps = cap_get_proc();
	cap_flag_value_t is_set = CAP_CLEAR;

	cap_get_flag(caps, value, flag, &is_set);
	cap_free(caps);
	return is_set == CAP_SET;
}

static int keep_one(void)
{
	static const int kept[] = { CAP_NET_ADMIN };

	confine_capabilities(kept, ARRAY_LEN(kept));
	for (cap_value_t value = 0; value < cap_max_bits(); value++) {
		bool is_kept = value == CAP_NET_ADMIN;

		if (has(CAP_PERMITTED, value) != is_kept || has(CAP_EFFECTIVE, value) != is_kept ||
		    (cap_get_bound(value) == 1) != is_kept)
			return value + 1;
	}
	return 0;
}

TEST(capabilities_that_are_not_kept_are_gone)
{
	int status;
	pid_t pid;

	if (!has(CAP_EFFECTIVE, CAP_SETPCAP) || !has(CAP_EFFECTIVE, CAP_NET_ADMIN))
		skip();
	pid = fork();
	if (pid == 0)
		_exit(keep_one());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 0);
}
