// SPDX-License-Identifier: MIT
/* METHOD SP PATH SP HTTP/1.x */
#include "report/server_request.h"

#include <string.h>

#define SERVER_REQUEST_VERSION "HTTP/1."

struct server_request_word {
	const char *text;
	size_t len;
};

/* Up to the next space, or to the end. */
static struct server_request_word server_request_take(const char **line, size_t *len)
{
	const char *space = memchr(*line, ' ', *len);
	struct server_request_word word = { *line, space ? (size_t)(space - *line) : *len };
	size_t taken = word.len + (space != NULL);

	*line += taken;
	*len -= taken;
	return word;
}

static bool server_request_is(struct server_request_word word, const char *text)
{
	return word.len == strlen(text) && memcmp(word.text, text, word.len) == 0;
}

unsigned int server_request_parse(struct server_request *out, const char *line, size_t len)
{
	const size_t version_len = strlen(SERVER_REQUEST_VERSION);
	struct server_request_word method = server_request_take(&line, &len);
	struct server_request_word path = server_request_take(&line, &len);
	const char *query;

	if (len != version_len + 1 || memcmp(line, SERVER_REQUEST_VERSION, version_len) != 0 ||
	    path.len == 0 || path.text[0] != '/' || memchr(path.text, '\0', path.len))
		return 400;
	out->is_head = server_request_is(method, "HEAD");
	if (!out->is_head && !server_request_is(method, "GET"))
		return 405;
	query = memchr(path.text, '?', path.len);
	if (query)
		path.len = (size_t)(query - path.text);
	if (path.len >= sizeof(out->path))
		return 414;
	memcpy(out->path, path.text, path.len);
	out->path[path.len] = '\0';
	return 200;
}
