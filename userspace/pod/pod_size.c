// SPDX-License-Identifier: MIT
/* First the cgroups, then the spec, then the backend of both. */
#include "pod/pod_size.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "backend/backend_kube.h"
#include "backend/backend_pod.h"
#include "base/file.h"
#include "base/log.h"
#include "base/util.h"
#include "cgroup/pod_cgroups.h"
#include "cgroup/pod_cgroups_text.h"
#include "cgroup/pod_place.h"

struct pod_size_search {
	const struct pod_size_settings *settings;
	const struct kube_pod *pod;
	const struct node_plan *plan;
	struct pod_size *out;
	char *error;   /* POD_SIZE_ERROR_MAX */
	bool was_kept; /* an earlier doze has frozen it, or kept that it slept or was about to */
	char *kept;    /* what it kept of the cgroups; NULL: nothing, or it cannot be read */
	struct kube_pod *kept_pod; /* the pod as it kept it; NULL likewise */
	struct pod_cgroups *cgroups;
	struct backend_kube *kube; /* NULL: the API server cannot resize the pod */
};

static void pod_size_end_search(struct pod_size_search *s)
{
	free(s->kept);
	kube_pod_free(&s->kept_pod);
	pod_cgroups_free(&s->cgroups);
	backend_kube_free(&s->kube);
}

/* Whether an earlier doze has put this container to sleep; -EINVAL: that cannot be told. */
static int pod_size_was_asleep(const char *kept, const struct kube_container *c)
{
	return kept ? pod_cgroups_text_has(kept, c->name) : -EINVAL;
}

void pod_size_plan_kept(struct node_plan *plan, const struct kube_pod *pod, const char *quota_file)
{
	_cleanup_(freep) char *kept = NULL;

	if (file_read(quota_file, &kept) < 0)
		kept = NULL;
	for (size_t i = 0; i < pod->containers_len; i++) {
		const struct kube_container *c = &pod->containers[i];
		int r = pod_size_was_asleep(kept, c);

		if (r < 0 ? *c->container_id && !c->is_sidecar : r)
			plan->containers[plan->containers_len++] = c;
	}
}

/* --- the cgroups --- */

static int pod_size_add_cgroup(struct pod_size_search *s, const struct kube_container *c)
{
	char id[POD_PLACE_ID_MAX];
	int r = pod_place_id(c->container_id, id);

	if (r == 0)
		r = pod_cgroups_add(s->cgroups, c->name, id);
	if (r < 0)
		snprintf(s->error, POD_SIZE_ERROR_MAX,
			 "container '%s': no cgroup of '%s' below '%s': %s", c->name,
			 c->container_id, s->settings->config->cgroup_root, strerror(-r));
	return r;
}

/*
 * Those of the plan, and all that an earlier doze has put to sleep. A container of its that is gone
 * is no reason to leave the others asleep.
 */
static int pod_size_find_cgroups(struct pod_size_search *s)
{
	const char *gone[KUBE_CONTAINERS_MAX];
	size_t gone_len = 0, added = 0;
	int r = pod_cgroups_new(&s->cgroups, s->settings->mounts, s->plan->config.asleep_millicpu);

	if (r < 0)
		return r;
	pod_cgroups_watch(s->cgroups, s->settings->watchdog);
	for (size_t i = 0; i < s->pod->containers_len; i++) {
		const struct kube_container *c = &s->pod->containers[i];
		bool is_planned = node_plan_has(s->plan, c);

		if (!is_planned && kube_size_is_proxy(c->name))
			log_info("a proxy stays awake, as long as it is not named in "
				 "doze.dev/containers",
				 "pod=%s container=%s", s->settings->full_name, c->name);
		if (!is_planned && pod_size_was_asleep(s->kept, c) <= 0)
			continue;
		s->out->must_mend |= !is_planned;
		r = pod_size_add_cgroup(s, c);
		if (r == 0)
			added++;
		else if (s->was_kept && (r == -ENOENT || r == -EINVAL))
			gone[gone_len++] = c->name;
		else
			return r;
	}
	if (gone_len && !added)
		return -ENOENT;
	*s->error = '\0';
	s->out->must_mend |= gone_len > 0;
	r = 0;
	for (size_t i = 0; i < gone_len && r == 0; i++)
		r = pod_cgroups_add_gone(s->cgroups, gone[i]);
	return r;
}

static void pod_size_recall(struct pod_size_search *s)
{
	int r = s->kept ? pod_cgroups_parse(s->cgroups, s->kept) : -EINVAL;

	if (r < 0 && s->was_kept)
		log_warn("what the full size of the pod's cgroups was cannot be read: its spec "
			 "tells",
			 "pod=%s file=%s errno=%d", s->settings->full_name,
			 s->settings->kept->quota_file, -r);
	s->out->is_asleep = r == 0 && pod_cgroups_are_asleep(s->cgroups);
	s->out->pid = pod_cgroups_process(s->cgroups);
}

static bool pod_size_is_more(int64_t limit_millicpu, int64_t than_millicpu)
{
	return limit_millicpu == KUBE_CPU_NONE || limit_millicpu > than_millicpu;
}

/*
 * Whether the kubelet has given a container more than its cgroup has: doze has made it smaller. A
 * limit that is no more than the asleep size tells nothing.
 */
static bool pod_size_is_throttled(const struct pod_cgroups *cgroups, const struct kube_pod *pod,
				  int64_t asleep_millicpu)
{
	for (size_t i = 0; i < pod->containers_len; i++) {
		const struct kube_container *c = &pod->containers[i];

		if (pod_size_is_more(c->spec.limit_millicpu, asleep_millicpu) &&
		    pod_size_is_more(c->actual.limit_millicpu, asleep_millicpu) &&
		    pod_cgroups_is_asleep(cgroups, c->name))
			return true;
	}
	return false;
}

bool pod_size_looks_asleep(const struct cgroup_mounts *mounts, const struct kube_pod *pod,
			   const struct node_plan *plan)
{
	_cleanup_(pod_cgroups_free) struct pod_cgroups *cgroups = NULL;
	char id[POD_PLACE_ID_MAX];

	if (pod_cgroups_new(&cgroups, mounts, plan->config.asleep_millicpu) < 0)
		return false;
	for (size_t i = 0; i < plan->containers_len; i++) {
		const struct kube_container *c = plan->containers[i];

		if (pod_place_id(c->container_id, id) < 0 ||
		    pod_cgroups_add(cgroups, c->name, id) < 0)
			continue;
		if (c->spec.limit_millicpu == plan->config.asleep_millicpu)
			return true;
	}
	return pod_cgroups_is_any_freezing(cgroups) ||
	       pod_size_is_throttled(cgroups, pod, plan->config.asleep_millicpu);
}

static bool pod_size_is_pod_known(const struct pod_size_search *s, const struct kube_sizes *sizes)
{
	for (size_t i = 0; i < s->pod->containers_len; i++) {
		if (!kube_size_is_full_known(sizes, s->pod->containers[i].name))
			return false;
	}
	return true;
}

/*
 * What is not known of the full size of the cgroups is what the API server will ask for. A limit
 * that is as small as asleep may be none that anybody has chosen; and what an annotation says may
 * be more than the API server grants.
 */
static void pod_size_derive_full(struct pod_size_search *s)
{
	const struct kube_sizes *sizes = s->kube ? backend_kube_sizes(s->kube) : NULL;
	const char *unknown;
	size_t at = 0;

	if (pod_size_is_pod_known(s, sizes))
		pod_cgroups_derive_full(s->cgroups, NULL, kube_size_full_pod_limit(sizes, s->pod));
	for (size_t i = 0; i < s->pod->containers_len; i++) {
		const struct kube_container *c = &s->pod->containers[i];
		int64_t limit = kube_size_full_limit(sizes, c);

		if (kube_size_is_full_known(sizes, c->name) &&
		    (limit < 0 || limit > s->settings->config->asleep_millicpu))
			pod_cgroups_derive_full(s->cgroups, c->name, limit);
	}
	while ((unknown = pod_cgroups_unknown(s->cgroups, &at)))
		log_warn("what the full size of a container's cgroup was is not known: the API "
			 "server sets it",
			 "pod=%s container=%s", s->settings->full_name, unknown);
}

/* --- the spec --- */

/* only_known: of the containers that an earlier doze has put to sleep. */
static int pod_size_adopt(struct pod_size_search *s, bool only_known,
			  char error[POD_SIZE_ERROR_MAX])
{
	struct backend_kube_settings settings = {
		.namespace = s->settings->namespace,
		.name = s->settings->name,
		.state_file = s->settings->kept->spec_file,
		.is_watched = true,
		.choice = node_plan_choice(s->settings->config),
		.restarted = s->settings->restarted,
		.problem = s->settings->problem,
		.arg = s->settings->arg,
	};
	int r;

	settings.choice.only_known = only_known;
	r = backend_kube_new(&s->kube, s->settings->base, s->settings->kube, &settings);
	if (r < 0) {
		snprintf(error, POD_SIZE_ERROR_MAX, "no memory");
		return r;
	}
	r = backend_kube_adopt(s->kube, s->pod, s->kept_pod, error);
	if (r < 0)
		backend_kube_free(&s->kube);
	return r;
}

/* Whatever is to sleep now: what was put to sleep has to be woken. */
static bool pod_size_adopt_kept(struct pod_size_search *s)
{
	char error[POD_SIZE_ERROR_MAX];

	if (pod_size_adopt(s, true, error) < 0)
		return false;
	if (backend_kube_is_full(s->kube))
		backend_kube_free(&s->kube);
	return s->kube != NULL;
}

static int pod_size_find_spec(struct pod_size_search *s)
{
	bool only_known = s->was_kept && s->plan->wish != NODE_PLAN_SEAT;
	int r = pod_size_adopt(s, only_known, s->error);

	if (r != -EINVAL && (r != -ENODATA || !s->was_kept))
		return r;
	if (s->was_kept && !only_known && pod_size_adopt_kept(s)) {
		s->out->must_mend = true;
	} else if (r == -ENODATA) {
		s->out->must_mend = true;
		s->out->is_full_unknown = true;
	} else {
		log_info("the API server cannot resize the pod: it sleeps by its cgroups alone",
			 "pod=%s why=\"%s\"", s->settings->full_name, s->error);
	}
	return 0;
}

/* --- the backend --- */

static enum backend_pod_depth pod_size_depth(const struct config *config)
{
	switch (config->asleep) {
	case CONFIG_ASLEEP_FREEZE:
		return BACKEND_POD_FREEZE;
	case CONFIG_ASLEEP_RECLAIM:
		return BACKEND_POD_RECLAIM;
	case CONFIG_ASLEEP_DEFAULT:
	case CONFIG_ASLEEP_THROTTLE:
		break;
	}
	return BACKEND_POD_THROTTLE;
}

static int pod_size_make_backend(struct pod_size_search *s)
{
	const struct backend_pod_settings settings = {
		.name = s->settings->full_name,
		.depth = pod_size_depth(s->settings->config),
		.reclaim_after_ns = s->settings->config->reclaim_after_ns,
		.state_file = s->settings->kept->quota_file,
	};
	int r;

	s->out->may_be_small = s->was_kept || (s->kube && !backend_kube_is_full(s->kube)) ||
			       pod_size_is_throttled(s->cgroups, s->pod,
						     s->settings->config->asleep_millicpu);
	if (s->out->may_be_small)
		pod_size_derive_full(s);
	r = backend_pod_new(&s->out->backend, s->settings->base, TAKE_PTR(s->cgroups),
			    TAKE_PTR(s->kube), &settings, s->out->may_be_small);
	if (r < 0)
		snprintf(s->error, POD_SIZE_ERROR_MAX, "cannot resize it: %s", strerror(-r));
	return r;
}

/* Nothing of it sleeps: what full is by now, the API server alone knows. */
static bool pod_size_is_awake(const struct pod_size_search *s)
{
	return !s->out->is_asleep && !pod_cgroups_is_any_freezing(s->cgroups) &&
	       !pod_size_is_throttled(s->cgroups, s->pod, s->settings->config->asleep_millicpu);
}

int pod_size_find(struct pod_size *out, const struct pod_size_settings *settings,
		  const struct kube_pod *pod, const struct node_plan *plan,
		  char error[POD_SIZE_ERROR_MAX])
{
	_cleanup_(pod_size_end_search) struct pod_size_search s = {
		.settings = settings,
		.pod = pod,
		.plan = plan,
		.out = out,
		.error = error,
	};
	int r = file_read(settings->kept->quota_file, &s.kept);

	*out = (struct pod_size){ .pid = -ESRCH };
	*error = '\0';
	s.was_kept = r != -ENOENT;
	if (r < 0 && r != -ENOENT)
		log_err(r, "cannot read the state file '%s'", settings->kept->quota_file);
	if (!pod->is_kept)
		pod_kept_read(settings->kept, &s.kept_pod);
	r = pod_size_find_cgroups(&s);
	s.was_kept |= r == 0 && pod_cgroups_is_any_freezing(s.cgroups);
	if (r == 0)
		pod_size_recall(&s);
	if (r == 0 && pod->is_kept && pod_size_is_awake(&s))
		return -EALREADY;
	if (r == 0)
		r = pod_size_find_spec(&s);
	if (r == 0)
		r = pod_size_make_backend(&s);
	if (r < 0 && !*error)
		snprintf(error, POD_SIZE_ERROR_MAX, "cannot take it in: %s", strerror(-r));
	return r;
}
