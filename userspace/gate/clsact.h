/* SPDX-License-Identifier: MIT */
/* The qdisc that tc filters are on, which we may share with other programs and other dozes. */
#ifndef DOZE_CLSACT_H
#define DOZE_CLSACT_H

#include <stdbool.h>

/* Whether it has a filter, anybody's, in either direction. True when in doubt. */
bool clsact_has_filters(unsigned int ifindex);

#endif
