/* SPDX-License-Identifier: MIT */
/* Which pods are left alone, and why: for the status. Pure. */
#ifndef DOZE_REFUSALS_H
#define DOZE_REFUSALS_H

#include <stddef.h>

#include "report/status.h"

/* All zero to begin with. */
struct refusals {
	struct status_refusal *of;
	size_t len, room;
};

/* Replaces what was there of that uid. Without memory it is not told. */
void refusals_put(struct refusals *list, const char *uid, const char *pod, const char *reason,
		  const char *why);
void refusals_remove(struct refusals *list, const char *uid);
void refusals_free(struct refusals *list);

#endif
