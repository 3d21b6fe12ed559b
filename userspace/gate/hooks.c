// SPDX-License-Identifier: MIT
#include "gate/hooks.h"

#include <errno.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdlib.h>
#include <utlist.h>

#include "base/kernel.h"
#include "base/log.h"
#include "base/util.h"
#include "gate.h"
#include "gate.skel.h"
#include "gate/clsact.h"
#include "gate/driver.h"

/* <linux/bpf.h> of kernel 6.6; that of Debian 12 is older. */
#define HOOKS_BPF_TCX_INGRESS 46
#define HOOKS_BPF_TCX_EGRESS  47
#define HOOKS_BPF_F_BEFORE    (1U << 3)

struct hooks_link {
	uint64_t netns_id;
	unsigned int ifindex;
	bool has_ethernet; /* else its packets begin with the IP header */
	/* tcx and XDP: what arrives, and what the targets send. */
	struct bpf_link *gate, *sent;
	struct clsact clsact; /* tc: the same */
	unsigned int users;   /* targets */
	struct hooks_link *prev, *next;
};

const char *hooks_name(enum hooks_kind kind)
{
	static const char *const names[] = {
		[HOOKS_AUTO] = "auto",
		[HOOKS_TCX] = "tcx",
		[HOOKS_TC] = "tc",
		[HOOKS_XDP] = "xdp",
	};

	return names[kind];
}

/* Where the kernel knows tcx, a program with its type can be attached by tc as well. */
static void hooks_choose_program(const struct hooks *h, struct bpf_program *program, bool is_needed,
				 int tcx_type)
{
	bpf_program__set_autoload(program, is_needed);
	if (h->has_tcx)
		bpf_program__set_expected_attach_type(program, (enum bpf_attach_type)tcx_type);
}

/* Programs that are not needed are not loaded: an older kernel would refuse some of them. */
void hooks_init(struct hooks *h, struct gate_bpf *skel, const struct hooks_settings *settings,
		bool can_replay)
{
	bool is_xdp = settings->kind == HOOKS_XDP;
	/* Before 5.18 an XDP program cannot copy the frame that is to be replayed. */
	bool may_be_xdp = settings->kind == HOOKS_AUTO &&
			  (kernel_is_at_least(5, 18) || !can_replay);
	bool has_udp = settings->has_udp;

	*h = (struct hooks){
		.settings = *settings,
		.skel = skel,
		.has_tcx = kernel_is_at_least(6, 6),
	};
	bpf_program__set_autoload(skel->progs.gate_xdp, is_xdp || may_be_xdp);
	hooks_choose_program(h, skel->progs.gate_skb, !is_xdp, HOOKS_BPF_TCX_INGRESS);
	hooks_choose_program(h, skel->progs.gate_skb_ip, !is_xdp, HOOKS_BPF_TCX_INGRESS);
	hooks_choose_program(h, skel->progs.gate_skb_sent, has_udp, HOOKS_BPF_TCX_EGRESS);
	hooks_choose_program(h, skel->progs.gate_skb_sent_ip, has_udp, HOOKS_BPF_TCX_EGRESS);
}

static int hooks_attach_tcx(struct bpf_link **out, const struct bpf_program *program,
			    unsigned int ifindex, uint32_t flags)
{
	LIBBPF_OPTS(bpf_tcx_opts, options, .flags = flags);

	*out = bpf_program__attach_tcx(program, (int)ifindex, &options);
	return *out ? 0 : -errno;
}

static int hooks_try(const struct hooks *h, struct hooks_link *link, enum hooks_kind kind)
{
	const struct bpf_program *program = link->has_ethernet ? h->skel->progs.gate_skb
							       : h->skel->progs.gate_skb_ip;

	if (kind == HOOKS_TC)
		return clsact_attach(&link->clsact, BPF_TC_INGRESS, program);
	/* First in line: the gate sees a packet before another program drops or redirects it. */
	if (kind == HOOKS_TCX)
		return hooks_attach_tcx(&link->gate, program, link->ifindex, HOOKS_BPF_F_BEFORE);
	if (!link->has_ethernet)
		return -EPROTONOSUPPORT;
	link->gate = bpf_program__attach_xdp(h->skel->progs.gate_xdp, (int)link->ifindex);
	return link->gate ? 0 : -errno;
}

/* --hook=auto: XDP where the driver earns it, tcx where the kernel has it, tc everywhere. */
static int hooks_attach_gate(const struct hooks *h, struct hooks_link *link, const char *name)
{
	bool is_auto = h->settings.kind == HOOKS_AUTO;
	char driver[DRIVER_NAME_MAX];
	int r = -EOPNOTSUPP;

	driver_name(driver, name);
	const struct {
		enum hooks_kind kind;
		bool suits;
		const char *why;
	} choices[] = {
		{ HOOKS_XDP,
		  driver_has_fast_xdp(driver) && bpf_program__autoload(h->skel->progs.gate_xdp),
		  "a driver with native XDP" },
		{ HOOKS_TCX, h->has_tcx, "cheaper than XDP with this driver" },
		{ HOOKS_TC, true,
		  h->has_tcx ? "tcx was refused" : "kernel older than 6.6, which has no tcx" },
	};

	for (size_t i = 0; i < ARRAY_LEN(choices); i++) {
		enum hooks_kind kind = choices[i].kind;

		if (is_auto ? !choices[i].suits : kind != h->settings.kind)
			continue;
		r = hooks_try(h, link, kind);
		if (r == 0) {
			log_info("gate attached", "interface=%s hook=%s driver=\"%s\" why=\"%s\"",
				 name, hooks_name(kind), driver,
				 is_auto ? choices[i].why : "asked for");
			return 0;
		}
		if (is_auto && kind == HOOKS_XDP)
			log_warn_err(r, "no XDP on '%s', although its driver '%s' has it", name,
				     driver);
	}
	if (!if_nametoindex(name) && errno == ENODEV) {
		log_debug("gone before the gate was attached", "interface=%s", name);
		return -ENODEV;
	}
	return log_err(r, "cannot attach the gate to '%s' with --hook=%s", name,
		       hooks_name(h->settings.kind));
}

/* Without it no request is lost, but sleep may begin too early: no reason to stop. */
static void hooks_attach_sent(const struct hooks *h, struct hooks_link *link, const char *name)
{
	const struct bpf_program *program = link->has_ethernet ? h->skel->progs.gate_skb_sent
							       : h->skel->progs.gate_skb_sent_ip;
	int r;

	if (!h->settings.has_udp || link->sent || link->clsact.points & BPF_TC_EGRESS)
		return;
	r = h->has_tcx ? hooks_attach_tcx(&link->sent, program, link->ifindex, 0)
		       : clsact_attach(&link->clsact, BPF_TC_EGRESS, program);
	if (r < 0)
		log_warn_err(r, "datagrams sent over '%s' do not keep the target awake", name);
}

/*
 * Before 5.14 an IP tunnel leaves the outer headers in front of what the gate reads, which then
 * cannot parse it. ARPHRD_NONE (tun) has no outer headers.
 */
static void hooks_warn_of_tunnel(int type, const char *name)
{
	if (type == ARPHRD_ETHER || type == ARPHRD_LOOPBACK || type == ARPHRD_NONE ||
	    kernel_is_at_least(5, 14))
		return;
	log_warn("this kernel hides an IP tunnel's packets from the gate (it needs 5.14): they do "
		 "not keep the target awake, and wake it up to a second late",
		 "interface=%s", name);
}

static struct hooks_link *hooks_find(const struct hooks *h, uint64_t netns_id, unsigned int ifindex)
{
	struct hooks_link *link;

	DL_FOREACH(h->links, link)
	{
		if (link->netns_id == netns_id && link->ifindex == ifindex)
			break;
	}
	return link;
}

static int hooks_add(struct hooks_link **out, struct hooks *h, uint64_t netns_id,
		     unsigned int ifindex, const char *name)
{
	_cleanup_(freep) struct hooks_link *link = calloc(1, sizeof(*link));
	int type = driver_link_type(name);
	int r;

	if (!link) {
		log_err(-ENOMEM, "cannot attach the gate to '%s'", name);
		return -ENOMEM;
	}
	link->netns_id = netns_id;
	link->ifindex = ifindex;
	link->has_ethernet = type == ARPHRD_ETHER || type == ARPHRD_LOOPBACK;
	link->clsact = (struct clsact){ .ifindex = ifindex, .handle = h->settings.tc_handle };
	hooks_warn_of_tunnel(type, name);
	r = hooks_attach_gate(h, link, name);
	if (r < 0)
		return r;
	DL_APPEND(h->links, link);
	*out = TAKE_PTR(link);
	return 0;
}

int hooks_attach(struct hooks *h, uint64_t netns_id, unsigned int ifindex, const char *name,
		 bool sees_sent)
{
	struct hooks_link *link = hooks_find(h, netns_id, ifindex);
	int r = link ? 0 : hooks_add(&link, h, netns_id, ifindex, name);

	if (r < 0)
		return r;
	link->users++;
	if (sees_sent)
		hooks_attach_sent(h, link, name);
	return 0;
}

static void hooks_remove(struct hooks *h, struct hooks_link *link)
{
	DL_DELETE(h->links, link);
	bpf_link__destroy(link->gate);
	bpf_link__destroy(link->sent);
	free(link);
}

void hooks_forget(struct hooks *h, uint64_t netns_id, unsigned int ifindex)
{
	struct hooks_link *link = hooks_find(h, netns_id, ifindex);

	if (link)
		hooks_remove(h, link);
}

void hooks_detach(struct hooks *h, uint64_t netns_id, unsigned int ifindex)
{
	struct hooks_link *link = hooks_find(h, netns_id, ifindex);

	if (!link || --link->users)
		return;
	clsact_detach(&link->clsact);
	hooks_remove(h, link);
}

void hooks_clear(struct hooks *h)
{
	while (h->links) {
		clsact_detach(&h->links->clsact);
		hooks_remove(h, h->links);
	}
}
