// SPDX-License-Identifier: MIT
/* A 429 and the errors of filters are plain text; all others are a Status object. */
#include "kube/kube_answer.h"

#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "kube/kube_json.h"

static void kube_answer_copy_line(char *out, size_t room, const char *text)
{
	snprintf(out, room, "%.*s", (int)strcspn(text, "\r\n"), text);
}

void kube_answer_message(const struct kube_answer *answer, char *out, size_t room)
{
	_cleanup_(kube_json_free) cJSON *root = NULL;

	if (!answer->status) {
		kube_answer_copy_line(out, room,
				      answer->transport ? answer->transport : "no answer");
		return;
	}
	root = kube_json_parse(answer->body, answer->body_len);
	kube_answer_copy_line(out, room, kube_json_text(root, "message", answer->body));
}

void kube_answer_reason(const struct kube_answer *answer, char *out, size_t room)
{
	_cleanup_(kube_json_free) cJSON *root = kube_json_parse(answer->body, answer->body_len);
	const cJSON *causes = kube_json_get(kube_json_get(root, "details"), "causes");
	const char *own = kube_json_text(root, "reason", "");

	kube_answer_copy_line(out, room,
			      kube_json_text(cJSON_GetArrayItem(causes, 0), "reason", own));
}

bool kube_answer_is_expired(const struct kube_answer *answer)
{
	return answer->status == 410 ||
	       (answer->status == 504 && strstr(answer->body, KUBE_ANSWER_FUTURE));
}
