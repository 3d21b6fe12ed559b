/* SPDX-License-Identifier: MIT */
/*
 * Whether a target's connections say that it is at work, although no packet has come for as long
 * as the idle time: a request is being computed, an answer is being downloaded. Pure.
 */
#ifndef DOZE_BUSY_H
#define DOZE_BUSY_H

#include <stdbool.h>
#include <stdint.h>

#include "gate.h"

/* A probe that has no answer by then has failed; the kubelet's own default is 1 s. */
#define BUSY_PROBE_MS 2000

/* Whether the last data over a connection came from the application. */
enum busy_answer {
	BUSY_ANSWERED,	     /* yes, or nothing was ever received */
	BUSY_NOT_ANSWERED,   /* a request waits for its answer */
	BUSY_ANSWER_UNKNOWN, /* the kernel's clock cannot tell: counts as not answered */
};

/* One TCP connection, as its owner's side sees it. */
struct busy_socket {
	struct gate_flow flow; /* saddr, sport: the client's */
	uint8_t state;	       /* TCP_SYN_RECV and others of netinet/tcp.h */
	bool is_accepted;      /* false: nobody has called accept(), or it has been closed */
	bool has_received;     /* payload, ever */
	bool is_tls;	       /* what was sent may be a session ticket, not the answer */
	uint8_t retries;       /* of the answer to its SYN: 1 s, then 3 s after it, then 7 */
	uint32_t unread;       /* bytes; CLOSE_WAIT has one more, for the FIN */
	uint32_t unacked;      /* bytes, not sent or not acknowledged */
	uint64_t since_received_ms;
	uint64_t since_sent_ms; /* data; UINT64_MAX: never */
	enum busy_answer answer;
};

enum busy_reason {
	BUSY_NOT,
	BUSY_CONNECTING,   /* the handshake is not complete */
	BUSY_NOT_ACCEPTED, /* the application has yet to call accept() */
	BUSY_UNREAD,	   /* data that it has yet to read */
	BUSY_UNACKED,	   /* data that the client has yet to take */
	BUSY_UNANSWERED,   /* a request without its answer yet */
	BUSY_SENT_LATELY,  /* it still sends by itself: a stream, a long download */
	BUSY_CONNECTED,	   /* --sleep-with-connections=no */
	BUSY_UPSTREAM,	   /* a request of the application's own waits for its answer */
	BUSY_COMPUTING,	   /* it uses CPU, and a connection was in use lately */
	BUSY_MEASURING,	   /* whether it uses CPU is not known yet */
	BUSY_REASONS,
};

struct busy_settings {
	uint64_t idle_ms;
	uint64_t max_ms; /* a connection without progress for so long is stuck; 0: without limit */
	bool sleeps_with_connections;
	uint64_t probe_ms; /* a probe without an answer for so long has failed */
};

/* What is known of a connection that may be a probe's. */
enum busy_probe {
	BUSY_PROBE_SILENT, /* its client has said nothing, as a probe by TCP does */
	BUSY_PROBE_PLAIN,  /* it is a probe's, by what was said or by where it comes from */
	BUSY_PROBE_HIDDEN, /* by TLS: it may be a probe's, or a client's */
};

struct busy_verdict {
	enum busy_reason reason; /* BUSY_NOT: it may sleep */
	bool has_waiting;	 /* of any connection there is something to accept or to read */
	struct gate_flow waiting;
	bool is_stuck;	       /* it would be busy, but has made no progress for max_ms */
	struct gate_flow flow; /* which connection says so */
	uint64_t recheck_ms;   /* when to look again */
	/*
	 * A connection, in_use, that had payload within max_ms is still open. It is at rest, but
	 * more may be to come: busy_add_upstream() and activity/busy_cpu.h can tell.
	 */
	bool is_in_use;
	struct gate_flow in_use;
	/*
	 * A client is connected, at rest or not: it may send its next request, or be sent something
	 * by a timer of the application's. since_sent_ms: of all such clients, the last data to
	 * one; UINT64_MAX: none was ever sent.
	 */
	bool is_connected;
	uint64_t since_sent_ms;
};

void busy_init(struct busy_verdict *verdict);

/* One socket more: the first reason stays, the shortest time to look again counts. */
void busy_add(struct busy_verdict *verdict, const struct busy_socket *socket,
	      const struct busy_settings *settings);

/*
 * One connection that the application has opened itself, seen from its own end: flow.daddr is its
 * own address. It is at work while it waits for an answer, if it sends when it wants one.
 */
void busy_add_upstream(struct busy_verdict *verdict, const struct busy_socket *socket,
		       const struct busy_settings *settings);

/*
 * One connection that may be a probe's. If it is one, it counts only while it waits for its answer,
 * which the application could not give asleep, and no longer than settings->probe_ms: a target may
 * sleep although it fails its probes. If it may be a client's, it counts as a client's does, and is
 * looked at again soon as long as it is young, because a probe ends soon.
 */
void busy_add_probe(struct busy_verdict *verdict, const struct busy_socket *socket,
		    enum busy_probe probe, const struct busy_settings *settings);

/* Such as "unanswered". */
const char *busy_reason_name(enum busy_reason reason);

#endif
