// SPDX-License-Identifier: MIT
/* The texts of proc_pid_mountinfo(5) and cgroups(7), as machines of each kind have them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "cgroup/cgroup_mounts.h"
#include "lib/test.h"

/* clang-format off */
#define ROOT_FS "22 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw\n"
#define PROC	"23 22 0:21 / /proc rw,nosuid,nodev,noexec,relatime shared:13 - proc proc rw\n"

/* Fedora, Debian 11 and later, Ubuntu 22.04 and later. */
#define V2 \
	ROOT_FS PROC \
	"35 24 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"

#define V1_CPU \
	"37 30 0:33 / /sys/fs/cgroup/cpu,cpuacct rw shared:17 - cgroup cgroup rw,cpu,cpuacct\n"
#define V1_FREEZER \
	"38 30 0:34 / /sys/fs/cgroup/freezer rw,nosuid shared:18 - cgroup cgroup rw,freezer\n"

/* systemd's legacy layout, as Debian 10 and CentOS 7 have it: cpu and cpuacct in one. */
#define V1 \
	ROOT_FS PROC \
	"30 24 0:26 / /sys/fs/cgroup ro,nosuid,noexec shared:9 - tmpfs tmpfs ro,mode=755\n" \
	"32 30 0:28 / /sys/fs/cgroup/systemd rw shared:11 - cgroup cgroup rw,name=systemd\n" \
	"36 30 0:32 / /sys/fs/cgroup/cpuset rw shared:16 - cgroup cgroup rw,cpuset\n" \
	V1_CPU V1_FREEZER \
	"39 30 0:35 / /sys/fs/cgroup/memory rw shared:19 - cgroup cgroup rw,memory\n"

/* systemd's hybrid layout: v2 is there, but has no controllers. */
#define HYBRID \
	ROOT_FS PROC \
	"31 30 0:27 / /sys/fs/cgroup/unified rw shared:10 - cgroup2 cgroup2 rw,nsdelegate\n" \
	V1_CPU V1_FREEZER

/* In a container of Docker on v1, without a cgroup namespace. */
#define ID "/docker/3f4a9c0d"
#define DOCKER_V1 \
	"601 480 0:52 / / rw,relatime master:276 - overlay overlay rw,lowerdir=/l/A:/l/B\n" \
	"610 605 0:33 " ID " /cg/cpu,cpuacct ro master:17 - cgroup cgroup rw,cpu,cpuacct\n" \
	"611 605 0:34 " ID " /cg/freezer ro master:18 - cgroup cgroup rw,freezer\n"

/* Alpine with OpenRC: each controller on its own, and a /proc with hidepid before them. */
#define OPENRC \
	"20 1 0:19 / /proc rw,nosuid,nodev,noexec - proc proc rw,hidepid=2,gid=4\n" \
	"25 1 0:23 / /sys/fs/cgroup/cpu rw,nosuid - cgroup cpu rw,cpu\n" \
	"26 1 0:24 / /sys/fs/cgroup/cpuacct rw,nosuid - cgroup cpuacct rw,cpuacct\n" \
	"27 1 0:25 / /sys/fs/cgroup/freezer rw,nosuid - cgroup freezer rw,freezer\n"
/* clang-format on */

static const struct layout {
	const char *name;
	const char *mountinfo;
	struct {
		int version;
		const char *root, *point;
	} controls[CGROUP_CONTROLS]; /* freezer, cpu, usage */
} layouts[] = {
	{ "v2",
	  V2,
	  { { 2, "/", "/sys/fs/cgroup" },
	    { 2, "/", "/sys/fs/cgroup" },
	    { 2, "/", "/sys/fs/cgroup" } } },
	{ "v1",
	  V1,
	  { { 1, "/", "/sys/fs/cgroup/freezer" },
	    { 1, "/", "/sys/fs/cgroup/cpu,cpuacct" },
	    { 1, "/", "/sys/fs/cgroup/cpu,cpuacct" } } },
	{ "hybrid",
	  HYBRID,
	  { { 1, "/", "/sys/fs/cgroup/freezer" },
	    { 1, "/", "/sys/fs/cgroup/cpu,cpuacct" },
	    { 1, "/", "/sys/fs/cgroup/cpu,cpuacct" } } },
	{ "v2 without its last newline",
	  "35 24 0:30 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw",
	  { { 2, "/", "/sys/fs/cgroup" },
	    { 2, "/", "/sys/fs/cgroup" },
	    { 2, "/", "/sys/fs/cgroup" } } },
	{ "Docker on v1",
	  DOCKER_V1,
	  { { 1, ID, "/cg/freezer" },
	    { 1, ID, "/cg/cpu,cpuacct" },
	    { 1, ID, "/cg/cpu,cpuacct" } } },
	{ "OpenRC",
	  OPENRC,
	  { { 1, "/", "/sys/fs/cgroup/freezer" },
	    { 1, "/", "/sys/fs/cgroup/cpu" },
	    { 1, "/", "/sys/fs/cgroup/cpuacct" } } },
	{ "a part of v1: v2 has the rest",
	  "31 30 0:27 / /cg2 rw - cgroup2 none rw\n"
	  "38 30 0:34 / /cg1 rw - cgroup none rw,freezer\n",
	  { { 1, "/", "/cg1" }, { 2, "/", "/cg2" }, { 2, "/", "/cg2" } } },
	{ "mounted twice: the first counts",
	  "38 30 0:34 / /first rw - cgroup none rw,freezer\n"
	  "39 30 0:34 /a /second rw - cgroup none rw,freezer\n"
	  "40 30 0:30 / /cg2 rw - cgroup2 none rw\n"
	  "41 30 0:30 / /again rw - cgroup2 none rw\n",
	  { { 1, "/", "/first" }, { 2, "/", "/cg2" }, { 2, "/", "/cg2" } } },
	{ "mounted twice at the same place: the second hides the first",
	  "38 30 0:34 / /freezer rw - cgroup none rw,freezer\n"
	  "39 30 0:35 / /other rw - cgroup none rw,freezer\n"
	  "40 38 0:34 /lane /freezer rw - cgroup none rw,freezer\n"
	  "41 30 0:30 / /cg2 rw - cgroup2 none rw\n"
	  "42 41 0:30 /lane /cg2 rw - cgroup2 none rw\n",
	  { { 1, "/lane", "/freezer" }, { 2, "/lane", "/cg2" }, { 2, "/lane", "/cg2" } } },
	{ "a space, a tab, a newline and a backslash in names",
	  "38 30 0:34 /a\\040b\\011 /my\\040cg\\012\\134x rw - cgroup none rw,freezer\n",
	  { { 1, "/a b\t", "/my cg\n\\x" } } },
	{ "a backslash that escapes nothing",
	  "38 30 0:34 /a\\ /b\\04 rw - cgroup none rw,freezer\n",
	  { { 1, "/a\\", "/b\\04" } } },
	{ "no tag, one, several",
	  "35 24 0:30 / /v2 rw master:1 propagate_from:2 unbindable - cgroup2 cgroup2 rw\n",
	  { { 2, "/", "/v2" }, { 2, "/", "/v2" }, { 2, "/", "/v2" } } },
	{ "more tags than anyone has",
	  "1 0 0:3 / /x rw a b c d e f g h i j k l m n o p q r s t u v w x - cgroup2 x rw\n",
	  { { 2, "/", "/x" }, { 2, "/", "/x" }, { 2, "/", "/x" } } },
	{ "names that only resemble ours",
	  "36 30 0:32 / /a rw - cgroup cgroup rw,cpuset,freezer2,xcpu,name=cpu\n"
	  "37 30 0:33 / /b rw,cpu - tmpfs cgroup rw,cpu\n"
	  "38 30 0:33 / /c rw - cgroup3 cgroup2 rw,cpu\n",
	  { { 0 } } },
	{ "no cgroup at all", ROOT_FS PROC, { { 0 } } },
	{ "nothing", "", { { 0 } } },
};

static void expect_mount(const char *name, const struct cgroup_mount *mount, int version,
			 const char *root, const char *point)
{
	if (mount->version != version ||
	    (version && (strcmp(mount->root, root) != 0 || strcmp(mount->point, point) != 0)))
		fail_msg("%s: v%d, '%s' of '%s'", name, mount->version, mount->root, mount->point);
}

TEST(every_layout_is_understood)
{
	for (size_t i = 0; i < ARRAY_LEN(layouts); i++) {
		const struct layout *l = &layouts[i];
		struct cgroup_mounts mounts;

		cgroup_mounts_parse(&mounts, l->mountinfo, "/");
		for (int c = 0; c < CGROUP_CONTROLS; c++)
			expect_mount(l->name, &mounts.controls[c], l->controls[c].version,
				     l->controls[c].root, l->controls[c].point);
	}
}

TEST(a_line_that_is_none_is_passed_over)
{
	static const char *const garbage[] = {
		"\n",
		" \n",
		"                                        \n",
		"-\n",
		"- - - - - - -\n",
		"35 24 0:30 / /sys/fs/cgroup rw - cgroup2\n",
		"35 24 0:30 / /sys/fs/cgroup rw - cgroup2 none\n",
		"35 24 0:30 / /sys/fs/cgroup rw cgroup2 none rw\n",
		"35 24 0:30 / - cgroup2 none rw\n",
		"\x01\xff\\\\\\\n",
		"35\t24\t0:30\t/\t/x\trw\t-\tcgroup2\tnone\trw\n",
	};

	for (size_t i = 0; i < ARRAY_LEN(garbage); i++) {
		struct cgroup_mounts mounts;
		char text[1024];

		snprintf(text, sizeof(text), "%s%s%s", garbage[i], V2, garbage[i]);
		cgroup_mounts_parse(&mounts, garbage[i], "/");
		expect_mount(garbage[i], &mounts.controls[CGROUP_CPU], 0, "", "");
		cgroup_mounts_parse(&mounts, text, "/");
		expect_mount(garbage[i], &mounts.controls[CGROUP_CPU], 2, "/", "/sys/fs/cgroup");
	}
}

/* Without the cut-off name of the one spoiling the other. */
TEST(a_mount_whose_name_is_too_long_does_not_replace_one_before)
{
	_cleanup_(freep) char *text = malloc(3 * PATH_MAX);
	struct cgroup_mounts mounts;
	size_t len;

	assert_non_null(text);
	strcpy(text, "35 24 0:30 / /cg2 rw - cgroup2 cgroup2 rw\n38 30 0:34 /");
	len = strlen(text);
	memset(text + len, 'x', PATH_MAX);
	strcpy(text + len + PATH_MAX, " /freezer rw - cgroup none rw,freezer\n");
	cgroup_mounts_parse(&mounts, text, "/");
	expect_mount("too long", &mounts.controls[CGROUP_FREEZER], 2, "/", "/cg2");
}

#define PROC_V2 "0::/user.slice/user-1000.slice/session-2.scope\n"
#define PROC_V1                                                                                    \
	"12:freezer:/frozen\n"                                                                     \
	"11:cpu,cpuacct:/system.slice/ssh.service\n"                                               \
	"4:cpuset:/set\n"                                                                          \
	"1:name=systemd:/system.slice/ssh.service\n"
#define PROC_HYBRID PROC_V1 "0::/system.slice/ssh.service/unified\n"

static const struct {
	const char *text;
	int version;
	enum cgroup_control control;
	const char *path; /* NULL: -ENOENT */
} paths[] = {
	{ PROC_V2, 2, CGROUP_FREEZER, "/user.slice/user-1000.slice/session-2.scope" },
	{ PROC_V2, 2, CGROUP_CPU, "/user.slice/user-1000.slice/session-2.scope" },
	{ PROC_V2, 1, CGROUP_CPU, NULL },
	{ PROC_V1, 1, CGROUP_FREEZER, "/frozen" },
	{ PROC_V1, 1, CGROUP_CPU, "/system.slice/ssh.service" },
	{ PROC_V1, 1, CGROUP_USAGE, "/system.slice/ssh.service" },
	{ PROC_V1, 2, CGROUP_CPU, NULL },
	{ PROC_HYBRID, 1, CGROUP_CPU, "/system.slice/ssh.service" },
	{ PROC_HYBRID, 2, CGROUP_CPU, "/system.slice/ssh.service/unified" },
	{ "7:cpuacct,cpu:/other/order\n", 1, CGROUP_CPU, "/other/order" },
	{ "0::/", 2, CGROUP_CPU, "/" },
	{ "0::/a:b:c\n", 2, CGROUP_CPU, "/a:b:c" },
	{ "3:cpu:/a:b:c\n", 1, CGROUP_CPU, "/a:b:c" },
	{ "0::/with space (deleted)\n", 2, CGROUP_CPU, "/with space (deleted)" },
	{ "0::/../sibling\n", 2, CGROUP_CPU, "/../sibling" }, /* from another cgroup namespace */
	{ "3:cpuset:/set\n2:xcpu,cpux:/x\n", 1, CGROUP_CPU, NULL },
	{ "10::/ten\n", 2, CGROUP_CPU, NULL },
	{ "cpu\n:cpu\n0:\n0\n\n", 1, CGROUP_CPU, NULL },
	{ "cpu\n:cpu\n0:\n0\n\n", 2, CGROUP_CPU, NULL },
	{ "garbage\n0::/found\n", 2, CGROUP_CPU, "/found" },
	{ "", 1, CGROUP_CPU, NULL },
	{ "", 2, CGROUP_CPU, NULL },
};

TEST(a_process_is_found_in_each_hierarchy)
{
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		char path[PATH_MAX] = "untouched";
		int r = cgroup_mounts_path(path, paths[i].text, paths[i].version, paths[i].control);

		if (r != (paths[i].path ? 0 : -ENOENT))
			fail_msg("row %zu: %d", i, r);
		assert_string_equal(path, paths[i].path ? paths[i].path : "untouched");
	}
}

TEST(a_path_of_a_process_fits_or_is_refused)
{
	_cleanup_(freep) char *text = calloc(1, 2 * PATH_MAX);
	char path[PATH_MAX];

	assert_non_null(text);
	strcpy(text, "0::/");
	memset(text + 4, 'x', PATH_MAX - 2);
	assert_int_equal(cgroup_mounts_path(path, text, 2, CGROUP_CPU), 0);
	assert_int_equal(strlen(path), PATH_MAX - 1);
	text[4 + PATH_MAX - 2] = 'x';
	assert_int_equal(cgroup_mounts_path(path, text, 2, CGROUP_CPU), -ENAMETOOLONG);
}
