// SPDX-License-Identifier: MIT
/*
 * The Finished of TLS 1.3 looks like application data, so the first such record is not the request.
 * Before 1.3 the Finished is a handshake record, as the first record of all is.
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
static bool caller_records_begin_record(struct caller_records *records, uint32_t ack)
{
	uint8_t type = records->head[0];

	records->left = (size_t)records->head[3] << 8 | records->head[4];
	records->head_len = 0;
	records->is_data = false;
	if (type < CALLER_RECORDS_CHANGE_CIPHER_SPEC || type > CALLER_RECORDS_DATA)
		return false;
	if (!records->has_records)
		records->is_before_13 = type == CALLER_RECORDS_HANDSHAKE;
	records->has_records = true;
	if (type != CALLER_RECORDS_DATA)
		return type != CALLER_RECORDS_HANDSHAKE || !records->has_asked;
	if (!records->is_before_13 && !records->has_finished) {
		records->has_finished = true;
		return true;
	}
	records->is_data = true;
	if (!records->has_asked)
		records->asked_ack = ack;
	records->has_asked = true;
	return true;
}

bool caller_records_take(struct caller_records *records, uint32_t ack, const uint8_t *bytes,
			 size_t len)
{
	if (len > CALLER_RECORDS_BYTES_MAX - records->len)
		return false;
	records->len += len;
	while (len) {
		size_t part = records->left ? min_u64(records->left, len) : 1;

		if (!records->left) {
			records->head[records->head_len++] = *bytes;
		} else {
			records->left -= part;
			if (records->is_data && ack != records->asked_ack)
				records->after += part;
		}
		bytes += part;
		len -= part;
		if (records->head_len == sizeof(records->head) &&
		    !caller_records_begin_record(records, ack))
			return false;
	}
	return records->after <= CALLER_RECORDS_AFTER_MAX;
}
