/* SPDX-License-Identifier: MIT */
/* The status as people read it: what `doze status` prints. Pure. */
#ifndef DOZE_STATUS_TEXT_H
#define DOZE_STATUS_TEXT_H

#include <stdio.h>

#include "report/status.h"

void status_text_print(FILE *out, const struct status *s);

#endif
