// SPDX-License-Identifier: MIT
/* Fuzzes what doze status takes from a socket that anybody may listen on: it prints no byte that a
 * terminal would obey. */
/* needs: userspace/report/status_json.c userspace/report/status.c */
#include <ctype.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "report/status_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return 0;
	status_json_explain(out, (const char *)data, size);
	fclose(out);
	for (size_t i = 0; i < len; i++) {
		if (!isprint((unsigned char)text[i]) && text[i] != '\n')
			__builtin_trap();
	}
	free(text);
	return 0;
}
