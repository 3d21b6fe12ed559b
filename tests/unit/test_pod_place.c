// SPDX-License-Identifier: MIT
/* Trees of cgroups as both drivers and both runtimes lay them out, made of plain directories. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "cgroup/pod_place.h"
#include "lib/scratch.h"
#include "lib/test.h"

#define ID    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OTHER "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"
#define UID   "5c6eb96d_0661_4fee_80ea_26a9aba51a06"

/* With all directories above it. */
static void make_directory(const char *path)
{
	char full[1024];

	snprintf(full, sizeof(full), "%s/%s", root, path);
	for (char *slash = full + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		mkdir(full, 0755);
		*slash = '/';
	}
	assert_int_equal(mkdir(full, 0755), 0);
}

static void write_procs(const char *path, const char *text)
{
	char full[1100];
	FILE *file;

	snprintf(full, sizeof(full), "%s/%s/cgroup.procs", root, path);
	file = fopen(full, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void expect_place(const char *pod, const char *container)
{
	struct pod_place place;
	char expected[1024];

	assert_int_equal(pod_place_find(&place, root, ID), 0);
	snprintf(expected, sizeof(expected), "%s/%s", root, pod);
	assert_string_equal(place.pod, expected);
	snprintf(expected, sizeof(expected), "%s/%s/%s", root, pod, container);
	assert_string_equal(place.container, expected);
}

static const struct {
	const char *pod, *container;
} layouts[] = {
	{ "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" UID ".slice",
	  "cri-containerd-" ID ".scope" },
	{ "kubepods.slice/kubepods-pod" UID ".slice", "crio-" ID ".scope" },
	{ "kubepods/besteffort/pod" UID, ID },
	{ "kubepods/pod" UID, "crio-" ID },
	{ "kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/"
	  "kubelet-kubepods-burstable-pod" UID ".slice",
	  "cri-containerd-" ID ".scope" },
	{ "mine/pods/kubepods/burstable/pod" UID, ID },
	{ "system.slice/docker-" OTHER ".scope/kubelet.slice/kubelet-kubepods.slice/"
	  "kubelet-kubepods-pod" UID ".slice",
	  "cri-containerd-" ID ".scope" },
};

TEST(every_layout_is_found)
{
	for (size_t i = 0; i < ARRAY_LEN(layouts); i++) {
		char path[1024];

		make_root();
		make_directory("system.slice/containerd.service");
		make_directory("kubepods.slice.old");
		snprintf(path, sizeof(path), "%s/%s", layouts[i].pod, layouts[i].container);
		make_directory(path);
		snprintf(path, sizeof(path), "%s/cri-containerd-" OTHER ".scope", layouts[i].pod);
		make_directory(path);
		expect_place(layouts[i].pod, layouts[i].container);
		remove_root();
	}
}

TEST(the_cgroup_of_conmon_is_not_the_containers, .setup = make_root, .teardown = remove_root)
{
	make_directory("kubepods.slice/kubepods-podX.slice/crio-conmon-" ID ".scope");
	make_directory("kubepods.slice/kubepods-podX.slice/crio-" ID ".scope");
	expect_place("kubepods.slice/kubepods-podX.slice", "crio-" ID ".scope");
}

TEST(what_is_not_there_is_not_found, .setup = make_root, .teardown = remove_root)
{
	struct pod_place place;

	make_directory("kubepods/burstable/podX/" OTHER);
	make_directory("system.slice/docker-" ID ".scope");
	assert_int_equal(pod_place_find(&place, root, ID), -ENOENT);
	assert_int_equal(pod_place_find(&place, "/no/such/directory", ID), -ENOENT);
}

TEST(the_process_may_be_in_a_cgroup_below, .setup = make_root, .teardown = remove_root)
{
	struct pod_place place;

	make_directory("kubepods/podX/crio-" ID "/container");
	write_procs("kubepods/podX/crio-" ID, "");
	assert_int_equal(pod_place_find(&place, root, ID), 0);
	assert_int_equal(pod_place_process(place.container), -ESRCH);
	write_procs("kubepods/podX/crio-" ID "/container", "0\n4242\n");
	assert_int_equal(pod_place_process(place.container), -ESRCH);
	write_procs("kubepods/podX/crio-" ID "/container", "4242\n4243\n");
	assert_int_equal(pod_place_process(place.container), 4242);
}

TEST(a_pod_is_known_by_its_uid_whatever_the_driver, .setup = make_root, .teardown = remove_root)
{
	static const char uid[] = "5c6eb96d-0661-4fee-80ea-26a9aba51a06";

	assert_false(pod_place_has_pod(root, uid));
	make_directory("kubepods.slice/kubepods-pod5c6eb96d_0661_4fee_80ea_26a9aba51a0.slice");
	make_directory("kubepods/burstable/pod5c6eb96d-0661-4fee-80ea-26a9aba51a07");
	make_directory("kubepods/burstable/5c6eb96d-0661-4fee-80ea-26a9aba51a06");
	assert_false(pod_place_has_pod(root, uid));
	make_directory("kubepods/burstable/pod5c6eb96d-0661-4fee-80ea-26a9aba51a06");
	assert_true(pod_place_has_pod(root, uid));
	assert_true(pod_place_has_pod(root, "5c6eb96d-0661-4fee-80ea-26a9aba51a07"));
	make_directory("system.slice/x.scope/kubepods.slice/kubepods-burstable.slice/"
		       "kubepods-burstable-pod00000000_0661_4fee_80ea_26a9aba51a06.slice");
	assert_true(pod_place_has_pod(root, "00000000-0661-4fee-80ea-26a9aba51a06"));
	assert_false(pod_place_has_pod("/nowhere", uid));
}

TEST(an_id_has_a_runtime_and_digits)
{
	static const char *const wrong[] = {
		"",
		ID,
		"containerd://",
		"containerd://0123",
		"containerd://0123456789ABCDEF",
		"containerd://../../../../etc",
		"containerd://" ID ID,
	};
	char id[POD_PLACE_ID_MAX];

	assert_int_equal(pod_place_id("containerd://" ID, id), 0);
	assert_string_equal(id, ID);
	assert_int_equal(pod_place_id("cri-o://0123456789ab", id), 0);
	assert_string_equal(id, "0123456789ab");
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		if (pod_place_id(wrong[i], id) != -EINVAL)
			fail_msg("'%s' is taken", wrong[i]);
	}
}
