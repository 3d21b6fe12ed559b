// SPDX-License-Identifier: MIT
/* Files, written whole. */
#include "pod/pod_kept.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/kube_size.h"
#include "base/file.h"
#include "base/log.h"
#include "base/util.h"
#include "cgroup/pod_cgroups.h"
#include "config/config.h"
#include "kube/kept_pod.h"

/* --- names --- */

bool pod_kept_is_file(const char *file, char uid[POD_KEPT_UID_MAX])
{
	static const char *const kinds[] = { ".pod", ".size", ".quota" };
	const char *dot = strrchr(file, '.');
	size_t len = dot ? (size_t)(dot - file) : 0;

	for (size_t i = 0; i < ARRAY_LEN(kinds) && len > 0 && len < POD_KEPT_UID_MAX; i++) {
		if (strcmp(dot, kinds[i]) != 0)
			continue;
		memcpy(uid, file, len);
		uid[len] = '\0';
		return true;
	}
	return false;
}

/* It becomes part of a file's name. */
static bool pod_kept_is_uid(const char *uid)
{
	size_t len = strlen(uid);

	return len > 0 && len < POD_KEPT_UID_MAX && strspn(uid, "0123456789abcdefABCDEF-") == len;
}

static char *pod_kept_path(const char *directory, const char *uid, const char *kind)
{
	char *path;

	return asprintf(&path, "%s/%s.%s", directory, uid, kind) < 0 ? NULL : path;
}

int pod_kept_init(struct pod_kept *out, const char *directory, const char *uid)
{
	*out = (struct pod_kept){ 0 };
	if (!pod_kept_is_uid(uid))
		return log_err(-EINVAL, "'%s' is not the uid of a pod", uid);
	snprintf(out->uid, sizeof(out->uid), "%s", uid);
	out->pod_file = pod_kept_path(directory, uid, "pod");
	out->spec_file = pod_kept_path(directory, uid, "size");
	out->quota_file = pod_kept_path(directory, uid, "quota");
	return out->pod_file && out->spec_file && out->quota_file
		       ? 0
		       : log_err(-ENOMEM, "cannot take a pod in");
}

void pod_kept_free(struct pod_kept *k)
{
	free(k->pod_file);
	free(k->spec_file);
	free(k->quota_file);
	*k = (struct pod_kept){ 0 };
}

/* --- the files --- */

bool pod_kept_has_slept(const struct pod_kept *k)
{
	return access(k->quota_file, F_OK) == 0;
}

bool pod_kept_is_there(const struct pod_kept *k)
{
	return pod_kept_has_slept(k) || access(k->spec_file, F_OK) == 0 ||
	       access(k->pod_file, F_OK) == 0;
}

void pod_kept_drop(const struct pod_kept *k)
{
	unlink(k->quota_file);
	unlink(k->spec_file);
	unlink(k->pod_file);
}

/* Not synced: after a crash of the machine none of its processes sleeps. */
void pod_kept_write(const struct pod_kept *k, const struct kube_pod *pod)
{
	_cleanup_(freep) char *text = kept_pod_format(pod, CONFIG_ANNOTATION_PREFIX);
	int r = text ? file_replace_unsynced(k->pod_file, text) : -ENOMEM;

	if (r < 0)
		log_err(r, "cannot write the state file '%s'", k->pod_file);
}

int pod_kept_read(const struct pod_kept *k, struct kube_pod **out)
{
	_cleanup_(freep) char *text = NULL;
	int r = file_read(k->pod_file, &text);

	if (r == 0)
		r = kept_pod_parse(out, text, k->uid);
	if (r < 0 && r != -ENOENT)
		log_warn_err(r, "cannot use the state file '%s': the API server tells",
			     k->pod_file);
	return r;
}

int pod_kept_fill(const struct pod_kept *k, const struct cgroup_mounts *mounts)
{
	_cleanup_(pod_cgroups_free) struct pod_cgroups *cgroups = NULL;
	_cleanup_(freep) char *text = NULL;
	int r = file_read(k->quota_file, &text);

	if (r == 0)
		r = pod_cgroups_new(&cgroups, mounts, KUBE_SIZE_EXEC_MILLICPU);
	if (r == 0)
		r = pod_cgroups_add_kept(cgroups, text);
	if (r == 0)
		r = pod_cgroups_parse(cgroups, text);
	return r < 0 ? r : pod_cgroups_set_full(cgroups);
}
