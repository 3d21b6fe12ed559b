/* SPDX-License-Identifier: MIT */
/*
 * What undoes a sleep, in a file that outlives a doze which was killed together with its watchdog:
 * the next doze finds it, and undoes it.
 *
 *   /run/doze/run-1234.undo         undo <tab> text <tab> path
 *
 * Its doze holds a lock on it (flock(2)) as long as it lives, whatever PID namespace it is in.
 */
#ifndef DOZE_RECORD_H
#define DOZE_RECORD_H

#include <limits.h>

#include "cgroup/restores.h"

struct record {
	int fd; /* which holds the lock */
	char path[PATH_MAX];
};

#define RECORD_NONE ((struct record){ .fd = -1 })

/* An empty one of this process in that directory, which is made. Logs its errors, -errno. */
int record_open(struct record *out, const char *directory);

/* Logs its errors, -errno. */
int record_write(const struct record *record, const struct restores *all);

/* Removes the file. Leaves RECORD_NONE. */
void record_close(struct record *record);

/*
 * Undoes and removes what nobody holds the lock of. What cannot be undone stays, for the next time;
 * so does what is in a cgroup hierarchy that is not mounted here.
 * Without such a directory there is nothing to do.
 */
void record_sweep(const char *directory);

#endif
