// SPDX-License-Identifier: MIT
/* One connection after the other: a reason to be busy, unless the connection is stuck. */
#include "activity/busy.h"

#include <netinet/tcp.h>
#include <stddef.h>

#include "base/util.h"

/* Who has not answered ours after 3 s was never there: a spoofed address, or a scanner. */
#define BUSY_HANDSHAKE_RETRIES 2

#define BUSY_RECHECK_MIN_MS UINT64_C(20)
#define BUSY_RECHECK_MAX_MS UINT64_C(1000)

/* A server of TLS 1.3 sends its session tickets at once, before it has seen the first request. */
#define BUSY_TICKET_MS 1000

/* A request of the application's own waits for the first answer on its connection so long. */
#define BUSY_ONE_WAY_MS 60000

/* A connection from a source of probes that is younger may still say something. */
#define BUSY_SILENT_MS 100

static const char *const busy_reason_names[BUSY_REASONS] = {
	[BUSY_NOT] = "not_busy",
	[BUSY_CONNECTING] = "connecting",
	[BUSY_NOT_ACCEPTED] = "not_accepted",
	[BUSY_UNREAD] = "unread",
	[BUSY_UNACKED] = "unacked",
	[BUSY_UNANSWERED] = "unanswered",
	[BUSY_SENT_LATELY] = "sent_lately",
	[BUSY_CONNECTED] = "connected",
	[BUSY_UPSTREAM] = "upstream",
	[BUSY_COMPUTING] = "computing",
	[BUSY_MEASURING] = "measuring",
};

void busy_init(struct busy_verdict *verdict)
{
	*verdict = (struct busy_verdict){ .reason = BUSY_NOT, .since_sent_ms = UINT64_MAX };
}

/* The application can still send. After FIN_WAIT1 it has said that it will not. */
static bool busy_is_open(const struct busy_socket *socket)
{
	return socket->state == TCP_ESTABLISHED || socket->state == TCP_CLOSE_WAIT;
}

static bool busy_is_unanswered(const struct busy_socket *socket)
{
	if (!socket->has_received)
		return false;
	if (socket->answer != BUSY_ANSWERED)
		return true;
	return socket->is_tls && socket->since_received_ms - socket->since_sent_ms < BUSY_TICKET_MS;
}

static enum busy_reason busy_reason_of(const struct busy_socket *socket, uint64_t idle_ms)
{
	bool is_open = busy_is_open(socket);

	if (socket->state == TCP_SYN_RECV)
		return socket->retries < BUSY_HANDSHAKE_RETRIES ? BUSY_CONNECTING : BUSY_NOT;
	if (!is_open && socket->state != TCP_FIN_WAIT1 && socket->state != TCP_FIN_WAIT2)
		return BUSY_NOT;
	/* Half closed and without an owner: the kernel delivers what is left by itself. */
	if (!socket->is_accepted)
		return is_open ? BUSY_NOT_ACCEPTED : BUSY_NOT;
	/* A FIN counts as a byte to read. An application that never reads it is not at work. */
	if (socket->unread > (socket->state == TCP_CLOSE_WAIT ? 1 : 0))
		return BUSY_UNREAD;
	/* The application's own FIN counts as a byte to be acknowledged. */
	if (socket->unacked > (socket->state == TCP_FIN_WAIT1 ? 1 : 0))
		return BUSY_UNACKED;
	if (!is_open)
		return BUSY_NOT;
	if (busy_is_unanswered(socket))
		return BUSY_UNANSWERED;
	return socket->since_sent_ms < idle_ms ? BUSY_SENT_LATELY : BUSY_NOT;
}

/* Data that is acknowledged makes room to send more, so a slow download shows as data sent. */
static bool busy_has_progressed(const struct busy_socket *socket, uint64_t max_ms)
{
	return !max_ms || min_u64(socket->since_received_ms, socket->since_sent_ms) < max_ms;
}

/* A handshake ends by itself, and what was sent lately has made progress. */
static bool busy_is_stuck(const struct busy_socket *socket, enum busy_reason reason,
			  uint64_t max_ms)
{
	return reason != BUSY_NOT && reason != BUSY_CONNECTING && reason != BUSY_SENT_LATELY &&
	       !busy_has_progressed(socket, max_ms);
}

static uint64_t busy_recheck_ms(const struct busy_socket *socket, enum busy_reason reason,
				uint64_t idle_ms)
{
	if (reason == BUSY_SENT_LATELY)
		return idle_ms - socket->since_sent_ms;
	return min_u64(max_u64(idle_ms / 4, BUSY_RECHECK_MIN_MS), BUSY_RECHECK_MAX_MS);
}

static void busy_add_reason(struct busy_verdict *verdict, const struct busy_socket *socket,
			    enum busy_reason reason, uint64_t recheck_ms)
{
	if (verdict->reason != BUSY_NOT) {
		verdict->recheck_ms = min_u64(verdict->recheck_ms, recheck_ms);
		return;
	}
	verdict->reason = reason;
	verdict->is_stuck = false;
	verdict->flow = socket->flow;
	verdict->recheck_ms = recheck_ms;
}

static void busy_note_use(struct busy_verdict *verdict, const struct busy_socket *socket,
			  uint64_t max_ms)
{
	if (verdict->is_in_use || !socket->is_accepted || !socket->has_received ||
	    !busy_is_open(socket) || !busy_has_progressed(socket, max_ms))
		return;
	verdict->is_in_use = true;
	verdict->in_use = socket->flow;
}

static void busy_note_waiting(struct busy_verdict *verdict, const struct busy_socket *socket,
			      enum busy_reason reason)
{
	if (verdict->has_waiting || (reason != BUSY_NOT_ACCEPTED && reason != BUSY_UNREAD))
		return;
	verdict->has_waiting = true;
	verdict->waiting = socket->flow;
}

/*
 * A client that has closed its end sends no request. It may wait for its answer, however long that
 * takes; for the rest of one as long as there is progress, because some applications never close.
 */
static bool busy_is_connected(const struct busy_socket *socket, uint64_t max_ms)
{
	if (socket->state == TCP_CLOSE_WAIT)
		return busy_is_unanswered(socket) || busy_has_progressed(socket, max_ms);
	return busy_is_open(socket);
}

static void busy_note_connected(struct busy_verdict *verdict, const struct busy_socket *socket,
				uint64_t max_ms)
{
	if (!busy_is_connected(socket, max_ms))
		return;
	verdict->is_connected = true;
	verdict->since_sent_ms = min_u64(verdict->since_sent_ms, socket->since_sent_ms);
}

static void busy_add_within(struct busy_verdict *verdict, const struct busy_socket *socket,
			    const struct busy_settings *settings, uint64_t recheck_max_ms)
{
	enum busy_reason reason = busy_reason_of(socket, settings->idle_ms);

	busy_note_use(verdict, socket, settings->max_ms);
	busy_note_connected(verdict, socket, settings->max_ms);
	if (busy_is_stuck(socket, reason, settings->max_ms)) {
		reason = BUSY_NOT;
		if (verdict->reason == BUSY_NOT && !verdict->is_stuck) {
			verdict->is_stuck = true;
			verdict->flow = socket->flow;
		}
	}
	busy_note_waiting(verdict, socket, reason);
	if (reason == BUSY_NOT && !settings->sleeps_with_connections && socket->is_accepted &&
	    socket->state == TCP_ESTABLISHED)
		reason = BUSY_CONNECTED;
	if (reason != BUSY_NOT)
		busy_add_reason(verdict, socket, reason,
				min_u64(busy_recheck_ms(socket, reason, settings->idle_ms),
					recheck_max_ms));
}

void busy_add(struct busy_verdict *verdict, const struct busy_socket *socket,
	      const struct busy_settings *settings)
{
	busy_add_within(verdict, socket, settings, UINT64_MAX);
}

/* At twice its age, so it is looked at often only at first. */
static uint64_t busy_recheck_soon_ms(uint64_t age_ms)
{
	return min_u64(max_u64(age_ms, BUSY_RECHECK_MIN_MS), BUSY_RECHECK_MAX_MS);
}

/*
 * The application has spoken first, and the other end is still there: a client that waits for such
 * a greeting. A probe by TCP is gone by then.
 */
static bool busy_has_greeted(const struct busy_socket *socket)
{
	return socket->state == TCP_ESTABLISHED && socket->since_sent_ms != UINT64_MAX;
}

static enum busy_reason busy_reason_of_probe(const struct busy_socket *socket, uint64_t rest_ms,
					     const struct busy_settings *settings)
{
	enum busy_reason reason = busy_reason_of(socket, settings->idle_ms);

	if (!socket->has_received && socket->state == TCP_ESTABLISHED &&
	    socket->since_received_ms < BUSY_SILENT_MS)
		return BUSY_CONNECTING;
	return reason == BUSY_SENT_LATELY || rest_ms >= settings->probe_ms ? BUSY_NOT : reason;
}

void busy_add_probe(struct busy_verdict *verdict, const struct busy_socket *socket,
		    enum busy_probe probe, const struct busy_settings *settings)
{
	uint64_t rest_ms = min_u64(socket->since_received_ms, socket->since_sent_ms);
	uint64_t age_ms = socket->since_received_ms; /* since its last request, or its SYN */
	enum busy_reason reason;

	if (probe == BUSY_PROBE_HIDDEN ||
	    (probe == BUSY_PROBE_SILENT && busy_has_greeted(socket))) {
		busy_add_within(verdict, socket, settings,
				age_ms < BUSY_PROBE_MS ? busy_recheck_soon_ms(age_ms) : UINT64_MAX);
		return;
	}
	reason = busy_reason_of_probe(socket, rest_ms, settings);
	if (reason != BUSY_NOT)
		busy_add_reason(verdict, socket, reason, busy_recheck_soon_ms(rest_ms));
}

/*
 * From its own end "answered" says that the last data was the application's request. A connection
 * that has never had an answer may go one way only, such as one for logs or metrics.
 */
void busy_add_upstream(struct busy_verdict *verdict, const struct busy_socket *socket,
		       const struct busy_settings *settings)
{
	bool has_sent = socket->since_sent_ms != UINT64_MAX &&
			(socket->has_received || socket->since_sent_ms < BUSY_ONE_WAY_MS);

	if (socket->state == TCP_ESTABLISHED && socket->is_accepted && has_sent &&
	    socket->answer == BUSY_ANSWERED && busy_has_progressed(socket, settings->max_ms))
		busy_add_reason(verdict, socket, BUSY_UPSTREAM,
				busy_recheck_ms(socket, BUSY_UPSTREAM, settings->idle_ms));
}

const char *busy_reason_name(enum busy_reason reason)
{
	return (unsigned int)reason < BUSY_REASONS ? busy_reason_names[reason] : "unknown";
}
