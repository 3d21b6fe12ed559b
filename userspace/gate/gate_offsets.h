/* SPDX-License-Identifier: MIT */
/* Where the running kernel's structs have their members, by its BTF (/sys/kernel/btf/vmlinux). */
#ifndef DOZE_GATE_OFFSETS_H
#define DOZE_GATE_OFFSETS_H

#include "gate.h"

/* -errno: this kernel has no BTF; -ENOENT: it has no such member. Logs nothing. */
int gate_offsets_find(struct gate_offsets *out);

#endif
