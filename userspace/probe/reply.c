// SPDX-License-Identifier: MIT
/* Written out: only the version and the stream of an answer depend on what was asked. */
#include "probe/reply.h"

#include <string.h>

enum {
	REPLY_H2_DATA = 0,
	REPLY_H2_HEADERS = 1,
	REPLY_H2_SETTINGS = 4,
	REPLY_H2_ACK = 0x1,
	REPLY_H2_END_STREAM = 0x1,
	REPLY_H2_END_HEADERS = 0x4,
};

static const char reply_http_version[] = "HTTP/1.1";
#define REPLY_HTTP_VERSION (sizeof(reply_http_version) - 1)

static const char reply_http_head[] = " 200 OK\r\n"
				      "X-Doze: asleep\r\n"
				      "Content-Type: text/plain\r\n"
				      "Content-Length: 9\r\n"
				      "Connection: close\r\n"
				      "\r\n";
static const char reply_http_body[] = "# asleep\n";

/* HPACK (RFC 7541): ":status: 200" is entry 8; the others are literals that are not indexed. */
static const char reply_grpc_head[] = "\x88"
				      "\x00\x0c"
				      "content-type"
				      "\x10"
				      "application/grpc"
				      "\x00\x06"
				      "x-doze"
				      "\x06"
				      "asleep";
static const char reply_grpc_trailer[] = "\x00\x0b"
					 "grpc-status"
					 "\x01"
					 "0";

/* Not compressed, two bytes long: field 1, status, is SERVING (1). */
static const char reply_grpc_message[] = "\x00\x00\x00\x00\x02\x08\x01";

static size_t reply_put(uint8_t *out, const char *text, size_t len)
{
	memcpy(out, text, len);
	return len;
}

/* The version stands before the CR of the first line. */
static const char *reply_find_version(const uint8_t *request, size_t len)
{
	const uint8_t *end = memchr(request, '\r', len);

	if (!end || (size_t)(end - request) < REPLY_HTTP_VERSION)
		return reply_http_version;
	return (const char *)end - REPLY_HTTP_VERSION;
}

size_t reply_http(const uint8_t *request, size_t len, uint8_t out[REPLY_MAX])
{
	bool is_head = len >= 5 && memcmp(request, "HEAD ", 5) == 0;
	size_t n = reply_put(out, reply_find_version(request, len), REPLY_HTTP_VERSION);

	n += reply_put(out + n, reply_http_head, sizeof(reply_http_head) - 1);
	if (!is_head)
		n += reply_put(out + n, reply_http_body, sizeof(reply_http_body) - 1);
	return n;
}

static size_t reply_put_frame(uint8_t *out, uint8_t type, uint8_t flags, uint32_t stream_id,
			      const char *payload, size_t len)
{
	const uint8_t header[REPLY_H2_HEADER] = {
		0,
		0,
		(uint8_t)len,
		type,
		flags,
		(uint8_t)(stream_id >> 24),
		(uint8_t)(stream_id >> 16),
		(uint8_t)(stream_id >> 8),
		(uint8_t)stream_id,
	};

	memcpy(out, header, sizeof(header));
	memcpy(out + sizeof(header), payload, len);
	return sizeof(header) + len;
}

size_t reply_h2_settings(uint8_t out[REPLY_MAX])
{
	return reply_put_frame(out, REPLY_H2_SETTINGS, 0, 0, "", 0);
}

size_t reply_grpc(uint32_t stream_id, uint8_t out[REPLY_MAX])
{
	size_t n = reply_put_frame(out, REPLY_H2_SETTINGS, REPLY_H2_ACK, 0, "", 0);

	n += reply_put_frame(out + n, REPLY_H2_HEADERS, REPLY_H2_END_HEADERS, stream_id,
			     reply_grpc_head, sizeof(reply_grpc_head) - 1);
	n += reply_put_frame(out + n, REPLY_H2_DATA, 0, stream_id, reply_grpc_message,
			     sizeof(reply_grpc_message) - 1);
	return n + reply_put_frame(out + n, REPLY_H2_HEADERS,
				   REPLY_H2_END_HEADERS | REPLY_H2_END_STREAM, stream_id,
				   reply_grpc_trailer, sizeof(reply_grpc_trailer) - 1);
}

/* Where the first frame of that type with these flags begins; 0: it has not come yet. */
static size_t reply_find_frame(const uint8_t *bytes, size_t len, uint8_t type, uint8_t flags)
{
	size_t at = REPLY_H2_PREFACE;

	while (at < len && len - at >= REPLY_H2_HEADER) {
		const uint8_t *header = bytes + at;

		if (header[3] == type && (header[4] & flags) == flags)
			return at;
		at += REPLY_H2_HEADER +
		      ((size_t)header[0] << 16 | (size_t)header[1] << 8 | header[2]);
	}
	return 0;
}

uint32_t reply_h2_stream(const uint8_t *bytes, size_t len)
{
	size_t at = reply_find_frame(bytes, len, REPLY_H2_HEADERS, 0);
	const uint8_t *id = bytes + at + 5;

	if (!at)
		return 0;
	return (uint32_t)(id[0] & 0x7f) << 24 | (uint32_t)id[1] << 16 | (uint32_t)id[2] << 8 |
	       id[3];
}

size_t reply_h2_find_ack(const uint8_t *bytes, size_t len)
{
	return reply_find_frame(bytes, len, REPLY_H2_SETTINGS, REPLY_H2_ACK);
}
