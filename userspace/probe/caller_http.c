// SPDX-License-Identifier: MIT
/* A request line and headers (RFC 9112), read as strictly as probes are written. */
#include "probe/caller_http.h"

#include <ctype.h>
#include <strings.h>

#include "base/util.h"
#include "probe/caller_text.h"

/* As they are documented by AWS (ELB, Route 53), Google, Azure and Kubernetes. */
static const char *const caller_http_checkers[] = {
	"ELB-HealthChecker/",  "GoogleHC/",
	"Load Balancer Agent", "Amazon-Route53-Health-Check-Service",
	CALLER_AGENT,
};

/* What a request has said so far. */
struct caller_http_request {
	const struct caller_rules *rules;
	struct caller_text method, path;
	bool is_whole; /* the empty line was there */
	bool is_odd;   /* no probe writes this */
	bool has_agent, is_kubelet, is_checker;
	bool has_connection, closes;
	bool is_older; /* HTTP/1.0 */
};

/* Without its LF. false: its end is not there yet. */
static bool caller_http_take_line(struct caller_text *left, struct caller_text *line)
{
	const char *lf = memchr(left->at, '\n', left->len);

	if (!lf)
		return false;
	*line = (struct caller_text){ left->at, (size_t)(lf - left->at) };
	left->len -= line->len + 1;
	left->at = lf + 1;
	return true;
}

/* Cuts the CR off; false if the line ends by LF alone, or holds what no line may. */
static bool caller_http_is_clean(struct caller_text *line)
{
	if (!line->len || line->at[line->len - 1] != '\r')
		return false;
	line->len--;
	for (size_t i = 0; i < line->len; i++) {
		unsigned char c = (unsigned char)line->at[i];

		if ((c < ' ' && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

static bool caller_http_is_name(struct caller_text text, const char *wanted)
{
	return text.len == strlen(wanted) && strncasecmp(text.at, wanted, text.len) == 0;
}

/* Whether the request has a body, or asks for more than an answer. */
static bool caller_http_is_odd_name(struct caller_text name)
{
	static const char *const odd[] = {
		"Content-Length", "Transfer-Encoding", "Expect", "Upgrade", "HTTP2-Settings",
	};

	for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
		if (caller_http_is_name(name, odd[i]))
			return true;
	}
	return false;
}

/* An empty agent is not sent at all, so an empty entry of the rules matches nothing. */
static bool caller_http_is_kubelet(struct caller_text agent, const struct caller_rules *rules)
{
	if (caller_text_begins(agent, CALLER_AGENT))
		return true;
	for (size_t i = 0; agent.len && i < rules->agents_len; i++) {
		if (caller_text_is(agent, rules->agents[i]))
			return true;
	}
	return false;
}

static bool caller_http_begins_as_one(struct caller_text agent, const char *const *beginnings,
				      size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (caller_text_begins(agent, beginnings[i]))
			return true;
	}
	return false;
}

static bool caller_http_is_checker(struct caller_text agent, const struct caller_rules *rules)
{
	return caller_http_begins_as_one(agent, caller_http_checkers,
					 ARRAY_LEN(caller_http_checkers)) ||
	       caller_http_begins_as_one(agent, rules->checkers, rules->checkers_len);
}

static void caller_http_read_header(struct caller_http_request *request, struct caller_text line)
{
	const char *colon = memchr(line.at, ':', line.len);
	struct caller_text name = { line.at, colon ? (size_t)(colon - line.at) : 0 };
	struct caller_text value = { line.at + name.len + 1, line.len - name.len - 1 };

	/* Without a colon, folded, or "Content-Length : 5": RFC 9112, 5.1 and 5.2. */
	if (!name.len || memchr(name.at, ' ', name.len) || memchr(name.at, '\t', name.len) ||
	    caller_http_is_odd_name(name)) {
		request->is_odd = true;
		return;
	}
	for (; value.len && (*value.at == ' ' || *value.at == '\t'); value.len--)
		value.at++;
	if (caller_http_is_name(name, "User-Agent")) {
		request->is_odd |= request->has_agent;
		request->has_agent = true;
		request->is_kubelet = caller_http_is_kubelet(value, request->rules);
		request->is_checker = caller_http_is_checker(value, request->rules);
	} else if (caller_http_is_name(name, "Connection")) {
		request->is_odd |= request->has_connection;
		request->has_connection = true;
		request->closes = caller_http_is_name(value, "close");
	}
}

static void caller_http_read_head(struct caller_http_request *request, struct caller_text *left)
{
	struct caller_text line;

	while (!request->is_odd && !request->is_whole && caller_http_take_line(left, &line)) {
		if (!caller_http_is_clean(&line))
			request->is_odd = true;
		else if (line.len == 0)
			request->is_whole = true;
		else
			caller_http_read_header(request, line);
	}
}

/* Leaves "GET PATH" of "GET PATH HTTP/1.1"; false: it is no version that probes have. */
static bool caller_http_cut_version(struct caller_text *line, bool *is_older)
{
	static const char newer[] = " HTTP/1.1", older[] = " HTTP/1.0";
	struct caller_text version = { .len = sizeof(newer) - 1 };

	if (line->len < version.len)
		return false;
	line->len -= version.len;
	version.at = line->at + line->len;
	*is_older = caller_text_is(version, older);
	return *is_older || caller_text_is(version, newer);
}

/* The method and the path, each up to its space. OPTIONS may be of the server as a whole, "*". */
static bool caller_http_split(struct caller_text line, struct caller_text *method,
			      struct caller_text *path)
{
	const char *space = memchr(line.at, ' ', line.len);

	if (!space || space + 1 == line.at + line.len)
		return false;
	*method = (struct caller_text){ line.at, (size_t)(space - line.at) };
	*path = (struct caller_text){ space + 1, line.len - method->len - 1 };
	if (caller_text_is(*path, "*"))
		return caller_text_is(*method, "OPTIONS");
	return *path->at == '/' && !memchr(path->at, ' ', path->len);
}

static bool caller_http_is_ignored(const struct caller_http_request *request)
{
	const struct caller_rules *rules = request->rules;

	for (size_t i = 0; i < rules->paths_len; i++) {
		const struct caller_path *ignored = &rules->paths[i];
		const struct caller_text *method = &request->method;

		if (method->len == ignored->method_len &&
		    memcmp(method->at, ignored->method, method->len) == 0 &&
		    caller_text_begins(request->path, ignored->prefix))
			return true;
	}
	return false;
}

static bool caller_http_is_probe(const struct caller_http_request *request)
{
	const struct caller_rules *rules = request->rules;
	bool is_get = caller_text_is(request->method, "GET");
	bool only_asks = is_get || caller_text_is(request->method, "HEAD") ||
			 caller_text_is(request->method, "OPTIONS");

	if (caller_http_is_ignored(request) && (only_asks || !rules->are_answered))
		return true;
	if (rules->knows_checkers && request->is_checker)
		return only_asks;
	return rules->knows_kubelet && is_get && request->is_kubelet && request->closes &&
	       !request->is_older;
}

/* Whether a request line that is not whole yet may become one that we look for. */
static bool caller_http_may_be_request(struct caller_text text)
{
	size_t method_len = 0;

	while (method_len < text.len && isupper((unsigned char)text.at[method_len]))
		method_len++;
	if (method_len > CALLER_METHOD_MAX)
		return false;
	return method_len == text.len || (method_len && text.at[method_len] == ' ');
}

/* CALLER_HTTP: a whole request, whoever's it is. */
static enum caller_kind caller_http_read(const uint8_t *bytes, size_t len,
					 struct caller_http_request *request)
{
	struct caller_text left = { (const char *)bytes, len }, line;

	if (!caller_http_may_be_request(left))
		return CALLER_CLIENT;
	if (!caller_http_take_line(&left, &line))
		return CALLER_UNDECIDED;
	if (!caller_http_is_clean(&line))
		return CALLER_CLIENT;
	if (!caller_http_cut_version(&line, &request->is_older) ||
	    !caller_http_split(line, &request->method, &request->path))
		return CALLER_CLIENT;
	caller_http_read_head(request, &left);
	/* Behind the head there is a second request, or a body: a client. */
	if (request->is_odd || (request->is_whole && left.len))
		return CALLER_CLIENT;
	return request->is_whole ? CALLER_HTTP : CALLER_UNDECIDED;
}

enum caller_kind caller_http_judge(const uint8_t *bytes, size_t len,
				   const struct caller_rules *rules)
{
	struct caller_http_request request = { .rules = rules };
	enum caller_kind kind = caller_http_read(bytes, len, &request);

	return kind == CALLER_HTTP && !caller_http_is_probe(&request) ? CALLER_CLIENT : kind;
}

bool caller_http_is_whole(const uint8_t *bytes, size_t len)
{
	static const struct caller_rules none;
	struct caller_http_request request = { .rules = &none };

	return caller_http_read(bytes, len, &request) == CALLER_HTTP && !request.closes &&
	       !request.is_older;
}
