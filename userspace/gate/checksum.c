// SPDX-License-Identifier: MIT
/* The internet checksum (RFC 1071) over the pseudo header (RFC 9293 3.1, RFC 768, RFC 8200 8.1). */
#include "gate/checksum.h"

#include <netinet/in.h>
#include <string.h>

/* What of the frame the checksum covers, and where it is written. */
struct checksum_span {
	const uint8_t *l4;
	size_t l4_len;
	size_t field; /* offset of the checksum from l4 */
	uint8_t protocol;
	uint32_t pseudo; /* the folded sum of the pseudo header */
	int is_ipv4;
};

static uint16_t checksum_fold(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* The sum of big-endian 16-bit words; an odd last byte is padded with zero. */
static uint64_t checksum_sum(const uint8_t *bytes, size_t len)
{
	uint64_t sum = 0;

	for (size_t i = 0; i + 1 < len; i += 2)
		sum += (uint64_t)bytes[i] << 8 | bytes[i + 1];
	if (len % 2)
		sum += (uint64_t)bytes[len - 1] << 8;
	return sum;
}

static size_t checksum_get16(const uint8_t *at)
{
	return (size_t)at[0] << 8 | at[1];
}

/* Where the IP packet ends in the frame; 0: not within it. */
static size_t checksum_ip_end(const uint8_t *frame, size_t len, size_t l3, int *is_ipv4_out)
{
	size_t end;

	if (l3 >= len)
		return 0;
	if (frame[l3] >> 4 == 4 && len - l3 >= 20) {
		*is_ipv4_out = 1;
		end = l3 + checksum_get16(frame + l3 + 2);
	} else if (frame[l3] >> 4 == 6 && len - l3 >= 40) {
		*is_ipv4_out = 0;
		end = l3 + 40 + checksum_get16(frame + l3 + 4);
	} else {
		return 0;
	}
	return end <= len ? end : 0;
}

/* What stands before the last IPv6 extension header is not looked at: the gate has done that. */
static uint8_t checksum_protocol(const uint8_t *frame, size_t l3, size_t l4, int is_ipv4)
{
	size_t at = l3 + 40;
	uint8_t next;

	if (is_ipv4)
		return frame[l3 + 9];
	next = frame[l3 + 6];
	while (at + 8 <= l4) {
		uint8_t extension = next;

		next = frame[at];
		if (extension == IPPROTO_AH)
			at += (frame[at + 1] + 2U) * 4;
		else if (extension == IPPROTO_FRAGMENT)
			at += 8;
		else
			at += (frame[at + 1] + 1U) * 8;
	}
	return at == l4 ? next : 0;
}

static uint32_t checksum_pseudo(const uint8_t *l3, int is_ipv4, size_t l4_len, uint8_t protocol)
{
	uint64_t sum = l4_len + protocol;

	sum += is_ipv4 ? checksum_sum(l3 + 12, 8) : checksum_sum(l3 + 8, 32);
	return checksum_fold(sum);
}

static int checksum_find(const uint8_t *frame, size_t len, size_t l3, size_t l4,
			 struct checksum_span *out)
{
	size_t ip_end = checksum_ip_end(frame, len, l3, &out->is_ipv4);
	size_t header_min = out->is_ipv4 ? 20 : 40;

	if (!ip_end || l4 < l3 + header_min || l4 + 8 > ip_end)
		return -1;
	out->protocol = checksum_protocol(frame, l3, l4, out->is_ipv4);
	out->l4 = frame + l4;
	if (out->protocol == IPPROTO_TCP) {
		out->field = 16;
		out->l4_len = ip_end - l4;
	} else if (out->protocol == IPPROTO_UDP) {
		out->field = 6;
		out->l4_len = checksum_get16(frame + l4 + 4);
	} else {
		return -1;
	}
	if (out->l4_len < out->field + 2 || l4 + out->l4_len > ip_end)
		return -1;
	out->pseudo = checksum_pseudo(frame + l3, out->is_ipv4, out->l4_len, out->protocol);
	return 0;
}

static void checksum_write(uint8_t *l4, const struct checksum_span *span)
{
	uint16_t sum;

	memset(l4 + span->field, 0, 2);
	sum = (uint16_t)~checksum_fold(span->pseudo + checksum_sum(l4, span->l4_len));
	if (sum == 0 && span->protocol == IPPROTO_UDP)
		sum = 0xffff; /* 0 would say that there is none */
	l4[span->field] = (uint8_t)(sum >> 8);
	l4[span->field + 1] = (uint8_t)sum;
}

static enum checksum_result checksum_judge(const struct checksum_span *span)
{
	size_t written = checksum_get16(span->l4 + span->field);

	if (span->protocol == IPPROTO_UDP && span->is_ipv4 && written == 0)
		return CHECKSUM_NONE;
	if (checksum_fold(span->pseudo + checksum_sum(span->l4, span->l4_len)) == 0xffff)
		return CHECKSUM_VALID;
	return written == span->pseudo ? CHECKSUM_COMPLETED : CHECKSUM_WRONG;
}

bool checksum_is_wrong(const uint8_t *frame, size_t len, size_t l3, size_t l4)
{
	struct checksum_span span = { 0 };

	return checksum_find(frame, len, l3, l4, &span) < 0 ||
	       checksum_judge(&span) == CHECKSUM_WRONG;
}

enum checksum_result checksum_complete(uint8_t *frame, size_t len, size_t l3, size_t l4)
{
	struct checksum_span span = { 0 };
	enum checksum_result result;

	if (checksum_find(frame, len, l3, l4, &span) < 0)
		return CHECKSUM_MALFORMED;
	result = checksum_judge(&span);
	if (result == CHECKSUM_COMPLETED)
		checksum_write(frame + l4, &span);
	return result;
}
