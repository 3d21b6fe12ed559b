/* SPDX-License-Identifier: MIT */
/*
 * What doze tells of itself, as `doze status`, its JSON and the metrics show it: a snapshot, taken
 * when somebody asks. Pure data; the names are those of the log.
 */
#ifndef DOZE_STATUS_H
#define DOZE_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gate.h"

#define STATUS_NAME_MAX	   320 /* a namespace, a slash, the name of a pod */
#define STATUS_DETAIL_MAX  96
#define STATUS_REASONS_MAX 32
#define STATUS_UID_MAX	   64
#define STATUS_WHY_MAX	   512

/* Upper bounds of the wake histogram's buckets, in ms; one more has everything above. */
#define STATUS_WAKE_BOUNDS_MS                                                                      \
	{                                                                                          \
		1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 30000                 \
	}
#define STATUS_WAKE_BUCKETS 14

/* A number of events for each reason, such as "hold_syn" or "unanswered". */
struct status_count {
	const char *reason; /* of static storage */
	uint64_t count;
};

struct status_counts {
	struct status_count of[STATUS_REASONS_MAX];
	size_t len;
};

struct status_target {
	char name[STATUS_NAME_MAX]; /* such as "tcp/8080", or "shop/web-1" */
	const char *state;	    /* scaler_state_name() */
	uint64_t state_since_ms;    /* for how long it has been in it */
	const char *depth; /* of its sleep: "throttled", "frozen", "reclaimed"; "": awake */
	bool is_gate_open;
	/*
	 * Why it is awake: "client", "client_among_probes" (first taken for a probe), "schedule",
	 * "min_awake", "unanswered" and the other reasons of activity/busy.h, ...; "" while asleep.
	 */
	const char *awake_reason;
	char awake_detail[STATUS_DETAIL_MAX]; /* a client's address, "unanswered 192.0.2.1:4242" */
	/* Why it woke last; "" if it never did. */
	const char *woke_reason;
	char woke_client[STATUS_DETAIL_MAX];
	uint64_t woke_before_ms;
	uint64_t idle_after_ms;	  /* now: a flapping target gets more than was set */
	uint64_t sleeps_in_ms;	  /* if nothing happens; 0 while asleep */
	uint64_t sleeps;	  /* so far */
	uint64_t asleep_ms;	  /* in all */
	uint64_t reclaimed_bytes; /* memory given back, in all */
	struct status_counts wakes;
	struct status_counts busy; /* looks at the connections that kept it awake */
	uint64_t misjudged;	   /* clients that came from a source of probes */
	uint64_t flaps;		   /* how often the idle time was made longer */
	/* From the first packet to the open gate; each bucket without those below it. */
	uint64_t wake_buckets[STATUS_WAKE_BUCKETS + 1];
	uint64_t wake_sum_us;
};

/* A pod of the node that is left alone, although it asks to be put to sleep. */
struct status_refusal {
	char uid[STATUS_UID_MAX];
	char pod[STATUS_NAME_MAX]; /* "shop/web-1" */
	char reason[32];	   /* that of the event on the pod, such as "InvalidAnnotation" */
	char why[STATUS_WHY_MAX];  /* a sentence */
};

struct status {
	const char *version;
	uint64_t uptime_ms;
	uint64_t verdicts[GATE_VERDICT_COUNT];
	uint64_t replayed, replay_dropped_checksum, replay_dropped_refused;
	struct status_counts answered; /* probes, by kind: "http", "tcp", "grpc", "https" */
	uint64_t handed_over;	       /* clients that came where probes come from */
	uint64_t refused_calls;	       /* system calls, by base/confine.h */
	const char *problem;	       /* why there is no target; "": none is known */
	const struct status_target *targets;
	size_t targets_len;
	const struct status_refusal *refusals;
	size_t refusals_len;
};

/* One more of that reason; a reason beyond STATUS_REASONS_MAX is not counted. */
void status_count(struct status_counts *counts, const char *reason);

/* A wake that took so long, into its bucket. */
void status_count_wake(struct status_target *t, uint64_t us);

#endif
