// SPDX-License-Identifier: MIT
/* Messages to the child: a kind, then for WATCHDOG_ADD a path and a text, each ending in NUL. */
#include "watchdog.h"

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
#include <sys/wait.h>
#include <unistd.h>

#include "file.h"
#include "log.h"
#include "util.h"

enum watchdog_kind {
	WATCHDOG_ADD = 'A',
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
	size_t restores_len;
};

struct watchdog_child {
	int fd;
	bool is_armed;
	size_t restores_len;
	struct {
		char *path;
		char *text;
	} restores[WATCHDOG_RESTORES_MAX];
};

static void watchdog_restore(const struct watchdog_child *c, const char *why)
{
	for (size_t i = 0; i < c->restores_len; i++) {
		int r = file_write(c->restores[i].path, c->restores[i].text);

		if (r == -ENOENT || r == -ENODEV)
			continue; /* the cgroup is gone, and with it what was asleep */
		if (r < 0)
			log_err(r, "watchdog: cannot write '%s' to '%s'", c->restores[i].text,
				c->restores[i].path);
		else
			log_warn("watchdog: restored the full size", "why=\"%s\" file=%s", why,
				 c->restores[i].path);
	}
}

static void watchdog_remember(struct watchdog_child *c, const struct watchdog_message *m)
{
	if (c->restores_len == WATCHDOG_RESTORES_MAX)
		return; /* watchdog_add() has refused it */
	c->restores[c->restores_len].path = strdup(m->text);
	c->restores[c->restores_len].text = strdup(m->text + strlen(m->text) + 1);
	if (c->restores[c->restores_len].path && c->restores[c->restores_len].text)
		c->restores_len++;
}

/* False: it is time to end. */
static bool watchdog_receive(struct watchdog_child *c)
{
	struct watchdog_message m = { 0 };
	ssize_t n = recv(c->fd, &m, sizeof(m) - 2, 0); /* the last two bytes stay NUL */

	if (n < 0 && errno == EINTR)
		return true;
	if (n <= 0) {
		watchdog_restore(c, "doze has died");
		return false;
	}
	if (m.kind == WATCHDOG_ADD)
		watchdog_remember(c, &m);
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
			watchdog_restore(&c, "doze does not answer");
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
	int fds[2];

	if (!w)
		return log_err(-ENOMEM, "cannot start the watchdog");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0) {
		w->fd = -1;
		return log_err(-errno, "cannot start the watchdog");
	}
	w->fd = fds[0];
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

int watchdog_add(struct watchdog *w, const char *path, const char *text)
{
	struct watchdog_message m = { .kind = WATCHDOG_ADD };
	size_t path_size = strlen(path) + 1, text_size = strlen(text) + 1;

	if (w->restores_len == WATCHDOG_RESTORES_MAX)
		return log_err(-ENOSPC, "cannot tell the watchdog of '%s'", path);
	if (path_size + text_size > sizeof(m.text) - 2)
		return log_err(-ENAMETOOLONG, "cannot tell the watchdog of '%s'", path);
	memcpy(m.text, path, path_size);
	memcpy(m.text + path_size, text, text_size);
	if (send(w->fd, &m, 1 + path_size + text_size, MSG_NOSIGNAL) < 0)
		return log_err(-errno, "cannot tell the watchdog of '%s'", path);
	w->restores_len++;
	return 0;
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
	watchdog_send(w, WATCHDOG_BEAT);
}

void watchdog_rest(struct watchdog *w)
{
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
