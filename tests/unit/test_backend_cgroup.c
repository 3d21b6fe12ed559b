// SPDX-License-Identifier: MIT
/* The sizes and depths of a cgroup of v2, in plain files: a client is connected, or none is. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "backend/backend_cgroup.h"
#include "base/file.h"
#include "base/util.h"
#include "lib/scratch.h"
#include "lib/test.h"

/* Of the same length: what is written does not cut a plain file off. */
#define FULL   "5000 100000"
#define ASLEEP "1000 100000"

static struct cgroup cg;
static struct event_base *base;
static struct watchdog *watchdog;
static struct backend_cgroup *backend;
static char path[64];
static enum backend_size done_size;
static int done_r, done_len;

static void on_done(void *arg, enum backend_size size, int r)
{
	(void)arg;
	done_size = size;
	done_r = r;
	done_len++;
}

static void expect(const char *name, const char *text)
{
	_cleanup_(freep) char *found = NULL;
	char full[1024];

	snprintf(full, sizeof(full), "%s/app/%s", root, name);
	assert_int_equal(file_read(full, &found), 0);
	assert_string_equal(found, text);
}

static void make_files(void)
{
	scratch_make();
	scratch_mkdir("app");
	scratch_put("app", "cpu.max", FULL);
	scratch_put("app", "cgroup.freeze", "0");
	scratch_put("app", "cgroup.events", "populated 1\nfrozen 1\n"); /* as soon as it is asked */
	scratch_put("app", "cgroup.procs", "");
	snprintf(path, sizeof(path), "%s/app", root);
	cg = CGROUP_EMPTY;
	for (int control = 0; control < CGROUP_CONTROLS; control++)
		cg.controls[control] = (struct cgroup_dir){ .version = 2, .path = path };
	base = event_base_new();
	done_len = 0;
	assert_int_equal(watchdog_start(&watchdog), 0);
}

static void remove_files(void)
{
	backend_cgroup_free(&backend);
	watchdog_free(&watchdog);
	event_base_free(base);
	scratch_remove();
}

struct test_fixture test_around_each = { make_files, remove_files };

static struct backend *make_backend(enum backend_cgroup_mode mode, uint32_t asleep_millicpu)
{
	const struct backend_cgroup_settings settings = {
		.mode = mode,
		.asleep_millicpu = asleep_millicpu,
	};
	struct backend *b;

	assert_int_equal(backend_cgroup_new(&backend, base, &cg, &settings, watchdog), 0);
	b = backend_cgroup_as_backend(backend);
	b->done = on_done;
	return b;
}

static void resize(struct backend *b, enum backend_size size)
{
	int before = done_len;

	backend_resize(b, size);
	assert_int_equal(done_len, before + 1);
	assert_int_equal(done_size, size);
	assert_int_equal(done_r, 0);
}

TEST(without_clients_it_is_frozen_at_once_and_keeps_its_quota)
{
	struct backend *b = make_backend(BACKEND_CGROUP_FREEZE, 10);

	backend_set_connected(b, false);
	resize(b, BACKEND_ASLEEP);
	expect("cgroup.freeze", "1");
	expect("cpu.max", FULL);
	resize(b, BACKEND_FULL);
	expect("cgroup.freeze", "0");
	expect("cpu.max", FULL);
}

TEST(with_a_client_it_is_throttled)
{
	struct backend *b = make_backend(BACKEND_CGROUP_FREEZE, 10);

	backend_set_connected(b, true);
	resize(b, BACKEND_ASLEEP);
	expect("cgroup.freeze", "0");
	expect("cpu.max", ASLEEP);
	resize(b, BACKEND_FULL);
	expect("cpu.max", FULL);
}

TEST(when_the_last_client_goes_it_is_frozen_and_when_one_is_found_thawed)
{
	struct backend *b = make_backend(BACKEND_CGROUP_FREEZE, 10);

	backend_set_connected(b, true);
	resize(b, BACKEND_ASLEEP);
	backend_set_connected(b, false);
	expect("cgroup.freeze", "1");
	backend_set_connected(b, true);
	expect("cgroup.freeze", "0");
	expect("cpu.max", ASLEEP);
	backend_set_connected(b, false);
	resize(b, BACKEND_FULL);
	expect("cgroup.freeze", "0");
	expect("cpu.max", FULL);
	assert_int_equal(done_len, 2); /* a change of depth is no resize */
}

TEST(awake_it_is_left_alone_whoever_is_connected)
{
	struct backend *b = make_backend(BACKEND_CGROUP_FREEZE, 10);

	backend_set_connected(b, true);
	backend_set_connected(b, false);
	expect("cgroup.freeze", "0");
	expect("cpu.max", FULL);
}

TEST(who_is_to_be_throttled_is_never_frozen)
{
	struct backend *b = make_backend(BACKEND_CGROUP_THROTTLE, 10);

	backend_set_connected(b, true);
	resize(b, BACKEND_ASLEEP);
	backend_set_connected(b, false);
	expect("cgroup.freeze", "0");
	expect("cpu.max", ASLEEP);
}

TEST(the_asleep_size_is_not_more_than_the_full_one)
{
	struct backend *b = make_backend(BACKEND_CGROUP_THROTTLE, 800);

	resize(b, BACKEND_ASLEEP);
	expect("cpu.max", FULL);
}

TEST(without_a_quota_it_can_only_be_frozen)
{
	struct backend *b;

	cg.controls[CGROUP_CPU] = (struct cgroup_dir){ 0 };
	b = make_backend(BACKEND_CGROUP_FREEZE, 10);
	assert_false(backend_cgroup_can_throttle(backend));
	resize(b, BACKEND_ASLEEP);
	expect("cgroup.freeze", "1");
}

TEST(what_somebody_has_undone_is_set_again_as_deep_as_it_was)
{
	struct backend *b = make_backend(BACKEND_CGROUP_FREEZE, 10);

	backend_set_connected(b, true);
	resize(b, BACKEND_ASLEEP);
	assert_int_equal(backend_reassert(b), 0);
	expect("cgroup.freeze", "0");
	scratch_put("app", "cpu.max", "7000 100000");
	assert_int_equal(backend_reassert(b), 0);
	expect("cpu.max", ASLEEP);
	expect("cgroup.freeze", "0");
	backend_set_connected(b, false);
	scratch_put("app", "cgroup.freeze", "0");
	assert_int_equal(backend_reassert(b), 0);
	expect("cgroup.freeze", "1");
	resize(b, BACKEND_FULL);
	expect("cpu.max", "7000 100000"); /* as somebody wants it to be awake */
}

TEST(a_burst_is_away_while_it_is_throttled)
{
	struct backend *b;

	scratch_put("app", "cpu.max.burst", "7");
	b = make_backend(BACKEND_CGROUP_THROTTLE, 10);
	resize(b, BACKEND_ASLEEP);
	expect("cpu.max", ASLEEP);
	expect("cpu.max.burst", "0");
	resize(b, BACKEND_FULL);
	expect("cpu.max", FULL);
	expect("cpu.max.burst", "7");
}

TEST(time_at_the_quota_is_counted_in_periods)
{
	struct backend *b = make_backend(BACKEND_CGROUP_FREEZE, 10);
	uint64_t throttled_us;

	scratch_put("app", "cpu.stat", "usage_usec 5\nnr_periods 9\nnr_throttled 3\n");
	assert_int_equal(backend_throttled_us(b, &throttled_us), 0);
	assert_int_equal(throttled_us, 300000);
}
