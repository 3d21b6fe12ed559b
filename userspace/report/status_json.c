// SPDX-License-Identifier: MIT
/* Writes it with cJSON, and reads it as something that anybody may have written. */
#include "report/status_json.h"

#include <cjson/cJSON.h>
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "base/util.h"

static void json_delete(cJSON **json)
{
	cJSON_Delete(*json);
}

/* --- writing --- */

static void json_add_counts(cJSON *to, const char *name, const struct status_counts *counts)
{
	cJSON *object = cJSON_AddObjectToObject(to, name);

	for (size_t i = 0; i < counts->len; i++)
		cJSON_AddNumberToObject(object, counts->of[i].reason, (double)counts->of[i].count);
}

static void json_add_ms(cJSON *to, const char *name, uint64_t ms)
{
	cJSON_AddNumberToObject(to, name, (double)ms);
}

static void json_add_target(cJSON *list, const struct status_target *t)
{
	cJSON *to = cJSON_CreateObject();

	cJSON_AddStringToObject(to, "name", t->name);
	cJSON_AddStringToObject(to, "state", t->state);
	json_add_ms(to, "state_since_ms", t->state_since_ms);
	cJSON_AddBoolToObject(to, "gate_open", t->is_gate_open);
	cJSON_AddStringToObject(to, "awake_reason", t->awake_reason);
	cJSON_AddStringToObject(to, "awake_detail", t->awake_detail);
	cJSON_AddStringToObject(to, "woke_reason", t->woke_reason);
	cJSON_AddStringToObject(to, "woke_client", t->woke_client);
	json_add_ms(to, "woke_before_ms", t->woke_before_ms);
	json_add_ms(to, "idle_after_ms", t->idle_after_ms);
	json_add_ms(to, "sleeps_in_ms", t->sleeps_in_ms);
	json_add_ms(to, "sleeps", t->sleeps);
	json_add_ms(to, "asleep_ms", t->asleep_ms);
	json_add_ms(to, "reclaimed_bytes", t->reclaimed_bytes);
	json_add_counts(to, "wakes", &t->wakes);
	json_add_counts(to, "busy_looks", &t->busy);
	json_add_ms(to, "misjudged", t->misjudged);
	json_add_ms(to, "flaps", t->flaps);
	cJSON_AddItemToArray(list, to);
}

static void json_add_verdicts(cJSON *to, const struct status *s)
{
	cJSON *verdicts = cJSON_AddObjectToObject(to, "gate_packets");

#define X(id, name, help) json_add_ms(verdicts, name, s->verdicts[GATE_##id]);
	GATE_VERDICTS(X)
#undef X
}

char *status_json_format(const struct status *s)
{
	_cleanup_(json_delete) cJSON *root = cJSON_CreateObject();
	cJSON *targets;

	cJSON_AddStringToObject(root, "version", s->version);
	json_add_ms(root, "uptime_ms", s->uptime_ms);
	json_add_verdicts(root, s);
	json_add_ms(root, "replayed", s->replayed);
	json_add_ms(root, "replay_dropped_checksum", s->replay_dropped_checksum);
	json_add_ms(root, "replay_dropped_refused", s->replay_dropped_refused);
	json_add_counts(root, "probes_answered", &s->answered);
	json_add_ms(root, "handed_over", s->handed_over);
	targets = cJSON_AddArrayToObject(root, "targets");
	for (size_t i = 0; i < s->targets_len; i++)
		json_add_target(targets, &s->targets[i]);
	return cJSON_Print(root);
}

/* --- reading --- */

/* Printable, and so without effect on a terminal. */
static void json_print_text(FILE *out, const char *text)
{
	for (; *text; text++)
		fputc(isprint((unsigned char)*text) ? *text : '?', out);
}

static const char *json_text(const cJSON *from, const char *name)
{
	const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(from, name));

	return text ? text : "";
}

static double json_number(const cJSON *from, const char *name)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(from, name);

	return cJSON_IsNumber(item) && isfinite(item->valuedouble) ? item->valuedouble : 0;
}

static void json_print_since(FILE *out, double ms)
{
	double s = ms / 1000;

	if (s < 60)
		fprintf(out, "%.1f s", s);
	else if (s < 3600)
		fprintf(out, "%.1f min", s / 60);
	else
		fprintf(out, "%.1f h", s / 3600);
}

static void json_explain_awake(FILE *out, const cJSON *t)
{
	const char *reason = json_text(t, "awake_reason"), *detail = json_text(t, "awake_detail");

	if (!*reason)
		return;
	fputs("  awake because  ", out);
	json_print_text(out, reason);
	if (*detail) {
		fputc(' ', out);
		json_print_text(out, detail);
	}
	if (json_number(t, "sleeps_in_ms") > 0) {
		fputs(", sleeps in ", out);
		json_print_since(out, json_number(t, "sleeps_in_ms"));
	}
	fputc('\n', out);
}

static void json_explain_wake(FILE *out, const cJSON *t)
{
	const char *client = json_text(t, "woke_client");

	if (!*json_text(t, "woke_reason"))
		return;
	fputs("  woke last      ", out);
	json_print_text(out, json_text(t, "woke_reason"));
	if (*client) {
		fputs(" of ", out);
		json_print_text(out, client);
	}
	fputs(", ", out);
	json_print_since(out, json_number(t, "woke_before_ms"));
	fputs(" ago\n", out);
}

static void json_explain_target(FILE *out, const cJSON *t)
{
	json_print_text(out, json_text(t, "name"));
	fputs(": ", out);
	json_print_text(out, json_text(t, "state"));
	fputs(" for ", out);
	json_print_since(out, json_number(t, "state_since_ms"));
	fputc('\n', out);
	json_explain_awake(out, t);
	json_explain_wake(out, t);
	fprintf(out, "  sleeps         %.0f, asleep for ", json_number(t, "sleeps"));
	json_print_since(out, json_number(t, "asleep_ms"));
	fputs(" in all\n  idle time      ", out);
	json_print_since(out, json_number(t, "idle_after_ms"));
	fputc('\n', out);
	if (json_number(t, "reclaimed_bytes") > 0)
		fprintf(out, "  memory         %.1f MiB given back in all\n",
			json_number(t, "reclaimed_bytes") / (1 << 20));
	if (json_number(t, "misjudged") > 0)
		fprintf(out, "  misjudged      %.0f times a client, first taken for a probe\n",
			json_number(t, "misjudged"));
}

int status_json_explain(FILE *out, const char *json, size_t len)
{
	_cleanup_(json_delete) cJSON *root = cJSON_ParseWithLength(json, len);
	const cJSON *targets = cJSON_GetObjectItemCaseSensitive(root, "targets"), *t;

	if (!cJSON_IsArray(targets))
		return -EBADMSG;
	cJSON_ArrayForEach(t, targets)
	{
		if (!*json_text(t, "name") || !*json_text(t, "state"))
			return -EBADMSG;
		json_explain_target(out, t);
	}
	return 0;
}
