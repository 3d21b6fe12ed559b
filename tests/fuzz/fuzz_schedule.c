// SPDX-License-Identifier: MIT
/*
 * Fuzzes schedules: an input is four bytes of time and the text; and once more the four bytes are
 * followed by those of a schedule, which thus is always well-formed.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "target/schedule.h"

#define FUZZ_TIME_LEN 4
#define FUZZ_STEPS    8

/* Two weeks without an hour, and a clock that is changed. */
#define FUZZ_LONGEST_S (16 * 86400)

#define FUZZ_CHECK(claim)                                                                          \
	do {                                                                                       \
		if (!(claim))                                                                      \
			__builtin_trap();                                                          \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Between now and the next change it is as it is now; then it is not. */
static void fuzz_clock(const struct schedule *s, time_t now, const uint8_t *data, size_t size)
{
	bool is_active = schedule_is_active(s, now);
	time_t next = schedule_next_change(s, now);
	time_t last = next < 0 ? now + FUZZ_LONGEST_S : next - 1;

	FUZZ_CHECK(next == -1 || (next > now && next - now <= FUZZ_LONGEST_S));
	FUZZ_CHECK(next == -1 || schedule_is_active(s, next) != is_active);
	FUZZ_CHECK(schedule_is_active(s, last) == is_active);
	for (size_t i = 0; i < size && i < FUZZ_STEPS; i++) {
		time_t between = now + (last - now) * data[i] / UINT8_MAX;

		FUZZ_CHECK(schedule_is_active(s, between) == is_active);
		FUZZ_CHECK(next == -1 || schedule_next_change(s, between) == next);
	}
}

static void fuzz_check_schedule(const struct schedule *s)
{
	FUZZ_CHECK(s->days && s->days <= 0x7f);
	FUZZ_CHECK(s->start_min < 1440 && s->end_min >= 1 && s->end_min <= 1440);
	FUZZ_CHECK(*s->zone && memchr(s->zone, '\0', sizeof(s->zone)) && !strchr(s->zone, '.'));
}

static void fuzz_text(time_t now, const uint8_t *data, size_t size)
{
	/* Of just that length, so that the address sanitizer sees each read beyond it. */
	_cleanup_(freep) char *text = strndup((const char *)data, size);
	struct schedule s, untouched;
	const char *wrong;

	FUZZ_CHECK(text);
	memset(&s, 0xa5, sizeof(s));
	untouched = s;
	wrong = schedule_parse(text, &s);
	if (wrong) {
		FUZZ_CHECK(*wrong && memcmp(&s, &untouched, sizeof(s)) == 0);
		return;
	}
	fuzz_check_schedule(&s);
	fuzz_clock(&s, now, data, size);
}

static void fuzz_schedule(time_t now, const uint8_t *data, size_t size)
{
	static const char *const zones[] = {
		"UTC",		"Europe/Berlin",	"America/New_York", "Australia/Lord_Howe",
		"Asia/Kolkata", "Africa/Casablanca",	"Pacific/Apia",	    "America/Sao_Paulo",
		"Asia/Tehran",	"Antarctica/Troll",	"Africa/Cairo",	    "America/Caracas",
		"Asia/Gaza",	"America/Scoresbysund",
	};
	struct schedule s = { 0 }, again;
	char text[SCHEDULE_TEXT_MAX];

	if (size < 6)
		return;
	s.days = data[0] & 0x7f ? data[0] & 0x7f : 0x7f;
	s.start_min = (uint16_t)((data[1] << 8 | data[2]) % 1440);
	s.end_min = (uint16_t)((data[3] << 8 | data[4]) % 1440 + 1);
	snprintf(s.zone, sizeof(s.zone), "%s", zones[data[5] % ARRAY_LEN(zones)]);
	snprintf(text, sizeof(text), "%s%s%s%s%s%s%s %02d:%02d-%02d:%02d %s",
		 s.days & 1 ? ",Mon" : "", s.days & 2 ? ",tue" : "", s.days & 4 ? ",Wed" : "",
		 s.days & 8 ? ",Thu" : "", s.days & 16 ? ",Fri" : "", s.days & 32 ? ",SAT" : "",
		 s.days & 64 ? ",Sun" : "", s.start_min / 60, s.start_min % 60, s.end_min / 60,
		 s.end_min % 60, s.zone);
	if (schedule_parse(text + 1, &again))
		return; /* the zone is not known here */
	FUZZ_CHECK(again.days == s.days && strcmp(again.zone, s.zone) == 0);
	FUZZ_CHECK(again.start_min == s.start_min && again.end_min == s.end_min);
	fuzz_clock(&s, now, data + 6, size - 6);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint32_t seconds;

	if (size < FUZZ_TIME_LEN)
		return 0;
	/* 1970 to 2106. */
	memcpy(&seconds, data, sizeof(seconds));
	fuzz_text(seconds, data + FUZZ_TIME_LEN, size - FUZZ_TIME_LEN);
	fuzz_schedule(seconds, data + FUZZ_TIME_LEN, size - FUZZ_TIME_LEN);
	return 0;
}
