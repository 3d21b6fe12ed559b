// SPDX-License-Identifier: MIT
/*
 * Fuzzes the command line, the environment and annotations. An input is a byte that chooses the
 * command, then arguments with a NUL between them. A first byte above 127 chooses a setting, whose
 * value is the rest; it is written as a flag, or as a variable.
 */
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "config/config.h"
#include "config/config_table.h"

#define ARGS_MAX 256

#define FUZZ_CHECK(claim)                                                                          \
	do {                                                                                       \
		if (!(claim))                                                                      \
			__builtin_trap();                                                          \
	} while (0)

struct fuzz_input {
	enum config_command command;
	int argc;
	char *argv[ARGS_MAX + 1];
	struct config_annotation annotations[ARGS_MAX];
	size_t annotations_len;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_input_free(struct fuzz_input *in)
{
	for (int i = 0; i < in->argc; i++)
		free(in->argv[i]);
	for (size_t i = 0; i < in->annotations_len; i++) {
		free((char *)in->annotations[i].name);
		free((char *)in->annotations[i].value);
	}
	clearenv();
}

static void fuzz_set_variable(const char *name, const char *value)
{
	char variable[128] = "DOZE_";
	size_t len = strlen(variable);

	for (; *name && len < sizeof(variable) - 1; name++)
		variable[len++] = *name == '-' ? '_' : (char)toupper((unsigned char)*name);
	variable[len] = '\0';
	setenv(variable, value, 1);
}

/* A flag, a variable, or an annotation, of a setting that there is. */
static void fuzz_take_setting(struct fuzz_input *in, const char *word, bool is_variable)
{
	const char *name = config_table[(*word & 127U) % config_table_len].name;
	struct config_annotation *annotation = &in->annotations[in->annotations_len++];
	char *text = NULL;

	FUZZ_CHECK(asprintf(&text, CONFIG_ANNOTATION_PREFIX "%s", name) > 0);
	annotation->name = text;
	annotation->value = strdup(word + 1);
	if (is_variable) {
		fuzz_set_variable(name, word + 1);
		return;
	}
	FUZZ_CHECK(asprintf(&text, word[1] ? "--%s=%s" : "--%s", name, word + 1) > 0);
	in->argv[in->argc++] = text;
}

static void fuzz_take(struct fuzz_input *in, char *word)
{
	char *equals = strchr(word, '=');

	if (*word & 128) {
		fuzz_take_setting(in, word, in->argc & 1);
		free(word);
		return;
	}

	if (strncmp(word, "DOZE_", 5) != 0 || !equals) {
		in->argv[in->argc++] = word;
		return;
	}
	*equals = '\0';
	setenv(word, equals + 1, 1);
	free(word);
}

static void fuzz_split(struct fuzz_input *in, const uint8_t *data, size_t size)
{
	const char *at = (const char *)data, *end = at + size;

	in->argv[in->argc++] = strdup("doze");
	while (at < end && in->argc < ARGS_MAX && in->annotations_len < ARGS_MAX) {
		char *word = strndup(at, (size_t)(end - at));

		FUZZ_CHECK(word);
		at += strlen(word) + 1;
		fuzz_take(in, word);
	}
}

static void fuzz_check_ports(const struct config *c)
{
	FUZZ_CHECK(c->ports.len <= CONFIG_PORTS_MAX);
	for (size_t i = 0; i < c->ports.len; i++) {
		const struct target_port *p = &c->ports.of[i];

		FUZZ_CHECK(p->port > 0);
		FUZZ_CHECK(p->protocol == IPPROTO_TCP || p->protocol == IPPROTO_UDP);
		for (size_t j = 0; j < i; j++)
			FUZZ_CHECK(c->ports.of[j].port != p->port ||
				   c->ports.of[j].protocol != p->protocol);
	}
}

static void fuzz_check_names(const char *const *names, size_t len, size_t len_max)
{
	FUZZ_CHECK(len <= len_max);
	for (size_t i = 0; i < len; i++)
		FUZZ_CHECK(*names[i] != '\0' && strlen(names[i]) < 256);
}

static void fuzz_check_config(const struct config *c, const struct fuzz_input *in)
{
	fuzz_check_ports(c);
	fuzz_check_names(c->interfaces.of, c->interfaces.len, CONFIG_INTERFACES_MAX);
	fuzz_check_names(c->containers.of, c->containers.len, CONFIG_CONTAINERS_MAX);
	FUZZ_CHECK(c->target.idle_ns >= 100 * NS_PER_MS &&
		   c->target.wake_timeout_ns >= 10 * NS_PER_MS);
	FUZZ_CHECK(c->asleep_millicpu >= 10 && c->asleep_millicpu <= 1024000);
	FUZZ_CHECK(c->target.ready.kind != READY_HTTP || *c->target.ready.path == '/');
	FUZZ_CHECK(c->pid >= 0);
	if (in->command == CONFIG_RUN) {
		FUZZ_CHECK(c->ports.len > 0);
		FUZZ_CHECK(!c->command != !c->pid);
		FUZZ_CHECK(!c->command || (c->command > in->argv && *c->command &&
					   c->command < in->argv + in->argc));
	} else {
		FUZZ_CHECK(!c->command && !c->pid);
		FUZZ_CHECK(*c->pod_name && *c->pod_namespace && *c->own_container);
		FUZZ_CHECK(*c->state_file == '/' && *c->service_account_dir == '/');
	}
}

static int fuzz_parse(struct fuzz_input *in, char error[CONFIG_ERROR_MAX])
{
	struct config config;
	int r = config_parse(&config, in->command, in->argc, in->argv, error);

	FUZZ_CHECK(r == 0 || r == -EINVAL);
	FUZZ_CHECK(r == 0 || (*error && memchr(error, '\0', CONFIG_ERROR_MAX)));
	if (r == 0 && !config.wants_help && !config.wants_all_help)
		fuzz_check_config(&config, in);
	config_free(&config);
	return r;
}

/* What a pod says, over what the node says. */
static void fuzz_annotations(struct fuzz_input *in)
{
	char *argv[] = { "node", "--node-name=n", NULL };
	struct config node, pod = { 0 };
	char error[CONFIG_ERROR_MAX] = "";
	int r;

	clearenv();
	if (config_parse(&node, CONFIG_NODE, 2, argv, error) == 0) {
		r = config_from_annotations(&pod, &node, in->annotations, in->annotations_len,
					    error);
		FUZZ_CHECK(r == 0 || (r == -EINVAL && *error));
		config_free(&pod);
	}
	config_free(&node);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(fuzz_input_free) struct fuzz_input in = { 0 };
	char error[CONFIG_ERROR_MAX] = "", again[CONFIG_ERROR_MAX] = "";

	if (size < 1)
		return 0;
	clearenv();
	in.command = data[0] & 1 ? CONFIG_SIDECAR : CONFIG_RUN;
	log_set_level(LOG_LEVEL_ERROR);
	if (data[0] & 2) {
		setenv("POD_NAME", "web-0", 1);
		setenv("POD_NAMESPACE", "shop", 1);
	}
	fuzz_split(&in, data + 1, size - 1);
	/* A parse leaves nothing behind, neither in getopt nor in the environment. */
	FUZZ_CHECK(fuzz_parse(&in, error) == fuzz_parse(&in, again));
	FUZZ_CHECK(strcmp(error, again) == 0);
	fuzz_annotations(&in);
	return 0;
}
