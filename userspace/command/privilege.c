// SPDX-License-Identifier: MIT
/* A table of capabilities and what each is for. */
#include "command/privilege.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/capability.h>
#include <sys/resource.h>

#include "base/confine.h"
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
	bool is_optional;
	const char *name;
	const char *use;
	size_t need; /* offset in struct privilege_needs, or PRIVILEGE_ALWAYS */
} privilege_table[] = {
	{ CAP_BPF, false, "CAP_BPF", "load the gate", PRIVILEGE_ALWAYS },
	{ CAP_PERFMON, false, "CAP_PERFMON", "load the gate: its packet pointers need it",
	  PRIVILEGE_ALWAYS },
	{ CAP_NET_ADMIN, false, "CAP_NET_ADMIN", "attach the gate to interfaces",
	  PRIVILEGE_ALWAYS },
	{ CAP_NET_RAW, false, "CAP_NET_RAW", "replay on lo, through a raw socket",
	  offsetof(struct privilege_needs, replays_on_lo) },
	{ CAP_SYS_ADMIN, false, "CAP_SYS_ADMIN",
	  "enter the network namespace of --pid, or of a pod",
	  offsetof(struct privilege_needs, enters_netns) },
	{ CAP_SYS_PTRACE, false, "CAP_SYS_PTRACE",
	  "open /proc/PID/ns/net of another user's process",
	  offsetof(struct privilege_needs, opens_others) },
	{ CAP_NET_BIND_SERVICE, true, "CAP_NET_BIND_SERVICE", "listen on a port below 1024",
	  offsetof(struct privilege_needs, starts) },
	{ CAP_DAC_OVERRIDE, true, "CAP_DAC_OVERRIDE",
	  "make a socket in a directory of another user",
	  offsetof(struct privilege_needs, starts) },
	{ CAP_DAC_READ_SEARCH, true, "CAP_DAC_READ_SEARCH", "read a kubeconfig of another user",
	  offsetof(struct privilege_needs, reads_others) },
	{ CAP_DAC_OVERRIDE, true, "CAP_DAC_OVERRIDE", "make, write and remove cgroups",
	  offsetof(struct privilege_needs, writes_others) },
	{ CAP_KILL, true, "CAP_KILL", "pass signals on to a command of another user",
	  offsetof(struct privilege_needs, signals_others) },
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

static bool privilege_is_needed(const struct privilege_needs *needs, size_t need)
{
	return need == PRIVILEGE_ALWAYS || *(const bool *)((const char *)needs + need);
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
		if (privilege_table[i].is_optional ||
		    !privilege_is_needed(needs, privilege_table[i].need))
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

/* Runtimes that do not know CAP_BPF and CAP_PERFMON give CAP_SYS_ADMIN, which is both. */
static bool privilege_lives_by_admin(void)
{
	cap_t caps = cap_get_proc();
	bool does = caps && !(privilege_has(caps, CAP_BPF) && privilege_has(caps, CAP_PERFMON));

	cap_free(caps);
	return does;
}

/*
 * Before 5.11 maps count as locked memory, which libbpf asks for when it loads: then it is too
 * late, without CAP_SYS_RESOURCE. Without it from the start the limit stays, as it did.
 */
static void privilege_unlock_memory(void)
{
	const struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };

	setrlimit(RLIMIT_MEMLOCK, &all);
}

void privilege_keep(const struct privilege_needs *needs)
{
	int kept[ARRAY_LEN(privilege_table) + 1];
	size_t len = 0;

	for (size_t i = 0; i < ARRAY_LEN(privilege_table); i++) {
		if (privilege_is_needed(needs, privilege_table[i].need))
			kept[len++] = privilege_table[i].value;
	}
	if (privilege_lives_by_admin())
		kept[len++] = CAP_SYS_ADMIN;
	if (needs->starts)
		privilege_unlock_memory();
	confine_capabilities(kept, len);
}
