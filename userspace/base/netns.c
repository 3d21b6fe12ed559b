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

int netns_open(struct netns *out, pid_t pid)
{
	_cleanup_(closep) int home_fd = netns_open_path("/proc/self/ns/net");
	_cleanup_(closep) int fd = -1;
	struct stat st, home_st;
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
	if (fstat(fd, &st) < 0 || fstat(home_fd, &home_st) < 0)
		return log_err(-errno, "cannot tell which network namespace '%s' is", path);
	out->is_home = st.st_ino == home_st.st_ino && st.st_dev == home_st.st_dev;
	out->id = st.st_ino;
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
	 * All that follows would happen in the wrong namespace. This cannot fail unless we have
	 * lost the right to enter any. To end is safe: the kernel detaches the gate, and the
	 * watchdog restores the full size.
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
