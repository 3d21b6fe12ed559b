// SPDX-License-Identifier: MIT
/*
 * Fuzzes the stream of a watch: whatever comes, in pieces as long as the first byte says, each line
 * is an event or is refused.
 */
/* needs: userspace/kube/kube_pod.c */
/* needs: userspace/kube/kube_container.c userspace/base/quantity.c userspace/kube/watch_line.c */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/util.h"
#include "kube/watch_line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool fuzz_on_line(void *arg, const char *line, size_t len)
{
	struct watch_event event;

	(void)arg;
	if (!len || memchr(line, '\n', len))
		__builtin_trap();
	if (watch_line_parse(&event, line, len) < 0)
		return false;
	if ((event.pod != NULL) != (event.type == WATCH_PUT || event.type == WATCH_GONE))
		__builtin_trap();
	kube_pod_free(&event.pod);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t piece = size ? 1UL + data[0] : 1;
	struct watch_lines lines = { 0 };

	for (size_t at = 1; at < size; at += piece) {
		size_t len = min_u64(piece, size - at);

		if (!watch_lines_add(&lines, (const char *)data + at, len, fuzz_on_line, NULL))
			break;
	}
	watch_lines_free(&lines);
	return 0;
}
