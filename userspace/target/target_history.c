// SPDX-License-Identifier: MIT
/* A line of the log for each event, and the sums for the status. */
#include "target/target_history.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/address.h"
#include "base/log.h"
#include "base/util.h"

void target_history_init(struct target_history *h, const char *name, uint64_t now_ns)
{
	*h = (struct target_history){ .state_ns = now_ns };
	snprintf(h->told.name, sizeof(h->told.name), "%s", name);
	h->told.woke_reason = "";
}

void target_history_format_client(const struct gate_flow *flow, char out[STATUS_DETAIL_MAX])
{
	static const struct gate_flow nobody = { 0 };
	char text[INET6_ADDRSTRLEN];

	*out = '\0';
	if (memcmp(&flow->saddr, &nobody.saddr, sizeof(nobody.saddr)) == 0)
		return;
	address_format(&flow->saddr, text);
	snprintf(out, STATUS_DETAIL_MAX, address_is_ipv4(&flow->saddr) ? "%s:%u" : "[%s]:%u", text,
		 ntohs(flow->sport_be));
}

void target_history_state(struct target_history *h, enum scaler_state before,
			  enum scaler_state after, uint64_t now_ns)
{
	log_debug("state", "target=%s from=%s to=%s", h->told.name, scaler_state_name(before),
		  scaler_state_name(after));
	h->state_ns = now_ns;
}

void target_history_asleep(struct target_history *h, uint64_t activity_ns, uint64_t usage_us,
			   uint64_t now_ns)
{
	h->asleep_since_ns = now_ns;
	h->asleep_usage_us = usage_us;
	h->told.sleeps++;
	log_info("asleep", "target=%s idle_ms=%" PRIu64 " cpu_us=%" PRIu64, h->told.name,
		 (now_ns - activity_ns) / NS_PER_MS, usage_us);
}

void target_history_wakes(struct target_history *h, const char *reason,
			  const struct gate_flow *flow, uint64_t seen_ns, uint64_t now_ns)
{
	if (h->wake.reason)
		return;
	h->wake = (struct target_history_wake){ .reason = reason,
						.seen_ns = seen_ns,
						.taken_ns = now_ns };
	if (flow)
		h->wake.flow = *flow;
}

void target_history_waking(struct target_history *h, uint64_t usage_us)
{
	h->wake.asleep_cpu_us = usage_us > h->asleep_usage_us ? usage_us - h->asleep_usage_us : 0;
}

void target_history_resized(struct target_history *h, uint64_t now_ns)
{
	h->wake.resized_ns = now_ns;
}

void target_history_ready(struct target_history *h, uint64_t now_ns)
{
	h->wake.ready_ns = now_ns;
}

static double target_history_since_ms(const struct target_history *h, uint64_t then_ns)
{
	return then_ns ? (double)(int64_t)(then_ns - h->wake.seen_ns) / (double)NS_PER_MS : 0;
}

static void target_history_log_awake(const struct target_history *h, unsigned int replayed,
				     uint64_t now_ns)
{
	const struct target_history_wake *w = &h->wake;

	log_info("awake",
		 "target=%s reason=%s client=%s slept_ms=%" PRIu64 " cpu_asleep_us=%" PRIu64
		 " held_ms=%.3f resized_ms=%.3f ready_ms=%.3f replayed_ms=%.3f replayed=%u",
		 h->told.name, w->reason, *h->told.woke_client ? h->told.woke_client : "none",
		 (w->taken_ns - h->asleep_since_ns) / NS_PER_MS, w->asleep_cpu_us,
		 target_history_since_ms(h, w->taken_ns), target_history_since_ms(h, w->resized_ns),
		 target_history_since_ms(h, w->ready_ns), target_history_since_ms(h, now_ns),
		 replayed);
}

/* Logs nothing if the target had not fallen asleep. */
void target_history_awake(struct target_history *h, unsigned int replayed, uint64_t now_ns)
{
	if (h->asleep_since_ns && h->wake.reason) {
		h->told.woke_reason = h->wake.reason;
		target_history_format_client(&h->wake.flow, h->told.woke_client);
		h->woke_ns = now_ns;
		status_count(&h->told.wakes, h->wake.reason);
		status_count_wake(&h->told, (now_ns - h->wake.seen_ns) / NS_PER_US);
		target_history_log_awake(h, replayed, now_ns);
	} else if (h->asleep_since_ns) {
		log_info("awake", "target=%s reason=stopping", h->told.name);
	}
	if (h->asleep_since_ns)
		h->told.asleep_ms += (now_ns - h->asleep_since_ns) / NS_PER_MS;
	h->wake.reason = NULL;
	h->asleep_since_ns = 0;
}

static void target_history_say_busy(const struct target_history *h, const struct busy_verdict *v)
{
	char client[STATUS_DETAIL_MAX];

	target_history_format_client(&v->flow, client);
	if (v->is_stuck)
		log_warn("a connection without progress for --busy-max: it no longer keeps the "
			 "target awake",
			 "target=%s client=%s", h->told.name, client);
	else
		log_info("idle, but busy", "target=%s reason=%s client=%s", h->told.name,
			 busy_reason_name(v->reason), client);
}

/* The same verdict look after look is logged once. */
void target_history_looked(struct target_history *h, const struct busy_verdict *v)
{
	bool is_new = v->reason != h->busy || memcmp(&v->flow, &h->busy_flow, sizeof(v->flow)) != 0;

	if (v->reason == BUSY_MEASURING)
		return; /* there is no verdict yet */
	h->busy = v->reason;
	h->busy_flow = v->flow;
	if (v->reason != BUSY_NOT)
		status_count(&h->told.busy, busy_reason_name(v->reason));
	if (is_new && (v->reason != BUSY_NOT || v->is_stuck))
		target_history_say_busy(h, v);
}

void target_history_misjudged(struct target_history *h, const struct gate_flow *flow)
{
	char client[STATUS_DETAIL_MAX];

	target_history_format_client(flow, client);
	h->told.misjudged++;
	log_debug("a client where probes come from", "target=%s client=%s", h->told.name, client);
}

void target_history_flapped(struct target_history *h, uint64_t idle_ns, uint64_t before_ns)
{
	if (idle_ns > before_ns) {
		h->told.flaps++;
		log_warn("woken soon after falling asleep, again and again: a longer idle time",
			 "target=%s idle_after_ms=%" PRIu64, h->told.name, idle_ns / NS_PER_MS);
	} else {
		log_info("the usual idle time again", "target=%s idle_after_ms=%" PRIu64,
			 h->told.name, idle_ns / NS_PER_MS);
	}
}
