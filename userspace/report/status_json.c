// SPDX-License-Identifier: MIT
/* Written with cJSON. */
#include "report/status_json.h"

#include <cjson/cJSON.h>
#include <stdlib.h>

#include "base/util.h"

static void status_json_delete(cJSON **json)
{
	cJSON_Delete(*json);
}

static void status_json_add_counts(cJSON *to, const char *name, const struct status_counts *counts)
{
	cJSON *object = cJSON_AddObjectToObject(to, name);

	for (size_t i = 0; i < counts->len; i++)
		cJSON_AddNumberToObject(object, counts->of[i].reason, (double)counts->of[i].count);
}

static void status_json_add_number(cJSON *to, const char *name, uint64_t ms)
{
	cJSON_AddNumberToObject(to, name, (double)ms);
}

static void status_json_add_target(cJSON *list, const struct status_target *t)
{
	cJSON *to = cJSON_CreateObject();

	cJSON_AddStringToObject(to, "name", t->name);
	cJSON_AddStringToObject(to, "state", t->state);
	status_json_add_number(to, "state_since_ms", t->state_since_ms);
	cJSON_AddStringToObject(to, "depth", t->depth);
	cJSON_AddBoolToObject(to, "gate_open", t->is_gate_open);
	cJSON_AddStringToObject(to, "awake_reason", t->awake_reason);
	cJSON_AddStringToObject(to, "awake_detail", t->awake_detail);
	cJSON_AddStringToObject(to, "woke_reason", t->woke_reason);
	cJSON_AddStringToObject(to, "woke_client", t->woke_client);
	status_json_add_number(to, "woke_before_ms", t->woke_before_ms);
	status_json_add_number(to, "idle_after_ms", t->idle_after_ms);
	status_json_add_number(to, "sleeps_in_ms", t->sleeps_in_ms);
	status_json_add_number(to, "sleeps", t->sleeps);
	status_json_add_number(to, "asleep_ms", t->asleep_ms);
	status_json_add_number(to, "reclaimed_bytes", t->reclaimed_bytes);
	status_json_add_counts(to, "wakes", &t->wakes);
	status_json_add_counts(to, "busy_looks", &t->busy);
	status_json_add_number(to, "misjudged", t->misjudged);
	status_json_add_number(to, "flaps", t->flaps);
	cJSON_AddItemToArray(list, to);
}

static void status_json_add_refusal(cJSON *list, const struct status_refusal *refusal)
{
	cJSON *to = cJSON_CreateObject();

	cJSON_AddStringToObject(to, "pod", refusal->pod);
	cJSON_AddStringToObject(to, "uid", refusal->uid);
	cJSON_AddStringToObject(to, "reason", refusal->reason);
	cJSON_AddStringToObject(to, "why", refusal->why);
	cJSON_AddItemToArray(list, to);
}

static void status_json_add_verdicts(cJSON *to, const struct status *s)
{
	cJSON *verdicts = cJSON_AddObjectToObject(to, "gate_packets");

#define X(id, name, help) status_json_add_number(verdicts, name, s->verdicts[GATE_##id]);
	GATE_VERDICTS(X)
#undef X
}

char *status_json_format(const struct status *s)
{
	_cleanup_(status_json_delete) cJSON *root = cJSON_CreateObject();
	cJSON *targets, *refusals;

	cJSON_AddStringToObject(root, "version", s->version);
	status_json_add_number(root, "uptime_ms", s->uptime_ms);
	status_json_add_verdicts(root, s);
	status_json_add_number(root, "replayed", s->replayed);
	status_json_add_number(root, "replay_dropped_checksum", s->replay_dropped_checksum);
	status_json_add_number(root, "replay_dropped_refused", s->replay_dropped_refused);
	status_json_add_counts(root, "probes_answered", &s->answered);
	status_json_add_number(root, "handed_over", s->handed_over);
	status_json_add_number(root, "refused_calls", s->refused_calls);
	cJSON_AddStringToObject(root, "problem", s->problem);
	targets = cJSON_AddArrayToObject(root, "targets");
	for (size_t i = 0; i < s->targets_len; i++)
		status_json_add_target(targets, &s->targets[i]);
	refusals = cJSON_AddArrayToObject(root, "refused");
	for (size_t i = 0; i < s->refusals_len; i++)
		status_json_add_refusal(refusals, &s->refusals[i]);
	return cJSON_Print(root);
}
