// SPDX-License-Identifier: MIT
/* The stream of a watch: cut anywhere, and what each event says. */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "kube/watch_line.h"
#include "lib/test.h"

#define POD(version)                                                                               \
	"{\"kind\":\"Pod\",\"metadata\":{\"name\":\"web-0\",\"namespace\":\"shop\","               \
	"\"uid\":\"u-1\",\"resourceVersion\":\"" version "\"}}"

static const struct {
	const char *line;
	int r;
	enum watch_type type;
	const char *version;
} rows[] = {
	{ "{\"type\":\"ADDED\",\"object\":" POD("7") "}", 0, WATCH_PUT, "7" },
	{ "{\"type\":\"MODIFIED\",\"object\":" POD("8") "}", 0, WATCH_PUT, "8" },
	{ "{\"type\":\"DELETED\",\"object\":" POD("9") "}", 0, WATCH_GONE, "9" },
	{ "{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"Pod\",\"metadata\":"
	  "{\"resourceVersion\":\"1201\"},\"spec\":{\"containers\":null},\"status\":{}}}",
	  0, WATCH_BOOKMARK, "1201" },
	{ "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"metadata\":{},\"code\":410,"
	  "\"reason\":\"Expired\",\"message\":\"too old resource version: 1 (2)\"}}",
	  0, WATCH_EXPIRED, "" },
	{ "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":504,\"reason\":\"Timeout\","
	  "\"message\":\"Timeout: Too large resource version: 9, current: 2\"}}",
	  0, WATCH_EXPIRED, "" },
	{ "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":504}}", 0, WATCH_ERROR,
	  "" },
	{ "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":500}}", 0, WATCH_ERROR,
	  "" },
	{ "{\"type\":\"ERROR\",\"object\":{\"code\":\"410\"}}", 0, WATCH_ERROR, "" },
	{ "{\"type\":\"RENAMED\",\"object\":{}}", 0, WATCH_UNKNOWN, "" },
	{ "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"resourceVersion\":\"3\"}}}", 0,
	  WATCH_UNKNOWN, "3" },
	{ "", -EBADMSG, 0, NULL },
	{ "{", -EBADMSG, 0, NULL },
	{ "[]", -EBADMSG, 0, NULL },
	{ "{\"type\":\"ADDED\"}", -EBADMSG, 0, NULL },
	{ "{\"type\":\"ADDED\",\"object\":7}", -EBADMSG, 0, NULL },
	{ "{\"object\":{}}", -EBADMSG, 0, NULL },
	{ "{\"type\":7,\"object\":{}}", -EBADMSG, 0, NULL },
};

TEST(every_event_is_understood)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct watch_event event;

		print_message("  %s\n", rows[i].line);
		assert_int_equal(watch_line_parse(&event, rows[i].line, strlen(rows[i].line)),
				 rows[i].r);
		if (rows[i].r < 0)
			continue;
		assert_int_equal(event.type, rows[i].type);
		assert_string_equal(event.version, rows[i].version);
		assert_int_equal(event.pod != NULL,
				 event.type == WATCH_PUT || event.type == WATCH_GONE);
		if (event.pod)
			assert_string_equal(event.pod->uid, "u-1");
		kube_pod_free(&event.pod);
	}
}

struct seen {
	char text[256];
	size_t lines, stop_after;
};

static bool on_line(void *arg, const struct kube_text *line)
{
	struct seen *s = arg;

	assert_false(line->is_cut);
	assert_in_range(strlen(s->text) + line->len + 2, 0, sizeof(s->text));
	strcat(s->text, line->text);
	strcat(s->text, "|");
	return ++s->lines != s->stop_after;
}

TEST(a_stream_may_be_cut_anywhere)
{
	static const char stream[] = "one\n\ntwo and a half\nthree\nfour";

	for (size_t piece = 1; piece < sizeof(stream); piece++) {
		struct watch_line_buffer lines = { 0 };
		struct seen seen = { 0 };

		for (size_t at = 0; at < sizeof(stream) - 1; at += piece) {
			size_t len = min_u64(piece, sizeof(stream) - 1 - at);

			assert_true(
				watch_line_buffer_add(&lines, stream + at, len, on_line, &seen));
		}
		assert_string_equal(seen.text, "one|two and a half|three|");
		assert_true(watch_line_buffer_add(&lines, "\n", 1, on_line, &seen));
		assert_string_equal(seen.text, "one|two and a half|three|four|");
		watch_line_buffer_free(&lines);
	}
}

TEST(a_line_that_is_refused_ends_it)
{
	struct watch_line_buffer lines = { 0 };
	struct seen seen = { .stop_after = 2 };

	assert_false(watch_line_buffer_add(&lines, "a\nb\nc\n", 6, on_line, &seen));
	assert_string_equal(seen.text, "a|b|");
	watch_line_buffer_free(&lines);
}

static bool on_cut_line(void *arg, const struct kube_text *line)
{
	struct watch_line_name name;
	size_t *lines = arg;

	(*lines)++;
	if (*lines > 1) {
		assert_string_equal(line->text, "short");
		assert_false(line->is_cut);
		return true;
	}
	assert_true(line->is_cut);
	assert_int_equal(line->len, KUBE_TEXT_CUT_LEN);
	watch_line_name_read(&name, line->text);
	assert_true(name.is_deleted);
	assert_string_equal(name.namespace, "shop");
	assert_string_equal(name.name, "web-0");
	assert_string_equal(name.uid, "u-1");
	return true;
}

TEST(a_line_that_is_too_long_is_cut_and_those_after_it_come)
{
	static const char begin[] =
		"{\"type\":\"DELETED\",\"object\":{\"kind\":\"Pod\",\"metadata\":"
		"{\"name\":\"web-0\",\"namespace\":\"shop\",\"uid\":\"u-1\",";
	const size_t piece = 1UL << 20;
	_cleanup_(freep) char *bytes = malloc(piece);
	struct watch_line_buffer lines = { 0 };
	size_t seen = 0;

	assert_non_null(bytes);
	memset(bytes, 'x', piece);
	assert_true(watch_line_buffer_add(&lines, begin, strlen(begin), on_cut_line, &seen));
	for (size_t len = 0; len < 2 * KUBE_TEXT_MAX; len += piece)
		assert_true(watch_line_buffer_add(&lines, bytes, piece, on_cut_line, &seen));
	assert_true(lines.line.room <= 2 * KUBE_TEXT_MAX);
	assert_true(watch_line_buffer_add(&lines, "\nshort\n", 7, on_cut_line, &seen));
	assert_int_equal(seen, 2);
	watch_line_buffer_free(&lines);
}

TEST(a_text_without_metadata_names_nobody)
{
	static const char *const texts[] = { "", "{", "{\"name\":7}", "{\"uid\":\"" };

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct watch_line_name name;

		watch_line_name_read(&name, texts[i]);
		assert_string_equal(name.name, "");
		assert_string_equal(name.uid, "");
	}
}
