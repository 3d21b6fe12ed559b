// SPDX-License-Identifier: MIT
/* What is answered to which path, and where it is listened. */
#include "report/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <glob.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/acceptor.h"
#include "base/log.h"
#include "base/util.h"
#include "report/metrics.h"
#include "report/server_connection.h"
#include "report/status_json.h"
#include "report/status_text.h"

enum server_place {
	SERVER_UNIX,
	SERVER_TCP,
	SERVER_PLACES
};

struct server {
	struct server_settings settings;
	struct server_connection_set connections;
	struct acceptor *acceptors[SERVER_PLACES];
	int listen_fds[SERVER_PLACES];
	bool has_socket; /* ours to remove */
};

/* --- answers --- */

static void server_answer_with(struct server_answer *out, const char *type, char *body)
{
	out->code = body ? 200 : 500;
	out->type = type;
	out->body = body;
	out->len = body ? strlen(body) : 0;
}

static char *server_print(const struct status *status,
			  void (*print)(FILE *out, const struct status *status))
{
	_cleanup_(freep) char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return NULL;
	print(out, status);
	return fclose(out) == 0 ? TAKE_PTR(text) : NULL;
}

/* What keeps the target from sleeping is no reason to start doze anew. */
static void server_print_healthz(FILE *out, const struct status *status)
{
	if (*status->problem)
		fprintf(out, "ok, but %s: %s\n",
			status->targets_len ? "no others sleep" : "nothing sleeps",
			status->problem);
	else
		fputs("ok\n", out);
}

static void server_print_readyz(FILE *out, const struct status *status)
{
	fprintf(out, "%s\n", *status->problem ? status->problem : "ok");
}

static void server_answer(void *arg, const char *path, struct server_answer *out)
{
	static const char plain[] = "text/plain; charset=utf-8";
	const struct server *s = arg;
	struct status status = { 0 };

	s->settings.snapshot(s->settings.arg, &status);
	if (strcmp(path, "/healthz") == 0)
		server_answer_with(out, plain, server_print(&status, server_print_healthz));
	else if (strcmp(path, SERVER_READY) == 0)
		server_answer_with(out, plain, server_print(&status, server_print_readyz));
	else if (strcmp(path, "/metrics") == 0)
		server_answer_with(out, METRICS_CONTENT_TYPE, server_print(&status, metrics_print));
	else if (strcmp(path, SERVER_STATUS_JSON) == 0)
		server_answer_with(out, "application/json", status_json_format(&status));
	else if (strcmp(path, SERVER_STATUS_TEXT) == 0)
		server_answer_with(out, plain, server_print(&status, status_text_print));
	if (out->code == 200 && strcmp(path, SERVER_READY) == 0 && *status.problem)
		out->code = 503;
}

static void server_on_accepted(void *arg, int fd)
{
	struct server *s = arg;

	server_connection_set_add(&s->connections, fd);
}

/* --- the unix socket --- */

enum server_found {
	SERVER_FOUND_NOTHING,
	SERVER_FOUND_FILE,
	SERVER_FOUND_DEAD,
	SERVER_FOUND_LIVE
};

/* What is at that path: a socket that nobody listens on is of a doze that was killed. */
static enum server_found server_find(const struct sockaddr_un *address)
{
	_cleanup_(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct stat st;

	if (lstat(address->sun_path, &st) < 0)
		return SERVER_FOUND_NOTHING;
	if (!S_ISSOCK(st.st_mode))
		return SERVER_FOUND_FILE;
	if (fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 &&
	    errno == ECONNREFUSED)
		return SERVER_FOUND_DEAD;
	return SERVER_FOUND_LIVE;
}

static int server_set_path(struct sockaddr_un *address, const char *path, const char *suffix)
{
	address->sun_family = AF_UNIX;
	return snprintf(address->sun_path, sizeof(address->sun_path), "%s%s", path, suffix) <
			       (int)sizeof(address->sun_path)
		       ? 0
		       : -ENAMETOOLONG;
}

/* Those of dozes that were killed: a name with a PID in it is nobody's to take over. */
static void server_sweep(void)
{
	glob_t found;

	if (glob(SERVER_DIRECTORY "/*.sock", 0, NULL, &found) != 0)
		return;
	for (size_t i = 0; i < found.gl_pathc; i++) {
		struct sockaddr_un address;

		if (server_set_path(&address, found.gl_pathv[i], "") == 0 &&
		    server_find(&address) == SERVER_FOUND_DEAD)
			unlink(address.sun_path);
	}
	globfree(&found);
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

/*
 * Only root may ask: made so before anybody can connect. The socket gets its name when it is
 * listened on, lest another doze sweep it; link(2) takes no name that somebody else has.
 */
static int server_bind_unix(const char *path)
{
	_cleanup_(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un beside;
	mode_t mask;
	int r = server_set_path(&beside, path, "~");

	if (fd < 0 || r < 0)
		return fd < 0 ? -errno : r;
	if (server_find(&beside) == SERVER_FOUND_DEAD)
		unlink(beside.sun_path);
	mask = umask(0177);
	r = bind(fd, (const struct sockaddr *)&beside, sizeof(beside)) < 0 ? -errno : 0;
	umask(mask);
	if (r < 0)
		return r;
	if (listen(fd, SOMAXCONN) < 0 || link(beside.sun_path, path) < 0)
		r = -errno;
	unlink(beside.sun_path);
	return r < 0 ? r : TAKE_FD(fd);
}

static int server_take_path(const char *path)
{
	struct sockaddr_un address;
	int r = server_set_path(&address, path, "");

	if (r < 0)
		return log_err(r, "--socket: '%s'", path);
	switch (server_find(&address)) {
	case SERVER_FOUND_FILE:
		return log_err(-EEXIST,
			       "--socket: '%s' is there and is no socket: remove it, or "
			       "choose another path",
			       path);
	case SERVER_FOUND_LIVE:
		return log_err(-EADDRINUSE, "--socket: somebody listens on '%s'", path);
	case SERVER_FOUND_DEAD:
		unlink(path);
		break;
	case SERVER_FOUND_NOTHING:
		break;
	}
	r = server_make_directory(path);
	if (r == 0)
		r = server_bind_unix(path);
	return r < 0 ? log_err(r, "cannot listen on the socket '%s'", path) : r;
}

static int server_listen_unix(struct server *s)
{
	const char *path = s->settings.socket_path;
	int r;

	if (!path)
		return 0;
	server_sweep();
	r = server_take_path(path);
	if (r < 0)
		return r;
	s->listen_fds[SERVER_UNIX] = r;
	s->has_socket = true;
	r = acceptor_new(&s->acceptors[SERVER_UNIX], s->settings.base, r, "who asks for the status",
			 server_on_accepted, s);
	return r < 0 ? log_err(r, "cannot listen on the socket '%s'", path) : 0;
}

/* --- the address --- */

struct server_address {
	union {
		struct sockaddr any;
		struct sockaddr_in ipv4;
		struct sockaddr_in6 ipv6;
	};
	socklen_t len;
};

/* "127.0.0.1:9090", "[::1]:9090"; ":9090" is every address, of IPv4 as well. */
static int server_parse_address(const char *text, struct server_address *out)
{
	char host[INET6_ADDRSTRLEN + 2] = "";
	const char *colon = strrchr(text, ':');
	in_port_t port_be = htons((uint16_t)atoi(colon ? colon + 1 : ""));
	size_t len = colon ? (size_t)(colon - text) : sizeof(host);

	if (len >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, len);
	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, host, &out->ipv4.sin_addr) == 1) {
		out->ipv4.sin_family = AF_INET;
		out->ipv4.sin_port = port_be;
		out->len = sizeof(out->ipv4);
		return 0;
	}
	out->ipv6.sin6_family = AF_INET6;
	out->ipv6.sin6_port = port_be;
	out->len = sizeof(out->ipv6);
	if (!len)
		return 0;
	host[len - 1] = '\0'; /* the bracket */
	return inet_pton(AF_INET6, host + 1, &out->ipv6.sin6_addr) == 1 ? 0 : -EINVAL;
}

static int server_bind_tcp(const char *listen_at)
{
	static const int on = 1, off = 0;
	struct server_address at;
	_cleanup_(closep) int fd = -1;
	int r = server_parse_address(listen_at, &at);

	if (r < 0)
		return r;
	fd = socket(at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 && errno == EAFNOSUPPORT && *listen_at == ':') {
		/* A machine without IPv6. */
		at.ipv4 = (struct sockaddr_in){ .sin_family = AF_INET,
						.sin_port = at.ipv6.sin6_port };
		at.len = sizeof(at.ipv4);
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	}
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(fd, &at.any, at.len) < 0 || listen(fd, SOMAXCONN) < 0)
		return -errno;
	return TAKE_FD(fd);
}

static int server_listen_tcp(struct server *s)
{
	int r;

	if (!s->settings.listen)
		return 0;
	r = server_bind_tcp(s->settings.listen);
	if (r < 0)
		return log_err(r, "cannot listen on '%s'", s->settings.listen);
	s->listen_fds[SERVER_TCP] = r;
	r = acceptor_new(&s->acceptors[SERVER_TCP], s->settings.base, r, "who asks for the status",
			 server_on_accepted, s);
	return r < 0 ? log_err(r, "cannot listen on '%s'", s->settings.listen) : 0;
}

int server_new(struct server **out, const struct server_settings *settings)
{
	_cleanup_(server_free) struct server *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return log_err(-ENOMEM, "cannot serve the status");
	s->settings = *settings;
	s->connections.base = settings->base;
	s->connections.answer = server_answer;
	s->connections.arg = s;
	TAILQ_INIT(&s->connections.of);
	s->listen_fds[SERVER_UNIX] = s->listen_fds[SERVER_TCP] = -1;
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
	server_connection_set_close(&(*s)->connections);
	for (size_t i = 0; i < SERVER_PLACES; i++) {
		acceptor_free(&(*s)->acceptors[i]);
		closep(&(*s)->listen_fds[i]);
	}
	free(*s);
	*s = NULL;
}
