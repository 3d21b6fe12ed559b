// SPDX-License-Identifier: MIT
/* A table of capabilities and what each is for. */
#include "command/privilege.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/capability.h>

#include "base/file.h"
#include "base/log.h"
#include "base/util.h"

/* <sys/capability.h> of older libcap ends before these two (kernel 5.8). */
#ifndef CAP_PERFMON
#define CAP_PERFMON 38
#endif
#ifndef CAP_BPF
#define CAP_BPF 39
#endif

#define PRIVILEGE_ALWAYS ((size_t)-1)

static const struct {
	cap_value_t value;
	const char *name;
	const char *use;
	size_t need; /* offset in struct privilege_needs, or PRIVILEGE_ALWAYS */
} privilege_table[] = {
	{ CAP_BPF, "CAP_BPF", "load the gate", PRIVILEGE_ALWAYS },
	{ CAP_PERFMON, "CAP_PERFMON", "load the gate: its packet pointers need it",
	  PRIVILEGE_ALWAYS },
	{ CAP_NET_ADMIN, "CAP_NET_ADMIN", "attach the gate to interfaces", PRIVILEGE_ALWAYS },
	{ CAP_NET_RAW, "CAP_NET_RAW", "replay on lo, through a raw socket",
	  offsetof(struct privilege_needs, replays_on_lo) },
	{ CAP_SYS_ADMIN, "CAP_SYS_ADMIN", "enter the network namespace of --pid, or of a pod",
	  offsetof(struct privilege_needs, enters_netns) },
	{ CAP_SYS_PTRACE, "CAP_SYS_PTRACE", "open /proc/PID/ns/net of another user's process",
	  offsetof(struct privilege_needs, opens_others) },
};

static bool privilege_has(cap_t caps, cap_value_t value)
{
	cap_flag_value_t is_set = CAP_CLEAR;

	return cap_get_flag(caps, value, CAP_EFFECTIVE, &is_set) == 0 && is_set == CAP_SET;
}

/* CAP_SYS_ADMIN includes CAP_BPF and CAP_PERFMON (capabilities(7)). */
static bool privilege_has_or_admin(cap_t caps, cap_value_t value)
{
	if (privilege_has(caps, value))
		return true;
	return (value == CAP_BPF || value == CAP_PERFMON) && privilege_has(caps, CAP_SYS_ADMIN);
}

/*
 * All ids are mapped to themselves in the first user namespace alone. In every other one
 * (hostUsers: false, a rootless container) capabilities are there, and bpf(2) asks for those of the
 * first.
 */
static bool privilege_is_in_user_namespace(void)
{
	_cleanup_(freep) char *map = NULL;
	unsigned int inside, outside, count;

	if (file_read("/proc/self/uid_map", &map) < 0)
		return false;
	return sscanf(map, "%u %u %u", &inside, &outside, &count) == 3 &&
	       (inside || outside || count != UINT_MAX);
}

int privilege_check(const struct privilege_needs *needs)
{
	cap_t caps = cap_get_proc();
	int r = 0;

	if (!caps)
		return log_err(-errno, "cannot read the capabilities of this process");
	for (size_t i = 0; i < ARRAY_LEN(privilege_table) && r == 0; i++) {
		size_t need = privilege_table[i].need;

		if (need != PRIVILEGE_ALWAYS && !*(const bool *)((const char *)needs + need))
			continue;
		if (!privilege_has_or_admin(caps, privilege_table[i].value))
			r = log_err(-EPERM, "missing capability '%s', needed to %s: run as root",
				    privilege_table[i].name, privilege_table[i].use);
	}
	cap_free(caps);
	if (r == 0 && privilege_is_in_user_namespace())
		r = log_err(-EPERM,
			    "this is a user namespace of its own, in which nobody may load an "
			    "eBPF program: in a pod, leave out 'hostUsers: false'");
	return r;
}
