// SPDX-License-Identifier: MIT
/* The history has the sums; what is the case just now is looked up. */
#include "target/target_status.h"

#include "base/util.h"
#include "target/target_inner.h"

static uint64_t target_status_ms_till(uint64_t then_ns, uint64_t now_ns)
{
	return then_ns != UINT64_MAX && then_ns > now_ns ? (then_ns - now_ns) / NS_PER_MS : 0;
}

/* Who called last, and by which of two ways that is known; NULL: nobody has. */
static const char *target_status_last_client(const struct target *t, char *detail)
{
	uint64_t gate_ns = datapath_activity_ns(t->edges.datapath, t->settings.id);
	struct gate_flow seen = datapath_last_client(t->edges.datapath, t->settings.id);
	bool is_judged = t->judged_ns > gate_ns;

	target_history_format_client(is_judged ? &t->judged_flow : &seen, detail);
	if (!*detail)
		return NULL;
	return is_judged ? "client_among_probes" : "client";
}

static const char *target_status_awake_reason(const struct target *t, uint64_t now_ns, char *detail)
{
	const struct scaler *s = &t->scaler;
	const char *client;

	if (s->state == SCALER_ASLEEP)
		return "";
	if (s->state == SCALER_SHRINKING)
		return "falling_asleep";
	if (s->state != SCALER_AWAKE)
		return t->history.told.sleeps ? "waking" : "starting";
	if (s->is_kept)
		return "schedule";
	if (now_ns < s->busy_till_ns && t->history.busy != BUSY_NOT) {
		target_history_format_client(&t->history.busy_flow, detail);
		return busy_reason_name(t->history.busy);
	}
	client = target_status_last_client(t, detail);
	if (now_ns >= s->activity_ns + s->idle_ns)
		return "min_awake";
	return client ? client : "started";
}

static const char *target_status_depth(const struct target *t)
{
	static const char *const names[] = {
		[BACKEND_THROTTLED] = "throttled",
		[BACKEND_FROZEN] = "frozen",
		[BACKEND_RECLAIMED] = "reclaimed",
	};

	return t->scaler.state == SCALER_ASLEEP ? names[backend_depth(t->edges.backend)] : "";
}

void target_status(const struct target *t, struct status_target *out)
{
	uint64_t now_ns = monotonic_ns();
	const struct target_history *history = &t->history;

	*out = history->told;
	out->state = scaler_state_name(t->scaler.state);
	out->state_since_ms = (now_ns - history->state_ns) / NS_PER_MS;
	out->depth = target_status_depth(t);
	out->is_gate_open = !t->scaler.is_gate_closed;
	out->awake_reason = target_status_awake_reason(t, now_ns, out->awake_detail);
	out->woke_before_ms = history->woke_ns ? (now_ns - history->woke_ns) / NS_PER_MS : 0;
	out->idle_after_ms = t->scaler.idle_ns / NS_PER_MS;
	if (t->scaler.state == SCALER_AWAKE)
		out->sleeps_in_ms = target_status_ms_till(scaler_deadline_ns(&t->scaler), now_ns);
	if (history->asleep_since_ns)
		out->asleep_ms += (now_ns - history->asleep_since_ns) / NS_PER_MS;
	out->reclaimed_bytes = backend_reclaimed_bytes(t->edges.backend);
}

const struct connection_counters *target_status_probes(const struct target *t)
{
	return target_probes_counters(t->probes);
}
