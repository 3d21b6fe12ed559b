/* SPDX-License-Identifier: MIT */
/* What a target does and why, when somebody asks. */
#ifndef DOZE_TARGET_STATUS_H
#define DOZE_TARGET_STATUS_H

#include "report/status.h"

struct connection_counters;
struct target;

/* The strings are static. */
void target_status(const struct target *t, struct status_target *out);

/* Of the probes that were answered for it. NULL: none are. */
const struct connection_counters *target_status_probes(const struct target *t);

#endif
