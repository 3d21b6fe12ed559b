// SPDX-License-Identifier: MIT
/* Takes a pod in, and lets it go again. */
#include "pod/node_pod.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend_pod.h"
#include "base/log.h"
#include "base/timer.h"
#include "base/util.h"
#include "cgroup/pod_place.h"
#include "pod/node_plan.h"
#include "pod/pod_kept.h"
#include "pod/pod_seat.h"
#include "pod/pod_size.h"

/* The pauses in which a pod that leaves is asked whether it has its full size. */
#define NODE_POD_POLL_MIN_NS (10 * NS_PER_MS)
#define NODE_POD_POLL_MAX_NS (2 * NS_PER_S)

/* The pauses in which a pod is tried again that was refused for a reason that may pass. */
#define NODE_POD_RETRY_MIN_NS (1 * NS_PER_S)
#define NODE_POD_RETRY_MAX_NS (60 * NS_PER_S)

#define NODE_POD_ERROR_MAX NODE_PLAN_ERROR_MAX

enum node_pod_state {
	NODE_POD_OUT,
	NODE_POD_SEATED,
	NODE_POD_LEAVING,
};

struct node_pod {
	const struct node_pod_shared *shared;
	enum node_pod_state state;
	char *namespace, *name, *full_name; /* "namespace/name" */
	char *fingerprint;		    /* of the pod that is seated, or was refused */
	char *told;			    /* the last event's message: it is not sent twice */
	struct pod_kept kept;
	bool is_refused;     /* when it was taken last */
	bool is_unconfirmed; /* adopted, and the API server has not told of it yet */
	struct config config;
	struct pod_seat seat;
	struct backend_pod *backend;
	struct kube_pod *next; /* LEAVING: the pod as it is by now; OUT: to be tried again */
	struct timer *timer;   /* LEAVING: looks at its size; OUT: tries again */
	uint64_t poll_ns;      /* the next pause of LEAVING */
	uint64_t retry_ns;     /* the next pause of OUT */
};

static void node_pod_take(struct node_pod *np, struct kube_pod *pod);

/* --- what it tells --- */

static void node_pod_tell(void *arg, const char *reason, const char *message)
{
	struct node_pod *np = arg;
	const struct kube_event event = {
		.namespace = np->namespace,
		.name = np->name,
		.uid = np->kept.uid,
		.is_warning = true,
		.reason = reason,
		.message = message,
	};

	if (np->told && strcmp(np->told, message) == 0)
		return;
	free(np->told);
	np->told = strdup(message);
	if (!np->is_unconfirmed) /* else it is told again when it is confirmed */
		kube_event_send(np->shared->events, &event);
}

/* Nobody may have told its name yet. */
static const char *node_pod_label(const struct node_pod *np)
{
	return np->full_name ? np->full_name : np->kept.uid;
}

static void node_pod_refuse(struct node_pod *np, const char *reason, const char *message)
{
	if (!np->told || strcmp(np->told, message) != 0)
		log_err(0, "leaving the pod '%s' alone: %s", node_pod_label(np), message);
	daemon_add_refusal(np->shared->daemon, np->kept.uid, node_pod_label(np), reason, message);
	np->is_refused = true;
	node_pod_tell(np, reason, message);
}

static void node_pod_on_woke(void *arg)
{
	struct node_pod *np = arg;

	np->shared->woke(np->shared->arg, np);
}

static void node_pod_on_restarted(void *arg)
{
	struct node_pod *np = arg;

	if (np->seat.target)
		target_restarted(np->seat.target);
}

/* --- making --- */

int node_pod_new(struct node_pod **out, const struct node_pod_shared *shared, const char *uid)
{
	static const struct pod_seat closed = POD_SEAT_CLOSED;
	_cleanup_(node_pod_free) struct node_pod *np = calloc(1, sizeof(*np));
	int r;

	if (!np)
		return log_err(-ENOMEM, "cannot take a pod in");
	np->seat = closed;
	np->shared = shared;
	r = pod_kept_init(&np->kept, shared->defaults->state_dir, uid);
	if (r < 0)
		return r;
	*out = TAKE_PTR(np);
	return 0;
}

static int node_pod_set_names(struct node_pod *np, const struct kube_pod *pod)
{
	if (np->full_name)
		return 0;
	np->namespace = strdup(pod->namespace);
	np->name = strdup(pod->name);
	if (!np->namespace || !np->name ||
	    asprintf(&np->full_name, "%s/%s", pod->namespace, pod->name) < 0)
		return -ENOMEM;
	return 0;
}

static void node_pod_free_backend(struct node_pod *np)
{
	backend_pod_free(&np->backend);
	config_free(&np->config);
}

void node_pod_free(struct node_pod **np)
{
	if (!*np)
		return;
	pod_seat_close(&(*np)->seat);
	node_pod_free_backend(*np);
	kube_pod_free(&(*np)->next);
	timer_free(&(*np)->timer);
	free((*np)->namespace);
	free((*np)->name);
	free((*np)->full_name);
	free((*np)->fingerprint);
	free((*np)->told);
	pod_kept_free(&(*np)->kept);
	free(*np);
	*np = NULL;
}

/* --- leaving --- */

/* A container that was started anew has another cgroup. */
static void node_pod_follow(const struct node_pod *np, const struct kube_pod *pod)
{
	for (size_t i = 0; i < pod->containers_len; i++) {
		const struct kube_container *c = &pod->containers[i];
		char id[POD_PLACE_ID_MAX];

		if (pod_place_id(c->container_id, id) == 0)
			backend_pod_follow(np->backend, c->name, id);
	}
}

static void node_pod_on_poll(struct node_pod *np);

static void node_pod_on_timer(void *arg)
{
	struct node_pod *np = arg;

	if (np->state == NODE_POD_LEAVING)
		node_pod_on_poll(np);
	else if (np->state == NODE_POD_OUT && np->next)
		node_pod_take(np, TAKE_PTR(np->next));
}

/* Waits for *pause_ns, and the next time for twice as long. */
static void node_pod_wait(struct node_pod *np, uint64_t *pause_ns, uint64_t max_ns)
{
	if (!np->timer)
		np->timer = timer_new(np->shared->daemon->base, node_pod_on_timer, np);
	if (np->timer)
		timer_in_ns(np->timer, *pause_ns);
	*pause_ns = min_u64(2 * *pause_ns, max_ns);
}

static void node_pod_on_poll(struct node_pod *np)
{
	struct kube_pod *next;

	if (np->next)
		node_pod_follow(np, np->next); /* its cgroup may not have been there yet */
	if (!backend_pod_is_settled(np->backend)) {
		node_pod_wait(np, &np->poll_ns, NODE_POD_POLL_MAX_NS);
		return;
	}
	node_pod_free_backend(np);
	pod_kept_drop(&np->kept);
	np->state = NODE_POD_OUT;
	if (!np->is_refused) /* else it was said that it has not */
		log_info("the pod has its full size, and is left alone", "pod=%s", np->full_name);
	next = TAKE_PTR(np->next);
	if (next)
		node_pod_take(np, next);
}

/*
 * Its backend goes on until the size is full, and then it may come in again, as next; but not as it
 * was kept: only the API server knows how it is by then.
 */
static void node_pod_leave(struct node_pod *np, struct kube_pod *next)
{
	struct backend *backend = backend_pod_as_backend(np->backend);
	bool has_target = np->seat.target;

	if (next && next->is_kept)
		kube_pod_free(&next);
	kube_pod_free(&np->next);
	np->next = next;
	if (next)
		node_pod_follow(np, next);
	if (np->state == NODE_POD_LEAVING)
		return;
	np->state = NODE_POD_LEAVING;
	pod_seat_close(&np->seat); /* the target, if there is one, asks for the full size */
	backend->done = NULL;
	if (!has_target)
		backend_resize(backend, BACKEND_FULL);
	np->poll_ns = NODE_POD_POLL_MIN_NS;
	node_pod_wait(np, &np->poll_ns, NODE_POD_POLL_MAX_NS);
}

static void node_pod_forget_next(struct node_pod *np)
{
	kube_pod_free(&np->next);
	if (np->timer)
		timer_stop(np->timer);
}

/* The kubelet resizes no pod that is going or has ended: only its cgroups are written. */
static void node_pod_let_go(struct node_pod *np)
{
	if (np->backend)
		backend_pod_let_go(np->backend);
	pod_seat_close(&np->seat);
	node_pod_forget_next(np);
	node_pod_free_backend(np);
	np->state = NODE_POD_OUT;
}

void node_pod_forget(struct node_pod *np)
{
	node_pod_let_go(np);
	pod_kept_drop(&np->kept);
	daemon_remove_refusal(np->shared->daemon, np->kept.uid);
}

/* --- coming in --- */

static int node_pod_find_size(struct node_pod *np, struct pod_size *size,
			      const struct kube_pod *pod, const struct node_plan *plan,
			      char error[NODE_POD_ERROR_MAX])
{
	const struct pod_size_settings settings = {
		.base = np->shared->daemon->base,
		.kube = np->shared->kube,
		.mounts = np->shared->mounts,
		.watchdog = np->shared->watchdog,
		.config = &np->config,
		.namespace = np->namespace,
		.name = np->name,
		.full_name = np->full_name,
		.kept = &np->kept,
		.restarted = node_pod_on_restarted,
		.problem = node_pod_tell,
		.arg = np,
	};
	int r = pod_size_find(size, &settings, pod, plan, error);

	np->backend = size->backend;
	if (r == 0 && size->is_full_unknown)
		node_pod_refuse(np, "CannotSleep", error);
	return r;
}

static int node_pod_sit(struct node_pod *np, const struct kube_pod *pod,
			const struct node_plan *plan, const struct pod_size *size,
			char error[NODE_POD_ERROR_MAX])
{
	const struct pod_seat_settings settings = {
		.daemon = np->shared->daemon,
		.wakes = np->shared->wakes,
		.backend = backend_pod_as_backend(np->backend),
		.config = &np->config,
		.mounts = np->shared->mounts,
		.full_name = np->full_name,
		.host_kind = np->shared->host_kind,
		.woke = node_pod_on_woke,
		.arg = np,
	};
	int r = pod_seat_open(&np->seat, &settings, pod, plan, size->pid, error);
	struct target *target = np->seat.target;

	if (r < 0)
		return r;
	np->state = NODE_POD_SEATED;
	if (!pod->is_kept)
		pod_kept_write(&np->kept, pod);
	daemon_remove_refusal(np->shared->daemon, np->kept.uid);
	log_info("watching", "pod=%s port=%u pid=%d asleep=%s", np->full_name,
		 np->seat.spec.config.ports[0].port, (int)size->pid,
		 size->is_asleep ? "yes" : "no");
	if (!size->is_asleep) {
		target_start(target);
		return 0;
	}
	target_resume(target);
	if (target_is_asleep(target))
		backend_pod_resume(np->backend);
	return 0;
}

/* A pod that is small, and cannot be taken in as it was left, gets its full size first. */
static bool node_pod_needs_mending(const struct node_pod *np, const struct pod_size *size,
				   const struct node_plan *plan)
{
	return size->may_be_small && (np->shared->uninstalls || plan->wish != NODE_PLAN_SEAT ||
				      !size->is_asleep || size->must_mend);
}

static bool node_pod_is_ending(const struct kube_pod *pod)
{
	return pod->is_terminating || pod->has_ended;
}

/* An error about the pod itself, as opposed to one that may be over the next time. */
static bool node_pod_is_final(int r)
{
	return r == -EINVAL || r == -ENODATA || r == -EALREADY;
}

/* Takes over pod and what plan points to; plan's own memory stays the caller's. */
static void node_pod_come_in(struct node_pod *np, struct kube_pod *pod, struct node_plan *plan)
{
	_cleanup_(kube_pod_free) struct kube_pod *owned = pod;
	char error[NODE_POD_ERROR_MAX];
	struct pod_size size;
	int r;

	np->config = plan->config;
	plan->config.env_values_len = 0; /* they are np's now */
	r = node_pod_find_size(np, &size, pod, plan, error);
	if (r == 0 && node_pod_needs_mending(np, &size, plan)) {
		node_pod_leave(np, TAKE_PTR(owned));
		return;
	}
	if (r == 0 && plan->wish == NODE_PLAN_SEAT && !np->shared->uninstalls) {
		r = node_pod_sit(np, pod, plan, &size, error);
		if (r == 0)
			return;
	}
	if (r < 0 && r != -EALREADY && !node_pod_is_ending(pod))
		node_pod_refuse(np, "CannotSleep", error);
	if (np->backend && size.may_be_small) {
		node_pod_leave(np, TAKE_PTR(owned)); /* it sleeps, and has no gate to wake it */
		return;
	}
	node_pod_free_backend(np);
	if (r == 0)
		pod_kept_drop(&np->kept); /* it is full, and has no gate */
	if (r < 0 && !node_pod_is_final(r)) {
		np->next = TAKE_PTR(owned);
		node_pod_wait(np, &np->retry_ns, NODE_POD_RETRY_MAX_NS);
	}
}

/* Its annotations are gone, or wrong, and what an earlier doze has named may still be asleep. */
static void node_pod_mend(struct node_pod *np, struct kube_pod *pod)
{
	struct node_plan plan = { .wish = NODE_PLAN_WAIT, .config = *np->shared->defaults };

	plan.config.env_values_len = 0;
	pod_size_plan_kept(&plan, pod, np->kept.quota_file);
	node_pod_come_in(np, pod, &plan);
}

static bool node_pod_is_as_it_was(const struct node_pod *np, const char *fingerprint)
{
	return np->fingerprint && fingerprint && strcmp(np->fingerprint, fingerprint) == 0;
}

/* A pod that is as it was when it was refused is tried again in pauses that go on growing. */
static void node_pod_note_fingerprint(struct node_pod *np, const struct kube_pod *pod)
{
	char *fingerprint = node_plan_fingerprint(pod);

	if (!node_pod_is_as_it_was(np, fingerprint))
		np->retry_ns = NODE_POD_RETRY_MIN_NS;
	free(np->fingerprint);
	np->fingerprint = fingerprint;
}

/* It is not ready: perhaps because it sleeps, and nobody is left who knows. */
static bool node_pod_must_be_mended(const struct node_pod *np, const struct kube_pod *pod,
				    const struct node_plan *plan, bool is_doubtful)
{
	return pod_kept_has_slept(&np->kept) ||
	       (is_doubtful && pod_size_looks_asleep(np->shared->mounts, pod, plan));
}

/* OUT: the pod is the callee's. */
static void node_pod_take(struct node_pod *np, struct kube_pod *pod)
{
	_cleanup_(freep) struct node_plan *plan = malloc(sizeof(*plan));
	bool is_doubtful = !np->fingerprint || np->is_refused;

	if (!plan) {
		kube_pod_free(&pod);
		return;
	}
	np->is_refused = false;
	node_pod_note_fingerprint(np, pod);
	node_plan_read(plan, pod, np->shared->defaults);
	if (plan->wish == NODE_PLAN_REFUSE)
		node_pod_refuse(np, "InvalidAnnotation", plan->error);
	if (plan->wish == NODE_PLAN_SEAT ||
	    (plan->wish == NODE_PLAN_WAIT && node_pod_must_be_mended(np, pod, plan, is_doubtful)))
		node_pod_come_in(np, pod, plan);
	else if (pod_kept_is_there(&np->kept))
		node_pod_mend(np, pod);
	else
		kube_pod_free(&pod);
	config_free(&plan->config);
}

static void node_pod_end(struct node_pod *np, struct kube_pod *pod)
{
	if (np->backend)
		node_pod_follow(np, pod);
	if (np->state == NODE_POD_OUT && pod_kept_has_slept(&np->kept))
		node_pod_mend(np, pod); /* what is asleep is found first */
	else
		kube_pod_free(&pod);
	node_pod_forget(np);
}

/* --- the pod as it was kept --- */

void node_pod_adopt(struct node_pod *np)
{
	struct kube_pod *pod = NULL;

	np->is_unconfirmed = true;
	if (pod_kept_read(&np->kept, &pod) == 0)
		node_pod_put(np, pod);
}

/* The first time that the API server tells of it. What was said until then had no event. */
static void node_pod_confirm(struct node_pod *np, const struct kube_pod *pod)
{
	np->is_unconfirmed = false;
	free(TAKE_PTR(np->told));
	if (np->state == NODE_POD_SEATED)
		backend_pod_confirm(np->backend, pod);
}

bool node_pod_is_unconfirmed(const struct node_pod *np)
{
	return np->is_unconfirmed;
}

void node_pod_fill(struct node_pod *np)
{
	char message[NODE_POD_ERROR_MAX];
	int r;

	if (!np->is_unconfirmed || np->state != NODE_POD_OUT || !pod_kept_has_slept(&np->kept))
		return;
	r = pod_kept_fill(&np->kept, np->shared->mounts);
	if (r == -ENOENT &&
	    !pod_place_has_pod(np->shared->mounts->controls[CGROUP_CPU].point, np->kept.uid))
		return; /* the pod is gone, and nobody had told doze */
	if (r == 0) {
		log_warn("a pod that sleeps cannot be watched before the API server tells of it: "
			 "its cgroups have their full size",
			 "pod=%s", node_pod_label(np));
		return;
	}
	snprintf(message, sizeof(message),
		 "it was asleep, and '%s' %s: if the API server does not know its full size, "
		 "delete the pod: its owner makes a new one, which has it",
		 np->kept.quota_file,
		 r == -ENOENT ? "tells of containers that have been started anew since"
			      : "cannot be used");
	node_pod_refuse(np, "CannotSleep", message);
}

void node_pod_abandon(struct node_pod *np)
{
	node_pod_fill(np);
	node_pod_let_go(np);
	if (np->is_refused) /* else the refusal is of its object, which cannot be read */
		daemon_remove_refusal(np->shared->daemon, np->kept.uid);
}

void node_pod_put(struct node_pod *np, struct kube_pod *pod)
{
	_cleanup_(freep) char *fingerprint = NULL;

	if (node_pod_set_names(np, pod) < 0) {
		kube_pod_free(&pod);
		return;
	}
	if (np->is_unconfirmed && !pod->is_kept)
		node_pod_confirm(np, pod);
	if (node_pod_is_ending(pod)) {
		node_pod_end(np, pod);
		return;
	}
	if (np->state == NODE_POD_OUT) {
		node_pod_forget_next(np);
		node_pod_take(np, pod);
		return;
	}
	fingerprint = node_plan_fingerprint(pod);
	if (np->state == NODE_POD_LEAVING || !node_pod_is_as_it_was(np, fingerprint))
		node_pod_leave(np, pod);
	else
		kube_pod_free(&pod);
}

/* --- doze ends --- */

/* It was put to sleep, and cannot be reached yet: its containers are between two starts. */
static bool node_pod_waits_to_mend(const struct node_pod *np)
{
	return np->state == NODE_POD_OUT && np->next && pod_kept_has_slept(&np->kept);
}

void node_pod_stop(struct node_pod *np, bool wakes)
{
	struct target *target = np->seat.target;

	if (!wakes || !node_pod_waits_to_mend(np))
		kube_pod_free(&np->next); /* neither taken in again, nor tried */
	if (np->state != NODE_POD_SEATED)
		return;
	if (wakes) {
		node_pod_leave(np, NULL);
		return;
	}
	if (target_is_asleep(target))
		backend_pod_leave_asleep(np->backend);
	target_abandon(target);
}

bool node_pod_is_settled(const struct node_pod *np)
{
	return np->state != NODE_POD_LEAVING && !node_pod_waits_to_mend(np);
}

void node_pod_wake(struct node_pod *np, const char *reason)
{
	if (np->state == NODE_POD_SEATED)
		target_wake(np->seat.target, reason);
}

const char *node_pod_group(const struct node_pod *np)
{
	return np->state == NODE_POD_SEATED ? np->config.group : NULL;
}

const char *node_pod_namespace(const struct node_pod *np)
{
	return np->namespace ? np->namespace : "";
}
