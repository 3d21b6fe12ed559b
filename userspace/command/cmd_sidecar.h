/* SPDX-License-Identifier: MIT */
#ifndef DOZE_CMD_SIDECAR_H
#define DOZE_CMD_SIDECAR_H

/* `doze sidecar`: argv[0] is "sidecar". Returns the exit status: 2 for usage, else 0 or 1. */
int cmd_sidecar(int argc, char **argv);

#endif
