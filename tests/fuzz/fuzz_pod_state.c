// SPDX-License-Identifier: MIT
/* What a file of the state directory says of a pod: it may be cut, old, or somebody else's. */
/* needs: userspace/pod_cgroups.c userspace/pod_place.c userspace/cgroup_file.c */
/* needs: userspace/file.c userspace/log.c */
/* needs: userspace/kube_size.c userspace/kube_pod.c userspace/quantity.c */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kube_size.h"
#include "pod_cgroups.h"
#include "util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct cgroup_mounts mounts;
	static struct kube_sizes sizes;
	_cleanup_(pod_cgroups_free) struct pod_cgroups *cgroups = NULL;
	_cleanup_(freep) char *text = malloc(size + 1);
	_cleanup_(freep) char *again = NULL;

	if (!text || pod_cgroups_new(&cgroups, &mounts, 10) < 0)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	pod_cgroups_parse(cgroups, text);
	again = pod_cgroups_format(cgroups);
	if (again && pod_cgroups_parse(cgroups, again) < 0)
		abort(); /* what we write we can read */
	kube_size_parse(&sizes, text, "uid");
	return 0;
}
