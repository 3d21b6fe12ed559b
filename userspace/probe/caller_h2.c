// SPDX-License-Identifier: MIT
/* Parsed by nghttp2, which takes the part of a server that never answers. */
#include "probe/caller_h2.h"

#include <nghttp2/nghttp2.h>
#include <string.h>

#include "base/util.h"
#include "probe/caller_text.h"

static const char caller_h2_preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
#define CALLER_H2_PREFACE_LEN (sizeof(caller_h2_preface) - 1)

/* RFC 9113, 4.1: length, type, flags, stream. */
#define CALLER_H2_FRAME_HEADER 9
#define CALLER_H2_FRAME_TYPE   3

/* Servers send SETTINGS once, some again with another window. */
#define CALLER_H2_ACKS_MAX 4

struct caller_h2_call {
	int32_t stream_id; /* 0: no request yet */
	bool is_check_path, is_post, is_grpc;
	bool has_agent, is_kubelet;
	bool is_headed;	  /* all its headers were there */
	bool is_complete; /* and its body */
	bool is_odd;	  /* no probe does this */
};

static int caller_h2_on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame,
				      void *arg)
{
	struct caller_h2_call *call = arg;

	(void)session;
	call->is_odd |= call->stream_id != 0;
	call->stream_id = frame->hd.stream_id;
	return 0;
}

static int caller_h2_on_header(nghttp2_session *session, const nghttp2_frame *frame,
			       const uint8_t *name_bytes, size_t name_len,
			       const uint8_t *value_bytes, size_t value_len, uint8_t flags,
			       void *arg)
{
	const struct caller_text name = { (const char *)name_bytes, name_len };
	const struct caller_text value = { (const char *)value_bytes, value_len };
	struct caller_h2_call *call = arg;

	(void)session;
	(void)frame;
	(void)flags;
	if (caller_text_is(name, ":method")) {
		call->is_post = caller_text_is(value, "POST");
	} else if (caller_text_is(name, ":path")) {
		call->is_check_path = caller_text_is(value, "/grpc.health.v1.Health/Check");
	} else if (caller_text_is(name, "content-type")) {
		call->is_grpc = caller_text_begins(value, "application/grpc");
	} else if (caller_text_is(name, "user-agent")) {
		call->is_odd |= call->has_agent;
		call->has_agent = true;
		call->is_kubelet = caller_text_begins(value, CALLER_AGENT);
	}
	return 0;
}

static int caller_h2_on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct caller_h2_call *call = arg;

	(void)session;
	if (frame->hd.type == NGHTTP2_HEADERS)
		call->is_headed = true;
	if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
	    frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
		call->is_complete = true;
	return 0;
}

static int caller_h2_on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame,
				      int error, void *arg)
{
	struct caller_h2_call *call = arg;

	(void)session;
	(void)frame;
	(void)error;
	call->is_odd = true;
	return 0;
}

/* NULL: no memory. */
static nghttp2_session *caller_h2_new_session(struct caller_h2_call *call)
{
	nghttp2_session_callbacks *callbacks = NULL;
	nghttp2_session *session = NULL;

	if (nghttp2_session_callbacks_new(&callbacks) != 0)
		return NULL;
	nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks,
								caller_h2_on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, caller_h2_on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, caller_h2_on_frame);
	nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks,
								     caller_h2_on_invalid_frame);
	nghttp2_session_server_new(&session, callbacks, call);
	nghttp2_session_callbacks_del(callbacks);
	return session;
}

/* Expects acknowledgements of the SETTINGS that the real server has sent, which it never saw. */
static int caller_h2_expect_acks(nghttp2_session *session)
{
	int r = 0;

	for (int i = 0; i < CALLER_H2_ACKS_MAX && r == 0; i++)
		r = nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, NULL, 0);
	return r;
}

/*
 * Whether the session would end the connection or the call. It tells of most errors by no callback,
 * and takes whatever follows without a look at it.
 */
static bool caller_h2_hangs_up(nghttp2_session *session)
{
	const uint8_t *frame;
	ssize_t len;

	while ((len = nghttp2_session_mem_send(session, &frame)) >= CALLER_H2_FRAME_HEADER) {
		uint8_t type = frame[CALLER_H2_FRAME_TYPE];

		if (type == NGHTTP2_GOAWAY || type == NGHTTP2_RST_STREAM)
			return true;
	}
	return len != 0;
}

/* false: this is no HTTP/2, or no memory. */
static bool caller_h2_read(const uint8_t *bytes, size_t len, struct caller_h2_call *call)
{
	nghttp2_session *session = caller_h2_new_session(call);
	bool is_read = session && caller_h2_expect_acks(session) == 0 &&
		       nghttp2_session_mem_recv(session, bytes, len) == (ssize_t)len &&
		       !caller_h2_hangs_up(session);

	nghttp2_session_del(session);
	return is_read;
}

bool caller_h2_begins(const uint8_t *bytes, size_t len)
{
	return len && memcmp(bytes, caller_h2_preface, min_u64(len, CALLER_H2_PREFACE_LEN)) == 0;
}

enum caller_kind caller_h2_judge(const uint8_t *bytes, size_t len, const struct caller_rules *rules)
{
	struct caller_h2_call call = { .stream_id = 0 };

	if (len < CALLER_H2_PREFACE_LEN)
		return CALLER_UNDECIDED;
	if (!caller_h2_read(bytes, len, &call) || call.is_odd)
		return CALLER_CLIENT;
	if (!call.is_headed)
		return CALLER_UNDECIDED;
	if (!call.is_check_path || !call.is_post || !call.is_grpc)
		return CALLER_CLIENT;
	if (!rules->knows_checkers && !(rules->knows_kubelet && call.is_kubelet))
		return CALLER_CLIENT;
	return call.is_complete ? CALLER_GRPC : CALLER_UNDECIDED;
}
