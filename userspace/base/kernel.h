/* SPDX-License-Identifier: MIT */
/* Which kernel this is, where a feature cannot be tried. */
#ifndef DOZE_KERNEL_H
#define DOZE_KERNEL_H

#include <stdbool.h>

/* False when in doubt. */
bool kernel_is_at_least(unsigned int major, unsigned int minor);

#endif
