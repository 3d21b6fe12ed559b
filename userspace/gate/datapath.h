/* SPDX-License-Identifier: MIT */
/*
 * The daemon's side of the gate: loads the programs, opens and closes the gate of each target, and
 * hands over what the gate has held. It decides nothing. gate/hooks.h attaches the programs to
 * interfaces, gate/keys.h tells them whose a packet is.
 */
#ifndef DOZE_DATAPATH_H
#define DOZE_DATAPATH_H

#include <stdbool.h>
#include <stdint.h>

#include "gate.h"
#include "gate/hooks.h"
#include "gate/keys.h"

struct bpf_object;

/* One record of the ring; frame has event->frame_len bytes and is valid during the call. */
typedef void (*datapath_event_fn)(void *arg, const struct gate_event *event, const void *frame);

struct datapath_settings {
	struct hooks_settings hooks;
	bool can_replay; /* false: a SYN is dropped without a copy */
	/* A key may name a network namespace (gate.h). */
	bool has_namespaces;
	datapath_event_fn on_event;
	void *arg;
};

struct datapath;

/* Loads the gate, attached to nothing. Logs its errors; -errno, -EPERM, -EOPNOTSUPP. */
int datapath_new(struct datapath **out, const struct datapath_settings *settings);

/* Detaches everything. Traffic flows as if we had never been here. */
void datapath_free(struct datapath **d);

struct hooks *datapath_hooks(struct datapath *d);
struct keys *datapath_keys(struct datapath *d);

/*
 * The gate forgets the target: its keys, its sources, its last activity. The id may be given to
 * another target, for which the gate is open.
 */
void datapath_remove_target(struct datapath *d, uint32_t target_id);

/* The gate is closed only as long as datapath_beat() is called, every second or so. */
void datapath_close_gate(struct datapath *d, uint32_t target_id);
void datapath_open_gate(struct datapath *d, uint32_t target_id);
void datapath_beat(struct datapath *d);

/* What of a target's traffic counts. */
struct datapath_rules {
	enum gate_probes probes; /* what is done with its probes while the gate is closed */
	bool judges_all;	 /* any client's payload may be a probe */
	bool ignores_pings;
	bool has_outside; /* GATE_SOURCE_OUTSIDE is among its sources */
};

void datapath_set_rules(struct datapath *d, uint32_t target_id, const struct datapath_rules *rules);

/*
 * Payload that may be a probe comes to on_event(), as GATE_PASS_JUDGED, and is no activity yet.
 * Until this time it does not come, and is activity: a client has just been recognized.
 */
void datapath_judge_after(struct datapath *d, uint32_t target_id, uint64_t ns);

/* Maps of the same name in another object, opened and not loaded yet, will be the gate's. */
int datapath_share_maps(const struct datapath *d, struct bpf_object *with);

/* Connections from this local port pass the closed gate; 0 ends that. */
void datapath_set_ready_port(struct datapath *d, uint32_t target_id, uint16_t port);

/* Nobody listens on that TCP port: a SYN to it is refused as awake until the gate closes anew. */
void datapath_set_port_unheard(struct datapath *d, uint32_t target_id, uint16_t port);

/* Whether nobody listens on any port of the target: then whoever calls wakes it. */
void datapath_set_unheard(struct datapath *d, uint32_t target_id, bool is_unheard);

/* From the next SYN on, this connection passes until the gate closes anew. Logs its errors. */
void datapath_let_pass(struct datapath *d, uint32_t target_id, const struct gate_flow *flow);

/* The last activity of a target, by CLOCK_MONOTONIC; 0: none yet. */
uint64_t datapath_activity_ns(const struct datapath *d, uint32_t target_id);

/* Who caused it; only the addresses and ports of the source are set. All zero: nobody yet. */
struct gate_flow datapath_last_client(const struct datapath *d, uint32_t target_id);

/*
 * From now on the gate is in the node's own network namespace as well, where packets to other
 * targets' addresses pass by: only namespaces tell targets apart. Does nothing on a kernel that
 * cannot tell the gate a packet's namespace.
 */
void datapath_is_on_node(struct datapath *d);

/*
 * Readable when the ring has records; datapath_consume() calls on_event() for each of them, up to
 * some thousands in one call.
 */
int datapath_ring_fd(const struct datapath *d);
void datapath_consume(struct datapath *d);

/* The sum over all CPUs of each verdict's counter. */
int datapath_read_counters(const struct datapath *d, uint64_t out[GATE_VERDICT_COUNT]);

/* The counter's name, such as "hold_syn". */
const char *datapath_counter_name(enum gate_verdict verdict);

#endif
