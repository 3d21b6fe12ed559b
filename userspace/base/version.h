/* SPDX-License-Identifier: MIT */
#ifndef DOZE_VERSION_H
#define DOZE_VERSION_H

#define DOZE_VERSION "0.1.0"

#endif
