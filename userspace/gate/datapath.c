// SPDX-License-Identifier: MIT
/* Loads and attaches the gate with libbpf, and shares three maps with it by mmap. */
#include "gate/datapath.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>

#include "base/log.h"
#include "base/util.h"
#include "gate.skel.h"
#include "gate/clsact.h"
#include "gate/driver.h"
#include "gate/gate_offsets.h"

/* <linux/bpf.h>, kernel 6.6; that of Debian 12 is older. */
#define DATAPATH_BPF_TCX_INGRESS 46
#define DATAPATH_BPF_TCX_EGRESS	 47
#define DATAPATH_BPF_F_BEFORE	 (1U << 3)

/* tc runs filters in the order of their priority; ours is high, so that ours is first. */
#define DATAPATH_TC_PRIORITY 1

/* So many in one turn: a flood of SYNs must not keep the loop from beating. */
#define DATAPATH_RECORDS_MAX 16384

#define DATAPATH_LINKS_MIN 16

/* Of one message of libbpf, from its end. */
#define DATAPATH_LOG_LINES 20

struct datapath_link {
	uint64_t netns_id;
	unsigned int ifindex;
	enum datapath_hook hook;
	bool has_ethernet;     /* else its packets begin with the IP header */
	struct bpf_link *link; /* tcx, XDP: ends with us */
	struct bpf_link *sent; /* tcx: what the targets send */
	bool has_sent_filter;  /* tc: the same */
	bool made_qdisc;       /* tc: clsact is ours to remove */
	uint32_t tc_handle;
	unsigned int users; /* targets */
};

struct datapath {
	struct datapath_settings settings;
	struct gate_bpf *skel;
	struct ring_buffer *ring;
	struct gate_control *controls;		/* mmap of gate_controls */
	const struct gate_activity *activities; /* mmap of gate_activities */
	uint64_t *heartbeat_ns;			/* mmap of gate_heartbeat */
	bool has_tcx;
	unsigned int consumed; /* records, in this call of datapath_consume() */
	uint32_t closings;     /* so far; each has its number in gate_control.closing */
	bool knows_kubelet;
	struct datapath_link *links;
	size_t links_len, links_room;
};

static const char *const datapath_hook_names[] = {
	[DATAPATH_HOOK_AUTO] = "auto",
	[DATAPATH_HOOK_TCX] = "tcx",
	[DATAPATH_HOOK_TC] = "tc",
	[DATAPATH_HOOK_XDP] = "xdp",
};

/* The verifier's log has thousands of lines, and says why at its end. */
static char *datapath_last_lines(char *text, unsigned int lines)
{
	char *at = text + strlen(text);

	while (at > text && lines) {
		at--;
		if (*at == '\n')
			lines--;
	}
	return at;
}

static int datapath_on_libbpf(enum libbpf_print_level level, const char *format, va_list args)
{
	_cleanup_(freep) char *text = NULL;
	char *rest = NULL;

	if (level == LIBBPF_DEBUG || vasprintf(&text, format, args) < 0)
		return 0;
	for (char *line = strtok_r(datapath_last_lines(text, DATAPATH_LOG_LINES), "\n", &rest);
	     line; line = strtok_r(NULL, "\n", &rest)) {
		char escaped[512];

		log_escape(escaped, sizeof(escaped), line);
		log_debug("libbpf", "text=\"%s\"", escaped);
	}
	return 0;
}

static bool datapath_kernel_is_at_least(unsigned int major, unsigned int minor)
{
	struct utsname name;
	unsigned int has_major = 0, has_minor = 0;

	if (uname(&name) < 0 || sscanf(name.release, "%u.%u", &has_major, &has_minor) != 2)
		return false;
	return has_major > major || (has_major == major && has_minor >= minor);
}

/* A kernel that knows tcx attaches a program of that type by tc as well. */
static void datapath_choose_skb_program(const struct datapath *d, struct bpf_program *program,
					bool is_wanted, enum bpf_attach_type tcx_type)
{
	bpf_program__set_autoload(program, is_wanted);
	if (d->has_tcx)
		bpf_program__set_expected_attach_type(program, tcx_type);
}

/* Only the programs that may be attached are loaded: an older kernel knows not all of them. */
static void datapath_choose_programs(struct datapath *d)
{
	const enum bpf_attach_type ingress = (enum bpf_attach_type)DATAPATH_BPF_TCX_INGRESS;
	const enum bpf_attach_type egress = (enum bpf_attach_type)DATAPATH_BPF_TCX_EGRESS;
	enum datapath_hook hook = d->settings.hook;

	/* Without a copy of the frame gate_xdp could hold nothing. */
	bool has_xdp = datapath_kernel_is_at_least(5, 18) || !d->settings.can_replay;
	bool is_xdp = hook == DATAPATH_HOOK_XDP;

	d->has_tcx = datapath_kernel_is_at_least(6, 6);
	datapath_choose_skb_program(d, d->skel->progs.gate_skb, !is_xdp, ingress);
	datapath_choose_skb_program(d, d->skel->progs.gate_skb_ip, !is_xdp, ingress);
	bpf_program__set_autoload(d->skel->progs.gate_xdp,
				  is_xdp || (hook == DATAPATH_HOOK_AUTO && has_xdp));
	datapath_choose_skb_program(d, d->skel->progs.gate_skb_sent, d->settings.has_udp, egress);
	datapath_choose_skb_program(d, d->skel->progs.gate_skb_sent_ip, d->settings.has_udp,
				    egress);
}

/* Without them an address alone tells targets apart, and 127.0.0.1 is in every namespace. */
static void datapath_find_namespaces(struct datapath *d)
{
	struct gate_offsets offsets;
	int r = gate_offsets_find(&offsets);

	if (r < 0) {
		log_warn_err(r, "no BTF of this kernel (CONFIG_DEBUG_INFO_BTF): who calls a pod "
				"over its own lo, as kubectl port-forward does, does not wake it");
		return;
	}
	memcpy((void *)&d->skel->rodata->gate_offsets, &offsets, sizeof(offsets));
	d->skel->rodata->gate_has_namespaces = true;
}

static int datapath_load(struct datapath *d)
{
	int r;

	d->skel = gate_bpf__open();
	if (!d->skel)
		return log_err(-errno, "cannot read the gate's program");
	datapath_choose_programs(d);
	d->skel->rodata->gate_can_replay = d->settings.can_replay;
	d->skel->rodata->gate_has_coarse_clock = datapath_kernel_is_at_least(5, 11);
	d->skel->rodata->gate_has_xdp_copy = datapath_kernel_is_at_least(5, 18);
	if (d->settings.has_namespaces)
		datapath_find_namespaces(d);
	r = gate_bpf__load(d->skel);
	if (r < 0)
		return log_err(r, "cannot load the gate for --hook=%s: --log-level=debug shows why",
			       datapath_hook_names[d->settings.hook]);
	return 0;
}

static void *datapath_mmap(const struct bpf_map *map, int protection)
{
	size_t len = (size_t)bpf_map__max_entries(map) * bpf_map__value_size(map);
	void *shared = mmap(NULL, len, protection, MAP_SHARED, bpf_map__fd(map), 0);

	return shared == MAP_FAILED ? NULL : shared;
}

static void datapath_munmap(const struct bpf_map *map, void *shared)
{
	if (shared)
		munmap(shared, (size_t)bpf_map__max_entries(map) * bpf_map__value_size(map));
}

static int datapath_on_record(void *arg, void *record, size_t len)
{
	struct datapath *d = arg;
	const struct gate_event *event = record;

	/* The ring is ours and the gate's alone, but a length is checked before it is believed. */
	if (len >= sizeof(*event) && len - sizeof(*event) >= event->frame_len)
		d->settings.on_event(d->settings.arg, event, event + 1);
	/* Counted as read; what is left makes the ring readable again. */
	return ++d->consumed < DATAPATH_RECORDS_MAX ? 0 : -EAGAIN;
}

static int datapath_map(struct datapath *d)
{
	d->controls = datapath_mmap(d->skel->maps.gate_controls, PROT_READ | PROT_WRITE);
	d->heartbeat_ns = datapath_mmap(d->skel->maps.gate_heartbeat, PROT_READ | PROT_WRITE);
	d->activities = datapath_mmap(d->skel->maps.gate_activities, PROT_READ);
	if (!d->controls || !d->heartbeat_ns || !d->activities)
		return log_err(-errno, "cannot map the gate's maps");
	d->ring = ring_buffer__new(bpf_map__fd(d->skel->maps.gate_ring), datapath_on_record, d,
				   NULL);
	if (!d->ring)
		return log_err(-errno, "cannot map the gate's ring");
	return 0;
}

int datapath_new(struct datapath **out, const struct datapath_settings *settings)
{
	_cleanup_(datapath_free) struct datapath *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return log_err(-ENOMEM, "cannot load the gate");
	d->settings = *settings;
	libbpf_set_print(datapath_on_libbpf);
	r = datapath_load(d);
	if (r == 0)
		r = datapath_map(d);
	if (r < 0)
		return r;
	*out = TAKE_PTR(d);
	return 0;
}

static int datapath_attach_tcx(struct datapath *d, struct datapath_link *link)
{
	/* At the head: the gate must see a packet before another program drops or redirects it. */
	LIBBPF_OPTS(bpf_tcx_opts, options, .flags = DATAPATH_BPF_F_BEFORE);

	link->link = bpf_program__attach_tcx(link->has_ethernet ? d->skel->progs.gate_skb
								: d->skel->progs.gate_skb_ip,
					     (int)link->ifindex, &options);
	return link->link ? 0 : -errno;
}

static int datapath_attach_xdp(struct datapath *d, struct datapath_link *link)
{
	if (!link->has_ethernet)
		return -EPROTONOSUPPORT; /* --hook=auto has not come here */
	link->link = bpf_program__attach_xdp(d->skel->progs.gate_xdp, (int)link->ifindex);
	return link->link ? 0 : -errno;
}

static bool datapath_remove_filter(int ifindex, enum bpf_tc_attach_point point,
				   const struct bpf_tc_opts *ours)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = point);
	LIBBPF_OPTS(bpf_tc_opts, stale, .handle = ours->handle, .priority = ours->priority);

	return bpf_tc_detach(&hook, &stale) == 0;
}

/* A filter outlives its process. One with our handle is of a doze that was killed. */
static bool datapath_clean_tc(const struct bpf_tc_hook *hook, const struct bpf_tc_opts *ours)
{
	bool had_sent = datapath_remove_filter(hook->ifindex, BPF_TC_EGRESS, ours);
	bool had_gate = datapath_remove_filter(hook->ifindex, BPF_TC_INGRESS, ours);

	if (had_gate || had_sent)
		log_warn("removed the filter of a killed doze", "ifindex=%d", hook->ifindex);
	return had_gate || had_sent;
}

static int datapath_attach_tc(struct datapath *d, struct datapath_link *link)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)link->ifindex,
		    .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, options, .handle = d->settings.tc_handle,
		    .priority = DATAPATH_TC_PRIORITY);
	int r = bpf_tc_hook_create(&hook);

	/*
	 * EEXIST: someone else uses this qdisc, and we leave it to them; unless all that it held
	 * was the filter of a killed doze, which then had made it.
	 */
	if (r < 0 && r != -EEXIST)
		return r;
	link->made_qdisc = r == 0 || (datapath_clean_tc(&hook, &options) &&
				      !clsact_has_filters(link->ifindex));
	link->tc_handle = options.handle;
	options.prog_fd = bpf_program__fd(link->has_ethernet ? d->skel->progs.gate_skb
							     : d->skel->progs.gate_skb_ip);
	r = bpf_tc_attach(&hook, &options);
	if (r < 0 && link->made_qdisc) {
		hook.attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS;
		bpf_tc_hook_destroy(&hook);
	}
	return r;
}

static int datapath_attach_sent_tc(struct datapath *d, struct datapath_link *link)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)link->ifindex,
		    .attach_point = BPF_TC_EGRESS);
	LIBBPF_OPTS(bpf_tc_opts, options, .handle = d->settings.tc_handle,
		    .priority = DATAPATH_TC_PRIORITY, .flags = BPF_TC_F_REPLACE);
	int r = bpf_tc_hook_create(&hook);

	if (r < 0 && r != -EEXIST)
		return r;
	link->made_qdisc = link->made_qdisc || r == 0;
	link->tc_handle = options.handle;
	options.prog_fd = bpf_program__fd(link->has_ethernet ? d->skel->progs.gate_skb_sent
							     : d->skel->progs.gate_skb_sent_ip);
	r = bpf_tc_attach(&hook, &options);
	link->has_sent_filter = r == 0;
	return r;
}

static int datapath_attach_sent_tcx(struct datapath *d, struct datapath_link *link)
{
	LIBBPF_OPTS(bpf_tcx_opts, options);

	link->sent = bpf_program__attach_tcx(link->has_ethernet ? d->skel->progs.gate_skb_sent
								: d->skel->progs.gate_skb_sent_ip,
					     (int)link->ifindex, &options);
	return link->sent ? 0 : -errno;
}

/* Without it nothing is lost but sleep is begun too early: no reason to stop. */
static void datapath_attach_sent(struct datapath *d, struct datapath_link *link, const char *name)
{
	int r;

	if (!d->settings.has_udp || link->sent || link->has_sent_filter)
		return;
	r = d->has_tcx ? datapath_attach_sent_tcx(d, link) : datapath_attach_sent_tc(d, link);
	if (r < 0)
		log_warn_err(r, "datagrams sent over '%s' do not keep the target awake", name);
}

static void datapath_detach_tc(const struct datapath_link *link)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)link->ifindex,
		    .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, options, .handle = link->tc_handle,
		    .priority = DATAPATH_TC_PRIORITY);

	if (link->hook == DATAPATH_HOOK_TC)
		bpf_tc_detach(&hook, &options);
	if (link->has_sent_filter) {
		hook.attach_point = BPF_TC_EGRESS;
		bpf_tc_detach(&hook, &options);
	}
	/* Another doze, or anyone, may have come since: the qdisc takes all its filters along. */
	if (!link->made_qdisc || clsact_has_filters(link->ifindex))
		return;
	/* Both points: libbpf takes that to mean the qdisc itself. */
	hook.attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS;
	bpf_tc_hook_destroy(&hook);
}

static void datapath_end_link(const struct datapath_link *link)
{
	if (link->hook == DATAPATH_HOOK_TC || link->has_sent_filter)
		datapath_detach_tc(link);
	bpf_link__destroy(link->link);
	bpf_link__destroy(link->sent);
}

static int datapath_try(struct datapath *d, struct datapath_link *link, enum datapath_hook hook)
{
	link->hook = hook;
	if (hook == DATAPATH_HOOK_XDP)
		return datapath_attach_xdp(d, link);
	if (hook == DATAPATH_HOOK_TCX)
		return datapath_attach_tcx(d, link);
	return datapath_attach_tc(d, link);
}

static void datapath_log_attached(const struct datapath_link *link, const char *name,
				  const char *driver, const char *why)
{
	log_info("gate attached", "interface=%s hook=%s driver=\"%s\" why=\"%s\"", name,
		 datapath_hook_names[link->hook], driver, why);
}

/* XDP where the driver earns it, tcx where the kernel has it, tc everywhere. */
static int datapath_attach_auto(struct datapath *d, struct datapath_link *link, const char *name,
				const char *driver)
{
	const char *why = "kernel older than 6.6, which has no tcx";
	int r;

	if (driver_has_fast_xdp(driver) && bpf_program__autoload(d->skel->progs.gate_xdp)) {
		r = datapath_try(d, link, DATAPATH_HOOK_XDP);
		if (r == 0) {
			datapath_log_attached(link, name, driver, "a driver with native XDP");
			return 0;
		}
		log_warn_err(r, "no XDP on '%s', although its driver '%s' has it", name, driver);
	}
	if (d->has_tcx) {
		r = datapath_try(d, link, DATAPATH_HOOK_TCX);
		if (r == 0) {
			datapath_log_attached(link, name, driver,
					      "cheaper than XDP with this driver");
			return 0;
		}
		why = "tcx was refused";
	}
	r = datapath_try(d, link, DATAPATH_HOOK_TC);
	if (r == 0)
		datapath_log_attached(link, name, driver, why);
	return r;
}

static int datapath_attach_asked(struct datapath *d, struct datapath_link *link, const char *name,
				 const char *driver)
{
	int r = datapath_try(d, link, d->settings.hook);

	if (r == 0)
		datapath_log_attached(link, name, driver, "asked for");
	return r;
}

/*
 * Before 5.14 an IP tunnel leaves the outer headers in front of what the gate reads, which can
 * then parse nothing. ARPHRD_NONE (tun) has no outer headers.
 */
static void datapath_warn_of_tunnel(int type, const char *name)
{
	if (type == ARPHRD_ETHER || type == ARPHRD_LOOPBACK || type == ARPHRD_NONE ||
	    datapath_kernel_is_at_least(5, 14))
		return;
	log_warn("this kernel hides an IP tunnel's packets from the gate (it needs 5.14): they "
		 "neither keep the target awake nor wake it",
		 "interface=%s", name);
}

static int datapath_make_room(struct datapath *d)
{
	size_t room = d->links_room ? 2 * d->links_room : DATAPATH_LINKS_MIN;
	struct datapath_link *grown;

	if (d->links_len < d->links_room)
		return 0;
	grown = realloc(d->links, room * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	d->links = grown;
	d->links_room = room;
	return 0;
}

static struct datapath_link *datapath_find_link(struct datapath *d, uint64_t netns_id,
						unsigned int ifindex)
{
	for (size_t i = 0; i < d->links_len; i++) {
		if (d->links[i].netns_id == netns_id && d->links[i].ifindex == ifindex)
			return &d->links[i];
	}
	return NULL;
}

static int datapath_attach_gate(struct datapath *d, uint64_t netns_id, unsigned int ifindex,
				const char *name)
{
	struct datapath_link *link;
	char driver[DRIVER_NAME_MAX];
	int type = driver_link_type(name);
	int r;

	if (datapath_make_room(d) < 0)
		return log_err(-ENOMEM, "cannot attach the gate to '%s'", name);
	link = &d->links[d->links_len];
	*link = (struct datapath_link){
		.netns_id = netns_id,
		.ifindex = ifindex,
		.users = 1,
		.has_ethernet = type == ARPHRD_ETHER || type == ARPHRD_LOOPBACK,
	};
	driver_name(driver, name);
	datapath_warn_of_tunnel(type, name);
	r = d->settings.hook == DATAPATH_HOOK_AUTO ? datapath_attach_auto(d, link, name, driver)
						   : datapath_attach_asked(d, link, name, driver);
	if (r < 0)
		return log_err(r, "cannot attach the gate to '%s' with --hook=%s", name,
			       datapath_hook_names[d->settings.hook]);
	d->links_len++;
	return 0;
}

int datapath_attach(struct datapath *d, uint64_t netns_id, unsigned int ifindex, const char *name,
		    bool sees_sent)
{
	struct datapath_link *link = datapath_find_link(d, netns_id, ifindex);

	if (link) {
		link->users++;
	} else {
		int r = datapath_attach_gate(d, netns_id, ifindex, name);

		if (r < 0)
			return r;
		link = &d->links[d->links_len - 1];
	}
	if (sees_sent)
		datapath_attach_sent(d, link, name);
	return 0;
}

void datapath_forget(struct datapath *d, uint64_t netns_id, unsigned int ifindex)
{
	struct datapath_link *link = datapath_find_link(d, netns_id, ifindex);

	if (!link)
		return;
	bpf_link__destroy(link->link);
	bpf_link__destroy(link->sent);
	*link = d->links[--d->links_len];
}

void datapath_detach(struct datapath *d, uint64_t netns_id, unsigned int ifindex)
{
	struct datapath_link *link = datapath_find_link(d, netns_id, ifindex);

	if (!link || --link->users)
		return;
	datapath_end_link(link);
	*link = d->links[--d->links_len];
}

void datapath_free(struct datapath **d)
{
	if (!*d)
		return;
	for (size_t i = 0; i < (*d)->links_len; i++)
		datapath_end_link(&(*d)->links[i]);
	free((*d)->links);
	ring_buffer__free((*d)->ring);
	if ((*d)->skel) {
		const __typeof__((*d)->skel->maps) *maps = &(*d)->skel->maps;

		datapath_munmap(maps->gate_controls, (*d)->controls);
		datapath_munmap(maps->gate_heartbeat, (*d)->heartbeat_ns);
		datapath_munmap(maps->gate_activities, (void *)(*d)->activities);
	}
	gate_bpf__destroy((*d)->skel);
	free(*d);
	*d = NULL;
}

/* The search first, so that the index never leads to a key that is not there yet. */
static int datapath_index_key(struct datapath *d, const struct gate_target_key *key,
			      uint32_t target_id)
{
	static const struct gate_addr any;
	bool is_any = memcmp(&key->addr, &any, sizeof(any)) == 0;
	uint32_t number = ntohs(key->port_be);
	struct gate_port port;
	uint32_t *value = key->protocol == IPPROTO_UDP ? &port.udp : &port.tcp;
	int r = bpf_map__lookup_elem(d->skel->maps.gate_ports, &number, sizeof(number), &port,
				     sizeof(port), 0);

	if (r < 0)
		return r;
	*value = gate_port_with_key(*value, is_any, target_id);
	return bpf_map__update_elem(d->skel->maps.gate_ports, &number, sizeof(number), &port,
				    sizeof(port), BPF_ANY);
}

/* The keys of the other targets: which of them are for this port? */
static bool datapath_has_key(const struct datapath *d, __be16 port_be, uint8_t protocol)
{
	int fd = bpf_map__fd(d->skel->maps.gate_targets);
	struct gate_target_key key, *before = NULL;

	while (bpf_map_get_next_key(fd, before, &key) == 0) {
		if (key.port_be == port_be && key.protocol == protocol)
			return true;
		before = &key;
	}
	return false;
}

static void datapath_remove_key(struct datapath *d, const struct gate_target_key *key)
{
	uint32_t number = ntohs(key->port_be);
	struct gate_port port;

	bpf_map__delete_elem(d->skel->maps.gate_targets, key, sizeof(*key), 0);
	if (datapath_has_key(d, key->port_be, key->protocol) ||
	    bpf_map__lookup_elem(d->skel->maps.gate_ports, &number, sizeof(number), &port,
				 sizeof(port), 0) < 0)
		return;
	*(key->protocol == IPPROTO_UDP ? &port.udp : &port.tcp) = 0;
	bpf_map__update_elem(d->skel->maps.gate_ports, &number, sizeof(number), &port, sizeof(port),
			     BPF_ANY);
}

/* From the first key on again after each that is removed: one that is gone has no next. */
static bool datapath_remove_a_key(struct datapath *d, uint32_t target_id)
{
	int fd = bpf_map__fd(d->skel->maps.gate_targets);
	struct gate_target_key key, *before = NULL;
	uint32_t owner;

	while (bpf_map_get_next_key(fd, before, &key) == 0) {
		if (bpf_map_lookup_elem(fd, &key, &owner) == 0 && owner == target_id) {
			datapath_remove_key(d, &key);
			return true;
		}
		before = &key;
	}
	return false;
}

static bool datapath_remove_a_source(struct datapath *d, uint32_t target_id)
{
	int fd = bpf_map__fd(d->skel->maps.gate_sources);
	struct gate_source_key key, *before = NULL;

	while (bpf_map_get_next_key(fd, before, &key) == 0) {
		if (key.target_id == target_id)
			return bpf_map_delete_elem(fd, &key) == 0;
		before = &key;
	}
	return false;
}

void datapath_remove_target(struct datapath *d, uint32_t target_id)
{
	static const struct gate_control control;
	static const struct gate_activity activity;

	while (datapath_remove_a_key(d, target_id))
		;
	while (datapath_remove_a_source(d, target_id))
		;
	d->controls[target_id] = control;
	bpf_map__update_elem(d->skel->maps.gate_activities, &target_id, sizeof(target_id),
			     &activity, sizeof(activity), BPF_ANY);
}

int datapath_add_key(struct datapath *d, const struct gate_target_key *key, uint32_t target_id)
{
	int r = bpf_map__update_elem(d->skel->maps.gate_targets, key, sizeof(*key), &target_id,
				     sizeof(target_id), BPF_NOEXIST);

	if (r == 0)
		r = datapath_index_key(d, key, target_id);
	return r < 0 ? log_err(r, "cannot tell the gate of port '%d'", ntohs(key->port_be)) : 0;
}

void datapath_beat(struct datapath *d)
{
	__atomic_store_n(d->heartbeat_ns, monotonic_ns(), __ATOMIC_RELAXED);
}

/* The beat comes first: a gate that is closed without one would count as stale. */
void datapath_close_gate(struct datapath *d, uint32_t target_id)
{
	datapath_beat(d);
	if (++d->closings == 0)
		d->closings = 1;
	__atomic_store_n(&d->controls[target_id].closing, d->closings, __ATOMIC_SEQ_CST);
}

void datapath_open_gate(struct datapath *d, uint32_t target_id)
{
	__atomic_store_n(&d->controls[target_id].closing, 0, __ATOMIC_SEQ_CST);
}

void datapath_set_probes(struct datapath *d, uint32_t target_id, enum gate_probes probes,
			 bool judges_all)
{
	__atomic_store_n(&d->controls[target_id].judges_all, judges_all, __ATOMIC_SEQ_CST);
	__atomic_store_n(&d->controls[target_id].probes, (uint8_t)probes, __ATOMIC_SEQ_CST);
}

int datapath_add_source(struct datapath *d, uint32_t target_id, const struct cidr *from,
			enum gate_source source)
{
	const struct gate_source_key key = {
		.prefix_len = 8 * sizeof(key.target_id) + from->prefix_len,
		.target_id = target_id,
		.addr = from->addr,
	};
	uint32_t value = source;
	char text[CIDR_TEXT_MAX];
	int r = bpf_map__update_elem(d->skel->maps.gate_sources, &key, sizeof(key), &value,
				     sizeof(value), BPF_ANY);

	cidr_format(from, text);
	return r < 0 ? log_err(r, "cannot tell the gate of source '%s'", text) : 0;
}

void datapath_judge_after(struct datapath *d, uint32_t target_id, uint64_t ns)
{
	__atomic_store_n(&d->controls[target_id].judge_after_ns, ns, __ATOMIC_RELAXED);
}

void datapath_know_kubelet(struct datapath *d, bool knows)
{
	const uint32_t zero = 0, value = knows;

	d->knows_kubelet = knows;
	bpf_map__update_elem(d->skel->maps.gate_knows, &zero, sizeof(zero), &value, sizeof(value),
			     BPF_ANY);
}

static bool datapath_is_kubelets(const struct datapath *d, const struct gate_flow *flow)
{
	const struct gate_connection connection = {
		.remote = flow->saddr,
		.local = flow->daddr,
		.remote_port_be = flow->sport_be,
		.local_port_be = flow->dport_be,
	};
	uint32_t value;

	return bpf_map__lookup_elem(d->skel->maps.gate_kubelet, &connection, sizeof(connection),
				    &value, sizeof(value), 0) == 0;
}

enum gate_source datapath_source_of(const struct datapath *d, enum gate_source kind,
				    const struct gate_flow *flow)
{
	return gate_source_resolve(kind, datapath_is_kubelets(d, flow), d->knows_kubelet);
}

int datapath_share_maps(const struct datapath *d, struct bpf_object *with)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, with)
	{
		const char *name = bpf_map__name(map);
		int fd = bpf_object__find_map_fd_by_name(d->skel->obj, name);
		int r = fd < 0 ? 0 : bpf_map__reuse_fd(map, fd);

		if (r < 0)
			return log_err(r, "cannot share the gate's map '%s'", name);
	}
	return 0;
}

void datapath_set_ready_port(struct datapath *d, uint32_t target_id, uint16_t port)
{
	__atomic_store_n(&d->controls[target_id].ready_port_be, htons(port), __ATOMIC_SEQ_CST);
}

uint64_t datapath_activity_ns(const struct datapath *d, uint32_t target_id)
{
	return __atomic_load_n(&d->activities[target_id].last_ns, __ATOMIC_RELAXED);
}

struct gate_flow datapath_last_client(const struct datapath *d, uint32_t target_id)
{
	const struct gate_activity *activity = &d->activities[target_id];

	return (struct gate_flow){
		.saddr = activity->last_addr,
		.sport_be = activity->last_port_be,
	};
}

void datapath_is_on_node(struct datapath *d)
{
	if (d->skel->rodata->gate_has_namespaces)
		d->skel->bss->gate_is_on_node = true;
}

int datapath_ring_fd(const struct datapath *d)
{
	return ring_buffer__epoll_fd(d->ring);
}

void datapath_consume(struct datapath *d)
{
	int r;

	d->consumed = 0;
	r = ring_buffer__consume(d->ring);
	if (r < 0 && r != -EAGAIN)
		log_err(r, "cannot read the gate's ring");
}

int datapath_read_counters(const struct datapath *d, uint64_t out[GATE_VERDICT_COUNT])
{
	int cpus = libbpf_num_possible_cpus();
	_cleanup_(freep) uint64_t *values = NULL;

	if (cpus < 0)
		return cpus;
	values = calloc((size_t)cpus, sizeof(*values));
	if (!values)
		return -ENOMEM;
	for (uint32_t verdict = 0; verdict < GATE_VERDICT_COUNT; verdict++) {
		int r = bpf_map__lookup_elem(d->skel->maps.gate_counters, &verdict, sizeof(verdict),
					     values, (size_t)cpus * sizeof(*values), 0);

		if (r < 0)
			return r;
		out[verdict] = 0;
		for (int cpu = 0; cpu < cpus; cpu++)
			out[verdict] += values[cpu];
	}
	return 0;
}

const char *datapath_counter_name(enum gate_verdict verdict)
{
	static const char *const names[] = {
#define X(id, name, help) [GATE_##id] = name,
		GATE_VERDICTS(X)
#undef X
	};

	return names[verdict];
}
