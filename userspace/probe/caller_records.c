// SPDX-License-Identifier: MIT
/*
 * The Finished of TLS 1.3 looks like application data, so the first such record is not counted;
 * before 1.3 it is a handshake record, and the first record is one.
 *
 *   1.3   change_cipher_spec, [hello again,] DATA Finished, DATA request, DATA close_notify
 *   1.2   handshake, change_cipher_spec, handshake Finished, DATA request, alert
 */
#include "probe/caller_records.h"

#include "base/util.h"

enum {
	CALLER_RECORDS_CHANGE_CIPHER_SPEC = 20,
	CALLER_RECORDS_ALERT = 21,
	CALLER_RECORDS_HANDSHAKE = 22,
	CALLER_RECORDS_DATA = 23,
};

/* false: a probe has no such record here. */
static bool caller_records_begin_record(struct caller_records *h, uint32_t ack)
{
	uint8_t type = h->head[0];

	h->left = (size_t)h->head[3] << 8 | h->head[4];
	h->head_len = 0;
	h->is_data = false;
	if (type < CALLER_RECORDS_CHANGE_CIPHER_SPEC || type > CALLER_RECORDS_DATA)
		return false;
	if (!h->has_records)
		h->is_before_13 = type == CALLER_RECORDS_HANDSHAKE;
	h->has_records = true;
	if (type != CALLER_RECORDS_DATA)
		return type != CALLER_RECORDS_HANDSHAKE || !h->has_asked;
	if (!h->is_before_13 && !h->has_finished) {
		h->has_finished = true;
		return true;
	}
	h->is_data = true;
	if (!h->has_asked)
		h->asked_ack = ack;
	h->has_asked = true;
	return true;
}

/* Takes as much as belongs together. */
static size_t caller_records_take_part(struct caller_records *h, uint32_t ack, const uint8_t *bytes,
				       size_t len)
{
	size_t part;

	if (h->left == 0) {
		h->head[h->head_len++] = *bytes;
		return 1;
	}
	part = min_u64(h->left, len);
	h->left -= part;
	if (h->is_data && ack != h->asked_ack)
		h->after += part;
	return part;
}

bool caller_records_take(struct caller_records *h, uint32_t ack, const uint8_t *bytes, size_t len)
{
	if (len > CALLER_RECORDS_BYTES_MAX - h->len)
		return false;
	h->len += len;
	for (size_t at = 0; at < len;) {
		at += caller_records_take_part(h, ack, bytes + at, len - at);
		if (h->head_len == sizeof(h->head) && !caller_records_begin_record(h, ack))
			return false;
	}
	return h->after <= CALLER_RECORDS_AFTER_MAX;
}
