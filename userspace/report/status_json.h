/* SPDX-License-Identifier: MIT */
/* The status as JSON: all that is known. Pure. */
#ifndef DOZE_STATUS_JSON_H
#define DOZE_STATUS_JSON_H

#include "report/status.h"

/* The caller frees it with free(). NULL: no memory. */
char *status_json_format(const struct status *s);

#endif
