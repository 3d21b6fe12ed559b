// SPDX-License-Identifier: MIT
/* Live frames for interfaces with a driver, raw sockets for lo. */
#include "gate/replay.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/address.h"
#include "base/log.h"
#include "base/util.h"
#include "gate/checksum.h"
#include "gate/driver.h"
#include "replay.skel.h"

#define REPLAY_VLAN_LEN 4

/* IEEE 802 keeps this one for experiments on one's own network: no protocol of ours takes it. */
#define REPLAY_ETHERTYPE_NOBODY 0x88b5

struct replay_program {
	struct replay_bpf *skel;
	struct replay_counters counters;
};

struct replay {
	struct replay_program *program;
	const struct netns *ns;
	int raw_ipv4_fd, raw_ipv6_fd; /* of ns */
	bool has_said_refused;
	struct replay_counters counters;
};

static int replay_inject(const struct replay_program *program, unsigned int ifindex,
			 const void *frame, size_t len)
{
	struct xdp_md context = { .data_end = (uint32_t)len, .ingress_ifindex = ifindex };
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame, .data_size_in = (uint32_t)len,
		    .ctx_in = &context, .ctx_size_in = sizeof(context), .repeat = 1,
		    .batch_size = 1, .flags = BPF_F_TEST_XDP_LIVE_FRAMES);

	return bpf_prog_test_run_opts(bpf_program__fd(program->skel->progs.replay_pass), &options);
}

static bool replay_is_ipv4(const struct hold_frame *frame)
{
	return frame->bytes[frame->event.l3_offset] >> 4 == 4;
}

/* The driver has taken the outer VLAN tag out of the frame; here it gets it back. */
static size_t replay_insert_vlan(uint8_t *out, const struct hold_frame *frame)
{
	const struct gate_event *event = &frame->event;
	uint16_t tci_be = htons(event->vlan_tci);

	memcpy(out, frame->bytes, 2 * ETH_ALEN);
	memcpy(out + 2 * ETH_ALEN, &event->vlan_proto_be, 2);
	memcpy(out + 2 * ETH_ALEN + 2, &tci_be, 2);
	memcpy(out + 2 * ETH_ALEN + REPLAY_VLAN_LEN, frame->bytes + 2 * ETH_ALEN,
	       event->frame_len - 2U * ETH_ALEN);
	return event->frame_len + (size_t)REPLAY_VLAN_LEN;
}

/*
 * The kernel takes an Ethernet header off every replayed frame, so a frame without one gets one. It
 * must be addressed to the interface, or the kernel drops the frame as somebody else's. The address
 * of an IP tunnel is its IP address; most other interfaces without Ethernet have zeros.
 */
static size_t replay_insert_ethernet(uint8_t *out, const struct hold_frame *frame)
{
	uint16_t type_be = htons(replay_is_ipv4(frame) ? ETH_P_IP : ETH_P_IPV6);
	char name[IF_NAMESIZE];

	memset(out, 0, 2 * ETH_ALEN);
	if (if_indextoname(frame->event.ifindex, name))
		driver_address(out, name);
	memcpy(out + 2 * ETH_ALEN, &type_be, sizeof(type_be));
	memcpy(out + ETH_HLEN, frame->bytes, frame->event.frame_len);
	return frame->event.frame_len + (size_t)ETH_HLEN;
}

static int replay_on_interface(const struct replay *replay, const struct hold_frame *frame)
{
	const struct gate_event *event = &frame->event;
	uint8_t bytes[GATE_FRAME_MAX + ETH_HLEN];

	if (event->l3_offset == 0)
		return replay_inject(replay->program, event->ifindex, bytes,
				     replay_insert_ethernet(bytes, frame));
	if (event->vlan_proto_be)
		return replay_inject(replay->program, event->ifindex, bytes,
				     replay_insert_vlan(bytes, frame));
	return replay_inject(replay->program, event->ifindex, frame->bytes, event->frame_len);
}

static int replay_on_lo(const struct replay *replay, const struct hold_frame *frame)
{
	const struct gate_event *event = &frame->event;
	union address_sockaddr to;
	socklen_t to_len = address_to_sockaddr(&event->flow.daddr, 0, &to);
	int fd = replay_is_ipv4(frame) ? replay->raw_ipv4_fd : replay->raw_ipv6_fd;
	ssize_t n = sendto(fd, frame->bytes + event->l3_offset, event->frame_len - event->l3_offset,
			   MSG_DONTWAIT, &to.any, to_len);

	return n < 0 ? -errno : 0;
}

static void replay_say_refused(struct replay *replay, const struct hold_frame *frame, int r)
{
	if (replay->has_said_refused)
		return;
	replay->has_said_refused = true;
	log_warn_err(r,
		     "the kernel refuses a replay on interface %u: clients there wait for their "
		     "own SYN retransmission",
		     frame->event.ifindex);
}

static bool replay_one(struct replay *replay, struct hold_frame *frame)
{
	const struct gate_event *event = &frame->event;
	enum checksum_result sum = checksum_complete(frame->bytes, event->frame_len,
						     event->l3_offset, event->l4_offset);
	int r;

	if (sum == CHECKSUM_WRONG || sum == CHECKSUM_MALFORMED) {
		replay->counters.dropped_checksum++;
		replay->program->counters.dropped_checksum++;
		return false;
	}
	r = event->ifindex == GATE_LO_IFINDEX ? replay_on_lo(replay, frame)
					      : replay_on_interface(replay, frame);
	if (r < 0) {
		replay->counters.dropped_refused++;
		replay->program->counters.dropped_refused++;
		replay_say_refused(replay, frame, r);
		return false;
	}
	replay->counters.replayed++;
	replay->program->counters.replayed++;
	return true;
}

void replay_frame(struct replay *replay, const struct gate_event *event, const void *bytes)
{
	_cleanup_(freep) struct hold_frame *frame = malloc(sizeof(*frame) + event->frame_len);

	if (!frame || netns_enter(replay->ns) < 0)
		return; /* TCP sends it again */
	frame->event = *event;
	memcpy(frame->bytes, bytes, event->frame_len);
	replay_one(replay, frame);
	netns_leave(replay->ns);
}

unsigned int replay_all(struct replay *replay, struct hold *h)
{
	struct hold_frame *frame;
	unsigned int delivered = 0;

	if (!hold_len(h) || netns_enter(replay->ns) < 0)
		return 0;
	while ((frame = hold_pop(h))) {
		delivered += replay_one(replay, frame);
		free(frame);
	}
	netns_leave(replay->ns);
	return delivered;
}

const struct replay_counters *replay_counters(const struct replay *replay)
{
	return &replay->counters;
}

const struct replay_counters *replay_program_counters(const struct replay_program *p)
{
	return &p->counters;
}

/* With a whole Ethernet frame, to and from nobody. */
static int replay_program_try(const struct replay_program *program)
{
	uint8_t frame[ETH_ZLEN] = { 0 };
	uint16_t type_be = htons(REPLAY_ETHERTYPE_NOBODY);
	int r;

	memcpy(frame + 2 * ETH_ALEN, &type_be, sizeof(type_be));
	r = replay_inject(program, GATE_LO_IFINDEX, frame, sizeof(frame));
	if (r < 0)
		return log_warn_err(
			-EOPNOTSUPP,
			"this kernel cannot replay (it needs 5.18): a SYN that arrives "
			"while asleep is dropped, and the client sends it again after a "
			"second");
	return 0;
}

int replay_program_new(struct replay_program **out)
{
	_cleanup_(replay_program_free) struct replay_program *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return log_err(-ENOMEM, "cannot load the replay's program");
	p->skel = replay_bpf__open_and_load();
	if (!p->skel)
		return log_err(-errno, "cannot load the replay's program");
	r = replay_program_try(p);
	if (r < 0)
		return r;
	*out = TAKE_PTR(p);
	return 0;
}

void replay_program_free(struct replay_program **p)
{
	if (!*p)
		return;
	replay_bpf__destroy((*p)->skel);
	free(*p);
	*p = NULL;
}

static int replay_open_raw(struct replay *replay)
{
	replay->raw_ipv4_fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	if (replay->raw_ipv4_fd < 0 && errno == EPERM) {
		log_warn("no CAP_NET_RAW, and so no replay on lo", "interface=lo");
		return 0;
	}
	if (replay->raw_ipv4_fd < 0)
		return log_err(-errno, "cannot open a raw socket");
	replay->raw_ipv6_fd = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	/* A kernel without IPv6 has no IPv6 frames to replay either. */
	if (replay->raw_ipv6_fd < 0 && errno != EAFNOSUPPORT)
		return log_err(-errno, "cannot open a raw IPv6 socket");
	return 0;
}

int replay_new(struct replay **out, struct replay_program *program, const struct netns *ns)
{
	_cleanup_(replay_free) struct replay *replay = calloc(1, sizeof(*replay));
	int r;

	if (!replay)
		return log_err(-ENOMEM, "cannot set up the replay");
	replay->program = program;
	replay->ns = ns;
	replay->raw_ipv4_fd = replay->raw_ipv6_fd = -1;
	r = netns_enter(ns);
	if (r < 0)
		return r;
	r = replay_open_raw(replay);
	netns_leave(ns);
	if (r < 0)
		return r;
	*out = TAKE_PTR(replay);
	return 0;
}

void replay_free(struct replay **replay)
{
	if (!*replay)
		return;
	closep(&(*replay)->raw_ipv4_fd);
	closep(&(*replay)->raw_ipv6_fd);
	free(*replay);
	*replay = NULL;
}
