// SPDX-License-Identifier: MIT
/* Attaches one program. */
#include "kubelet.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "kubelet.skel.h"
#include "log.h"
#include "util.h"

struct kubelet {
	struct kubelet_bpf *skel;
	struct bpf_link *link;
};

static int kubelet_load(struct kubelet *k, const struct datapath *d, int cgroup_fd)
{
	int r;

	k->skel = kubelet_bpf__open();
	if (!k->skel)
		return -errno;
	r = datapath_share_maps(d, k->skel->obj);
	if (r == 0)
		r = kubelet_bpf__load(k->skel);
	if (r < 0)
		return r;
	k->link = bpf_program__attach_cgroup(k->skel->progs.kubelet, cgroup_fd);
	return k->link ? 0 : -errno;
}

int kubelet_new(struct kubelet **out, const struct datapath *d, const char *directory)
{
	_cleanup_(kubelet_free) struct kubelet *k = calloc(1, sizeof(*k));
	_cleanup_(closep) int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = fd < 0 ? -errno : -ENOMEM;

	if (fd >= 0 && k)
		r = kubelet_load(k, d, fd);
	if (r < 0)
		return log_warn_err(r,
				    "cannot tell the kubelet's connections by its cgroup '%s': "
				    "health checks are known by what they say",
				    directory);
	*out = TAKE_PTR(k);
	return 0;
}

void kubelet_free(struct kubelet **k)
{
	if (!*k)
		return;
	bpf_link__destroy((*k)->link);
	kubelet_bpf__destroy((*k)->skel);
	free(*k);
	*k = NULL;
}
