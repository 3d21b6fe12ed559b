/* SPDX-License-Identifier: MIT */
/*
 * The text of one object, which grows as its bytes come. Of one that is too long the beginning is
 * kept, to say whose it is. Pure.
 */
#ifndef DOZE_KUBE_TEXT_H
#define DOZE_KUBE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* etcd holds no object above 1.5 MiB. As JSON it may be six times as long: "<" is "\u003c". */
#define KUBE_TEXT_MAX	   (16UL << 20)
#define KUBE_TEXT_MAX_TEXT "16 MiB"
#define KUBE_TEXT_CUT_LEN  2048

/* All zero to begin with. */
struct kube_text {
	char *text; /* ends with NUL; NULL: nothing came */
	size_t len, room;
	bool is_cut; /* to KUBE_TEXT_CUT_LEN bytes */
};

/* false: no memory. */
bool kube_text_add(struct kube_text *t, const char *bytes, size_t len);

/* For the next object. */
void kube_text_clear(struct kube_text *t);

void kube_text_free(struct kube_text *t);

#endif
