// SPDX-License-Identifier: MIT
/* Reads the two texts line by line. */
#include "cgroup/cgroup_mounts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/util.h"

const char *cgroup_mounts_name(enum cgroup_control control)
{
	static const char *const names[CGROUP_CONTROLS] = {
		[CGROUP_FREEZER] = "freezer",
		[CGROUP_CPU] = "cpu",
		[CGROUP_USAGE] = "cpuacct",
	};

	return names[control];
}

/* Whether a list separated by commas has the name. */
static bool cgroup_mounts_list_has(const char *list, const char *name)
{
	size_t name_len = strlen(name);

	for (;;) {
		size_t len = strcspn(list, ",");

		if (len == name_len && strncmp(list, name, len) == 0)
			return true;
		if (!list[len])
			return false;
		list += len + 1;
	}
}

/* Undoes mountinfo's \040 and the like; false when it does not fit. */
static bool cgroup_mounts_unescape(char out[PATH_MAX], const char *text)
{
	size_t n = 0;

	while (*text) {
		if (n + 1 >= PATH_MAX)
			return false;
		if (text[0] == '\\' && strnlen(text, 4) == 4) {
			out[n++] = (char)((text[1] & 7) << 6 | (text[2] & 7) << 3 | (text[3] & 7));
			text += 4;
		} else {
			out[n++] = *text++;
		}
	}
	out[n] = '\0';
	return true;
}

bool cgroup_mounts_is_within(const char *path, const char *dir)
{
	size_t len = strcmp(dir, "/") == 0 ? 0 : strlen(dir);

	return strncmp(path, dir, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

static void cgroup_mounts_take(struct cgroup_mount *out, int version, const char *root,
			       const char *point, const char *under)
{
	struct cgroup_mount taken = { .version = version };

	if (!cgroup_mounts_unescape(taken.root, root) ||
	    !cgroup_mounts_unescape(taken.point, point) ||
	    !cgroup_mounts_is_within(taken.point, under))
		return;
	/* The first mount of v1 wins over a later one, unless that hides it, and over any of v2. */
	if (!out->version || version < out->version || strcmp(out->point, taken.point) == 0)
		*out = taken;
}

/* id parent major:minor root point options [tag]... - type source super-options */
static void cgroup_mounts_parse_line(struct cgroup_mounts *out, const char *line, const char *under)
{
	_cleanup_(freep) char *root = NULL, *point = NULL, *type = NULL, *options = NULL;
	const char *dash;
	int tags = 0;

	if (sscanf(line, "%*[^ ] %*[^ ] %*[^ ] %m[^ ] %m[^ ] %*[^ ]%n", &root, &point, &tags) < 2 ||
	    !tags)
		return;
	dash = strstr(line + tags, " - ");
	if (!dash || sscanf(dash, " - %m[^ ] %*[^ ] %m[^ ]", &type, &options) < 2)
		return;
	for (enum cgroup_control c = 0; c < CGROUP_CONTROLS; c++) {
		if (strcmp(type, "cgroup2") == 0)
			cgroup_mounts_take(&out->controls[c], 2, root, point, under);
		else if (strcmp(type, "cgroup") == 0 &&
			 cgroup_mounts_list_has(options, cgroup_mounts_name(c)))
			cgroup_mounts_take(&out->controls[c], 1, root, point, under);
	}
}

void cgroup_mounts_parse(struct cgroup_mounts *out, const char *mountinfo, const char *under)
{
	_cleanup_(freep) char *text = strdup(mountinfo);
	char *rest = text, *line;

	memset(out, 0, sizeof(*out));
	while ((line = strsep(&rest, "\n")))
		cgroup_mounts_parse_line(out, line, under);
}

/* On v2 the cpu files exist only where the controller is there and its parent hands it down. */
static bool cgroup_mounts_has_cpu(const struct cgroup_mount *v2)
{
	_cleanup_(freep) char *controllers = NULL;
	char path[PATH_MAX];

	if (cgroup_file_path(path, v2->point, "cgroup.controllers") < 0 ||
	    file_read(path, &controllers) < 0)
		return false;
	for (char *c = controllers; *c; c++)
		*c = *c == ' ' || *c == '\n' ? ',' : *c;
	return cgroup_mounts_list_has(controllers, "cpu");
}

int cgroup_mounts_find(struct cgroup_mounts *out, const char *under)
{
	_cleanup_(freep) char *mountinfo = NULL;
	struct cgroup_mount *cpu = &out->controls[CGROUP_CPU];
	int r = file_read("/proc/self/mountinfo", &mountinfo);

	if (r < 0)
		return log_err(r, "cannot read '/proc/self/mountinfo'");
	cgroup_mounts_parse(out, mountinfo, under);
	if (cpu->version == 2 && !cgroup_mounts_has_cpu(cpu))
		cpu->version = 0;
	return 0;
}

int cgroup_mounts_path(char out[PATH_MAX], const char *text, int version,
		       enum cgroup_control control)
{
	_cleanup_(freep) char *copy = strdup(text);
	char *rest = copy, *line;

	if (!copy)
		return -ENOMEM;
	while ((line = strsep(&rest, "\n"))) {
		/* hierarchy-id:controllers:path; v2 is 0::path. */
		const char *id = strsep(&line, ":"), *controllers = strsep(&line, ":");

		if (!line || !(version == 2 ? strcmp(id, "0") == 0 && !*controllers
					    : cgroup_mounts_list_has(controllers,
								     cgroup_mounts_name(control))))
			continue;
		if (strlen(line) >= PATH_MAX)
			return -ENAMETOOLONG;
		memcpy(out, line, strlen(line) + 1);
		return 0;
	}
	return -ENOENT;
}

int cgroup_mounts_dir(struct cgroup_dir *out, const struct cgroup_mount *mount, const char *path)
{
	size_t root_len = strcmp(mount->root, "/") == 0 ? 0 : strlen(mount->root);

	if (!cgroup_mounts_is_within(path, mount->root))
		return -EXDEV;
	if (asprintf(&out->path, "%s%s", mount->point, path + root_len) < 0) {
		out->path = NULL;
		return -ENOMEM;
	}
	out->version = mount->version;
	return 0;
}
