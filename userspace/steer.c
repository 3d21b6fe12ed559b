// SPDX-License-Identifier: MIT
/* Loads the steering program beside the gate, whose maps it shares. */
#include "steer.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>

#include "log.h"
#include "steer.skel.h"
#include "util.h"

struct steer {
	struct steer_bpf *skel;
	struct bpf_link *link;
};

static int steer_refuse(int r)
{
	log_warn_err(r, "no sk_lookup (kernel 5.9, CAP_NET_ADMIN): health checks are not answered "
			"while the target is asleep, they are passed on to it");
	return -EOPNOTSUPP;
}

static int steer_attach(struct steer *s, const struct netns *ns)
{
	s->link = bpf_program__attach_netns(s->skel->progs.steer, ns->fd);
	return s->link ? 0 : -errno;
}

int steer_new(struct steer **out, const struct datapath *d, const struct netns *ns)
{
	_cleanup_(steer_free) struct steer *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return log_err(-ENOMEM, "cannot load the steering of health checks");
	s->skel = steer_bpf__open();
	if (!s->skel)
		return log_err(-errno, "cannot read the steering program");
	r = datapath_share_maps(d, s->skel->obj);
	if (r < 0)
		return r;
	r = steer_bpf__load(s->skel);
	if (r == 0)
		r = steer_attach(s, ns);
	if (r < 0)
		return steer_refuse(r);
	*out = TAKE_PTR(s);
	return 0;
}

void steer_free(struct steer **s)
{
	if (!*s)
		return;
	bpf_link__destroy((*s)->link);
	steer_bpf__destroy((*s)->skel);
	free(*s);
	*s = NULL;
}

int steer_add_port(struct steer *s, uint16_t port, uint32_t target_id)
{
	const struct gate_target_key key = { .port_be = htons(port), .protocol = IPPROTO_TCP };
	int r = bpf_map__update_elem(s->skel->maps.gate_steer_ports, &key, sizeof(key), &target_id,
				     sizeof(target_id), BPF_ANY);

	return r < 0 ? log_err(r, "cannot steer the health checks of port '%u'", port) : 0;
}

int steer_set_responder(struct steer *s, enum gate_family family, int listen_fd)
{
	uint32_t index = family;
	uint64_t fd = (uint64_t)listen_fd;
	int r = bpf_map__update_elem(s->skel->maps.gate_responder, &index, sizeof(index), &fd,
				     sizeof(fd), BPF_ANY);

	return r < 0 ? log_err(r, "cannot steer health checks to the responder") : 0;
}
