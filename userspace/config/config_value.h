/* SPDX-License-Identifier: MIT */
/*
 * The types of settings: each takes text into a value, or refuses it with what it should have been,
 * as a sentence that follows the text. Strings are borrowed: the text outlives the value.
 */
#ifndef DOZE_CONFIG_VALUE_H
#define DOZE_CONFIG_VALUE_H

#include <stdbool.h>
#include <stddef.h>

#define CONFIG_VALUE_WRONG_MAX 128

struct config;
struct config_setting;

/* A text on the way to being a value. */
struct config_value {
	const struct config_setting *setting;
	char *text;
	void *out;
	char wrong[CONFIG_VALUE_WRONG_MAX];
};

struct config_type {
	/* NULL; or the sentence, which lives as long as v. */
	const char *(*parse)(struct config_value *v);
	size_t size;		/* of a value; of a list, one of its items */
	const char *argument;	/* as the help calls it; NULL: the words, if there are */
	const char *separators; /* between the items of a list in the environment */
	bool is_text;		/* the value is a string */
	bool may_repeat;	/* a list may have the same item twice */
};

extern const struct config_type config_value_switch, config_value_duration,
	config_value_duration_ms, config_value_cpu, config_value_number, config_value_choice,
	config_value_choice_bool, config_value_ready, config_value_name, config_value_file,
	config_value_path, config_value_path_or_none, config_value_listen, config_value_interface,
	config_value_port, config_value_tcp_port, config_value_port_range, config_value_source,
	config_value_http_path, config_value_agent, config_value_schedule;

/* Of config_value_choice and config_value_choice_bool; the last has no name. */
struct config_word {
	const char *name;
	unsigned int value;
};

/* One row of the table: what a setting is called, what it takes, and where in struct config. */
struct config_setting {
	const char *name;      /* the flag without its dashes */
	char letter;	       /* a short flag, or 0 */
	unsigned int commands; /* bits of enum config_command */
	const struct config_type *type;
	size_t offset;
	size_t max;   /* of a list: how many it may hold; 0: it is no list */
	size_t rival; /* of a list: the offset of another that may not have the same items, or 0 */
	const struct config_word *words;
	const char *argument; /* NULL: as the type has it */
	const char *noun;     /* what the error calls it */
	const char *least;    /* of a duration; NULL: 0 */
	unsigned long least_number;
	unsigned long most_number;
	const char *fallback; /* without it; NULL: the help tells */
	bool is_common;	      /* most people need it: --help has it */
	const char *section;  /* of the reference, which begins with this setting */
	const char *help;     /* its first sentence is all that --help says */
};

/* v has a setting and a text. NULL, or what is wrong. A list has one item more. */
const char *config_value_set(struct config *c, struct config_value *v);

/* A list is empty afterwards; any other value stays. */
void config_value_forget(struct config *c, const struct config_setting *setting);

/* A name as Kubernetes has them: an RFC 1123 label or subdomain. */
bool config_value_is_name(const char *name);

#endif
