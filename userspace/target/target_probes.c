// SPDX-License-Identifier: MIT
/* Ties the gate, the responder and the activity together. */
#include "target/target_probes.h"

#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/timer.h"
#include "base/util.h"
#include "gate/steer.h"

#define TARGET_PROBES_WAIT_MS 500

struct target_probes {
	struct target_probes_settings settings;
	struct activity *activity;
	struct timer *wait;
	bool is_closed;
	struct bpf_link *steering;
	struct responder *responder; /* NULL: nothing is answered */
};

static struct caller_rules target_probes_rules(void *arg, const struct gate_flow *flow)
{
	const struct target_probes *p = arg;
	struct caller_rules rules = activity_rules(p->activity, flow);

	rules.are_answered = true;
	return rules;
}

static void target_probes_on_client(void *arg, const struct gate_flow *flow)
{
	const struct target_probes *p = arg;

	p->settings.client(p->settings.arg, flow, "handed_over");
}

static void target_probes_on_waited(void *arg)
{
	struct target_probes *p = arg;
	struct activity_waiting waiting;
	int r;

	if (!p->is_closed)
		return;
	r = activity_find_waiting(p->activity, TARGET_PROBES_WAIT_MS * NS_PER_MS,
				  p->settings.probes != GATE_PROBES_PASS, &waiting);
	/* In doubt it is a client. */
	if (r < 0)
		p->settings.client(p->settings.arg, NULL, "waiting");
	else if (waiting.is_found)
		p->settings.client(p->settings.arg, &waiting.flow, "waiting");
	else if (waiting.is_coming)
		target_probes_passed(p);
}

void target_probes_passed(struct target_probes *p)
{
	/* The clock of the packets may be a little ahead. */
	if (p->is_closed && !timer_is_pending(p->wait))
		timer_in_ns(p->wait, (TARGET_PROBES_WAIT_MS + 10) * NS_PER_MS);
}

/* Each port at each address; without addresses, at any. */
static int target_probes_steer_ports(const struct target_probes *p)
{
	static const struct gate_addr any;
	const struct target_probes_settings *s = &p->settings;
	const struct gate_addr *addresses = s->addresses_len ? s->addresses : &any;
	int r = 0;

	for (size_t i = 0; i < s->ports_len; i++) {
		for (size_t a = 0; r == 0 && a < max_u64(s->addresses_len, 1); a++)
			r = steer_add_port(s->steer, &addresses[a], s->ports[i], s->target_id);
	}
	return r;
}

static int target_probes_connect_steer(struct target_probes *p)
{
	int r = target_probes_steer_ports(p);

	for (int family = 0; r == 0 && family < GATE_FAMILIES; family++) {
		int fd = responder_listen_fd(p->responder, (enum gate_family)family);

		if (fd >= 0)
			r = steer_set_responder(p->settings.steer, p->settings.target_id,
						(enum gate_family)family, fd);
	}
	return r;
}

static bool target_probes_is_ours(void *arg, const struct gate_flow *flow)
{
	const struct target_probes *p = arg;

	return responder_answers(p->responder, flow);
}

static int target_probes_open_responder(struct target_probes *p, struct event_base *base,
					const struct netns *ns)
{
	const struct connection_settings settings = {
		.base = base,
		.ns = ns,
		.rules = target_probes_rules,
		.client = target_probes_on_client,
		.arg = p,
	};
	int r = p->settings.steer ? steer_attach(&p->steering, p->settings.steer, ns) : -EOPNOTSUPP;

	if (r == -EOPNOTSUPP) {
		p->settings.probes = GATE_PROBES_PASS;
		return 0;
	}
	if (r == 0)
		r = responder_new(&p->responder, &settings);
	if (r == 0)
		activity_leave_out(p->activity, target_probes_is_ours, p);
	return r < 0 ? r : target_probes_connect_steer(p);
}

static bool target_probes_come_from(const struct activity_settings *a, enum gate_source kind)
{
	for (size_t i = 0; i < a->sources_len; i++) {
		if (a->sources[i].kind == kind)
			return true;
	}
	return false;
}

bool target_probes_may_come(const struct activity_settings *a)
{
	return target_probes_come_from(a, GATE_SOURCE_PROBE) ||
	       target_probes_come_from(a, GATE_SOURCE_CHECKER) ||
	       target_probes_come_from(a, GATE_SOURCE_NODE) ||
	       target_probes_come_from(a, GATE_SOURCE_ANY);
}

static int target_probes_tell_gate(const struct target_probes *p, struct datapath *d)
{
	const struct activity_settings *a = p->settings.activity;

	for (size_t i = 0; i < a->sources_len; i++) {
		/* The gate passes on what may be a probe's; its bytes tell us whether it is one. */
		enum gate_source kind = a->sources[i].kind == GATE_SOURCE_CHECKER
						? GATE_SOURCE_PROBE
						: a->sources[i].kind;
		int r = keys_add_source(datapath_keys(d), p->settings.target_id,
					&a->sources[i].from, kind);

		if (r < 0)
			return r;
	}
	datapath_set_rules(d, p->settings.target_id,
			   &(struct datapath_rules){
				   .probes = p->settings.probes,
				   .judges_all = a->paths_len > 0,
				   .ignores_pings = a->ignores_pings,
				   .has_outside = target_probes_come_from(a, GATE_SOURCE_OUTSIDE),
			   });
	return 0;
}

int target_probes_new(struct target_probes **out, struct event_base *base, const struct netns *ns,
		      struct datapath *d, struct activity *a,
		      const struct target_probes_settings *settings)
{
	_cleanup_(target_probes_free) struct target_probes *p = calloc(1, sizeof(*p));
	int r = 0;

	if (!p)
		return log_err(-ENOMEM, "cannot tell probes from clients");
	p->settings = *settings;
	p->activity = a;
	p->wait = timer_new(base, target_probes_on_waited, p);
	if (!p->wait)
		return log_err(-ENOMEM, "cannot tell probes from clients");
	if (!target_probes_may_come(settings->activity))
		p->settings.probes = GATE_PROBES_NONE; /* no source of probes is known */
	if (p->settings.probes == GATE_PROBES_ANSWER)
		r = target_probes_open_responder(p, base, ns);
	if (r == 0)
		r = target_probes_tell_gate(p, d);
	if (r < 0)
		return r;
	*out = TAKE_PTR(p);
	return 0;
}

void target_probes_free(struct target_probes **p)
{
	if (!*p)
		return;
	steer_detach(&(*p)->steering); /* nothing new arrives at the responder */
	if ((*p)->settings.steer)
		steer_remove_target((*p)->settings.steer, (*p)->settings.target_id);
	activity_leave_out((*p)->activity, NULL, NULL);
	responder_free(&(*p)->responder);
	timer_free(&(*p)->wait);
	free(*p);
	*p = NULL;
}

void target_probes_gate_opened(struct target_probes *p)
{
	p->is_closed = false;
	timer_stop(p->wait);
	if (p->responder)
		responder_release(p->responder, true);
}

void target_probes_gate_closes(struct target_probes *p)
{
	p->is_closed = true;
	if (p->responder)
		responder_release(p->responder, false);
}

bool target_probes_are_busy(const struct target_probes *p)
{
	return p->responder && responder_is_busy(p->responder);
}

const struct connection_counters *target_probes_counters(const struct target_probes *p)
{
	return p->responder ? responder_counters(p->responder) : NULL;
}
