/* SPDX-License-Identifier: MIT */
/*
 * What tells the gate whose a packet is: the target that it is for (its address, port and protocol)
 * and the kind of source that it comes from. Writes the maps that gate.h describes.
 */
#ifndef DOZE_KEYS_H
#define DOZE_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cidr.h"
#include "gate.h"

struct gate_bpf;

struct keys {
	int ports_fd, targets_fd, sources_fd, knows_fd, kubelet_fd; /* borrowed */
	bool knows_kubelet;
};

/* skel is loaded, and outlives k. */
void keys_init(struct keys *k, const struct gate_bpf *skel);

/* From now on packets for key are those of the target with this id, < GATE_TARGETS_MAX. */
int keys_add(struct keys *k, const struct gate_target_key *key, uint32_t target_id);

/*
 * From now on the target's packets from there are of that source; of several prefixes that match,
 * the longest decides. -ENOSPC when there are too many.
 */
int keys_add_source(struct keys *k, uint32_t target_id, const struct cidr *from,
		    enum gate_source source);

/* Removes both. */
void keys_remove_target(struct keys *k, uint32_t target_id);

/* Whether gate_kubelet has the kubelet's connections (pod/kubelet.h). At first it has not. */
void keys_know_kubelet(struct keys *k, bool knows);

/* What a connection from a source of that kind is to the gate; flow.saddr is the caller's end. */
enum gate_source keys_source_of(const struct keys *k, enum gate_source kind,
				const struct gate_flow *flow);

#endif
