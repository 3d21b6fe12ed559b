/* SPDX-License-Identifier: MIT */
/*
 * Watches for the interfaces that traffic for a target can arrive on: those with the given names,
 * or else every interface of the network namespace that is up (lo, too), but for ports of bridges
 * and bonds, whose packets come in by those.
 */
#ifndef DOZE_INTERFACES_H
#define DOZE_INTERFACES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/netns.h"

struct event_base;
struct interfaces;

/*
 * appeared() is called for each interface, in its namespace. If it returns -errno, it is called for
 * this interface again, soon and when any has changed. gone() is called when an interface has
 * disappeared, and with it whatever was attached to it.
 */
typedef int (*interfaces_appeared_fn)(void *arg, unsigned int ifindex, const char *name);
typedef void (*interfaces_gone_fn)(void *arg, unsigned int ifindex, const char *name);

struct interfaces_settings {
	const char *const *names; /* borrowed; none: every interface with an address */
	size_t names_len;
	interfaces_appeared_fn appeared;
	interfaces_gone_fn gone;
	/* Called by interfaces_free(), in the namespace, for each that is in use; may be NULL. */
	interfaces_gone_fn released;
	void *arg;
};

/*
 * Calls appeared() for the interfaces that are there before it returns. -ENODEV if a name is not an
 * interface's, or if there is no interface at all; else the first error of appeared() for an
 * interface that is still there. Logs its errors. ns is borrowed.
 */
int interfaces_new(struct interfaces **out, struct event_base *base, const struct netns *ns,
		   const struct interfaces_settings *settings);
void interfaces_free(struct interfaces **i);

#endif
