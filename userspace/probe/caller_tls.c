// SPDX-License-Identifier: MIT
/* RFC 8446, 4.1.2 and 5.1. */
#include "probe/caller_tls.h"

#include <string.h>

enum {
	CALLER_TLS_HANDSHAKE = 22,
	CALLER_TLS_CLIENT_HELLO = 1,
	CALLER_TLS_SERVER_NAME = 0,
	CALLER_TLS_ALPN = 16,
};

/* What is left to be read. A read beyond the end makes it is_short and yields zeros. */
struct caller_tls_reader {
	const uint8_t *at;
	size_t left;
	bool is_short;
};

static uint32_t caller_tls_number(struct caller_tls_reader *reader, size_t bytes)
{
	uint32_t number = 0;

	if (reader->left < bytes) {
		reader->is_short = true;
		reader->left = 0;
		return 0;
	}
	for (size_t i = 0; i < bytes; i++)
		number = number << 8 | reader->at[i];
	reader->at += bytes;
	reader->left -= bytes;
	return number;
}

static struct caller_tls_reader caller_tls_part(struct caller_tls_reader *reader, size_t len)
{
	struct caller_tls_reader part = { .at = reader->at, .left = len };

	if (reader->left < len) {
		reader->is_short = true;
		return (struct caller_tls_reader){ .at = reader->at, .is_short = true };
	}
	reader->at += len;
	reader->left -= len;
	return part;
}

/* Behind the handshake header, up to the extensions. */
static struct caller_tls_reader caller_tls_extensions(struct caller_tls_reader *hello)
{
	caller_tls_part(hello, 2 + 32);			     /* version, random */
	caller_tls_part(hello, caller_tls_number(hello, 1)); /* session id */
	caller_tls_part(hello, caller_tls_number(hello, 2)); /* cipher suites */
	caller_tls_part(hello, caller_tls_number(hello, 1)); /* compression methods */
	return caller_tls_part(hello, caller_tls_number(hello, 2));
}

/*
 * Go offers h2 and http/1.1, in this order, unless HTTP/2 is switched off (golang.org/x/net/http2,
 * configureTransports), and the kubelet's prober leaves it on (k8s.io/apimachinery/pkg/util/net,
 * SetTransportDefaults).
 */
static bool caller_tls_offers_as_go(struct caller_tls_reader alpn)
{
	static const uint8_t offered[] = "\x00\x0c\x02h2\x08http/1.1";

	return alpn.left == sizeof(offered) - 1 && memcmp(alpn.at, offered, alpn.left) == 0;
}

/* The kubelet connects to an address, for which Go sends no server name. */
static bool caller_tls_is_kubelet(struct caller_tls_reader extensions)
{
	size_t offers = 0;

	while (extensions.left && !extensions.is_short) {
		uint32_t type = caller_tls_number(&extensions, 2);
		struct caller_tls_reader value = caller_tls_part(&extensions,
								 caller_tls_number(&extensions, 2));

		if (type == CALLER_TLS_SERVER_NAME)
			return false;
		if (type == CALLER_TLS_ALPN && !caller_tls_offers_as_go(value))
			return false;
		offers += type == CALLER_TLS_ALPN;
	}
	return offers == 1 && !extensions.is_short;
}

bool caller_tls_begins(const uint8_t *bytes, size_t len)
{
	return len && bytes[0] == CALLER_TLS_HANDSHAKE;
}

enum caller_kind caller_tls_judge(const uint8_t *bytes, size_t len,
				  const struct caller_rules *rules)
{
	struct caller_tls_reader all = { .at = bytes + 1, .left = len - 1 };
	struct caller_tls_reader record, hello, extensions;
	bool has_version = caller_tls_number(&all, 1) == 3 || all.is_short;

	if (!has_version || !rules->has_https || !(rules->knows_checkers || rules->knows_kubelet))
		return CALLER_CLIENT;
	caller_tls_number(&all, 1);
	record = caller_tls_part(&all, caller_tls_number(&all, 2));
	if (all.is_short)
		return CALLER_UNDECIDED;
	if (rules->knows_checkers)
		return CALLER_TLS;
	if (caller_tls_number(&record, 1) != CALLER_TLS_CLIENT_HELLO)
		return CALLER_CLIENT;
	hello = caller_tls_part(&record, caller_tls_number(&record, 3));
	extensions = caller_tls_extensions(&hello);
	/* A hello in several records, or one that does not add up: no Go program sends that. */
	if (record.is_short || hello.is_short || extensions.is_short || record.left || hello.left)
		return CALLER_CLIENT;
	/* What comes before the server's answer is early data. */
	if (all.left)
		return CALLER_CLIENT;
	return caller_tls_is_kubelet(extensions) ? CALLER_TLS : CALLER_CLIENT;
}
