/* SPDX-License-Identifier: MIT */
#ifndef DOZE_CMD_NODE_H
#define DOZE_CMD_NODE_H

/* `doze node`: argv[0] is "node". Returns the exit status: 2 for usage, else 0 or 1. */
int cmd_node(int argc, char **argv);

#endif
