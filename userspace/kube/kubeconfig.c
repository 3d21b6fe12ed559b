// SPDX-License-Identifier: MIT
/* The YAML document by libyaml's document API, walked by keys. */
#include "kube/kubeconfig.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <yaml.h>

#include "base/util.h"

static yaml_node_t *kubeconfig_get(yaml_document_t *doc, yaml_node_t *map, const char *key)
{
	if (!map || map->type != YAML_MAPPING_NODE)
		return NULL;
	for (yaml_node_pair_t *pair = map->data.mapping.pairs.start;
	     pair < map->data.mapping.pairs.top; pair++) {
		yaml_node_t *name = yaml_document_get_node(doc, pair->key);

		if (name && name->type == YAML_SCALAR_NODE &&
		    strcmp((const char *)name->data.scalar.value, key) == 0)
			return yaml_document_get_node(doc, pair->value);
	}
	return NULL;
}

/* What is empty is not there, as kubectl writes and reads it. */
static const char *kubeconfig_text(yaml_document_t *doc, yaml_node_t *map, const char *key)
{
	yaml_node_t *node = kubeconfig_get(doc, map, key);

	if (!node || node->type != YAML_SCALAR_NODE || !node->data.scalar.length)
		return NULL;
	return (const char *)node->data.scalar.value;
}

/* The entry of list (clusters, users, contexts) with that name; what it holds is under kind. */
static yaml_node_t *kubeconfig_entry(yaml_document_t *doc, const char *list, const char *kind,
				     const char *name)
{
	yaml_node_t *entries = kubeconfig_get(doc, yaml_document_get_root_node(doc), list);

	if (!entries || entries->type != YAML_SEQUENCE_NODE || !name)
		return NULL;
	for (yaml_node_item_t *item = entries->data.sequence.items.start;
	     item < entries->data.sequence.items.top; item++) {
		yaml_node_t *entry = yaml_document_get_node(doc, *item);
		const char *entry_name = kubeconfig_text(doc, entry, "name");

		if (entry_name && strcmp(entry_name, name) == 0)
			return kubeconfig_get(doc, entry, kind);
	}
	return NULL;
}

static int kubeconfig_fail(char error[KUBE_ERROR_MAX], const char *path, const char *what)
{
	snprintf(error, KUBE_ERROR_MAX, "kubeconfig: '%s' %s", path, what);
	return -EINVAL;
}

/*
 * Base64 into memory that has a name: /proc/self/fd/N. Nothing reaches a disk. The descriptor stays
 * open until the process ends.
 */
static int kubeconfig_file_of(char **out, const char *base64)
{
	size_t len = strlen(base64);
	_cleanup_(freep) unsigned char *bytes = malloc(len + 4);
	_cleanup_(closep) int fd = memfd_create("doze-kubeconfig", MFD_CLOEXEC);
	int decoded;

	if (!bytes || fd < 0)
		return -ENOMEM;
	decoded = EVP_DecodeBlock(bytes, (const unsigned char *)base64, (int)len);
	if (decoded < 0)
		return -EINVAL;
	/* Its padding is counted as zero bytes, which end no PEM file. */
	while (decoded > 0 && bytes[decoded - 1] == 0)
		decoded--;
	if (write(fd, bytes, (size_t)decoded) != decoded)
		return -EIO;
	return asprintf(out, "/proc/self/fd/%d", TAKE_FD(fd)) < 0 ? -ENOMEM : 0;
}

/* A relative path is relative to the kubeconfig. */
static int kubeconfig_path_of(char **out, const char *kubeconfig, const char *path)
{
	const char *slash = strrchr(kubeconfig, '/');
	int dir_len = slash ? (int)(slash - kubeconfig) : 1;

	if (*path == '/')
		*out = strdup(path);
	else if (asprintf(out, "%.*s/%s", dir_len, slash ? kubeconfig : ".", path) < 0)
		*out = NULL;
	return *out ? 0 : -ENOMEM;
}

static bool kubeconfig_is_https(const char *server)
{
	return server && strncmp(server, "https://", 8) == 0 && server[8] && server[8] != '/';
}

/* key holds a path, key-data the content itself. Neither: *out is left as it is. */
static int kubeconfig_take_file(char **out, yaml_document_t *doc, yaml_node_t *map, const char *key,
				const char *kubeconfig)
{
	const char *path = kubeconfig_text(doc, map, key);
	const char *data;
	char data_key[64];

	snprintf(data_key, sizeof(data_key), "%s-data", key);
	data = kubeconfig_text(doc, map, data_key);
	if (data)
		return kubeconfig_file_of(out, data);
	return path ? kubeconfig_path_of(out, kubeconfig, path) : 0;
}

static int kubeconfig_take_user(struct kube_access *out, yaml_document_t *doc, yaml_node_t *user,
				const char *path, char error[KUBE_ERROR_MAX])
{
	const char *token = kubeconfig_text(doc, user, "token");
	const char *token_file = kubeconfig_text(doc, user, "tokenFile");
	int r;

	if (kubeconfig_get(doc, user, "exec") || kubeconfig_get(doc, user, "auth-provider"))
		return kubeconfig_fail(error, path,
				       "logs in by a plugin: give a token or a client certificate");
	if (token_file)
		return kubeconfig_path_of(&out->token_file, path, token_file);
	if (token) {
		out->token = strdup(token);
		return out->token ? 0 : -ENOMEM;
	}
	r = kubeconfig_take_file(&out->cert_file, doc, user, "client-certificate", path);
	if (r == 0)
		r = kubeconfig_take_file(&out->key_file, doc, user, "client-key", path);
	if (r == -EINVAL)
		return kubeconfig_fail(error, path, "has a client certificate that is not base64");
	if (r == 0 && (!out->cert_file || !out->key_file))
		return kubeconfig_fail(error, path, "has neither a token nor a client certificate");
	return r;
}

static int kubeconfig_take(struct kube_access *out, yaml_document_t *doc, const char *path,
			   char error[KUBE_ERROR_MAX])
{
	const char *name = kubeconfig_text(doc, yaml_document_get_root_node(doc),
					   "current-context");
	yaml_node_t *context = kubeconfig_entry(doc, "contexts", "context", name);
	yaml_node_t *cluster = kubeconfig_entry(doc, "clusters", "cluster",
						kubeconfig_text(doc, context, "cluster"));
	yaml_node_t *user = kubeconfig_entry(doc, "users", "user",
					     kubeconfig_text(doc, context, "user"));
	const char *server = kubeconfig_text(doc, cluster, "server");
	int r;

	if (!context)
		return kubeconfig_fail(error, path, "has no current context");
	if (!kubeconfig_is_https(server))
		return kubeconfig_fail(error, path, "has no https server in its current context");
	if (!user)
		return kubeconfig_fail(error, path, "has no user in its current context");
	out->server = strdup(server);
	if (!out->server)
		return -ENOMEM;
	if (out->server[strlen(out->server) - 1] == '/')
		out->server[strlen(out->server) - 1] = '\0';
	r = kubeconfig_take_file(&out->ca_file, doc, cluster, "certificate-authority", path);
	if (r == -EINVAL)
		return kubeconfig_fail(error, path,
				       "has a certificate authority that is not base64");
	return r < 0 ? r : kubeconfig_take_user(out, doc, user, path, error);
}

static int kubeconfig_parse_stream(struct kube_access *out, FILE *stream, const char *path,
				   char error[KUBE_ERROR_MAX])
{
	yaml_parser_t parser;
	yaml_document_t doc;
	int r;

	if (!yaml_parser_initialize(&parser))
		return -ENOMEM;
	yaml_parser_set_input_file(&parser, stream);
	if (!yaml_parser_load(&parser, &doc)) {
		yaml_parser_delete(&parser);
		return kubeconfig_fail(error, path, "is no YAML");
	}
	r = kubeconfig_take(out, &doc, path, error);
	yaml_document_delete(&doc);
	yaml_parser_delete(&parser);
	return r;
}

int kubeconfig_read(struct kube_access *out, const char *path, char error[KUBE_ERROR_MAX])
{
	FILE *stream = fopen(path, "re");
	int r;

	*out = (struct kube_access){ 0 };
	if (!stream) {
		r = -errno;
		snprintf(error, KUBE_ERROR_MAX, "kubeconfig: cannot read '%s': %s", path,
			 strerror(-r));
		return r;
	}
	r = kubeconfig_parse_stream(out, stream, path, error);
	fclose(stream);
	return r;
}
