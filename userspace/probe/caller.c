// SPDX-License-Identifier: MIT
/* Each protocol has a judge of its own. */
#include "probe/caller.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "probe/caller_h2.h"
#include "probe/caller_http.h"
#include "probe/caller_tls.h"

enum caller_kind caller_judge(const uint8_t *bytes, size_t len, const struct caller_rules *rules)
{
	enum caller_kind kind = CALLER_UNDECIDED;

	if (len > CALLER_BYTES_MAX)
		kind = CALLER_CLIENT;
	else if (caller_h2_begins(bytes, len)) /* "P" may become HTTP/2, or a POST */
		kind = caller_h2_judge(bytes, len, rules);
	else if (caller_tls_begins(bytes, len))
		kind = caller_tls_judge(bytes, len, rules);
	else if (len)
		kind = caller_http_judge(bytes, len, rules);
	return kind == CALLER_UNDECIDED && len >= CALLER_BYTES_MAX ? CALLER_CLIENT : kind;
}

int caller_parse_path(const char *text, struct caller_path *out)
{
	size_t method_len = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
	const char *prefix = text + method_len + 1;

	if (!method_len || method_len > CALLER_METHOD_MAX || text[method_len] != ' ' ||
	    *prefix != '/')
		return -EINVAL;
	for (const char *c = prefix; *c; c++) {
		if (!isgraph((unsigned char)*c))
			return -EINVAL;
	}
	*out = (struct caller_path){ .method = text, .method_len = method_len, .prefix = prefix };
	return 0;
}

const char *caller_kind_name(enum caller_kind kind)
{
	static const char *const names[] = {
		[CALLER_UNDECIDED] = "tcp", [CALLER_HTTP] = "http",	[CALLER_GRPC] = "grpc",
		[CALLER_TLS] = "https",	    [CALLER_CLIENT] = "client",
	};

	return names[kind];
}
