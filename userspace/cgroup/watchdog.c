// SPDX-License-Identifier: MIT
/* Our end: a socket, whose other end is cgroup/watchdog_child.c; readable when that has ended. */
#include "cgroup/watchdog.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utlist.h>

#include "base/confine.h"
#include "base/log.h"
#include "base/timer.h"
#include "base/util.h"
#include "cgroup/record.h"
#include "cgroup/watchdog_child.h"
#include "cgroup/watchdog_place.h"

#define WATCHDOG_PATIENCE_S 1

/* One that ends again and again must not keep us busy. */
#define WATCHDOG_PAUSE_NS NS_PER_S

#define WATCHDOG_ALIVE_NS (10 * NS_PER_S)

struct watchdog {
	int fd;
	pid_t pid; /* 0: our parent is the watchdog, or there is none now */
	bool is_parent;
	bool is_beating; /* since the last watchdog_rest() */
	struct restores restores;
	struct record record;
	struct event_base *base;
	struct event *on_end;
	struct timer *timer;
	uint64_t replaced_ns; /* when the last one was started in the place of another; 0: never */
};

/* --- the child --- */

/*
 * All but fd, which gets another number, and the standard ones: a link of the gate must end with
 * us.
 */
static int watchdog_close_others(int fd)
{
	int kept = STDERR_FILENO + 1;

	if (dup2(fd, kept) < 0)
		return -errno;
	return close_range((unsigned int)kept + 1, ~0U, 0) < 0 ? -errno : kept;
}

/* A cgroup may be another user's, and the directory of all of them is read-only. */
static void watchdog_confine(void)
{
	static const int kept[] = { CAP_DAC_OVERRIDE };

	confine_capabilities(kept, ARRAY_LEN(kept));
	confine_calls(CONFINE_WATCHDOG);
}

static void watchdog_become(int fd)
{
	static const int ignored[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE };
	int kept = watchdog_close_others(fd);

	for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
		signal(ignored[i], SIG_IGN);
	setsid();
	watchdog_place_enter();
	prctl(PR_SET_NAME, "doze-watchdog");
	watchdog_confine();
	watchdog_child_run(kept < 0 ? fd : kept);
	watchdog_place_leave();
	_exit(0);
}

static int watchdog_fork(struct watchdog *w)
{
	const struct timeval patience = { .tv_sec = WATCHDOG_PATIENCE_S };
	_cleanup_(closep) int own = -1;
	_cleanup_(closep) int childs = -1;
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return log_err(-errno, "cannot start the watchdog");
	own = fds[0];
	childs = fds[1];
	setsockopt(own, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	w->pid = fork();
	if (w->pid == 0) {
		close(own);
		watchdog_become(childs);
	}
	if (w->pid < 0)
		return log_err(-errno, "cannot start the watchdog");
	w->fd = TAKE_FD(own);
	return 0;
}

int watchdog_start(struct watchdog **out)
{
	_cleanup_(watchdog_free) struct watchdog *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return log_err(-ENOMEM, "cannot start the watchdog");
	w->fd = -1;
	w->record = RECORD_NONE;
	r = watchdog_fork(w);
	if (r < 0)
		return r;
	*out = TAKE_PTR(w);
	return 0;
}

int watchdog_of_parent(struct watchdog **out, int fd)
{
	struct watchdog *w = calloc(1, sizeof(*w));

	if (!w) {
		close(fd);
		return log_err(-ENOMEM, "cannot speak to the watchdog");
	}
	w->fd = fd;
	w->is_parent = true;
	w->record = RECORD_NONE;
	*out = w;
	return 0;
}

/* --- messages --- */

/* Waits a moment rather than lose a message. second: what comes behind the path, or "". */
static int watchdog_tell(const struct watchdog *w, enum watchdog_kind kind, const char *path,
			 const char *second)
{
	struct watchdog_message m = { .kind = (char)kind };
	size_t path_size = strlen(path) + 1, second_size = strlen(second) + 1;

	if (path_size + second_size > sizeof(m.text) - 2)
		return -ENAMETOOLONG;
	if (w->fd < 0)
		return -EPIPE;
	memcpy(m.text, path, path_size);
	memcpy(m.text + path_size, second, second_size);
	return send(w->fd, &m, 1 + path_size + second_size, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static void watchdog_send(const struct watchdog *w, enum watchdog_kind kind)
{
	char byte = (char)kind;

	/* Without blocking: a watchdog that is not there must not stop a wake. */
	if (w->fd >= 0 && send(w->fd, &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		log_debug("the watchdog does not listen", "errno=%d", errno);
}

static void watchdog_write_record(const struct watchdog *w)
{
	if (w->record.fd >= 0)
		record_write(&w->record, &w->restores);
}

int watchdog_add(struct watchdog *w, const char *path, const char *text)
{
	int r = watchdog_tell(w, WATCHDOG_ADD, path, text);

	if (r == 0 || r == -EPIPE) {
		int kept = restores_set(&w->restores, path, text);

		r = kept < 0 ? kept : r;
		watchdog_write_record(w);
	}
	if (w->is_beating)
		watchdog_beat(w); /* before the first restore none was sent */
	return r < 0 ? log_err(r, "cannot tell the watchdog of '%s'", path) : 0;
}

void watchdog_drop(struct watchdog *w, const char *path)
{
	int r = watchdog_tell(w, WATCHDOG_DROP, path, "");

	restores_drop(&w->restores, path);
	watchdog_write_record(w);
	if (r < 0)
		log_debug("the watchdog does not listen", "errno=%d", -r);
}

void watchdog_beat(struct watchdog *w)
{
	w->is_beating = true;
	if (w->restores.first)
		watchdog_send(w, WATCHDOG_BEAT);
}

void watchdog_rest(struct watchdog *w)
{
	w->is_beating = false;
	watchdog_send(w, WATCHDOG_REST);
}

void watchdog_undo(const struct watchdog *w)
{
	watchdog_send(w, WATCHDOG_UNDO);
}

void watchdog_keep_record(struct watchdog *w, const char *directory)
{
	if (record_open(&w->record, directory) < 0)
		return;
	watchdog_write_record(w);
	watchdog_tell(w, WATCHDOG_RECORD, w->record.path, "");
}

/* --- another one when it ends --- */

bool watchdog_is_there(const struct watchdog *w)
{
	char byte;

	return w->fd >= 0 && recv(w->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static void watchdog_on_end(evutil_socket_t fd, short what, void *arg);

static void watchdog_listen(struct watchdog *w)
{
	w->on_end = event_new(w->base, w->fd, EV_READ, watchdog_on_end, w);
	if (!w->on_end || event_add(w->on_end, NULL) < 0)
		log_err(-ENOMEM, "cannot watch over the watchdog");
}

static void watchdog_unlisten(struct watchdog *w)
{
	if (w->on_end)
		event_free(w->on_end);
	w->on_end = NULL;
}

static void watchdog_tell_all(struct watchdog *w)
{
	const struct restore *one;

	DL_FOREACH(w->restores.first, one)
	{
		watchdog_tell(w, WATCHDOG_ADD, one->path, one->text);
	}
	if (w->record.fd >= 0)
		watchdog_tell(w, WATCHDOG_RECORD, w->record.path, "");
	if (w->is_beating)
		watchdog_beat(w);
}

static void watchdog_start_another(struct watchdog *w)
{
	w->replaced_ns = monotonic_ns();
	if (watchdog_fork(w) < 0) {
		timer_in_ns(w->timer, WATCHDOG_PAUSE_NS);
		return;
	}
	watchdog_tell_all(w);
	watchdog_listen(w);
	log_warn("another watchdog has taken its place", "pid=%d", (int)w->pid);
}

static void watchdog_on_timer(void *arg)
{
	struct watchdog *w = arg;

	if (!w->is_parent) {
		watchdog_start_another(w);
		return;
	}
	watchdog_send(w, WATCHDOG_ALIVE);
	timer_in_ns(w->timer, WATCHDOG_ALIVE_NS);
}

static void watchdog_on_end(evutil_socket_t fd, short what, void *arg)
{
	struct watchdog *w = arg;

	(void)fd;
	(void)what;
	log_warn("the watchdog has ended", "pid=%d", (int)w->pid);
	watchdog_unlisten(w);
	closep(&w->fd);
	w->fd = -1;
	waitpid(w->pid, NULL, 0);
	w->pid = 0;
	if (!w->replaced_ns || monotonic_ns() - w->replaced_ns >= WATCHDOG_PAUSE_NS)
		watchdog_start_another(w);
	else
		timer_in_ns(w->timer, WATCHDOG_PAUSE_NS);
}

int watchdog_join(struct watchdog *w, struct event_base *base)
{
	w->base = base;
	w->timer = timer_new(base, watchdog_on_timer, w);
	if (!w->timer)
		return log_err(-ENOMEM, "cannot watch over the watchdog");
	if (w->is_parent) {
		timer_in_ns(w->timer, 0); /* when the loop begins */
		return 0;
	}
	watchdog_listen(w);
	return w->on_end ? 0 : -ENOMEM;
}

void watchdog_free(struct watchdog **w)
{
	if (!*w)
		return;
	watchdog_unlisten(*w);
	timer_free(&(*w)->timer);
	watchdog_send(*w, WATCHDOG_QUIT);
	closep(&(*w)->fd);
	if ((*w)->pid > 0)
		waitpid((*w)->pid, NULL, 0);
	record_close(&(*w)->record);
	restores_clear(&(*w)->restores);
	free(*w);
	*w = NULL;
}
