/* SPDX-License-Identifier: MIT */
/*
 * A client of the Kubernetes API server, on libcurl: TLS with the cluster's CA, a service account's
 * token or a kubeconfig's credentials. One connection is kept; HTTP/2 where the server offers it.
 */
#ifndef DOZE_KUBE_H
#define DOZE_KUBE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/http.h"
#include "kube/kube_access.h"
#include "kube/kube_answer.h"
#include "kube/kube_text.h"

#define KUBE_BODY_MAX KUBE_TEXT_MAX

struct kube;
struct kube_request;

/* http and access are borrowed. The caller owns *out. -ENOMEM, logged. */
int kube_new(struct kube **out, struct http *http, const struct kube_access *access);
void kube_free(struct kube **k);

/*
 * Starts a request; answer() is called once, never from within. After a 401, or when the server
 * cannot be verified, the request is sent once more, with the token and CA as the files have them
 * then. body may be NULL, and is copied. NULL: no memory. The request is gone after answer(), or
 * after kube_cancel().
 */
struct kube_request *kube_start(struct kube *k, const char *method, const char *path,
				const char *body, kube_answer_fn answer, void *arg);
void kube_cancel(struct kube_request **request);

/*
 * Cancels a request that has had no answer for so long. Its connection is not used again if nothing
 * has come on it. A request that ends by its own timeout does the same.
 */
void kube_give_up(struct kube_request **request, unsigned int waited_ms);

/*
 * A GET whose answer may take timeout_s to end. When a 200 begins, bytes() is called with len 0,
 * then with each piece of the body as it comes. If it returns false the request ends, as if the
 * connection had broken. answer() is called at the end; it has a body only if the status is not
 * 200.
 */
typedef bool (*kube_bytes_fn)(void *arg, const char *bytes, size_t len);
struct kube_request *kube_start_stream(struct kube *k, const char *path, long timeout_s,
				       kube_bytes_fn bytes, kube_answer_fn answer, void *arg);

/* The answer of a request in flight goes to this function instead. */
void kube_redirect(struct kube_request *request, kube_answer_fn answer, void *arg);

#endif
