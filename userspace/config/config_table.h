/* SPDX-License-Identifier: MIT */
/*
 * The table of all settings. It serves the command line, the environment, the annotations of a pod,
 * the help and the reference.
 */
#ifndef DOZE_CONFIG_TABLE_H
#define DOZE_CONFIG_TABLE_H

#include "config/config.h"
#include "config/config_value.h"

extern const struct config_setting config_table[];
extern const size_t config_table_len; /* CONFIG_SETTINGS_MAX at most */

#endif
