/* SPDX-License-Identifier: MIT */
/* Durations, CPU sizes and ports as people write them. Pure. */
#ifndef DOZE_QUANTITY_H
#define DOZE_QUANTITY_H

#include <stdint.h>

/*
 * A duration as Go and Kubernetes write it: numbers with a unit each, such as 300ms, 1.5s, 5m,
 * 1h30m. Units: us, ms, s, m, h. A number without a unit is refused, except 0: it could mean
 * seconds or milliseconds. -EINVAL if it is no duration, -ERANGE above 1000 days.
 */
int quantity_parse_duration(const char *text, uint64_t *ns_out);

/*
 * CPU in Kubernetes' notation: 500m, 2, 0.25; in thousandths of a CPU.
 * -EINVAL if it is no CPU size, or finer than 1m; -ERANGE for 0 and above 1024 CPUs.
 * https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/#meaning-of-cpu
 */
int quantity_parse_cpu(const char *text, uint32_t *millicpu_out);

/*
 * CPU in any form that an API server sends: also 0, 1k, and finer than 1m, which rounds up as
 * Kubernetes does. -EINVAL if it is no CPU size, -ERANGE above a million CPUs.
 */
int quantity_parse_kube_cpu(const char *text, int64_t *millicpu_out);

/* A port from 1 to 65535, alone or with /tcp or /udp. -EINVAL: no port; -ERANGE: another number. */
int quantity_parse_port(const char *text, uint16_t *port_out, uint8_t *protocol_out);

#endif
