// SPDX-License-Identifier: MIT
/* What a probe is answered, as other implementations read it. */
#include <string.h>

#include <nghttp2/nghttp2.h>

#include "lib/test.h"
#include "probe/reply.h"

#define PREFACE	     "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define SETTINGS     "\0\0\0\4\0\0\0\0\0"
#define SETTINGS_ACK "\0\0\0\4\1\0\0\0\0"
#define HEADERS_5    "\0\0\1\1\4\0\0\0\5\x82"

/* What nghttp2 has made of the answer. */
struct heard {
	char status[8], content_type[32], grpc_status[8];
	uint8_t message[16];
	size_t message_len;
	int closed; /* 1 + the error code, 0: the stream is open */
};

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
		     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
		     void *arg)
{
	struct heard *h = arg;
	const struct {
		const char *name;
		char *out;
		size_t room;
	} wanted[] = {
		{ ":status", h->status, sizeof(h->status) },
		{ "content-type", h->content_type, sizeof(h->content_type) },
		{ "grpc-status", h->grpc_status, sizeof(h->grpc_status) },
	};

	(void)session;
	(void)frame;
	(void)flags;
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		if (strlen(wanted[i].name) == name_len &&
		    memcmp(wanted[i].name, name, name_len) == 0 && value_len < wanted[i].room)
			memcpy(wanted[i].out, value, value_len);
	}
	return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream_id, const uint8_t *data,
		   size_t len, void *arg)
{
	struct heard *h = arg;

	(void)session;
	(void)flags;
	assert_int_equal(stream_id, 1);
	assert_in_range(len, 0, sizeof(h->message) - h->message_len);
	memcpy(h->message + h->message_len, data, len);
	h->message_len += len;
	return 0;
}

static int on_close(nghttp2_session *session, int32_t stream_id, uint32_t code, void *arg)
{
	struct heard *h = arg;

	(void)session;
	(void)stream_id;
	h->closed = 1 + (int)code;
	return 0;
}

static nghttp2_session *new_client(struct heard *h)
{
	nghttp2_session_callbacks *callbacks;
	nghttp2_session *session;

	assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
	assert_int_equal(nghttp2_session_client_new(&session, callbacks, h), 0);
	nghttp2_session_callbacks_del(callbacks);
	return session;
}

#define NV(n, v)                                                                                   \
	{                                                                                          \
		(uint8_t *)(n), (uint8_t *)(v), sizeof(n) - 1, sizeof(v) - 1, NGHTTP2_NV_FLAG_NONE \
	}

TEST(a_client_of_grpc_hears_that_it_is_serving)
{
	static const uint8_t serving[] = { 0, 0, 0, 0, 2, 0x08, 1 };
	const nghttp2_nv headers[] = {
		NV(":method", "POST"),
		NV(":scheme", "http"),
		NV(":path", "/grpc.health.v1.Health/Check"),
		NV(":authority", "x"),
	};
	struct heard h = { 0 };
	nghttp2_session *session = new_client(&h);
	uint8_t reply[2 * REPLY_MAX];
	const uint8_t *sent;
	uint8_t request[1024];
	size_t n, request_len = 0;
	ssize_t more;

	nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, NULL, 0);
	assert_int_equal(nghttp2_submit_request(session, NULL, headers, 4, NULL, NULL), 1);
	while ((more = nghttp2_session_mem_send(session, &sent)) > 0) {
		memcpy(request + request_len, sent, (size_t)more);
		request_len += (size_t)more;
	}
	assert_int_equal(reply_h2_stream(request, request_len), 1);
	n = reply_h2_settings(reply);
	n += reply_grpc(reply_h2_stream(request, request_len), reply + n);
	assert_int_equal(nghttp2_session_mem_recv(session, reply, n), n);
	assert_string_equal(h.status, "200");
	assert_string_equal(h.content_type, "application/grpc");
	assert_string_equal(h.grpc_status, "0");
	assert_int_equal(h.message_len, sizeof(serving));
	assert_memory_equal(h.message, serving, sizeof(serving));
	assert_int_equal(h.closed, 1 + NGHTTP2_NO_ERROR);
	nghttp2_session_del(session);
}

static size_t reply_to(const char *request, uint8_t reply[REPLY_MAX])
{
	return reply_http((const uint8_t *)request, strlen(request), reply);
}

TEST(an_answer_by_http_says_who_gives_it)
{
	uint8_t reply[REPLY_MAX + 1] = { 0 };
	size_t n = reply_to("GET / HTTP/1.1\r\nHost: a\r\n\r\n", reply), head;
	const char *text = (const char *)reply;

	assert_memory_equal(text, "HTTP/1.1 200 OK\r\n", 17);
	assert_non_null(strstr(text, "\r\nX-Doze: asleep\r\n"));
	assert_non_null(strstr(text, "\r\nConnection: close\r\n"));
	assert_non_null(strstr(text, "\r\nContent-Length: 9\r\n"));
	assert_string_equal(strstr(text, "\r\n\r\n"), "\r\n\r\n# asleep\n");
	memset(reply, 0, sizeof(reply));
	head = reply_to("HEAD / HTTP/1.1\r\n\r\n", reply);
	assert_int_equal(head, n - 9);
	assert_string_equal(text + head - 4, "\r\n\r\n");
}

TEST(an_answer_by_http_has_the_version_of_the_request)
{
	uint8_t reply[REPLY_MAX + 1] = { 0 };

	reply_to("OPTIONS / HTTP/1.0\r\n\r\n", reply);
	assert_memory_equal(reply, "HTTP/1.0 200 OK\r\n", 17);
	reply_to("GET /HTTP/1.1/a HTTP/1.0\r\n\r\n", reply);
	assert_memory_equal(reply, "HTTP/1.0 200 OK\r\n", 17);
}

TEST(the_stream_is_that_of_the_first_headers)
{
	static const char bytes[] = PREFACE SETTINGS SETTINGS_ACK HEADERS_5 HEADERS_5;
	const size_t whole = sizeof(PREFACE SETTINGS SETTINGS_ACK) - 1;

	assert_int_equal(reply_h2_stream((const uint8_t *)bytes, sizeof(bytes) - 1), 5);
	for (size_t len = 0; len < whole + REPLY_H2_HEADER; len++)
		assert_int_equal(reply_h2_stream((const uint8_t *)bytes, len), 0);
	assert_int_equal(reply_h2_stream((const uint8_t *)bytes, whole + REPLY_H2_HEADER), 5);
}

TEST(an_ack_is_found_at_the_border_of_a_frame_alone)
{
	static const char plain[] = PREFACE SETTINGS HEADERS_5 SETTINGS_ACK;
	/* In a frame of DATA, nine bytes long, the same bytes are something else. */
	static const char hidden[] = PREFACE SETTINGS "\0\0\x9\0\0\0\0\0\5" SETTINGS_ACK SETTINGS;
	/* And a frame that is said to be longer than all there is. */
	static const char endless[] = PREFACE "\xff\xff\xff\0\0\0\0\0\5" SETTINGS_ACK;

	assert_int_equal(reply_h2_find_ack((const uint8_t *)plain, sizeof(plain) - 1),
			 sizeof(PREFACE SETTINGS HEADERS_5) - 1);
	assert_int_equal(reply_h2_find_ack((const uint8_t *)plain, sizeof(plain) - 2), 0);
	assert_int_equal(reply_h2_find_ack((const uint8_t *)hidden, sizeof(hidden) - 1), 0);
	assert_int_equal(reply_h2_find_ack((const uint8_t *)endless, sizeof(endless) - 1), 0);
	assert_int_equal(reply_h2_find_ack((const uint8_t *)plain, 0), 0);
}
