// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lists the connections whose request has been answered although tcp_info cannot tell: they have
 * received payload and sent data within the same tick (jiffy), and the times do not say which came
 * first.
 *
 *   socket -> same tick? -> evidence that data was sent after the last payload? -> its cookie
 *
 * It is right for a connection that has nothing unacknowledged, and whose client sends a request
 * only when it has the whole answer to the one before. Without evidence a request counts as not
 * answered.
 */
#include "vmlinux.h"

#include <bpf/bpf_helpers.h>

#define SOCKDIAG_ANSWERED_NS_PER_US 1000

char LICENSE[] SEC("license") = "GPL";

/*
 * We acknowledge every payload, by an answer or soon by a bare ACK. So if all payload has been
 * acknowledged, and the last segment that we sent carried data, that data was sent after it.
 */
static __always_inline bool sockdiag_answered_by_last_segment(const struct tcp_sock *tcp)
{
	return tcp->rcv_wup == tcp->rcv_nxt &&
	       tcp->tcp_wstamp_ns / SOCKDIAG_ANSWERED_NS_PER_US == tcp->first_tx_mstamp;
}

/*
 * A request acknowledges all answers before it. So data that the client acknowledged in a later
 * tick was sent after the request; most clients delay that ACK by 40 ms. Keep-alives do not change
 * what is compared here.
 */
static __always_inline bool sockdiag_answered_by_late_ack(const struct tcp_sock *tcp,
							  __u32 received)
{
	return (__s32)(tcp->chrono_start - received) > 0;
}

/*
 * A client that did not delay its ACK: it came after the payload, within the same tick. If it was
 * not the last one, it may as well have been the answer to a keep-alive of ours, which sockets have
 * to ask for. Keep-alives of the client leave this as it is.
 */
static __always_inline bool sockdiag_answered_by_quick_ack(const struct tcp_sock *tcp,
							   const struct sock_common *common,
							   __u32 received)
{
	bool sends_keepalives = common->skc_flags & 1UL << SOCK_KEEPOPEN;

	return tcp->snd_wl1 == tcp->rcv_nxt && (tcp->rcv_tstamp == received || !sends_keepalives);
}

static __always_inline bool sockdiag_answered_is(const struct tcp_sock *tcp,
						 const struct sock_common *common)
{
	__u32 received = tcp->inet_conn.icsk_ack.lrcvtime;

	if (tcp->lsndtime != received)
		return false;
	if (sockdiag_answered_by_last_segment(tcp) || sockdiag_answered_by_late_ack(tcp, received))
		return true;
	/* After a FIN, which comes without payload as well, a quick ACK cannot be told from it. */
	return common->skc_state == BPF_TCP_ESTABLISHED &&
	       sockdiag_answered_by_quick_ack(tcp, common, received);
}

SEC("iter/tcp")
int sockdiag_answered(struct bpf_iter__tcp *ctx)
{
	struct sock_common *common = ctx->sk_common;
	struct tcp_sock *tcp;
	__u64 cookie;

	if (!common)
		return 0;
	tcp = bpf_skc_to_tcp_sock(common);
	if (!tcp || !sockdiag_answered_is(tcp, common))
		return 0;
	cookie = (__u64)common->skc_cookie.counter;
	bpf_seq_write(ctx->meta->seq, &cookie, sizeof(cookie));
	return 0;
}
