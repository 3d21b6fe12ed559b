// SPDX-License-Identifier: MIT
/*
 * Counts brackets, and knows strings. An array that is a member of the list itself is that of its
 * items. What is no JSON shows when the pieces are parsed.
 */
#include "kube/list_items.h"

#define LIST_ITEMS_DEPTH 2 /* of the array; its items are below */

/* What a byte outside of strings does to the depth: 1 before it counts, -1 behind it, or 0. */
static int list_items_step(struct list_items *l, char c)
{
	if (l->is_in_string) {
		if (l->is_escaped)
			l->is_escaped = false;
		else if (c == '\\')
			l->is_escaped = true;
		else if (c == '"')
			l->is_in_string = false;
		return 0;
	}
	if (c == '"')
		l->is_in_string = true;
	if (c == '{' || c == '[')
		return 1;
	return c == '}' || c == ']' ? -1 : 0;
}

/* Those that a byte belongs to; NULL: it separates items. */
static struct kube_text *list_items_owner(struct list_items *l)
{
	if (!l->is_in_items)
		return &l->envelope;
	return l->depth > LIST_ITEMS_DEPTH ? &l->item : NULL;
}

static bool list_items_end(struct list_items *l, list_items_fn each, void *arg)
{
	bool goes_on = each(arg, &l->item);

	kube_text_clear(&l->item);
	return goes_on;
}

static bool list_items_add_one(struct list_items *l, char c, list_items_fn each, void *arg)
{
	int step = list_items_step(l, c);
	struct kube_text *owner;

	if (step > 0)
		l->depth++;
	if (step < 0 && l->is_in_items && l->depth == LIST_ITEMS_DEPTH)
		l->is_in_items = false; /* its bracket is the list's again */
	owner = list_items_owner(l);
	if (owner && !kube_text_add(owner, &c, 1))
		return false;
	if (step > 0 && c == '[' && l->depth == LIST_ITEMS_DEPTH)
		l->is_in_items = true;
	if (step >= 0 || !l->depth)
		return true;
	l->depth--;
	return !l->is_in_items || l->depth != LIST_ITEMS_DEPTH || list_items_end(l, each, arg);
}

/* The bytes from here on that change nothing. */
static size_t list_items_plain_len(const struct list_items *l, const char *bytes, size_t len)
{
	size_t n = 0;

	if (l->is_escaped)
		return 0;
	if (l->is_in_string) {
		while (n < len && bytes[n] != '"' && bytes[n] != '\\')
			n++;
		return n;
	}
	while (n < len && bytes[n] != '"' && bytes[n] != '{' && bytes[n] != '}' &&
	       bytes[n] != '[' && bytes[n] != ']')
		n++;
	return n;
}

bool list_items_add(struct list_items *l, const char *bytes, size_t len, list_items_fn each,
		    void *arg)
{
	while (len) {
		struct kube_text *owner = list_items_owner(l);
		size_t plain = list_items_plain_len(l, bytes, len);

		if (plain && owner && !kube_text_add(owner, bytes, plain))
			return false;
		bytes += plain;
		len -= plain;
		if (!len)
			break;
		if (!list_items_add_one(l, *bytes, each, arg))
			return false;
		bytes++;
		len--;
	}
	return true;
}

void list_items_free(struct list_items *l)
{
	kube_text_free(&l->envelope);
	kube_text_free(&l->item);
	*l = (struct list_items){ 0 };
}
