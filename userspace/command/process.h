/* SPDX-License-Identifier: MIT */
/* The process that a target consists of: one that we start, or one that runs already. */
#ifndef DOZE_PROCESS_H
#define DOZE_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "cgroup/cgroup.h"

struct process {
	pid_t pid;
	int pidfd; /* readable when the process has ended (pidfd_open(2)) */
	bool is_child;
};

#define PROCESS_NONE ((struct process){ .pidfd = -1 })

/* Whether execvp(3) would find such a command along PATH. Logs its errors, -errno. */
int process_find_command(const char *command);

/*
 * Starts argv in cg, with the default signal mask and dispositions, and returns once the exec has
 * succeeded. Logs its errors, with the command quoted; -errno of the exec or of what went before.
 */
int process_start(struct process *out, char **argv, const struct cgroup *cg);

/* -ESRCH when there is no such process. Logs its errors. */
int process_adopt(struct process *out, pid_t pid);

/* -ESRCH when it has ended. The pidfd keeps the pid from meaning another process. */
int process_signal(const struct process *p, int signal);

/* Reaps a child that has ended: its exit status, or 128 + the signal. Blocks until it has. */
int process_wait(struct process *p);

/* Closes the pidfd; the process is left alone. */
void process_release(struct process *p);

#endif
