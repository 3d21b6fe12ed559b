// SPDX-License-Identifier: MIT
/* Wraps and marks up the texts of the table. */
#include "config/config_print.h"

#include <ctype.h>
#include <string.h>

#include "base/util.h"
#include "config/config_table.h"

#define CONFIG_PRINT_WIDTH	  80
#define CONFIG_PRINT_COLUMN	  30 /* of the sentences of --help */
#define CONFIG_PRINT_INDENT	  8  /* of the texts of --help-all */
#define CONFIG_PRINT_ARGUMENT_MAX 64
#define CONFIG_PRINT_TEXT_MAX	  1024

const char *config_print_env_name(const struct config_setting *s, char out[CONFIG_PRINT_NAME_MAX])
{
	snprintf(out, CONFIG_PRINT_NAME_MAX, "DOZE_%s", s->name);
	for (char *at = out; *at; at++)
		*at = *at == '-' ? '_' : (char)toupper((unsigned char)*at);
	return out;
}

/* "-p, --port PORT". */
static void config_print_flag(const struct config_setting *s, char out[CONFIG_PRINT_ARGUMENT_MAX])
{
	size_t room = CONFIG_PRINT_ARGUMENT_MAX, len = 0;

	if (s->letter)
		len += (size_t)snprintf(out, room, "-%c, ", s->letter);
	len += (size_t)snprintf(out + len, room - len, "--%s", s->name);
	if (s->argument || s->type->argument)
		snprintf(out + len, room - len, " %s",
			 s->argument ? s->argument : s->type->argument);
	for (const struct config_word *w = s->words; w && w->name; w++)
		len += (size_t)snprintf(out + len, room - len, "%c%s", w == s->words ? ' ' : '|',
					w->name);
}

/* The whole text, or its first sentence; and the default. */
static void config_print_help(const struct config_setting *s, bool is_whole,
			      char out[CONFIG_PRINT_TEXT_MAX])
{
	const char *end = is_whole ? NULL : strstr(s->help, ". ");
	size_t len = end ? (size_t)(end + 1 - s->help) : strlen(s->help);

	snprintf(out, CONFIG_PRINT_TEXT_MAX, "%.*s%s%s%s", (int)len, s->help,
		 s->fallback ? " Default " : "", s->fallback ? s->fallback : "",
		 s->fallback ? "." : "");
}

/* Lines of CONFIG_PRINT_WIDTH, indented; column: where the first one begins already. */
static void config_print_wrapped(FILE *out, const char *text, size_t indent, size_t column)
{
	while (*text) {
		size_t len = strcspn(text, " ");

		if (column > indent && column + 1 + len > CONFIG_PRINT_WIDTH) {
			fputc('\n', out);
			column = 0;
		}
		if (column < indent)
			fprintf(out, "%*s", (int)(indent - column), "");
		else if (column > indent)
			fputc(' ', out);
		column = (column < indent ? indent : column + (column > indent)) + len;
		fwrite(text, 1, len, out);
		text += len + (text[len] == ' ');
	}
	fputc('\n', out);
}

void config_print_common(FILE *out, enum config_command command)
{
	for (size_t i = 0; i < config_table_len; i++) {
		const struct config_setting *s = &config_table[i];
		char flag[CONFIG_PRINT_ARGUMENT_MAX], help[CONFIG_PRINT_TEXT_MAX];
		int len;

		if (!s->is_common || !(s->commands & command))
			continue;
		config_print_flag(s, flag);
		config_print_help(s, false, help);
		len = fprintf(out, "  %s%s", s->letter ? "" : "    ", flag);
		if (len > CONFIG_PRINT_COLUMN - 2)
			fputc('\n', out);
		config_print_wrapped(out, help, CONFIG_PRINT_COLUMN,
				     len > CONFIG_PRINT_COLUMN - 2 ? 0 : (size_t)len);
	}
}

static const char *config_print_list_hint(const struct config_setting *s)
{
	if (!s->max)
		return "";
	return *s->type->separators == ';' ? ", separated by semicolons" : ", separated by commas";
}

void config_print_flags(FILE *out, enum config_command command)
{
	for (size_t i = 0; i < config_table_len; i++) {
		const struct config_setting *s = &config_table[i];
		char flag[CONFIG_PRINT_ARGUMENT_MAX], help[CONFIG_PRINT_TEXT_MAX];
		char env[CONFIG_PRINT_NAME_MAX];

		if (!(s->commands & command))
			continue;
		config_print_flag(s, flag);
		config_print_help(s, true, help);
		fprintf(out, "    %s", flag);
		if (s->type != &config_value_switch)
			fprintf(out, "   (%s%s)", config_print_env_name(s, env),
				config_print_list_hint(s));
		fputc('\n', out);
		config_print_wrapped(out, help, CONFIG_PRINT_INDENT, 0);
	}
}

/* --- the reference --- */

/* roff takes - for a hyphen, \ for its own, and a line that begins with . or ' for a request. */
static void config_print_roff(FILE *out, const char *text)
{
	if (*text == '.' || *text == '\'')
		fputs("\\&", out);
	for (; *text; text++) {
		if (*text == '-' || *text == '\\')
			fputc('\\', out);
		fputs(*text == '\'' ? "\\(aq" : (char[]){ *text, '\0' }, out);
	}
	fputc('\n', out);
}

void config_print_section(FILE *out, enum config_print_format format, const char *title)
{
	fprintf(out, format == CONFIG_PRINT_MAN ? ".SH \"%s\"\n" : "\n## %s\n", title);
}

void config_print_usage(FILE *out, enum config_print_format format, const char *command,
			const char *usage)
{
	static const struct {
		const char *before, *first, *next, *after;
	} formats[] = {
		[CONFIG_PRINT_HELP] = { "", "Usage: ", "       ", "" },
		[CONFIG_PRINT_MARKDOWN] = { "\n```\n", "", "", "```\n" },
		[CONFIG_PRINT_MAN] = { ".nf\n", ".B ", ".B ", ".fi\n" },
	};
	const char *first = formats[format].first;

	fputs(formats[format].before, out);
	for (; *usage; usage += *usage == '\n') {
		int len = (int)strcspn(usage, "\n");

		fprintf(out, "%sdoze %s %.*s\n", first, command, len, usage);
		first = formats[format].next;
		usage += len;
	}
	fputs(formats[format].after, out);
}

void config_print_text(FILE *out, enum config_print_format format, const char *text)
{
	if (!text)
		return;
	if (format == CONFIG_PRINT_MAN) {
		fputs(".PP\n", out);
		config_print_roff(out, text);
	} else {
		fputc('\n', out);
		config_print_wrapped(out, text, 0, 0);
	}
}

/* "doze sidecar, annotation doze.dev/port; DOZE_PORT, separated by commas". */
static void config_print_where(const struct config_setting *s, char out[CONFIG_PRINT_TEXT_MAX])
{
	/* In the order of enum config_command. */
	static const char *const names[] = { "doze run", "doze sidecar", "doze node", "doze status",
					     ("annotation " CONFIG_ANNOTATION_PREFIX) };
	size_t len = 0, room = CONFIG_PRINT_TEXT_MAX;
	char env[CONFIG_PRINT_NAME_MAX];

	for (unsigned int i = 0; i < ARRAY_LEN(names); i++) {
		if (s->commands & 1u << i)
			len += (size_t)snprintf(out + len, room - len, "%s%s%s", len ? ", " : "",
						names[i], 1u << i == CONFIG_POD ? s->name : "");
	}
	if (s->type != &config_value_switch && s->commands != CONFIG_POD)
		snprintf(out + len, room - len, "; %s%s", config_print_env_name(s, env),
			 config_print_list_hint(s));
}

static void config_print_title(FILE *out, enum config_print_format format,
			       const struct config_setting *s)
{
	char flag[CONFIG_PRINT_ARGUMENT_MAX];

	config_print_flag(s, flag);
	if (format == CONFIG_PRINT_MAN) {
		fputs(".TP\n.B ", out);
		config_print_roff(out, flag);
	} else {
		fprintf(out, "\n### `%s`\n", flag);
	}
}

/* Two paragraphs of an item are one of man's, with a break between them. */
static void config_print_item(FILE *out, enum config_print_format format, const char *text)
{
	if (format != CONFIG_PRINT_MAN) {
		config_print_text(out, format, text);
		return;
	}
	config_print_roff(out, text);
	fputs(".br\n", out);
}

void config_print_reference(FILE *out, enum config_print_format format)
{
	for (size_t i = 0; i < config_table_len; i++) {
		const struct config_setting *s = &config_table[i];
		char text[CONFIG_PRINT_TEXT_MAX];

		if (s->section)
			config_print_section(out, format, s->section);
		/* A flag that takes other words in a pod has two rows, and is one all the same. */
		if (i == 0 || strcmp(s->name, config_table[i - 1].name) != 0)
			config_print_title(out, format, s);
		config_print_help(s, true, text);
		config_print_item(out, format, text);
		config_print_where(s, text);
		config_print_item(out, format, text);
	}
}
