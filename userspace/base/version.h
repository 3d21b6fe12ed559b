/* SPDX-License-Identifier: MIT */
/* What doze version prints. */
#ifndef DOZE_VERSION_H
#define DOZE_VERSION_H

#define DOZE_VERSION "0.1.0"

#endif
