// SPDX-License-Identifier: MIT
/* Fuzzes the first line of a request to the server: what is taken for a path is one. */
#include <stdint.h>
#include <string.h>

#include "report/server_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct server_request request;
	unsigned int status = server_request_parse(&request, (const char *)data, size);

	if (status == 200) {
		size_t len = strnlen(request.path, sizeof(request.path));

		if (len == sizeof(request.path) || request.path[0] != '/' ||
		    strpbrk(request.path, " ?"))
			__builtin_trap();
	} else if (status != 400 && status != 405 && status != 414) {
		__builtin_trap();
	}
	return 0;
}
