/* SPDX-License-Identifier: MIT */
/* The status as JSON, and that as people read it. Pure. */
#ifndef DOZE_STATUS_JSON_H
#define DOZE_STATUS_JSON_H

#include <stddef.h>
#include <stdio.h>

#include "report/status.h"

/* The caller frees it with free(). NULL: no memory. */
char *status_json_format(const struct status *s);

/* The text of doze status. -EBADMSG: this is not what status_json_format() writes. */
int status_json_explain(FILE *out, const char *json, size_t len);

#endif
