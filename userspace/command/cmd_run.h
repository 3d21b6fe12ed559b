/* SPDX-License-Identifier: MIT */
#ifndef DOZE_CMD_RUN_H
#define DOZE_CMD_RUN_H

/* `doze run`: argv[0] is "run". Returns the exit status: the command's, 2 for usage, else 1. */
int cmd_run(int argc, char **argv);

#endif
