// SPDX-License-Identifier: MIT
/*
 * Real connections over lo of a network namespace of its own, opened by this process inside and
 * outside of a real cgroup, which comes and goes. What is there by then is found at once, and what
 * is not, after a second.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/address.h"
#include "base/file.h"
#include "base/util.h"
#include "gate/datapath.h"
#include "lib/isolate.h"
#include "lib/test.h"
#include "pod/kubelet.h"

#define LIMIT_NS  (20 * NS_PER_S)
#define PATH_ROOM 256

static struct {
	bool can_run;
	int outside; /* the network namespace to go back to */
	struct event_base *base;
	struct datapath *gate;
	struct kubelet *kubelet;
	char home[PATH_ROOM], cgroup[PATH_ROOM]; /* where this process is from, and where it goes */
} rig;

static void move_to(const char *cgroup)
{
	char path[PATH_ROOM + 32];

	snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
	assert_int_equal(file_write(path, "0"), 0);
}

static bool has_hierarchy(char *out, size_t room)
{
	static const char *const roots[] = { "/sys/fs/cgroup/unified", "/sys/fs/cgroup" };

	for (size_t i = 0; i < ARRAY_LEN(roots); i++) {
		char path[PATH_ROOM];

		snprintf(path, sizeof(path), "%s/cgroup.controllers", roots[i]);
		snprintf(out, room, "%s", roots[i]);
		if (access(path, R_OK) == 0)
			return true;
	}
	return false;
}

static bool find_cgroups(void)
{
	_cleanup_(freep) char *text = NULL;
	const char *line;
	char root[64];

	if (!has_hierarchy(root, sizeof(root)) || file_read("/proc/self/cgroup", &text) < 0)
		return false;
	line = strstr(text, "0::");
	if (!line)
		return false;
	snprintf(rig.home, sizeof(rig.home), "%s%.*s", root, (int)strcspn(line + 3, "\n"),
		 line + 3);
	snprintf(rig.cgroup, sizeof(rig.cgroup), "%s/doze-test-kubelet-%d", root, (int)getpid());
	return true;
}

static bool enter_namespace(void)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd;

	rig.outside = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (isolate_network() < 0)
		return false;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &request), 0);
	close(fd);
	return true;
}

static void on_event(void *arg, const struct gate_event *event, const void *frame)
{
	(void)arg;
	(void)event;
	(void)frame;
}

static void rig_new(void)
{
	const struct datapath_settings settings = { .on_event = on_event };

	if (!find_cgroups()) {
		print_message("skipped: no cgroup v2\n");
		return;
	}
	if (!enter_namespace()) {
		print_message("skipped: no network namespace: %s\n", strerror(errno));
		return;
	}
	if (datapath_new(&rig.gate, &settings) < 0) {
		print_message("skipped: the gate cannot be loaded\n");
		return;
	}
	rig.base = event_base_new();
	rig.can_run = true;
}

static void rig_free(void)
{
	datapath_free(&rig.gate);
	if (rig.base)
		event_base_free(rig.base);
	if (rig.outside >= 0 && rig.can_run)
		setns(rig.outside, CLONE_NEWNET);
}

static void leave_cgroup(void)
{
	kubelet_free(&rig.kubelet);
	if (rig.can_run)
		move_to(rig.home);
	rmdir(rig.cgroup);
}

struct test_fixture test_around_each = { NULL, leave_cgroup };
struct test_fixture test_around_all = { rig_new, rig_free };

static void start(void)
{
	const struct kubelet_settings settings = { .directory = rig.cgroup };

	if (!rig.can_run)
		skip(); /* rig_new() has said why */
	assert_int_equal(kubelet_new(&rig.kubelet, rig.base, rig.gate, &settings), 0);
}

/* --- a connection --- */

struct end {
	union address_sockaddr at;
	socklen_t len;
};

static int listen_on(int family, struct end *out)
{
	const struct in_addr loopback_ipv4 = { htonl(INADDR_LOOPBACK) };
	const struct gate_addr loopback = address_make(
		family, family == AF_INET ? (const void *)&loopback_ipv4 : &in6addr_loopback);
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	out->len = address_to_sockaddr(&loopback, 0, &out->at);
	if (fd >= 0 && bind(fd, &out->at.any, out->len) == 0 && listen(fd, 1) == 0 &&
	    getsockname(fd, &out->at.any, &out->len) == 0)
		return fd;
	close(fd);
	return -1;
}

/* Opened by this process, from wherever it is. False: there is no such family here. */
static bool connect_once(int family, struct gate_flow *out)
{
	struct end server, client = { .len = sizeof(client.at) };
	_cleanup_(closep) int listener = listen_on(family, &server);
	_cleanup_(closep) int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (listener < 0)
		return false;
	assert_int_equal(connect(fd, &server.at.any, server.len), 0);
	assert_int_equal(getsockname(fd, &client.at.any, &client.len), 0);
	*out = (struct gate_flow){ .protocol = IPPROTO_TCP };
	out->saddr = address_from_sockaddr(&client.at, &out->sport_be);
	out->daddr = address_from_sockaddr(&server.at, &out->dport_be);
	return true;
}

static void assert_source(enum gate_source kind, enum gate_source expected)
{
	static const int families[] = { AF_INET, AF_INET6 };

	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		struct gate_flow flow;

		if (connect_once(families[i], &flow))
			assert_int_equal(keys_source_of(datapath_keys(rig.gate), kind, &flow),
					 expected);
		else
			print_message("  no IPv%d here\n", families[i] == AF_INET ? 4 : 6);
	}
}

/* Whoever is at an address of the node's is a client, from the moment that the kubelet is known. */
static bool is_known(void)
{
	const struct gate_flow nobodys = { .protocol = IPPROTO_TCP };

	return keys_source_of(datapath_keys(rig.gate), GATE_SOURCE_NODE, &nobodys) ==
	       GATE_SOURCE_CLIENT;
}

static void await_known(bool is_it)
{
	uint64_t until_ns = monotonic_ns() + LIMIT_NS;
	const struct timeval limit = { .tv_sec = LIMIT_NS / NS_PER_S };

	event_base_loopexit(rig.base, &limit);
	while (is_known() != is_it && monotonic_ns() < until_ns)
		event_base_loop(rig.base, EVLOOP_ONCE);
	assert_int_equal(is_known(), is_it);
}

/* --- the tests --- */

TEST(only_connections_from_the_cgroup_are_the_kubelets)
{
	if (rig.can_run)
		assert_int_equal(mkdir(rig.cgroup, 0755), 0);
	start();
	assert_true(is_known());
	assert_source(GATE_SOURCE_NODE, GATE_SOURCE_CLIENT);
	move_to(rig.cgroup);
	assert_source(GATE_SOURCE_NODE, GATE_SOURCE_PROBE);
	assert_source(GATE_SOURCE_ANY, GATE_SOURCE_PROBE);
	move_to(rig.home);
	assert_source(GATE_SOURCE_NODE, GATE_SOURCE_CLIENT);
	assert_source(GATE_SOURCE_ANY, GATE_SOURCE_CLIENT);
	assert_source(GATE_SOURCE_PROBE, GATE_SOURCE_PROBE);
}

TEST(a_cgroup_that_goes_and_comes_again_is_attached_to_again)
{
	if (rig.can_run)
		assert_int_equal(mkdir(rig.cgroup, 0755), 0);
	start();
	assert_int_equal(rmdir(rig.cgroup), 0);
	await_known(false);
	assert_source(GATE_SOURCE_NODE, GATE_SOURCE_PROBE);
	assert_source(GATE_SOURCE_ANY, GATE_SOURCE_CLIENT);
	assert_int_equal(mkdir(rig.cgroup, 0755), 0);
	await_known(true);
	move_to(rig.cgroup);
	assert_source(GATE_SOURCE_NODE, GATE_SOURCE_PROBE);
	move_to(rig.home);
	assert_source(GATE_SOURCE_NODE, GATE_SOURCE_CLIENT);
}

/* Before anybody has looked: the new one has the name of the old. */
TEST(a_cgroup_that_is_another_at_once_is_attached_to)
{
	if (rig.can_run)
		assert_int_equal(mkdir(rig.cgroup, 0755), 0);
	start();
	assert_int_equal(rmdir(rig.cgroup), 0);
	assert_int_equal(mkdir(rig.cgroup, 0755), 0);
	event_base_loop(rig.base, EVLOOP_ONCE);
	assert_true(is_known());
	move_to(rig.cgroup);
	assert_source(GATE_SOURCE_NODE, GATE_SOURCE_PROBE);
}

TEST(a_cgroup_that_comes_later_is_found)
{
	start();
	assert_false(is_known());
	assert_int_equal(mkdir(rig.cgroup, 0755), 0);
	await_known(true);
}
