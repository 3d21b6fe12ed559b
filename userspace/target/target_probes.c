// SPDX-License-Identifier: MIT
/* Only puts together what others do. */
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
	const struct target_probes *c = arg;

	return activity_rules(c->activity, flow);
}

static void target_probes_on_client(void *arg, const struct gate_flow *flow)
{
	const struct target_probes *c = arg;

	c->settings.client(c->settings.arg, flow, "handed_over");
}

static void target_probes_on_waited(void *arg)
{
	struct target_probes *c = arg;
	struct activity_waiting waiting;

	if (!c->is_closed)
		return;
	/* What cannot be looked at is a client. */
	if (activity_find_waiting(c->activity, TARGET_PROBES_WAIT_MS * NS_PER_MS, &waiting) < 0)
		c->settings.client(c->settings.arg, NULL, "waiting");
	else if (waiting.is_found)
		c->settings.client(c->settings.arg, &waiting.flow, "waiting");
	else if (waiting.is_coming)
		target_probes_passed(c);
}

void target_probes_passed(struct target_probes *c)
{
	/* The clock of the packets may be a little ahead. */
	if (c->is_closed && !timer_is_pending(c->wait))
		timer_in_ns(c->wait, (TARGET_PROBES_WAIT_MS + 10) * NS_PER_MS);
}

static int target_probes_steer_port(struct target_probes *c, uint16_t port)
{
	static const struct gate_addr any;
	const struct target_probes_settings *s = &c->settings;
	int r = 0;

	if (!s->addresses_len)
		return steer_add_port(s->steer, &any, port, s->target_id);
	for (size_t i = 0; i < s->addresses_len && r == 0; i++)
		r = steer_add_port(s->steer, &s->addresses[i], port, s->target_id);
	return r;
}

static int target_probes_connect_steer(struct target_probes *c)
{
	for (size_t i = 0; i < c->settings.ports_len; i++) {
		int r = target_probes_steer_port(c, c->settings.ports[i]);

		if (r < 0)
			return r;
	}
	for (int family = 0; family < GATE_FAMILIES; family++) {
		int fd = responder_listen_fd(c->responder, (enum gate_family)family);
		int r = fd < 0 ? 0
			       : steer_set_responder(c->settings.steer, c->settings.target_id,
						     (enum gate_family)family, fd);

		if (r < 0)
			return r;
	}
	return 0;
}

static int target_probes_open_responder(struct target_probes *c, struct event_base *base,
					const struct netns *ns)
{
	const struct connection_settings settings = {
		.base = base,
		.ns = ns,
		.rules = target_probes_rules,
		.client = target_probes_on_client,
		.arg = c,
	};
	int r = c->settings.steer ? steer_attach(&c->steering, c->settings.steer, ns) : -EOPNOTSUPP;

	if (r == -EOPNOTSUPP) {
		c->settings.probes = GATE_PROBES_PASS;
		return 0;
	}
	if (r == 0)
		r = responder_new(&c->responder, &settings);
	return r < 0 ? r : target_probes_connect_steer(c);
}

static int target_probes_tell_gate(const struct target_probes *c, struct datapath *d)
{
	const struct activity_settings *a = c->settings.activity;

	for (size_t i = 0; i < a->sources_len; i++) {
		int r = keys_add_source(datapath_keys(d), c->settings.target_id,
					&a->sources[i].from, a->sources[i].kind);

		if (r < 0)
			return r;
	}
	datapath_set_probes(d, c->settings.target_id, c->settings.probes, a->paths_len > 0);
	return 0;
}

int target_probes_new(struct target_probes **out, struct event_base *base, const struct netns *ns,
		      struct datapath *d, struct activity *a,
		      const struct target_probes_settings *settings)
{
	_cleanup_(target_probes_free) struct target_probes *c = calloc(1, sizeof(*c));
	int r = 0;

	if (!c)
		return log_err(-ENOMEM, "cannot tell probes from clients");
	c->settings = *settings;
	c->activity = a;
	c->wait = timer_new(base, target_probes_on_waited, c);
	if (!c->wait)
		return log_err(-ENOMEM, "cannot tell probes from clients");
	if (!settings->activity->sources_len)
		c->settings.probes = GATE_PROBES_NONE; /* from nowhere */
	if (c->settings.probes == GATE_PROBES_ANSWER)
		r = target_probes_open_responder(c, base, ns);
	if (r == 0)
		r = target_probes_tell_gate(c, d);
	if (r < 0)
		return r;
	*out = TAKE_PTR(c);
	return 0;
}

void target_probes_free(struct target_probes **c)
{
	if (!*c)
		return;
	steer_detach(&(*c)->steering); /* nothing new arrives at the responder */
	if ((*c)->settings.steer)
		steer_remove_target((*c)->settings.steer, (*c)->settings.target_id);
	responder_free(&(*c)->responder);
	timer_free(&(*c)->wait);
	free(*c);
	*c = NULL;
}

void target_probes_gate_opened(struct target_probes *c)
{
	c->is_closed = false;
	timer_stop(c->wait);
	if (c->responder)
		responder_release(c->responder, true);
}

void target_probes_gate_closes(struct target_probes *c)
{
	c->is_closed = true;
	if (c->responder)
		responder_release(c->responder, false);
}

bool target_probes_are_busy(const struct target_probes *c)
{
	return c->responder && responder_is_busy(c->responder);
}

const struct connection_counters *target_probes_counters(const struct target_probes *c)
{
	return c->responder ? responder_counters(c->responder) : NULL;
}
