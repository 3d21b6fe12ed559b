// SPDX-License-Identifier: MIT
/* A loop over messages. What it opens, it opens before doze is in need. */
#include "cgroup/watchdog_child.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cgroup/watchdog.h"

static void watchdog_child_died(struct watchdog_child *c)
{
	c->has_ended = true;
	if (restores_write(&c->restores, "doze has died") == 0 && c->record[0])
		unlink(c->record);
}

static void watchdog_child_note_record(struct watchdog_child *c, const char *path)
{
	snprintf(c->record, sizeof(c->record), "%.*s", (int)sizeof(c->record) - 1, path);
}

static void watchdog_child_take(struct watchdog_child *c, const struct watchdog_message *m)
{
	switch ((enum watchdog_kind)m->kind) {
	case WATCHDOG_ADD:
		/* Without memory it keeps what it knows. */
		restores_set(&c->restores, m->text, m->text + strlen(m->text) + 1);
		break;
	case WATCHDOG_DROP:
		restores_drop(&c->restores, m->text);
		break;
	case WATCHDOG_RECORD:
		watchdog_child_note_record(c, m->text);
		break;
	case WATCHDOG_BEAT:
	case WATCHDOG_REST:
		c->is_armed = m->kind == WATCHDOG_BEAT;
		break;
	case WATCHDOG_ALIVE:
		break;
	case WATCHDOG_UNDO:
		restores_write(&c->restores, "doze cannot");
		break;
	case WATCHDOG_QUIT:
		c->has_ended = true;
		break;
	}
}

void watchdog_child_receive(struct watchdog_child *c)
{
	struct watchdog_message m = { 0 };
	ssize_t n = recv(c->fd, &m, sizeof(m) - 2, 0); /* the last two bytes stay NUL */

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0)
		watchdog_child_died(c);
	else
		watchdog_child_take(c, &m);
}

void watchdog_child_silence(struct watchdog_child *c)
{
	if (c->is_armed)
		restores_write(&c->restores, "doze does not answer");
	c->is_armed = false;
}

void watchdog_child_clear(struct watchdog_child *c)
{
	restores_clear(&c->restores);
	*c = (struct watchdog_child){ .fd = c->fd };
}

void watchdog_child_run(int fd)
{
	struct watchdog_child c = { .fd = fd };
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

	while (!c.has_ended) {
		int n = poll(&poll_fd, 1, c.is_armed ? WATCHDOG_SILENCE_MS : -1);

		if (n > 0)
			watchdog_child_receive(&c);
		else if (n == 0)
			watchdog_child_silence(&c);
	}
	watchdog_child_clear(&c);
}
