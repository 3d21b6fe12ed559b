// SPDX-License-Identifier: MIT
/* A pod that sleeps by its cgroups alone, in plain files, whose kernel never finishes freezing. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <event2/event.h>

#include "backend/backend_pod.h"
#include "base/file.h"
#include "base/util.h"
#include "cgroup/cgroup_mounts.h"
#include "lib/scratch.h"
#include "lib/test.h"

#define ID  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define POD "kubepods/podu1"
#define APP POD "/" ID

static char state_file[64];
static struct cgroup_mounts mounts;
static struct event_base *base;
static struct backend_pod *backend;

static void expect(const char *path, const char *name, const char *text)
{
	_cleanup_(freep) char *found = NULL;
	char full[1024];

	snprintf(full, sizeof(full), "%s/%s/%s", root, path, name);
	assert_int_equal(file_read(full, &found), 0);
	assert_string_equal(found, text);
}

static void make_cgroup(const char *path, const char *quota)
{
	char full[1024];

	snprintf(full, sizeof(full), "%s/%s", root, path);
	assert_int_equal(mkdir(full, 0755), 0);
	scratch_put(path, "cpu.max", quota);
	scratch_put(path, "cgroup.freeze", "0");
	scratch_put(path, "cgroup.events", "populated 1\nfrozen 0\n");
}

/* One that an earlier doze has left asleep, to be frozen. */
static void make_backend(void)
{
	const struct backend_pod_settings settings = {
		.name = "default/web",
		.depth = BACKEND_POD_FREEZE,
		.state_file = state_file,
	};
	struct pod_cgroups *cgroups = NULL;
	char full[1024];

	scratch_make();
	snprintf(state_file, sizeof(state_file), "%s/state", root);
	mounts = (struct cgroup_mounts){ 0 };
	for (int control = 0; control < CGROUP_CONTROLS; control++) {
		mounts.controls[control].version = 2;
		snprintf(mounts.controls[control].point, PATH_MAX, "%s", root);
	}
	snprintf(full, sizeof(full), "%s/kubepods", root);
	assert_int_equal(mkdir(full, 0755), 0);
	make_cgroup(POD, "1000 100000");
	make_cgroup(APP, "1000 100000");
	assert_int_equal(pod_cgroups_new(&cgroups, &mounts, 10), 0);
	assert_int_equal(pod_cgroups_add(cgroups, "app", ID), 0);
	base = event_base_new();
	assert_int_equal(backend_pod_new(&backend, base, cgroups, NULL, &settings, true), 0);
}

static void remove_backend(void)
{
	backend_pod_free(&backend);
	event_base_free(base);
	scratch_remove();
}

struct test_fixture test_around_each = { make_backend, remove_backend };

TEST(a_pod_that_is_still_freezing_is_left_thawed)
{
	backend_pod_resume(backend);
	expect(APP, "cgroup.freeze", "1");
	backend_pod_leave_asleep(backend);
	expect(APP, "cgroup.freeze", "0");
	expect(APP, "cpu.max", "1000 100000");
}

TEST(a_pod_that_cannot_be_throttled_is_left_thawed)
{
	char full[1024];

	backend_pod_resume(backend);
	snprintf(full, sizeof(full), "%s/" APP "/cpu.max", root);
	assert_int_equal(unlink(full), 0);
	assert_int_equal(mkdir(full, 0755), 0); /* which cannot be written */
	backend_pod_leave_asleep(backend);
	expect(APP, "cgroup.freeze", "0");
}

TEST(a_pod_with_a_client_is_throttled_and_frozen_when_that_has_gone)
{
	struct backend *b = backend_pod_as_backend(backend);

	backend_set_connected(b, true);
	backend_pod_resume(backend);
	expect(APP, "cgroup.freeze", "0");
	expect(APP, "cpu.max", "1000 100000");
	backend_set_connected(b, false);
	expect(APP, "cgroup.freeze", "1");
	backend_set_connected(b, true);
	expect(APP, "cgroup.freeze", "0");
	expect(APP, "cpu.max", "1000 100000");
}

TEST(a_waking_pod_is_not_frozen_because_its_client_goes)
{
	struct backend *b = backend_pod_as_backend(backend);

	backend_set_connected(b, true);
	backend_pod_resume(backend);
	backend_resize(b, BACKEND_FULL);
	backend_set_connected(b, false);
	expect(APP, "cgroup.freeze", "0");
}
