// SPDX-License-Identifier: MIT
/* `doze help`: the commands; or all of the reference, which deploy/reference.md and doze(8) are. */
#include <stdio.h>
#include <string.h>

#include "base/version.h"
#include "command/command.h"
#include "config/config_print.h"

static void cmd_help_list(void)
{
	puts("doze puts an idle process to sleep in place and wakes it on the first packet.\n"
	     "\n"
	     "Usage: doze COMMAND [FLAG]...\n");
	for (const struct command *const *c = command_table; *c; c++)
		printf("  %-8s  %s\n", (*c)->name, (*c)->brief);
	puts("  version   print the version\n"
	     "  help      print this text; with --markdown or --man the whole reference\n"
	     "\n"
	     "doze COMMAND --help shows the flags that most people need, --help-all every one.");
}

static void cmd_help_reference(enum config_print_format format)
{
	if (format == CONFIG_PRINT_MARKDOWN) {
		puts("# Reference\n\n"
		     "<!-- Written by `make reference` from userspace/config/config_table.c. -->");
	} else {
		puts(".TH DOZE 8 \"\" \"doze " DOZE_VERSION "\"\n"
		     ".SH NAME\n"
		     "doze \\- puts an idle process to sleep in place and wakes it on the first packet");
	}
	for (const struct command *const *c = command_table; *c; c++) {
		char title[32];

		snprintf(title, sizeof(title), "doze %s", (*c)->name);
		config_print_section(stdout, format, title);
		config_print_usage(stdout, format, (*c)->name, (*c)->usage);
		config_print_text(stdout, format, (*c)->about);
		config_print_text(stdout, format, (*c)->needs);
		config_print_text(stdout, format, (*c)->signals);
		config_print_text(stdout, format, (*c)->exit_status);
	}
	config_print_section(stdout, format, "Flags, variables, annotations");
	config_print_text(
		stdout, format,
		"A setting has one name: flag --idle-after, environment variable "
		"DOZE_IDLE_AFTER, and for one pod of doze node the annotation "
		"doze.dev/idle-after. An annotation wins over a flag, a flag over a "
		"variable. Below its meaning stand the commands that have it. A duration "
		"is such as 300ms, 1.5s, 5m or 1h30m, an amount of CPU such as 10m or 0.5, "
		"a CIDR an address or a prefix such as 10.0.0.0/8.");
	config_print_reference(stdout, format);
}

int cmd_help(int argc, char **argv)
{
	if (argc == 1) {
		cmd_help_list();
	} else if (strcmp(argv[1], "--markdown") == 0) {
		cmd_help_reference(CONFIG_PRINT_MARKDOWN);
	} else if (strcmp(argv[1], "--man") == 0) {
		cmd_help_reference(CONFIG_PRINT_MAN);
	} else {
		fprintf(stderr, "doze help: unknown flag '%s': --markdown or --man\n", argv[1]);
		return COMMAND_EXIT_USAGE;
	}
	return 0;
}
