// SPDX-License-Identifier: MIT
/*
 * Hours as people write them, and when they begin and end. The zones' rules for 2026 are written
 * down here once more, so that the clock of the C library is not compared with itself.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/util.h"
#include "lib/test.h"
#include "target/schedule.h"

#define WEEKDAYS 0x1f
#define WEEKEND	 0x60
#define ALL	 0x7f

#define HM(hour, minute) (60 * (hour) + (minute))

/* clang-format off */
static const struct {
	const char *text;
	struct schedule schedule;
} good[] = {
	{ "08:00-18:00",                         { ALL, HM(8, 0), HM(18, 0), "UTC" } },
	{ "08:00-18:00 UTC",                     { ALL, HM(8, 0), HM(18, 0), "UTC" } },
	{ "Mon-Fri 08:00-18:00 Europe/Berlin",   { WEEKDAYS, HM(8, 0), HM(18, 0), "Europe/Berlin" } },
	{ "mon-FRI 08:00-18:00",                 { WEEKDAYS, HM(8, 0), HM(18, 0), "UTC" } },
	{ "Sat,Sun 10:30-11:45",                 { WEEKEND, HM(10, 30), HM(11, 45), "UTC" } },
	{ "Sun,Sat 10:30-11:45",                 { WEEKEND, HM(10, 30), HM(11, 45), "UTC" } },
	{ "Sat-Sun 10:30-11:45",                 { WEEKEND, HM(10, 30), HM(11, 45), "UTC" } },
	{ "Fri-Mon 00:00-24:00",                 { 0x71, 0, 1440, "UTC" } },
	{ "Sun-Mon 00:00-24:00",                 { 0x41, 0, 1440, "UTC" } },
	{ "Tue-Mon 00:00-24:00",                 { ALL, 0, 1440, "UTC" } },
	{ "Wed-Wed 00:00-24:00",                 { 0x04, 0, 1440, "UTC" } },
	{ "Mon,Wed-Thu,Sun 01:02-03:04",         { 0x4d, HM(1, 2), HM(3, 4), "UTC" } },
	{ "Mon,Mon 01:02-03:04",                 { 0x01, HM(1, 2), HM(3, 4), "UTC" } },
	{ "22:00-06:00",                         { ALL, HM(22, 0), HM(6, 0), "UTC" } },
	{ "22:00-00:00",                         { ALL, HM(22, 0), 1440, "UTC" } },
	{ "22:00-24:00",                         { ALL, HM(22, 0), 1440, "UTC" } },
	{ "00:00-00:00",                         { ALL, 0, 1440, "UTC" } },
	{ "08:00-08:00",                         { ALL, HM(8, 0), HM(8, 0), "UTC" } },
	{ "23:59-00:01",                         { ALL, HM(23, 59), 1, "UTC" } },
	{ "00:00-00:01",                         { ALL, 0, 1, "UTC" } },
	{ "  Mon   01:02-03:04   Asia/Kolkata ", { 0x01, HM(1, 2), HM(3, 4), "Asia/Kolkata" } },
	{ "01:02-03:04 Etc/GMT+5",               { ALL, HM(1, 2), HM(3, 4), "Etc/GMT+5" } },
	{ "01:02-03:04 America/Argentina/Buenos_Aires",
	  { ALL, HM(1, 2), HM(3, 4), "America/Argentina/Buenos_Aires" } },
};

#define DAYS   "has days that are not such as Mon-Fri or Sat,Sun"
#define HOURS  "has no hours such as 08:00-18:00"
#define MINUTE "has a minute beyond 59"
#define HOUR   "has an hour beyond 24:00"
#define START  "begins at 24:00, which is 00:00 of the day after"
#define ZONE   "has a time zone that is not known here; one is such as Europe/Berlin"
#define BEHIND "has something behind its time zone"
#define LONG   "is longer than any schedule"

#define SIXTEEN "aaaaaaaaaaaaaaaa"

static const struct {
	const char *text, *wrong;
} bad[] = {
	{ "",                                  HOURS },
	{ " ",                                 HOURS },
	{ "Mon",                               HOURS },
	{ "Mon-Fri",                           HOURS },
	{ "8:00-18:00",                        HOURS },
	{ "08:00",                             HOURS },
	{ "08:00-",                            HOURS },
	{ "08:00-18:0",                        HOURS },
	{ "08:00-18:000",                      HOURS },
	{ "08.00-18.00",                       HOURS },
	{ "0800-1800",                         HOURS },
	{ "08:00 - 18:00",                     HOURS },
	{ "08:00\t18:00",                      HOURS },
	{ "+8:00-18:00",                       HOURS },
	{ "-8:00-18:00",                       HOURS },
	{ "08:00-18:00\n",                     HOURS },
	{ "08:00-18:00,20:00-21:00",           HOURS },
	{ "Mon Tue 08:00-18:00",               HOURS },
	{ "Mon\t08:00-18:00",                  DAYS },
	{ "08:60-18:00",                       MINUTE },
	{ "08:00-18:99",                       MINUTE },
	{ "08:00-24:60",                       MINUTE },
	{ "08:00-24:01",                       HOUR },
	{ "08:00-25:00",                       HOUR },
	{ "24:01-06:00",                       HOUR },
	{ "99:00-06:00",                       HOUR },
	{ "24:00-06:00",                       START },
	{ "24:00-24:00",                       START },
	{ "M 08:00-18:00",                     DAYS },
	{ "Mo 08:00-18:00",                    DAYS },
	{ "Monday 08:00-18:00",                DAYS },
	{ "Mon- 08:00-18:00",                  DAYS },
	{ "Mon-Fr 08:00-18:00",                DAYS },
	{ "Mon-Wed-Fri 08:00-18:00",           DAYS },
	{ "Mon, 08:00-18:00",                  DAYS },
	{ "Mon,,Tue 08:00-18:00",              DAYS },
	{ "Mon;Tue 08:00-18:00",               DAYS },
	{ "Die 08:00-18:00",                   DAYS },
	{ "UTC 08:00-18:00",                   DAYS },
	{ ",Mon 08:00-18:00",                  HOURS },
	{ "08:00-18:00 Mon",                   ZONE },
	{ "08:00-18:00 Europe/Atlantis",       ZONE },
	{ "08:00-18:00 europe/berlin",         ZONE },
	{ "08:00-18:00 Europe",                ZONE }, /* a directory */
	{ "08:00-18:00 zone.tab",              ZONE },
	{ "08:00-18:00 ../zoneinfo/UTC",       ZONE },
	{ "08:00-18:00 Europe/../Asia/Tokyo",  ZONE },
	{ "08:00-18:00 /usr/share/zoneinfo/Europe/Berlin", ZONE },
	{ "08:00-18:00 :Europe/Berlin",        ZONE },
	{ "08:00-18:00 CET-1CEST",             ZONE }, /* a rule, and no name */
	{ "08:00-18:00 CET-1CEST,M3.5.0,M10.5.0/3", ZONE },
	{ "08:00-18:00 <+03>-3",               ZONE },
	{ "08:00-18:00 +02:00",                ZONE },
	{ "08:00-18:00 UTC+2",                 ZONE },
	{ "08:00-18:00 utc",                   ZONE },
	{ "08:00-18:00 Berl\xc3\xadn",         ZONE },
	{ "08:00-18:00 " SIXTEEN SIXTEEN SIXTEEN SIXTEEN, ZONE },
	{ "08:00-18:00 UTC UTC",               BEHIND },
	{ "Mon 08:00-18:00 UTC 2026",          BEHIND },
	{ "08:00-18:00 " SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN, LONG },
};

/* Seconds east of Greenwich, and when they change: zdump -v -c 2026,2027. */
static const struct zone {
	const char *name;
	int offset;
	struct { time_t at; int offset; } shifts[2];
} zones[] = {
	{ "UTC",                 0,      { { 1774746000, 0 },     { 1792890000, 0 } } },
	{ "Asia/Kolkata",        19800,  { { 1774746000, 19800 }, { 1792890000, 19800 } } },
	{ "Europe/Berlin",       3600,   { { 1774746000, 7200 },  { 1792890000, 3600 } } },
	{ "America/New_York",    -18000, { { 1772953200, -14400 }, { 1793512800, -18000 } } },
	{ "Australia/Lord_Howe", 39600,  { { 1775314800, 37800 }, { 1791041400, 39600 } } },
};

/* With ends before, on, in and behind the hours that are skipped and repeated on Sundays. */
static const char *const hours[] = {
	"Mon-Fri 08:00-18:00",
	"00:00-24:00",
	"Sat,Sun 00:00-24:00",
	"Sat 22:00-06:00",
	"02:30-02:45",
	"Sun 02:10-02:20",
	"Sun 02:00-03:00",
	"Sun 03:00-03:30",
	"Sun 01:30-02:00",
	"01:15-02:15",
	"Sun 01:45-03:15",
	"03:00-02:00",
	"Sun 02:30-02:30",
	"08:00-08:00",
	"Mon,Wed 23:59-00:01",
	"Fri-Mon 17:00-00:00",
};
/* clang-format on */

static void needs_zones(void)
{
	struct stat st;

	if (stat("/usr/share/zoneinfo/Australia/Lord_Howe", &st) == 0)
		return;
	print_message("no time zones in /usr/share/zoneinfo: tzdata is not installed\n");
	skip();
}

TEST(schedules_are_read_whole)
{
	needs_zones();
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		const struct schedule *expected = &good[i].schedule;
		struct schedule s;
		const char *wrong;

		memset(&s, 0xff, sizeof(s));
		wrong = schedule_parse(good[i].text, &s);
		if (wrong)
			fail_msg("'%s' %s", good[i].text, wrong);
		if (s.days != expected->days || s.start_min != expected->start_min ||
		    s.end_min != expected->end_min || strcmp(s.zone, expected->zone) != 0)
			fail_msg("'%s': days %#x, %u to %u, %s", good[i].text, s.days, s.start_min,
				 s.end_min, s.zone);
	}
}

TEST(what_is_wrong_is_told_and_nothing_is_written)
{
	needs_zones();
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct schedule s, untouched;
		const char *wrong;

		memset(&s, 0xff, sizeof(s));
		untouched = s;
		wrong = schedule_parse(bad[i].text, &s);
		if (!wrong || strcmp(wrong, bad[i].wrong) != 0)
			fail_msg("'%s' %s", bad[i].text, wrong ? wrong : "was taken");
		assert_memory_equal(&s, &untouched, sizeof(s));
	}
}

TEST(utc_needs_no_files)
{
	struct schedule s;

	setenv("TZDIR", "/nonexistent", 1);
	assert_null(schedule_parse("12:00-13:00 UTC", &s));
	assert_non_null(schedule_parse("12:00-13:00 Europe/Berlin", &s));
	assert_null(schedule_parse("12:00-13:00", &s));
	assert_true(schedule_is_active(&s, HM(12, 0) * 60));
	assert_int_equal(schedule_next_change(&s, HM(12, 0) * 60), HM(13, 0) * 60);
	unsetenv("TZDIR");
}

TEST(a_file_that_has_no_rules_is_no_zone)
{
	char dir[] = "/tmp/doze-schedule-XXXXXX", path[64];
	struct schedule s;
	FILE *f;

	assert_non_null(mkdtemp(dir));
	setenv("TZDIR", dir, 1);
	snprintf(path, sizeof(path), "%s/Home", dir);
	for (int has_rules = 0; has_rules < 2; has_rules++) {
		f = fopen(path, "w");
		assert_non_null(f);
		fputs(has_rules ? "TZif2" : "TZi", f);
		fclose(f);
		assert_int_equal(schedule_parse("12:00-13:00 Home", &s) == NULL, has_rules);
	}
	unsetenv("TZDIR");
	remove(path);
	remove(dir);
}

TEST(the_zone_of_the_process_stays)
{
	time_t noon = 1768478400; /* 2026-01-15 12:00 UTC */
	struct schedule s;
	struct tm tm;

	needs_zones();
	assert_null(schedule_parse("Mon-Fri 08:00-18:00 Asia/Kolkata", &s));
	setenv("TZ", "America/New_York", 1);
	tzset();
	schedule_is_active(&s, noon);
	schedule_next_change(&s, noon);
	assert_string_equal(getenv("TZ"), "America/New_York");
	assert_int_equal(localtime_r(&noon, &tm)->tm_hour, 7);
	assert_int_equal(timezone, 5 * 3600);
	unsetenv("TZ");
	schedule_next_change(&s, noon);
	assert_null(getenv("TZ"));
}

/* A thread of libcurl's reads it at the same time. */
TEST(the_environment_is_not_moved)
{
	char **before = environ;
	char *first = environ[0];
	struct schedule s;

	needs_zones();
	unsetenv("TZ");
	assert_null(schedule_parse("Mon-Fri 08:00-18:00 Asia/Kolkata", &s));
	schedule_is_active(&s, 1768478400);
	schedule_next_change(&s, 1768478400);
	assert_ptr_equal(environ, before);
	assert_ptr_equal(environ[0], first);
}

/* --- minute by minute --- */

static int offset_at(const struct zone *zone, time_t now)
{
	int offset = zone->offset;

	for (size_t i = 0; i < ARRAY_LEN(zone->shifts); i++)
		offset = now >= zone->shifts[i].at ? zone->shifts[i].offset : offset;
	return offset;
}

/* What the definition says: the day's hours, and what is left of those of the day before. */
static bool expected_at(const struct schedule *s, const struct zone *zone, time_t now)
{
	long wall_min = (now + offset_at(zone, now)) / 60;
	long day = wall_min / 1440, minute = wall_min % 1440;
	int today = (int)((day + 3) % 7); /* 1970 began on a Thursday */
	int yesterday = (today + 6) % 7;
	int end = s->end_min > s->start_min ? s->end_min : s->end_min + 1440;

	return (s->days & 1U << today && minute >= s->start_min && minute < end) ||
	       (s->days & 1U << yesterday && minute + 1440 < end);
}

static time_t expected_change(const struct schedule *s, const struct zone *zone, time_t now)
{
	time_t next = now - now % 60;

	for (int i = 0; i < 16 * 1440; i++) {
		next += 60;
		if (expected_at(s, zone, next) != expected_at(s, zone, now))
			return next;
	}
	return -1;
}

static void expect_at(const char *text, const struct schedule *s, const struct zone *zone,
		      time_t now)
{
	time_t next, expected = expected_change(s, zone, now);

	if (schedule_is_active(s, now) != expected_at(s, zone, now))
		fail_msg("'%s' %s: at %ld it is %s", text, zone->name, (long)now,
			 expected_at(s, zone, now) ? "active" : "not active");
	next = schedule_next_change(s, now);
	if (next != expected)
		fail_msg("'%s' %s: after %ld the next change is %ld, not %ld", text, zone->name,
			 (long)now, (long)expected, (long)next);
}

/* Each minute of a week is compared by way of the changes; between them some are asked for. */
static void expect_week(const char *text, const struct schedule *s, const struct zone *zone,
			time_t shift)
{
	time_t from = shift - 3 * 86400 - 11 * 3600, to = from + 7 * 86400;
	bool was_active = expected_at(s, zone, from);

	for (time_t now = from; now < to; now += 60) {
		bool is_active = expected_at(s, zone, now);

		if (is_active != was_active || now == shift || now % (419 * 60) == 0) {
			expect_at(text, s, zone, now - 1);
			expect_at(text, s, zone, now);
			expect_at(text, s, zone, now + 1);
		}
		was_active = is_active;
	}
}

TEST(changes_are_those_of_a_walk_by_the_minute)
{
	needs_zones();
	for (size_t z = 0; z < ARRAY_LEN(zones); z++) {
		for (size_t h = 0; h < ARRAY_LEN(hours); h++) {
			char text[SCHEDULE_TEXT_MAX];
			struct schedule s;

			snprintf(text, sizeof(text), "%s %s", hours[h], zones[z].name);
			assert_null(schedule_parse(text, &s));
			for (size_t i = 0; i < ARRAY_LEN(zones[z].shifts); i++)
				expect_week(text, &s, &zones[z], zones[z].shifts[i].at);
		}
	}
}

/* --- by hand --- */

TEST(an_hour_that_is_skipped_is_skipped)
{
	time_t shift = 1774746000; /* 2026-03-29, Sunday: 02:00 is 03:00 */
	struct schedule s;

	needs_zones();
	assert_null(schedule_parse("Sun 02:00-03:00 Europe/Berlin", &s));
	assert_false(schedule_is_active(&s, shift - 1));
	assert_false(schedule_is_active(&s, shift));
	/* The Sunday after, at 02:00 of the summer: seven days without an hour. */
	assert_int_equal(schedule_next_change(&s, shift - 3600), shift + 7 * 86400 - 3600);
	/* 01:30 to 03:30 is one hour long. */
	assert_null(schedule_parse("Sun 01:30-03:30 Europe/Berlin", &s));
	assert_int_equal(schedule_next_change(&s, shift - 3600), shift - 1800);
	assert_int_equal(schedule_next_change(&s, shift - 1800), shift + 1800);
	/* What would begin in the skipped hour begins behind it. */
	assert_null(schedule_parse("Sun 02:30-04:00 Europe/Berlin", &s));
	assert_int_equal(schedule_next_change(&s, shift - 3600), shift);
	assert_int_equal(schedule_next_change(&s, shift), shift + 3600);
}

TEST(an_hour_that_is_repeated_counts_twice)
{
	time_t shift = 1792890000; /* 2026-10-25, Sunday: 03:00 is 02:00 */
	struct schedule s;

	needs_zones();
	assert_null(schedule_parse("Sun 02:00-03:00 Europe/Berlin", &s));
	assert_int_equal(schedule_next_change(&s, shift - 7200), shift - 3600);
	assert_int_equal(schedule_next_change(&s, shift - 3600), shift + 3600);
	assert_null(schedule_parse("Sun 02:15-02:30 Europe/Berlin", &s));
	assert_int_equal(schedule_next_change(&s, shift - 7200), shift - 2700);
	assert_int_equal(schedule_next_change(&s, shift - 2700), shift - 1800);
	assert_int_equal(schedule_next_change(&s, shift - 1800), shift + 900);
	assert_int_equal(schedule_next_change(&s, shift + 900), shift + 1800);
}

/* Samoa had no 30th of December in 2011, a Friday. */
TEST(a_day_that_is_skipped_is_skipped)
{
	time_t shift = 1325239200; /* from Thursday 24:00 to Saturday 00:00 */
	struct schedule s;

	needs_zones();
	assert_null(schedule_parse("Fri 00:00-24:00 Pacific/Apia", &s));
	assert_false(schedule_is_active(&s, shift - 1));
	assert_false(schedule_is_active(&s, shift));
	assert_int_equal(schedule_next_change(&s, shift - 86400), shift + 6 * 86400);
	assert_null(schedule_parse("Thu 22:00-06:00 Pacific/Apia", &s));
	assert_true(schedule_is_active(&s, shift - 1));
	assert_int_equal(schedule_next_change(&s, shift - 1), shift);
}

TEST(what_is_always_active_never_changes)
{
	static const char *const always[] = {
		"00:00-24:00",
		"00:00-00:00",
		"Mon-Sun 00:00-24:00",
		"Thu-Wed 13:37-13:37",
		"00:00-24:00 Europe/Berlin",
	};

	needs_zones();
	for (size_t i = 0; i < ARRAY_LEN(always); i++) {
		struct schedule s;

		assert_null(schedule_parse(always[i], &s));
		for (time_t now = 1774746000 - 86400; now < 1774746000 + 86400; now += 10007) {
			assert_true(schedule_is_active(&s, now));
			assert_int_equal(schedule_next_change(&s, now), -1);
		}
	}
}
