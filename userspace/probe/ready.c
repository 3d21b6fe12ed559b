// SPDX-License-Identifier: MIT
/* One libcurl transfer after the other, each from a socket made in the target's namespace. */
#include "probe/ready.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/address.h"
#include "base/log.h"
#include "base/timer.h"
#include "base/util.h"

#define READY_PAUSE_MIN_US 2000
#define READY_PAUSE_MAX_US 250000

/* One try. HTTP has what the kubelet gives it by default (timeoutSeconds: 1). */
#define READY_CONNECT_TIMEOUT_MS 250L
#define READY_TIMEOUT_MS	 1000L

#define READY_SERVICE_MAX 127

struct ready {
	struct ready_settings settings;
	struct http *http;
	struct http_transfer transfer;
	struct timer *pause_timer;
	CURL *easy; /* of the try that runs */
	struct curl_slist *headers;
	uint8_t message[64]; /* the head of gRPC's answer */
	size_t message_len;
	char request[5 + 2 + READY_SERVICE_MAX]; /* of gRPC */
	size_t request_len;
	struct ready_address addresses[READY_ADDRESSES_MAX];
	size_t addresses_len, next;
	unsigned int pause_us;
};

static curl_socket_t ready_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *to)
{
	const struct ready *ready = arg;
	_cleanup_(closep) int fd = netns_socket(ready->settings.ns, to->family);
	union address_sockaddr local = { .ipv6.sin6_family = (sa_family_t)to->family };
	socklen_t len = to->family == AF_INET ? sizeof(local.ipv4) : sizeof(local.ipv6);
	__be16 port_be;

	(void)purpose;
	/* The kernel chooses the port now, so that the gate knows it before the SYN. */
	if (fd < 0 || bind(fd, &local.any, len) < 0 || getsockname(fd, &local.any, &len) < 0)
		return CURL_SOCKET_BAD;
	address_from_sockaddr(&local, &port_be);
	ready->settings.port_changed(ready->settings.arg, ntohs(port_be));
	return TAKE_FD(fd);
}

static size_t ready_on_body(char *data, size_t size, size_t count, void *arg)
{
	struct ready *ready = arg;
	size_t len = size * count;
	size_t kept = min_u64(len, sizeof(ready->message) - ready->message_len);

	memcpy(ready->message + ready->message_len, data, kept);
	ready->message_len += kept;
	return len;
}

static void ready_format_url(const struct ready *ready, const struct ready_address *to, char *out,
			     size_t room)
{
	static const char *const paths[] = {
		[READY_LISTENS] = "/",
		[READY_NONE] = "/",
		[READY_GRPC] = "/grpc.health.v1.Health/Check",
	};
	const struct ready_spec *spec = &ready->settings.spec;
	const char *path = spec->kind == READY_HTTP ? spec->path : paths[spec->kind];
	const char *scheme = spec->is_https ? "https" : "http";
	uint16_t port = spec->port ? spec->port : to->port;
	char text[INET6_ADDRSTRLEN];

	address_format(&to->addr, text);
	snprintf(out, room, address_is_ipv4(&to->addr) ? "%s://%s:%u%s%s" : "%s://[%s]:%u%s%s",
		 scheme, text, port, *path == '/' ? "" : "/", path);
}

static CURL *ready_easy(struct ready *ready, const struct ready_address *to)
{
	CURL *easy = curl_easy_init();
	char url[4096];

	if (!easy)
		return NULL;
	ready_format_url(ready, to, url, sizeof(url));
	curl_easy_setopt(easy, CURLOPT_URL, url);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
	curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "doze-ready");
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, ready->headers);
	curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
	curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, READY_CONNECT_TIMEOUT_MS);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, READY_TIMEOUT_MS);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, ready_open_socket);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, ready);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, ready_on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, ready);
	if (ready->settings.spec.kind == READY_GRPC) {
		/* HTTP/2 without TLS, as the kubelet speaks it. */
		curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
				 (long)CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS, ready->request);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)ready->request_len);
	}
	return easy;
}

static void ready_pause(struct ready *ready)
{
	timer_in_ns(ready->pause_timer, ready->pause_us * NS_PER_US);
	ready->pause_us = (unsigned int)min_u64(ready->pause_us * 3 / 2, READY_PAUSE_MAX_US);
}

/* The next address; after the last of them, a pause. */
static void ready_try(struct ready *ready)
{
	if (ready->next == ready->addresses_len) {
		ready->next = 0;
		ready_pause(ready);
		return;
	}
	ready->message_len = 0;
	ready->easy = ready_easy(ready, &ready->addresses[ready->next++]);
	if (ready->easy && http_start(ready->http, ready->easy, &ready->transfer) == 0)
		return;
	curl_easy_cleanup(TAKE_PTR(ready->easy));
	ready_pause(ready);
}

static void ready_on_pause(void *arg)
{
	struct ready *ready = arg;

	if (ready->settings.spec.kind != READY_LISTENS)
		ready_try(ready);
	else if (ready->settings.is_listening(ready->settings.arg))
		ready->settings.ready(ready->settings.arg);
	else
		ready_pause(ready);
}

/*
 * A length-prefixed message (five bytes before it), uncompressed, whose first field is the status:
 * 1 is SERVING (grpc.health.v1, health.proto).
 */
static bool ready_is_serving(const struct ready *ready)
{
	static const uint8_t serving[] = { 0, 0, 0, 0, 2, 0x08, 1 };

	return ready->message_len == sizeof(serving) &&
	       memcmp(ready->message, serving, sizeof(serving)) == 0;
}

static bool ready_has_passed(const struct ready *ready, CURLcode result)
{
	long status = 0;

	if (result != CURLE_OK)
		return false;
	curl_easy_getinfo(ready->easy, CURLINFO_RESPONSE_CODE, &status);
	if (ready->settings.spec.kind == READY_GRPC)
		return status == 200 && ready_is_serving(ready);
	return status >= 200 && status < 400;
}

static void ready_on_done(void *arg, CURL *easy, CURLcode result)
{
	struct ready *ready = arg;
	bool has_passed = ready_has_passed(ready, result);

	log_debug("asked for readiness", "address=%zu result=\"%s\" ready=%d", ready->next - 1,
		  curl_easy_strerror(result), has_passed);
	curl_easy_cleanup(easy);
	ready->easy = NULL;
	if (!has_passed) {
		ready_try(ready);
		return;
	}
	ready->settings.port_changed(ready->settings.arg, 0);
	ready->settings.ready(ready->settings.arg);
}

static int ready_add_header(struct ready *ready, const char *header)
{
	struct curl_slist *grown = curl_slist_append(ready->headers, header);

	if (!grown)
		return -ENOMEM;
	ready->headers = grown;
	return 0;
}

/* HealthCheckRequest { string service = 1; } behind its length. */
static void ready_make_request(struct ready *ready)
{
	size_t len = strnlen(ready->settings.spec.service, READY_SERVICE_MAX);
	size_t message_len = len ? len + 2 : 0;

	ready->request[4] = (char)message_len;
	ready->request[5] = 0x0a;
	ready->request[6] = (char)len;
	memcpy(ready->request + 7, ready->settings.spec.service, len);
	ready->request_len = 5 + message_len;
}

static int ready_make_headers(struct ready *ready)
{
	const struct ready_spec *spec = &ready->settings.spec;
	int r = 0;

	if (spec->kind == READY_GRPC) {
		ready_make_request(ready);
		r = ready_add_header(ready, "Content-Type: application/grpc");
		if (r == 0)
			r = ready_add_header(ready, "TE: trailers");
	}
	for (size_t i = 0; spec->kind == READY_HTTP && i < spec->headers_len && r == 0; i++)
		r = ready_add_header(ready, spec->headers[i]);
	return r;
}

int ready_new(struct ready **out, struct event_base *base, struct http *http,
	      const struct ready_settings *settings)
{
	_cleanup_(ready_free) struct ready *ready = calloc(1, sizeof(*ready));

	if (!ready)
		return log_err(-ENOMEM, "cannot set up how to ask for readiness");
	ready->settings = *settings;
	ready->http = http;
	ready->transfer = (struct http_transfer){ .done = ready_on_done, .arg = ready };
	ready->pause_timer = timer_new(base, ready_on_pause, ready);
	if (!ready->pause_timer || ready_make_headers(ready) < 0)
		return log_err(-ENOMEM, "cannot set up how to ask for readiness");
	*out = TAKE_PTR(ready);
	return 0;
}

void ready_free(struct ready **ready)
{
	if (!*ready)
		return;
	if ((*ready)->pause_timer) {
		ready_stop(*ready);
		timer_free(&(*ready)->pause_timer);
	}
	curl_slist_free_all((*ready)->headers);
	free(*ready);
	*ready = NULL;
}

void ready_start(struct ready *ready, const struct ready_address *addresses, size_t len)
{
	ready_stop(ready);
	ready->addresses_len = min_u64(len, READY_ADDRESSES_MAX);
	for (size_t i = 0; i < ready->addresses_len; i++)
		ready->addresses[i] = addresses[i];
	ready->next = 0;
	ready->pause_us = READY_PAUSE_MIN_US;
	if (ready->settings.spec.kind == READY_LISTENS)
		ready_pause(ready);
	else
		ready_try(ready);
}

void ready_stop(struct ready *ready)
{
	timer_stop(ready->pause_timer);
	if (!ready->easy)
		return;
	http_cancel(ready->http, ready->easy);
	curl_easy_cleanup(TAKE_PTR(ready->easy));
	ready->settings.port_changed(ready->settings.arg, 0);
}
