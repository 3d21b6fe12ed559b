// SPDX-License-Identifier: MIT
/* Interfaces that come and go, in a network namespace of our own. No BPF: but this needs root, too.
 */
#include <errno.h>
#include <event2/event.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/netns.h"
#include "gate/interfaces.h"
#include "lib/isolate.h"
#include "lib/test.h"

static struct {
	bool can_run;
	struct event_base *base;
	struct netns ns;
	bool removes_moth; /* when it is to be used */
	unsigned int used, failed;
} rig;

static bool run(const char *command)
{
	return system(command) == 0;
}

static int on_appeared(void *arg, unsigned int ifindex, const char *name)
{
	(void)arg;
	(void)ifindex;
	if (strcmp(name, "moth0") != 0) {
		rig.used++;
		return 0;
	}
	if (rig.removes_moth)
		assert_true(run("ip link delete moth0"));
	rig.failed++;
	return -EIO;
}

static void on_gone(void *arg, unsigned int ifindex, const char *name)
{
	(void)arg;
	(void)ifindex;
	(void)name;
	fail_msg("one that was never used is told of");
}

static void make_rig(void)
{
	rig.used = rig.failed = 0;
	rig.can_run = isolate_network() == 0 && run("ip link set lo up") &&
		      run("ip link add moth0 type veth peer name moth1 && ip link set moth0 up");
	rig.base = event_base_new();
	rig.ns = NETNS_NONE;
	if (rig.can_run)
		assert_int_equal(netns_open(&rig.ns, 0), 0);
}

static void remove_rig(void)
{
	netns_close(&rig.ns);
	event_base_free(rig.base);
}

static int watch(bool removes_moth)
{
	const struct interfaces_settings settings = {
		.appeared = on_appeared,
		.gone = on_gone,
	};
	struct interfaces *i = NULL;
	int r;

	rig.removes_moth = removes_moth;
	r = interfaces_new(&i, rig.base, &rig.ns, &settings);
	interfaces_free(&i);
	return r;
}

TEST(an_interface_that_goes_before_it_is_used_is_no_error, .setup = make_rig,
     .teardown = remove_rig)
{
	if (!rig.can_run)
		skip();
	assert_int_equal(watch(true), 0);
	assert_int_equal(rig.used, 1);
	assert_int_equal(rig.failed, 1);
}

TEST(an_interface_that_cannot_be_used_is_an_error, .setup = make_rig, .teardown = remove_rig)
{
	if (!rig.can_run)
		skip();
	assert_int_equal(watch(false), -EIO);
	assert_int_equal(rig.used, 1);
}
