// SPDX-License-Identifier: MIT
/* Names of files, and the texts that are in them. */
#include "cgroup/cgroup_file.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/util.h"

#define CGROUP_QUOTA_MIN_US 1000

struct cgroup_freezer {
	const char *file, *state_file, *frozen, *thawed, *is_done;
};

static const struct cgroup_freezer *cgroup_freezer_of(int version)
{
	static const struct cgroup_freezer v1 = {
		"freezer.state", "freezer.state", "FROZEN", "THAWED", "FROZEN",
	};
	static const struct cgroup_freezer v2 = {
		"cgroup.freeze", "cgroup.events", "1", "0", "frozen 1",
	};

	return version == 2 ? &v2 : &v1;
}

static void cgroup_file_path(char out[PATH_MAX], const char *dir, const char *file)
{
	snprintf(out, PATH_MAX, "%.*s/%s", PATH_MAX - 64, dir, file);
}

const char *cgroup_quota_file(int version)
{
	return version == 2 ? "cpu.max" : "cpu.cfs_quota_us";
}

const char *cgroup_freezer_file(int version)
{
	return cgroup_freezer_of(version)->file;
}

const char *cgroup_freezer_thawed(int version)
{
	return cgroup_freezer_of(version)->thawed;
}

static int cgroup_file_read(const char *dir, const char *file, char *out, size_t room)
{
	_cleanup_(freep) char *text = NULL;
	char path[PATH_MAX];
	int r;

	cgroup_file_path(path, dir, file);
	r = file_read(path, &text);
	if (r < 0)
		return r;
	snprintf(out, room, "%.*s", (int)strcspn(text, "\n"), text);
	return 0;
}

static int cgroup_file_write(const char *dir, const char *file, const char *text)
{
	char path[PATH_MAX];

	cgroup_file_path(path, dir, file);
	return file_write(path, text);
}

int cgroup_quota_read(const char *dir, int version, char out[CGROUP_QUOTA_TEXT_MAX])
{
	return cgroup_file_read(dir, cgroup_quota_file(version), out, CGROUP_QUOTA_TEXT_MAX);
}

int cgroup_quota_write(const char *dir, int version, const char *text)
{
	return cgroup_file_write(dir, cgroup_quota_file(version), text);
}

static const char *cgroup_weight_file(int version)
{
	return version == 2 ? "cpu.weight" : "cpu.shares";
}

int cgroup_weight_read(const char *dir, int version, char out[CGROUP_WEIGHT_TEXT_MAX])
{
	return cgroup_file_read(dir, cgroup_weight_file(version), out, CGROUP_WEIGHT_TEXT_MAX);
}

int cgroup_weight_write(const char *dir, int version, const char *text)
{
	return cgroup_file_write(dir, cgroup_weight_file(version), text);
}

/* v2: "max 100000" or "20000 100000"; the period is the second number. */
static int cgroup_quota_period_us(const char *dir, int version, uint64_t *out)
{
	char text[CGROUP_QUOTA_TEXT_MAX], path[PATH_MAX];
	const char *space;
	int r;

	if (version != 2) {
		cgroup_file_path(path, dir, "cpu.cfs_period_us");
		return file_read_u64(path, NULL, out);
	}
	r = cgroup_quota_read(dir, version, text);
	if (r < 0)
		return r;
	space = strchr(text, ' ');
	return space && sscanf(space, "%" SCNu64, out) == 1 ? 0 : -EINVAL;
}

int cgroup_quota_of(const char *dir, int version, int64_t millicpu, char out[CGROUP_QUOTA_TEXT_MAX])
{
	uint64_t period_us, quota_us;
	int r = cgroup_quota_period_us(dir, version, &period_us);

	if (r < 0)
		return r;
	quota_us = max_u64(period_us * (uint64_t)millicpu / 1000, CGROUP_QUOTA_MIN_US);
	if (millicpu < 0 && version == 2)
		snprintf(out, CGROUP_QUOTA_TEXT_MAX, "max %" PRIu64, period_us);
	else if (millicpu < 0)
		snprintf(out, CGROUP_QUOTA_TEXT_MAX, "-1");
	else if (version == 2)
		snprintf(out, CGROUP_QUOTA_TEXT_MAX, "%" PRIu64 " %" PRIu64, quota_us, period_us);
	else
		snprintf(out, CGROUP_QUOTA_TEXT_MAX, "%" PRIu64, quota_us);
	return 0;
}

/* CPUs; HUGE_VAL without bounds, and NAN, which is not larger than anything, for what is none. */
static double cgroup_quota_cpus(int version, const char *text)
{
	double quota, period = 1;
	int n;

	if (strncmp(text, "max", 3) == 0 || strcmp(text, "-1") == 0)
		return HUGE_VAL;
	n = sscanf(text, "%lf %lf", &quota, &period);
	return n >= (version == 2 ? 2 : 1) && period > 0 ? quota / period : NAN;
}

bool cgroup_quota_is_larger(int version, const char *quota, const char *than)
{
	return cgroup_quota_cpus(version, quota) > cgroup_quota_cpus(version, than);
}

int cgroup_freezer_write(const char *dir, int version, bool is_frozen)
{
	const struct cgroup_freezer *freezer = cgroup_freezer_of(version);
	char path[PATH_MAX];

	cgroup_file_path(path, dir, freezer->file);
	return file_write(path, is_frozen ? freezer->frozen : freezer->thawed);
}

bool cgroup_freezer_is_done(const char *dir, int version)
{
	const struct cgroup_freezer *freezer = cgroup_freezer_of(version);
	_cleanup_(freep) char *text = NULL;
	char path[PATH_MAX];

	cgroup_file_path(path, dir, freezer->state_file);
	return file_read(path, &text) == 0 && strstr(text, freezer->is_done) != NULL;
}

bool cgroup_freezer_is_asked(const char *dir, int version)
{
	const struct cgroup_freezer *freezer = cgroup_freezer_of(version);
	_cleanup_(freep) char *text = NULL;
	char path[PATH_MAX];

	/* v1 says FREEZING before it says FROZEN. */
	cgroup_file_path(path, dir, freezer->file);
	return file_read(path, &text) == 0 &&
	       strncmp(text, freezer->thawed, strlen(freezer->thawed)) != 0;
}
