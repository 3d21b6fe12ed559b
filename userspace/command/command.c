// SPDX-License-Identifier: MIT
/* One way through each command: parse, help or usage error, run. */
#include "command/command.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/confine.h"
#include "base/log.h"
#include "base/util.h"
#include "config/config_print.h"
#include "kube/kubeconfig.h"

const struct command *const command_table[] = { &cmd_run, &cmd_sidecar, &cmd_node, &cmd_status,
						NULL };

static void command_print_help(const struct command *c)
{
	config_print_usage(stdout, CONFIG_PRINT_HELP, c->name, c->usage);
	config_print_text(stdout, CONFIG_PRINT_HELP, c->about);
	fputs("\nThe flags that most people need:\n\n", stdout);
	config_print_common(stdout, c->settings);
}

static void command_print_all_help(const struct command *c)
{
	config_print_usage(stdout, CONFIG_PRINT_HELP, c->name, c->usage);
	config_print_text(stdout, CONFIG_PRINT_HELP, c->about);
	fputs("\nFlags, and the environment variables that they win over:\n\n", stdout);
	config_print_flags(stdout, c->settings);
	config_print_text(stdout, CONFIG_PRINT_HELP, c->needs);
	config_print_text(stdout, CONFIG_PRINT_HELP, c->signals);
	config_print_text(stdout, CONFIG_PRINT_HELP, c->exit_status);
}

/* What libevent says goes into our log, with its time, and bounded like all of it. */
static void command_on_libevent(int severity, const char *text)
{
	if (severity >= EVENT_LOG_ERR)
		log_err(0, "libevent: %s", text);
	else if (severity == EVENT_LOG_WARN)
		log_warn_err(0, "libevent: %s", text);
}

int command_main(const struct command *command, int argc, char **argv)
{
	static struct config config;
	char error[CONFIG_ERROR_MAX];
	int status = 0;

	if (config_parse(&config, command->settings, argc, argv, error) < 0) {
		fprintf(stderr, "doze %s: %s (doze %s --help-all lists all flags)\n", command->name,
			error, command->name);
		status = COMMAND_EXIT_USAGE;
	} else if (config.wants_all_help) {
		command_print_all_help(command);
	} else if (config.wants_help) {
		command_print_help(command);
	} else {
		log_set_level(config.log_level);
		srandom((unsigned int)(monotonic_ns() ^ (uint64_t)getpid()));
		event_set_log_callback(command_on_libevent);
		if (!config.has_seccomp)
			confine_set_off();
		status = command->run(&config);
		log_tell_left_out(UINT64_MAX);
	}
	config_free(&config);
	return status;
}

int command_open_access(struct kube_access *out, const struct config *config)
{
	char error[KUBE_ERROR_MAX] = "no memory";
	int r;

	if (config->kubeconfig)
		r = kubeconfig_read(out, config->kubeconfig, error);
	else
		r = kube_access_in_cluster(out, config->service_account_dir, error);
	return r < 0 ? log_err(r == -ENOMEM ? r : 0, "%s", error), r : 0;
}
