// SPDX-License-Identifier: MIT
/* A loop over signals, the daemon's messages, and the time. */
#include "command/supervisor.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/util.h"
#include "cgroup/watchdog_child.h"

/* Before the daemon is started anew; doubled each time, and the first again after a good while. */
#define SUPERVISOR_PAUSE_MIN_NS (100 * NS_PER_MS)
#define SUPERVISOR_PAUSE_MAX_NS (10 * NS_PER_S)
#define SUPERVISOR_GOOD_NS	(60 * NS_PER_S)

/*
 * So long a daemon may be silent whose loop has begun; it says every few seconds that it is alive.
 * A sidecar at 20m of CPU needs 10 s and more to load the gate. When the machine itself has stood
 * still, that time is over at once: so it gets a moment more.
 */
#define SUPERVISOR_HANG_MS  60000
#define SUPERVISOR_DOUBT_MS 3000

struct supervisor {
	struct supervisor_settings settings;
	int signal_fd;
	struct watchdog_child watch; /* its fd is -1 while there is no daemon */
	pid_t pid;		     /* of the daemon; 0: there is none */
	bool has_spoken;	     /* the loop of the daemon has begun */
	bool is_doubted;	     /* it has been silent for hang_ms */
	bool is_stopping;	     /* we were told to end */
	uint64_t started_ns;
	uint64_t pause_ns; /* the next one */
	uint64_t again_ns; /* without a daemon: when it is started anew */
	bool has_ended;
	int status; /* ours */
};

/* --- the daemon --- */

static void supervisor_child(struct supervisor *s, int fd, pid_t parent)
{
	struct watchdog *watchdog = NULL;

	/* The container ends with its first process. The signals stay blocked until the loop. */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(1);
	prctl(PR_SET_NAME, "doze");
	close(s->signal_fd);
	if (watchdog_of_parent(&watchdog, fd) < 0)
		exit(1);
	exit(s->settings.daemon(s->settings.config, watchdog));
}

static int supervisor_fork(struct supervisor *s)
{
	_cleanup_(closep) int own = -1;
	_cleanup_(closep) int childs = -1;
	pid_t parent = getpid();
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	own = fds[0];
	childs = fds[1];
	s->pid = fork();
	if (s->pid == 0) {
		close(own);
		supervisor_child(s, TAKE_FD(childs), parent);
	}
	if (s->pid < 0) {
		s->pid = 0;
		return -errno;
	}
	s->watch.fd = TAKE_FD(own);
	return 0;
}

/* What cannot be forked now can later. */
static void supervisor_start(struct supervisor *s)
{
	int r = supervisor_fork(s);

	s->started_ns = monotonic_ns();
	s->has_spoken = false;
	s->is_doubted = false;
	if (r == 0)
		return;
	log_err(r, "cannot start the daemon");
	s->again_ns = s->started_ns + SUPERVISOR_PAUSE_MAX_NS;
}

static void supervisor_start_later(struct supervisor *s, int signal)
{
	uint64_t now_ns = monotonic_ns();

	if (now_ns - s->started_ns >= SUPERVISOR_GOOD_NS)
		s->pause_ns = SUPERVISOR_PAUSE_MIN_NS;
	s->again_ns = now_ns + s->pause_ns;
	log_warn("the daemon has died: it is started anew",
		 "signal=%d hung=%s lived_ms=%" PRIu64 " in_ms=%" PRIu64, signal,
		 s->is_doubted ? "yes" : "no", (now_ns - s->started_ns) / NS_PER_MS,
		 s->pause_ns / NS_PER_MS);
	s->pause_ns = min_u64(2 * s->pause_ns, SUPERVISOR_PAUSE_MAX_NS);
}

static bool supervisor_has_message(const struct supervisor *s)
{
	struct pollfd fd = { .fd = s->watch.fd, .events = POLLIN };

	return s->watch.fd >= 0 && poll(&fd, 1, 0) > 0;
}

/* Its last messages first: it may have said that nothing is to be restored. */
static void supervisor_settle(struct supervisor *s)
{
	while (!s->watch.has_ended && supervisor_has_message(s))
		watchdog_child_receive(&s->watch);
	closep(&s->watch.fd);
	s->watch.fd = -1;
	watchdog_child_clear(&s->watch);
	s->pid = 0;
}

static void supervisor_on_daemon_end(struct supervisor *s, int status)
{
	supervisor_settle(s);
	if (WIFSIGNALED(status) && !s->is_stopping) {
		supervisor_start_later(s, WTERMSIG(status));
		return;
	}
	s->has_ended = true;
	s->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* --- signals --- */

static void supervisor_reap(struct supervisor *s)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == s->pid)
			supervisor_on_daemon_end(s, status);
	}
}

/* A signal of the terminal (SI_KERNEL) goes to the whole foreground group, and so to the daemon. */
static void supervisor_pass_on(struct supervisor *s, const struct signalfd_siginfo *info)
{
	s->is_stopping = true;
	if (s->pid == 0)
		supervisor_start(s); /* what it does before it ends, such as waking all, is due */
	if (s->pid > 0 && info->ssi_code != SI_KERNEL)
		kill(s->pid, (int)info->ssi_signo);
}

static void supervisor_on_signals(struct supervisor *s)
{
	struct signalfd_siginfo info;

	while (read(s->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			supervisor_reap(s);
		else
			supervisor_pass_on(s, &info);
	}
}

/* --- messages and silence --- */

static void supervisor_on_message(struct supervisor *s)
{
	watchdog_child_receive(&s->watch);
	s->has_spoken = true;
	s->is_doubted = false;
	if (!s->watch.has_ended)
		return;
	closep(&s->watch.fd);
	s->watch.fd = -1;
}

static void supervisor_on_silence(struct supervisor *s)
{
	if (s->pid == 0) {
		supervisor_start(s);
	} else if (s->watch.is_armed) {
		watchdog_child_silence(&s->watch);
	} else if (!s->is_doubted) {
		s->is_doubted = true;
	} else {
		log_warn("the daemon does not answer: it is killed", "pid=%d", (int)s->pid);
		kill(s->pid, SIGKILL);
		s->has_spoken = false; /* its end comes next */
	}
}

/* In milliseconds, as poll(2) has it. */
static int supervisor_patience(const struct supervisor *s)
{
	uint64_t now_ns = monotonic_ns();

	if (s->pid == 0)
		return (int)((max_u64(s->again_ns, now_ns) - now_ns) / NS_PER_MS) + 1;
	if (s->watch.fd < 0)
		return -1;
	if (s->watch.is_armed)
		return WATCHDOG_SILENCE_MS;
	if (s->is_doubted)
		return s->has_spoken ? SUPERVISOR_DOUBT_MS : -1;
	return s->has_spoken ? s->settings.hang_ms : -1;
}

static void supervisor_wait(struct supervisor *s)
{
	struct pollfd fds[] = {
		{ .fd = s->signal_fd, .events = POLLIN },
		{ .fd = s->watch.fd, .events = POLLIN },
	};
	int n = poll(fds, ARRAY_LEN(fds), supervisor_patience(s));

	if (n == 0)
		supervisor_on_silence(s);
	if (n > 0 && fds[1].revents)
		supervisor_on_message(s);
	if (n > 0 && fds[0].revents)
		supervisor_on_signals(s);
}

static int supervisor_open_signals(struct supervisor *s)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return s->signal_fd < 0 ? log_err(-errno, "cannot wait for signals") : 0;
}

int supervisor_run(const struct supervisor_settings *settings)
{
	struct supervisor s = {
		.settings = *settings,
		.watch.fd = -1,
		.pause_ns = SUPERVISOR_PAUSE_MIN_NS,
	};

	if (s.settings.hang_ms == 0)
		s.settings.hang_ms = SUPERVISOR_HANG_MS;
	if (supervisor_open_signals(&s) < 0)
		return 1;
	prctl(PR_SET_NAME, "doze-supervisor");
	supervisor_start(&s);
	while (!s.has_ended)
		supervisor_wait(&s);
	close(s.signal_fd);
	return s.status;
}
