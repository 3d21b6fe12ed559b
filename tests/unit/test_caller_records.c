// SPDX-License-Identifier: MIT
/* What shows of a probe behind its ClientHello, and how a client differs. */
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "lib/test.h"
#include "probe/caller_records.h"

enum {
	CCS = 20,
	ALERT = 21,
	HANDSHAKE = 22,
	DATA = 23,
};

#define RECORDS_MAX 8

/* A record: how long, and how much of the server's answers it acknowledges. */
struct record {
	uint8_t type;
	uint16_t len;
	uint32_t ack;
};

struct target_history {
	const char *name;
	bool is_probe;
	struct record records[RECORDS_MAX];
};

/* clang-format off */
static const struct target_history stories[] = {
	/* What Go sends; a probe has a head of some 130 bytes. */
	{ "1.3", true, { { CCS, 1, 1 }, { DATA, 53, 1 }, { DATA, 150, 1 }, { DATA, 19, 2 } } },
	{ "1.3, tickets before the request", true,
	  { { CCS, 1, 1 }, { DATA, 69, 1 }, { DATA, 150, 2 }, { DATA, 19, 3 } } },
	{ "1.3, without the byte for middleboxes", true,
	  { { DATA, 53, 1 }, { DATA, 150, 1 }, { DATA, 19, 2 } } },
	{ "1.3, another hello", true,
	  { { CCS, 1, 1 }, { HANDSHAKE, 1500, 1 }, { DATA, 53, 2 }, { DATA, 150, 2 },
	    { DATA, 19, 3 } } },
	{ "1.2", true,
	  { { HANDSHAKE, 37, 1 }, { CCS, 1, 1 }, { HANDSHAKE, 40, 1 }, { DATA, 150, 2 },
	    { ALERT, 26, 3 } } },
	{ "1.3, with headers", true,
	  { { CCS, 1, 1 }, { DATA, 53, 1 }, { DATA, 1800, 1 }, { DATA, 19, 2 } } },
	{ "HTTP/2", true,
	  { { DATA, 53, 1 }, { DATA, 80, 1 }, { DATA, 110, 2 }, { DATA, 26, 2 }, { DATA, 34, 3 },
	    { DATA, 19, 3 } } },
	{ "nothing", true, { { 0 } } },
	/* And clients. */
	{ "1.3, a second request", false,
	  { { CCS, 1, 1 }, { DATA, 53, 1 }, { DATA, 150, 1 }, { DATA, 260, 2 } } },
	{ "1.3, short ones", false,
	  { { CCS, 1, 1 }, { DATA, 53, 1 }, { DATA, 90, 1 }, { DATA, 90, 2 }, { DATA, 90, 3 },
	    { DATA, 90, 4 } } },
	{ "1.2, a second request", false,
	  { { HANDSHAKE, 37, 1 }, { CCS, 1, 1 }, { HANDSHAKE, 40, 1 }, { DATA, 150, 2 },
	    { DATA, 260, 3 } } },
	{ "an upload", false, { { CCS, 1, 1 }, { DATA, 53, 1 }, { DATA, 4100, 1 } } },
	{ "a handshake after the request", false,
	  { { CCS, 1, 1 }, { DATA, 53, 1 }, { DATA, 150, 1 }, { HANDSHAKE, 40, 2 } } },
	{ "no record", false, { { 'G', 20, 1 } } },
};
/* clang-format on */

/* From memory of just that length, so that the address sanitizer sees each read beyond it. */
static bool take(struct caller_records *h, uint32_t ack, const uint8_t *bytes, size_t len)
{
	_cleanup_(freep) uint8_t *copy = malloc(len ? len : 1);

	assert_non_null(copy);
	memcpy(copy, bytes, len);
	return caller_records_take(h, ack, copy, len);
}

static bool take_record(struct caller_records *h, const struct record *r, size_t step)
{
	static uint8_t bytes[5 + 5000];
	size_t len = 5 + (size_t)r->len;
	bool is_probe = true;

	bytes[0] = r->type;
	bytes[1] = bytes[2] = 3;
	bytes[3] = (uint8_t)(r->len >> 8);
	bytes[4] = (uint8_t)r->len;
	for (size_t at = 0; is_probe && at < len; at += step)
		is_probe = take(h, r->ack, bytes + at, min_u64(step, len - at));
	return is_probe;
}

static bool tell(const struct target_history *story, size_t step)
{
	struct caller_records h = { 0 };
	bool is_probe = true;

	for (size_t i = 0; is_probe && i < RECORDS_MAX && story->records[i].type; i++)
		is_probe = take_record(&h, &story->records[i], step);
	return is_probe;
}

TEST(a_second_request_is_a_clients)
{
	static const size_t steps[] = { 5005, 1, 3, 7 };

	for (size_t i = 0; i < ARRAY_LEN(stories); i++) {
		for (size_t n = 0; n < ARRAY_LEN(steps); n++) {
			if (tell(&stories[i], steps[n]) != stories[i].is_probe)
				fail_msg("%s, by %zu bytes", stories[i].name, steps[n]);
		}
	}
}

TEST(no_probe_says_more_than_that)
{
	const uint8_t record[5] = { DATA, 3, 3, 0x3f, 0xff };
	const uint8_t byte = 0;
	struct caller_records h = { 0 };

	assert_true(take(&h, 1, record, sizeof(record)));
	for (size_t i = sizeof(record); i < CALLER_RECORDS_BYTES_MAX; i++)
		assert_true(take(&h, 1, &byte, 1));
	assert_false(take(&h, 1, &byte, 1));
}
