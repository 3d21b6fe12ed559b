/* SPDX-License-Identifier: MIT */
/*
 * The status as Prometheus reads it: text format 0.0.4
 * (https://prometheus.io/docs/instrumenting/exposition_formats/). Pure.
 */
#ifndef DOZE_METRICS_H
#define DOZE_METRICS_H

#include <stdio.h>

#include "report/status.h"

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

void metrics_print(FILE *out, const struct status *s);

#endif
