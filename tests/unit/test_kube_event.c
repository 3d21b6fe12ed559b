// SPDX-License-Identifier: MIT
/* The body of an event. */
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/util.h"
#include "kube/kube_event.h"
#include "lib/test.h"

#define NOW 1767225600LL /* 2026-01-01T00:00:00Z */

static const struct kube_event event = {
	.namespace = "shop",
	.name = "web-1",
	.uid = "0-1-2",
	.is_warning = true,
	.reason = "InvalidAnnotation",
	.message = "doze.dev/idle-after: 'so\"on' is not a duration",
};

static cJSON *formatted(const struct kube_event *e)
{
	_cleanup_(freep) char *text = kube_event_format(e, "node1", NOW);
	cJSON *root = cJSON_Parse(text);

	assert_non_null(root);
	return root;
}

static const char *text_of(const cJSON *root, const char *object, const char *name)
{
	const cJSON *at = object ? cJSON_GetObjectItemCaseSensitive(root, object) : root;

	return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(at, name));
}

TEST(event_names_its_pod_and_says_why)
{
	cJSON *root = formatted(&event);

	assert_string_equal(text_of(root, "metadata", "generateName"), "web-1.");
	assert_string_equal(text_of(root, "metadata", "namespace"), "shop");
	assert_string_equal(text_of(root, "involvedObject", "kind"), "Pod");
	assert_string_equal(text_of(root, "involvedObject", "namespace"), "shop");
	assert_string_equal(text_of(root, "involvedObject", "name"), "web-1");
	assert_string_equal(text_of(root, "involvedObject", "uid"), "0-1-2");
	assert_string_equal(text_of(root, NULL, "type"), "Warning");
	assert_string_equal(text_of(root, NULL, "reason"), event.reason);
	assert_string_equal(text_of(root, NULL, "message"), event.message);
	assert_string_equal(text_of(root, NULL, "firstTimestamp"), "2026-01-01T00:00:00Z");
	assert_string_equal(text_of(root, "source", "component"), "doze");
	assert_string_equal(text_of(root, "source", "host"), "node1");
	cJSON_Delete(root);
}

TEST(message_is_cut_where_the_api_server_would_refuse_it)
{
	char longer[3000];
	struct kube_event e = event;
	cJSON *root;

	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	e.message = longer;
	root = formatted(&e);
	assert_int_equal(strlen(text_of(root, NULL, "message")), 1024);
	cJSON_Delete(root);
}

TEST(name_of_a_pod_may_be_as_long_as_kubernetes_allows)
{
	char name[254];
	struct kube_event e = event;
	cJSON *root;

	memset(name, 'a', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	e.name = name;
	root = formatted(&e);
	assert_string_equal(text_of(root, "involvedObject", "name"), name);
	assert_true(strlen(text_of(root, "metadata", "generateName")) <= 253);
	cJSON_Delete(root);
}
