/* SPDX-License-Identifier: MIT */
/*
 * Where the API server is and who we are. Files are named, not held: a token is rotated every hour,
 * and is read for each request; a CA bundle is read for each new connection.
 */
#ifndef DOZE_KUBE_ACCESS_H
#define DOZE_KUBE_ACCESS_H

#define KUBE_SERVICE_ACCOUNT_DIR "/var/run/secrets/kubernetes.io/serviceaccount"
#define KUBE_ERROR_MAX		 512

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

/*
 * The header "Authorization: Bearer TOKEN", with the token as its file has it now; the caller
 * free()s it. NULL in *out: there is no token. Logs its errors, -errno.
 */
int kube_access_authorization(const struct kube_access *a, char **out);

#endif
