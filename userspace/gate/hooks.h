/* SPDX-License-Identifier: MIT */
/*
 * Where the gate's programs are attached: tcx, tc or XDP on each interface of each network
 * namespace that has a target. Chooses the hook, and counts the targets behind each interface.
 */
#ifndef DOZE_HOOKS_H
#define DOZE_HOOKS_H

#include <stdbool.h>
#include <stdint.h>

struct gate_bpf;
struct hooks_link;

enum hooks_kind {
	HOOKS_AUTO,
	HOOKS_TCX,
	HOOKS_TC,
	HOOKS_XDP,
};

struct hooks_settings {
	enum hooks_kind kind;
	/* Datagrams that targets send may be activity as well: see sees_sent below. */
	bool has_udp;
	/* Tells our tc filters from those of another doze on the same interface. */
	uint32_t tc_handle;
};

struct hooks {
	struct hooks_settings settings;
	struct gate_bpf *skel;
	bool has_tcx;
	struct hooks_link *links;
};

/*
 * Marks the programs that will be needed: skel is opened, not loaded yet, and borrowed. can_replay:
 * the programs must be able to copy a frame.
 */
void hooks_init(struct hooks *h, struct gate_bpf *skel, const struct hooks_settings *settings,
		bool can_replay);

/* Detaches all. An XDP or tcx program is detached by the kernel, too, should we be killed. */
void hooks_clear(struct hooks *h);

/*
 * Attaches the gate to an interface, in whose network namespace it is called; netns_id
 * (base/netns.h) is part of its name, because each namespace counts its interfaces from 1. Logs
 * which hook it took and why, or its error. An interface that is attached already has one user
 * more. sees_sent: this user has UDP ports.
 */
int hooks_attach(struct hooks *h, uint64_t netns_id, unsigned int ifindex, const char *name,
		 bool sees_sent);

/* One user less; the last one detaches the gate. Called in the interface's namespace. */
void hooks_detach(struct hooks *h, uint64_t netns_id, unsigned int ifindex);

/* The interface is gone, and what was attached to it has gone along. */
void hooks_forget(struct hooks *h, uint64_t netns_id, unsigned int ifindex);

/* "auto", "tcx", "tc" or "xdp". */
const char *hooks_name(enum hooks_kind kind);

#endif
