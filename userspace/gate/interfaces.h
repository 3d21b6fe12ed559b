/* SPDX-License-Identifier: MIT */
/*
 * The interfaces of a network namespace that traffic for a target can arrive on, now and later:
 * those with the names given, or every one that is up and has an address (lo too).
 */
#ifndef DOZE_INTERFACES_H
#define DOZE_INTERFACES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/netns.h"

struct event_base;
struct interfaces;

/*
 * Called for each interface that appears; it answers 0, or -errno if the interface cannot be
 * used: it is then tried again when something has changed. An interface that disappears takes
 * what was attached to it along; gone() is told so that it can forget it.
 */
typedef int (*interfaces_appeared_fn)(void *arg, unsigned int ifindex, const char *name);
typedef void (*interfaces_gone_fn)(void *arg, unsigned int ifindex, const char *name);

struct interfaces_settings {
	const char *const *names; /* borrowed; none: every interface with an address */
	size_t names_len;
	interfaces_appeared_fn appeared;
	interfaces_gone_fn gone;
	/* By interfaces_free(), in the namespace, of each that is there and used; may be NULL. */
	interfaces_gone_fn released;
	void *arg;
};

/*
 * Calls appeared() for what is there before it returns. -ENODEV when a name is of no interface, or
 * when there is none at all; the first error of appeared(). ns is borrowed. Logs its errors.
 */
int interfaces_new(struct interfaces **out, struct event_base *base, const struct netns *ns,
		   const struct interfaces_settings *settings);
void interfaces_free(struct interfaces **i);

#endif
