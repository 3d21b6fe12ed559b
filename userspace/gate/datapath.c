// SPDX-License-Identifier: MIT
/* Loads and attaches the gate with libbpf, and shares three maps with it by mmap. */
#include "gate/datapath.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/kernel.h"
#include "base/log.h"
#include "base/util.h"
#include "gate.skel.h"
#include "gate/gate_offsets.h"

/* Records that are read in one turn: a flood of SYNs must not keep the loop from beating. */
#define DATAPATH_RECORDS_MAX 16384

/*
 * The last lines of a message of libbpf: a verifier's log has thousands and ends with the reason.
 */
#define DATAPATH_LOG_LINES 20

struct datapath {
	struct datapath_settings settings;
	struct gate_bpf *skel;
	struct hooks hooks;
	struct keys keys;
	struct ring_buffer *ring;
	struct gate_control *controls;		/* mmap of gate_controls */
	const struct gate_activity *activities; /* mmap of gate_activities */
	uint64_t *heartbeat_ns;			/* mmap of gate_heartbeat */
	unsigned int consumed;			/* records, in this call of datapath_consume() */
	uint32_t closings; /* so far; each has its number in gate_control.closing */
};

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

/*
 * Without them an address alone tells targets apart, and 127.0.0.1 is in every namespace; and a
 * keep-alive that carries a byte is activity.
 */
static void datapath_find_offsets(struct datapath *d)
{
	struct gate_offsets offsets;
	int r = gate_offsets_find(&offsets);

	if (r == 0)
		memcpy((void *)&d->skel->rodata->gate_offsets, &offsets, sizeof(offsets));
	else if (d->settings.has_namespaces)
		log_warn_err(r, "no BTF of this kernel (CONFIG_DEBUG_INFO_BTF): who calls a pod "
				"over its own lo, as kubectl port-forward does, does not wake it");
	d->skel->rodata->gate_has_namespaces = r == 0 && d->settings.has_namespaces;
}

static int datapath_load(struct datapath *d)
{
	int r;

	d->skel = gate_bpf__open();
	if (!d->skel)
		return log_err(-errno, "cannot read the gate's program");
	hooks_init(&d->hooks, d->skel, &d->settings.hooks, d->settings.can_replay);
	d->skel->rodata->gate_can_replay = d->settings.can_replay;
	d->skel->rodata->gate_has_coarse_clock = kernel_is_at_least(5, 11);
	d->skel->rodata->gate_has_xdp_copy = kernel_is_at_least(5, 18);
	datapath_find_offsets(d);
	r = gate_bpf__load(d->skel);
	if (r < 0)
		return log_err(r, "cannot load the gate for --hook=%s: --log-level=debug shows why",
			       hooks_name(d->settings.hooks.kind));
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

	/* Only the gate writes to the ring, but a length is checked before it is believed. */
	if (len >= sizeof(*event) && len - sizeof(*event) >= event->frame_len)
		d->settings.on_event(d->settings.arg, event, event + 1);
	/* -EAGAIN ends the turn behind this record; the ring stays readable for the rest. */
	return ++d->consumed < DATAPATH_RECORDS_MAX ? 0 : -EAGAIN;
}

static int datapath_map(struct datapath *d)
{
	keys_init(&d->keys, d->skel);
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

void datapath_free(struct datapath **d)
{
	if (!*d)
		return;
	hooks_clear(&(*d)->hooks);
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

void datapath_remove_target(struct datapath *d, uint32_t target_id)
{
	static const struct gate_control control;
	static const struct gate_activity activity;

	keys_remove_target(&d->keys, target_id);
	d->controls[target_id] = control;
	bpf_map_update_elem(bpf_map__fd(d->skel->maps.gate_activities), &target_id, &activity,
			    BPF_ANY);
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

void datapath_set_rules(struct datapath *d, uint32_t target_id, const struct datapath_rules *rules)
{
	struct gate_control *control = &d->controls[target_id];

	__atomic_store_n(&control->judges_all, rules->judges_all, __ATOMIC_SEQ_CST);
	__atomic_store_n(&control->ignores_pings, rules->ignores_pings, __ATOMIC_SEQ_CST);
	__atomic_store_n(&control->has_outside, rules->has_outside, __ATOMIC_SEQ_CST);
	__atomic_store_n(&control->probes, (uint8_t)rules->probes, __ATOMIC_SEQ_CST);
}

void datapath_judge_after(struct datapath *d, uint32_t target_id, uint64_t ns)
{
	__atomic_store_n(&d->controls[target_id].judge_after_ns, ns, __ATOMIC_RELAXED);
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

void datapath_set_unheard(struct datapath *d, uint32_t target_id, bool is_unheard)
{
	__atomic_store_n(&d->controls[target_id].is_unheard, is_unheard, __ATOMIC_SEQ_CST);
}

void datapath_set_port_unheard(struct datapath *d, uint32_t target_id, uint16_t port)
{
	const struct gate_unheard_key key = { .target_id = target_id, .port_be = htons(port) };
	int fd = bpf_map__fd(d->skel->maps.gate_unheard);

	if (bpf_map_update_elem(fd, &key, &d->controls[target_id].closing, BPF_ANY) < 0)
		log_warn_err(-errno, "cannot tell the gate that nobody listens on port '%u'", port);
}

void datapath_let_pass(struct datapath *d, uint32_t target_id, const struct gate_flow *flow)
{
	const struct gate_connection key = {
		.remote = flow->saddr,
		.local = flow->daddr,
		.remote_port_be = flow->sport_be,
		.local_port_be = flow->dport_be,
	};
	int fd = bpf_map__fd(d->skel->maps.gate_let_pass);

	if (bpf_map_update_elem(fd, &key, &d->controls[target_id].closing, BPF_ANY) < 0)
		log_warn_err(-errno, "cannot let a SYN pass the gate");
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

struct hooks *datapath_hooks(struct datapath *d)
{
	return &d->hooks;
}

struct keys *datapath_keys(struct datapath *d)
{
	return &d->keys;
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
		int r = bpf_map_lookup_elem(bpf_map__fd(d->skel->maps.gate_counters), &verdict,
					    values);

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
