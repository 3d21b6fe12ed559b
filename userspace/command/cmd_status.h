/* SPDX-License-Identifier: MIT */
#ifndef DOZE_CMD_STATUS_H
#define DOZE_CMD_STATUS_H

/* `doze status`: argv[0] is the subcommand; returns the exit status. */
int cmd_status(int argc, char **argv);

#endif
