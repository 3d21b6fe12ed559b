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

static int ready_socket(const struct netns *ns, int family)
{
	int fd;

	if (netns_enter(ns) < 0)
		return -1;
	fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
	netns_leave(ns);
	return fd;
}

/* A local port before the connect, so that the gate knows it before the SYN. 0: none. */
static uint16_t ready_bind(int fd, int family)
{
	union address_sockaddr address = { .ipv6.sin6_family = (sa_family_t)family };
	socklen_t len = family == AF_INET ? sizeof(address.ipv4) : sizeof(address.ipv6);
	__be16 port_be;

	if (bind(fd, &address.any, len) < 0 || getsockname(fd, &address.any, &len) < 0)
		return 0;
	address_from_sockaddr(&address, &port_be);
	return ntohs(port_be);
}

static curl_socket_t ready_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *to)
{
	const struct ready *p = arg;
	_cleanup_(closep) int fd = ready_socket(p->settings.ns, to->family);
	uint16_t port;

	(void)purpose;
	if (fd < 0)
		return CURL_SOCKET_BAD;
	port = ready_bind(fd, to->family);
	if (!port)
		return CURL_SOCKET_BAD;
	p->settings.port_changed(p->settings.arg, port);
	return TAKE_FD(fd);
}

static size_t ready_on_body(char *data, size_t size, size_t count, void *arg)
{
	struct ready *p = arg;
	size_t len = size * count;
	size_t kept = min_u64(len, sizeof(p->message) - p->message_len);

	memcpy(p->message + p->message_len, data, kept);
	p->message_len += kept;
	return len;
}

static const char *ready_path(const struct ready_spec *spec)
{
	if (spec->kind == READY_GRPC)
		return "/grpc.health.v1.Health/Check";
	return spec->kind == READY_HTTP ? spec->path : "/";
}

static void ready_format_url(const struct ready *p, const struct ready_address *to, char *out,
			     size_t room)
{
	const struct ready_spec *spec = &p->settings.spec;
	const char *scheme = spec->is_https ? "https" : "http";
	const char *slash = *ready_path(spec) == '/' ? "" : "/";
	uint16_t port = spec->port ? spec->port : to->port;
	char text[INET6_ADDRSTRLEN];

	address_format(&to->addr, text);
	snprintf(out, room, address_is_ipv4(&to->addr) ? "%s://%s:%u%s%s" : "%s://[%s]:%u%s%s",
		 scheme, text, port, slash, ready_path(spec));
}

/* The health protocol over HTTP/2 without TLS, as a kubelet speaks it. */
static void ready_set_grpc(struct ready *p, CURL *easy)
{
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE);
	curl_easy_setopt(easy, CURLOPT_POSTFIELDS, p->request);
	curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)p->request_len);
}

static CURL *ready_easy(struct ready *p, const struct ready_address *to)
{
	CURL *easy = curl_easy_init();
	char url[4096];

	if (!easy)
		return NULL;
	ready_format_url(p, to, url, sizeof(url));
	curl_easy_setopt(easy, CURLOPT_URL, url);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
	curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "doze-ready");
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, p->headers);
	curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
	curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
	curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, p->settings.spec.kind == READY_TCP ? 1L : 0L);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, READY_CONNECT_TIMEOUT_MS);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, READY_TIMEOUT_MS);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, ready_open_socket);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, p);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, ready_on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, p);
	if (p->settings.spec.kind == READY_GRPC)
		ready_set_grpc(p, easy);
	return easy;
}

static void ready_pause(struct ready *p)
{
	timer_in_ns(p->pause_timer, p->pause_us * NS_PER_US);
	p->pause_us = (unsigned int)min_u64(p->pause_us * 3 / 2, READY_PAUSE_MAX_US);
}

/* The next address; after the last of them, a pause. */
static void ready_try(struct ready *p)
{
	if (p->next == p->addresses_len) {
		p->next = 0;
		ready_pause(p);
		return;
	}
	p->message_len = 0;
	p->easy = ready_easy(p, &p->addresses[p->next++]);
	if (p->easy && http_start(p->http, p->easy, &p->transfer) == 0)
		return;
	curl_easy_cleanup(TAKE_PTR(p->easy));
	ready_pause(p);
}

static void ready_on_pause(void *arg)
{
	ready_try(arg);
}

/*
 * A length-prefixed message (five bytes before it), uncompressed, whose first field is the status:
 * 1 is SERVING (grpc.health.v1, health.proto).
 */
static bool ready_is_serving(const struct ready *p)
{
	static const uint8_t serving[] = { 0, 0, 0, 0, 2, 0x08, 1 };

	return p->message_len == sizeof(serving) &&
	       memcmp(p->message, serving, sizeof(serving)) == 0;
}

static bool ready_has_passed(const struct ready *p, CURLcode result)
{
	long status = 0;

	if (result != CURLE_OK)
		return false;
	if (p->settings.spec.kind == READY_TCP)
		return true;
	curl_easy_getinfo(p->easy, CURLINFO_RESPONSE_CODE, &status);
	if (p->settings.spec.kind == READY_GRPC)
		return status == 200 && ready_is_serving(p);
	return status >= 200 && status < 400;
}

static void ready_on_done(void *arg, CURL *easy, CURLcode result)
{
	struct ready *p = arg;
	bool has_passed = ready_has_passed(p, result);

	log_debug("readiness probe", "address=%zu result=\"%s\" ready=%d", p->next - 1,
		  curl_easy_strerror(result), has_passed);
	curl_easy_cleanup(easy);
	p->easy = NULL;
	if (!has_passed) {
		ready_try(p);
		return;
	}
	p->settings.port_changed(p->settings.arg, 0);
	p->settings.ready(p->settings.arg);
}

static int ready_add_header(struct ready *p, const char *header)
{
	struct curl_slist *grown = curl_slist_append(p->headers, header);

	if (!grown)
		return -ENOMEM;
	p->headers = grown;
	return 0;
}

/* HealthCheckRequest { string service = 1; } behind its length. */
static void ready_make_request(struct ready *p)
{
	size_t len = strnlen(p->settings.spec.service, READY_SERVICE_MAX);
	size_t message_len = len ? len + 2 : 0;

	p->request[4] = (char)message_len;
	p->request[5] = 0x0a;
	p->request[6] = (char)len;
	memcpy(p->request + 7, p->settings.spec.service, len);
	p->request_len = 5 + message_len;
}

static int ready_make_headers(struct ready *p)
{
	const struct ready_spec *spec = &p->settings.spec;
	int r = 0;

	if (spec->kind == READY_GRPC) {
		ready_make_request(p);
		r = ready_add_header(p, "Content-Type: application/grpc");
		if (r == 0)
			r = ready_add_header(p, "TE: trailers");
	}
	for (size_t i = 0; spec->kind == READY_HTTP && i < spec->headers_len && r == 0; i++)
		r = ready_add_header(p, spec->headers[i]);
	return r;
}

int ready_new(struct ready **out, struct event_base *base, struct http *http,
	      const struct ready_settings *settings)
{
	_cleanup_(ready_free) struct ready *p = calloc(1, sizeof(*p));

	if (!p)
		return log_err(-ENOMEM, "cannot set up the readiness probe");
	p->settings = *settings;
	p->http = http;
	p->transfer = (struct http_transfer){ .done = ready_on_done, .arg = p };
	p->pause_timer = timer_new(base, ready_on_pause, p);
	if (!p->pause_timer || ready_make_headers(p) < 0)
		return log_err(-ENOMEM, "cannot set up the readiness probe");
	*out = TAKE_PTR(p);
	return 0;
}

void ready_free(struct ready **p)
{
	if (!*p)
		return;
	if ((*p)->pause_timer) {
		ready_stop(*p);
		timer_free(&(*p)->pause_timer);
	}
	curl_slist_free_all((*p)->headers);
	free(*p);
	*p = NULL;
}

void ready_start(struct ready *p, const struct ready_address *addresses, size_t len)
{
	ready_stop(p);
	p->addresses_len = min_u64(len, READY_ADDRESSES_MAX);
	memcpy(p->addresses, addresses, p->addresses_len * sizeof(*addresses));
	p->next = 0;
	p->pause_us = READY_PAUSE_MIN_US;
	ready_try(p);
}

void ready_stop(struct ready *p)
{
	timer_stop(p->pause_timer);
	if (!p->easy)
		return;
	http_cancel(p->http, p->easy);
	curl_easy_cleanup(TAKE_PTR(p->easy));
	p->settings.port_changed(p->settings.arg, 0);
}
