// SPDX-License-Identifier: MIT
/* A table of capabilities and what each is for. */
#include "command/privilege.h"

#include <errno.h>
#include <stddef.h>
#include <sys/capability.h>

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
	return r;
}
