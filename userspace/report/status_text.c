// SPDX-License-Identifier: MIT
/* A paragraph for each target, a line for each pod that is left alone. */
#include "report/status_text.h"

#include <ctype.h>
#include <inttypes.h>

/* A name comes from outside: only what is printable, so that it cannot steer a terminal. */
static void status_text_print_name(FILE *out, const char *name)
{
	for (; *name; name++)
		fputc(isprint((unsigned char)*name) ? *name : '?', out);
}

static void status_text_print_ms(FILE *out, uint64_t ms)
{
	double s = (double)ms / 1000;

	if (s < 60)
		fprintf(out, "%.1f s", s);
	else if (s < 3600)
		fprintf(out, "%.1f min", s / 60);
	else
		fprintf(out, "%.1f h", s / 3600);
}

static void status_text_print_awake(FILE *out, const struct status_target *t)
{
	if (!*t->awake_reason)
		return;
	fprintf(out, "  awake because  %s%s%s", t->awake_reason, *t->awake_detail ? " " : "",
		t->awake_detail);
	if (t->sleeps_in_ms) {
		fputs(", sleeps in ", out);
		status_text_print_ms(out, t->sleeps_in_ms);
	}
	fputc('\n', out);
}

static void status_text_print_wake(FILE *out, const struct status_target *t)
{
	if (!*t->woke_reason)
		return;
	fprintf(out, "  woke last      %s%s%s, ", t->woke_reason, *t->woke_client ? " of " : "",
		t->woke_client);
	status_text_print_ms(out, t->woke_before_ms);
	fputs(" ago\n", out);
}

static void status_text_print_target(FILE *out, const struct status_target *t)
{
	status_text_print_name(out, t->name);
	fprintf(out, ": %s for ", t->state);
	status_text_print_ms(out, t->state_since_ms);
	fputc('\n', out);
	if (*t->depth)
		fprintf(out, "  depth          %s\n", t->depth);
	status_text_print_awake(out, t);
	status_text_print_wake(out, t);
	fprintf(out, "  sleeps         %" PRIu64 ", asleep for ", t->sleeps);
	status_text_print_ms(out, t->asleep_ms);
	fputs(" in all\n  idle time      ", out);
	status_text_print_ms(out, t->idle_after_ms);
	fputc('\n', out);
	if (t->reclaimed_bytes)
		fprintf(out, "  memory         %.1f MiB given back in all\n",
			(double)t->reclaimed_bytes / (1 << 20));
	if (t->misjudged)
		fprintf(out,
			"  misjudged      %" PRIu64 " times a client, first taken for a probe\n",
			t->misjudged);
}

static void status_text_print_refusal(FILE *out, const struct status_refusal *refusal)
{
	status_text_print_name(out, refusal->pod);
	fputs(": left alone: ", out);
	status_text_print_name(out, refusal->why);
	fputc('\n', out);
}

void status_text_print(FILE *out, const struct status *s)
{
	if (*s->problem) {
		fputs(s->targets_len ? "no others sleep: " : "nothing sleeps: ", out);
		status_text_print_name(out, s->problem);
		fputc('\n', out);
	}
	for (size_t i = 0; i < s->targets_len; i++)
		status_text_print_target(out, &s->targets[i]);
	for (size_t i = 0; i < s->refusals_len; i++)
		status_text_print_refusal(out, &s->refusals[i]);
}
