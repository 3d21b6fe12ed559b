/* SPDX-License-Identifier: MIT */
/*
 * Whether a probe calls, or a client: the first bytes of a connection tell. Pure.
 *
 * Only what looks exactly like a probe is one; in any doubt it is a client. The kubelet's probes
 * (pkg/probe in its sources, Go's net/http and grpc-go) are
 *   HTTP   GET PATH HTTP/1.1, "User-Agent: kube-probe/...", "Connection: close", nothing behind
 *   gRPC   HTTP/2 with prior knowledge, grpc.health.v1.Health/Check, the same user agent
 *   HTTPS  a ClientHello without server name (it connects to an address) that offers h2 and
 *          http/1.1; what is inside shows only after the handshake
 *   TCP    no bytes at all
 * Where other checkers call from, such as a load balancer's, clients call from as well. A checker
 * is HTTP   GET, HEAD or OPTIONS of HTTP/1.0 or 1.1 without a body, with a checker's user agent
 *   gRPC   the same call, of any user agent
 *   HTTPS  any ClientHello, where it is said that probes come by HTTPS
 */
#ifndef DOZE_CALLER_H
#define DOZE_CALLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* No probe says more than that. */
#define CALLER_BYTES_MAX 4096

/* No method of HTTP is longer. */
#define CALLER_METHOD_MAX 16

/* The user agent of the kubelet's probes begins so. */
#define CALLER_AGENT "kube-probe/"

/* --ignore-http: "GET /healthz" is a method and the beginning of a path. */
struct caller_path {
	const char *method; /* method_len bytes, without a space */
	size_t method_len;
	const char *prefix; /* begins with a slash; ends with its string */
};

struct caller_rules {
	bool knows_kubelet;  /* from a source of the kubelet's probes */
	bool knows_checkers; /* from an --ignore-source */
	bool has_https;	     /* HTTPS probes come to this port */
	bool are_answered;   /* by doze, which cannot do what a POST asks for */
	/* User agents of the kubelet's HTTP probes, besides its own. */
	const char *const *agents;
	size_t agents_len;
	/* --probe-agent: how user agents of checkers begin, besides those that doze knows. */
	const char *const *checkers;
	size_t checkers_len;
	const struct caller_path *paths; /* --ignore-http: probes from anywhere */
	size_t paths_len;
};

enum caller_kind {
	CALLER_UNDECIDED, /* more bytes will tell */
	CALLER_HTTP,	  /* a whole probe by HTTP */
	CALLER_GRPC,	  /* a whole call of grpc.health.v1.Health/Check */
	CALLER_TLS,	  /* a ClientHello as probes send it, alone; the rest is hidden */
	CALLER_CLIENT,
};

/* bytes: everything that the caller has sent so far. */
enum caller_kind caller_judge(const uint8_t *bytes, size_t len, const struct caller_rules *rules);

/*
 * 0 and *out for "GET /healthz". -EINVAL: no method in capitals, a space, and a path of printable
 * characters. The strings point into text.
 */
int caller_parse_path(const char *text, struct caller_path *out);

/* "http", "grpc", "https": as the metrics say it. */
const char *caller_kind_name(enum caller_kind kind);

#endif
