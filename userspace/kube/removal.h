/* SPDX-License-Identifier: MIT */
/*
 * Whether doze is being removed from the cluster, or only replaced on this node; and its rights,
 * which have to last until every pod has its full size.
 *
 * The rights are three objects of one name: the service account, its ClusterRole and its
 * ClusterRoleBinding. A finalizer keeps them when they are deleted, at the same time as the
 * DaemonSet; the last doze to end takes it away.
 */
#ifndef DOZE_REMOVAL_H
#define DOZE_REMOVAL_H

#include <stdbool.h>
#include <stdint.h>

#include "kube/kube.h"

struct event_base;
struct removal;

/* All borrowed, and outliving it. */
struct removal_settings {
	const char *namespace, *pod_name; /* of this doze */
	const char *daemonset, *account;
};

/* Begins to protect the rights. Borrows base and kube. The caller owns *out. -ENOMEM, logged. */
int removal_new(struct removal **out, struct event_base *base, struct kube *kube,
		const struct removal_settings *settings);
void removal_free(struct removal **removal);

/*
 * answer() is called once, later: is_removed if the DaemonSet or its namespace is gone or going, if
 * doze may not ask, and if nobody has answered for 3 s.
 */
typedef void (*removal_answer_fn)(void *arg, bool is_removed);
void removal_ask(struct removal *removal, removal_answer_fn answer, void *arg);

/*
 * When this doze has nothing more to do. The first of the dozes, by the names of their pods, waits
 * until the others have ended, or until_ns, and gives the rights free; the others do not wait for
 * it, unless its node is down: then the next one is the first. done() is called once, later.
 */
void removal_release(struct removal *removal, uint64_t until_ns, void (*done)(void *arg),
		     void *arg);

#endif
