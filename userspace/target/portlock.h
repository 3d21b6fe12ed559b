/* SPDX-License-Identifier: MIT */
/*
 * At most one doze for a port of a network namespace: two gates would hold each other's replays.
 * The lock is an abstract unix socket (unix(7)), which belongs to the namespace it was made in
 * and ends with its process. Only one of root or of our own user counts: anybody may make such a
 * socket, and must not keep doze from its port. A kernel without CONFIG_UNIX_DIAG cannot tell whose
 * one is.
 */
#ifndef DOZE_PORTLOCK_H
#define DOZE_PORTLOCK_H

#include <stdint.h>

/*
 * In the current network namespace. The lock as a file descriptor, which the caller closes;
 * -EADDRINUSE when another doze has it. Logs its errors.
 */
int portlock_take(uint16_t port, uint8_t protocol);

#endif
