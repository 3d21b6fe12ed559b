/* SPDX-License-Identifier: MIT */
/* Which capabilities this process lacks, told by name before anything is touched. */
#ifndef DOZE_PRIVILEGE_H
#define DOZE_PRIVILEGE_H

#include <stdbool.h>

struct privilege_needs {
	bool enters_netns;  /* another process's network namespace: setns(2) */
	bool opens_others;  /* looks at the processes of other users */
	bool replays_on_lo; /* must be able to; else it does without */
};

/* 0; or -EPERM, after an error line that names the first capability that is missing and its use. */
int privilege_check(const struct privilege_needs *needs);

#endif
