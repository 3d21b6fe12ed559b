/* SPDX-License-Identifier: MIT */
/* Reads the offsets that the gate needs from the running kernel's BTF (/sys/kernel/btf/vmlinux). */
#ifndef DOZE_GATE_OFFSETS_H
#define DOZE_GATE_OFFSETS_H

#include "gate.h"

/* -ENOENT: the kernel has no such member; another -errno: it has no BTF. Logs nothing. */
int gate_offsets_find(struct gate_offsets *out);

#endif
