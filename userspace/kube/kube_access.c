// SPDX-License-Identifier: MIT
/* The environment and the files that the kubelet gives each container. */
#include "kube/kube_access.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/util.h"

void kube_access_free(struct kube_access *a)
{
	free(a->server);
	free(a->ca_file);
	free(a->token_file);
	free(a->token);
	free(a->cert_file);
	free(a->key_file);
	*a = (struct kube_access){ 0 };
}

static int kube_access_find_file(char **out, const char *directory, const char *name,
				 char error[KUBE_ERROR_MAX])
{
	if (asprintf(out, "%s/%s", directory, name) < 0)
		return -ENOMEM;
	if (access(*out, R_OK) == 0)
		return 0;
	snprintf(error, KUBE_ERROR_MAX,
		 "cannot read '%s' (%s): the pod needs a service account's token mounted", *out,
		 strerror(errno));
	return -ENOENT;
}

int kube_access_in_cluster(struct kube_access *out, const char *directory,
			   char error[KUBE_ERROR_MAX])
{
	const char *host = getenv("KUBERNETES_SERVICE_HOST");
	const char *port = getenv("KUBERNETES_SERVICE_PORT_HTTPS");
	int r;

	*out = (struct kube_access){ 0 };
	if (!port || !*port)
		port = getenv("KUBERNETES_SERVICE_PORT");
	if (!host || !*host || !port || !*port) {
		snprintf(error, KUBE_ERROR_MAX,
			 "KUBERNETES_SERVICE_HOST and _PORT are not set: run in a pod, or give "
			 "--kubeconfig");
		return -ENOENT;
	}
	if (asprintf(&out->server, strchr(host, ':') ? "https://[%s]:%s" : "https://%s:%s", host,
		     port) < 0)
		return -ENOMEM;
	r = kube_access_find_file(&out->ca_file, directory, "ca.crt", error);
	if (r == 0)
		r = kube_access_find_file(&out->token_file, directory, "token", error);
	return r;
}

int kube_access_authorization(const struct kube_access *a, char **out)
{
	_cleanup_(freep) char *text = NULL;
	const char *token = a->token;
	char *header = NULL;

	if (a->token_file) {
		int r = file_read(a->token_file, &text);

		if (r < 0)
			return log_err(r, "cannot read the token '%s'", a->token_file);
		text[strcspn(text, "\r\n")] = '\0';
		token = text;
	}
	if (token && asprintf(&header, "Authorization: Bearer %s", token) < 0)
		return -ENOMEM;
	*out = header;
	return 0;
}
