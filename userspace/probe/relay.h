/* SPDX-License-Identifier: MIT */
/*
 * Carries a connection on to another one byte for byte, both ways: what one end closes or resets
 * is closed or reset at the other. No more than RELAY_BUFFER_MAX bytes wait in either direction. A
 * peer that has vanished is found out by TCP keep-alives.
 */
#ifndef DOZE_RELAY_H
#define DOZE_RELAY_H

#include <stdbool.h>
#include <stddef.h>

#define RELAY_BUFFER_MAX (32 * 1024)

struct bufferevent;
struct relay;

/* Both connections are closed; the relay is gone when this returns. */
typedef void (*relay_done_fn)(void *arg);

/*
 * Takes both over, connected, with what they have read so far. The relay frees itself when they
 * are closed, after done(); relay_free() cuts it short, with resets. -ENOMEM: nothing was taken.
 */
int relay_start(struct relay **out, struct bufferevent *client, struct bufferevent *application,
		relay_done_fn done, void *arg);
void relay_free(struct relay **relay);

/* The client waits for an answer or for the rest of one, as far as can be seen. */
bool relay_is_busy(const struct relay *relay);

/* Tells the peer, in order, that nothing more comes from us. */
void relay_shut_down(struct bufferevent *stream);

/* Closes with a reset: the peer must not take it for a proper end. Frees it. */
void relay_reset(struct bufferevent **stream);

#endif
