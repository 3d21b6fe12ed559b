/* SPDX-License-Identifier: MIT */
/*
 * Resizes a target by its cgroup: the freezer, or the CPU quota. One that is to be frozen is only
 * throttled as long as a client is connected.
 */
#ifndef DOZE_BACKEND_CGROUP_H
#define DOZE_BACKEND_CGROUP_H

#include "backend/backend.h"
#include "cgroup/cgroup.h"
#include "cgroup/watchdog.h"

struct event_base;
struct backend_cgroup;

enum backend_cgroup_mode {
	BACKEND_CGROUP_FREEZE,
	BACKEND_CGROUP_THROTTLE,
};

struct backend_cgroup_settings {
	enum backend_cgroup_mode mode;
	uint32_t asleep_millicpu; /* of a throttle */
};

/*
 * What is full is read from cg now, and told to the watchdog. cg and watchdog are borrowed, and
 * outlive the backend. The caller owns *out. Logs its errors, -errno.
 */
int backend_cgroup_new(struct backend_cgroup **out, struct event_base *base,
		       const struct cgroup *cg, const struct backend_cgroup_settings *settings,
		       struct watchdog *watchdog);
void backend_cgroup_free(struct backend_cgroup **b);

/* Whether the cgroup has a CPU quota. One without can only be frozen, whoever is connected. */
bool backend_cgroup_can_throttle(const struct backend_cgroup *b);

struct backend *backend_cgroup_as_backend(struct backend_cgroup *b);

#endif
