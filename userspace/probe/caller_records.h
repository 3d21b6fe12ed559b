/* SPDX-License-Identifier: MIT */
/*
 * What shows of a caller behind its ClientHello: the headers of its TLS records (RFC 8446, 5.1),
 * and when it speaks. A probe makes one request. A caller that speaks again when it has its answer
 * is a client. Pure.
 */
#ifndef DOZE_CALLER_RECORDS_H
#define DOZE_CALLER_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Perhaps a second ClientHello, a Finished, and one request with its headers. */
#define CALLER_RECORDS_BYTES_MAX 4096

/*
 * Behind the request comes a close_notify. By HTTP/2, where the server's SETTINGS may come before
 * the HEADERS are sent, those come as well, an acknowledgement, a WINDOW_UPDATE and a GOAWAY.
 */
#define CALLER_RECORDS_AFTER_MAX 256

/* All zero: nothing has come. */
struct caller_records {
	size_t len;	 /* bytes so far */
	uint8_t head[5]; /* of the record that is being read, head_len bytes of it */
	size_t head_len;
	size_t left;	  /* bytes of the record that are to come */
	bool is_data;	  /* the record is application data */
	bool has_records; /* there was one before */
	bool is_before_13;
	bool has_finished, has_asked;
	uint32_t asked_ack; /* what the request's first segment acknowledges */
	size_t after;	    /* bytes of application data since the server has spoken again */
};

/*
 * The next bytes, in order; ack is the acknowledgement number of their segment, which moves when
 * the server has spoken in between. false: they are a client's, not a probe's.
 */
bool caller_records_take(struct caller_records *records, uint32_t ack, const uint8_t *bytes,
			 size_t len);

#endif
