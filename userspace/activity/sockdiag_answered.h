/* SPDX-License-Identifier: MIT */
/*
 * Which requests have been answered, where the times that the kernel tells are too coarse: a BPF
 * program looks into its TCP sockets (iter/tcp: kernel 5.9 with BTF, CAP_BPF and CAP_PERFMON).
 */
#ifndef DOZE_SOCKDIAG_ANSWERED_H
#define DOZE_SOCKDIAG_ANSWERED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct answered;

/* One for all namespaces. The caller owns *out. -errno, and says what is different without. */
int answered_new(struct answered **out);
void answered_free(struct answered **a);

/*
 * Looks at the connections of the network namespace that it is called in; answered_has() then
 * goes by that. Logs its errors, -errno.
 */
int answered_look(struct answered *a);

/*
 * Whether the last data over the connection with this socket cookie came from the application,
 * although it has received payload within the same tick. false as well when that is not certain.
 */
bool answered_has(const struct answered *a, uint64_t cookie);

#endif
