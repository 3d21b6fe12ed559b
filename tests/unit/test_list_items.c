// SPDX-License-Identifier: MIT
/* A list of the API server, cut into its items wherever the network cuts its bytes. */
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "kube/list_items.h"
#include "lib/test.h"

struct seen {
	char text[512];
	size_t cut;
};

static bool on_item(void *arg, const struct kube_text *item)
{
	struct seen *s = arg;

	s->cut += item->is_cut;
	if (!item->is_cut) {
		assert_in_range(strlen(s->text) + item->len + 2, 0, sizeof(s->text));
		strcat(s->text, item->text);
	}
	strcat(s->text, "|");
	return true;
}

static const struct {
	const char *list, *items, *envelope;
} rows[] = {
	{ "{\"kind\":\"PodList\",\"metadata\":{\"continue\":\"x\"},\"items\":[{\"a\":1},{\"b\":[{}]}]}",
	  "{\"a\":1}|{\"b\":[{}]}|",
	  "{\"kind\":\"PodList\",\"metadata\":{\"continue\":\"x\"},\"items\":[]}" },
	/* Brackets and quotes in strings count for nothing. */
	{ "{\"items\":[{\"a\":\"}]\\\"\\\\\"}, {\"b\":\"[{\"}],\"metadata\":{}}",
	  "{\"a\":\"}]\\\"\\\\\"}|{\"b\":\"[{\"}|", "{\"items\":[],\"metadata\":{}}" },
	{ "{\"items\":[],\"metadata\":{\"a\":[{}]}}", "",
	  "{\"items\":[],\"metadata\":{\"a\":[{}]}}" },
	{ "{\"items\":null}", "", "{\"items\":null}" },
	{ "]]}}{", "", "]]}}{" },
};

TEST(a_list_may_be_cut_anywhere)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t all = strlen(rows[i].list);

		print_message("  %s\n", rows[i].list);
		for (size_t piece = 1; piece <= all; piece++) {
			struct list_items l = { 0 };
			struct seen seen = { 0 };

			for (size_t at = 0; at < all; at += piece)
				assert_true(list_items_add(&l, rows[i].list + at,
							   min_u64(piece, all - at), on_item,
							   &seen));
			assert_string_equal(seen.text, rows[i].items);
			assert_string_equal(l.envelope.text, rows[i].envelope);
			list_items_free(&l);
		}
	}
}

TEST(an_item_that_is_too_long_is_cut_and_the_others_come)
{
	static const char begin[] = "{\"items\":[{\"a\":1},{\"b\":\"";
	static const char end[] = "\"},{\"c\":3}]}";
	const size_t piece = 1UL << 20;
	_cleanup_(freep) char *bytes = malloc(piece);
	struct list_items l = { 0 };
	struct seen seen = { 0 };

	assert_non_null(bytes);
	memset(bytes, '<', piece);
	assert_true(list_items_add(&l, begin, strlen(begin), on_item, &seen));
	for (size_t len = 0; len < 2 * KUBE_TEXT_MAX; len += piece)
		assert_true(list_items_add(&l, bytes, piece, on_item, &seen));
	assert_true(list_items_add(&l, end, strlen(end), on_item, &seen));
	assert_string_equal(seen.text, "{\"a\":1}||{\"c\":3}|");
	assert_int_equal(seen.cut, 1);
	assert_string_equal(l.envelope.text, "{\"items\":[]}");
	list_items_free(&l);
}
