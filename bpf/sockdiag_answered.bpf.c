// SPDX-License-Identifier: GPL-2.0-only
/*
 * The connections whose last data came from the application, of those that took payload and sent
 * data within the same tick (jiffy), so that the times in tcp_info do not tell which came first.
 *
 *   socket -> same tick? -> evidence that data was sent after the last payload? -> its cookie
 *
 * Meant for a connection that has nothing unacknowledged, and whose client sends a request only
 * when it has the whole answer before it. Whatever there is no evidence for, is not answered.
 */
#include "vmlinux.h"

#include <bpf/bpf_helpers.h>

#define SOCKDIAG_ANSWERED_NS_PER_US 1000

char LICENSE[] SEC("license") = "GPL";

/*
 * Every payload is acknowledged, if not by an answer then by a bare ACK soon. So if all of it has
 * been, and the last segment that we sent carried data, that data came after it.
 */
static __always_inline bool sockdiag_answered_by_last_segment(const struct tcp_sock *tcp)
{
	return tcp->rcv_wup == tcp->rcv_nxt &&
	       tcp->tcp_wstamp_ns / SOCKDIAG_ANSWERED_NS_PER_US == tcp->first_tx_mstamp;
}

/*
 * A request acknowledges all answers before it. Data that was acknowledged in a later tick was
 * sent after it: most clients delay that ACK by 40 ms. Keep-alives leave this as it is.
 */
static __always_inline bool sockdiag_answered_by_late_ack(const struct tcp_sock *tcp,
							  __u32 received)
{
	return (__s32)(tcp->chrono_start - received) > 0;
}

/*
 * A client that did not delay its ACK: it came after the payload, within the same tick, and was
 * the last one. A later one may be the answer to a keep-alive of ours, and hides what was before.
 */
static __always_inline bool sockdiag_answered_by_quick_ack(const struct tcp_sock *tcp,
							   __u32 received)
{
	return tcp->snd_wl1 == tcp->rcv_nxt && tcp->rcv_tstamp == received;
}

static __always_inline bool sockdiag_answered_is(const struct tcp_sock *tcp, __u8 state)
{
	__u32 received = tcp->inet_conn.icsk_ack.lrcvtime;

	if (tcp->lsndtime != received)
		return false;
	if (sockdiag_answered_by_last_segment(tcp) || sockdiag_answered_by_late_ack(tcp, received))
		return true;
	/* After a FIN, which comes without payload as well, a quick ACK cannot be told from it. */
	return state == BPF_TCP_ESTABLISHED && sockdiag_answered_by_quick_ack(tcp, received);
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
	if (!tcp || !sockdiag_answered_is(tcp, common->skc_state))
		return 0;
	cookie = (__u64)common->skc_cookie.counter;
	bpf_seq_write(ctx->meta->seq, &cookie, sizeof(cookie));
	return 0;
}
