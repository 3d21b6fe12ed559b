// SPDX-License-Identifier: MIT
/*
 * Messages to the child: a kind, then for WATCHDOG_ADD a path and a text, for WATCHDOG_DROP a path,
 * each ending in NUL.
 */
#include "cgroup/watchdog.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utlist.h>

#include "base/file.h"
#include "base/log.h"
#include "base/util.h"

#define WATCHDOG_PATIENCE_S 1

enum watchdog_kind {
	WATCHDOG_ADD = 'A',
	WATCHDOG_DROP = 'D',
	WATCHDOG_BEAT = 'B',
	WATCHDOG_REST = 'R',
	WATCHDOG_QUIT = 'Q',
};

/* One message is one packet of a SOCK_SEQPACKET pair: it arrives whole or not at all. */
struct watchdog_message {
	char kind;
	char text[PATH_MAX + 256];
};

struct watchdog {
	int fd;
	pid_t pid;
	bool has_restores; /* the child was told of one; before, there is nothing to watch over */
	bool is_beating;   /* since the last watchdog_rest() */
};

struct watchdog_restore {
	char *path;
	char *text;
	struct watchdog_restore *prev, *next;
};

struct watchdog_child {
	int fd;
	bool is_armed;
	struct watchdog_restore *restores;
};

static void watchdog_restore_all(const struct watchdog_child *c, const char *why)
{
	const struct watchdog_restore *restore;

	DL_FOREACH(c->restores, restore)
	{
		int r = file_write(restore->path, restore->text);

		if (r == -ENOENT || r == -ENODEV)
			continue; /* the cgroup is gone, and with it what was asleep */
		if (r < 0)
			log_err(r, "watchdog: cannot write '%s' to '%s'", restore->text,
				restore->path);
		else
			log_warn("watchdog: undid what doze had done", "why=\"%s\" file=%s", why,
				 restore->path);
	}
}

static struct watchdog_restore *watchdog_find(const struct watchdog_child *c, const char *path)
{
	struct watchdog_restore *restore;

	DL_FOREACH(c->restores, restore)
	{
		if (strcmp(restore->path, path) == 0)
			return restore;
	}
	return NULL;
}

static struct watchdog_restore *watchdog_make(struct watchdog_child *c, const char *path)
{
	struct watchdog_restore *made = calloc(1, sizeof(*made));

	if (made)
		made->path = strdup(path);
	if (!made || !made->path) {
		free(made);
		return NULL;
	}
	DL_APPEND(c->restores, made);
	return made;
}

static void watchdog_remember(struct watchdog_child *c, const struct watchdog_message *m)
{
	struct watchdog_restore *restore = watchdog_find(c, m->text);
	char *text = strdup(m->text + strlen(m->text) + 1);

	if (!restore && text)
		restore = watchdog_make(c, m->text);
	if (!restore || !text) {
		free(text);
		return; /* no memory: what the child knows stays as it is */
	}
	free(restore->text);
	restore->text = text;
}

static void watchdog_forget(struct watchdog_child *c, const char *path)
{
	struct watchdog_restore *restore = watchdog_find(c, path);

	if (!restore)
		return;
	DL_DELETE(c->restores, restore);
	free(restore->path);
	free(restore->text);
	free(restore);
}

/* Whether the child goes on. */
static bool watchdog_receive(struct watchdog_child *c)
{
	struct watchdog_message m = { 0 };
	ssize_t n = recv(c->fd, &m, sizeof(m) - 2, 0); /* the last two bytes stay NUL */

	if (n < 0 && errno == EINTR)
		return true;
	if (n <= 0) {
		watchdog_restore_all(c, "doze has died");
		return false;
	}
	if (m.kind == WATCHDOG_ADD)
		watchdog_remember(c, &m);
	if (m.kind == WATCHDOG_DROP)
		watchdog_forget(c, m.text);
	if (m.kind == WATCHDOG_BEAT || m.kind == WATCHDOG_REST)
		c->is_armed = m.kind == WATCHDOG_BEAT;
	return m.kind != WATCHDOG_QUIT;
}

static void watchdog_run(int fd)
{
	struct watchdog_child c = { .fd = fd };
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	bool goes_on = true;

	while (goes_on) {
		int n = poll(&poll_fd, 1, c.is_armed ? WATCHDOG_SILENCE_MS : -1);

		if (n > 0) {
			goes_on = watchdog_receive(&c);
		} else if (n == 0) {
			watchdog_restore_all(&c, "doze does not answer");
			c.is_armed = false;
		}
	}
}

static void watchdog_child_main(int fd)
{
	static const int ignored[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE };

	for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
		signal(ignored[i], SIG_IGN);
	prctl(PR_SET_NAME, "doze-watchdog");
	watchdog_run(fd);
	_exit(0);
}

int watchdog_start(struct watchdog **out)
{
	_cleanup_(watchdog_free) struct watchdog *w = calloc(1, sizeof(*w));
	const struct timeval patience = { .tv_sec = WATCHDOG_PATIENCE_S };
	int fds[2];

	if (!w)
		return log_err(-ENOMEM, "cannot start the watchdog");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0) {
		w->fd = -1;
		return log_err(-errno, "cannot start the watchdog");
	}
	w->fd = fds[0];
	setsockopt(w->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	w->pid = fork();
	if (w->pid == 0) {
		close(fds[0]);
		watchdog_child_main(fds[1]);
	}
	close(fds[1]);
	if (w->pid < 0)
		return log_err(-errno, "cannot start the watchdog");
	*out = TAKE_PTR(w);
	return 0;
}

/* Waits a moment rather than lose a message. second: what comes behind the path, or "". */
static int watchdog_tell(const struct watchdog *w, enum watchdog_kind kind, const char *path,
			 const char *second)
{
	struct watchdog_message m = { .kind = (char)kind };
	size_t path_size = strlen(path) + 1, second_size = strlen(second) + 1;

	if (path_size + second_size > sizeof(m.text) - 2)
		return -ENAMETOOLONG;
	memcpy(m.text, path, path_size);
	memcpy(m.text + path_size, second, second_size);
	return send(w->fd, &m, 1 + path_size + second_size, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int watchdog_add(struct watchdog *w, const char *path, const char *text)
{
	int r = watchdog_tell(w, WATCHDOG_ADD, path, text);

	w->has_restores |= r == 0;
	if (w->is_beating)
		watchdog_beat(w); /* before the first restore none was sent */
	return r < 0 ? log_err(r, "cannot tell the watchdog of '%s'", path) : 0;
}

void watchdog_drop(struct watchdog *w, const char *path)
{
	int r = watchdog_tell(w, WATCHDOG_DROP, path, "");

	if (r < 0)
		log_debug("the watchdog does not listen", "errno=%d", -r);
}

static void watchdog_send(struct watchdog *w, enum watchdog_kind kind)
{
	char byte = (char)kind;

	/* Without blocking: a watchdog that is not there must not stop a wake. */
	if (send(w->fd, &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		log_debug("the watchdog does not listen", "errno=%d", errno);
}

void watchdog_beat(struct watchdog *w)
{
	w->is_beating = true;
	if (w->has_restores)
		watchdog_send(w, WATCHDOG_BEAT);
}

void watchdog_rest(struct watchdog *w)
{
	w->is_beating = false;
	watchdog_send(w, WATCHDOG_REST);
}

void watchdog_free(struct watchdog **w)
{
	if (!*w)
		return;
	if ((*w)->fd >= 0) {
		watchdog_send(*w, WATCHDOG_QUIT);
		close((*w)->fd);
	}
	if ((*w)->pid > 0)
		waitpid((*w)->pid, NULL, 0);
	free(*w);
	*w = NULL;
}
