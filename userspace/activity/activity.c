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

/* From one heartbeat to the next, which is not exact. */
#define ACTIVITY_SUSPECT_NS (900 * NS_PER_MS)

struct activity {
	struct activity_settings settings;
	struct caller_table *callers;
	struct sockdiag *sockdiag;
	struct busy_verdict *look; /* during activity_look() */
	uint64_t look_ns;	   /* and activity_find_waiting() */
	struct activity_waiting *waiting;
	uint64_t wait_ns;
	bool are_answered;
	/* One from a source of probes that waits, and is not known for a probe; since when. */
	struct gate_flow suspect;
	uint64_t suspect_ns; /* 0: there is none */
	bool is_suspect_there;
	bool (*is_ours)(void *arg, const struct gate_flow *flow); /* NULL: none is */
	void *is_ours_arg;
};

int activity_new(struct activity **out, const struct netns *ns, struct sockdiag_answered *answered,
		 const struct activity_settings *settings)
{
	_cleanup_(activity_free) struct activity *activity = calloc(1, sizeof(*activity));
	int r;

	if (!activity ||
	    caller_table_new(&activity->callers, settings->busy.probe_ms * NS_PER_MS) < 0)
		return log_err(-ENOMEM, "cannot look at the connections");
	activity->settings = *settings;
	r = sockdiag_new(&activity->sockdiag, ns, answered);
	if (r < 0)
		return r;
	*out = TAKE_PTR(activity);
	return 0;
}

void activity_free(struct activity **activity)
{
	if (!*activity)
		return;
	caller_table_free(&(*activity)->callers);
	sockdiag_free(&(*activity)->sockdiag);
	free(*activity);
	*activity = NULL;
}

/* --- what a connection says --- */

static enum gate_source activity_source(const struct activity *activity,
					const struct gate_flow *flow)
{
	const struct gate_addr *addr = &flow->saddr;
	const struct activity_source *longest = NULL;

	for (size_t i = 0; i < activity->settings.sources_len; i++) {
		const struct activity_source *source = &activity->settings.sources[i];

		if (cidr_contains(&source->from, addr) &&
		    (!longest || source->from.prefix_len > longest->from.prefix_len))
			longest = source;
	}
	if (!longest)
		return GATE_SOURCE_CLIENT;
	if (longest->kind != GATE_SOURCE_NODE && longest->kind != GATE_SOURCE_ANY)
		return longest->kind;
	return activity->settings.resolve(activity->settings.arg, longest->kind, flow);
}

static bool activity_has_port(const uint16_t *ports, size_t len, __be16 port_be)
{
	for (size_t i = 0; i < len; i++) {
		if (ports[i] == ntohs(port_be))
			return true;
	}
	return false;
}

/*
 * The pod tells where the kubelet's probes come by HTTPS. Who calls such a port from a load
 * balancer may look at our certificate, and be lost.
 */
static bool activity_has_https(const struct activity *activity, enum gate_source source,
			       __be16 port_be)
{
	const struct activity_settings *s = &activity->settings;

	if (source == GATE_SOURCE_CHECKER)
		return activity_has_port(s->checker_https_ports, s->checker_https_ports_len,
					 port_be);
	return activity_has_port(s->https_ports, s->https_ports_len, port_be);
}

struct caller_rules activity_rules(const struct activity *activity, const struct gate_flow *flow)
{
	enum gate_source source = activity_source(activity, flow);

	return (struct caller_rules){
		.knows_kubelet = source == GATE_SOURCE_PROBE,
		.knows_checkers = source == GATE_SOURCE_CHECKER,
		.has_https = activity_has_https(activity, source, flow->dport_be),
		.agents = activity->settings.agents,
		.agents_len = activity->settings.agents_len,
		.checkers = activity->settings.checkers,
		.checkers_len = activity->settings.checkers_len,
		.paths = activity->settings.paths,
		.paths_len = activity->settings.paths_len,
	};
}

bool activity_is_client(struct activity *activity, const struct gate_event *event,
			const void *frame)
{
	const struct caller_rules rules = activity_rules(activity, &event->flow);
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
	return caller_table_take(activity->callers, &event->flow, &segment, &rules) ==
	       CALLER_CLIENT;
}

/* --- what the kernel knows --- */

/* false: it is a client's. */
static bool activity_is_probe(const struct activity *activity, const struct busy_socket *socket,
			      enum busy_probe *out)
{
	enum gate_source source = activity_source(activity, &socket->flow);
	enum caller_kind kind = caller_table_kind(activity->callers, &socket->flow,
						  activity->look_ns);

	*out = BUSY_PROBE_PLAIN;
	if (source != GATE_SOURCE_CLIENT && !socket->has_received) {
		*out = BUSY_PROBE_SILENT;
		return true;
	}
	if (source == GATE_SOURCE_OUTSIDE ||
	    (source == GATE_SOURCE_CLIENT && !activity->settings.paths_len))
		return false;
	if (kind == CALLER_TLS)
		*out = BUSY_PROBE_HIDDEN;
	return kind == CALLER_HTTP || kind == CALLER_GRPC || kind == CALLER_TLS;
}

void activity_leave_out(struct activity *activity,
			bool (*is_ours)(void *arg, const struct gate_flow *flow), void *arg)
{
	activity->is_ours = is_ours;
	activity->is_ours_arg = arg;
}

/*
 * A probe waits for doze's own answer, and a new connection until doze has accepted it: what is
 * still there at a later look nobody but the target will take. Who comes from outside wakes nobody.
 */
static bool activity_has_waited(struct activity *activity, const struct busy_socket *socket,
				bool is_probe)
{
	bool is_silent = !socket->has_received && socket->state == TCP_ESTABLISHED;

	if ((is_probe && !is_silent) ||
	    activity_source(activity, &socket->flow) == GATE_SOURCE_OUTSIDE)
		return false;
	if (!activity->suspect_ns) {
		activity->suspect = socket->flow;
		activity->suspect_ns = activity->look_ns;
	}
	if (memcmp(&activity->suspect, &socket->flow, sizeof(socket->flow)) != 0)
		return false;
	activity->is_suspect_there = true;
	return activity->look_ns - activity->suspect_ns >= ACTIVITY_SUSPECT_NS;
}

static void activity_on_socket(void *arg, const struct busy_socket *socket)
{
	struct activity *activity = arg;
	struct busy_socket client = *socket;
	bool had_waiting = activity->look->has_waiting;
	enum busy_probe probe;
	bool is_probe;

	if (activity->is_ours && activity->is_ours(activity->is_ours_arg, &socket->flow))
		return;
	client.is_tls = activity_has_https(activity, GATE_SOURCE_PROBE, socket->flow.dport_be);
	is_probe = activity_is_probe(activity, socket, &probe);
	if (is_probe)
		busy_add_probe(activity->look, socket, probe, &activity->settings.busy);
	else
		busy_add(activity->look, &client, &activity->settings.busy);
	if (!had_waiting && activity->look->has_waiting &&
	    activity_source(activity, &socket->flow) != GATE_SOURCE_CLIENT)
		activity->look->has_waiting = activity_has_waited(activity, socket, is_probe);
}

int activity_look(struct activity *activity, struct busy_verdict *out)
{
	int r;

	busy_init(out);
	activity->look = out;
	activity->look_ns = monotonic_ns();
	activity->is_suspect_there = false;
	r = sockdiag_list(activity->sockdiag, activity->settings.ports,
			  activity->settings.ports_len, activity_on_socket, activity);
	activity->look = NULL;
	if (!activity->is_suspect_there)
		activity->suspect_ns = 0;
	return r;
}

static void activity_on_upstream(void *arg, const struct busy_socket *socket)
{
	struct activity *activity = arg;

	busy_add_upstream(activity->look, socket, &activity->settings.busy);
}

int activity_look_upstream(struct activity *activity, struct busy_verdict *verdict)
{
	int r;

	if (verdict->reason != BUSY_NOT || !verdict->is_in_use || !activity->settings.has_own_netns)
		return 0;
	activity->look = verdict;
	r = sockdiag_list_upstream(activity->sockdiag, activity_on_upstream, activity);
	activity->look = NULL;
	return r;
}

/* A caller that has closed its end waits for nothing, unless it has said half of a request. */
static bool activity_is_there(const struct activity *activity, const struct busy_socket *socket)
{
	if (socket->state == TCP_CLOSE_WAIT)
		return socket->has_received &&
		       caller_table_kind(activity->callers, &socket->flow, activity->look_ns) ==
			       CALLER_UNDECIDED;
	return socket->state == TCP_ESTABLISHED || socket->state == TCP_SYN_RECV;
}

static void activity_note_waiting(struct activity *activity, const struct busy_socket *socket,
				  bool is_late)
{
	if (!is_late) {
		activity->waiting->is_coming = true;
		return;
	}
	activity->waiting->is_found = true;
	activity->waiting->flow = socket->flow;
}

/* A probe for which the application has yet to do something, however little that may be. */
static bool activity_has_asked(const struct activity *activity, const struct busy_socket *socket)
{
	enum caller_kind kind = caller_table_kind(activity->callers, &socket->flow,
						  activity->look_ns);

	return activity->are_answered && (kind == CALLER_HTTP || kind == CALLER_GRPC) &&
	       socket->state == TCP_ESTABLISHED &&
	       (socket->unread || socket->answer != BUSY_ANSWERED);
}

static void activity_on_passed(void *arg, const struct busy_socket *socket)
{
	struct activity *activity = arg;
	uint64_t wait_ms = activity->wait_ns / NS_PER_MS, age_ns;

	if (activity_has_asked(activity, socket)) {
		if (!socket->unread)
			wait_ms = activity->settings.busy.probe_ms;
		activity_note_waiting(activity, socket, socket->since_received_ms >= wait_ms);
		return;
	}
	if (caller_table_is_unproven(activity->callers, &socket->flow, activity->look_ns,
				     &age_ns) &&
	    activity_is_there(activity, socket))
		activity_note_waiting(activity, socket,
				      age_ns >= activity->wait_ns && socket->state != TCP_SYN_RECV);
}

int activity_find_waiting(struct activity *activity, uint64_t wait_ns, bool are_answered,
			  struct activity_waiting *out)
{
	int r;

	*out = (struct activity_waiting){ .is_found = false };
	activity->waiting = out;
	activity->wait_ns = wait_ns;
	activity->are_answered = are_answered;
	activity->look_ns = monotonic_ns();
	r = sockdiag_list(activity->sockdiag, activity->settings.ports,
			  activity->settings.ports_len, activity_on_passed, activity);
	activity->waiting = NULL;
	return r;
}

int activity_is_listening(struct activity *activity, uint16_t port, uint8_t protocol)
{
	return sockdiag_is_listening(activity->sockdiag, port, protocol);
}
