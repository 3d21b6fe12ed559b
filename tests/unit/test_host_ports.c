// SPDX-License-Identifier: MIT
/*
 * Who listens on a port, in a network namespace of the test's own; cgroup.procs is a plain file
 * that names the processes of the "pod".
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mntent.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/util.h"
#include "lib/isolate.h"
#include "lib/scratch.h"
#include "lib/test.h"
#include "pod/host_ports.h"

#define PORT 10250

#define WATCHED ((struct target_port){ PORT, IPPROTO_TCP })

static struct {
	int outside; /* the network namespace to go back to; -1: no other was made */
	struct netns ns;
	pid_t other; /* has what was open when it was forked */
	int sockets[4];
	size_t sockets_len;
	char error[HOST_PORTS_ERROR_MAX];
} rig;

static void rig_new(void)
{
	rig.ns = NETNS_NONE;
	rig.outside = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (isolate_network() < 0) {
		print_message("skipped: no network namespace: %s\n", strerror(errno));
		closep(&rig.outside);
		rig.outside = -1;
		return;
	}
	assert_int_equal(netns_open(&rig.ns, 0), 0);
}

static void rig_free(void)
{
	netns_close(&rig.ns);
	if (rig.outside >= 0)
		assert_int_equal(setns(rig.outside, CLONE_NEWNET), 0);
	closep(&rig.outside);
}

static void begin(void)
{
	scratch_make();
	scratch_mkdir("pod/app/nested");
	scratch_put("pod", "cgroup.procs", "");
	scratch_put("pod/app", "cgroup.procs", "");
	if (rig.outside < 0)
		skip();
}

static void end(void)
{
	if (rig.other) {
		kill(rig.other, SIGKILL);
		waitpid(rig.other, NULL, 0);
	}
	rig.other = 0;
	for (; rig.sockets_len; rig.sockets_len--)
		close(rig.sockets[rig.sockets_len - 1]);
	scratch_remove();
}

struct test_fixture test_around_each = { begin, end };
struct test_fixture test_around_all = { rig_new, rig_free };

static void listen_on(int family, int type, uint16_t port)
{
	struct sockaddr_storage address = { .ss_family = (sa_family_t)family };
	int fd = socket(family, type | SOCK_CLOEXEC, 0), on = 1;

	assert_true(fd >= 0);
	rig.sockets[rig.sockets_len++] = fd;
	((struct sockaddr_in *)&address)->sin_port =
		htons(port); /* of IPv6 it is at the same place */
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 1), 0);
}

/* Another process has what we have open now, and nothing that comes later. */
static void fork_other(void)
{
	rig.other = fork();
	assert_true(rig.other >= 0);
	while (rig.other == 0)
		pause();
}

/* In a container's cgroup, one level further down. */
static void put_in_pod(pid_t pid)
{
	char text[32];

	snprintf(text, sizeof(text), "%d\n", (int)pid);
	scratch_put("pod/app/nested", "cgroup.procs", text);
}

static int check(const struct target_port *ports, size_t len)
{
	char pod[1024];

	*rig.error = '\0';
	snprintf(pod, sizeof(pod), "%s/pod", root);
	return host_ports_check(&rig.ns, pod, ports, len, rig.error);
}

static int check_port(void)
{
	return check(&WATCHED, 1);
}

TEST(a_port_that_the_pods_process_listens_on_is_its_own)
{
	listen_on(AF_INET, SOCK_STREAM, PORT);
	put_in_pod(getpid());
	assert_int_equal(check_port(), 0);
	assert_string_equal(rig.error, "");
}

TEST(an_ipv6_listener_counts_as_well)
{
	listen_on(AF_INET6, SOCK_STREAM, PORT);
	put_in_pod(getpid());
	assert_int_equal(check_port(), 0);
}

TEST(a_port_that_nobody_listens_on_is_not_the_pods)
{
	listen_on(AF_INET, SOCK_STREAM, PORT + 1);
	put_in_pod(getpid());
	assert_int_equal(check_port(), -EADDRNOTAVAIL);
	assert_non_null(strstr(rig.error, "'10250/tcp'"));
	assert_non_null(strstr(rig.error, "no process of its containers listens"));
}

TEST(a_port_of_another_process_is_not_the_pods)
{
	fork_other();
	listen_on(AF_INET, SOCK_STREAM, PORT);
	put_in_pod(rig.other);
	assert_int_equal(check_port(), -EADDRINUSE);
	assert_non_null(strstr(rig.error, "somebody else listens on its port '10250/tcp'"));
}

TEST(a_port_that_another_process_has_as_well_is_not_the_pods_alone)
{
	listen_on(AF_INET, SOCK_STREAM, PORT);
	fork_other();
	listen_on(AF_INET, SOCK_STREAM, PORT);
	put_in_pod(rig.other);
	assert_int_equal(check_port(), -EADDRINUSE);
}

TEST(a_pod_without_a_process_has_no_port)
{
	listen_on(AF_INET, SOCK_STREAM, PORT);
	assert_int_equal(check_port(), -EADDRINUSE);
}

TEST(a_process_that_has_ended_has_no_port)
{
	pid_t pid;

	fork_other();
	pid = rig.other;
	put_in_pod(pid);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	rig.other = 0;
	assert_int_equal(check_port(), -EADDRNOTAVAIL);
}

/* A cgroup v2 of the test's own, in out; skips the test where there is none. */
static void make_cgroup(char out[PATH_MAX])
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	struct mntent *entry;
	bool is_made = false;

	while (mounts && !is_made && (entry = getmntent(mounts))) {
		snprintf(out, PATH_MAX, "%s/doze-test-%d", entry->mnt_dir, getpid());
		is_made = strcmp(entry->mnt_type, "cgroup2") == 0 && mkdir(out, 0755) == 0;
	}
	if (mounts)
		endmntent(mounts);
	if (!is_made) {
		print_message("skipped: no cgroup v2 to write to\n");
		skip();
	}
}

/* As a container of another user: /proc/PID/fd is that user's. */
static void listen_in_cgroup(const char *cgroup)
{
	char path[PATH_MAX];
	int ready[2];

	snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
	assert_int_equal(pipe(ready), 0);
	rig.other = fork();
	assert_true(rig.other >= 0);
	if (rig.other == 0) {
		if (file_write(path, "0") < 0)
			_exit(1);
		listen_on(AF_INET, SOCK_STREAM, PORT);
		if (setuid(1000) < 0 || prctl(PR_SET_DUMPABLE, 1) < 0 || write(ready[1], "", 1) < 0)
			_exit(1);
		while (true)
			pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], path, 1), 1);
	close(ready[0]);
}

static void set_file_capabilities(cap_flag_value_t value)
{
	static const cap_value_t list[] = { CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH };
	cap_t now = cap_get_proc();

	assert_int_equal(cap_set_flag(now, CAP_EFFECTIVE, 2, list, value), 0);
	assert_int_equal(cap_set_proc(now), 0);
	cap_free(now);
}

TEST(with_cgroup_v2_no_process_of_another_user_has_to_be_looked_into)
{
	char cgroup[PATH_MAX], other[PATH_MAX + 8];
	int own, others;

	make_cgroup(cgroup);
	snprintf(other, sizeof(other), "%s/other", cgroup);
	assert_int_equal(mkdir(other, 0755), 0);
	listen_in_cgroup(cgroup);
	set_file_capabilities(CAP_CLEAR);
	own = host_ports_check(&rig.ns, cgroup, &WATCHED, 1, rig.error);
	others = host_ports_check(&rig.ns, other, &WATCHED, 1, rig.error);
	set_file_capabilities(CAP_SET);
	kill(rig.other, SIGKILL);
	waitpid(rig.other, NULL, 0);
	rig.other = 0;
	rmdir(other);
	assert_int_equal(rmdir(cgroup), 0);
	assert_int_equal(own, 0);
	assert_int_equal(others, -EADDRINUSE);
}

TEST(each_port_counts_for_itself)
{
	const struct target_port ports[] = { WATCHED, { PORT + 1, IPPROTO_TCP } };

	listen_on(AF_INET, SOCK_STREAM, PORT);
	put_in_pod(getpid());
	assert_int_equal(check(ports, 2), -EADDRNOTAVAIL);
	assert_non_null(strstr(rig.error, "'10251/tcp'"));
	listen_on(AF_INET6, SOCK_STREAM, PORT + 1);
	assert_int_equal(check(ports, 2), 0);
}

TEST(a_port_of_udp_is_not_the_one_of_tcp)
{
	static const struct target_port udp = { PORT, IPPROTO_UDP };
	int r;

	listen_on(AF_INET, SOCK_DGRAM, PORT);
	put_in_pod(getpid());
	assert_int_equal(check_port(), -EADDRNOTAVAIL);
	r = check(&udp, 1);
	if (r == -ENOENT) { /* this kernel has no udp_diag */
		assert_non_null(strstr(rig.error, "udp_diag"));
		skip();
	}
	assert_int_equal(r, 0);
	put_in_pod(1);
	assert_int_equal(check(&udp, 1), -EADDRINUSE);
}
