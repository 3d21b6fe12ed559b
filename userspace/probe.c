// SPDX-License-Identifier: MIT
/* One libcurl transfer after the other, each from a socket made in the target's namespace. */
#include "probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "log.h"
#include "util.h"

#define PROBE_PAUSE_MIN_US 2000
#define PROBE_PAUSE_MAX_US 250000

/* One try. HTTP has what the kubelet gives it by default (timeoutSeconds: 1). */
#define PROBE_CONNECT_TIMEOUT_MS 250L
#define PROBE_TIMEOUT_MS	 1000L

struct probe {
	struct probe_settings settings;
	struct http *http;
	struct http_transfer transfer;
	struct event *pause_timer;
	CURL *easy; /* of the try that runs */
	struct probe_address addresses[PROBE_ADDRESSES_MAX];
	size_t addresses_len, next;
	unsigned int pause_us;
};

static int probe_socket(const struct netns *ns, int family)
{
	int fd;

	if (netns_enter(ns) < 0)
		return -1;
	fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
	netns_leave(ns);
	return fd;
}

/* A local port before the connect, so that the gate knows it before the SYN. 0: none. */
static uint16_t probe_bind(int fd, int family)
{
	union {
		struct sockaddr any;
		struct sockaddr_in ipv4;
		struct sockaddr_in6 ipv6;
	} address = { .any.sa_family = (sa_family_t)family };
	socklen_t len = family == AF_INET ? sizeof(address.ipv4) : sizeof(address.ipv6);

	if (bind(fd, &address.any, len) < 0 || getsockname(fd, &address.any, &len) < 0)
		return 0;
	return ntohs(family == AF_INET ? address.ipv4.sin_port : address.ipv6.sin6_port);
}

static curl_socket_t probe_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *to)
{
	const struct probe *p = arg;
	_cleanup_(closep) int fd = probe_socket(p->settings.ns, to->family);
	uint16_t port;

	(void)purpose;
	if (fd < 0)
		return CURL_SOCKET_BAD;
	port = probe_bind(fd, to->family);
	if (!port)
		return CURL_SOCKET_BAD;
	p->settings.port_changed(p->settings.arg, port);
	return TAKE_FD(fd);
}

static size_t probe_discard(char *data, size_t size, size_t len, void *arg)
{
	(void)data;
	(void)arg;
	return size * len;
}

static bool probe_is_ipv4(const struct gate_addr *addr)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	return memcmp(addr->bytes, mapped, sizeof(mapped)) == 0;
}

static void probe_format_url(const struct probe *p, const struct probe_address *to, char *out,
			     size_t room)
{
	const char *path = p->settings.kind == PROBE_HTTP ? p->settings.path : "/";
	char text[INET6_ADDRSTRLEN];

	if (probe_is_ipv4(&to->addr)) {
		inet_ntop(AF_INET, to->addr.bytes + 12, text, sizeof(text));
		snprintf(out, room, "http://%s:%u%s", text, to->port, path);
	} else {
		inet_ntop(AF_INET6, to->addr.bytes, text, sizeof(text));
		snprintf(out, room, "http://[%s]:%u%s", text, to->port, path);
	}
}

static CURL *probe_easy(struct probe *p, const struct probe_address *to)
{
	CURL *easy = curl_easy_init();
	char url[4096];

	if (!easy)
		return NULL;
	probe_format_url(p, to, url, sizeof(url));
	curl_easy_setopt(easy, CURLOPT_URL, url);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http");
	curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "doze-probe");
	curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
	curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
	curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, p->settings.kind == PROBE_TCP ? 1L : 0L);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, PROBE_CONNECT_TIMEOUT_MS);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, PROBE_TIMEOUT_MS);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, probe_open_socket);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, p);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, probe_discard);
	return easy;
}

static void probe_pause(struct probe *p)
{
	const struct timeval pause = { .tv_usec = p->pause_us };

	event_add(p->pause_timer, &pause);
	p->pause_us = (unsigned int)min_u64(p->pause_us * 3 / 2, PROBE_PAUSE_MAX_US);
}

/* The next address; after the last of them, a pause. */
static void probe_try(struct probe *p)
{
	if (p->next == p->addresses_len) {
		p->next = 0;
		probe_pause(p);
		return;
	}
	p->easy = probe_easy(p, &p->addresses[p->next++]);
	if (p->easy && http_start(p->http, p->easy, &p->transfer) == 0)
		return;
	curl_easy_cleanup(TAKE_PTR(p->easy));
	probe_pause(p);
}

static void probe_on_pause(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	probe_try(arg);
}

static bool probe_has_passed(const struct probe *p, CURLcode result)
{
	long status = 0;

	if (result != CURLE_OK)
		return false;
	if (p->settings.kind == PROBE_TCP)
		return true;
	curl_easy_getinfo(p->easy, CURLINFO_RESPONSE_CODE, &status);
	return status >= 200 && status < 400;
}

static void probe_on_done(void *arg, CURL *easy, CURLcode result)
{
	struct probe *p = arg;
	bool has_passed = probe_has_passed(p, result);

	log_debug("readiness probe", "address=%zu result=\"%s\" ready=%d", p->next - 1,
		  curl_easy_strerror(result), has_passed);
	p->easy = NULL;
	curl_easy_cleanup(easy);
	if (!has_passed) {
		probe_try(p);
		return;
	}
	p->settings.port_changed(p->settings.arg, 0);
	p->settings.ready(p->settings.arg);
}

int probe_new(struct probe **out, struct event_base *base, struct http *http,
	      const struct probe_settings *settings)
{
	_cleanup_(probe_free) struct probe *p = calloc(1, sizeof(*p));

	if (!p)
		return log_err(-ENOMEM, "cannot set up the readiness probe");
	p->settings = *settings;
	p->http = http;
	p->transfer = (struct http_transfer){ .done = probe_on_done, .arg = p };
	p->pause_timer = evtimer_new(base, probe_on_pause, p);
	if (!p->pause_timer)
		return log_err(-ENOMEM, "cannot set up the readiness probe");
	*out = TAKE_PTR(p);
	return 0;
}

void probe_free(struct probe **p)
{
	if (!*p)
		return;
	if ((*p)->pause_timer) {
		probe_stop(*p);
		event_free((*p)->pause_timer);
	}
	free(*p);
	*p = NULL;
}

void probe_start(struct probe *p, const struct probe_address *addresses, size_t len)
{
	probe_stop(p);
	p->addresses_len = min_u64(len, PROBE_ADDRESSES_MAX);
	memcpy(p->addresses, addresses, p->addresses_len * sizeof(*addresses));
	p->next = 0;
	p->pause_us = PROBE_PAUSE_MIN_US;
	probe_try(p);
}

void probe_stop(struct probe *p)
{
	event_del(p->pause_timer);
	if (!p->easy)
		return;
	http_cancel(p->http, p->easy);
	curl_easy_cleanup(TAKE_PTR(p->easy));
	p->settings.port_changed(p->settings.arg, 0);
}
