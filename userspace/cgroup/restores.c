// SPDX-License-Identifier: MIT
/* A list, and a loop over it. */
#include "cgroup/restores.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/file.h"
#include "base/log.h"
#include "base/util.h"

static struct restore *restores_find(const struct restores *all, const char *path)
{
	struct restore *one;

	DL_FOREACH(all->first, one)
	{
		if (strcmp(one->path, path) == 0)
			return one;
	}
	return NULL;
}

static struct restore *restores_make(struct restores *all, const char *path)
{
	_cleanup_(freep) struct restore *made = calloc(1, sizeof(*made));

	if (made)
		made->path = strdup(path);
	if (!made || !made->path)
		return NULL;
	DL_APPEND(all->first, made);
	return TAKE_PTR(made);
}

int restores_set(struct restores *all, const char *path, const char *text)
{
	struct restore *one = restores_find(all, path);
	char *copy = strdup(text);

	if (!one && copy)
		one = restores_make(all, path);
	if (!one || !copy) {
		free(copy);
		return -ENOMEM;
	}
	free(one->text);
	one->text = copy;
	return 0;
}

static void restores_remove(struct restores *all, struct restore *one)
{
	DL_DELETE(all->first, one);
	free(one->path);
	free(one->text);
	free(one);
}

void restores_drop(struct restores *all, const char *path)
{
	struct restore *one = restores_find(all, path);

	if (one)
		restores_remove(all, one);
}

void restores_clear(struct restores *all)
{
	while (all->first)
		restores_remove(all, all->first);
}

int restores_write(const struct restores *all, const char *why)
{
	const struct restore *one;
	int first = 0;

	DL_FOREACH(all->first, one)
	{
		int r = file_write(one->path, one->text);

		if (r == -ENOENT || r == -ENODEV)
			continue; /* the cgroup is gone, and with it what was asleep */
		if (r == 0)
			log_warn("watchdog: undid what doze had done", "why=\"%s\" file=%s", why,
				 one->path);
		else if (log_err(r, "watchdog: cannot write '%s' to '%s'", one->text, one->path) &&
			 first == 0)
			first = r;
	}
	return first;
}
