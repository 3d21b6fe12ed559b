/* SPDX-License-Identifier: MIT */
/* What a probe is answered, byte by byte, and what of HTTP/2 (RFC 9113) that needs. Pure. */
#ifndef DOZE_REPLY_H
#define DOZE_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REPLY_MAX	 256
#define REPLY_H2_HEADER	 9
#define REPLY_H2_PREFACE 24

/*
 * 200 with "X-Doze: asleep", in the version of the request, which begins with a whole line. HEAD
 * gets no body; a scraper takes the body for a comment. Every reply returns its length, at most
 * REPLY_MAX.
 */
size_t reply_http(const uint8_t *request, size_t len, uint8_t out[REPLY_MAX]);

/* An empty SETTINGS, with which a server has to begin, and for which a client may wait. */
size_t reply_h2_settings(uint8_t out[REPLY_MAX]);

/* Acknowledges the client's SETTINGS, and answers the call of that stream with SERVING. */
size_t reply_grpc(uint32_t stream_id, uint8_t out[REPLY_MAX]);

/* The stream of the client's first HEADERS frame; 0: none. The bytes begin with the preface. */
uint32_t reply_h2_stream(const uint8_t *bytes, size_t len);

/*
 * Where the frame (REPLY_H2_HEADER bytes) begins that acknowledges our SETTINGS; 0: it has not come
 * yet. The bytes begin with the preface.
 */
size_t reply_h2_find_ack(const uint8_t *bytes, size_t len);

#endif
