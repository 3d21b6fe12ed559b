// SPDX-License-Identifier: MIT
/* Brings together where a connection comes from, what it has said, and what the kernel knows. */
#include "activity/activity.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

#include "activity/sockdiag.h"
#include "base/log.h"
#include "base/util.h"
#include "probe/caller_table.h"

struct activity {
	struct activity_settings settings;
	struct caller_table *callers;
	struct sockdiag *sockdiag;
	struct busy_verdict *look; /* during activity_look() */
	uint64_t look_ns;	   /* and activity_find_waiting() */
	struct activity_waiting *waiting;
	uint64_t wait_ns;
};

int activity_new(struct activity **out, const struct netns *ns, struct sockdiag_answered *answered,
		 const struct activity_settings *settings)
{
	_cleanup_(activity_free) struct activity *a = calloc(1, sizeof(*a));
	int r;

	if (!a || caller_table_new(&a->callers, settings->busy.check_ms * NS_PER_MS) < 0)
		return log_err(-ENOMEM, "cannot look at the connections");
	a->settings = *settings;
	r = sockdiag_new(&a->sockdiag, ns, answered);
	if (r < 0)
		return r;
	*out = TAKE_PTR(a);
	return 0;
}

void activity_free(struct activity **a)
{
	if (!*a)
		return;
	caller_table_free(&(*a)->callers);
	sockdiag_free(&(*a)->sockdiag);
	free(*a);
	*a = NULL;
}

/* --- what a connection says --- */

/* A client, a source of probes, or one that is ignored. */
static enum gate_source activity_source(const struct activity *a, const struct gate_flow *flow)
{
	const struct gate_addr *addr = &flow->saddr;
	const struct activity_source *longest = NULL;

	for (size_t i = 0; i < a->settings.sources_len; i++) {
		const struct activity_source *s = &a->settings.sources[i];

		if (cidr_contains(&s->from, addr) &&
		    (!longest || s->from.prefix_len > longest->from.prefix_len))
			longest = s;
	}
	if (!longest)
		return GATE_SOURCE_CLIENT;
	if (longest->kind != GATE_SOURCE_NODE && longest->kind != GATE_SOURCE_ANY)
		return longest->kind;
	return a->settings.resolve(a->settings.arg, longest->kind, flow);
}

static bool activity_has_https(const struct activity *a, uint16_t port)
{
	for (size_t i = 0; i < a->settings.https_ports_len; i++) {
		if (a->settings.https_ports[i] == port)
			return true;
	}
	return false;
}

struct caller_rules activity_rules(const struct activity *a, const struct gate_flow *flow)
{
	enum gate_source source = activity_source(a, flow);

	return (struct caller_rules){
		.knows_kubelet = source == GATE_SOURCE_PROBE,
		.is_ignored = source == GATE_SOURCE_IGNORED,
		.has_https = activity_has_https(a, ntohs(flow->dport_be)),
		.agents = a->settings.agents,
		.agents_len = a->settings.agents_len,
		.paths = a->settings.paths,
		.paths_len = a->settings.paths_len,
	};
}

bool activity_is_client(struct activity *a, const struct gate_event *event, const void *frame)
{
	const struct caller_rules rules = activity_rules(a, &event->flow);
	const uint8_t *bytes = frame;
	struct caller_table_segment segment;
	struct tcphdr tcp;
	size_t payload_at;

	if ((size_t)event->l4_offset + sizeof(tcp) > event->frame_len)
		return true;
	memcpy(&tcp, bytes + event->l4_offset, sizeof(tcp));
	payload_at = event->l4_offset + 4UL * tcp.doff;
	if (payload_at + event->payload_len > event->frame_len)
		return true;
	segment = (struct caller_table_segment){
		.is_syn = tcp.syn,
		.seq = ntohl(tcp.seq) + tcp.syn,
		.ack = ntohl(tcp.ack_seq),
		.payload = bytes + payload_at,
		.len = event->payload_len,
		.seen_ns = event->seen_ns,
	};
	return caller_table_take(a->callers, &event->flow, &segment, &rules) == CALLER_CLIENT;
}

/* --- what the kernel knows --- */

/* false: a client's. */
static bool activity_is_check(const struct activity *a, const struct busy_socket *socket,
			      enum busy_check *out)
{
	enum gate_source source = activity_source(a, &socket->flow);
	enum caller_kind kind = caller_table_kind(a->callers, &socket->flow, a->look_ns);

	*out = BUSY_CHECK_PLAIN;
	if (source == GATE_SOURCE_IGNORED)
		return true;
	if (source == GATE_SOURCE_PROBE && !socket->has_received) {
		*out = BUSY_CHECK_SILENT;
		return true;
	}
	if (source == GATE_SOURCE_CLIENT && !a->settings.paths_len)
		return false;
	if (kind == CALLER_TLS)
		*out = BUSY_CHECK_HIDDEN;
	return kind == CALLER_HTTP || kind == CALLER_GRPC || kind == CALLER_TLS;
}

static void activity_on_socket(void *arg, const struct busy_socket *socket)
{
	struct activity *a = arg;
	struct busy_socket client = *socket;
	enum busy_check check;

	client.is_tls = activity_has_https(a, ntohs(socket->flow.dport_be));
	if (activity_is_check(a, socket, &check))
		busy_add_check(a->look, socket, check, &a->settings.busy);
	else
		busy_add(a->look, &client, &a->settings.busy);
}

int activity_look(struct activity *a, struct busy_verdict *out)
{
	int r;

	busy_init(out);
	a->look = out;
	a->look_ns = monotonic_ns();
	r = sockdiag_list(a->sockdiag, a->settings.ports, a->settings.ports_len, activity_on_socket,
			  a);
	a->look = NULL;
	return r;
}

static void activity_on_upstream(void *arg, const struct busy_socket *socket)
{
	struct activity *a = arg;

	busy_add_upstream(a->look, socket, &a->settings.busy);
}

int activity_look_upstream(struct activity *a, struct busy_verdict *v)
{
	int r;

	if (v->reason != BUSY_NOT || !v->is_in_use || !a->settings.has_own_netns)
		return 0;
	a->look = v;
	r = sockdiag_list_upstream(a->sockdiag, activity_on_upstream, a);
	a->look = NULL;
	return r;
}

/* Who has gone has had enough, unless it was in the middle of something. */
static bool activity_is_there(const struct activity *a, const struct busy_socket *socket)
{
	if (socket->state == TCP_CLOSE_WAIT)
		return socket->has_received &&
		       caller_table_kind(a->callers, &socket->flow, a->look_ns) == CALLER_UNDECIDED;
	return socket->state == TCP_ESTABLISHED || socket->state == TCP_SYN_RECV;
}

static void activity_on_passed(void *arg, const struct busy_socket *socket)
{
	struct activity *a = arg;
	uint64_t age_ns;

	if (!caller_table_is_unproven(a->callers, &socket->flow, a->look_ns, &age_ns) ||
	    !activity_is_there(a, socket))
		return;
	if (age_ns < a->wait_ns || socket->state == TCP_SYN_RECV) {
		a->waiting->is_coming = true;
		return;
	}
	a->waiting->is_found = true;
	a->waiting->flow = socket->flow;
}

int activity_find_waiting(struct activity *a, uint64_t wait_ns, struct activity_waiting *out)
{
	int r;

	*out = (struct activity_waiting){ .is_found = false };
	a->waiting = out;
	a->wait_ns = wait_ns;
	a->look_ns = monotonic_ns();
	r = sockdiag_list(a->sockdiag, a->settings.ports, a->settings.ports_len, activity_on_passed,
			  a);
	a->waiting = NULL;
	return r;
}
