/* SPDX-License-Identifier: MIT */
/*
 * Which connections are the kubelet's, known and not guessed: a program in its cgroup (cgroup v2,
 * kernel 4.13; BPF links to cgroups: 5.7) remembers each that is opened there. What such a
 * connection says still decides whether it is a probe: a k3s server has more to say.
 *
 *   looked for ---> known      its cgroup is there, and it is in it: keys_know_kubelet()
 *        ^            |
 *        '------------'        it has ended, or moved; its cgroup has gone, as when systemd
 *                              restarts it
 *
 * While it is known, nothing wakes us but cgroups that end beside its own. It is looked for after 1
 * s, 2 s, and so on up to 30 s.
 */
#ifndef DOZE_KUBELET_H
#define DOZE_KUBELET_H

#include "gate/datapath.h"

struct event_base;
struct kubelet;

/* Borrowed, and outliving it. */
struct kubelet_settings {
	const char *directory; /* its cgroup, whoever is in it; NULL: that is looked for */
	const char *root;      /* where the node's cgroups are mounted */
};

/*
 * d is borrowed. Whether it is found at once or later is said, and what follows from it. -errno,
 * said as well: this kernel cannot do it, or has no cgroup v2.
 */
int kubelet_new(struct kubelet **out, struct event_base *base, struct datapath *d,
		const struct kubelet_settings *settings);
void kubelet_free(struct kubelet **k);

#endif
