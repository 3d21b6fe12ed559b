/* SPDX-License-Identifier: MIT */
/*
 * Cuts a list of the API server into its items, as its bytes come: however long the list is, one
 * item at a time is in memory. Pure.
 *
 *   {"kind":"PodList","metadata":{"continue":"..."},"items":[{...},{...}]}
 */
#ifndef DOZE_LIST_ITEMS_H
#define DOZE_LIST_ITEMS_H

#include "kube/kube_text.h"

/* All zero to begin with. */
struct list_items {
	struct kube_text envelope; /* the list without its items */
	struct kube_text item;	   /* the one that has not ended yet */
	unsigned int depth;	   /* of brackets */
	bool is_in_items, is_in_string, is_escaped;
};

/* Returns false to end it. */
typedef bool (*list_items_fn)(void *arg, const struct kube_text *item);

/* Calls each() for every item that ends in these bytes. false: no memory, or each() ended it. */
bool list_items_add(struct list_items *l, const char *bytes, size_t len, list_items_fn each,
		    void *arg);
void list_items_free(struct list_items *l);

#endif
