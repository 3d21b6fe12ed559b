// SPDX-License-Identifier: MIT
/* The files that doze node keeps of a pod. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/util.h"
#include "lib/scratch.h"
#include "lib/test.h"
#include "pod/pod_kept.h"

#define UID "0123-abcd"

TEST(a_file_of_a_pod_has_its_uid_and_a_known_ending)
{
	static const struct {
		const char *file, *uid; /* NULL: it is none */
	} rows[] = {
		{ UID ".pod", UID },
		{ UID ".size", UID },
		{ UID ".quota", UID },
		{ "a.b.quota", "a.b" },
		{ UID ".quota.new", NULL },
		{ UID ".log", NULL },
		{ UID, NULL },
		{ ".pod", NULL },
		{ ".", NULL },
		{ "..", NULL },
		{ "", NULL },
		{ "012345678901234567890123456789012345678901234567890123456789012.pod",
		  "012345678901234567890123456789012345678901234567890123456789012" },
		{ "0123456789012345678901234567890123456789012345678901234567890123.pod", NULL },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char uid[POD_KEPT_UID_MAX] = "";

		print_message("  %s\n", rows[i].file);
		assert_int_equal(pod_kept_is_file(rows[i].file, uid), rows[i].uid != NULL);
		assert_string_equal(uid, rows[i].uid ? rows[i].uid : "");
	}
}

TEST(a_uid_that_would_leave_the_directory_is_none)
{
	static const char *const uids[] = { "", "..", "../x", "a/b", "a.b", "x", "a b" };

	for (size_t i = 0; i < ARRAY_LEN(uids); i++) {
		struct pod_kept k;

		assert_int_equal(pod_kept_init(&k, "/tmp", uids[i]), -EINVAL);
		pod_kept_free(&k);
	}
}

static struct kube_pod *parse(const char *text)
{
	struct kube_pod *pod = NULL;

	assert_int_equal(kube_pod_parse(&pod, text, strlen(text)), 0);
	return pod;
}

TEST(a_pod_is_kept_until_it_is_dropped, .setup = scratch_make, .teardown = scratch_remove)
{
	_cleanup_(kube_pod_free) struct kube_pod *pod =
		parse("{\"kind\":\"Pod\",\"metadata\":{\"name\":\"web\",\"uid\":\"" UID "\"}}");
	_cleanup_(kube_pod_free) struct kube_pod *found = NULL;
	struct pod_kept k;
	struct stat file;

	assert_int_equal(pod_kept_init(&k, root, UID), 0);
	assert_int_equal(pod_kept_read(&k, &found), -ENOENT);
	assert_false(pod_kept_is_there(&k));
	pod_kept_write(&k, pod);
	assert_true(pod_kept_is_there(&k));
	assert_false(pod_kept_has_slept(&k));
	assert_int_equal(stat(k.pod_file, &file), 0);
	assert_int_equal(file.st_mode & 077, 0); /* a probe's headers may be secret */
	assert_int_equal(pod_kept_read(&k, &found), 0);
	assert_string_equal(found->name, "web");
	assert_int_equal(file_replace(k.quota_file, "x"), 0);
	assert_true(pod_kept_has_slept(&k));
	pod_kept_drop(&k);
	assert_false(pod_kept_is_there(&k));
	pod_kept_free(&k);
}

/* Any of them may be lost. */
TEST(each_file_alone_tells_that_something_was_kept, .setup = scratch_make,
     .teardown = scratch_remove)
{
	struct pod_kept k;

	assert_int_equal(pod_kept_init(&k, root, UID), 0);
	const char *const files[] = { k.pod_file, k.spec_file, k.quota_file };

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		assert_int_equal(file_replace(files[i], "{"), 0);
		assert_true(pod_kept_is_there(&k));
		pod_kept_drop(&k);
		assert_false(pod_kept_is_there(&k));
	}
	pod_kept_free(&k);
}

TEST(cgroups_are_filled_from_what_was_kept_alone, .setup = scratch_make, .teardown = scratch_remove)
{
	static const char text[] =
		"{\"version\":1,\"pod\":{\"quota\":\"70000 100000\"},\"containers\":{\"app\":{"
		"\"id\":\"0123456789abcdef\",\"quota\":\"50000 100000\"}}}";
	struct cgroup_mounts mounts = { 0 };
	_cleanup_(freep) char *quota = NULL;
	char path[1024];
	struct pod_kept k;

	mounts.controls[CGROUP_CPU].version = 2;
	snprintf(mounts.controls[CGROUP_CPU].point, PATH_MAX, "%s", root);
	assert_int_equal(pod_kept_init(&k, root, UID), 0);
	assert_int_equal(pod_kept_fill(&k, &mounts), -ENOENT);
	assert_int_equal(file_replace(k.quota_file, text), 0);
	assert_int_equal(pod_kept_fill(&k, &mounts), -ENOENT); /* no such container */
	snprintf(path, sizeof(path), "%s/podu1", root);
	assert_int_equal(mkdir(path, 0700), 0);
	scratch_put("podu1", "cpu.max", "70000 100000");
	snprintf(path, sizeof(path), "%s/podu1/0123456789abcdef", root);
	assert_int_equal(mkdir(path, 0700), 0);
	scratch_put("podu1/0123456789abcdef", "cpu.max", "1000 100000");
	assert_int_equal(pod_kept_fill(&k, &mounts), 0);
	snprintf(path, sizeof(path), "%s/podu1/0123456789abcdef/cpu.max", root);
	assert_int_equal(file_read(path, &quota), 0);
	assert_string_equal(quota, "50000 100000");
	assert_int_equal(file_replace(k.quota_file, "{\"version\":9}"), 0);
	assert_int_equal(pod_kept_fill(&k, &mounts), -EINVAL);
	pod_kept_free(&k);
}
