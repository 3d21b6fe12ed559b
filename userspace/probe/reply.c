// SPDX-License-Identifier: MIT
/* Written out: nothing in these answers depends on what was asked, but for the stream. */
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
static const char reply_http_head[] = " 200 OK\r\n"
				      "X-Doze: asleep\r\n"
				      "Content-Type: text/plain\r\n"
				      "Content-Length: 7\r\n"
				      "Connection: close\r\n"
				      "\r\n";
static const char reply_http_body[] = "asleep\n";

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

/* At the end of the first line, before its CR; NULL: of HTTP/0.9, which has none. */
static const uint8_t *reply_find_version(const uint8_t *request, size_t len)
{
	const size_t version_len = sizeof(reply_http_version) - 1;
	const uint8_t *end = memchr(request, '\r', len);

	if (!end || (size_t)(end - request) < version_len ||
	    memcmp(end - version_len, reply_http_version, version_len - 1) != 0)
		return NULL;
	return end - version_len;
}

size_t reply_http(const uint8_t *request, size_t len, uint8_t out[REPLY_MAX])
{
	const uint8_t *version = reply_find_version(request, len);
	bool is_head = len >= 5 && memcmp(request, "HEAD ", 5) == 0;
	size_t n = 0;

	if (version) {
		n = reply_put(out, (const char *)version, sizeof(reply_http_version) - 1);
		n += reply_put(out + n, reply_http_head, sizeof(reply_http_head) - 1);
	}
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

struct reply_frame {
	uint8_t type, flags;
	uint32_t stream_id;
	size_t len; /* with its header */
};

/* false: the header is not there yet. */
static bool reply_read_frame(const uint8_t *at, size_t left, struct reply_frame *out)
{
	if (left < REPLY_H2_HEADER)
		return false;
	*out = (struct reply_frame){
		.type = at[3],
		.flags = at[4],
		.stream_id = (uint32_t)(at[5] & 0x7f) << 24 | (uint32_t)at[6] << 16 |
			     (uint32_t)at[7] << 8 | at[8],
		.len = REPLY_H2_HEADER + ((size_t)at[0] << 16 | (size_t)at[1] << 8 | at[2]),
	};
	return true;
}

uint32_t reply_h2_stream(const uint8_t *bytes, size_t len)
{
	struct reply_frame frame;

	for (size_t at = REPLY_H2_PREFACE; at < len; at += frame.len) {
		if (!reply_read_frame(bytes + at, len - at, &frame))
			return 0;
		if (frame.type == REPLY_H2_HEADERS)
			return frame.stream_id;
	}
	return 0;
}

size_t reply_h2_find_ack(const uint8_t *bytes, size_t len)
{
	struct reply_frame frame;

	for (size_t at = REPLY_H2_PREFACE; at < len; at += frame.len) {
		if (!reply_read_frame(bytes + at, len - at, &frame))
			return 0;
		if (frame.type == REPLY_H2_SETTINGS && (frame.flags & REPLY_H2_ACK))
			return at;
	}
	return 0;
}
