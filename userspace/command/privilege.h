/* SPDX-License-Identifier: MIT */
/*
 * Which capabilities this process lacks, told by name before anything is touched; and which of them
 * it keeps.
 */
#ifndef DOZE_PRIVILEGE_H
#define DOZE_PRIVILEGE_H

#include <stdbool.h>

struct privilege_needs {
	bool enters_netns;  /* another process's network namespace: setns(2) */
	bool opens_others;  /* looks at the processes of other users */
	bool replays_on_lo; /* must be able to; else it does without */
	/* These are kept where they are there; nothing is said of those that are not. */
	bool starts;	     /* has yet to listen on --listen and --socket */
	bool reads_others;   /* a kubeconfig, and the certificates that it names, of another user */
	bool signals_others; /* its command may have another user */
	bool writes_others; /* the directory of all cgroups is read-only, others are other users' */
};

/* 0; or -EPERM, after an error line that names the first capability that is missing and its use. */
int privilege_check(const struct privilege_needs *needs);

/* All other capabilities are given up, for good (base/confine.h). */
void privilege_keep(const struct privilege_needs *needs);

#endif
