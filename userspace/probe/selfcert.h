/* SPDX-License-Identifier: MIT */
/*
 * TLS without trust: the kubelet does not look at the certificate of an HTTPS probe
 * (https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/). A
 * connection may end without a close_notify, because many servers end it so.
 */
#ifndef DOZE_SELFCERT_H
#define DOZE_SELFCERT_H

#include <openssl/ssl.h>

/*
 * A server's context with a new P-256 key and a certificate that it has signed itself. Of what the
 * client offers by ALPN it takes HTTP/1.1. The caller owns *out. -EIO, logged.
 */
int selfcert_new_server(SSL_CTX **out);

/* A client's, which takes every certificate. */
int selfcert_new_client(SSL_CTX **out);

void selfcert_free(SSL_CTX **context);

#endif
