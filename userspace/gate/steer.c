// SPDX-License-Identifier: MIT
/* Loads the steering program beside the gate, whose maps it shares. */
#include "gate/steer.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/util.h"
#include "steer.skel.h"

struct steer {
	struct steer_bpf *skel;
};

static int steer_refuse(int r)
{
	log_warn_err(r, "no sk_lookup (kernel 5.9, CAP_NET_ADMIN): probes are not answered "
			"while the target is asleep, they are passed on to it");
	return -EOPNOTSUPP;
}

int steer_new(struct steer **out, const struct datapath *d)
{
	_cleanup_(steer_free) struct steer *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return log_err(-ENOMEM, "cannot load the steering of probes");
	s->skel = steer_bpf__open();
	if (!s->skel)
		return log_err(-errno, "cannot read the steering program");
	r = datapath_share_maps(d, s->skel->obj);
	if (r < 0)
		return r;
	r = steer_bpf__load(s->skel);
	if (r < 0)
		return steer_refuse(r);
	*out = TAKE_PTR(s);
	return 0;
}

void steer_free(struct steer **s)
{
	if (!*s)
		return;
	steer_bpf__destroy((*s)->skel);
	free(*s);
	*s = NULL;
}

void steer_set_node(struct steer *s, uint64_t netns_id)
{
	s->skel->bss->steer_node_netns = (uint32_t)netns_id;
}

int steer_attach(struct bpf_link **out, struct steer *s, const struct netns *ns)
{
	bool is_node = s->skel->bss->steer_node_netns == ns->id;

	*out = bpf_program__attach_netns(is_node ? s->skel->progs.steer_node : s->skel->progs.steer,
					 ns->fd);
	return *out ? 0 : steer_refuse(-errno);
}

void steer_detach(struct bpf_link **link)
{
	bpf_link__destroy(*link);
	*link = NULL;
}

int steer_add_port(struct steer *s, const struct gate_addr *addr, uint16_t port, uint32_t target_id)
{
	const struct gate_target_key key = {
		.addr = *addr,
		.port_be = htons(port),
		.protocol = IPPROTO_TCP,
	};
	int r = bpf_map_update_elem(bpf_map__fd(s->skel->maps.gate_steer_ports), &key, &target_id,
				    BPF_ANY);

	return r < 0 ? log_err(r, "cannot steer the probes of port '%u'", port) : 0;
}

int steer_set_responder(struct steer *s, uint32_t target_id, enum gate_family family, int listen_fd)
{
	uint32_t index = gate_responder_index(target_id, family);
	uint64_t fd = (uint64_t)listen_fd;
	int r = bpf_map_update_elem(bpf_map__fd(s->skel->maps.gate_responder), &index, &fd,
				    BPF_ANY);

	return r < 0 ? log_err(r, "cannot steer probes to the responder") : 0;
}

void steer_remove_target(struct steer *s, uint32_t target_id)
{
	int fd = bpf_map__fd(s->skel->maps.gate_steer_ports);
	struct gate_target_key key, next;
	uint32_t owner;
	int r;

	/* The next key is asked for first: a key that is removed has none. */
	for (r = bpf_map_get_next_key(fd, NULL, &next); r == 0;) {
		key = next;
		r = bpf_map_get_next_key(fd, &key, &next);
		if (bpf_map_lookup_elem(fd, &key, &owner) == 0 && owner == target_id)
			bpf_map_delete_elem(fd, &key);
	}
	for (uint32_t family = 0; family < GATE_FAMILIES; family++) {
		uint32_t index = gate_responder_index(target_id, family);

		bpf_map_delete_elem(bpf_map__fd(s->skel->maps.gate_responder), &index);
	}
}
