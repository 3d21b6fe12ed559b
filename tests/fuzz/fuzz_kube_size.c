// SPDX-License-Identifier: MIT
/*
 * Fuzzes the state file, and the plans and patches of random pods. An input is flags and the asleep
 * size in a byte, then choices in the grammar below; with one flag, the state file itself.
 */
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "backend/kube_size.h"
#include "base/util.h"
#include "grammar.h"

/* A million CPUs, the most that a state file keeps. */
#define MILLICPU_MAX 1000000000

#define FUZZ_CHECK(claim)                                                                          \
	do {                                                                                       \
		if (!(claim))                                                                      \
			__builtin_trap();                                                          \
	} while (0)

static const struct grammar_rule rules[] = {
	{ 'P',
	  { "{\"kind\":\"Pod\",\"metadata\":{\"name\":\"web-0\",\"uid\":\"U\","
	    "\"annotations\":{$a}},"
	    "\"spec\":{\"initContainers\":[$l],\"containers\":[$l]},"
	    "\"status\":{\"qosClass\":\"$Q\",\"containerStatuses\":[$u]}}" } },
	{ 'Q', { "Burstable", "Guaranteed", "BestEffort" } },
	{ 'a', { "", "\"doze.dev/full\":\"{$f}\"", "\"doze.dev/full\":$v" } },
	{ 'f',
	  { "\\\"$n\\\":{\\\"request\\\":\\\"$q\\\",\\\"limit\\\":\\\"$q\\\"}",
	    "\\\"$n\\\":{\\\"limit\\\":\\\"$q\\\"},$f", "\\\"$n\\\":{},$f" } },
	{ 'l', { "$c", "$c,$l", "" } },
	{ 'c',
	  { "{\"name\":\"$n\",\"restartPolicy\":\"Always\",\"resources\":$R}",
	    "{\"name\":\"$n\",\"resizePolicy\":[{\"resourceName\":\"cpu\","
	    "\"restartPolicy\":\"RestartContainer\"}],\"resources\":$R}" } },
	{ 'n',
	  { "app", "b", "c", "doze", "\303\274",
	    "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggg" } },
	{ 'R',
	  { "{\"requests\":{\"cpu\":\"$q\"},\"limits\":{\"cpu\":\"$q\"}}",
	    "{\"limits\":{\"cpu\":\"$q\"}}", "{\"requests\":{\"cpu\":\"$q\"}}", "{}" } },
	{ 'q',
	  { "1", "10m", "250m", "1m", "0", "2", "20m", "1u", "1000000", "1000000.5", "x", "" } },
	{ 'u',
	  { "", "{\"name\":\"$n\",\"resources\":$R,"
		"\"allocatedResources\":{\"cpu\":\"$q\"}},$u" } },
	{ 'S',
	  { "{\"version\":1,\"podUID\":\"U\",\"containers\":[$s]}",
	    "{\"version\":$v,\"podUID\":$v,\"containers\":$v}", "$v" } },
	{ 's', { "$k", "$k,$s", "" } },
	{ 'k',
	  { "{\"name\":\"$n\",\"requestMillicpu\":$m,\"limitMillicpu\":$m}",
	    "{\"name\":\"$n\",\"requestMillicpu\":$m,\"limitMillicpu\":$m,"
	    "\"asleepRequestMillicpu\":$m,\"asleepLimitMillicpu\":$m}",
	    "{\"name\":$v,\"requestMillicpu\":$v,\"limitMillicpu\":$v}" } },
	{ 'm', { "250", "1000", "1", "10", "0", "-1", "-2", "1e9", "1000000001", "0.5", "$v" } },
	{ 'v', { "null", "true", "7", "-1e300", "\"x\"", "[]", "{}", "[7]", "{\"x\":{}}" } },
	{ 0 },
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A string of just its length. */
static char *fuzz_text(struct grammar *g, const char *symbol)
{
	g->len = 0;
	grammar_expand(g, symbol);
	return strdup(g->out);
}

/* What a patch must never hold: a limit of 0, which means none, or an object that is no patch. */
static void fuzz_check_list(const cJSON *list)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, list)
	{
		const cJSON *resources = cJSON_GetObjectItemCaseSensitive(item, "resources");
		const cJSON *limits = cJSON_GetObjectItemCaseSensitive(resources, "limits");
		const char *cpu = cJSON_GetStringValue(cJSON_GetObjectItem(limits, "cpu"));

		FUZZ_CHECK(cJSON_IsString(cJSON_GetObjectItemCaseSensitive(item, "name")));
		FUZZ_CHECK(cpu && strcmp(cpu, "0m") != 0 && *cpu != '-');
	}
}

static void fuzz_check_patch(const struct kube_sizes *sizes, enum kube_step step)
{
	_cleanup_(freep) char *text = kube_size_patch(sizes, step);
	cJSON *root = cJSON_Parse(text);
	const cJSON *spec = cJSON_GetObjectItemCaseSensitive(root, "spec");
	const cJSON *sidecars = cJSON_GetObjectItemCaseSensitive(spec, "initContainers");
	const cJSON *containers = cJSON_GetObjectItemCaseSensitive(spec, "containers");

	FUZZ_CHECK(root && spec);
	FUZZ_CHECK((size_t)(cJSON_GetArraySize(sidecars) + cJSON_GetArraySize(containers)) ==
		   sizes->len);
	fuzz_check_list(sidecars);
	fuzz_check_list(containers);
	cJSON_Delete(root);
}

static bool fuzz_is_keepable(const struct kube_sizes *sizes)
{
	for (size_t i = 0; i < sizes->len; i++) {
		if (sizes->sizes[i].full.limit_millicpu > MILLICPU_MAX ||
		    sizes->sizes[i].full.request_millicpu > MILLICPU_MAX)
			return false;
	}
	return true;
}

static void fuzz_check_same(const struct kube_cpu *a, const struct kube_cpu *b)
{
	FUZZ_CHECK(a->request_millicpu == b->request_millicpu);
	FUZZ_CHECK(a->limit_millicpu == b->limit_millicpu);
}

/* What is written is read again, and is the same. */
static void fuzz_check_state(const struct kube_sizes *sizes)
{
	_cleanup_(freep) char *text = kube_size_format(sizes);
	struct kube_sizes again;

	if (!fuzz_is_keepable(sizes))
		return;
	FUZZ_CHECK(kube_size_parse(&again, text, sizes->pod_uid) == 0);
	FUZZ_CHECK(again.len == sizes->len);
	for (size_t i = 0; i < again.len; i++) {
		FUZZ_CHECK(strcmp(again.sizes[i].name, sizes->sizes[i].name) == 0);
		fuzz_check_same(&again.sizes[i].full, &sizes->sizes[i].full);
		fuzz_check_same(&again.sizes[i].asleep, &sizes->sizes[i].asleep);
	}
}

static void fuzz_check_plan(const struct kube_sizes *sizes, const struct kube_pod *pod)
{
	FUZZ_CHECK(sizes->len > 0 && sizes->len <= KUBE_CONTAINERS_MAX);
	for (size_t i = 0; i < sizes->len; i++) {
		const struct kube_size *s = &sizes->sizes[i];

		FUZZ_CHECK(s->asleep.limit_millicpu >= 10 && s->full.limit_millicpu > 0);
		FUZZ_CHECK(s->full.request_millicpu >= KUBE_CPU_NONE);
	}
	for (int step = KUBE_STEP_FULL; step <= KUBE_STEP_ASLEEP; step++) {
		fuzz_check_patch(sizes, (enum kube_step)step);
		kube_size_is_asked(sizes, pod, (enum kube_step)step);
		kube_size_is_moving(sizes, pod);
		kube_size_is_granted(sizes, pod, (enum kube_step)step);
		kube_size_is_actuated(sizes, pod, (enum kube_step)step);
	}
	fuzz_check_state(sizes);
}

static int fuzz_known(struct kube_sizes *known, const char *text)
{
	int r = kube_size_parse(known, text, "U");

	FUZZ_CHECK(r == 0 || r == -EINVAL || r == -ESTALE);
	if (r == 0)
		fuzz_check_state(known);
	return r;
}

static void fuzz_plan(const struct kube_pod *pod, uint8_t flags, const struct kube_sizes *known)
{
	static const char *const names[] = { "app", "doze" };
	const struct kube_size_choice choice = {
		.names = names,
		.names_len = flags & 1 ? ARRAY_LEN(names) : 0,
		.own_name = flags & 2 ? "doze" : NULL,
		.only_known = flags & 8,
		.asleep_millicpu = 10 + 10 * (uint32_t)(flags >> 6),
	};
	char error[KUBE_SIZE_ERROR_MAX] = "";
	struct kube_sizes sizes;
	int r = kube_size_plan(&sizes, pod, &choice, known, error);

	FUZZ_CHECK(r == 0 || ((r == -EINVAL || r == -ENODATA) && *error));
	if (r == 0)
		fuzz_check_plan(&sizes, pod);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct grammar g;
	_cleanup_(kube_pod_free) struct kube_pod *pod = NULL;
	_cleanup_(freep) char *pod_text = NULL;
	_cleanup_(freep) char *state = NULL;
	struct kube_sizes known;
	bool is_known;

	if (size < 1)
		return 0;
	if (data[0] & 4) {
		state = strndup((const char *)data + 1, size - 1);
		fuzz_known(&known, state);
		return 0;
	}
	g.rules = rules;
	g.data = data + 1;
	g.end = data + size;
	state = fuzz_text(&g, "$S");
	pod_text = fuzz_text(&g, "$P");
	is_known = fuzz_known(&known, state) == 0;
	if (kube_pod_parse(&pod, pod_text, strlen(pod_text)) == 0)
		fuzz_plan(pod, data[0], is_known ? &known : NULL);
	return 0;
}
