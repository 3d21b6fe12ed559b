// SPDX-License-Identifier: MIT
/* setns(2) there and back. */
#include "base/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/util.h"

static int netns_open_path(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? log_err(-errno, "cannot open the network namespace '%s'", path) : fd;
}

static bool netns_is_same(int a, int b)
{
	struct stat stat_a, stat_b;

	return fstat(a, &stat_a) == 0 && fstat(b, &stat_b) == 0 && stat_a.st_ino == stat_b.st_ino &&
	       stat_a.st_dev == stat_b.st_dev;
}

static uint64_t netns_id(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 ? st.st_ino : 0;
}

int netns_open(struct netns *out, pid_t pid)
{
	_cleanup_(closep) int home_fd = netns_open_path("/proc/self/ns/net");
	_cleanup_(closep) int fd = -1;
	char path[64];

	if (home_fd < 0)
		return home_fd;
	if (pid)
		snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	else
		snprintf(path, sizeof(path), "/proc/self/ns/net");
	fd = netns_open_path(path);
	if (fd < 0)
		return fd;
	out->is_home = netns_is_same(fd, home_fd);
	out->id = netns_id(fd);
	out->fd = TAKE_FD(fd);
	out->home_fd = TAKE_FD(home_fd);
	return 0;
}

void netns_close(struct netns *ns)
{
	closep(&ns->fd);
	closep(&ns->home_fd);
	*ns = NETNS_NONE;
}

int netns_enter(const struct netns *ns)
{
	if (ns->is_home || setns(ns->fd, CLONE_NEWNET) == 0)
		return 0;
	return log_err(-errno, "cannot enter the target's network namespace");
}

void netns_leave(const struct netns *ns)
{
	if (ns->is_home || setns(ns->home_fd, CLONE_NEWNET) == 0)
		return;
	/*
	 * What follows would happen in the wrong namespace. It cannot fail as long as we may enter
	 * any; ending is safe: the gate goes with us, and the watchdog restores the full size.
	 */
	log_err(-errno, "cannot return from the target's network namespace");
	abort();
}

int netns_socket(const struct netns *ns, int family)
{
	int fd, r = netns_enter(ns);

	if (r < 0)
		return r;
	fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
	r = fd < 0 ? -errno : fd;
	netns_leave(ns);
	return r;
}
