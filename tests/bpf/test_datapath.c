// SPDX-License-Identifier: MIT
/*
 * One gate in several network namespaces, for several targets: real datagrams over lo of each. An
 * address belongs to one target, wherever the packet is seen, as a pod's does; 127.0.0.1 does not.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/address.h"
#include "base/util.h"
#include "gate/datapath.h"
#include "lib/isolate.h"
#include "lib/test.h"

#define PORT	   8080
#define NAMESPACES 2
#define LIMIT_NS   (10 * NS_PER_S)

static struct {
	bool can_run;
	int outside;
	int fds[NAMESPACES];
	int servers[NAMESPACES]; /* nobody reads what they get */
	uint64_t ids[NAMESPACES];
	struct datapath *gate;
	unsigned int records; /* that the ring had */
} rig;

static void on_event(void *arg, const struct gate_event *event, const void *frame)
{
	(void)arg;
	(void)event;
	(void)frame;
	rig.records++;
}

static void enter(int fd)
{
	assert_int_equal(setns(fd, CLONE_NEWNET), 0);
}

static bool make_namespace(size_t i)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	const struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	struct stat st;
	int fd;

	if (isolate_network() < 0)
		return false;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &request), 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&any, sizeof(any)), 0);
	rig.servers[i] = fd;
	rig.fds[i] = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	assert_int_equal(fstat(rig.fds[i], &st), 0);
	rig.ids[i] = st.st_ino;
	return true;
}

static void rig_new(void)
{
	const struct datapath_settings settings = {
		.can_replay = true,
		.has_namespaces = true,
		.on_event = on_event,
	};

	rig.outside = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	for (size_t i = 0; i < NAMESPACES; i++) {
		if (!make_namespace(i)) {
			print_message("skipped: no network namespace: %s\n", strerror(errno));
			return;
		}
	}
	if (datapath_new(&rig.gate, &settings) < 0) {
		print_message("skipped: the gate cannot be loaded\n");
		return;
	}
	for (size_t i = 0; i < NAMESPACES; i++) {
		enter(rig.fds[i]);
		assert_int_equal(hooks_attach(datapath_hooks(rig.gate), rig.ids[i],
					      if_nametoindex("lo"), "lo", false),
				 0);
	}
	rig.can_run = true;
}

static void rig_free(void)
{
	for (size_t i = 0; rig.gate && i < NAMESPACES; i++) {
		enter(rig.fds[i]);
		hooks_detach(datapath_hooks(rig.gate), rig.ids[i], if_nametoindex("lo"));
		close(rig.fds[i]);
		close(rig.servers[i]);
	}
	datapath_free(&rig.gate);
	enter(rig.outside);
	close(rig.outside);
}

struct test_fixture test_around_all = { rig_new, rig_free };

static void skip_without_gate(void)
{
	if (!rig.can_run)
		skip(); /* rig_new() has said why */
}

static struct gate_addr addr_of(const char *text)
{
	struct in_addr ipv4;

	assert_int_equal(inet_pton(AF_INET, text, &ipv4), 1);
	return address_make(AF_INET, &ipv4);
}

static void add_target_at(uint32_t id, struct gate_addr addr)
{
	const struct gate_target_key key = {
		.addr = addr,
		.port_be = htons(PORT),
		.protocol = IPPROTO_UDP,
	};

	assert_int_equal(keys_add(datapath_keys(rig.gate), &key, id), 0);
}

static void add_target(uint32_t id, const char *address)
{
	add_target_at(id, addr_of(address));
}

/* lo delivers before send() returns, so what the gate does is done by then. */
static void send_to(size_t namespace, const char *address)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	int fd;

	enter(rig.fds[namespace]);
	assert_int_equal(inet_pton(AF_INET, address, &to.sin_addr), 1);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)), 1);
	close(fd);
}

/* Stamped by a datagram sent now; a stamp is renewed once a millisecond, so it is sent again. */
static bool is_stamped_by(size_t namespace, const char *address, uint32_t id)
{
	uint64_t before = datapath_activity_ns(rig.gate, id);
	uint64_t until_ns = monotonic_ns() + LIMIT_NS;

	do {
		send_to(namespace, address);
		if (datapath_activity_ns(rig.gate, id) != before)
			return true;
	} while (monotonic_ns() < until_ns);
	return false;
}

TEST(targets_are_told_apart_by_their_addresses_in_every_namespace)
{
	skip_without_gate();
	add_target(1, "127.0.0.2");
	add_target(2, "127.0.0.3");
	assert_true(is_stamped_by(0, "127.0.0.2", 1));
	assert_true(datapath_activity_ns(rig.gate, 2) == 0);
	assert_true(is_stamped_by(1, "127.0.0.3", 2));
}

TEST(a_gate_that_is_closed_is_one_targets)
{
	skip_without_gate();
	datapath_close_gate(rig.gate, 1);
	datapath_consume(rig.gate);
	rig.records = 0;
	send_to(0, "127.0.0.3");
	datapath_consume(rig.gate);
	assert_int_equal(rig.records, 0);
	send_to(1, "127.0.0.2");
	datapath_consume(rig.gate);
	assert_int_equal(rig.records, 1);
	datapath_open_gate(rig.gate, 1);
}

TEST(a_target_that_is_removed_leaves_nothing_to_the_next)
{
	const struct gate_addr client = addr_of("127.0.0.1");
	const struct cidr from = cidr_of(&client);
	uint64_t counters[GATE_VERDICT_COUNT], later[GATE_VERDICT_COUNT];

	skip_without_gate();
	datapath_set_rules(rig.gate, 1, &(struct datapath_rules){ .probes = GATE_PROBES_PASS });
	assert_int_equal(keys_add_source(datapath_keys(rig.gate), 1, &from, GATE_SOURCE_PROBE), 0);
	datapath_close_gate(rig.gate, 1);
	datapath_remove_target(rig.gate, 1);
	assert_true(datapath_activity_ns(rig.gate, 1) == 0);
	send_to(0, "127.0.0.2");
	assert_true(datapath_activity_ns(rig.gate, 1) == 0);
	assert_true(is_stamped_by(0, "127.0.0.3", 2));
	/* Another target gets its number, and its address: open, and with no source known. */
	add_target(1, "127.0.0.2");
	assert_int_equal(datapath_read_counters(rig.gate, counters), 0);
	assert_true(is_stamped_by(0, "127.0.0.2", 1));
	assert_int_equal(datapath_read_counters(rig.gate, later), 0);
	assert_int_equal(later[GATE_PASS_UNPROVEN], counters[GATE_PASS_UNPROVEN]);
}

TEST(the_last_key_of_a_port_leaves_the_port_to_nobody)
{
	uint64_t counters[GATE_VERDICT_COUNT], later[GATE_VERDICT_COUNT];

	skip_without_gate();
	datapath_remove_target(rig.gate, 1);
	datapath_remove_target(rig.gate, 2);
	assert_int_equal(datapath_read_counters(rig.gate, counters), 0);
	send_to(0, "127.0.0.2");
	assert_int_equal(datapath_read_counters(rig.gate, later), 0);
	assert_true(later[GATE_PASS_OTHER] > counters[GATE_PASS_OTHER]);
	assert_int_equal(later[GATE_PASS_OPEN], counters[GATE_PASS_OPEN]);
	/* And it works again for who comes then. */
	add_target(3, "127.0.0.2");
	assert_true(is_stamped_by(0, "127.0.0.2", 3));
}

TEST(what_is_detached_in_one_namespace_stays_in_the_other)
{
	uint64_t before;

	skip_without_gate();
	enter(rig.fds[0]);
	hooks_detach(datapath_hooks(rig.gate), rig.ids[0], if_nametoindex("lo"));
	assert_true(is_stamped_by(1, "127.0.0.2", 3));
	before = datapath_activity_ns(rig.gate, 3);
	send_to(0, "127.0.0.2");
	assert_true(datapath_activity_ns(rig.gate, 3) == before);
	/* The same index in the other namespace is another interface. */
	hooks_forget(datapath_hooks(rig.gate), rig.ids[0], if_nametoindex("lo"));
	assert_true(is_stamped_by(1, "127.0.0.2", 3));
}

/* 127.0.0.1 is there in each. */
TEST(targets_are_told_apart_by_their_namespaces)
{
	skip_without_gate();
	datapath_remove_target(rig.gate, 3);
	enter(rig.fds[0]);
	assert_int_equal(hooks_attach(datapath_hooks(rig.gate), rig.ids[0], if_nametoindex("lo"),
				      "lo", false),
			 0);
	add_target_at(4, gate_addr_of_netns((uint32_t)rig.ids[0]));
	add_target_at(5, gate_addr_of_netns((uint32_t)rig.ids[1]));
	assert_true(is_stamped_by(0, "127.0.0.1", 4));
	assert_true(datapath_activity_ns(rig.gate, 5) == 0);
	assert_true(is_stamped_by(1, "127.0.0.1", 5));
	/* One that has the very address comes first, unless packets to it may only pass by. */
	add_target(6, "127.0.0.7");
	assert_true(is_stamped_by(0, "127.0.0.7", 6));
	datapath_is_on_node(rig.gate);
	assert_true(is_stamped_by(0, "127.0.0.7", 4));
}
