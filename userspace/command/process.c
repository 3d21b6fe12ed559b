// SPDX-License-Identifier: MIT
/* fork, cgroup, exec; and pidfds, by which a process is watched and signalled. */
#include "command/process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/descriptors.h"
#include "base/log.h"
#include "base/util.h"

/* glibc has these from 2.36 on; Debian 12's header clashes with <linux/pidfd.h>. */
static int process_pidfd_open(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	return fd < 0 ? -errno : fd;
}

static int process_try_file(const char *path)
{
	struct stat file;

	if (stat(path, &file) < 0)
		return -errno;
	return S_ISREG(file.st_mode) && access(path, X_OK) == 0 ? 0 : -EACCES;
}

/* -EACCES rather than -ENOENT if one directory has such a file and another has none. */
static int process_search_path(const char *path, const char *command)
{
	int r = -ENOENT;

	for (;;) {
		int len = (int)strcspn(path, ":");
		char file[PATH_MAX];
		int tried = -ENAMETOOLONG;

		if (snprintf(file, sizeof(file), "%.*s/%s", len ? len : 1, len ? path : ".",
			     command) < (int)sizeof(file))
			tried = process_try_file(file);
		if (tried == 0 || tried == -EACCES)
			r = tried;
		if (tried == 0 || !path[len])
			return r;
		path += len + 1;
	}
}

int process_find_command(const char *command)
{
	const char *path = getenv("PATH");
	int r;

	if (!path)
		path = "/bin:/usr/bin"; /* as execvp() has it */
	r = strchr(command, '/') ? process_try_file(command) : process_search_path(path, command);
	return r < 0 ? log_err(r, "cannot run '%s'", command) : 0;
}

/* What the child could not do, sent through a pipe that a successful exec closes. */
struct process_failure {
	int error; /* negative errno */
	bool is_exec;
};

static void process_reset_signals(void)
{
	sigset_t none;

	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void process_child(char **argv, const struct cgroup *cg, int report_fd)
{
	struct process_failure failure = { .error = cgroup_enter(cg) };

	if (failure.error == 0) {
		process_reset_signals();
		descriptors_restore();
		execvp(argv[0], argv);
		failure = (struct process_failure){ .error = -errno, .is_exec = true };
	}
	if (write(report_fd, &failure, sizeof(failure)) < 0)
		_exit(126);
	_exit(127);
}

int process_start(struct process *out, char **argv, const struct cgroup *cg)
{
	_cleanup_(closep) int read_fd = -1;
	_cleanup_(closep) int write_fd = -1;
	struct process_failure failure;
	int fds[2], pidfd;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return log_err(-errno, "cannot start '%s'", argv[0]);
	read_fd = fds[0];
	write_fd = fds[1];
	pid = fork();
	if (pid < 0)
		return log_err(-errno, "cannot start '%s'", argv[0]);
	if (pid == 0)
		process_child(argv, cg, write_fd);

	close(TAKE_FD(write_fd));
	if (TEMP_FAILURE_RETRY(read(read_fd, &failure, sizeof(failure))) > 0) {
		waitpid(pid, NULL, 0);
		return log_err(failure.error,
			       failure.is_exec ? "cannot run '%s'"
					       : "cannot move '%s' into its cgroup",
			       argv[0]);
	}
	pidfd = process_pidfd_open(pid);
	if (pidfd < 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		return log_err(pidfd, "cannot watch '%s'", argv[0]);
	}
	*out = (struct process){ .pid = pid, .pidfd = pidfd, .is_child = true };
	return 0;
}

int process_adopt(struct process *out, pid_t pid)
{
	int pidfd = process_pidfd_open(pid);

	/* EINVAL, ENOENT: a thread's id, or one that cannot be. */
	if (pidfd == -ESRCH || pidfd == -EINVAL || pidfd == -ENOENT)
		return log_err(-ESRCH, "pid '%d' is no running process: give one that ps shows",
			       (int)pid);
	if (pidfd < 0)
		return log_err(pidfd, "cannot watch pid '%d'", (int)pid);
	*out = (struct process){ .pid = pid, .pidfd = pidfd };
	return 0;
}

int process_signal(const struct process *p, int signal)
{
	return syscall(SYS_pidfd_send_signal, p->pidfd, signal, NULL, 0) < 0 ? -errno : 0;
}

int process_wait(struct process *p)
{
	int status;

	if (TEMP_FAILURE_RETRY(waitpid(p->pid, &status, 0)) < 0)
		return 0;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

void process_release(struct process *p)
{
	closep(&p->pidfd);
	*p = PROCESS_NONE;
}
