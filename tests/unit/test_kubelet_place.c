// SPDX-License-Identifier: MIT
/* Nodes of several kinds, each a tree of cgroups and a /proc, made of plain directories. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "lib/scratch.h"
#include "lib/test.h"
#include "pod/kubelet_place.h"

#define NODE_PROCESSES_MAX 8

/* A process, and its cgroup. */
struct process {
	int pid;
	const char *name, *cgroup;
};

struct node {
	const char *what, *hierarchy; /* below the root, where v2 is mounted; NULL: nowhere */
	struct process processes[NODE_PROCESSES_MAX];
	int r, pid;
};

/* With all directories above it; text is added to the file. */
static void write_file(const char *directory, const char *name, const char *text)
{
	char path[1024];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s/%s", root, directory, name);
	for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		mkdir(path, 0755);
		*slash = '/';
	}
	file = fopen(path, "a");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void add_process(const struct node *node, const struct process *p)
{
	char directory[512], text[64];

	snprintf(directory, sizeof(directory), "proc/%d", p->pid);
	snprintf(text, sizeof(text), "%s\n", p->name);
	write_file(directory, "comm", text);
	snprintf(directory, sizeof(directory), "cgroup%s%s", node->hierarchy, p->cgroup);
	snprintf(text, sizeof(text), "%d\n", p->pid);
	write_file(directory, "cgroup.procs", text);
}

static void add_node(const struct node *node)
{
	char top[512];

	write_file("cgroup/cpu", "cpu.shares", "1024\n");
	if (!node->hierarchy)
		return;
	snprintf(top, sizeof(top), "cgroup%s", node->hierarchy);
	write_file(top, "cgroup.controllers", "cpu memory\n");
	for (size_t i = 0; i < NODE_PROCESSES_MAX && node->processes[i].pid; i++)
		add_process(node, &node->processes[i]);
}

static const char *cgroup_of(const struct node *node, int pid)
{
	for (size_t i = 0; i < NODE_PROCESSES_MAX; i++) {
		if (node->processes[i].pid == pid)
			return node->processes[i].cgroup;
	}
	return NULL;
}

#define POD                                                                                        \
	"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod5c6e.slice/cri-0123.scope"
#define KUBELET "/system.slice/kubelet.service"

static const struct node nodes[] = {
	{ "kubeadm",
	  "",
	  { { 1, "systemd", "/init.scope" }, { 700, "kubelet", KUBELET }, { 900, "web", POD } },
	  .pid = 700 },
	{ "v2 beside v1",
	  "/unified",
	  { { 1, "systemd", "" }, { 700, "kubelet", KUBELET } },
	  .pid = 700 },
	{ "k3s", "", { { 650, "k3s-server", "/system.slice/k3s.service" } }, .pid = 650 },
	{ "a virtual cluster in a pod, older than the kubelet",
	  "",
	  { { 600, "k3s-server", POD }, { 700, "kubelet", KUBELET } },
	  .pid = 700 },
	{ "a virtual cluster in a pod, with the other cgroup driver",
	  "",
	  { { 600, "k3s", "/kubepods/burstable/pod5c6e/0123" }, { 700, "kubelet", "/kubelet" } },
	  .pid = 700 },
	{ "a virtual cluster alone", "", { { 600, "k3s-server", POD } }, .r = -ENOENT },
	{ "kind",
	  "",
	  { { 200, "kubelet", "/kubelet.slice/kubelet.service" },
	    { 300, "k3s", "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod1.slice" } },
	  .pid = 200 },
	{ "nobody", "", { { 700, "kubelet-proxy", KUBELET } }, .r = -ENOENT },
	{ "without systemd", "", { { 700, "kubelet", "" }, { 900, "web", POD } }, .r = -ENOTUNIQ },
	{ "above its pods",
	  "",
	  { { 700, "kubelet", "/lxc" }, { 900, "web", "/lxc/a/kubepods/besteffort/pod1/0123" } },
	  .r = -ENOTUNIQ },
	{ "one above the pods, and one that is not",
	  "",
	  { { 600, "k3s", "/lxc" },
	    { 900, "web", "/lxc/kubepods/pod1" },
	    { 700, "kubelet", KUBELET } },
	  .pid = 700 },
	{ "v1 alone", NULL, { { 0 } }, .r = -EOPNOTSUPP },
};

TEST(kubelet_of_a_node_is_found)
{
	for (size_t i = 0; i < ARRAY_LEN(nodes); i++) {
		const struct node *node = &nodes[i];
		struct kubelet_place place = { .pid = 0 };
		char proc[512], cgroup[512], expected[1024];

		print_message("  %s\n", node->what);
		scratch_make();
		add_node(node);
		snprintf(proc, sizeof(proc), "%s/proc", root);
		snprintf(cgroup, sizeof(cgroup), "%s/cgroup", root);
		assert_int_equal(kubelet_place_find(&place, proc, cgroup), node->r);
		assert_int_equal(place.pid, node->pid);
		if (node->r == 0) {
			snprintf(expected, sizeof(expected), "%s%s%s", cgroup, node->hierarchy,
				 cgroup_of(node, node->pid));
			assert_string_equal(place.directory, expected);
		}
		scratch_remove();
	}
}

/* Of a process that another PID namespace has, the kernel says 0. */
TEST(processes_of_another_pid_namespace_are_nobody, .setup = scratch_make,
     .teardown = scratch_remove)
{
	char proc[512], cgroup[512];
	struct kubelet_place place;

	write_file("cgroup", "cgroup.controllers", "cpu\n");
	write_file("cgroup" KUBELET, "cgroup.procs", "0\n0\n");
	write_file("proc/0", "comm", "kubelet\n");
	snprintf(proc, sizeof(proc), "%s/proc", root);
	snprintf(cgroup, sizeof(cgroup), "%s/cgroup", root);
	assert_int_equal(kubelet_place_find(&place, proc, cgroup), -ENOENT);
}

TEST(process_is_in_a_cgroup_or_is_not, .setup = scratch_make, .teardown = scratch_remove)
{
	char directory[512];

	write_file("cgroup" KUBELET, "cgroup.procs", "70\n700\n7000\n");
	snprintf(directory, sizeof(directory), "%s/cgroup" KUBELET, root);
	assert_true(kubelet_place_has(directory, 700));
	assert_false(kubelet_place_has(directory, 7));
	assert_false(kubelet_place_has(root, 700));
	assert_false(kubelet_place_has("/nowhere", 700));
}
