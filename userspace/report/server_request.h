/* SPDX-License-Identifier: MIT */
/* Pure. What a request to us asks for: its first line is all that counts. */
#ifndef DOZE_SERVER_REQUEST_H
#define DOZE_SERVER_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#define SERVER_REQUEST_PATH_MAX 128

struct server_request {
	char path[SERVER_REQUEST_PATH_MAX]; /* without what follows a '?' */
	bool is_head;
};

/*
 * The status that the line calls for: 200; 400: it is no request of HTTP/1; 405: its method is not
 * GET or HEAD; 414: its path is too long. *out counts if that is 200.
 */
unsigned int server_request_parse(struct server_request *out, const char *line, size_t len);

#endif
