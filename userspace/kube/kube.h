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

#define KUBE_SERVICE_ACCOUNT_DIR "/var/run/secrets/kubernetes.io/serviceaccount"
#define KUBE_ERROR_MAX		 512

/* etcd holds no object above 1.5 MiB, which is somewhat more as JSON. */
#define KUBE_BODY_MAX (4U << 20)

/*
 * Where the server is and who we are. Files are named, not held: a token is rotated every hour, and
 * is read for each request; a CA bundle is read for each new connection.
 */
struct kube_access {
	char *server;	  /* https://ADDRESS:PORT */
	char *ca_file;	  /* NULL: the system's */
	char *token_file; /* one of these two, or a client certificate */
	char *token;
	char *cert_file, *key_file;
};

/*
 * As every pod has it: KUBERNETES_SERVICE_HOST and _PORT, and the files of directory.
 * -ENOENT with a sentence in error.
 */
int kube_access_in_cluster(struct kube_access *out, const char *directory,
			   char error[KUBE_ERROR_MAX]);
void kube_access_free(struct kube_access *a);

/* An answer, or that there was none. body is NUL-terminated, and valid during the call. */
struct kube_answer {
	long status;	       /* 0: none came, and transport says why */
	const char *transport; /* libcurl's words; NULL when status is set */
	const char *body;
	size_t body_len;
	long retry_after_s; /* the Retry-After header; 0: none */
	bool is_too_long;   /* and so none came: above KUBE_BODY_MAX */
};

typedef void (*kube_answer_fn)(void *arg, const struct kube_answer *answer);

struct kube;
struct kube_request;

/* http is borrowed; access is copied by reference, and outlives the client. -ENOMEM, logged. */
int kube_new(struct kube **out, struct http *http, const struct kube_access *access);
void kube_free(struct kube **k);

/*
 * Starts a request; answer() is called once, never from within. A 401, and a failure to verify the
 * server, are tried once more with the token and CA as they are by then. body may be NULL, and is
 * copied. NULL: no memory. The request is gone after answer(), or after kube_cancel().
 */
struct kube_request *kube_start(struct kube *k, const char *method, const char *path,
				const char *body, kube_answer_fn answer, void *arg);
void kube_cancel(struct kube_request **r);

/*
 * The same, after it has been waited for that long in vain: later requests get another connection,
 * if this one was silent. One that ends by its own timeout does so as well.
 */
void kube_give_up(struct kube_request **r, unsigned int waited_ms);

/*
 * A GET whose answer does not end for as long as timeout_s. bytes() is called with none of them
 * when the answer begins with a 200, and with each piece of its body as it comes; if that returns
 * false the request ends, as if the connection had broken. answer() is called at the end, with the
 * body of another status alone.
 */
typedef bool (*kube_bytes_fn)(void *arg, const char *bytes, size_t len);
struct kube_request *kube_start_stream(struct kube *k, const char *path, long timeout_s,
				       kube_bytes_fn bytes, kube_answer_fn answer, void *arg);

/* Sends the answer of a request in flight elsewhere. */
void kube_redirect(struct kube_request *r, kube_answer_fn answer, void *arg);

/* What an error answer says, in one line: the Status object's message, or the text as it is. */
void kube_answer_message(const struct kube_answer *answer, char *out, size_t room);

/* The reason of a Status object's first cause, such as "NodeCapacity", or its reason. "" if none.
 */
void kube_answer_reason(const struct kube_answer *answer, char *out, size_t room);

#endif
