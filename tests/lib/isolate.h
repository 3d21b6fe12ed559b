/* SPDX-License-Identifier: MIT */
/*
 * A network namespace that is the same on every machine. A new one inherits settings from the
 * machine's own: one that runs containers forwards, and so do its new namespaces.
 */
#ifndef DOZE_TESTS_ISOLATE_H
#define DOZE_TESTS_ISOLATE_H

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"

/* Returns 0 also where the kernel does not have the setting. */
static inline int isolate_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), r;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	r = write(fd, text, strlen(text)) < 0 ? -errno : 0;
	close(fd);
	return r;
}

/* Of all interfaces: those that are there, those to come, and what counts for all. */
static inline int isolate_set(const char *family, const char *name, const char *text)
{
	static const char *const interfaces[] = { "all", "default", "lo" };
	char path[128];
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(interfaces); i++) {
		snprintf(path, sizeof(path), "/proc/sys/net/%s/conf/%s/%s", family, interfaces[i],
			 name);
		r = isolate_write(path, text);
	}
	return r;
}

/* A new network namespace for the calling thread, its lo down. tests/e2e/netns.py does the same. */
static inline int isolate_network(void)
{
	int r = unshare(CLONE_NEWNET) < 0 ? -errno : 0;

	if (r == 0)
		r = isolate_set("ipv4", "forwarding", "0");
	if (r == 0)
		r = isolate_set("ipv4", "rp_filter", "0");
	if (r == 0)
		r = isolate_set("ipv6", "forwarding", "0");
	if (r == 0)
		r = isolate_set("ipv6", "disable_ipv6", "0");
	if (r < 0)
		errno = -r;
	return r;
}

#endif
