// SPDX-License-Identifier: MIT
/* What doze tells of itself: the sums, and its three forms: the metrics, JSON, and text. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/util.h"
#include "lib/test.h"
#include "report/metrics.h"
#include "report/refusals.h"
#include "report/status_json.h"
#include "report/status_text.h"

static struct status_target targets[2];
static const struct status_refusal refusals[] = {
	{ "u-1", "shop/web-1", "CannotSleep", "its port \"8080\"\nis another's" },
	{ "u-2", "shop/web-2", "Unreadable", "it has more than 256 containers" },
	{ "u-3", "shop/web-3", "CannotSleep", "no cgroup" },
};
static struct status status = {
	.version = "1.2\"3",
	.problem = "",
	.targets = targets,
	.targets_len = 2,
	.refusals = refusals,
	.refusals_len = ARRAY_LEN(refusals),
};

static void fill(void)
{
	targets[0] = (struct status_target){
		.name = "tcp/8080",
		.state = "awake",
		.depth = "",
		.is_gate_open = true,
		.awake_reason = "unanswered",
		.awake_detail = "192.0.2.1:4242",
		.woke_reason = "hold_syn",
		.woke_client = "192.0.2.1:4242",
		.woke_before_ms = 90000,
		.idle_after_ms = 1500,
		.sleeps_in_ms = 700,
		.sleeps = 3,
		.asleep_ms = 7200000,
		.reclaimed_bytes = 3UL << 29,
	};
	targets[1] = (struct status_target){
		.name = "a\\b\"c\nd",
		.state = "asleep",
		.depth = "frozen",
		.awake_reason = "",
		.woke_reason = "",
	};
	status_count(&targets[0].wakes, "hold_syn");
	status_count(&targets[0].wakes, "schedule");
	status_count(&targets[0].wakes, "hold_syn");
	status_count(&targets[0].busy, "unanswered");
	status_count_wake(&targets[0], 999);
	status_count_wake(&targets[0], 1000);
	status_count_wake(&targets[0], 1001);
	status_count_wake(&targets[0], 60000000);
	status.verdicts[GATE_HOLD_SYN] = 17;
}

struct test_fixture test_around_all = { fill, NULL };

TEST(reasons_are_counted_up_to_a_limit)
{
	struct status_counts counts = { 0 };
	static char names[STATUS_REASONS_MAX + 1][8];

	assert_int_equal(targets[0].wakes.len, 2);
	assert_int_equal(targets[0].wakes.of[0].count, 2);
	for (size_t i = 0; i <= STATUS_REASONS_MAX; i++) {
		snprintf(names[i], sizeof(names[i]), "r%zu", i);
		status_count(&counts, names[i]);
	}
	assert_int_equal(counts.len, STATUS_REASONS_MAX);
}

TEST(a_wake_goes_into_the_bucket_that_it_fits)
{
	assert_int_equal(targets[0].wake_buckets[0], 2);
	assert_int_equal(targets[0].wake_buckets[1], 1);
	assert_int_equal(targets[0].wake_buckets[STATUS_WAKE_BUCKETS], 1);
	assert_int_equal(targets[0].wake_sum_us, 60003000);
}

static char *printed(void (*print)(FILE *out, const struct status *s))
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	print(out, &status);
	fclose(out);
	return text;
}

static void assert_has_line(const char *text, const char *line)
{
	const char *at = strstr(text, line);

	if (!at || (at > text && at[-1] != '\n') || at[strlen(line)] != '\n')
		fail_msg("no line '%s' in:\n%s", line, text);
}

TEST(metrics_have_their_values)
{
	_cleanup_(freep) char *text = printed(metrics_print);

	assert_has_line(text, "doze_build_info{version=\"1.2\\\"3\"} 1");
	assert_has_line(text, "doze_gate_packets_total{verdict=\"hold_syn\"} 17");
	assert_has_line(text, "doze_target_wakes_total{target=\"tcp/8080\",reason=\"hold_syn\"} 2");
	assert_has_line(text, "doze_target_state{target=\"a\\\\b\\\"c\\nd\",state=\"asleep\"} 1");
	assert_has_line(text,
			"doze_target_awake_reason{target=\"tcp/8080\",reason=\"unanswered\"} 1");
	assert_has_line(text, "doze_target_idle_after_seconds{target=\"tcp/8080\"} 1.5");
	assert_has_line(text, "doze_target_asleep_seconds_total{target=\"tcp/8080\"} 7200");
	assert_has_line(text, "doze_target_reclaimed_bytes_total{target=\"tcp/8080\"} 1610612736");
	assert_has_line(text, "doze_wake_seconds_bucket{target=\"tcp/8080\",le=\"0.001\"} 2");
	assert_has_line(text, "doze_wake_seconds_bucket{target=\"tcp/8080\",le=\"0.002\"} 3");
	assert_has_line(text, "doze_wake_seconds_bucket{target=\"tcp/8080\",le=\"30\"} 3");
	assert_has_line(text, "doze_wake_seconds_bucket{target=\"tcp/8080\",le=\"+Inf\"} 4");
	assert_has_line(text, "doze_wake_seconds_sum{target=\"tcp/8080\"} 60.003");
	assert_has_line(text, "doze_wake_seconds_count{target=\"tcp/8080\"} 4");
	assert_null(strstr(text, "doze_target_awake_reason{target=\"a"));
	assert_has_line(text, "doze_pods_refused{reason=\"CannotSleep\"} 2");
	assert_has_line(text, "doze_pods_refused{reason=\"Unreadable\"} 1");
}

/* Each family is announced once, before its first line, and no line is there twice. */
TEST(metrics_are_well_formed)
{
	_cleanup_(freep) char *text = printed(metrics_print);
	const char *lines[512];
	char family[128] = "";
	size_t len = 0;
	char *rest = NULL;

	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		assert_in_range(len, 0, ARRAY_LEN(lines) - 1);
		for (size_t i = 0; i < len; i++)
			assert_string_not_equal(lines[i], line);
		lines[len++] = line;
		if (strncmp(line, "# HELP ", 7) == 0)
			sscanf(line, "# HELP %127s", family);
		else if (strncmp(line, "# TYPE ", 7) == 0)
			assert_memory_equal(line + 7, family, strlen(family));
		else
			assert_memory_equal(line, family, strlen(family));
	}
	assert_in_range(len, 50, ARRAY_LEN(lines));
}

TEST(the_text_is_as_people_read_it)
{
	_cleanup_(freep) char *text = printed(status_text_print);

	assert_has_line(text, "tcp/8080: awake for 0.0 s");
	assert_has_line(text, "  awake because  unanswered 192.0.2.1:4242, sleeps in 0.7 s");
	assert_has_line(text, "  woke last      hold_syn of 192.0.2.1:4242, 1.5 min ago");
	assert_has_line(text, "  sleeps         3, asleep for 2.0 h in all");
	assert_has_line(text, "  memory         1536.0 MiB given back in all");
	/* What a terminal might obey is not printed. */
	assert_has_line(text, "a\\b\"c?d: asleep for 0.0 s");
	assert_has_line(text, "  depth          frozen");
	assert_null(strstr(strstr(text, "depth") + 1, "depth"));
	assert_has_line(text, "  sleeps         0, asleep for 0.0 s in all");
	assert_has_line(text, "shop/web-1: left alone: its port \"8080\"?is another's");
	assert_has_line(text, "shop/web-2: left alone: it has more than 256 containers");
}

TEST(json_is_what_it_was_made_of)
{
	_cleanup_(freep) char *text = status_json_format(&status);
	cJSON *json = cJSON_Parse(text), *list, *t;

	assert_non_null(json);
	list = cJSON_GetObjectItem(json, "targets");
	assert_int_equal(cJSON_GetArraySize(list), 2);
	assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(json, "version")), "1.2\"3");
	t = cJSON_GetArrayItem(list, 0);
	assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(t, "awake_detail")),
			    "192.0.2.1:4242");
	assert_int_equal(cJSON_GetNumberValue(cJSON_GetObjectItem(t, "sleeps")), 3);
	assert_true(cJSON_IsTrue(cJSON_GetObjectItem(t, "gate_open")));
	t = cJSON_GetArrayItem(list, 1);
	assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(t, "name")), "a\\b\"c\nd");
	assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(t, "depth")), "frozen");
	list = cJSON_GetObjectItem(json, "refused");
	assert_int_equal(cJSON_GetArraySize(list), 3);
	t = cJSON_GetArrayItem(list, 1);
	assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(t, "pod")), "shop/web-2");
	assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(t, "reason")), "Unreadable");
	assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(t, "why")),
			    "it has more than 256 containers");
	cJSON_Delete(json);
}

TEST(a_pod_that_is_left_alone_is_told_once_until_it_is_not)
{
	_cleanup_(refusals_free) struct refusals list = { 0 };
	char uid[16];

	for (int i = 0; i < 20; i++) {
		snprintf(uid, sizeof(uid), "u-%d", i);
		refusals_put(&list, uid, "shop/web", "CannotSleep", "no cgroup");
		refusals_put(&list, uid, "shop/web", "InvalidAnnotation", "'soon'");
	}
	assert_int_equal(list.len, 20);
	for (size_t i = 0; i < list.len; i++)
		assert_string_equal(list.of[i].reason, "InvalidAnnotation");
	refusals_remove(&list, "u-3");
	refusals_remove(&list, "u-3");
	refusals_remove(&list, "u-19");
	assert_int_equal(list.len, 18);
	for (size_t i = 0; i < list.len; i++) {
		assert_string_not_equal(list.of[i].uid, "u-3");
		assert_string_not_equal(list.of[i].uid, "u-19");
	}
}
