// SPDX-License-Identifier: MIT
/*
 * Fuzzes the state file, and the plans and patches of random pods. An input is the asleep size and
 * flags in a byte, then the pod, then behind a byte 255 the state file; in both, each byte from 128
 * on stands for one of the words below.
 */
/* needs: userspace/kube_size.c userspace/kube_pod.c userspace/quantity.c */
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kube_size.h"
#include "util.h"

#define WORD_MAX 160

#define END 255

/* A million CPUs, the most that a state file keeps. */
#define MILLICPU_MAX 1000000000

#define FUZZ_CHECK(claim)                                                                          \
	do {                                                                                       \
		if (!(claim))                                                                      \
			__builtin_trap();                                                          \
	} while (0)

static const char *const words[] = {
	"{\"kind\":\"Pod\",\"metadata\":{\"name\":\"web-0\",\"uid\":\"U\"},\"status\":{\"qosClass\":"
	"\"Burstable\"},\"spec\":{",
	"{\"kind\":\"Pod\",\"metadata\":{\"name\":\"web-0\",\"uid\":\"U\"},\"status\":{\"qosClass\":"
	"\"Guaranteed\"},\"spec\":{",
	"{\"kind\":\"Pod\",\"metadata\":{\"name\":\"web-0\",\"uid\":\"U\",\"annotations\":{"
	"\"doze.dev/full\":\"",
	"\"}},\"status\":{\"qosClass\":\"Burstable\"},\"spec\":{",
	"{\\\"app\\\":{\\\"request\\\":\\\"",
	"\\\",\\\"limit\\\":\\\"",
	"\\\"}}",
	"\"initContainers\":[",
	"\"containers\":[",
	"{\"name\":\"app\",\"resources\":{\"requests\":{\"cpu\":\"",
	"{\"name\":\"b\",\"resources\":{\"requests\":{\"cpu\":\"",
	"{\"name\":\"doze\",\"restartPolicy\":\"Always\",\"resources\":{\"requests\":{\"cpu\":\"",
	"\"},\"limits\":{\"cpu\":\"",
	"\"}}}",
	"\"resizePolicy\":[{\"resourceName\":\"cpu\",\"restartPolicy\":\"RestartContainer\"}],",
	"1m",
	"10m",
	"250m",
	"{\"version\":1,\"podUID\":\"U\",\"containers\":[",
	"{\"name\":\"app\",\"requestMillicpu\":",
	"{\"name\":\"b\",\"requestMillicpu\":",
	",\"limitMillicpu\":",
	"1000",
	"},{",
	"]}}",
	"]}",
};

struct fuzz_input {
	struct kube_size_choice choice;
	char *pod, *state;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_input_free(struct fuzz_input *in)
{
	free(in->pod);
	free(in->state);
}

/* Up to END; a string of just its length. */
static char *fuzz_expand(const uint8_t *data, size_t size)
{
	_cleanup_(freep) char *wide = malloc(size * WORD_MAX + 1);
	size_t len = 0;

	for (size_t i = 0; i < size && data[i] != END; i++) {
		const char *word = words[data[i] % ARRAY_LEN(words)];

		if (data[i] < 128) {
			wide[len++] = (char)data[i];
			continue;
		}
		memcpy(wide + len, word, strlen(word));
		len += strlen(word);
	}
	wide[len] = '\0';
	return strdup(wide);
}

static void fuzz_take(struct fuzz_input *in, const uint8_t *data, size_t size)
{
	static const char *const names[] = { "app", "doze" };
	const uint8_t *end = memchr(data, END, size);

	in->choice = (struct kube_size_choice){
		.names = names,
		.names_len = data[0] & 1 ? ARRAY_LEN(names) : 0,
		.own_name = data[0] & 2 ? "doze" : NULL,
		.asleep_millicpu = 10 + 10 * (data[0] >> 6),
	};
	in->pod = fuzz_expand(data + 1, size - 1);
	in->state = end ? fuzz_expand(end + 1, (size_t)(data + size - end - 1)) : strdup("");
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
		const struct kube_cpu *a = &again.sizes[i].full, *b = &sizes->sizes[i].full;

		FUZZ_CHECK(strcmp(again.sizes[i].name, sizes->sizes[i].name) == 0);
		FUZZ_CHECK(a->request_millicpu == b->request_millicpu);
		FUZZ_CHECK(a->limit_millicpu == b->limit_millicpu);
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
		kube_size_is_granted(sizes, pod, (enum kube_step)step);
		kube_size_is_actuated(sizes, pod, (enum kube_step)step);
	}
	fuzz_check_state(sizes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(fuzz_input_free) struct fuzz_input in = { 0 };
	_cleanup_(kube_pod_free) struct kube_pod *pod = NULL;
	char error[KUBE_SIZE_ERROR_MAX] = "";
	struct kube_sizes known, sizes;
	int r, known_r;

	if (size < 1)
		return 0;
	fuzz_take(&in, data, size);
	known_r = kube_size_parse(&known, in.state, "U");
	FUZZ_CHECK(known_r == 0 || known_r == -EINVAL || known_r == -ESTALE);
	if (known_r == 0)
		fuzz_check_state(&known);
	if (kube_pod_parse(&pod, in.pod, strlen(in.pod)) < 0)
		return 0;
	r = kube_size_plan(&sizes, pod, &in.choice, known_r == 0 ? &known : NULL, error);
	FUZZ_CHECK(r == 0 || (r == -EINVAL && *error));
	if (r == 0)
		fuzz_check_plan(&sizes, pod);
	return 0;
}
