/* SPDX-License-Identifier: MIT */
/*
 * Knows which connections are the kubelet's: a program in its cgroup (cgroup v2, kernel 4.13; BPF
 * links to cgroups: 5.7) remembers each that is opened there. What is sent on such a connection
 * still decides whether it is a probe: a k3s server opens others as well.
 *
 *   looked for ---> known      its cgroup is there, and it is in it: keys_know_kubelet()
 *        ^            |
 *        '------------'        it has ended or moved, or its cgroup has gone, as when systemd
 *                              restarts it
 *
 * While it is known, we wake only when a cgroup beside its own ends. It is looked for after 1 s,
 * 2 s, and so on up to 30 s.
 */
#ifndef DOZE_KUBELET_H
#define DOZE_KUBELET_H

#include "gate/datapath.h"

struct event_base;
struct kubelet;

/* Borrowed, and outliving it. */
struct kubelet_settings {
	const char *directory; /* its cgroup; NULL: it is looked for */
	const char *root;      /* where the node's cgroups are mounted */
};

/*
 * d is borrowed. Logs whether the kubelet was found, now and later, and what follows from that.
 * -errno, logged: this kernel cannot do it, or has no cgroup v2.
 */
int kubelet_new(struct kubelet **out, struct event_base *base, struct datapath *d,
		const struct kubelet_settings *settings);
void kubelet_free(struct kubelet **k);

#endif
