/* SPDX-License-Identifier: MIT */
/*
 * The conductor of one target: takes what the edges report (a held frame, a size reached, the
 * application's answer, a timer), asks the scaler what follows, and lets the edges do it.
 */
#ifndef DOZE_TARGET_H
#define DOZE_TARGET_H

#include <stddef.h>
#include <stdint.h>

#include "activity/activity.h"
#include "backend/backend.h"
#include "base/http.h"
#include "base/netns.h"
#include "gate/datapath.h"
#include "gate/replay.h"
#include "gate/steer.h"
#include "probe/ready.h"
#include "target/heartbeat.h"
#include "target/schedule.h"
#include "target/wake_queue.h"

struct target_port {
	uint16_t port;
	uint8_t protocol; /* IPPROTO_TCP or IPPROTO_UDP */
};

struct target_settings {
	uint32_t id;			 /* in the gate's maps */
	const char *name;		 /* copied; NULL: it is called after its first port */
	const struct target_port *ports; /* borrowed, not empty */
	size_t ports_len;
	/* Of its keys (gate.h); borrowed. None: every address of the gate's interfaces. */
	const struct gate_addr *addresses;
	size_t addresses_len;
	uint64_t idle_ns;
	uint64_t idle_max_ns;  /* of a target that is woken again and again */
	uint64_t awake_min_ns; /* after a wake */
	uint64_t wake_timeout_ns;
	const struct schedule *schedules; /* in which it stays awake; borrowed */
	size_t schedules_len;
	struct ready_spec ready;
	struct activity_settings activity; /* which of its traffic counts */
	enum gate_probes probes;
	const uint16_t *probe_ports; /* of TCP; borrowed */
	size_t probe_ports_len;
	int32_t priority; /* among those that wait for a wake: the highest first */
	/* Called when it was asleep and wakes; may be NULL. */
	void (*woke)(void *arg);
	void *arg;
};

/* What a target works with; all borrowed, and outliving it. */
struct target_edges {
	struct event_base *base;
	struct datapath *datapath;
	struct replay *replay; /* NULL: replay is off */
	struct backend *backend;
	struct http *http;
	struct heartbeat *heartbeat;
	struct sockdiag_answered *answered; /* NULL: this kernel has none */
	struct steer *steer;		    /* NULL: this kernel has none */
	struct wake_queue *wakes;	    /* NULL: all may wake at the same time */
	const struct netns *ns;
};

struct target;

/* Tells the gate of the ports. The caller owns *out. Logs its errors, -errno. */
int target_new(struct target **out, const struct target_edges *edges,
	       const struct target_settings *settings);
void target_free(struct target **t);

/* The application has been started: from now on it is asked whether it is ready, then may sleep. */
void target_start(struct target *t);

/*
 * Instead of target_start(), for a target that a doze before us has put to sleep: its gate closes.
 * It is woken if its connections show that somebody has called meanwhile.
 */
void target_resume(struct target *t);

/* The application was started anew while asleep: wakes the target, as a packet would. */
void target_restarted(struct target *t);

/* Wakes it, if it sleeps; reason is a static string. */
void target_wake(struct target *t, const char *reason);

/* Asleep, with the gate closed and nothing under way. */
bool target_is_asleep(const struct target *t);

/* The full size, and the gate open, before this returns; nothing happens to the target after. */
void target_stop(struct target *t);

/*
 * As target_stop(), but a target that is asleep stays asleep behind its open gate: who calls is
 * served slowly.
 */
void target_abandon(struct target *t);

/* doze itself carries a client's connection, which would end with the target. */
bool target_is_carrying(const struct target *t);

/*
 * A record of the gate's ring for this target, as datapath_consume() hands it over. The target acts
 * on it from the loop, when the ring has been read.
 */
void target_take(struct target *t, const struct gate_event *event, const void *frame);

/* Acts now on what target_take() has taken. */
void target_act(struct target *t);

#endif
