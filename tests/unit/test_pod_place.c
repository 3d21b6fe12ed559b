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

		scratch_make();
		scratch_mkdir("system.slice/containerd.service");
		scratch_mkdir("kubepods.slice.old");
		snprintf(path, sizeof(path), "%s/%s", layouts[i].pod, layouts[i].container);
		scratch_mkdir(path);
		snprintf(path, sizeof(path), "%s/cri-containerd-" OTHER ".scope", layouts[i].pod);
		scratch_mkdir(path);
		expect_place(layouts[i].pod, layouts[i].container);
		scratch_remove();
	}
}

TEST(the_cgroup_of_conmon_is_not_the_containers, .setup = scratch_make, .teardown = scratch_remove)
{
	scratch_mkdir("kubepods.slice/kubepods-podX.slice/crio-conmon-" ID ".scope");
	scratch_mkdir("kubepods.slice/kubepods-podX.slice/crio-" ID ".scope");
	expect_place("kubepods.slice/kubepods-podX.slice", "crio-" ID ".scope");
}

TEST(what_is_not_there_is_not_found, .setup = scratch_make, .teardown = scratch_remove)
{
	struct pod_place place;

	scratch_mkdir("kubepods/burstable/podX/" OTHER);
	scratch_mkdir("system.slice/docker-" ID ".scope");
	assert_int_equal(pod_place_find(&place, root, ID), -ENOENT);
	assert_int_equal(pod_place_find(&place, "/no/such/directory", ID), -ENOENT);
}

TEST(the_process_may_be_in_a_cgroup_below, .setup = scratch_make, .teardown = scratch_remove)
{
	struct pod_place place;

	scratch_mkdir("kubepods/podX/crio-" ID "/container");
	scratch_put("kubepods/podX/crio-" ID, "cgroup.procs", "");
	assert_int_equal(pod_place_find(&place, root, ID), 0);
	assert_int_equal(pod_place_process(place.container), -ESRCH);
	/* 0 is a process of another PID namespace. */
	scratch_put("kubepods/podX/crio-" ID "/container", "cgroup.procs", "0\n0\n");
	assert_int_equal(pod_place_process(place.container), -ESRCH);
	scratch_put("kubepods/podX/crio-" ID "/container", "cgroup.procs", "0\n4242\n");
	assert_int_equal(pod_place_process(place.container), 4242);
	scratch_put("kubepods/podX/crio-" ID "/container", "cgroup.procs", "4242\n4243\n");
	assert_int_equal(pod_place_process(place.container), 4242);
}

TEST(a_pod_is_known_by_its_uid_whatever_the_driver, .setup = scratch_make,
     .teardown = scratch_remove)
{
	static const char uid[] = "5c6eb96d-0661-4fee-80ea-26a9aba51a06";

	assert_false(pod_place_has_pod(root, uid));
	scratch_mkdir("kubepods.slice/kubepods-pod5c6eb96d_0661_4fee_80ea_26a9aba51a0.slice");
	scratch_mkdir("kubepods/burstable/pod5c6eb96d-0661-4fee-80ea-26a9aba51a07");
	scratch_mkdir("kubepods/burstable/5c6eb96d-0661-4fee-80ea-26a9aba51a06");
	assert_false(pod_place_has_pod(root, uid));
	scratch_mkdir("kubepods/burstable/pod5c6eb96d-0661-4fee-80ea-26a9aba51a06");
	assert_true(pod_place_has_pod(root, uid));
	assert_true(pod_place_has_pod(root, "5c6eb96d-0661-4fee-80ea-26a9aba51a07"));
	scratch_mkdir("system.slice/x.scope/kubepods.slice/kubepods-burstable.slice/"
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
