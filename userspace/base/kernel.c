// SPDX-License-Identifier: MIT
#include "base/kernel.h"

#include <stdio.h>
#include <sys/utsname.h>

bool kernel_is_at_least(unsigned int major, unsigned int minor)
{
	struct utsname name;
	unsigned int has_major = 0, has_minor = 0;

	if (uname(&name) < 0 || sscanf(name.release, "%u.%u", &has_major, &has_minor) != 2)
		return false;
	return has_major > major || (has_major == major && has_minor >= minor);
}
