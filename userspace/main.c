// SPDX-License-Identifier: MIT
/* doze: finds the subcommand. */
#include <stdio.h>
#include <string.h>

#include "base/version.h"
#include "command/command.h"

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : NULL;

	if (!name) {
		fputs("doze: no command: try doze run, or doze help\n", stderr);
		return COMMAND_EXIT_USAGE;
	}
	if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
		return cmd_help(argc - 1, argv + 1);
	if (strcmp(name, "version") == 0 || strcmp(name, "--version") == 0)
		return printf("doze %s\n", DOZE_VERSION) < 0;
	for (const struct command *const *c = command_table; *c; c++) {
		if (strcmp(name, (*c)->name) == 0)
			return command_main(*c, argc - 1, argv + 1);
	}
	fprintf(stderr, "doze: unknown command '%s': doze help lists them\n", name);
	return COMMAND_EXIT_USAGE;
}
