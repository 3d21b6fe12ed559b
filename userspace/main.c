// SPDX-License-Identifier: MIT
/* doze: finds the subcommand. */
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "base/version.h"
#include "command/cmd_node.h"
#include "command/cmd_run.h"
#include "command/cmd_sidecar.h"
#include "command/cmd_status.h"

#define MAIN_EXIT_USAGE 2

static int cmd_version(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	printf("doze %s\n", DOZE_VERSION);
	return 0;
}

static int cmd_help(int argc, char **argv);

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
} commands[] = {
	{ "run", cmd_run, "start a process, or take one that runs, and let it sleep when idle" },
	{ "sidecar", cmd_sidecar, "run in a pod, and let its other containers sleep when idle" },
	{ "node", cmd_node, "run on a node, and let its annotated pods sleep when idle" },
	{ "status", cmd_status, "tell what each doze of this machine does, and why" },
	{ "version", cmd_version, "print the version" },
	{ "help", cmd_help, "print this text" },
};

static int cmd_help(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	puts("doze puts an idle process to sleep in place and wakes it on the first packet.\n"
	     "\n"
	     "Usage: doze COMMAND [FLAG]...\n");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		printf("  %-8s  %s\n", commands[i].name, commands[i].help);
	puts("\ndoze COMMAND --help lists its flags.");
	return 0;
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : NULL;

	if (!name) {
		fputs("doze: no command: try doze run, or doze help\n", stderr);
		return MAIN_EXIT_USAGE;
	}
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
		name = "help";
	if (strcmp(name, "--version") == 0)
		name = "version";
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (strcmp(name, commands[i].name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	}
	fprintf(stderr, "doze: unknown command '%s': doze help lists them\n", name);
	return MAIN_EXIT_USAGE;
}
