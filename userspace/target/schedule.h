/* SPDX-License-Identifier: MIT */
/*
 * Hours in which a target stays awake: 'Mon-Fri 08:00-18:00 Europe/Berlin'. Pure, but for the
 * rules of the time zone, which the C library reads ($TZDIR or /usr/share/zoneinfo).
 */
#ifndef DOZE_SCHEDULE_H
#define DOZE_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define SCHEDULE_ZONE_MAX 64
#define SCHEDULE_TEXT_MAX 128

struct schedule {
	uint8_t days;	    /* bit 0: Monday, ..., bit 6: Sunday; the day on which it begins */
	uint16_t start_min; /* of the day, 0 to 1439 */
	uint16_t end_min;   /* 1 to 1440; up to start_min: of the day after */
	char zone[SCHEDULE_ZONE_MAX];
};

/*
 * [DAYS] HH:MM-HH:MM [ZONE]: days are Mon to Sun in any case, ranges (also Fri-Mon) and lists with
 * commas; without days, all; without a zone, UTC. 00:00-24:00 is a whole day, 22:00-06:00 goes past
 * midnight. NULL, or what is wrong, as a sentence that follows the text.
 */
const char *schedule_parse(const char *text, struct schedule *out);

/* Daylight saving time is respected: an hour that does not exist is skipped. */
bool schedule_is_active(const struct schedule *s, time_t now);

/* When schedule_is_active() changes next; (time_t)-1: never. */
time_t schedule_next_change(const struct schedule *s, time_t now);

#endif
