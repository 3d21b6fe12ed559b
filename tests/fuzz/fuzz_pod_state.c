// SPDX-License-Identifier: MIT
/*
 * What a file of the state directory says of a pod: it may be cut, old, or somebody else's. An
 * input is choices in the grammar below.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/kube_size.h"
#include "base/util.h"
#include "cgroup/pod_cgroups.h"
#include "cgroup/pod_cgroups_text.h"
#include "grammar.h"
#include "kube/kept_pod.h"

#define ID "0123456789abcdef"

static const struct grammar_rule rules[] = {
	{ 'S',
	  { "{\"version\":1,\"pod\":$c,\"containers\":{$l}}",
	    "{\"version\":$v,\"pod\":$v,\"containers\":$v}", "$v", "{\"version\":1",
	    "{\"version\":1,\"pod\":{\"metadata\":$m,\"spec\":{\"containers\":[$v]}}}" } },
	{ 'm', { "{\"name\":\"web\",\"uid\":\"uid\"}", "{\"name\":$v,\"uid\":$v}", "$v" } },
	{ 'l', { "\"app\":$c", "\"b\":$c,\"app\":$c", "", "\"app\":$v" } },
	{ 'c',
	  { "{\"id\":\"" ID "\",\"quota\":$q,\"weight\":$w}", "{\"quota\":$q}",
	    "{\"id\":\"" ID "\",\"quota\":$q,\"burst\":$w}", "{\"id\":$v,\"quota\":$q}", "{}" } },
	{ 'q',
	  { "\"max 100000\"", "\"1000 100000\"", "\"-1\"", "\"\"", "\"rm\"", "$v",
	    "\"0000000000000000000000000000000000000000000000000000000000000000\"" } },
	{ 'w', { "\"39\"", "\"\"", "\"-1\"", "$v", "\"999999999999999999999999999999\"" } },
	{ 'v', { "null", "true", "1", "-1e300", "\"x\"", "[]", "{}", "[7]", "{\"app\":{}}" } },
	{ 0 },
};

static char root[] = "/tmp/doze-fuzz-pod-XXXXXX";
static struct cgroup_mounts mounts;
static const char *const names[] = { "", "/pod", ("/pod/" ID) };

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_remove(void)
{
	char path[256];

	for (size_t i = ARRAY_LEN(names); i-- > 0;) {
		snprintf(path, sizeof(path), "%s%s/cpu.max", root, names[i]);
		unlink(path);
		snprintf(path, sizeof(path), "%s%s", root, names[i]);
		rmdir(path);
	}
}

/* A pod of one container, with a quota of its own. */
static void fuzz_make(const char *name)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s%s", root, name);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s%s/cpu.max", root, name);
	file = fopen(path, "w");
	if (!file)
		abort();
	fputs("max 100000\n", file);
	fclose(file);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	if (!mkdtemp(root))
		abort();
	atexit(fuzz_remove);
	for (size_t i = 1; i < ARRAY_LEN(names); i++)
		fuzz_make(names[i]);
	mounts.controls[CGROUP_CPU].version = 2;
	snprintf(mounts.controls[CGROUP_CPU].point, PATH_MAX, "%s", root);
	return 0;
}

static struct pod_cgroups *fuzz_find(void)
{
	struct pod_cgroups *p = NULL;

	if (pod_cgroups_new(&p, &mounts, 10) < 0 || pod_cgroups_add(p, "app", ID "0000") != -ENOENT)
		abort();
	if (pod_cgroups_add(p, "app", ID) < 0)
		abort();
	return p;
}

/* Nothing but the text tells which containers there are. */
static void fuzz_fill(const char *text)
{
	_cleanup_(pod_cgroups_free) struct pod_cgroups *p = NULL;
	int r = pod_cgroups_new(&p, &mounts, 10);

	if (r == 0)
		r = pod_cgroups_add_kept(p, text);
	if (r != 0 && r != -EINVAL && r != -ENOENT)
		abort();
	if (r == 0 && pod_cgroups_process(p) != -ESRCH)
		abort(); /* it has found cgroups of somebody else */
}

static void fuzz_take_pod(const char *text)
{
	_cleanup_(kube_pod_free) struct kube_pod *pod = NULL;
	int r = kept_pod_parse(&pod, text, "uid");

	if (r == 0 ? strcmp(pod->uid, "uid") != 0 || !pod->is_kept : r != -EINVAL)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct kube_sizes sizes;
	static struct grammar g;
	_cleanup_(pod_cgroups_free) struct pod_cgroups *cgroups = fuzz_find();
	_cleanup_(freep) char *again = NULL;
	size_t at = 0;

	g = (struct grammar){ .rules = rules, .data = data, .end = data + size };
	grammar_expand(&g, "$S");
	if (pod_cgroups_parse(cgroups, g.out) == 0) {
		if (pod_cgroups_unknown(cgroups, &at))
			abort(); /* all is known, it says */
		if (pod_cgroups_text_has(g.out, "app") != 1)
			abort();
	}
	fuzz_fill(g.out);
	fuzz_take_pod(g.out);
	again = pod_cgroups_format(cgroups);
	if (again && pod_cgroups_parse(cgroups, again) == -EINVAL)
		abort(); /* what we write we can read */
	kube_size_parse(&sizes, g.out, "uid");
	return 0;
}
