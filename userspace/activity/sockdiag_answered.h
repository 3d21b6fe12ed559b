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

struct sockdiag_answered;

/* One for all namespaces. The caller owns *out. -errno, and says what is different without. */
int sockdiag_answered_new(struct sockdiag_answered **out);
void sockdiag_answered_free(struct sockdiag_answered **answered);

/*
 * Looks at the connections of the network namespace that it is called in; sockdiag_answered_has()
 * then goes by that. Logs its errors, -errno.
 */
int sockdiag_answered_look(struct sockdiag_answered *answered);

/*
 * Whether the last data over the connection with this socket cookie came from the application,
 * although it has received payload within the same tick. false as well when that is not certain.
 */
bool sockdiag_answered_has(const struct sockdiag_answered *answered, uint64_t cookie);

#endif
