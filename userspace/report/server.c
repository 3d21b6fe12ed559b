// SPDX-License-Identifier: MIT
/* libevent's evhttp, with small limits: a request to us has no body. */
#include "report/server.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "base/util.h"
#include "report/metrics.h"
#include "report/status_json.h"
#include "report/status_text.h"

#define SERVER_BODY_MAX	   0
#define SERVER_HEADERS_MAX 8192
#define SERVER_TIMEOUT_S   10

struct server {
	struct server_settings settings;
	struct evhttp *http;
	bool has_socket; /* ours to remove */
};

static void server_reply(struct evhttp_request *request, const char *type, const char *text,
			 size_t len)
{
	struct evbuffer *body = evbuffer_new();

	if (!body) {
		evhttp_send_error(request, HTTP_INTERNAL, NULL);
		return;
	}
	evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type", type);
	evbuffer_add(body, text, len);
	evhttp_send_reply(request, HTTP_OK, "OK", body);
	evbuffer_free(body);
}

static void server_reply_printed(const struct server *s, struct evhttp_request *request,
				 const char *type,
				 void (*print)(FILE *out, const struct status *status))
{
	_cleanup_(freep) char *text = NULL;
	struct status status = { 0 };
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (!out) {
		evhttp_send_error(request, HTTP_INTERNAL, NULL);
		return;
	}
	s->settings.snapshot(s->settings.arg, &status);
	print(out, &status);
	if (fclose(out) == 0)
		server_reply(request, type, text, len);
	else
		evhttp_send_error(request, HTTP_INTERNAL, NULL);
}

static void server_on_metrics(struct evhttp_request *request, void *arg)
{
	server_reply_printed(arg, request, METRICS_CONTENT_TYPE, metrics_print);
}

static void server_on_status_text(struct evhttp_request *request, void *arg)
{
	server_reply_printed(arg, request, "text/plain; charset=utf-8", status_text_print);
}

static void server_on_status(struct evhttp_request *request, void *arg)
{
	const struct server *s = arg;
	_cleanup_(freep) char *text = NULL;
	struct status status = { 0 };

	s->settings.snapshot(s->settings.arg, &status);
	text = status_json_format(&status);
	if (text)
		server_reply(request, "application/json", text, strlen(text));
	else
		evhttp_send_error(request, HTTP_INTERNAL, NULL);
}

static void server_on_healthz(struct evhttp_request *request, void *arg)
{
	(void)arg;
	server_reply(request, "text/plain", "ok\n", 3);
}

/* --- listening --- */

static bool server_is_listened_on(const struct sockaddr_un *address)
{
	_cleanup_(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0;
}

static int server_make_directory(const char *path)
{
	char directory[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char *slash;

	snprintf(directory, sizeof(directory), "%s", path);
	slash = strrchr(directory, '/');
	if (!slash || slash == directory)
		return 0;
	*slash = '\0';
	return mkdir(directory, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

/* Only root may ask: made so before anybody can connect. */
static int server_bind_unix(const struct sockaddr_un *address)
{
	_cleanup_(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mode_t mask;
	int r;

	if (fd < 0)
		return -errno;
	if (server_is_listened_on(address))
		return -EADDRINUSE;
	unlink(address->sun_path);
	mask = umask(0177);
	r = bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ? -errno : 0;
	umask(mask);
	if (r < 0 || listen(fd, SOMAXCONN) < 0)
		return r < 0 ? r : -errno;
	return TAKE_FD(fd);
}

static int server_listen_unix(struct server *s)
{
	const char *path = s->settings.socket_path;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int r;

	if (!path)
		return 0;
	if (strlen(path) >= sizeof(address.sun_path))
		return log_err(-ENAMETOOLONG, "--socket: '%s'", path);
	memcpy(address.sun_path, path, strlen(path));
	r = server_make_directory(path);
	if (r == 0)
		r = server_bind_unix(&address);
	if (r < 0)
		return log_err(r, "cannot listen on the socket '%s'", path);
	s->has_socket = true;
	if (evhttp_accept_socket(s->http, r) < 0) {
		close(r);
		return log_err(-ENOMEM, "cannot listen on the socket '%s'", path);
	}
	return 0;
}

static int server_listen_tcp(struct server *s)
{
	const char *listen_at = s->settings.listen;
	char host[INET6_ADDRSTRLEN + 2];
	const char *colon;
	size_t len;

	if (!listen_at)
		return 0;
	colon = strrchr(listen_at, ':');
	len = colon ? (size_t)(colon - listen_at) : sizeof(host);
	if (len >= sizeof(host))
		return log_err(-EINVAL, "--listen: '%s' is not an address and a port", listen_at);
	/* An IPv6 address stands in brackets; without an address, it is every address. */
	if (len && *listen_at == '[')
		snprintf(host, sizeof(host), "%.*s", (int)len - 2, listen_at + 1);
	else
		snprintf(host, sizeof(host), "%.*s", (int)len, listen_at);
	errno = 0;
	if (evhttp_bind_socket(s->http, len ? host : "::", (uint16_t)atoi(colon + 1)) < 0)
		return log_err(errno ? -errno : -EADDRNOTAVAIL, "cannot listen on '%s'", listen_at);
	return 0;
}

int server_new(struct server **out, const struct server_settings *settings)
{
	_cleanup_(server_free) struct server *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return log_err(-ENOMEM, "cannot serve the status");
	s->settings = *settings;
	s->http = evhttp_new(settings->base);
	if (!s->http)
		return log_err(-ENOMEM, "cannot serve the status");
	evhttp_set_allowed_methods(s->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
	evhttp_set_max_body_size(s->http, SERVER_BODY_MAX);
	evhttp_set_max_headers_size(s->http, SERVER_HEADERS_MAX);
	evhttp_set_timeout(s->http, SERVER_TIMEOUT_S);
	evhttp_set_cb(s->http, "/metrics", server_on_metrics, s);
	evhttp_set_cb(s->http, SERVER_STATUS_JSON, server_on_status, s);
	evhttp_set_cb(s->http, SERVER_STATUS_TEXT, server_on_status_text, s);
	evhttp_set_cb(s->http, "/healthz", server_on_healthz, s);
	r = server_listen_unix(s);
	if (r == 0)
		r = server_listen_tcp(s);
	if (r < 0)
		return r;
	*out = TAKE_PTR(s);
	return 0;
}

void server_free(struct server **s)
{
	if (!*s)
		return;
	if ((*s)->has_socket)
		unlink((*s)->settings.socket_path);
	if ((*s)->http)
		evhttp_free((*s)->http);
	free(*s);
	*s = NULL;
}
