// SPDX-License-Identifier: MIT
/*
 * Fuzzes the stream of a watch, and of a list: whatever comes, in pieces as long as the first byte
 * says, each line is an event or is refused.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/util.h"
#include "kube/list_items.h"
#include "kube/watch_line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool fuzz_on_line(void *arg, const struct kube_text *line)
{
	struct watch_event event;
	struct watch_line_name name;

	(void)arg;
	if (!line->len || memchr(line->text, '\n', line->len) || line->text[line->len] != '\0')
		__builtin_trap();
	watch_line_name_read(&name, line->text);
	if (watch_line_parse(&event, line->text, line->len) < 0)
		return false;
	if ((event.pod != NULL) != (event.type == WATCH_PUT || event.type == WATCH_GONE))
		__builtin_trap();
	kube_pod_free(&event.pod);
	return true;
}

static bool fuzz_on_item(void *arg, const struct kube_text *item)
{
	size_t *items_len = arg;

	if (item->len < 2 || !memchr("{[", item->text[0], 2) || item->is_cut)
		__builtin_trap();
	*items_len += item->len;
	return true;
}

/* The same bytes as a list: no byte is in two pieces. */
static void fuzz_list(const uint8_t *data, size_t size, size_t piece)
{
	struct list_items items = { 0 };
	size_t items_len = 0;

	for (size_t at = 1; at < size; at += piece)
		list_items_add(&items, (const char *)data + at, min_u64(piece, size - at),
			       fuzz_on_item, &items_len);
	if (items.envelope.len + items.item.len + items_len > size)
		__builtin_trap();
	list_items_free(&items);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t piece = size ? 1UL + data[0] : 1;
	struct watch_line_buffer lines = { 0 };

	for (size_t at = 1; at < size; at += piece) {
		size_t len = min_u64(piece, size - at);

		if (!watch_line_buffer_add(&lines, (const char *)data + at, len, fuzz_on_line,
					   NULL))
			break;
	}
	watch_line_buffer_free(&lines);
	fuzz_list(data, size, piece);
	return 0;
}
