/* SPDX-License-Identifier: MIT */
/*
 * A Pod object as text that outlives doze: what doze reads of it, and nothing else. The next doze
 * takes it in before the API server has told of the pod, or when it does not answer. Pure.
 *
 *   {"version":1,"pod":{"kind":"Pod","metadata":{...},"spec":{...},"status":{...}}}
 */
#ifndef DOZE_KEPT_POD_H
#define DOZE_KEPT_POD_H

#include "kube/kube_pod.h"

/*
 * Of the annotations those whose names begin with prefix. Neither commands nor environment are
 * kept, which may hold secrets; the headers of an HTTP probe are, because doze sends them. The
 * caller free()s the text. NULL: no memory.
 */
char *kept_pod_format(const struct kube_pod *pod, const char *prefix);

/*
 * The caller frees *out, whose is_kept is set. -EINVAL: it is cut, not ours, of another version, or
 * of a pod with another uid.
 */
int kept_pod_parse(struct kube_pod **out, const char *text, const char *uid);

#endif
