// SPDX-License-Identifier: MIT
/*
 * The full size of a pod's cgroups: kept, recognized, given back; in plain files, named as both
 * versions of cgroups name them.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/util.h"
#include "cgroup/cgroup_mounts.h"
#include "cgroup/pod_cgroups.h"
#include "cgroup/pod_cgroups_text.h"
#include "kube/kube_pod.h"
#include "lib/scratch.h"
#include "lib/test.h"

#define ID    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define ANEW  "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"
#define POD   "kubepods/podu1"
#define APP   POD "/" ID
#define APP_2 POD "/" ANEW

static struct cgroup_mounts mounts;

static const char *quota_file(void)
{
	return mounts.controls[CGROUP_CPU].version == 2 ? "cpu.max" : "cpu.cfs_quota_us";
}

static const char *weight_file(void)
{
	return mounts.controls[CGROUP_CPU].version == 2 ? "cpu.weight" : "cpu.shares";
}

/* The quota as v1 has it; weight NULL: there is no such file. */
static void set(const char *path, int quota_us, const char *weight)
{
	char text[64];

	if (mounts.controls[CGROUP_CPU].version == 1)
		snprintf(text, sizeof(text), "%d", quota_us);
	else if (quota_us < 0)
		snprintf(text, sizeof(text), "max 100000");
	else
		snprintf(text, sizeof(text), "%d 100000", quota_us);
	scratch_put(path, quota_file(), text);
	scratch_put(path, "cpu.cfs_period_us", "100000");
	if (weight)
		scratch_put(path, weight_file(), weight);
}

static void make(const char *path, int quota_us, const char *weight)
{
	char full[1024];

	snprintf(full, sizeof(full), "%s/%s", root, path);
	assert_int_equal(mkdir(full, 0755), 0);
	set(path, quota_us, weight);
}

static void expect_text(const char *path, const char *name, const char *text)
{
	_cleanup_(freep) char *found = NULL;
	char full[1024];

	snprintf(full, sizeof(full), "%s/%s/%s", root, path, name);
	assert_int_equal(file_read(full, &found), 0);
	assert_string_equal(found, text);
}

static void expect(const char *path, int quota_us, const char *weight)
{
	char text[64];

	if (mounts.controls[CGROUP_CPU].version == 1)
		snprintf(text, sizeof(text), "%d", quota_us);
	else if (quota_us < 0)
		snprintf(text, sizeof(text), "max 100000");
	else
		snprintf(text, sizeof(text), "%d 100000", quota_us);
	expect_text(path, quota_file(), text);
	if (weight)
		expect_text(path, weight_file(), weight);
}

static struct pod_cgroups *find_for(const char *id, uint32_t asleep_millicpu)
{
	struct pod_cgroups *p = NULL;

	assert_int_equal(pod_cgroups_new(&p, &mounts, asleep_millicpu), 0);
	assert_int_equal(pod_cgroups_add(p, "app", id), 0);
	return p;
}

static struct pod_cgroups *find(const char *id)
{
	return find_for(id, 10);
}

/* A pod of one container, of one CPU and the weight 39. */
static void make_pod(int version)
{
	char full[1024];

	mounts = (struct cgroup_mounts){ 0 };
	mounts.controls[CGROUP_CPU].version = version;
	snprintf(mounts.controls[CGROUP_CPU].point, PATH_MAX, "%s", root);
	snprintf(full, sizeof(full), "%s/kubepods", root);
	mkdir(full, 0755);
	make(POD, 100000, "39");
	make(APP, 100000, "39");
}

/* As the kubelet has left it when it had shrunk it. */
static void fall_asleep(const char *path)
{
	set(path, 1000, "1");
}

static void both_versions(void (*story)(void))
{
	for (int version = 1; version <= 2; version++) {
		make_pod(version);
		story();
		scratch_remove();
		scratch_make();
	}
}

static void tell_wake(void)
{
	_cleanup_(pod_cgroups_free) struct pod_cgroups *p = find(ID);

	assert_int_equal(pod_cgroups_take_full(p), 0);
	fall_asleep(APP);
	fall_asleep(POD);
	assert_true(pod_cgroups_are_asleep(p));
	assert_false(pod_cgroups_are_full(p));
	assert_int_equal(pod_cgroups_set_full(p), 0);
	expect(POD, 100000, "39");
	expect(APP, 100000, "39");
	assert_true(pod_cgroups_are_full(p));
	set(APP, 100000, "1");
	assert_false(pod_cgroups_are_full(p));
}

TEST(a_wake_gives_quota_and_weight_back, .setup = scratch_make, .teardown = scratch_remove)
{
	both_versions(tell_wake);
}

static const char *burst_file(void)
{
	return mounts.controls[CGROUP_CPU].version == 2 ? "cpu.max.burst" : "cpu.cfs_burst_us";
}

/* The next doze gives the burst back, as the one before has kept it. */
static void tell_burst(void)
{
	_cleanup_(pod_cgroups_free) struct pod_cgroups *p = find(ID), *next = find(ID);
	_cleanup_(freep) char *kept = NULL;

	scratch_put(POD, burst_file(), "8");
	scratch_put(APP, burst_file(), "7");
	assert_int_equal(pod_cgroups_take_full(p), 0);
	pod_cgroups_drop_bursts(p);
	expect_text(POD, burst_file(), "0");
	expect_text(APP, burst_file(), "0");
	fall_asleep(APP);
	fall_asleep(POD);
	kept = pod_cgroups_format(p);
	assert_int_equal(pod_cgroups_parse(next, kept), 0);
	assert_int_equal(pod_cgroups_set_full(next), 0);
	expect(APP, 100000, "39");
	expect_text(POD, burst_file(), "8");
	expect_text(APP, burst_file(), "7");
}

TEST(a_burst_is_dropped_before_a_sleep_and_given_back, .setup = scratch_make,
     .teardown = scratch_remove)
{
	both_versions(tell_burst);
}

TEST(a_cgroup_without_a_weight_is_full_without, .setup = scratch_make, .teardown = scratch_remove)
{
	_cleanup_(pod_cgroups_free) struct pod_cgroups *p = NULL;
	char full[1024];

	make_pod(2);
	snprintf(full, sizeof(full), "%s/" APP "/cpu.weight", root);
	assert_int_equal(unlink(full), 0);
	p = find(ID);
	assert_int_equal(pod_cgroups_take_full(p), 0);
	set(APP, 1000, NULL);
	assert_int_equal(pod_cgroups_set_full(p), 0);
	expect(APP, 100000, NULL);
	assert_true(pod_cgroups_are_full(p));
}

/* What the kubelet has written after the size of one CPU was taken for full, and a wake. */
static const struct {
	const char *story;
	int now_us;
	const char *weight;
	int64_t expected_millicpu; /* 0: the API server does not resize it */
	bool is_over;
	int left_us;
	const char *left_weight;
} writes[] = {
	{ "asleep, late: overwritten", 1000, "1", 1000, false, 100000, "39" },
	{ "more, which was pending: kept", 200000, "79", 2000, false, 200000, "79" },
	{ "more, whatever the API server says", 200000, "79", 0, false, 200000, "79" },
	{ "without bounds: kept", -1, "39", 1000, false, -1, "39" },
	{ "less, as the API server says: kept", 50000, "39", 500, false, 50000, "39" },
	{ "less than both: overwritten", 20000, "39", 500, false, 100000, "39" },
	{ "less than it will be: not yet", 100000, "39", 2000, false, 100000, "39" },
	{ "less than it should be, and nobody will write it", 100000, "39", 2000, true, 200000,
	  "39" },
	{ "asleep, and nobody will write more", 1000, "1", 2000, true, 200000, "39" },
};

static void tell_writes(void)
{
	for (size_t i = 0; i < ARRAY_LEN(writes); i++) {
		_cleanup_(pod_cgroups_free) struct pod_cgroups *p = find(ID);

		print_message("  %s\n", writes[i].story);
		set(APP, 100000, "39");
		assert_int_equal(pod_cgroups_take_full(p), 0);
		if (writes[i].expected_millicpu)
			pod_cgroups_expect(p, "app", writes[i].expected_millicpu);
		set(APP, writes[i].now_us, writes[i].weight);
		pod_cgroups_learn_full(p, writes[i].is_over);
		assert_int_equal(pod_cgroups_set_full(p), 0);
		expect(APP, writes[i].left_us, writes[i].left_weight);
		assert_true(pod_cgroups_are_full(p));
		if (writes[i].now_us < 0)
			continue; /* a plain file keeps the tail of what was longer */
		/* And it stays full, should the asleep size still come. */
		fall_asleep(APP);
		assert_false(pod_cgroups_are_full(p));
		assert_int_equal(pod_cgroups_set_full(p), 0);
		expect(APP, writes[i].left_us, writes[i].left_weight);
	}
}

TEST(what_the_kubelet_writes_after_a_wake_is_never_lowered, .setup = scratch_make,
     .teardown = scratch_remove)
{
	both_versions(tell_writes);
}

/* cgroup v1 refuses a container more than its pod has. */
TEST(a_pod_grows_with_its_container, .setup = scratch_make, .teardown = scratch_remove)
{
	_cleanup_(pod_cgroups_free) struct pod_cgroups *p = NULL;

	make_pod(1);
	p = find(ID);
	assert_int_equal(pod_cgroups_take_full(p), 0);
	pod_cgroups_expect(p, "app", 2000);
	pod_cgroups_learn_full(p, true);
	assert_int_equal(pod_cgroups_set_full(p), 0);
	expect(POD, 200000, "39");
	expect(APP, 200000, "39");
}

static void tell_anew(void)
{
	_cleanup_(pod_cgroups_free) struct pod_cgroups *p = find(ID);

	assert_int_equal(pod_cgroups_take_full(p), 0);
	fall_asleep(APP);
	fall_asleep(POD);
	assert_int_equal(pod_cgroups_follow(p, "app", ID), 0);
	assert_int_equal(pod_cgroups_follow(p, "other", ANEW), 0);
	assert_int_equal(pod_cgroups_follow(p, "app", ANEW), -ENOENT);
	make(APP_2, 1000, "1");
	assert_int_equal(pod_cgroups_follow(p, "app", ANEW), 1);
	assert_int_equal(pod_cgroups_follow(p, "app", ANEW), 0);
	assert_false(pod_cgroups_are_full(p));
	assert_int_equal(pod_cgroups_set_full(p), 0);
	expect(POD, 100000, "39");
	expect(APP_2, 100000, "39");
	expect(APP, 1000, "1");
}

TEST(a_container_that_is_started_anew_gets_what_it_had, .setup = scratch_make,
     .teardown = scratch_remove)
{
	both_versions(tell_anew);
}

static void tell_kept(void)
{
	_cleanup_(pod_cgroups_free) struct pod_cgroups *p = find(ID), *same = find(ID);
	_cleanup_(pod_cgroups_free) struct pod_cgroups *anew = NULL;
	_cleanup_(freep) char *text = NULL;

	assert_int_equal(pod_cgroups_take_full(p), 0);
	text = pod_cgroups_format(p);
	fall_asleep(APP);
	fall_asleep(POD);
	assert_int_equal(pod_cgroups_parse(same, text), 0);
	assert_false(pod_cgroups_are_full(same));
	make(APP_2, 1000, "1");
	anew = find(ANEW);
	assert_int_equal(pod_cgroups_parse(anew, text), -ENOENT);
	assert_int_equal(pod_cgroups_set_full(anew), 0);
	expect(POD, 100000, "39");
	expect(APP_2, 100000, "39");
}

TEST(the_state_knows_containers_by_their_names, .setup = scratch_make, .teardown = scratch_remove)
{
	both_versions(tell_kept);
}

/* clang-format off */
static const struct {
	int r;
	const char *text;
} texts[] = {
	{ 0, "{\"version\":1,\"pod\":{\"quota\":\"max 100000\"},\"containers\":{\"app\":"
	     "{\"id\":\"" ID "\",\"quota\":\"max 100000\",\"weight\":\"39\"}}}" },
	{ -ENOENT, "{\"version\":1,\"pod\":{\"quota\":\"max 100000\"},\"containers\":{}}" },
	{ -ENOENT, "{\"version\":1,\"containers\":{}}" },
	{ -EINVAL, "{\"version\":1,\"pod\":{\"quota\":\"max 100000\"}}" },
	{ -EINVAL, "{\"version\":1,\"pod\":{\"quota\":\"rm -rf\"},\"containers\":{}}" },
	{ -EINVAL, "{\"version\":1,\"pod\":{\"quota\":7},\"containers\":{}}" },
	{ -EINVAL, "{\"version\":1,\"pod\":{\"quota\":\"-1\",\"weight\":\"-1\"},\"containers\":{}}" },
	{ -EINVAL, "{\"version\":3,\"pod\":{\"quota\":\"max 100000\"},\"containers\":{}}" },
	{ -EINVAL, "{\"version\":1}" },
	{ -EINVAL, "{\"vers" },
	{ -EINVAL, "" },
};
/* clang-format on */

TEST(a_text_that_is_none_of_ours_is_refused, .setup = scratch_make, .teardown = scratch_remove)
{
	make_pod(2);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		_cleanup_(pod_cgroups_free) struct pod_cgroups *p = find(ID);
		int r = pod_cgroups_parse(p, texts[i].text);

		if (r != texts[i].r)
			fail_msg("%d for: %s", r, texts[i].text);
	}
}

/* clang-format off */
static const struct {
	const char *text, *name;
	int r;
} named[] = {
	{ "{\"version\":1,\"containers\":{\"app\":{}}}", "app", 1 },
	{ "{\"version\":1,\"containers\":{\"app\":{}}}", "log", 0 },
	{ "{\"version\":3,\"containers\":{\"app\":{}}}", "app", -EINVAL },
	{ "{\"version\":1,\"containers\":[\"app\"]}", "app", -EINVAL },
	{ "{\"version\":1}", "app", -EINVAL },
	{ "", "app", -EINVAL },
};
/* clang-format on */

TEST(the_state_says_which_containers_it_is_about)
{
	for (size_t i = 0; i < ARRAY_LEN(named); i++) {
		int r = pod_cgroups_text_has(named[i].text, named[i].name);

		if (r != named[i].r)
			fail_msg("%d for %s in: %s", r, named[i].name, named[i].text);
	}
}

static int note_id(void *arg, const char *name, const char *id)
{
	char *out = arg;

	snprintf(out + strlen(out), 512 - strlen(out), "%s=%.4s ", name, id);
	return strcmp(name, "last") == 0 ? -ENOSPC : 0;
}

TEST(the_state_names_its_containers_and_their_ids)
{
	/* clang-format off */
	static const struct {
		int r;
		const char *text, *found;
	} rows[] = {
		{ 0, "{\"version\":1,\"containers\":{\"app\":{\"id\":\"" ID "\"},"
		     "\"log\":{\"id\":\"" ANEW "\"}}}", "app=0123 log=fedc " },
		{ 0, "{\"version\":1,\"containers\":{\"app\":{},\"log\":{\"id\":\"../../x\"},"
		     "\"b\":{\"id\":7},\"\":{\"id\":\"" ID "\"}}}", "" },
		{ -ENOSPC, "{\"version\":1,\"containers\":{\"last\":{\"id\":\"" ID "\"},"
			   "\"log\":{\"id\":\"" ANEW "\"}}}", "last=0123 " },
		{ -EINVAL, "{\"version\":2,\"containers\":{\"app\":{\"id\":\"" ID "\"}}}", "" },
		{ -EINVAL, "{\"version\":1,\"cont", "" },
	};
	/* clang-format on */

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char found[512] = "";

		assert_int_equal(pod_cgroups_text_each(rows[i].text, note_id, found), rows[i].r);
		assert_string_equal(found, rows[i].found);
	}
}

/* Nothing but the text is known of the pod. */
static void tell_text_alone(void)
{
	static const char log[] = POD "/" ANEW;
	_cleanup_(pod_cgroups_free) struct pod_cgroups *p = find(ID), *later = NULL, *none = NULL;
	_cleanup_(freep) char *text = NULL;

	make(log, 50000, "20");
	assert_int_equal(pod_cgroups_add(p, "log", ANEW), 0);
	assert_int_equal(pod_cgroups_take_full(p), 0);
	text = pod_cgroups_format(p);
	fall_asleep(APP);
	fall_asleep(log);
	fall_asleep(POD);
	assert_int_equal(pod_cgroups_new(&later, &mounts, 10), 0);
	assert_int_equal(pod_cgroups_add_kept(later, text), 0);
	assert_int_equal(pod_cgroups_parse(later, text), 0);
	assert_true(pod_cgroups_is_asleep(later, "log"));
	assert_false(pod_cgroups_is_asleep(later, "other"));
	assert_int_equal(pod_cgroups_set_full(later), 0);
	assert_false(pod_cgroups_is_asleep(later, "log"));
	expect(POD, 100000, "39");
	expect(APP, 100000, "39");
	expect(log, 50000, "20");
	assert_int_equal(pod_cgroups_new(&none, &mounts, 10), 0);
	assert_int_equal(pod_cgroups_add_kept(none, "{\"version\":1,\"containers\":{}}"), -ENOENT);
	assert_int_equal(pod_cgroups_add_kept(none, "{"), -EINVAL);
}

TEST(the_state_alone_gives_the_full_size_back, .setup = scratch_make, .teardown = scratch_remove)
{
	both_versions(tell_text_alone);
}

static void tell_gone(void)
{
	static const char log[] = POD "/" ANEW;
	_cleanup_(pod_cgroups_free) struct pod_cgroups *p = find(ID), *later = find(ID);
	_cleanup_(freep) char *text = NULL;

	make(log, 50000, "20");
	assert_int_equal(pod_cgroups_add(p, "log", ANEW), 0);
	assert_int_equal(pod_cgroups_take_full(p), 0);
	text = pod_cgroups_format(p);
	/* Another doze comes while it is gone. */
	fall_asleep(APP);
	assert_int_equal(pod_cgroups_add_gone(later, "log"), 0);
	assert_int_equal(pod_cgroups_parse(later, text), -ENOENT);
	assert_false(pod_cgroups_are_asleep(later));
	assert_int_equal(pod_cgroups_set_full(later), 0);
	assert_true(pod_cgroups_are_full(later));
	expect(APP, 100000, "39");
	/* And it comes back. */
	fall_asleep(log);
	assert_int_equal(pod_cgroups_follow(later, "log", ANEW), 1);
	assert_int_equal(pod_cgroups_set_full(later), 0);
	expect(log, 50000, "20");
}

TEST(a_container_that_is_gone_keeps_no_other_from_waking, .setup = scratch_make,
     .teardown = scratch_remove)
{
	both_versions(tell_gone);
}

/* What an earlier doze has put to sleep is less than all of it. */
static void tell_missing(void)
{
	_cleanup_(pod_cgroups_free) struct pod_cgroups *both = NULL, *app = find(ID);
	_cleanup_(freep) char *text = NULL;
	size_t at = 0;

	assert_int_equal(pod_cgroups_take_full(app), 0);
	text = pod_cgroups_format(app);
	make(APP_2, 100000, "39");
	assert_int_equal(pod_cgroups_new(&both, &mounts, 10), 0);
	assert_int_equal(pod_cgroups_add(both, "log", ANEW), 0);
	assert_int_equal(pod_cgroups_add(both, "app", ID), 0);
	fall_asleep(APP);
	assert_int_equal(pod_cgroups_parse(both, text), -ENOENT);
	assert_string_equal(pod_cgroups_unknown(both, &at), "log");
	assert_null(pod_cgroups_unknown(both, &at));
	assert_int_equal(pod_cgroups_set_full(both), 0);
	expect(APP, 100000, "39");
}

TEST(a_container_that_the_state_does_not_have_is_skipped, .setup = scratch_make,
     .teardown = scratch_remove)
{
	both_versions(tell_missing);
}

static void tell_throttled(void)
{
	_cleanup_(pod_cgroups_free) struct pod_cgroups *p = find_for(ID, 20), *small = NULL;

	assert_int_equal(pod_cgroups_take_full(p), 0);
	set(APP, 1000,
	    NULL); /* no longer than what is to be written: a plain file keeps its tail */
	assert_int_equal(pod_cgroups_throttle(p), 0);
	expect(APP, 2000, "39");
	assert_true(pod_cgroups_are_asleep(p));
	set(APP, 10000, NULL);
	small = find_for(ID, 200);
	assert_int_equal(pod_cgroups_take_full(small), 0);
	assert_int_equal(pod_cgroups_throttle(small), 0);
	expect(APP, 10000, "39");
	assert_true(pod_cgroups_are_asleep(small));
}

TEST(an_asleep_size_above_full_is_full, .setup = scratch_make, .teardown = scratch_remove)
{
	both_versions(tell_throttled);
}

TEST(a_full_size_that_is_not_known_is_made_of_the_limit, .setup = scratch_make,
     .teardown = scratch_remove)
{
	_cleanup_(pod_cgroups_free) struct pod_cgroups *p = NULL;
	size_t at = 0;

	make_pod(2);
	p = find(ID);
	fall_asleep(APP);
	set(POD, 1, "1"); /* no longer than what is to be written: a plain file keeps its tail */
	pod_cgroups_derive_full(p, "other", 1000);
	assert_string_equal(pod_cgroups_unknown(p, &at), "app");
	pod_cgroups_derive_full(p, "app", 250);
	pod_cgroups_derive_full(p, "app", 500); /* known by now */
	pod_cgroups_derive_full(p, NULL, KUBE_CPU_NONE);
	at = 0;
	assert_null(pod_cgroups_unknown(p, &at));
	assert_int_equal(pod_cgroups_set_full(p), 0);
	expect(APP, 25000, "1");
	expect(POD, -1, "1");
}
