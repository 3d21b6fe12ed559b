/* SPDX-License-Identifier: MIT */
/*
 * TLS without anybody's trust: the kubelet does not look at the certificate of an HTTPS probe
 * (https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/). An end of
 * the connection without a close_notify is an end: many servers do it that way.
 */
#ifndef DOZE_SELFCERT_H
#define DOZE_SELFCERT_H

#include <openssl/ssl.h>

/*
 * A server's context with a new P-256 key and a certificate that it has signed itself; of what the
 * client offers by ALPN it takes HTTP/1.1. The caller owns *out. -EIO, logged.
 */
int selfcert_new_server(SSL_CTX **out);

/* A client's, which takes every certificate. */
int selfcert_new_client(SSL_CTX **out);

void selfcert_free(SSL_CTX **context);

#endif
