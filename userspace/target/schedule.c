// SPDX-License-Identifier: MIT
/*
 * A schedule is active while a wall clock shows its hours. So an hour that the clock skips in
 * spring is skipped, and one that it shows twice in autumn counts twice.
 */
#include "target/schedule.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define SCHEDULE_DAYS	   7
#define SCHEDULE_DAY_MIN   1440
#define SCHEDULE_DAY_S	   86400
#define SCHEDULE_ZONES_DIR "/usr/share/zoneinfo"

/* If the clock skips the only hours of a week, the next are two weeks away; a day to be safe. */
#define SCHEDULE_HORIZON_S (15 * SCHEDULE_DAY_S)

/* --- the text --- */

/* Monday is 0, as in struct schedule; -1: none. */
static int schedule_parse_day(const char *text)
{
	static const char *const names[SCHEDULE_DAYS] = { "Mon", "Tue", "Wed", "Thu",
							  "Fri", "Sat", "Sun" };

	for (int i = 0; i < SCHEDULE_DAYS; i++) {
		if (strncasecmp(text, names[i], 3) == 0)
			return i;
	}
	return -1;
}

/* "Mon", "Mon-Fri" or "Fri-Mon"; moves *text behind it. 0: *text is no such range. */
static uint8_t schedule_parse_range(const char **text)
{
	int first = schedule_parse_day(*text), last = first;
	uint8_t days = 0;

	if (first < 0)
		return 0;
	*text += 3;
	if (**text == '-') {
		last = schedule_parse_day(*text + 1);
		if (last < 0)
			return 0;
		*text += 4;
	}
	for (int day = first;; day = (day + 1) % SCHEDULE_DAYS) {
		days |= (uint8_t)(1U << day);
		if (day == last)
			return days;
	}
}

static const char *schedule_parse_days(const char *text, struct schedule *out)
{
	static const char none[] = "has days that are not such as Mon-Fri or Sat,Sun";

	out->days = 0;
	for (;; text++) {
		uint8_t days = schedule_parse_range(&text);

		out->days |= days;
		if (!days || (*text && *text != ','))
			return none;
		if (!*text)
			return NULL;
	}
}

/* "HH:MM" as minutes of the day; INT_MAX: the minutes exceed 59; -1: it is not HH:MM. */
static int schedule_parse_time(const char *text)
{
	int hour, minute;

	if (!isdigit((unsigned char)text[0]) || !isdigit((unsigned char)text[1]) ||
	    text[2] != ':' || !isdigit((unsigned char)text[3]) || !isdigit((unsigned char)text[4]))
		return -1;
	hour = 10 * (text[0] - '0') + text[1] - '0';
	minute = 10 * (text[3] - '0') + text[4] - '0';
	return minute > 59 ? INT_MAX : 60 * hour + minute;
}

static const char *schedule_parse_hours(const char *text, struct schedule *out)
{
	static const char none[] = "has no hours such as 08:00-18:00";
	int start, end;

	if (strlen(text) != strlen("HH:MM-HH:MM") || text[5] != '-')
		return none;
	start = schedule_parse_time(text);
	end = schedule_parse_time(text + 6);
	if (start < 0 || end < 0)
		return none;
	if (start == INT_MAX || end == INT_MAX)
		return "has a minute beyond 59";
	if (start > SCHEDULE_DAY_MIN || end > SCHEDULE_DAY_MIN)
		return "has an hour beyond 24:00";
	if (start == SCHEDULE_DAY_MIN)
		return "begins at 24:00, which is 00:00 of the day after";
	out->start_min = (uint16_t)start;
	out->end_min = (uint16_t)(end ? end : SCHEDULE_DAY_MIN);
	return NULL;
}

/* false: it does not fit. */
static bool schedule_zone_path(char *out, size_t room, const char *zone)
{
	const char *dir = getenv("TZDIR");
	int len = snprintf(out, room, "%s/%s", dir && *dir ? dir : SCHEDULE_ZONES_DIR, zone);

	return len >= 0 && (size_t)len < room;
}

/* Whether the zone has a file of rules: without one the C library would quietly take UTC. */
static bool schedule_has_rules(const char *zone)
{
	char path[PATH_MAX], magic[4] = "";
	struct stat st;
	FILE *f;
	int len;

	/* First what it is: to open a FIFO would block. */
	if (!schedule_zone_path(path, sizeof(path), zone) || stat(path, &st) < 0 ||
	    !S_ISREG(st.st_mode))
		return false;
	f = fopen(path, "re");
	if (!f)
		return false;
	len = (int)fread(magic, 1, sizeof(magic), f);
	fclose(f);
	return len == sizeof(magic) && memcmp(magic, "TZif", sizeof(magic)) == 0;
}

/* Without dots, so that a name cannot leave the directory. */
static bool schedule_is_zone_name(const char *text)
{
	if (!isalpha((unsigned char)*text))
		return false;
	for (; *text; text++) {
		if (!isalnum((unsigned char)*text) && !strchr("_+-/", *text))
			return false;
	}
	return true;
}

static const char *schedule_parse_zone(const char *text, struct schedule *out)
{
	size_t len = strlen(text);

	if (len >= sizeof(out->zone) || !schedule_is_zone_name(text) ||
	    (strcmp(text, "UTC") != 0 && !schedule_has_rules(text)))
		return "has a time zone that is not known here; one is such as Europe/Berlin";
	memcpy(out->zone, text, len + 1);
	return NULL;
}

/* The next word, as a string, or "" behind the last. */
static char *schedule_take_word(char **text)
{
	char *word;

	while (**text == ' ')
		(*text)++;
	word = *text;
	*text += strcspn(*text, " ");
	if (**text)
		*(*text)++ = '\0';
	return word;
}

const char *schedule_parse(const char *text, struct schedule *out)
{
	struct schedule s = { .days = 0x7f, .zone = "UTC" };
	char copy[SCHEDULE_TEXT_MAX], *rest = copy;
	size_t len = strlen(text);
	const char *word, *wrong = NULL;

	if (len >= sizeof(copy))
		return "is longer than any schedule";
	memcpy(copy, text, len + 1);
	word = schedule_take_word(&rest);
	if (isalpha((unsigned char)*word)) {
		wrong = schedule_parse_days(word, &s);
		word = schedule_take_word(&rest);
	}
	if (!wrong)
		wrong = schedule_parse_hours(word, &s);
	word = schedule_take_word(&rest);
	if (!wrong && *word)
		wrong = schedule_parse_zone(word, &s);
	word = schedule_take_word(&rest);
	if (!wrong && *word)
		wrong = "has something behind its time zone";
	if (!wrong)
		*out = s;
	return wrong;
}

/* --- the clock --- */

/*
 * The C library has one zone, which it takes from the environment. While a schedule is looked at,
 * the environment is this one: setenv() would move the real one, and libcurl asks for a host's
 * address in a thread, whose resolver reads variables. A variable that it misses meanwhile changes
 * nothing of note.
 */
static char schedule_zone[sizeof("TZ=") + PATH_MAX];
static char *schedule_environment[] = { schedule_zone, NULL };

extern char **environ; /* from unistd.h, which a pure file does not include */

/* The process's own environment, to be given to schedule_leave_zone(). */
static char **schedule_enter_zone(const struct schedule *s)
{
	char path[PATH_MAX], **before = environ;

	/* "UTC" would be looked for in a file; this is a rule by itself. A path needs no TZDIR. */
	schedule_zone_path(path, sizeof(path), s->zone);
	snprintf(schedule_zone, sizeof(schedule_zone), "TZ=%s",
		 strcmp(s->zone, "UTC") == 0 ? "UTC0" : path);
	environ = schedule_environment;
	tzset();
	return before;
}

static void schedule_leave_zone(char **before)
{
	environ = before;
	tzset();
}

/* In the zone that was entered. A time beyond all years is 1970: nobody lives to see it. */
static struct tm schedule_clock(time_t now)
{
	struct tm tm = { .tm_wday = 4 };

	localtime_r(&now, &tm);
	return tm;
}

static bool schedule_has_day(const struct schedule *s, int day)
{
	return s->days >> (day % SCHEDULE_DAYS) & 1;
}

static bool schedule_shows(const struct schedule *s, const struct tm *tm)
{
	int minute = 60 * tm->tm_hour + tm->tm_min;
	int yesterday = tm->tm_wday + 5, today = tm->tm_wday + 6; /* tm_wday 0: Sunday */

	if (s->end_min > s->start_min)
		return schedule_has_day(s, today) && minute >= s->start_min && minute < s->end_min;
	return (schedule_has_day(s, today) && minute >= s->start_min) ||
	       (schedule_has_day(s, yesterday) && minute < s->end_min);
}

bool schedule_is_active(const struct schedule *s, time_t now)
{
	char **before = schedule_enter_zone(s);
	struct tm tm = schedule_clock(now);

	schedule_leave_zone(before);
	return schedule_shows(s, &tm);
}

/* Seconds until the clock shows that minute of a day, if nobody changes it: 1 to a whole day. */
static int schedule_until(const struct tm *tm, int minute)
{
	int second = 60 * (60 * tm->tm_hour + tm->tm_min) + tm->tm_sec;
	int left = (60 * minute - second) % SCHEDULE_DAY_S;

	return left > 0 ? left : left + SCHEDULE_DAY_S;
}

/* When the clock is changed, after from and not after to. It has been, once, between the two. */
static time_t schedule_find_shift(time_t from, time_t to, long offset)
{
	while (to - from > 1) {
		time_t middle = from + (to - from) / 2;

		if (schedule_clock(middle).tm_gmtoff == offset)
			from = middle;
		else
			to = middle;
	}
	return to;
}

/* The next time at which the clock reaches an end of the hours, or is changed. */
static time_t schedule_step(const struct schedule *s, time_t now)
{
	struct tm tm = schedule_clock(now);
	int to_start = schedule_until(&tm, s->start_min);
	int to_end = schedule_until(&tm, s->end_min);
	time_t next = now + (to_start < to_end ? to_start : to_end);

	if (schedule_clock(next).tm_gmtoff == tm.tm_gmtoff)
		return next;
	return schedule_find_shift(now, next, tm.tm_gmtoff);
}

static time_t schedule_walk(const struct schedule *s, time_t now)
{
	struct tm tm = schedule_clock(now);
	bool is_active = schedule_shows(s, &tm);

	for (time_t next = now; next - now <= SCHEDULE_HORIZON_S;) {
		next = schedule_step(s, next);
		tm = schedule_clock(next);
		if (schedule_shows(s, &tm) != is_active)
			return next;
	}
	return -1;
}

time_t schedule_next_change(const struct schedule *s, time_t now)
{
	char **before = schedule_enter_zone(s);
	time_t next = schedule_walk(s, now);

	schedule_leave_zone(before);
	return next;
}
