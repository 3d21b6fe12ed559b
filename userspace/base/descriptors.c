// SPDX-License-Identifier: MIT
/* The kernel gives the lowest number that is free, so a number tells how many are left. */
#include "base/descriptors.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/util.h"

static struct rlimit descriptors_former;
static bool descriptors_are_raised;
static int descriptors_kept_fd = -1;

void descriptors_raise(void)
{
	struct rlimit limit;

	descriptors_keep();
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	descriptors_former = limit;
	limit.rlim_cur = limit.rlim_max;
	descriptors_are_raised = setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

void descriptors_restore(void)
{
	if (descriptors_are_raised)
		setrlimit(RLIMIT_NOFILE, &descriptors_former);
}

bool descriptors_have_room(void)
{
	struct rlimit limit;
	int fd = open("/", O_PATH | O_CLOEXEC);

	if (fd < 0)
		return false;
	close(fd);
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return true;
	return (uint64_t)fd + min_u64(DESCRIPTORS_KEPT, limit.rlim_cur / 4) < limit.rlim_cur;
}

bool descriptors_give(void)
{
	if (descriptors_kept_fd < 0)
		return false;
	close(descriptors_kept_fd);
	descriptors_kept_fd = -1;
	return true;
}

void descriptors_keep(void)
{
	if (descriptors_kept_fd < 0)
		descriptors_kept_fd = open("/", O_PATH | O_CLOEXEC);
}
