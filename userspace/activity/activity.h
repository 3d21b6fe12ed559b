/* SPDX-License-Identifier: MIT */
/*
 * Whether a target is in use, as far as packets alone do not tell: which payload is a probe's, and
 * which connections are at work.
 */
#ifndef DOZE_ACTIVITY_H
#define DOZE_ACTIVITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "activity/busy.h"
#include "base/cidr.h"
#include "base/netns.h"
#include "probe/caller.h"

struct activity;
struct sockdiag_answered;

/* Where probes come from, or what is not to be counted. */
struct activity_source {
	struct cidr from;
	enum gate_source kind;
};

/* All of it borrowed, and outliving the activity. */
struct activity_settings {
	const uint16_t *ports; /* of TCP, host order: whose connections are looked at */
	size_t ports_len;
	const struct activity_source *sources; /* the longest prefix decides */
	size_t sources_len;
	/*
	 * Which kind a source of GATE_SOURCE_NODE or GATE_SOURCE_ANY is. NULL: sources has none of
	 * them.
	 */
	enum gate_source (*resolve)(void *arg, enum gate_source kind, const struct gate_flow *flow);
	void *arg;
	const struct caller_path *paths; /* --ignore-http */
	size_t paths_len;
	const char *const *agents; /* of the kubelet's probes, besides its own */
	size_t agents_len;
	const char *const *checkers; /* --probe-agent */
	size_t checkers_len;
	const uint16_t *https_ports; /* HTTPS probes come to them */
	size_t https_ports_len;
	const uint16_t *checker_https_ports; /* and of other checkers: those of --probe-https */
	size_t checker_https_ports_len;
	/*
	 * The target is all that is in its network namespace, as in a pod: what the namespace asks
	 * others for, the target does.
	 */
	bool has_own_netns;
	bool ignores_pings; /* of HTTP/2 and WebSocket, without TLS */
	struct busy_settings busy;
};

/* The caller owns *out; ns and answered are borrowed. Logs its errors, -errno. */
int activity_new(struct activity **out, const struct netns *ns, struct sockdiag_answered *answered,
		 const struct activity_settings *settings);
void activity_free(struct activity **activity);

/*
 * doze's own connections at the target's ports are none of the target's: its answer to a probe
 * would pass for the target's. is_ours: of such a flow; saddr is the caller's.
 */
void activity_leave_out(struct activity *activity,
			bool (*is_ours)(void *arg, const struct gate_flow *flow), void *arg);

/* How to judge the bytes of a connection: saddr is the caller's, daddr the target's. */
struct caller_rules activity_rules(const struct activity *activity, const struct gate_flow *flow);

/* Whether a packet that the gate has passed on to be judged, with its frame, is a client's. */
bool activity_is_client(struct activity *activity, const struct gate_event *event,
			const void *frame);

/*
 * Looks at the target's connections. A probe counts only while it waits for its answer, which the
 * target would not give asleep. Logs its errors, -errno.
 */
int activity_look(struct activity *activity, struct busy_verdict *out);

/*
 * Adds to *verdict whether the target waits for somebody else's answer, if its own connections are
 * at rest but one was in use lately, and the network namespace is its own. Logs its errors, -errno.
 */
int activity_look_upstream(struct activity *activity, struct busy_verdict *verdict);

/* The connections that have been passed on to a sleeping target, and are not told apart yet. */
struct activity_waiting {
	bool is_found; /* one waits for longer than a probe does: a client's, flow */
	struct gate_flow flow;
	bool is_coming; /* another may become one */
};

/*
 * wait_ns: a probe waits no longer to be told apart. are_answered: probes of new connections are
 * answered by doze. One that has asked on a connection that the application has waits for it: no
 * longer than wait_ns to be read, and than busy.probe_ms for the answer. Logs its errors, -errno.
 */
int activity_find_waiting(struct activity *activity, uint64_t wait_ns, bool are_answered,
			  struct activity_waiting *out);

/* As sockdiag_is_listening(). */
int activity_is_listening(struct activity *activity, uint16_t port, uint8_t protocol);

#endif
