// SPDX-License-Identifier: MIT
/* Each look is compared with the one before. */
#include "target/depth.h"

#include "base/util.h"

void depth_begin(struct depth *d, uint64_t now_ns, uint64_t throttled_us)
{
	*d = (struct depth){ .looked_ns = now_ns, .throttled_us = throttled_us };
}

/* A counter that went back belongs to another container. */
static bool depth_is_at_its_quota(const struct depth *d, const struct depth_look *look)
{
	uint64_t passed_us = (look->now_ns - d->looked_ns) / NS_PER_US;
	uint64_t throttled_us = look->throttled_us > d->throttled_us
					? look->throttled_us - d->throttled_us
					: 0;

	return throttled_us && throttled_us * 100 >= passed_us * DEPTH_WORK_PERCENT;
}

static bool depth_has_sent_since(const struct depth_look *look, uint64_t since_ns)
{
	return look->since_sent_ms < (look->now_ns - since_ns) / NS_PER_MS;
}

enum depth_advice depth_step(struct depth *d, const struct depth_look *look)
{
	if (!depth_is_at_its_quota(d, look))
		d->looks = 0;
	else if (d->looks++ == 0)
		d->work_ns = d->looked_ns;
	d->looked_ns = look->now_ns;
	d->throttled_us = look->throttled_us;
	if (!look->is_connected)
		return DEPTH_FREEZE;
	if (d->looks >= DEPTH_WORK_LOOKS && depth_has_sent_since(look, d->work_ns))
		return DEPTH_WAKE;
	return DEPTH_THROTTLE;
}
