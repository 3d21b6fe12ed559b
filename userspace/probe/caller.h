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
 * From an ignored source nobody is a client. What we can answer there is a probe: GET, HEAD and
 * OPTIONS without a body, of HTTP/0.9 to 1.1, the same gRPC call of any user agent, and any
 * ClientHello, at any port.
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
	bool knows_kubelet; /* from a source of the kubelet's probes */
	bool is_ignored;    /* from an ignored source: never a client, whatever it says */
	bool has_https;	    /* HTTPS probes come to this port */
	/* User agents of the kubelet's HTTP probes, besides its own. */
	const char *const *agents;
	size_t agents_len;
	const struct caller_path *paths; /* --ignore-http: probes from anywhere */
	size_t paths_len;
};

enum caller_kind {
	CALLER_UNDECIDED, /* more bytes will tell */
	CALLER_HTTP,	  /* a whole probe by HTTP */
	CALLER_GRPC,	  /* a whole call of grpc.health.v1.Health/Check */
	CALLER_TLS,	  /* a ClientHello as probes send it, alone; the rest is hidden */
	CALLER_CLIENT,
	CALLER_IGNORED, /* from an ignored source, and we cannot answer it */
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
