/* SPDX-License-Identifier: MIT */
/*
 * A process that undoes what we have done to a cgroup when we are killed, or stop beating while a
 * target is asleep: it writes the full size back. The gate does the same for packets: its link ends
 * with us, and a stale heartbeat opens it.
 *
 * It is a process of its own because nothing of ours runs after SIGKILL. Its session and its cgroup
 * are its own, so that what ends us does not end it. If it ends all the same, another takes its
 * place; and a record tells the next doze what is to be undone, should both be killed.
 */
#ifndef DOZE_WATCHDOG_H
#define DOZE_WATCHDOG_H

#include <stdbool.h>

struct event_base;
struct watchdog;

/* Forks: call it before anything is opened that must not outlive us. Logs its errors, -errno. */
int watchdog_start(struct watchdog **out);

/*
 * From now on what is added is also kept in a record in that directory (cgroup/record.h). One that
 * cannot be written, which is logged, is no reason to fail.
 */
void watchdog_keep_record(struct watchdog *w, const char *directory);

/*
 * The watchdog is our parent (command/supervisor.h), which nothing replaces. fd, which is ours from
 * now on, leads to it. -ENOMEM, logged.
 */
int watchdog_of_parent(struct watchdog **out, int fd);

/*
 * From now on, from the loop of base, another watchdog is started when a child of ours ends, and
 * told all that it was told; a parent is told every few seconds that the loop goes round. -ENOMEM,
 * logged.
 */
int watchdog_join(struct watchdog *w, struct event_base *base);

/* Whether one is there. Nothing should be put to sleep without. */
bool watchdog_is_there(const struct watchdog *w);

/*
 * On our death text is written to the file at path; the files come in the order of these calls. For
 * one path the last text counts. Logs, -errno: -EPIPE if there is no watchdog now; the next one is
 * told.
 */
int watchdog_add(struct watchdog *w, const char *path, const char *text);

/* On our death the file is left alone. No error if that was so before. */
void watchdog_drop(struct watchdog *w, const char *path);

/* Says that we are alive. After the first beat, silence for WATCHDOG_SILENCE_MS counts as death. */
void watchdog_beat(struct watchdog *w);
#define WATCHDOG_SILENCE_MS 3000

/* Nothing is asleep: silence is normal again. */
void watchdog_rest(struct watchdog *w);

/*
 * We could not undo something ourselves, such as without memory or descriptors: the child, which
 * has its own, undoes all. What sleeps on is set again by backend_reassert() (backend/backend.h).
 */
void watchdog_undo(const struct watchdog *w);

/* Ends the child without its writing anything, and removes the record. Takes NULL, leaves NULL. */
void watchdog_free(struct watchdog **w);

#endif
