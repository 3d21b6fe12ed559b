/* SPDX-License-Identifier: MIT */
/*
 * Our tc filters on an interface. They are on its clsact qdisc, which we may share with other
 * programs and other dozes, and they outlive our process.
 */
#ifndef DOZE_CLSACT_H
#define DOZE_CLSACT_H

#include <bpf/libbpf.h>
#include <stdbool.h>
#include <stdint.h>

struct clsact {
	unsigned int ifindex;
	uint32_t handle;     /* tells our filters from those of another doze on the interface */
	unsigned int points; /* where we have a filter: BPF_TC_INGRESS, BPF_TC_EGRESS */
	bool made_qdisc;     /* the qdisc is ours to remove */
};

/* Only ifindex and handle are set at first. Removes what a killed doze left behind. -errno. */
int clsact_attach(struct clsact *c, enum bpf_tc_attach_point point,
		  const struct bpf_program *program);

/* Removes our filters; and the qdisc, if we made it and nobody else has a filter there. */
void clsact_detach(struct clsact *c);

#endif
