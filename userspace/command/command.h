/* SPDX-License-Identifier: MIT */
/* What the commands of doze share: their settings and help, how they begin, how they end. */
#ifndef DOZE_COMMAND_H
#define DOZE_COMMAND_H

#include "config/config.h"
#include "kube/kube_access.h"

#define COMMAND_EXIT_USAGE 2

struct command {
	const char *name;
	enum config_command settings;
	int (*run)(const struct config *config); /* returns the exit status */
	const char *brief;			 /* as doze help has it */
	const char *usage;			 /* lines; what follows "doze NAME " */
	const char *about;
	const char *needs, *signals; /* NULL: none are worth a word */
	const char *exit_status;
};

extern const struct command cmd_run, cmd_sidecar, cmd_node, cmd_status;

/* All of them; NULL is the last. */
extern const struct command *const command_table[];

/* Parses argv, whose [0] is the name, and runs the command or prints its help: the exit status. */
int command_main(const struct command *command, int argc, char **argv);

/* `doze help`: argv[0] is "help". Also the reference, as Markdown or as a man page. */
int cmd_help(int argc, char **argv);

/* To the API server, as --kubeconfig or the service account says. Logs its errors, -errno. */
int command_open_access(struct kube_access *out, const struct config *config);

/* Calls each step with arg until one returns other than 0, which is the value then. */
#define COMMAND_STEPS(arg, ...)                                                                    \
	({                                                                                         \
		int (*const steps_[])(__typeof__(arg)) = { __VA_ARGS__ };                          \
		int r_ = 0;                                                                        \
		for (size_t i_ = 0; r_ == 0 && i_ < sizeof(steps_) / sizeof(steps_[0]); i_++)      \
			r_ = steps_[i_](arg);                                                      \
		r_;                                                                                \
	})

#endif
