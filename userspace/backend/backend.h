/* SPDX-License-Identifier: MIT */
/* What changes the size of a target. Each kind fills in a backend_ops. */
#ifndef DOZE_BACKEND_H
#define DOZE_BACKEND_H

#include <stdint.h>

enum backend_size {
	BACKEND_FULL,
	BACKEND_ASLEEP,
};

/*
 * Called once for each resize() that was not superseded by a later one, perhaps before resize()
 * returns. r: 0 when the size has been reached, else -errno, logged already.
 */
typedef void (*backend_done_fn)(void *arg, enum backend_size size, int r);

struct backend;

struct backend_ops {
	const char *name;
	/* Supersedes a resize that is in flight. Does not block. */
	void (*resize)(struct backend *b, enum backend_size size);
	/*
	 * NULL, or: the size asleep once more, should a watchdog have undone it. Of one that sleeps
	 * and is not being resized.
	 */
	void (*reassert)(struct backend *b);
	/* CPU time used so far. -ENODEV where the backend cannot know. */
	int (*usage_us)(struct backend *b, uint64_t *out);
	/* Memory given back so far. NULL where none ever is. */
	uint64_t (*reclaimed_bytes)(const struct backend *b);
	/* Takes NULL, leaves NULL. The size stays what it is. */
	void (*free)(struct backend **b);
};

struct backend {
	const struct backend_ops *ops;
	backend_done_fn done;
	void *done_arg;
};

static inline void backend_free(struct backend **b)
{
	if (*b)
		(*b)->ops->free(b);
}

#endif
