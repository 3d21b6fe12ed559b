/* SPDX-License-Identifier: MIT */
/* An answer of the API server, and what it says when it is an error. Pure. */
#ifndef DOZE_KUBE_ANSWER_H
#define DOZE_KUBE_ANSWER_H

#include <stdbool.h>
#include <stddef.h>

/* body is NUL-terminated, and valid during the call. */
struct kube_answer {
	long status;	       /* of HTTP; 0: no answer came, and transport says why */
	const char *transport; /* libcurl's words; NULL when status is set */
	const char *body;
	size_t body_len;
	long retry_after_s; /* the Retry-After header; 0: none */
	bool is_too_long;   /* more than KUBE_BODY_MAX, and so no answer */
};

typedef void (*kube_answer_fn)(void *arg, const struct kube_answer *answer);

/* What an error says, in one line: the Status object's message, or the text as it is. */
void kube_answer_message(const struct kube_answer *answer, char *out, size_t room);

/* Whether a version that was asked for is too old (410), or one of the future (504). */
#define KUBE_ANSWER_FUTURE "Too large resource version"
bool kube_answer_is_expired(const struct kube_answer *answer);

/* The reason of a Status object's first cause, such as "NodeCapacity", else its own, else "". */
void kube_answer_reason(const struct kube_answer *answer, char *out, size_t room);

#endif
