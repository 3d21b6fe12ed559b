/* SPDX-License-Identifier: MIT */
/*
 * The connections of the server, by HTTP/1: each has one request, which is answered, and ends.
 * Whoever can reach the server may open as many as it likes: of SERVER_CONNECTIONS_MAX the oldest
 * ends when another comes, first of those that have not asked yet; and each after
 * SERVER_CONNECTION_S, whatever its caller does.
 */
#ifndef DOZE_SERVER_CONNECTION_H
#define DOZE_SERVER_CONNECTION_H

#include <stddef.h>
#include <sys/queue.h>

#define SERVER_CONNECTIONS_MAX 32
#define SERVER_CONNECTION_S    10
#define SERVER_HEAD_MAX	       8192

struct event_base;
struct server_connection;

struct server_answer {
	unsigned int code;
	const char *type; /* of the body */
	char *body;	  /* free()d by who has asked */
	size_t len;
};

struct server_connection_set {
	struct event_base *base;
	/* Fills in *out, which is a 404 without a body before. */
	void (*answer)(void *arg, const char *path, struct server_answer *out);
	void *arg;
	size_t len;
	TAILQ_HEAD(, server_connection) of;
};

/* Takes fd, which has been accepted and does not block. */
void server_connection_set_add(struct server_connection_set *all, int fd);

void server_connection_set_close(struct server_connection_set *all);

#endif
