/* SPDX-License-Identifier: MIT */
/*
 * The daemon's side of the gate: loads the programs, attaches them to interfaces, opens and
 * closes the gate of each target, and hands over what the gate has held. It decides nothing.
 */
#ifndef DOZE_DATAPATH_H
#define DOZE_DATAPATH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cidr.h"
#include "gate.h"

struct bpf_object;

enum datapath_hook {
	DATAPATH_HOOK_AUTO,
	DATAPATH_HOOK_TCX,
	DATAPATH_HOOK_TC,
	DATAPATH_HOOK_XDP,
};

/* One record of the ring; frame has event->frame_len bytes and is valid during the call. */
typedef void (*datapath_event_fn)(void *arg, const struct gate_event *event, const void *frame);

struct datapath_settings {
	enum datapath_hook hook;
	bool can_replay; /* false: a SYN is dropped without a copy */
	/* Keys may name a network namespace (gate.h). */
	bool has_namespaces;
	bool has_udp; /* datagrams that targets send may be activity as well: sees_sent */
	/* Tells our tc filters from those of another doze on the same interface. */
	uint32_t tc_handle;
	datapath_event_fn on_event;
	void *arg;
};

struct datapath;

/* Loads the gate, attached to nothing. Logs its errors; -errno, -EPERM, -EOPNOTSUPP. */
int datapath_new(struct datapath **out, const struct datapath_settings *settings);

/* Detaches everything. Traffic flows as if we had never been here. */
void datapath_free(struct datapath **d);

/*
 * To be called in the network namespace of the interface, which netns_id names (base/netns.h): an
 * index may be that of an interface in each of them. Logs which hook it took and why, or its error.
 * Attached again, for another target, it stays so until both have let go of it. sees_sent: see
 * has_udp. datapath_forget(): the interface is gone. datapath_detach(): one target lets go of it;
 * called in its namespace.
 */
int datapath_attach(struct datapath *d, uint64_t netns_id, unsigned int ifindex, const char *name,
		    bool sees_sent);
void datapath_forget(struct datapath *d, uint64_t netns_id, unsigned int ifindex);
void datapath_detach(struct datapath *d, uint64_t netns_id, unsigned int ifindex);

/* From now on packets for key are those of the target with this id, < GATE_TARGETS_MAX. */
int datapath_add_key(struct datapath *d, const struct gate_target_key *key, uint32_t target_id);

/*
 * The gate forgets the target: its keys, its sources, its last activity; it is open, as for another
 * target that may get the id.
 */
void datapath_remove_target(struct datapath *d, uint32_t target_id);

/* The gate is closed only as long as datapath_beat() is called, every second or so. */
void datapath_close_gate(struct datapath *d, uint32_t target_id);
void datapath_open_gate(struct datapath *d, uint32_t target_id);
void datapath_beat(struct datapath *d);

/*
 * How probes of a target are told from its clients: what is done with them while the gate
 * is closed, and whether any client's payload may be one while it is open (judges_all). The
 * longest prefix decides of which kind a source is. -ENOSPC when there are too many.
 */
void datapath_set_probes(struct datapath *d, uint32_t target_id, enum gate_probes probes,
			 bool judges_all);
int datapath_add_source(struct datapath *d, uint32_t target_id, const struct cidr *from,
			enum gate_source source);

/*
 * Payload that may be a probe comes to on_event(), as GATE_PASS_JUDGED, and is no activity
 * yet. Until this time it is, and does not come: a client has just been recognized.
 */
void datapath_judge_after(struct datapath *d, uint32_t target_id, uint64_t ns);

/*
 * Whether the kubelet's connections are known (pod/kubelet.h); not so at first. And what a
 * connection from a source of that kind is, as the gate sees it: saddr is the caller's end.
 */
void datapath_know_kubelet(struct datapath *d, bool knows);
enum gate_source datapath_source_of(const struct datapath *d, enum gate_source kind,
				    const struct gate_flow *flow);

/* Maps of the same name in another object, opened and not loaded yet, will be the gate's. */
int datapath_share_maps(const struct datapath *d, struct bpf_object *with);

/* Connections from this local port pass the closed gate; 0 ends that. */
void datapath_set_ready_port(struct datapath *d, uint32_t target_id, uint16_t port);

/* The last activity of a target, by CLOCK_MONOTONIC; 0: none yet. */
uint64_t datapath_activity_ns(const struct datapath *d, uint32_t target_id);

/* Who caused it; only the addresses and ports of the source are set. All zero: nobody yet. */
struct gate_flow datapath_last_client(const struct datapath *d, uint32_t target_id);

/*
 * From now on the gate is in the node's own network namespace as well, where packets to other
 * targets' addresses pass by: only namespaces tell targets apart. Nothing, where the kernel does
 * not have what that needs.
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
