// SPDX-License-Identifier: MIT
/* A key, a certificate with that key, and the choice of a protocol. */
#include "probe/selfcert.h"

#include <errno.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdbool.h>

#include "base/log.h"
#include "base/util.h"

#define SELFCERT_DAYS 3650

static void selfcert_free_key(EVP_PKEY **key)
{
	EVP_PKEY_free(*key);
}

static void selfcert_free_certificate(X509 **certificate)
{
	X509_free(*certificate);
}

static int selfcert_fail(const char *what)
{
	return log_err(-EIO, "cannot set up TLS: %s: %s", what,
		       ERR_reason_error_string(ERR_get_error()));
}

static bool selfcert_fill(X509 *certificate, EVP_PKEY *key)
{
	static const unsigned char name[] = "doze";
	X509_NAME *subject = X509_get_subject_name(certificate);

	return X509_set_version(certificate, X509_VERSION_3) &&
	       ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1) &&
	       X509_gmtime_adj(X509_getm_notBefore(certificate), 0) &&
	       X509_time_adj_ex(X509_getm_notAfter(certificate), SELFCERT_DAYS, 0, NULL) &&
	       X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, name, -1, -1, 0) &&
	       X509_set_issuer_name(certificate, subject) && X509_set_pubkey(certificate, key) &&
	       X509_sign(certificate, key, EVP_sha256());
}

static int selfcert_use(SSL_CTX *context)
{
	_cleanup_(selfcert_free_key) EVP_PKEY *key = EVP_EC_gen("P-256");
	_cleanup_(selfcert_free_certificate) X509 *certificate = X509_new();

	if (!key || !certificate || !selfcert_fill(certificate, key))
		return selfcert_fail("no certificate");
	if (SSL_CTX_use_certificate(context, certificate) != 1 ||
	    SSL_CTX_use_PrivateKey(context, key) != 1)
		return selfcert_fail("the certificate is refused");
	return 0;
}

/* No h2: one protocol less in which a probe has to be answered. */
static int selfcert_choose(SSL *ssl, const unsigned char **out, unsigned char *out_len,
			   const unsigned char *offered, unsigned int offered_len, void *arg)
{
	static const unsigned char wanted[] = "\x08http/1.1";

	(void)ssl;
	(void)arg;
	if (SSL_select_next_proto((unsigned char **)out, out_len, wanted, sizeof(wanted) - 1,
				  offered, offered_len) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_NOACK;
	return SSL_TLSEXT_ERR_OK;
}

int selfcert_new_server(SSL_CTX **out)
{
	_cleanup_(selfcert_free) SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	int r;

	if (!context)
		return selfcert_fail("no context");
	SSL_CTX_set_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_alpn_select_cb(context, selfcert_choose, NULL);
	r = selfcert_use(context);
	if (r < 0)
		return r;
	*out = TAKE_PTR(context);
	return 0;
}

int selfcert_new_client(SSL_CTX **out)
{
	*out = SSL_CTX_new(TLS_client_method());
	if (!*out)
		return selfcert_fail("no context");
	SSL_CTX_set_options(*out, SSL_OP_IGNORE_UNEXPECTED_EOF);
	return 0;
}

void selfcert_free(SSL_CTX **context)
{
	SSL_CTX_free(*context);
	*context = NULL;
}
