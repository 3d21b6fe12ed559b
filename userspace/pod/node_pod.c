// SPDX-License-Identifier: MIT
/* Takes a pod in, and lets it go again. */
#include "pod/node_pod.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/backend_kube.h"
#include "backend/backend_pod.h"
#include "base/file.h"
#include "base/log.h"
#include "base/netns_addresses.h"
#include "base/timer.h"
#include "base/util.h"
#include "cgroup/pod_cgroups_text.h"
#include "cgroup/pod_place.h"
#include "pod/node_plan.h"
#include "pod/pod_target.h"
#include "target/target_seat.h"

/* How often it is looked at, whether a pod that leaves has its full size: growing. */
#define NODE_POD_POLL_MIN_NS (10 * NS_PER_MS)
#define NODE_POD_POLL_MAX_NS (2 * NS_PER_S)

/* How often a pod is tried again that was refused for a reason that may pass: growing. */
#define NODE_POD_RETRY_MIN_NS (1 * NS_PER_S)
#define NODE_POD_RETRY_MAX_NS (60 * NS_PER_S)

/* More than a pod's namespace has, whatever its CNI plugins add. */
#define NODE_POD_ADDRESSES_MAX 256

#define NODE_POD_ERROR_MAX NODE_PLAN_ERROR_MAX

enum node_pod_state {
	NODE_POD_OUT,
	NODE_POD_SEATED,
	NODE_POD_LEAVING,
};

struct node_pod {
	const struct node_pod_node *node;
	enum node_pod_state state;
	char uid[NODE_POD_UID_MAX];
	char *namespace, *name, *full_name; /* "namespace/name" */
	char *fingerprint;		    /* of what it is seated with, or was refused with */
	char *told;			    /* the last event's message: it is not sent twice */
	char *size_file, *quota_file;	    /* of the state directory */
	struct config config;
	struct pod_target target;
	struct target_seat seat;
	struct backend *backend;
	struct kube_pod *next; /* LEAVING: the pod as it is by now; OUT: to be tried again */
	struct timer *poll;    /* LEAVING: whether it has its full size; OUT: to try again */
	uint64_t poll_ns;      /* the next pause of LEAVING */
	uint64_t retry_ns;     /* the next pause of OUT */
};

static void node_pod_take(struct node_pod *r, struct kube_pod *pod);

/* --- events on the pod --- */

static void node_pod_tell(struct node_pod *r, const char *reason, const char *message)
{
	const struct kube_event event = {
		.namespace = r->namespace,
		.name = r->name,
		.uid = r->uid,
		.is_warning = true,
		.reason = reason,
		.message = message,
	};

	if (r->told && strcmp(r->told, message) == 0)
		return;
	free(r->told);
	r->told = strdup(message);
	kube_events_send(r->node->events, &event);
}

static void node_pod_refuse(struct node_pod *r, const char *reason, const char *message)
{
	bool is_new = !r->told || strcmp(r->told, message) != 0;

	if (is_new)
		log_err(0, "leaving the pod '%s' alone: %s", r->full_name, message);
	node_pod_tell(r, reason, message);
}

static void node_pod_on_problem(void *arg, const char *reason, const char *message)
{
	node_pod_tell(arg, reason, message);
}

static void node_pod_on_restarted(void *arg)
{
	struct node_pod *r = arg;

	if (r->seat.target)
		target_restarted(r->seat.target);
}

/* --- names --- */

static int node_pod_name(struct node_pod *r, const struct kube_pod *pod)
{
	if (r->name)
		return 0;
	r->namespace = strdup(pod->namespace);
	r->name = strdup(pod->name);
	if (!r->namespace || !r->name ||
	    asprintf(&r->full_name, "%s/%s", pod->namespace, pod->name) < 0)
		return -ENOMEM;
	return 0;
}

/* A uid goes into the name of a file: what is none is refused. */
static bool node_pod_is_uid(const char *uid)
{
	size_t len = strlen(uid);

	return len > 0 && len < NODE_POD_UID_MAX && strspn(uid, "0123456789abcdefABCDEF-") == len;
}

int node_pod_new(struct node_pod **out, const struct node_pod_node *node, const char *uid)
{
	static const struct target_seat closed = TARGET_SEAT_CLOSED;
	_cleanup_(node_pod_free) struct node_pod *r = calloc(1, sizeof(*r));
	const char *directory = node->defaults->state_dir;

	if (!node_pod_is_uid(uid))
		return log_err(-EINVAL, "'%s' is not the uid of a pod", uid);
	if (!r || asprintf(&r->size_file, "%s/%s.size", directory, uid) < 0 ||
	    asprintf(&r->quota_file, "%s/%s.quota", directory, uid) < 0)
		return log_err(-ENOMEM, "cannot take a pod in");
	r->node = node;
	r->seat = closed;
	snprintf(r->uid, sizeof(r->uid), "%s", uid);
	*out = TAKE_PTR(r);
	return 0;
}

/* --- out --- */

static void node_pod_free_backend(struct node_pod *r)
{
	backend_free(&r->backend);
	pod_target_free(&r->target);
	config_free(&r->config);
}

void node_pod_free(struct node_pod **r)
{
	if (!*r)
		return;
	target_seat_close(&(*r)->seat);
	node_pod_free_backend(*r);
	kube_pod_free(&(*r)->next);
	timer_free(&(*r)->poll);
	free((*r)->namespace);
	free((*r)->name);
	free((*r)->full_name);
	free((*r)->fingerprint);
	free((*r)->told);
	free((*r)->size_file);
	free((*r)->quota_file);
	free(*r);
	*r = NULL;
}

static bool node_pod_has_state(const struct node_pod *r)
{
	return access(r->quota_file, F_OK) == 0;
}

static void node_pod_drop_state(const struct node_pod *r)
{
	unlink(r->quota_file);
	unlink(r->size_file);
}

/* --- leaving --- */

static void node_pod_on_timer(void *arg);

static void node_pod_wait(struct node_pod *r, uint64_t ns)
{
	if (!r->poll)
		r->poll = timer_new(r->node->daemon->base, node_pod_on_timer, r);
	if (r->poll)
		timer_in_ns(r->poll, ns);
}

static void node_pod_poll_again(struct node_pod *r)
{
	node_pod_wait(r, r->poll_ns);
	r->poll_ns = min_u64(2 * r->poll_ns, NODE_POD_POLL_MAX_NS);
}

/* A container that was started anew has another cgroup. */
static void node_pod_follow(const struct node_pod *r, const struct kube_pod *pod)
{
	for (size_t i = 0; i < pod->containers_len; i++) {
		const struct kube_container *c = &pod->containers[i];
		char id[POD_PLACE_ID_MAX];

		if (pod_place_id(c->container_id, id) == 0)
			backend_pod_follow(r->backend, c->name, id);
	}
}

static void node_pod_on_poll(struct node_pod *r)
{
	struct kube_pod *next;

	if (r->next)
		node_pod_follow(r, r->next); /* its cgroup may not have been there yet */
	if (!backend_pod_is_settled(r->backend)) {
		node_pod_poll_again(r);
		return;
	}
	node_pod_free_backend(r);
	node_pod_drop_state(r);
	r->state = NODE_POD_OUT;
	log_info("the pod has its full size, and is left alone", "pod=%s", r->full_name);
	next = TAKE_PTR(r->next);
	if (next)
		node_pod_take(r, next);
}

static void node_pod_on_timer(void *arg)
{
	struct node_pod *r = arg;

	if (r->state == NODE_POD_LEAVING)
		node_pod_on_poll(r);
	else if (r->state == NODE_POD_OUT && r->next)
		node_pod_take(r, TAKE_PTR(r->next));
}

/* Nobody waits for a resize whose target is gone, or not there yet. */
static void node_pod_on_unwanted(void *arg, enum backend_size size, int result)
{
	(void)arg;
	(void)size;
	(void)result;
}

/* Its backend goes on until the size is full, and then it may come in again, as next. */
static void node_pod_leave(struct node_pod *r, struct kube_pod *next)
{
	kube_pod_free(&r->next);
	r->next = next;
	if (next)
		node_pod_follow(r, next);
	if (r->state == NODE_POD_LEAVING)
		return;
	r->state = NODE_POD_LEAVING;
	if (r->seat.target)
		target_stop(r->seat.target);
	else
		r->backend->ops->resize(r->backend, BACKEND_FULL);
	target_seat_close(&r->seat);
	r->backend->done = node_pod_on_unwanted; /* its target is gone */
	r->poll_ns = NODE_POD_POLL_MIN_NS;
	node_pod_poll_again(r);
}

static void node_pod_forget_next(struct node_pod *r)
{
	kube_pod_free(&r->next);
	if (r->poll)
		timer_stop(r->poll);
}

/* The kubelet resizes no pod that is going or has ended: its cgroups are written, that is all. */
static void node_pod_let_go(struct node_pod *r)
{
	if (r->backend)
		backend_pod_let_go(r->backend);
	target_seat_close(&r->seat);
	node_pod_forget_next(r);
	node_pod_free_backend(r);
	node_pod_drop_state(r);
	r->state = NODE_POD_OUT;
}

/* --- coming in --- */

struct node_pod_found {
	pid_t pid;	/* in its network namespace */
	bool is_known;	/* an earlier doze has put it to sleep, or was about to */
	bool is_asleep; /* and so it still is, and none of its containers was started anew */
	bool is_small;	/* the API server still has, or may have, the asleep size */
	bool must_mend; /* it left more asleep than is to sleep now, or less is known of it */
	char *text;	/* what that doze has kept of its cgroups; NULL: nothing */
};

/* Whether an earlier doze has put it to sleep, and what it has kept. */
static void node_pod_read_state(const struct node_pod *r, struct node_pod_found *found)
{
	int result = file_read(r->quota_file, &found->text);

	found->is_known = result != -ENOENT;
	if (result < 0 && result != -ENOENT)
		log_err(result, "cannot read the state file '%s'", r->quota_file);
}

/* Whether it has put this container to sleep; -EINVAL: it cannot be told. */
static int node_pod_was_asleep(const char *text, const struct kube_container *c)
{
	return text ? pod_cgroups_text_has(text, c->name) : -EINVAL;
}

static bool node_pod_is_planned(const struct node_plan *plan, const struct kube_container *c)
{
	for (size_t i = 0; i < plan->containers_len; i++) {
		if (plan->containers[i] == c)
			return true;
	}
	return false;
}

static int node_pod_add_cgroup(const struct node_pod *r, struct pod_cgroups *cgroups,
			       const struct kube_container *c, char error[NODE_POD_ERROR_MAX])
{
	char id[POD_PLACE_ID_MAX];
	int result = pod_place_id(c->container_id, id);

	if (result == 0)
		result = pod_cgroups_add(cgroups, c->name, id);
	if (result < 0)
		snprintf(error, NODE_POD_ERROR_MAX,
			 "container '%s': no cgroup of '%s' below '%s': %s", c->name,
			 c->container_id, r->node->defaults->cgroup_root, strerror(-result));
	return result;
}

/* What is gone is no reason to leave the others asleep. -ENOENT: all of them are gone. */
static int node_pod_add_gone(struct pod_cgroups *cgroups, const struct kube_pod *pod,
			     const bool is_gone[KUBE_CONTAINERS_MAX], bool has_any)
{
	for (size_t i = 0; i < pod->containers_len; i++) {
		int result = 0;

		if (is_gone[i])
			result = has_any ? pod_cgroups_add_gone(cgroups, pod->containers[i].name)
					 : -ENOENT;
		if (result < 0)
			return result;
	}
	return 0;
}

/* Those of the plan, and all that an earlier doze has put to sleep. */
static int node_pod_find_cgroups(struct pod_cgroups **out, const struct node_pod *r,
				 const struct kube_pod *pod, const struct node_plan *plan,
				 struct node_pod_found *found, char error[NODE_POD_ERROR_MAX])
{
	_cleanup_(pod_cgroups_free) struct pod_cgroups *cgroups = NULL;
	int result = pod_cgroups_new(&cgroups, r->node->mounts, plan->config.asleep_millicpu);
	bool is_gone[KUBE_CONTAINERS_MAX] = { false }, has_any = false;

	if (result == 0)
		pod_cgroups_watch(cgroups, r->node->watchdog);
	for (size_t i = 0; i < pod->containers_len && result == 0; i++) {
		const struct kube_container *c = &pod->containers[i];
		bool is_planned = node_pod_is_planned(plan, c);

		if (!is_planned && node_pod_was_asleep(found->text, c) <= 0)
			continue;
		result = node_pod_add_cgroup(r, cgroups, c, error);
		has_any |= result == 0;
		is_gone[i] = found->is_known && (result == -ENOENT || result == -EINVAL);
		found->must_mend |= !is_planned || is_gone[i];
		if (is_gone[i])
			result = 0;
	}
	if (result == 0)
		result = node_pod_add_gone(cgroups, pod, is_gone, has_any);
	if (result == 0)
		*out = TAKE_PTR(cgroups);
	return result;
}

/* What full was. */
static void node_pod_recall(const struct node_pod *r, struct pod_cgroups *cgroups,
			    struct node_pod_found *found)
{
	int result = found->text ? pod_cgroups_parse(cgroups, found->text) : -EINVAL;

	if (result < 0 && found->is_known)
		log_warn("what the full size of the pod's cgroups was cannot be read: its spec "
			 "tells",
			 "pod=%s file=%s errno=%d", r->full_name, r->quota_file, -result);
	found->is_asleep = result == 0 && pod_cgroups_are_asleep(cgroups);
}

/*
 * What is not known of the full size of the cgroups is what the API server will ask for. A limit
 * that is as small as asleep may be none that anybody has chosen.
 */
static void node_pod_derive_full(const struct node_pod *r, struct pod_cgroups *cgroups,
				 const struct kube_sizes *sizes, const struct kube_pod *pod)
{
	size_t at = 0;
	const char *unknown;

	pod_cgroups_derive_full(cgroups, NULL, kube_size_full_pod_limit(sizes, pod));
	for (size_t i = 0; i < pod->containers_len; i++) {
		int64_t limit = kube_size_full_limit(sizes, &pod->containers[i]);

		if (limit < 0 || limit > r->config.asleep_millicpu)
			pod_cgroups_derive_full(cgroups, pod->containers[i].name, limit);
	}
	while ((unknown = pod_cgroups_unknown(cgroups, &at)))
		log_warn("what the full size of a container's cgroup was is not known: the API "
			 "server sets it",
			 "pod=%s container=%s", r->full_name, unknown);
}

static int node_pod_adopt(struct backend **out, struct node_pod *r, const struct kube_pod *pod,
			  bool only_known, char error[NODE_POD_ERROR_MAX])
{
	struct backend_kube_settings settings = {
		.namespace = r->namespace,
		.name = r->name,
		.state_file = r->size_file,
		.is_watched = true,
		.choice = node_plan_choice(&r->config),
		.restarted = node_pod_on_restarted,
		.problem = node_pod_on_problem,
		.arg = r,
	};
	int result;

	settings.choice.only_known = only_known;
	result = backend_kube_new(out, r->node->daemon->base, r->node->kube, &settings);
	if (result < 0) {
		snprintf(error, NODE_POD_ERROR_MAX, "no memory");
		return result;
	}
	result = backend_kube_adopt(*out, pod, error);
	if (result < 0)
		backend_free(out);
	return result;
}

/* Whatever it is that is to sleep now: what was put to sleep has to be woken. */
static bool node_pod_adopt_known(struct backend **out, struct node_pod *r,
				 const struct kube_pod *pod)
{
	char error[NODE_POD_ERROR_MAX];

	if (node_pod_adopt(out, r, pod, true, error) < 0)
		return false;
	if (backend_kube_is_full(*out))
		backend_free(out);
	return *out != NULL;
}

/* NULL in *out: the API server cannot resize it, and its cgroups are all that can be changed. */
static int node_pod_make_kube(struct backend **out, struct node_pod *r, const struct kube_pod *pod,
			      const struct node_plan *plan, struct node_pod_found *found,
			      char error[NODE_POD_ERROR_MAX])
{
	bool only_known = found->is_known && plan->wish != NODE_SEAT;
	int result = node_pod_adopt(out, r, pod, only_known, error);

	if (result != -EINVAL && (result != -ENODATA || !found->is_known))
		return result;
	if (found->is_known && !only_known && node_pod_adopt_known(out, r, pod)) {
		found->must_mend = true;
	} else if (result == -ENODATA) {
		found->must_mend = true;
		node_pod_refuse(r, "CannotSleep", error);
	} else {
		log_info("the API server cannot resize the pod: it sleeps by its cgroups alone",
			 "pod=%s why=\"%s\"", r->full_name, error);
	}
	return 0;
}

static enum backend_pod_depth node_pod_depth(const struct config *config)
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

static int node_pod_make_backend(struct node_pod *r, const struct kube_pod *pod,
				 const struct node_plan *plan, struct node_pod_found *found,
				 char error[NODE_POD_ERROR_MAX])
{
	const struct backend_pod_settings settings = {
		.name = r->full_name,
		.depth = node_pod_depth(&r->config),
		.reclaim_after_ns = r->config.reclaim_after_ns,
		.state_file = r->quota_file,
		.problem = node_pod_on_problem,
		.arg = r,
	};
	struct pod_cgroups *cgroups = NULL;
	struct backend *kube = NULL;
	int result;

	node_pod_read_state(r, found);
	result = node_pod_find_cgroups(&cgroups, r, pod, plan, found, error);
	if (result < 0)
		return result;
	node_pod_recall(r, cgroups, found);
	found->pid = pod_cgroups_process(cgroups);
	result = node_pod_make_kube(&kube, r, pod, plan, found, error);
	if (result < 0) {
		pod_cgroups_free(&cgroups);
		return result;
	}
	found->is_small = kube && !backend_kube_is_full(kube);
	if (found->is_known || found->is_small)
		node_pod_derive_full(r, cgroups, kube ? backend_kube_sizes(kube) : NULL, pod);
	result = backend_pod_new(&r->backend, r->node->daemon->base, cgroups, kube, &settings,
				 found->is_known || found->is_small);
	if (result < 0)
		snprintf(error, NODE_POD_ERROR_MAX, "cannot resize it: %s", strerror(-result));
	else
		r->backend->done = node_pod_on_unwanted;
	return result;
}

static void node_pod_on_woke(void *arg)
{
	struct node_pod *r = arg;

	r->node->woke(r->node->arg, r);
}

/* Keys for its addresses, and for all else in its network namespace, such as 127.0.0.1. */
static void node_pod_add_namespace(struct node_pod *r, bool is_nodes)
{
	struct steer *steer = is_nodes ? daemon_steer(r->node->daemon) : NULL;

	if (steer)
		steer_set_node(steer, r->seat.ns.id);
	if (is_nodes)
		datapath_is_on_node(r->node->daemon->datapath);
	r->target.addresses[r->target.addresses_len++] =
		gate_addr_of_netns((uint32_t)r->seat.ns.id);
	r->target.config.settings.addresses = r->target.addresses;
	r->target.config.settings.addresses_len = r->target.addresses_len;
}

static enum gate_source node_pod_resolve(void *arg, enum gate_source kind,
					 const struct gate_flow *flow)
{
	const struct node_pod *r = arg;

	return keys_source_of(datapath_keys(r->node->daemon->datapath), kind, flow);
}

static bool node_pod_has_address(const struct node_pod *r)
{
	struct gate_addr there[NODE_POD_ADDRESSES_MAX];
	size_t len = netns_addresses_list(&r->seat.ns, there, ARRAY_LEN(there));

	for (size_t i = 0; i < r->target.addresses_len; i++) {
		for (size_t k = 0; k < len; k++) {
			if (memcmp(&r->target.addresses[i], &there[k], sizeof(there[k])) == 0)
				return true;
		}
	}
	return false;
}

/*
 * A process of a container may be elsewhere: one that has just been started and is not in its
 * namespace yet, one that has made a namespace of its own, or a virtual machine's.
 */
static int node_pod_check_namespace(const struct node_pod *r, const struct kube_pod *pod, pid_t pid,
				    char error[NODE_POD_ERROR_MAX])
{
	if (pod->has_host_network || node_pod_has_address(r))
		return 0;
	snprintf(error, NODE_POD_ERROR_MAX,
		 "the network namespace of its process '%d' does not have the pod's address '%s'",
		 (int)pid, pod->pod_ips_len ? pod->pod_ips[0] : "");
	return -EADDRNOTAVAIL;
}

static int node_pod_open_seat(struct node_pod *r, const struct kube_pod *pod, pid_t pid,
			      char error[NODE_POD_ERROR_MAX])
{
	const struct target_seat_settings settings = {
		.netns_pid = pid,
		.ports = r->target.config.ports,
		.ports_len = r->target.config.ports_len,
	};
	const struct target_seat_target what = {
		.backend = r->backend,
		.wakes = r->node->wakes,
		.settings = &r->target.config.settings,
	};
	int result = target_seat_open(&r->seat, r->node->daemon, &settings);

	if (result == 0)
		result = node_pod_check_namespace(r, pod, pid, error);
	if (result < 0)
		return result;
	pod_target_fill(&r->target, &r->seat.ns, &r->config);
	node_pod_add_namespace(r, pod->has_host_network);
	r->target.config.settings.activity.resolve = node_pod_resolve;
	r->target.config.settings.activity.arg = r;
	r->target.config.settings.name = r->full_name;
	r->target.config.settings.priority = pod->priority;
	r->target.config.settings.woke = node_pod_on_woke;
	r->target.config.settings.arg = r;
	return target_seat_open_target(&r->seat, &what);
}

static int node_pod_sit(struct node_pod *r, const struct kube_pod *pod,
			const struct node_plan *plan, const struct node_pod_found *found,
			char error[NODE_POD_ERROR_MAX])
{
	int result = pod_target_read(&r->target, pod, plan->containers, plan->containers_len,
				     &r->config, r->node->host_kind, error);

	if (result < 0)
		return result;
	if (found->pid < 0) {
		snprintf(error, NODE_POD_ERROR_MAX, "none of its containers has a process");
		return -ESRCH;
	}
	*error = '\0';
	result = node_pod_open_seat(r, pod, found->pid, error);
	if (result < 0) {
		target_seat_close(&r->seat);
		if (!*error)
			snprintf(error, NODE_POD_ERROR_MAX,
				 "cannot watch its ports: %s (the log of doze on node '%s' says "
				 "more)",
				 strerror(-result), r->node->defaults->node_name);
		return result;
	}
	r->state = NODE_POD_SEATED;
	log_info("watching", "pod=%s port=%u pid=%d asleep=%s", r->full_name,
		 r->target.config.ports[0].port, (int)found->pid, found->is_asleep ? "yes" : "no");
	return 0;
}

static void node_pod_begin(struct node_pod *r, const struct node_pod_found *found)
{
	if (!found->is_asleep) {
		target_start(r->seat.target);
		return;
	}
	target_resume(r->seat.target);
	if (target_is_asleep(r->seat.target))
		backend_pod_resume(r->backend);
}

/*
 * What was left smaller than it should be, and is not as it was left, gets its full size before
 * anything else.
 */
static bool node_pod_needs_mending(const struct node_pod *r, const struct node_pod_found *found,
				   enum node_wish wish)
{
	if (!found->is_known && !found->is_small)
		return false;
	return r->node->uninstalls || wish != NODE_SEAT || !found->is_asleep || found->must_mend;
}

/* Nothing that a pod says of itself, or that is known of it: another time it may be otherwise. */
static bool node_pod_may_pass(int result)
{
	return result < 0 && result != -EINVAL && result != -ENODATA;
}

/* As the pod is; should it change, it is taken as it is then. */
static void node_pod_retry_later(struct node_pod *r, struct kube_pod *pod)
{
	r->next = pod;
	node_pod_wait(r, r->retry_ns);
	r->retry_ns = min_u64(2 * r->retry_ns, NODE_POD_RETRY_MAX_NS);
}

static bool node_pod_is_ending(const struct kube_pod *pod)
{
	return pod->is_terminating || pod->has_ended;
}

/* The pod is the callee's. */
static void node_pod_come_in(struct node_pod *r, struct kube_pod *pod, struct node_plan *plan)
{
	_cleanup_(kube_pod_free) struct kube_pod *owned = pod;
	struct node_pod_found found = { .pid = -ESRCH };
	char error[NODE_POD_ERROR_MAX] = "";
	int result;

	r->config = plan->config;
	plan->config.env_values_len = 0; /* they are r's now */
	result = node_pod_make_backend(r, pod, plan, &found, error);
	free(found.text);
	if (result == 0 && node_pod_needs_mending(r, &found, plan->wish)) {
		node_pod_leave(r, TAKE_PTR(owned));
		return;
	}
	if (result == 0 && plan->wish == NODE_SEAT && !r->node->uninstalls) {
		result = node_pod_sit(r, pod, plan, &found, error);
		if (result == 0) {
			node_pod_begin(r, &found);
			return;
		}
	}
	if (result < 0 && !node_pod_is_ending(owned))
		node_pod_refuse(r, "CannotSleep", error);
	if (r->backend && (found.is_known || found.is_small)) {
		node_pod_leave(r, TAKE_PTR(owned)); /* it sleeps, and has no gate to wake it */
		return;
	}
	node_pod_free_backend(r);
	if (node_pod_may_pass(result))
		node_pod_retry_later(r, TAKE_PTR(owned));
}

/* Where it cannot be told, those that sleep if nobody has said which. */
static bool node_pod_is_to_mend(const char *text, const struct kube_container *c)
{
	int was_asleep = node_pod_was_asleep(text, c);

	return was_asleep < 0 ? *c->container_id && !c->is_sidecar : was_asleep;
}

/* Its annotations are gone, or wrong; and what an earlier doze has named may still be asleep. */
static void node_pod_mend(struct node_pod *r, struct kube_pod *pod)
{
	struct node_plan plan = { .wish = NODE_WAIT, .config = *r->node->defaults };
	_cleanup_(freep) char *text = NULL;

	plan.config.env_values_len = 0;
	if (file_read(r->quota_file, &text) < 0)
		text = NULL;
	for (size_t i = 0; i < pod->containers_len; i++) {
		if (node_pod_is_to_mend(text, &pod->containers[i]))
			plan.containers[plan.containers_len++] = &pod->containers[i];
	}
	node_pod_come_in(r, pod, &plan);
}

static bool node_pod_is_as_it_was(const struct node_pod *r, const char *fingerprint)
{
	return r->fingerprint && fingerprint && strcmp(r->fingerprint, fingerprint) == 0;
}

static void node_pod_take_planned(struct node_pod *r, struct kube_pod *pod, struct node_plan *plan)
{
	bool has_state = node_pod_has_state(r);

	if (plan->wish == NODE_REFUSE)
		node_pod_refuse(r, "InvalidAnnotation", plan->error);
	if (plan->wish == NODE_SEAT || (plan->wish == NODE_WAIT && has_state))
		node_pod_come_in(r, pod, plan);
	else if (has_state)
		node_pod_mend(r, pod);
	else
		kube_pod_free(&pod);
}

/* What is tried again is tried less and less, until the pod is another. */
static void node_pod_note_fingerprint(struct node_pod *r, const struct kube_pod *pod)
{
	char *fingerprint = node_plan_fingerprint(pod);

	if (!node_pod_is_as_it_was(r, fingerprint))
		r->retry_ns = NODE_POD_RETRY_MIN_NS;
	free(r->fingerprint);
	r->fingerprint = fingerprint;
}

/* OUT: the pod is the callee's. */
static void node_pod_take(struct node_pod *r, struct kube_pod *pod)
{
	_cleanup_(freep) struct node_plan *plan = malloc(sizeof(*plan));

	if (!plan) {
		kube_pod_free(&pod);
		return;
	}
	node_pod_note_fingerprint(r, pod);
	node_plan_read(plan, pod, r->node->defaults);
	node_pod_take_planned(r, pod, plan);
	config_free(&plan->config);
}

/* Whether a pod that is seated stays where it is. */
static bool node_pod_stays(const struct node_pod *r, const struct kube_pod *pod)
{
	_cleanup_(freep) char *fingerprint = node_plan_fingerprint(pod);

	return node_pod_is_as_it_was(r, fingerprint);
}

void node_pod_put(struct node_pod *r, struct kube_pod *pod)
{
	if (node_pod_name(r, pod) < 0) {
		kube_pod_free(&pod);
		return;
	}
	if (node_pod_is_ending(pod)) {
		if (r->backend)
			node_pod_follow(r, pod);
		if (r->state == NODE_POD_OUT && node_pod_has_state(r))
			node_pod_mend(r, pod); /* what is asleep is found first */
		else
			kube_pod_free(&pod);
		node_pod_let_go(r);
	} else if (r->state == NODE_POD_OUT) {
		node_pod_forget_next(r);
		node_pod_take(r, pod);
	} else if (r->state == NODE_POD_LEAVING || !node_pod_stays(r, pod)) {
		node_pod_leave(r, pod);
	} else {
		kube_pod_free(&pod);
	}
}

/* --- the end --- */

void node_pod_forget(struct node_pod *r)
{
	node_pod_let_go(r);
}

/* It was put to sleep, and cannot be reached yet: its containers are between two starts. */
static bool node_pod_waits_to_mend(const struct node_pod *r)
{
	return r->state == NODE_POD_OUT && r->next && node_pod_has_state(r);
}

void node_pod_stop(struct node_pod *r, bool wakes)
{
	bool was_asleep = r->seat.target && target_is_asleep(r->seat.target);

	if (!wakes || !node_pod_waits_to_mend(r))
		kube_pod_free(&r->next); /* neither taken in again, nor tried */
	if (r->state != NODE_POD_SEATED)
		return;
	if (wakes) {
		node_pod_leave(r, NULL);
		return;
	}
	if (was_asleep)
		backend_pod_leave_asleep(r->backend);
	target_abandon(r->seat.target);
}

bool node_pod_is_settled(const struct node_pod *r)
{
	return r->state != NODE_POD_LEAVING && !node_pod_waits_to_mend(r);
}

void node_pod_wake(struct node_pod *r, const char *reason)
{
	if (r->state == NODE_POD_SEATED)
		target_wake(r->seat.target, reason);
}

const char *node_pod_group(const struct node_pod *r)
{
	return r->state == NODE_POD_SEATED ? r->config.group : NULL;
}

const char *node_pod_namespace(const struct node_pod *r)
{
	return r->namespace ? r->namespace : "";
}
