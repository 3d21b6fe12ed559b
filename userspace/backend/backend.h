/* SPDX-License-Identifier: MIT */
/*
 * What changes the size of a target. Each kind has a struct of its own, and in it a struct backend
 * that the target is given. When it is freed, the size stays what it is.
 */
#ifndef DOZE_BACKEND_H
#define DOZE_BACKEND_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum backend_size {
	BACKEND_FULL,
	BACKEND_ASLEEP,
};

/* How deep a sleep is. */
enum backend_depth {
	BACKEND_THROTTLED,
	BACKEND_FROZEN,
	BACKEND_RECLAIMED, /* frozen, and memory was given back in this sleep */
};

/*
 * The full size is refused, and waiting does not cure that: a quota, a missing right. The backend
 * goes on asking, and calls done() once more when it is granted. No system call fails with it.
 */
#define BACKEND_REFUSED (-EREMOTEIO)

/*
 * Called once for each resize() that was not superseded by a later one, perhaps before resize()
 * returns. r: 0 when the size has been reached, else -errno, logged already; or BACKEND_REFUSED.
 */
typedef void (*backend_done_fn)(void *arg, enum backend_size size, int r);

/* What is NULL a kind does not have. self: its own struct. */
struct backend_ops {
	void (*resize)(void *self, enum backend_size size);
	int (*reassert)(void *self);
	void (*set_connected)(void *self, bool is_connected);
	int (*usage_us)(const void *self, uint64_t *out);
	int (*throttled_us)(const void *self, uint64_t *out);
	uint64_t (*reclaimed_bytes)(const void *self);
	enum backend_depth (*depth)(const void *self);
};

struct backend {
	const struct backend_ops *ops;
	void *self;
	backend_done_fn done; /* NULL: nobody waits */
	void *done_arg;
};

/* Supersedes a resize that is in flight. Does not block. */
static inline void backend_resize(struct backend *b, enum backend_size size)
{
	b->ops->resize(b->self, size);
}

/*
 * For one that sleeps, once a second: the size asleep once more, should the watchdog or somebody
 * else have changed it, which is logged once for each sleep. -errno, logged: it should not sleep
 * on.
 */
static inline int backend_reassert(struct backend *b)
{
	return b->ops->reassert ? b->ops->reassert(b->self) : 0;
}

/*
 * Whether a client is connected: as long as one is, sleep is no deeper than a throttle, because all
 * timers of a frozen process fire at the thaw, and close connections whose next request has come.
 * Told before resize(ASLEEP), and when it has changed while asleep.
 */
static inline void backend_set_connected(struct backend *b, bool is_connected)
{
	if (b->ops->set_connected)
		b->ops->set_connected(b->self, is_connected);
}

/* Whether it makes a difference to it. */
static inline bool backend_has_depths(const struct backend *b)
{
	return b->ops->set_connected != NULL;
}

/* For how long its quota was used up so far. -ENODEV where the backend cannot know. */
static inline int backend_throttled_us(const struct backend *b, uint64_t *out)
{
	return b->ops->throttled_us ? b->ops->throttled_us(b->self, out) : -ENODEV;
}

/* CPU time used so far. -ENODEV where the backend cannot know. */
static inline int backend_usage_us(const struct backend *b, uint64_t *out)
{
	return b->ops->usage_us ? b->ops->usage_us(b->self, out) : -ENODEV;
}

/* Memory given back so far. */
static inline uint64_t backend_reclaimed_bytes(const struct backend *b)
{
	return b->ops->reclaimed_bytes ? b->ops->reclaimed_bytes(b->self) : 0;
}

/* Of one that is asleep, as it is now. */
static inline enum backend_depth backend_depth(const struct backend *b)
{
	return b->ops->depth ? b->ops->depth(b->self) : BACKEND_THROTTLED;
}

/* For a backend: tells of the end of a resize. */
static inline void backend_done(const struct backend *b, enum backend_size size, int r)
{
	if (b->done)
		b->done(b->done_arg, size, r);
}

#endif
