// SPDX-License-Identifier: MIT
/* Names of files, and the texts that are in them. */
#include "cgroup/cgroup_file.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/util.h"

#define CGROUP_FILE_QUOTA_MIN_US 1000

struct cgroup_file_freezer {
	const char *name, *state_name, *frozen, *thawed, *is_done;
};

static const struct cgroup_file_freezer *cgroup_file_freezer(int version)
{
	static const struct cgroup_file_freezer v1 = {
		"freezer.state", "freezer.state", "FROZEN", "THAWED", "FROZEN",
	};
	static const struct cgroup_file_freezer v2 = {
		"cgroup.freeze", "cgroup.events", "1", "0", "frozen 1",
	};

	return version == 2 ? &v2 : &v1;
}

static const char *cgroup_file_quota_name(int version)
{
	return version == 2 ? "cpu.max" : "cpu.cfs_quota_us";
}

static const char *cgroup_file_burst_name(int version)
{
	return version == 2 ? "cpu.max.burst" : "cpu.cfs_burst_us";
}

static const char *cgroup_file_weight_name(int version)
{
	return version == 2 ? "cpu.weight" : "cpu.shares";
}

int cgroup_file_path(char out[PATH_MAX], const char *dir, const char *name)
{
	return snprintf(out, PATH_MAX, "%s/%s", dir, name) < PATH_MAX ? 0 : -ENAMETOOLONG;
}

/* The whole file; the caller free()s *out. */
static int cgroup_file_read(const char *dir, const char *name, char **out)
{
	char path[PATH_MAX];
	int r = cgroup_file_path(path, dir, name);

	return r < 0 ? r : file_read(path, out);
}

/* Its first line. */
static int cgroup_file_read_line(const char *dir, const char *name, char *out, size_t room)
{
	_cleanup_(freep) char *text = NULL;
	int r = cgroup_file_read(dir, name, &text);

	if (r == 0)
		snprintf(out, room, "%.*s", (int)strcspn(text, "\n"), text);
	return r;
}

static int cgroup_file_write(const char *dir, const char *name, const char *text)
{
	char path[PATH_MAX];
	int r = cgroup_file_path(path, dir, name);

	return r < 0 ? r : file_write(path, text);
}

int cgroup_file_pids(pid_t **out, const char *dir)
{
	_cleanup_(freep) char *text = NULL;
	_cleanup_(freep) pid_t *pids = NULL;
	int r = cgroup_file_read(dir, "cgroup.procs", &text), len = 0;
	char *rest = text, *line;

	if (r < 0)
		return r;
	/* A line has a digit and its end at the least. */
	pids = calloc(strlen(text) / 2 + 1, sizeof(*pids));
	if (!pids)
		return -ENOMEM;
	while ((line = strsep(&rest, "\n"))) {
		if (*line)
			pids[len++] = (pid_t)strtol(line, NULL, 10);
	}
	*out = TAKE_PTR(pids);
	return len;
}

int cgroup_file_read_quota(const struct cgroup_dir *dir, char out[CGROUP_QUOTA_TEXT_MAX])
{
	return cgroup_file_read_line(dir->path, cgroup_file_quota_name(dir->version), out,
				     CGROUP_QUOTA_TEXT_MAX);
}

int cgroup_file_write_quota(const struct cgroup_dir *dir, const char *text)
{
	return cgroup_file_write(dir->path, cgroup_file_quota_name(dir->version), text);
}

void cgroup_file_read_burst(const struct cgroup_dir *dir, char out[CGROUP_BURST_TEXT_MAX])
{
	int r = cgroup_file_read_line(dir->path, cgroup_file_burst_name(dir->version), out,
				      CGROUP_BURST_TEXT_MAX);

	if (r < 0 || strcmp(out, "0") == 0)
		*out = '\0';
}

int cgroup_file_write_burst(const struct cgroup_dir *dir, const char *text)
{
	return cgroup_file_write(dir->path, cgroup_file_burst_name(dir->version), text);
}

int cgroup_file_read_weight(const struct cgroup_dir *dir, char out[CGROUP_WEIGHT_TEXT_MAX])
{
	return cgroup_file_read_line(dir->path, cgroup_file_weight_name(dir->version), out,
				     CGROUP_WEIGHT_TEXT_MAX);
}

int cgroup_file_write_weight(const struct cgroup_dir *dir, const char *text)
{
	return cgroup_file_write(dir->path, cgroup_file_weight_name(dir->version), text);
}

/* v1 has a file for it; on v2 it is the second number of "max 100000" or "20000 100000". */
static int cgroup_file_read_period_us(const struct cgroup_dir *dir, uint64_t *out)
{
	bool is_v2 = dir->version == 2;
	char text[CGROUP_QUOTA_TEXT_MAX];
	int r = cgroup_file_read_line(dir->path, is_v2 ? "cpu.max" : "cpu.cfs_period_us", text,
				      sizeof(text));

	if (r < 0)
		return r;
	return sscanf(text, is_v2 ? "%*s %" SCNu64 : "%" SCNu64, out) == 1 ? 0 : -EINVAL;
}

int cgroup_file_format_quota(const struct cgroup_dir *dir, int64_t millicpu,
			     char out[CGROUP_QUOTA_TEXT_MAX])
{
	uint64_t period_us, quota_us;
	int r = cgroup_file_read_period_us(dir, &period_us);

	if (r < 0)
		return r;
	quota_us = max_u64(period_us * (uint64_t)millicpu / 1000, CGROUP_FILE_QUOTA_MIN_US);
	if (millicpu < 0 && dir->version == 2)
		snprintf(out, CGROUP_QUOTA_TEXT_MAX, "max %" PRIu64, period_us);
	else if (millicpu < 0)
		snprintf(out, CGROUP_QUOTA_TEXT_MAX, "-1");
	else if (dir->version == 2)
		snprintf(out, CGROUP_QUOTA_TEXT_MAX, "%" PRIu64 " %" PRIu64, quota_us, period_us);
	else
		snprintf(out, CGROUP_QUOTA_TEXT_MAX, "%" PRIu64, quota_us);
	return 0;
}

/* In CPUs: HUGE_VAL without bounds. What is no quota is NAN, which is not larger than anything. */
static double cgroup_file_cpus(int version, const char *text)
{
	double quota, period = 1;
	int n;

	if (strncmp(text, "max", 3) == 0 || strcmp(text, "-1") == 0)
		return HUGE_VAL;
	n = sscanf(text, "%lf %lf", &quota, &period);
	return n >= (version == 2 ? 2 : 1) && period > 0 ? quota / period : NAN;
}

bool cgroup_file_is_larger(int version, const char *quota, const char *than)
{
	return cgroup_file_cpus(version, quota) > cgroup_file_cpus(version, than);
}

int cgroup_file_read_usage_us(const struct cgroup_dir *dir, uint64_t *out)
{
	bool is_v2 = dir->version == 2;
	char path[PATH_MAX];
	int r;

	if (!dir->version)
		return -ENODEV;
	r = cgroup_file_path(path, dir->path, is_v2 ? "cpu.stat" : "cpuacct.usage");
	if (r == 0)
		r = file_read_u64(path, is_v2 ? "usage_usec" : NULL, out);
	if (r == 0 && !is_v2)
		*out /= NS_PER_US;
	return r;
}

int cgroup_file_read_throttled_us(const struct cgroup_dir *dir, uint64_t *out)
{
	uint64_t periods, period_us;
	char path[PATH_MAX];
	int r;

	if (!dir->version)
		return -ENODEV;
	r = cgroup_file_path(path, dir->path, "cpu.stat");
	if (r == 0)
		r = file_read_u64(path, "nr_throttled", &periods);
	if (r == 0)
		r = cgroup_file_read_period_us(dir, &period_us);
	if (r == 0)
		*out = periods * period_us;
	return r;
}

int cgroup_file_freeze(const struct cgroup_dir *dir, bool is_frozen)
{
	const struct cgroup_file_freezer *freezer = cgroup_file_freezer(dir->version);

	return cgroup_file_write(dir->path, freezer->name,
				 is_frozen ? freezer->frozen : freezer->thawed);
}

bool cgroup_file_is_frozen(const struct cgroup_dir *dir)
{
	const struct cgroup_file_freezer *freezer = cgroup_file_freezer(dir->version);
	_cleanup_(freep) char *text = NULL;

	return cgroup_file_read(dir->path, freezer->state_name, &text) == 0 &&
	       strstr(text, freezer->is_done) != NULL;
}

bool cgroup_file_is_freezing(const struct cgroup_dir *dir)
{
	const struct cgroup_file_freezer *freezer = cgroup_file_freezer(dir->version);
	_cleanup_(freep) char *text = NULL;

	/* v1 says FREEZING before it says FROZEN. */
	return cgroup_file_read(dir->path, freezer->name, &text) == 0 &&
	       strncmp(text, freezer->thawed, strlen(freezer->thawed)) != 0;
}

int cgroup_file_quota_path(char out[PATH_MAX], const struct cgroup_dir *dir)
{
	return cgroup_file_path(out, dir->path, cgroup_file_quota_name(dir->version));
}

int cgroup_file_burst_path(char out[PATH_MAX], const struct cgroup_dir *dir)
{
	return cgroup_file_path(out, dir->path, cgroup_file_burst_name(dir->version));
}

int cgroup_file_freezer_path(char out[PATH_MAX], const struct cgroup_dir *dir)
{
	return cgroup_file_path(out, dir->path, cgroup_file_freezer(dir->version)->name);
}

const char *cgroup_file_thawed(int version)
{
	return cgroup_file_freezer(version)->thawed;
}
