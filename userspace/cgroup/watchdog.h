/* SPDX-License-Identifier: MIT */
/*
 * A child process that undoes what we have done to a cgroup when we are killed, or stop beating
 * while a target is asleep: it writes the full size back. The gate does the same for packets: its
 * link ends with us, and a stale heartbeat opens it.
 *
 * It is a process of its own because nothing of ours runs after SIGKILL. It ignores the signals
 * that ask a whole process group to end, and ends when the pipe from us does.
 */
#ifndef DOZE_WATCHDOG_H
#define DOZE_WATCHDOG_H

struct watchdog;

/* Forks: call it before anything is opened that must not outlive us. Logs its errors, -errno. */
int watchdog_start(struct watchdog **out);

/*
 * On our death text is written to the file at path; the files come in the order of these calls. For
 * one path the last text counts. Logs, -errno.
 */
int watchdog_add(struct watchdog *w, const char *path, const char *text);

/* On our death the file is left alone. No error if that was so before. */
void watchdog_drop(struct watchdog *w, const char *path);

/* Says that we are alive. After the first beat, silence for WATCHDOG_SILENCE_MS counts as death. */
void watchdog_beat(struct watchdog *w);
#define WATCHDOG_SILENCE_MS 3000

/* Nothing is asleep: silence is normal again. */
void watchdog_rest(struct watchdog *w);

/* Ends the child without its writing anything. Takes NULL, leaves NULL. */
void watchdog_free(struct watchdog **w);

#endif
