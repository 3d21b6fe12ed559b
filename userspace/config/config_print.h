/* SPDX-License-Identifier: MIT */
/* The settings as --help, --help-all, the reference and the man page show them. */
#ifndef DOZE_CONFIG_PRINT_H
#define DOZE_CONFIG_PRINT_H

#include <stdio.h>

#include "config/config.h"
#include "config/config_value.h"

#define CONFIG_PRINT_NAME_MAX 64

/* DOZE_IDLE_AFTER of idle-after; returns out. */
const char *config_print_env_name(const struct config_setting *s, char out[CONFIG_PRINT_NAME_MAX]);

/* The flags of a command that most people need, a sentence each. */
void config_print_common(FILE *out, enum config_command command);

/* Every flag of a command with its environment variable and its meaning. */
void config_print_flags(FILE *out, enum config_command command);

/* A text is written once, and shown in a terminal, on the web and by man(1). */
enum config_print_format {
	CONFIG_PRINT_HELP,
	CONFIG_PRINT_MARKDOWN,
	CONFIG_PRINT_MAN,
};

void config_print_section(FILE *out, enum config_print_format format, const char *title);
/* A line for each of usage's, which begins behind the name of the command. */
void config_print_usage(FILE *out, enum config_print_format format, const char *command,
			const char *usage);
/* A paragraph; NULL: none. */
void config_print_text(FILE *out, enum config_print_format format, const char *text);

/* Every setting once: its flag, the commands and the annotation that have it, its variable. */
void config_print_reference(FILE *out, enum config_print_format format);

#endif
