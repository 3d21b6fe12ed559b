// SPDX-License-Identifier: MIT
/* A buffer that doubles. */
#include "kube/kube_text.h"

#include <stdlib.h>
#include <string.h>

#define KUBE_TEXT_ROOM_MIN  4096
#define KUBE_TEXT_ROOM_KEPT (256UL << 10) /* a large object is rare */

static bool kube_text_make_room(struct kube_text *t, size_t len)
{
	size_t room = t->room ? t->room : KUBE_TEXT_ROOM_MIN;
	char *grown;

	while (room <= len)
		room *= 2;
	if (room == t->room)
		return true;
	grown = realloc(t->text, room);
	if (!grown)
		return false;
	t->text = grown;
	t->room = room;
	return true;
}

bool kube_text_add(struct kube_text *t, const char *bytes, size_t len)
{
	if (t->is_cut)
		return true;
	if (len > KUBE_TEXT_MAX - t->len) {
		t->is_cut = true;
		if (t->len >= KUBE_TEXT_CUT_LEN) {
			t->len = KUBE_TEXT_CUT_LEN;
			t->text[t->len] = '\0';
			return true;
		}
		len = KUBE_TEXT_CUT_LEN - t->len;
	}
	if (!kube_text_make_room(t, t->len + len))
		return false;
	memcpy(t->text + t->len, bytes, len);
	t->len += len;
	t->text[t->len] = '\0';
	return true;
}

void kube_text_clear(struct kube_text *t)
{
	if (t->room > KUBE_TEXT_ROOM_KEPT)
		kube_text_free(t);
	t->len = 0;
	t->is_cut = false;
}

void kube_text_free(struct kube_text *t)
{
	free(t->text);
	*t = (struct kube_text){ 0 };
}
