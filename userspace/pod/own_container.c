// SPDX-License-Identifier: MIT
/* The fourth field of each line is the path within the file system that is mounted. */
#include "pod/own_container.h"

#include <stdio.h>
#include <string.h>

static bool own_container_read_root(const char *root, char out[OWN_CONTAINER_NAME_MAX])
{
	const char *pods = strstr(root, "/pods/"), *name;
	size_t len;

	name = pods ? strstr(pods, "/containers/") : NULL;
	if (!name)
		return false;
	name += strlen("/containers/");
	len = strcspn(name, "/");
	if (!len || len >= OWN_CONTAINER_NAME_MAX || name[len] != '/')
		return false;
	memcpy(out, name, len);
	out[len] = '\0';
	return true;
}

bool own_container_find(const char *mounts, char out[OWN_CONTAINER_NAME_MAX])
{
	*out = '\0';
	for (const char *line = mounts; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		char root[1024];

		if (sscanf(line, "%*s %*s %*s %1023s", root) == 1 &&
		    own_container_read_root(root, out))
			return true;
	}
	return false;
}
