/* SPDX-License-Identifier: MIT */
/*
 * Tells the status to whoever asks, by HTTP: GET /metrics, /status (JSON), /status.txt (the text
 * of `doze status`), /healthz (it runs) and /readyz (503 and the reason while it cannot do its
 * work), on a unix socket, which root alone may use, and on an address if one is given.
 */
#ifndef DOZE_SERVER_H
#define DOZE_SERVER_H

#include "report/status.h"

#define SERVER_DIRECTORY   "/run/doze"
#define SERVER_STATUS_JSON "/status"
#define SERVER_STATUS_TEXT "/status.txt"
#define SERVER_READY	   "/readyz"

struct event_base;
struct server;

struct server_settings {
	struct event_base *base;
	const char *socket_path; /* NULL: none. Its directory is made. */
	const char *listen;	 /* NULL: none; "127.0.0.1:9090", "[::1]:9090", ":9090" */
	/* Fills in what is asked for; what it points to stays until the next call. */
	void (*snapshot)(void *arg, struct status *out);
	void *arg;
};

/*
 * The caller owns *out. A socket file that nobody listens on any more is replaced, and others of
 * SERVER_DIRECTORY are removed; -EADDRINUSE: somebody does; -EEXIST: it is no socket. Logs its
 * errors, -errno.
 */
int server_new(struct server **out, const struct server_settings *settings);

/* Removes the socket file. */
void server_free(struct server **s);

#endif
