// SPDX-License-Identifier: MIT
/* One function for each family of metrics: what it is, then a line for each of its values. */
#include "report/metrics.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "base/util.h"

static void metrics_begin(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* A label's value: backslash, quote and newline are escaped. */
static void metrics_label(FILE *out, const char *before, const char *value, const char *after)
{
	fputs(before, out);
	for (; *value; value++) {
		if (*value == '\\' || *value == '"')
			fputc('\\', out);
		if (*value == '\n')
			fputs("\\n", out);
		else
			fputc(*value, out);
	}
	fputs(after, out);
}

static void metrics_print_gate(FILE *out, const struct status *s)
{
	static const char *const names[] = {
#define X(id, name, help) name,
		GATE_VERDICTS(X)
#undef X
	};

	metrics_begin(out, "doze_gate_packets_total", "counter",
		      "Packets that the gate has seen, by what it did with them.");
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		fprintf(out, "doze_gate_packets_total{verdict=\"%s\"} %" PRIu64 "\n", names[i],
			s->verdicts[i]);
	metrics_begin(out, "doze_replayed_total", "counter",
		      "Held packets that were delivered when their target was awake.");
	fprintf(out, "doze_replayed_total %" PRIu64 "\n", s->replayed);
	metrics_begin(out, "doze_replay_dropped_total", "counter",
		      "Held packets that could not be delivered.");
	fprintf(out,
		"doze_replay_dropped_total{reason=\"checksum\"} %" PRIu64 "\n"
		"doze_replay_dropped_total{reason=\"refused\"} %" PRIu64 "\n",
		s->replay_dropped_checksum, s->replay_dropped_refused);
}

static void metrics_print_counts(FILE *out, const char *name, const char *target, const char *label,
				 const struct status_counts *counts)
{
	for (size_t i = 0; i < counts->len; i++) {
		fprintf(out, "%s{", name);
		if (target)
			metrics_label(out, "target=\"", target, "\",");
		fprintf(out, "%s=\"%s\"} %" PRIu64 "\n", label, counts->of[i].reason,
			counts->of[i].count);
	}
}

static void metrics_print_probes(FILE *out, const struct status *s)
{
	metrics_begin(out, "doze_probes_answered_total", "counter",
		      "Probes that were answered for a sleeping target.");
	metrics_print_counts(out, "doze_probes_answered_total", NULL, "kind", &s->answered);
	metrics_begin(out, "doze_handed_over_total", "counter",
		      "Connections taken for probes that were carried on to the target.");
	fprintf(out, "doze_handed_over_total %" PRIu64 "\n", s->handed_over);
	metrics_begin(out, "doze_refused_calls_total", "counter",
		      "System calls of doze itself that its seccomp filter has refused.");
	fprintf(out, "doze_refused_calls_total %" PRIu64 "\n", s->refused_calls);
}

/* A number of each target. */
static const struct metrics_number {
	const char *name, *type, *help;
	size_t offset; /* of a uint64_t in struct status_target */
	double unit;   /* of the field, in the metric's */
} metrics_numbers[] = {
#define X(field) offsetof(struct status_target, field)
	{ "doze_target_sleeps_total", "counter", "How often the target has fallen asleep.",
	  X(sleeps), 1 },
	{ "doze_target_asleep_seconds_total", "counter", "For how long it has been asleep.",
	  X(asleep_ms), 0.001 },
	{ "doze_target_reclaimed_bytes_total", "counter",
	  "Memory that was given back while it was asleep.", X(reclaimed_bytes), 1 },
	{ "doze_target_misjudged_total", "counter",
	  "Clients that came from where probes come from.", X(misjudged), 1 },
	{ "doze_target_flaps_total", "counter", "How often its idle time was made longer.",
	  X(flaps), 1 },
	{ "doze_target_idle_after_seconds", "gauge", "Without a client for so long it sleeps.",
	  X(idle_after_ms), 0.001 },
#undef X
};

static void metrics_print_numbers(FILE *out, const struct status *s)
{
	for (size_t i = 0; i < ARRAY_LEN(metrics_numbers); i++) {
		const struct metrics_number *n = &metrics_numbers[i];

		metrics_begin(out, n->name, n->type, n->help);
		for (size_t t = 0; t < s->targets_len; t++) {
			const char *target = (const char *)&s->targets[t];
			uint64_t value = *(const uint64_t *)(target + n->offset);

			fputs(n->name, out);
			metrics_label(out, "{target=\"", s->targets[t].name, "\"} ");
			fprintf(out, "%.15g\n", (double)value * n->unit);
		}
	}
}

/* Only the state that a target is in has a line. */
static void metrics_print_states(FILE *out, const struct status *s)
{
	metrics_begin(out, "doze_target_state", "gauge", "The state that the target is in.");
	for (size_t t = 0; t < s->targets_len; t++) {
		metrics_label(out, "doze_target_state{target=\"", s->targets[t].name, "\",");
		fprintf(out, "state=\"%s\"} 1\n", s->targets[t].state);
	}
	metrics_begin(out, "doze_target_gate_open", "gauge", "1: packets reach the target.");
	for (size_t t = 0; t < s->targets_len; t++) {
		metrics_label(out, "doze_target_gate_open{target=\"", s->targets[t].name, "\"} ");
		fprintf(out, "%d\n", s->targets[t].is_gate_open);
	}
	metrics_begin(out, "doze_target_awake_reason", "gauge", "Why the target is awake.");
	for (size_t t = 0; t < s->targets_len; t++) {
		if (!*s->targets[t].awake_reason)
			continue;
		metrics_label(out, "doze_target_awake_reason{target=\"", s->targets[t].name, "\",");
		fprintf(out, "reason=\"%s\"} 1\n", s->targets[t].awake_reason);
	}
}

static void metrics_print_reasons(FILE *out, const struct status *s)
{
	metrics_begin(out, "doze_target_wakes_total", "counter",
		      "How often the target was woken, by what woke it.");
	for (size_t t = 0; t < s->targets_len; t++)
		metrics_print_counts(out, "doze_target_wakes_total", s->targets[t].name, "reason",
				     &s->targets[t].wakes);
	metrics_begin(out, "doze_target_busy_looks_total", "counter",
		      "Looks at an idle target's connections that found it at work.");
	for (size_t t = 0; t < s->targets_len; t++)
		metrics_print_counts(out, "doze_target_busy_looks_total", s->targets[t].name,
				     "reason", &s->targets[t].busy);
}

static void metrics_print_wake(FILE *out, const struct status_target *t)
{
	static const uint64_t bounds_ms[STATUS_WAKE_BUCKETS] = STATUS_WAKE_BOUNDS_MS;
	uint64_t sum = 0;

	for (size_t i = 0; i < STATUS_WAKE_BUCKETS; i++) {
		sum += t->wake_buckets[i];
		metrics_label(out, "doze_wake_seconds_bucket{target=\"", t->name, "\",");
		fprintf(out, "le=\"%g\"} %" PRIu64 "\n", (double)bounds_ms[i] / 1000, sum);
	}
	sum += t->wake_buckets[STATUS_WAKE_BUCKETS];
	metrics_label(out, "doze_wake_seconds_bucket{target=\"", t->name, "\",le=\"+Inf\"} ");
	fprintf(out, "%" PRIu64 "\n", sum);
	metrics_label(out, "doze_wake_seconds_sum{target=\"", t->name, "\"} ");
	fprintf(out, "%.15g\n", (double)t->wake_sum_us / 1e6);
	metrics_label(out, "doze_wake_seconds_count{target=\"", t->name, "\"} ");
	fprintf(out, "%" PRIu64 "\n", sum);
}

static void metrics_print_wakes(FILE *out, const struct status *s)
{
	metrics_begin(out, "doze_wake_seconds", "histogram",
		      "From the packet that wakes a target to its open gate.");
	for (size_t t = 0; t < s->targets_len; t++)
		metrics_print_wake(out, &s->targets[t]);
}

/* Their reasons are few; each is counted where it comes first. */
static void metrics_print_refusals(FILE *out, const struct status *s)
{
	metrics_begin(
		out, "doze_pods_refused", "gauge",
		"Pods of the node that are left alone, although they ask to be put to sleep.");
	for (size_t i = 0; i < s->refusals_len; i++) {
		const char *reason = s->refusals[i].reason;
		size_t before = 0, count = 0;

		for (size_t k = 0; k < s->refusals_len; k++) {
			bool is_same = strcmp(s->refusals[k].reason, reason) == 0;

			before += is_same && k < i;
			count += is_same;
		}
		if (before)
			continue;
		metrics_label(out, "doze_pods_refused{reason=\"", reason, "\"} ");
		fprintf(out, "%zu\n", count);
	}
}

void metrics_print(FILE *out, const struct status *s)
{
	metrics_begin(out, "doze_build_info", "gauge", "The version, as a label.");
	metrics_label(out, "doze_build_info{version=\"", s->version, "\"} 1\n");
	metrics_begin(out, "doze_uptime_seconds", "gauge", "Since doze was started.");
	fprintf(out, "doze_uptime_seconds %.15g\n", (double)s->uptime_ms / 1000);
	metrics_print_gate(out, s);
	metrics_print_probes(out, s);
	metrics_print_states(out, s);
	metrics_print_numbers(out, s);
	metrics_print_reasons(out, s);
	metrics_print_wakes(out, s);
	metrics_print_refusals(out, s);
}
