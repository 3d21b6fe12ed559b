// SPDX-License-Identifier: MIT
/*
 * Fuzzes the responder with what a caller may send over a real connection, in any pieces, with its
 * end or a reset anywhere: it never crashes, and whatever reaches the application is what was sent.
 *
 * An input is a byte of rules, then steps: a byte that says what, and for a piece its length and
 * its bytes.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/util.h"
#include "probe/caller_h2.h"
#include "probe/reply.h"
#include "probe/responder.h"

#define FUZZ_SENT_MAX  65536
#define FUZZ_LOOPS_MAX 32

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

enum fuzz_step {
	FUZZ_SEND,
	FUZZ_LOOP,
	FUZZ_RELEASE,
	FUZZ_CLOSE_GATE,
	FUZZ_HALF_CLOSE,
	FUZZ_RESET,
	FUZZ_STEPS,
};

static struct {
	struct event_base *base;
	struct netns ns;
	struct responder *responder;
	struct caller_rules rules;
	int listener;
	struct sockaddr_in address;
	int client, application; /* -1: none, or none any more */
	uint8_t sent[FUZZ_SENT_MAX], arrived[FUZZ_SENT_MAX];
	size_t sent_len, arrived_len;
} fuzz;

static struct caller_rules fuzz_rules(void *arg, const struct gate_flow *flow)
{
	(void)arg;
	(void)flow;
	return fuzz.rules;
}

static void fuzz_check(bool claim)
{
	if (!claim)
		__builtin_trap();
}

static void fuzz_on_client(void *arg, const struct gate_flow *flow)
{
	(void)arg;
	(void)flow;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const struct connection_settings settings = {
		.base = fuzz.base = event_base_new(),
		.ns = &fuzz.ns,
		.rules = fuzz_rules,
		.client = fuzz_on_client,
	};
	socklen_t len = sizeof(fuzz.address);

	(void)argc;
	(void)argv;
	signal(SIGPIPE, SIG_IGN);
	log_set_level(LOG_LEVEL_ERROR);
	fuzz_check(netns_open(&fuzz.ns, 0) == 0);
	fuzz.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	fuzz.address = (struct sockaddr_in){ .sin_family = AF_INET,
					     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	fuzz_check(bind(fuzz.listener, (struct sockaddr *)&fuzz.address, len) == 0);
	fuzz_check(listen(fuzz.listener, 128) == 0);
	fuzz_check(getsockname(fuzz.listener, (struct sockaddr *)&fuzz.address, &len) == 0);
	fuzz_check(responder_new(&fuzz.responder, &settings) == 0);
	return 0;
}

/* Both ends close without leaving anything behind, so that ports do not run out. */
static void fuzz_close(int *fd)
{
	const struct linger at_once = { .l_onoff = 1 };

	if (*fd < 0)
		return;
	setsockopt(*fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(*fd);
	*fd = -1;
}

static void fuzz_connect(void)
{
	int steered;

	fuzz.client = socket(AF_INET, SOCK_STREAM, 0);
	fuzz_check(connect(fuzz.client, (struct sockaddr *)&fuzz.address, sizeof(fuzz.address)) ==
		   0);
	steered = accept4(fuzz.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	fuzz_check(steered >= 0);
	responder_adopt(fuzz.responder, steered);
}

/* What the application gets: it never says anything. */
static void fuzz_read_application(void)
{
	ssize_t n;

	if (fuzz.application < 0)
		fuzz.application = accept4(fuzz.listener, NULL, NULL, SOCK_NONBLOCK);
	if (fuzz.application < 0)
		return;
	do {
		n = read(fuzz.application, fuzz.arrived + fuzz.arrived_len,
			 sizeof(fuzz.arrived) - fuzz.arrived_len);
		if (n > 0)
			fuzz.arrived_len += (size_t)n;
	} while (n > 0);
}

static void fuzz_loop(void)
{
	for (int i = 0; i < FUZZ_LOOPS_MAX; i++) {
		event_base_loop(fuzz.base, EVLOOP_NONBLOCK);
		fuzz_read_application();
	}
}

static size_t fuzz_send(const uint8_t *data, size_t size)
{
	size_t len = min_u64(size ? data[0] * 4U : 0, size ? size - 1 : 0);
	ssize_t n;

	if (fuzz.client < 0 || fuzz.sent_len + len > sizeof(fuzz.sent))
		return size ? 1 : 0;
	n = send(fuzz.client, data + 1, len, MSG_DONTWAIT);
	if (n > 0) {
		memcpy(fuzz.sent + fuzz.sent_len, data + 1, (size_t)n);
		fuzz.sent_len += (size_t)n;
	}
	return size ? 1 + len : 0;
}

static size_t fuzz_step(const uint8_t *data, size_t size)
{
	switch ((enum fuzz_step)(data[0] % FUZZ_STEPS)) {
	case FUZZ_SEND:
		return 1 + fuzz_send(data + 1, size - 1);
	case FUZZ_LOOP:
		fuzz_loop();
		break;
	case FUZZ_RELEASE:
		responder_release(fuzz.responder, true);
		break;
	case FUZZ_CLOSE_GATE:
		responder_release(fuzz.responder, false);
		break;
	case FUZZ_HALF_CLOSE:
		shutdown(fuzz.client, SHUT_WR);
		break;
	case FUZZ_RESET:
		fuzz_close(&fuzz.client);
		break;
	case FUZZ_STEPS:
		break;
	}
	return 1;
}

/* Of HTTP/2 an acknowledgement is taken out, and within TLS there is something else. */
static void fuzz_check_arrived(void)
{
	if (caller_h2_begins(fuzz.sent, min_u64(fuzz.sent_len, REPLY_H2_PREFACE)) ||
	    (fuzz.rules.has_https && fuzz.sent_len && fuzz.sent[0] == 22))
		return;
	fuzz_check(fuzz.arrived_len <= fuzz.sent_len);
	fuzz_check(memcmp(fuzz.arrived, fuzz.sent, fuzz.arrived_len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	fuzz.sent_len = fuzz.arrived_len = 0;
	fuzz.application = -1;
	fuzz.rules = (struct caller_rules){
		.knows_kubelet = data[0] & 1,
		.knows_checkers = data[0] & 2,
		.has_https = data[0] & 4,
	};
	responder_release(fuzz.responder, data[0] & 8);
	fuzz_connect();
	for (size_t at = 1; at < size;)
		at += fuzz_step(data + at, size - at);
	fuzz_loop();
	fuzz_check_arrived();
	fuzz_close(&fuzz.client);
	responder_release(fuzz.responder, true);
	fuzz_loop();
	fuzz_close(&fuzz.application);
	fuzz_loop();
	return 0;
}
