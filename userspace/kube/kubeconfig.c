// SPDX-License-Identifier: MIT
/* The YAML document by libyaml's document API, walked by keys. */
#include "kube/kubeconfig.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <yaml.h>

#include "base/util.h"

struct kubeconfig {
	const char *path;
	char *error; /* KUBE_ERROR_MAX */
	yaml_document_t doc;
};

static int kubeconfig_fail(struct kubeconfig *k, const char *what)
{
	snprintf(k->error, KUBE_ERROR_MAX, "kubeconfig: '%s' %s", k->path, what);
	return -EINVAL;
}

static yaml_node_t *kubeconfig_get(struct kubeconfig *k, yaml_node_t *map, const char *key)
{
	if (!map || map->type != YAML_MAPPING_NODE)
		return NULL;
	for (yaml_node_pair_t *pair = map->data.mapping.pairs.start;
	     pair < map->data.mapping.pairs.top; pair++) {
		yaml_node_t *name = yaml_document_get_node(&k->doc, pair->key);

		if (name && name->type == YAML_SCALAR_NODE &&
		    strcmp((const char *)name->data.scalar.value, key) == 0)
			return yaml_document_get_node(&k->doc, pair->value);
	}
	return NULL;
}

/* What is empty is not there, as kubectl writes and reads it. */
static const char *kubeconfig_text(struct kubeconfig *k, yaml_node_t *map, const char *key)
{
	yaml_node_t *node = kubeconfig_get(k, map, key);

	if (!node || node->type != YAML_SCALAR_NODE || !node->data.scalar.length)
		return NULL;
	return (const char *)node->data.scalar.value;
}

/* What the entry with that name of the list "clusters", "users" or "contexts" has under kind. */
static yaml_node_t *kubeconfig_entry(struct kubeconfig *k, const char *kind, const char *name)
{
	yaml_node_t *entries;
	char list[16];

	snprintf(list, sizeof(list), "%ss", kind);
	entries = kubeconfig_get(k, yaml_document_get_root_node(&k->doc), list);
	if (!entries || entries->type != YAML_SEQUENCE_NODE || !name)
		return NULL;
	for (yaml_node_item_t *item = entries->data.sequence.items.start;
	     item < entries->data.sequence.items.top; item++) {
		yaml_node_t *entry = yaml_document_get_node(&k->doc, *item);
		const char *entry_name = kubeconfig_text(k, entry, "name");

		if (entry_name && strcmp(entry_name, name) == 0)
			return kubeconfig_get(k, entry, kind);
	}
	return NULL;
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

/* key has a path, or key-data the content itself. Neither: *out is left as it is. */
static int kubeconfig_take_file(struct kubeconfig *k, char **out, yaml_node_t *map, const char *key)
{
	const char *path = kubeconfig_text(k, map, key), *data;
	char data_key[64];

	snprintf(data_key, sizeof(data_key), "%s-data", key);
	data = kubeconfig_text(k, map, data_key);
	if (data)
		return kubeconfig_file_of(out, data);
	return path ? kubeconfig_path_of(out, k->path, path) : 0;
}

static int kubeconfig_take_user(struct kubeconfig *k, struct kube_access *out, yaml_node_t *user)
{
	const char *token = kubeconfig_text(k, user, "token");
	const char *token_file = kubeconfig_text(k, user, "tokenFile");
	int r;

	if (kubeconfig_get(k, user, "exec") || kubeconfig_get(k, user, "auth-provider"))
		return kubeconfig_fail(k,
				       "logs in by a plugin: give a token or a client certificate");
	if (token_file)
		return kubeconfig_path_of(&out->token_file, k->path, token_file);
	if (token) {
		out->token = strdup(token);
		return out->token ? 0 : -ENOMEM;
	}
	r = kubeconfig_take_file(k, &out->cert_file, user, "client-certificate");
	if (r == 0)
		r = kubeconfig_take_file(k, &out->key_file, user, "client-key");
	if (r == -EINVAL)
		return kubeconfig_fail(k, "has a client certificate that is not base64");
	if (r == 0 && (!out->cert_file || !out->key_file))
		return kubeconfig_fail(k, "has neither a token nor a client certificate");
	return r;
}

static int kubeconfig_take(struct kubeconfig *k, struct kube_access *out)
{
	yaml_node_t *root = yaml_document_get_root_node(&k->doc);
	yaml_node_t *context = kubeconfig_entry(k, "context",
						kubeconfig_text(k, root, "current-context"));
	yaml_node_t *cluster = kubeconfig_entry(k, "cluster",
						kubeconfig_text(k, context, "cluster"));
	yaml_node_t *user = kubeconfig_entry(k, "user", kubeconfig_text(k, context, "user"));
	const char *server = kubeconfig_text(k, cluster, "server");
	int r;

	if (!context)
		return kubeconfig_fail(k, "has no current context");
	if (!server || strncmp(server, "https://", 8) != 0 || !server[8] || server[8] == '/')
		return kubeconfig_fail(k, "has no https server in its current context");
	if (!user)
		return kubeconfig_fail(k, "has no user in its current context");
	out->server = strdup(server);
	if (!out->server)
		return -ENOMEM;
	if (out->server[strlen(out->server) - 1] == '/')
		out->server[strlen(out->server) - 1] = '\0';
	r = kubeconfig_take_file(k, &out->ca_file, cluster, "certificate-authority");
	if (r == -EINVAL)
		return kubeconfig_fail(k, "has a certificate authority that is not base64");
	return r < 0 ? r : kubeconfig_take_user(k, out, user);
}

int kubeconfig_read(struct kube_access *out, const char *path, char error[KUBE_ERROR_MAX])
{
	struct kubeconfig k = { .path = path, .error = error };
	yaml_parser_t parser;
	FILE *stream = fopen(path, "re");
	int r = -ENOMEM;

	*out = (struct kube_access){ 0 };
	if (!stream) {
		r = -errno;
		snprintf(error, KUBE_ERROR_MAX, "kubeconfig: cannot read '%s': %s", path,
			 strerror(-r));
		return r;
	}
	if (yaml_parser_initialize(&parser)) {
		yaml_parser_set_input_file(&parser, stream);
		if (yaml_parser_load(&parser, &k.doc)) {
			r = kubeconfig_take(&k, out);
			yaml_document_delete(&k.doc);
		} else {
			r = kubeconfig_fail(&k, "is no YAML");
		}
		yaml_parser_delete(&parser);
	}
	fclose(stream);
	return r;
}
