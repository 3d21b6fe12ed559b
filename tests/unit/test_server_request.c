// SPDX-License-Identifier: MIT
/* The first line of a request to the server. */
#include <string.h>

#include "base/util.h"
#include "lib/test.h"
#include "report/server_request.h"

#define LONG_127                                                                                   \
	"/23456789012345678901234567890123456789012345678901234567890123"                          \
	"4567890123456789012345678901234567890123456789012345678901234567"

TEST(a_line_is_a_path_or_a_status)
{
	static const struct {
		const char *line;
		unsigned int status;
		const char *path;
		bool is_head;
	} rows[] = {
		{ "GET /metrics HTTP/1.1", 200, "/metrics", false },
		{ "GET /metrics HTTP/1.0", 200, "/metrics", false },
		{ "HEAD /status HTTP/1.1", 200, "/status", true },
		{ "GET / HTTP/1.1", 200, "/", false },
		{ "GET /metrics?format=text&x=/y HTTP/1.1", 200, "/metrics", false },
		{ "GET /?x HTTP/1.1", 200, "/", false },
		{ "GET " LONG_127 " HTTP/1.1", 200, LONG_127, false },
		{ "GET " LONG_127 "8 HTTP/1.1", 414, NULL, false },
		{ "POST /metrics HTTP/1.1", 405, NULL, false },
		{ "get /metrics HTTP/1.1", 405, NULL, false },
		{ "GETS /metrics HTTP/1.1", 405, NULL, false },
		{ " /metrics HTTP/1.1", 405, NULL, false },
		{ "", 400, NULL, false },
		{ " ", 400, NULL, false },
		{ "GET", 400, NULL, false },
		{ "GET /metrics", 400, NULL, false },
		{ "GET /metrics ", 400, NULL, false },
		{ "GET  HTTP/1.1", 400, NULL, false },
		{ "GET  /metrics HTTP/1.1", 400, NULL, false },
		{ "GET metrics HTTP/1.1", 400, NULL, false },
		{ "GET /metrics HTTP/2.0", 400, NULL, false },
		{ "GET /metrics HTTP/1.", 400, NULL, false },
		{ "GET /metrics HTTP/1.10", 400, NULL, false },
		{ "GET /metrics HTTP/1.1 ", 400, NULL, false },
		{ "GET /a b HTTP/1.1", 400, NULL, false },
		{ "PRI * HTTP/2.0", 400, NULL, false },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct server_request request = { 0 };
		unsigned int status = server_request_parse(&request, rows[i].line,
							   strlen(rows[i].line));

		if (status != rows[i].status)
			fail_msg("'%s': %u", rows[i].line, status);
		if (!rows[i].path)
			continue;
		assert_string_equal(request.path, rows[i].path);
		assert_int_equal(request.is_head, rows[i].is_head);
	}
}

TEST(a_path_with_a_nul_is_none)
{
	static const char line[] = "GET /metrics\0x HTTP/1.1";
	struct server_request request;

	assert_int_equal(server_request_parse(&request, line, sizeof(line) - 1), 400);
}
