/* SPDX-License-Identifier: MIT */
/*
 * Which connections are the kubelet's, known and not guessed: a program in its cgroup (cgroup v2,
 * kernel 4.13; BPF links to cgroups: 5.7) remembers each that is opened there. What such a
 * connection says still decides whether it is a health check: a k3s server has more to say.
 */
#ifndef DOZE_KUBELET_H
#define DOZE_KUBELET_H

#include "datapath.h"

struct kubelet;

/*
 * directory is the kubelet's cgroup, in cgroup v2. d is borrowed. -errno, said with what follows
 * from it: health checks are known by where they come from, and what they say.
 */
int kubelet_new(struct kubelet **out, const struct datapath *d, const char *directory);
void kubelet_free(struct kubelet **k);

#endif
