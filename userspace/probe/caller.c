// SPDX-License-Identifier: MIT
/* One judge for each protocol: HTTP/1.1, HTTP/2 (parsed by nghttp2), TLS. */
#include "probe/caller.h"

#include <ctype.h>
#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <string.h>
#include <strings.h>

#include "base/util.h"

#define CALLER_AGENT "kube-probe/"

static const char caller_preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
#define CALLER_PREFACE_LEN (sizeof(caller_preface) - 1)

/* RFC 9113, 4.1: length, type, flags, stream. */
#define CALLER_FRAME_HEADER 9
#define CALLER_FRAME_TYPE   3

/* Servers send SETTINGS once, some again with another window. */
#define CALLER_ACKS_MAX 4

/* --- HTTP/1.1 --- */

/* A line without its CR LF. */
struct caller_line {
	const char *text;
	size_t len;
};

/* What the head of a request has said so far. */
struct caller_head {
	const struct caller_rules *rules;
	bool is_whole; /* the empty line was there */
	bool is_odd;   /* no probe writes this */
	bool has_agent, is_kubelet;
	bool has_connection, closes;
};

/* false: its end is not there yet. */
static bool caller_take_line(const char **at, const char *end, struct caller_line *out)
{
	const char *lf = memchr(*at, '\n', (size_t)(end - *at));

	if (!lf)
		return false;
	out->text = *at;
	out->len = (size_t)(lf - *at);
	*at = lf + 1;
	return true;
}

/* Cuts the CR; false if the line ends by LF alone, or holds what no line may. */
static bool caller_is_clean(struct caller_line *line)
{
	if (!line->len || line->text[line->len - 1] != '\r')
		return false;
	line->len--;
	for (size_t i = 0; i < line->len; i++) {
		unsigned char c = (unsigned char)line->text[i];

		if ((c < ' ' && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

static bool caller_line_is(const char *text, size_t len, const char *wanted)
{
	return len == strlen(wanted) && strncasecmp(text, wanted, len) == 0;
}

static bool caller_begins(const char *text, size_t len, const char *prefix)
{
	size_t prefix_len = strlen(prefix);

	return len >= prefix_len && memcmp(text, prefix, prefix_len) == 0;
}

static bool caller_has_blank(const char *text, size_t len)
{
	return memchr(text, ' ', len) || memchr(text, '\t', len);
}

/*
 * A header of a request that has a body, or wants something else than an answer. may_wish: for
 * another protocol, and be answered in this one.
 */
static bool caller_is_odd_name(const char *name, size_t len, bool may_wish)
{
	static const struct {
		const char *name;
		bool is_wish;
	} odd[] = {
		{ "Content-Length", false }, { "Transfer-Encoding", false }, { "Expect", false },
		{ "Upgrade", true },	     { "HTTP2-Settings", true },
	};

	for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
		if (caller_line_is(name, len, odd[i].name))
			return !(odd[i].is_wish && may_wish);
	}
	return false;
}

/* An empty one is not sent at all, and so known by nothing. */
static bool caller_is_kubelets_agent(const char *agent, size_t len,
				     const struct caller_rules *rules)
{
	if (caller_begins(agent, len, CALLER_AGENT))
		return true;
	for (size_t i = 0; len && i < rules->agents_len; i++) {
		if (strlen(rules->agents[i]) == len && memcmp(rules->agents[i], agent, len) == 0)
			return true;
	}
	return false;
}

static void caller_read_header(struct caller_head *head, const struct caller_line *line)
{
	const char *colon = memchr(line->text, ':', line->len);
	size_t name_len = colon ? (size_t)(colon - line->text) : 0;
	const char *value = line->text + name_len + 1, *end = line->text + line->len;

	/* Without a colon, folded, or "Content-Length : 5": RFC 9112, 5.1 and 5.2. */
	if (!name_len || caller_has_blank(line->text, name_len) ||
	    caller_is_odd_name(line->text, name_len, head->rules->is_ignored)) {
		head->is_odd = true;
		return;
	}
	while (value < end && (*value == ' ' || *value == '\t'))
		value++;
	if (caller_line_is(line->text, name_len, "User-Agent")) {
		head->is_odd |= head->has_agent;
		head->has_agent = true;
		head->is_kubelet = caller_is_kubelets_agent(value, (size_t)(end - value),
							    head->rules);
	} else if (caller_line_is(line->text, name_len, "Connection")) {
		head->is_odd |= head->has_connection;
		head->has_connection = true;
		head->closes = caller_line_is(value, (size_t)(end - value), "close");
	}
}

static void caller_read_headers(struct caller_head *head, const char **at, const char *end)
{
	struct caller_line line;

	while (!head->is_odd && caller_take_line(at, end, &line)) {
		if (!caller_is_clean(&line)) {
			head->is_odd = true;
		} else if (line.len == 0) {
			head->is_whole = true;
			return;
		} else {
			caller_read_header(head, &line);
		}
	}
}

/* "GET PATH HTTP/1.1" without its version, if that is one that probes have. */
static bool caller_cut_version(struct caller_line *line, const struct caller_rules *rules)
{
	static const char version[] = " HTTP/1.1", older[] = " HTTP/1.0";
	size_t len = sizeof(version) - 1;
	const char *at = line->text + line->len - len;

	if (line->len < len ||
	    (memcmp(at, version, len) != 0 && !(rules->is_ignored && memcmp(at, older, len) == 0)))
		return false;
	line->len -= len;
	return true;
}

/* The method and the path, each up to its space. OPTIONS may be of the server as a whole, "*". */
static bool caller_split_request(const struct caller_line *line, struct caller_line *method,
				 struct caller_line *path)
{
	const char *space = memchr(line->text, ' ', line->len);

	if (!space || space + 1 == line->text + line->len)
		return false;
	*method = (struct caller_line){ line->text, (size_t)(space - line->text) };
	*path = (struct caller_line){ space + 1, line->len - method->len - 1 };
	if (path->len == 1 && *path->text == '*')
		return caller_line_is(method->text, method->len, "OPTIONS");
	return *path->text == '/' && !memchr(path->text, ' ', path->len);
}

/* HTTP/0.9: "GET PATH", and that is all. */
static bool caller_is_simple(const struct caller_line *line)
{
	struct caller_line method, path;

	return caller_begins(line->text, line->len, "GET /") &&
	       caller_split_request(line, &method, &path);
}

static bool caller_is_ignored_path(const struct caller_line *method, const struct caller_line *path,
				   const struct caller_rules *rules)
{
	for (size_t i = 0; i < rules->paths_len; i++) {
		const struct caller_path *p = &rules->paths[i];

		if (method->len == p->method_len &&
		    memcmp(method->text, p->method, method->len) == 0 &&
		    caller_begins(path->text, path->len, p->prefix))
			return true;
	}
	return false;
}

static bool caller_method_is(const struct caller_line *method, const char *wanted)
{
	return method->len == strlen(wanted) && memcmp(method->text, wanted, method->len) == 0;
}

static bool caller_is_check(const struct caller_line *method, const struct caller_line *path,
			    const struct caller_head *head, const struct caller_rules *rules)
{
	bool is_get = caller_method_is(method, "GET");

	if (caller_is_ignored_path(method, path, rules))
		return true;
	if (rules->is_ignored)
		return is_get || caller_method_is(method, "HEAD") ||
		       caller_method_is(method, "OPTIONS");
	return rules->knows_kubelet && is_get && head->is_kubelet && head->closes;
}

/* Whether a request line that is not whole yet may become one that we look for. */
static bool caller_may_be_request(const char *text, size_t len)
{
	size_t method_len = 0;

	while (method_len < len && isupper((unsigned char)text[method_len]))
		method_len++;
	if (method_len > 16)
		return false;
	return method_len == len || (method_len && text[method_len] == ' ');
}

static enum caller_kind caller_judge_http(const uint8_t *bytes, size_t len,
					  const struct caller_rules *rules)
{
	const char *at = (const char *)bytes, *end = at + len;
	struct caller_line line, method, path;
	struct caller_head head = { .rules = rules };

	if (!caller_may_be_request(at, len))
		return CALLER_CLIENT;
	if (!caller_take_line(&at, end, &line))
		return CALLER_UNDECIDED;
	if (!caller_is_clean(&line))
		return CALLER_CLIENT;
	if (rules->is_ignored && caller_is_simple(&line))
		return at == end ? CALLER_HTTP : CALLER_CLIENT;
	if (!caller_cut_version(&line, rules) || !caller_split_request(&line, &method, &path))
		return CALLER_CLIENT;
	caller_read_headers(&head, &at, end);
	/* Behind the head there is a second request, or a body: a client. */
	if (head.is_odd || (head.is_whole && at < end))
		return CALLER_CLIENT;
	if (!head.is_whole)
		return CALLER_UNDECIDED;
	return caller_is_check(&method, &path, &head, rules) ? CALLER_HTTP : CALLER_CLIENT;
}

/* --- HTTP/2 --- */

struct caller_call {
	const struct caller_rules *rules;
	int32_t stream_id; /* 0: no request yet */
	bool is_check_path, is_post, is_grpc;
	bool has_agent, is_kubelet;
	bool is_headed;	  /* all its headers were there */
	bool is_complete; /* and its body */
	bool is_odd;
};

static bool caller_equals(const uint8_t *text, size_t len, const char *wanted)
{
	return len == strlen(wanted) && memcmp(text, wanted, len) == 0;
}

static int caller_on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct caller_call *call = arg;

	(void)session;
	call->is_odd |= call->stream_id != 0;
	call->stream_id = frame->hd.stream_id;
	return 0;
}

static void caller_take_agent(struct caller_call *call, const uint8_t *value, size_t len)
{
	call->is_odd |= call->has_agent;
	call->has_agent = true;
	call->is_kubelet = caller_begins((const char *)value, len, CALLER_AGENT);
}

static int caller_on_header(nghttp2_session *session, const nghttp2_frame *frame,
			    const uint8_t *name, size_t name_len, const uint8_t *value,
			    size_t value_len, uint8_t flags, void *arg)
{
	struct caller_call *call = arg;

	(void)session;
	(void)frame;
	(void)flags;
	if (caller_equals(name, name_len, ":method"))
		call->is_post = caller_equals(value, value_len, "POST");
	else if (caller_equals(name, name_len, ":path"))
		call->is_check_path = caller_equals(value, value_len,
						    "/grpc.health.v1.Health/Check");
	else if (caller_equals(name, name_len, "content-type"))
		call->is_grpc = caller_begins((const char *)value, value_len, "application/grpc");
	else if (caller_equals(name, name_len, "user-agent"))
		caller_take_agent(call, value, value_len);
	return 0;
}

static int caller_on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct caller_call *call = arg;

	(void)session;
	if (frame->hd.type == NGHTTP2_HEADERS)
		call->is_headed = true;
	if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
	    frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
		call->is_complete = true;
	return 0;
}

static int caller_on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int error,
				   void *arg)
{
	struct caller_call *call = arg;

	(void)session;
	(void)frame;
	(void)error;
	call->is_odd = true;
	return 0;
}

/*
 * Whether the session would end the connection or the call: it tells of most errors by no callback,
 * and takes whatever follows without a look at it.
 */
static bool caller_hangs_up(nghttp2_session *session)
{
	const uint8_t *frame;
	ssize_t len;

	while ((len = nghttp2_session_mem_send(session, &frame)) >= CALLER_FRAME_HEADER) {
		uint8_t type = frame[CALLER_FRAME_TYPE];

		if (type == NGHTTP2_GOAWAY || type == NGHTTP2_RST_STREAM)
			return true;
	}
	return len != 0;
}

/* Those of SETTINGS that it has had from who answers in this session's place. */
static int caller_expect_acks(nghttp2_session *session)
{
	int r = 0;

	for (int i = 0; i < CALLER_ACKS_MAX && r == 0; i++)
		r = nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, NULL, 0);
	return r;
}

static bool caller_feed(const uint8_t *bytes, size_t len, struct caller_call *call)
{
	nghttp2_session_callbacks *callbacks = NULL;
	nghttp2_session *session = NULL;
	ssize_t taken = -1;

	if (nghttp2_session_callbacks_new(&callbacks) == 0) {
		nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks,
									caller_on_begin_headers);
		nghttp2_session_callbacks_set_on_header_callback(callbacks, caller_on_header);
		nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, caller_on_frame);
		nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(
			callbacks, caller_on_invalid_frame);
		if (nghttp2_session_server_new(&session, callbacks, call) == 0 &&
		    caller_expect_acks(session) == 0)
			taken = nghttp2_session_mem_recv(session, bytes, len);
		if (taken >= 0 && caller_hangs_up(session))
			taken = -1;
		nghttp2_session_del(session);
		nghttp2_session_callbacks_del(callbacks);
	}
	return taken >= 0 && (size_t)taken == len;
}

static enum caller_kind caller_judge_http2(const uint8_t *bytes, size_t len,
					   const struct caller_rules *rules)
{
	struct caller_call call = { .rules = rules };

	if (len < CALLER_PREFACE_LEN)
		return CALLER_UNDECIDED;
	if (!caller_feed(bytes, len, &call) || call.is_odd)
		return CALLER_CLIENT;
	if (!call.is_headed)
		return CALLER_UNDECIDED;
	if (!call.is_check_path || !call.is_post || !call.is_grpc)
		return CALLER_CLIENT;
	if (!rules->is_ignored && !(rules->knows_kubelet && call.is_kubelet))
		return CALLER_CLIENT;
	return call.is_complete ? CALLER_GRPC : CALLER_UNDECIDED;
}

bool caller_is_http2(const uint8_t *bytes, size_t len)
{
	return len && memcmp(bytes, caller_preface, min_u64(len, CALLER_PREFACE_LEN)) == 0;
}

/* --- TLS: RFC 8446, 4.1.2 and 5.1 --- */

enum {
	CALLER_TLS_HANDSHAKE = 22,
	CALLER_TLS_CLIENT_HELLO = 1,
	CALLER_TLS_SERVER_NAME = 0,
	CALLER_TLS_ALPN = 16,
	CALLER_TLS_RECORD_HEADER = 5,
};

/* What is left to be read. A read beyond the end makes it is_short and yields zeros. */
struct caller_reader {
	const uint8_t *at;
	size_t left;
	bool is_short;
};

static uint32_t caller_read_number(struct caller_reader *r, size_t bytes)
{
	uint32_t number = 0;

	if (r->left < bytes) {
		r->is_short = true;
		r->left = 0;
		return 0;
	}
	for (size_t i = 0; i < bytes; i++)
		number = number << 8 | r->at[i];
	r->at += bytes;
	r->left -= bytes;
	return number;
}

static struct caller_reader caller_read_part(struct caller_reader *r, size_t len)
{
	struct caller_reader part = { .at = r->at, .left = len };

	if (r->left < len) {
		r->is_short = true;
		return (struct caller_reader){ .at = r->at, .is_short = true };
	}
	r->at += len;
	r->left -= len;
	return part;
}

/* Behind the handshake header, up to the extensions. */
static struct caller_reader caller_read_extensions(struct caller_reader *hello)
{
	caller_read_part(hello, 2 + 32);		       /* version, random */
	caller_read_part(hello, caller_read_number(hello, 1)); /* session id */
	caller_read_part(hello, caller_read_number(hello, 2)); /* cipher suites */
	caller_read_part(hello, caller_read_number(hello, 1)); /* compression methods */
	return caller_read_part(hello, caller_read_number(hello, 2));
}

/*
 * Go offers these two, in this order, wherever HTTP/2 is not switched off (golang.org/x/net/http2,
 * configureTransports), and the kubelet's prober does not (k8s.io/apimachinery/pkg/util/net,
 * SetTransportDefaults). To an address it sends no server name.
 */
static bool caller_offers_what_go_does(struct caller_reader alpn)
{
	static const uint8_t offered[] = "\x00\x0c\x02h2\x08http/1.1";

	return alpn.left == sizeof(offered) - 1 && memcmp(alpn.at, offered, alpn.left) == 0;
}

static bool caller_is_kubelets_hello(struct caller_reader extensions)
{
	size_t offers = 0;

	while (extensions.left && !extensions.is_short) {
		uint32_t type = caller_read_number(&extensions, 2);
		struct caller_reader value = caller_read_part(&extensions,
							      caller_read_number(&extensions, 2));

		if (type == CALLER_TLS_SERVER_NAME)
			return false;
		if (type == CALLER_TLS_ALPN && !caller_offers_what_go_does(value))
			return false;
		offers += type == CALLER_TLS_ALPN;
	}
	return offers == 1 && !extensions.is_short;
}

static enum caller_kind caller_judge_tls(const uint8_t *bytes, size_t len,
					 const struct caller_rules *rules)
{
	struct caller_reader all = { .at = bytes, .left = len }, record, hello, extensions;
	bool has_type = caller_read_number(&all, 1) == CALLER_TLS_HANDSHAKE;
	bool has_version = caller_read_number(&all, 1) == 3 || all.is_short;

	if (!has_type || !has_version ||
	    !(rules->is_ignored || (rules->has_https && rules->knows_kubelet)))
		return CALLER_CLIENT;
	caller_read_number(&all, 1);
	record = caller_read_part(&all, caller_read_number(&all, 2));
	if (all.is_short)
		return CALLER_UNDECIDED;
	if (rules->is_ignored)
		return CALLER_TLS;
	if (caller_read_number(&record, 1) != CALLER_TLS_CLIENT_HELLO)
		return CALLER_CLIENT;
	hello = caller_read_part(&record, caller_read_number(&record, 3));
	extensions = caller_read_extensions(&hello);
	/* A hello in several records, or one that does not add up: no Go program sends that. */
	if (record.is_short || hello.is_short || extensions.is_short || record.left || hello.left)
		return CALLER_CLIENT;
	/* Before the server's answer this is early data. */
	if (all.left)
		return CALLER_CLIENT;
	return caller_is_kubelets_hello(extensions) ? CALLER_TLS : CALLER_CLIENT;
}

/* --- all --- */

static enum caller_kind caller_judge_bytes(const uint8_t *bytes, size_t len,
					   const struct caller_rules *rules)
{
	enum caller_kind kind;

	if (len == 0)
		return CALLER_UNDECIDED;
	if (len > CALLER_BYTES_MAX)
		return CALLER_CLIENT;
	/* "P" may become HTTP/2, or a POST. */
	if (caller_is_http2(bytes, len))
		kind = caller_judge_http2(bytes, len, rules);
	else if (bytes[0] == CALLER_TLS_HANDSHAKE)
		kind = caller_judge_tls(bytes, len, rules);
	else
		kind = caller_judge_http(bytes, len, rules);
	return kind == CALLER_UNDECIDED && len >= CALLER_BYTES_MAX ? CALLER_CLIENT : kind;
}

enum caller_kind caller_judge(const uint8_t *bytes, size_t len, const struct caller_rules *rules)
{
	enum caller_kind kind = caller_judge_bytes(bytes, len, rules);

	return kind == CALLER_CLIENT && rules->is_ignored ? CALLER_IGNORED : kind;
}

int caller_parse_path(const char *text, struct caller_path *out)
{
	size_t method_len = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
	const char *prefix = text + method_len + 1;

	if (!method_len || method_len > 16 || text[method_len] != ' ' || *prefix != '/')
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
		[CALLER_UNDECIDED] = "tcp", [CALLER_HTTP] = "http",
		[CALLER_GRPC] = "grpc",	    [CALLER_TLS] = "https",
		[CALLER_CLIENT] = "client", [CALLER_IGNORED] = "ignored",
	};

	return names[kind];
}
