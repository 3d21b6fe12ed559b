/* SPDX-License-Identifier: MIT */
/*
 * A process gives up what it does not need, for good: capabilities, and system calls by a seccomp
 * filter. Whoever takes it over by a bug finds no execve(2), no ptrace(2), no mount(2).
 *
 * The filter is a list of what is allowed. What is not on it is refused, and logged once: doze goes
 * on, since a call that we forgot must not cost a request. It fails like one that this kernel does
 * not have (ENOSYS), for which libraries have a second way; or with EPERM, if the call is allowed
 * with other arguments.
 *
 *   doze node, sidecar    CONFINE_SUPERVISOR, then its child the daemon CONFINE_DAEMON as well
 *   doze run              CONFINE_RUN, after its command was started; its watchdog CONFINE_WATCHDOG
 */
#ifndef DOZE_CONFINE_H
#define DOZE_CONFINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bits, since most calls are allowed to several. A child inherits the filter of its parent. */
enum confine_who {
	CONFINE_SUPERVISOR = 1 << 0, /* all that the daemon may from its start on, and fork(2) */
	CONFINE_DAEMON = 1 << 1,
	CONFINE_RUN = 1 << 2,
	CONFINE_WATCHDOG = 1 << 3,
};

/*
 * Of the capabilities that this process has it keeps those: permitted, effective, and in the
 * bounding set if it may change that. A failure is logged, and nothing is lost then.
 */
void confine_capabilities(const int *kept, size_t len);

/*
 * From now on this process and its children may only do what is allowed to who, and what was
 * allowed to them before. Where the kernel or the container's runtime has no seccomp, that is
 * logged, and all is as before.
 */
void confine_calls(enum confine_who who);

/* confine_calls() does nothing: --seccomp=off. */
void confine_set_off(void);

/* How many calls were refused to this process. */
uint64_t confine_refused(void);

#endif
