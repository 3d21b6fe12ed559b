// SPDX-License-Identifier: MIT
/* Reads the pending signals of /proc/PID/status (proc_pid_status(5)). */
#include "cgroup/cgroup_doomed.h"

#include <inttypes.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/util.h"
#include "cgroup/cgroup_file.h"

/* So many processes are looked at, each of which costs a wake about 20 us. */
#define CGROUP_DOOMED_LOOKED_AT_MAX 64

static uint64_t cgroup_doomed_mask(const char *status, const char *field)
{
	const char *at = strstr(status, field);
	uint64_t mask = 0;

	return at && sscanf(at + strlen(field), "%" SCNx64, &mask) == 1 ? mask : 0;
}

static int cgroup_doomed_read_status(pid_t pid, char **out)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	return file_read(path, out);
}

#define CGROUP_DOOMED_BIT(number) (UINT64_C(1) << ((number)-1))

/* The signals that wait for a process, but for those that it does not want to see now. */
static uint64_t cgroup_doomed_pending(pid_t pid)
{
	_cleanup_(freep) char *status = NULL;

	if (cgroup_doomed_read_status(pid, &status) < 0)
		return 0;
	return (cgroup_doomed_mask(status, "\nSigPnd:") | cgroup_doomed_mask(status, "\nShdPnd:")) &
	       ~cgroup_doomed_mask(status, "\nSigBlk:");
}

static bool cgroup_doomed_is(pid_t pid)
{
	return cgroup_doomed_pending(pid) & CGROUP_DOOMED_BIT(SIGKILL);
}

/*
 * A zombie has closed its files, and only waits for its parent. But the first thread of a process
 * can be one while other threads live on, with the files.
 */
static bool cgroup_doomed_is_gone(pid_t pid)
{
	_cleanup_(freep) char *status = NULL;
	const char *state;

	if (cgroup_doomed_read_status(pid, &status) < 0)
		return true;
	state = strstr(status, "\nState:\t");
	return state && (state[8] == 'Z' || state[8] == 'X') &&
	       strstr(status, "\nThreads:\t1\n") != NULL;
}

size_t cgroup_doomed_find(const char *dir, pid_t *out, size_t max)
{
	_cleanup_(freep) pid_t *pids = NULL;
	int pids_len = cgroup_file_pids(&pids, dir);
	size_t len = 0;

	for (int i = 0; i < pids_len && i < CGROUP_DOOMED_LOOKED_AT_MAX && len < max; i++) {
		if (pids[i] > 0 && cgroup_doomed_is(pids[i]))
			out[len++] = pids[i];
	}
	return len;
}

bool cgroup_doomed_is_told_to_end(const char *dir)
{
	const uint64_t ends = CGROUP_DOOMED_BIT(SIGTERM) | CGROUP_DOOMED_BIT(SIGINT) |
			      CGROUP_DOOMED_BIT(SIGQUIT) | CGROUP_DOOMED_BIT(SIGHUP) |
			      CGROUP_DOOMED_BIT(SIGKILL);
	_cleanup_(freep) pid_t *pids = NULL;
	int pids_len = cgroup_file_pids(&pids, dir);

	for (int i = 0; i < pids_len && i < CGROUP_DOOMED_LOOKED_AT_MAX; i++) {
		if (pids[i] > 0 && cgroup_doomed_pending(pids[i]) & ends)
			return true;
	}
	return false;
}

bool cgroup_doomed_are_gone(const pid_t *pids, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (!cgroup_doomed_is_gone(pids[i]))
			return false;
	}
	return true;
}
