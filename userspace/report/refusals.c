// SPDX-License-Identifier: MIT
/* An array: there are few, and a node has no more than some hundred pods. */
#include "report/refusals.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

#define REFUSALS_MIN 8

static struct status_refusal *refusals_find(const struct refusals *list, const char *uid)
{
	for (size_t i = 0; i < list->len; i++) {
		if (strcmp(list->of[i].uid, uid) == 0)
			return &list->of[i];
	}
	return NULL;
}

static struct status_refusal *refusals_add(struct refusals *list)
{
	if (list->len == list->room) {
		size_t room = max_u64(2 * list->room, REFUSALS_MIN);
		struct status_refusal *grown = realloc(list->of, room * sizeof(*grown));

		if (!grown)
			return NULL;
		list->of = grown;
		list->room = room;
	}
	return &list->of[list->len++];
}

void refusals_put(struct refusals *list, const char *uid, const char *pod, const char *reason,
		  const char *why)
{
	struct status_refusal *one = refusals_find(list, uid);

	if (!one)
		one = refusals_add(list);
	if (!one)
		return;
	snprintf(one->uid, sizeof(one->uid), "%s", uid);
	snprintf(one->pod, sizeof(one->pod), "%s", pod);
	snprintf(one->reason, sizeof(one->reason), "%s", reason);
	snprintf(one->why, sizeof(one->why), "%s", why);
}

void refusals_remove(struct refusals *list, const char *uid)
{
	struct status_refusal *one = refusals_find(list, uid);

	if (one)
		*one = list->of[--list->len];
}

void refusals_free(struct refusals *list)
{
	free(list->of);
	*list = (struct refusals){ 0 };
}
