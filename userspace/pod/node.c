// SPDX-License-Identifier: MIT
/* A table of pods, and what the watch tells of them. */
#include "pod/node.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <uthash.h>

#include "base/file.h"
#include "base/log.h"
#include "base/timer.h"
#include "base/util.h"
#include "cgroup/cgroup_mounts.h"
#include "cgroup/pod_place.h"
#include "kube/kube_event.h"
#include "kube/pod_watch.h"
#include "pod/kubelet.h"
#include "pod/node_plan.h"
#include "pod/node_pod.h"
#include "pod/pod_kept.h"

#define NODE_PROBLEM_MAX 512

/* So long doze waits for another one to end. */
#define NODE_LOCK_NS (10 * NS_PER_S)

/* An API server without an answer for so long is away. */
#define NODE_AWAY_NS (1 * NS_PER_S)

struct node_entry {
	char uid[POD_KEPT_UID_MAX];
	struct node_pod *pod;
	UT_hash_handle hh;
};

struct node {
	struct node_settings settings;
	struct cgroup_mounts mounts;
	struct wake_queue wakes;
	struct kube_event_sender *events;
	struct kubelet *kubelet; /* NULL: its connections cannot be known */
	struct pod_watch *watch;
	struct timer *away; /* until the first list */
	struct timer *adopting;
	struct node_entry *to_adopt; /* the next one that was kept; before the first list */
	struct node_pod_shared shared;
	struct node_entry *entries;
	int lock_fd; /* on the state directory; -1: not locked */
	bool has_listed;
	struct daemon *daemon;
	char problem[NODE_PROBLEM_MAX]; /* why the pods are not known; "": they are */
};

/* --- groups --- */

static void node_on_woke(void *arg, struct node_pod *woken)
{
	struct node *n = arg;
	const char *group = node_pod_group(woken), *other;
	struct node_entry *entry, *next;

	if (!group)
		return;
	HASH_ITER(hh, n->entries, entry, next)
	{
		other = node_pod_group(entry->pod);
		if (entry->pod != woken && other && strcmp(other, group) == 0 &&
		    strcmp(node_pod_namespace(entry->pod), node_pod_namespace(woken)) == 0)
			node_pod_wake(entry->pod, "group");
	}
}

/* --- the watch --- */

static struct node_entry *node_add(struct node *n, const char *uid)
{
	struct node_entry *entry = calloc(1, sizeof(*entry));

	if (!entry || node_pod_new(&entry->pod, &n->shared, uid) < 0) {
		free(entry);
		return NULL;
	}
	snprintf(entry->uid, sizeof(entry->uid), "%s", uid);
	HASH_ADD_STR(n->entries, uid, entry);
	return entry;
}

static void node_on_put(void *arg, struct kube_pod *pod)
{
	struct node *n = arg;
	struct node_entry *entry;

	daemon_remove_refusal(n->daemon, pod->uid);
	HASH_FIND_STR(n->entries, pod->uid, entry);
	if (!entry)
		entry = node_add(n, pod->uid);
	if (entry)
		node_pod_put(entry->pod, pod);
	else
		kube_pod_free(&pod);
}

static void node_drop(struct node *n, struct node_entry *entry)
{
	HASH_DEL(n->entries, entry);
	node_pod_free(&entry->pod);
	free(entry);
}

static void node_on_gone(void *arg, const char *uid)
{
	struct node *n = arg;
	struct node_entry *entry;

	daemon_remove_refusal(n->daemon, uid);
	HASH_FIND_STR(n->entries, uid, entry);
	if (!entry)
		return;
	node_pod_forget(entry->pod);
	node_drop(n, entry);
}

/*
 * The annotation is looked for in the JSON as it comes; in a string its quotes would be escaped. Of
 * a pod that is too long to be seen whole it may be missing.
 */
static void node_on_unreadable(void *arg, const struct pod_watch_unreadable *pod)
{
	static const char reason[] = "Unreadable";
	struct node *n = arg;
	bool is_ours = strstr(pod->text->text, "\"" NODE_PLAN_ENABLED "\":\"true\"");
	char name[sizeof(pod->name->namespace) + sizeof(pod->name->name)];
	const struct kube_event event = {
		.namespace = pod->name->namespace,
		.name = pod->name->name,
		.uid = pod->name->uid,
		.is_warning = true,
		.reason = reason,
		.message = pod->why,
	};

	if (!is_ours && !pod->text->is_cut)
		return;
	snprintf(name, sizeof(name), "%s/%s", pod->name->namespace, pod->name->name);
	daemon_add_refusal(n->daemon, pod->name->uid, name, reason, pod->why);
	if (is_ours)
		kube_event_send(n->events, &event);
}

/* --- state files --- */

typedef void (*node_state_fn)(struct node *n, int dir_fd, const char *file, const char *uid);

static void node_each_state(struct node *n, node_state_fn fn)
{
	DIR *dir = opendir(n->settings.config->state_dir);
	char uid[POD_KEPT_UID_MAX];
	struct dirent *file;

	while (dir && (file = readdir(dir))) {
		if (pod_kept_is_file(file->d_name, uid))
			fn(n, dirfd(dir), file->d_name, uid);
	}
	if (dir)
		closedir(dir);
}

static void node_add_kept(struct node *n, int dir_fd, const char *file, const char *uid)
{
	struct node_entry *entry;

	(void)dir_fd;
	(void)file;
	HASH_FIND_STR(n->entries, uid, entry);
	if (!entry) /* else another file has told of it */
		node_add(n, uid);
}

static bool node_has_cgroup(const struct node *n, const char *uid)
{
	return pod_place_has_pod(n->mounts.controls[CGROUP_CPU].point, uid);
}

/*
 * Of a pod that is no longer there. Its cgroup has to be gone as well: the list of another node, or
 * of another cluster, is no reason to forget what full is.
 */
static void node_forget_orphan(struct node *n, int dir_fd, const char *file, const char *uid)
{
	struct node_entry *entry;

	HASH_FIND_STR(n->entries, uid, entry);
	if (!entry && !node_has_cgroup(n, uid))
		unlinkat(dir_fd, file, 0);
}

/* The list does not have what was adopted. */
static void node_drop_unconfirmed(struct node *n)
{
	struct node_entry *entry, *next;

	HASH_ITER(hh, n->entries, entry, next)
	{
		if (!node_pod_is_unconfirmed(entry->pod))
			continue;
		node_pod_abandon(entry->pod);
		node_drop(n, entry);
	}
}

static void node_on_away(void *arg)
{
	struct node *n = arg;
	struct node_entry *entry;

	for (entry = n->entries; entry; entry = entry->hh.next)
		node_pod_fill(entry->pod);
}

/* daemon.problem points to it: readiness says so (report/server.h). */
static void node_on_refused(void *arg, const char *why)
{
	struct node *n = arg;

	if (*why || n->has_listed)
		snprintf(n->problem, sizeof(n->problem), "%s%s",
			 *why ? "cannot see the pods of the node: " : "", why);
}

static void node_on_listed(void *arg)
{
	struct node *n = arg;

	*n->problem = '\0';
	timer_stop(n->away);
	node_drop_unconfirmed(n);
	node_each_state(n, node_forget_orphan);
	if (n->has_listed)
		return;
	n->has_listed = true;
	log_info("the pods of the node are known", "node=%s pods=%u", n->settings.config->node_name,
		 HASH_COUNT(n->entries));
	if (n->settings.listed)
		n->settings.listed(n->settings.arg);
}

/* --- opening --- */

/* One that was killed has it until the kernel has taken its gates down, which takes a while. */
static int node_lock(const char *directory)
{
	static const struct timespec pause = { .tv_nsec = 50 * NS_PER_MS };
	uint64_t until_ns = monotonic_ns() + NODE_LOCK_NS;
	int r = file_lock_directory(directory, LOCK_EX | LOCK_NB);

	if (r == -EWOULDBLOCK)
		log_info("another doze has the state directory: waiting for its end",
			 "directory=\"%s\"", directory);
	while (r == -EWOULDBLOCK && monotonic_ns() < until_ns) {
		nanosleep(&pause, NULL);
		r = file_lock_directory(directory, LOCK_EX | LOCK_NB);
	}
	return r;
}

/* Locked: two of us would fight for the size of each pod. */
static int node_open_state(struct node *n)
{
	const char *directory = n->settings.config->state_dir;
	int r;

	if (mkdir(directory, 0700) < 0 && errno != EEXIST)
		return log_err(-errno, "cannot make the state directory '%s'", directory);
	if (access(directory, W_OK | X_OK) < 0)
		return log_err(-errno, "cannot write to the state directory '%s'", directory);
	r = node_lock(directory);
	if (r == -EWOULDBLOCK)
		return log_err(-EBUSY,
			       "another doze node is at work here: it has the state directory '%s'",
			       directory);
	if (r < 0)
		return log_err(r, "cannot lock the state directory '%s'", directory);
	n->lock_fd = r;
	return 0;
}

static int node_find_cgroups(struct node *n)
{
	const char *root = n->settings.config->cgroup_root;
	int r = cgroup_mounts_find(&n->mounts, root);

	if (r < 0)
		return r;
	if (!n->mounts.controls[CGROUP_CPU].version)
		return log_err(-ENODEV,
			       "no cgroup hierarchy with the cpu controller is mounted at or below "
			       "'%s': mount the node's /sys/fs/cgroup there (--cgroup-root)",
			       root);
	if (!n->mounts.controls[CGROUP_FREEZER].version)
		log_warn("no cgroup freezer: pods cannot be frozen", "cgroup_root=%s", root);
	return 0;
}

/* Works without one; kubelet_new() logs that it does. */
static void node_open_kubelet(struct node *n, const struct daemon *daemon)
{
	const struct config *config = n->settings.config;
	const struct kubelet_settings settings = {
		.directory = config->kubelet_cgroup,
		.root = config->cgroup_root,
	};

	if (!settings.directory || strcmp(settings.directory, "none") != 0)
		kubelet_new(&n->kubelet, daemon->base, daemon->datapath, &settings);
}

static void node_begin_watch(struct node *n)
{
	const struct pod_watch_settings settings = {
		.node = n->settings.config->node_name,
		.put = node_on_put,
		.gone = node_on_gone,
		.unreadable = node_on_unreadable,
		.listed = node_on_listed,
		.refused = node_on_refused,
		.arg = n,
	};

	timer_in_ns(n->away, NODE_AWAY_NS);
	if (pod_watch_new(&n->watch, n->daemon->base, n->shared.kube, &settings) < 0)
		daemon_leave(n->daemon);
}

/*
 * One pod after the other, so that who calls the first is not held until the last has its gate. The
 * API server, which may be away, is asked when all have one.
 */
static void node_on_adopting(void *arg)
{
	struct node *n = arg;
	struct node_entry *entry = n->to_adopt;

	if (!entry) {
		node_begin_watch(n);
		return;
	}
	n->to_adopt = entry->hh.next;
	node_pod_adopt(entry->pod);
	timer_in_ns(n->adopting, 0);
}

static int node_open(struct node *n, struct daemon *daemon, struct kube *kube)
{
	int r = node_open_state(n);

	if (r == 0)
		r = node_find_cgroups(n);
	if (r == 0)
		r = kube_event_sender_new(&n->events, kube, n->settings.config->node_name);
	if (r < 0)
		return r;
	node_open_kubelet(n, daemon);
	n->daemon = daemon;
	snprintf(n->problem, sizeof(n->problem), "the pods of the node are not known yet");
	daemon->problem = n->problem;
	n->wakes.max = n->settings.config->wakes_max;
	n->shared = (struct node_pod_shared){
		.daemon = daemon,
		.kube = kube,
		.events = n->events,
		.wakes = &n->wakes,
		.watchdog = n->settings.watchdog,
		.defaults = n->settings.config,
		.mounts = &n->mounts,
		.host_kind = n->kubelet ? GATE_SOURCE_NODE : GATE_SOURCE_PROBE,
		.uninstalls = n->settings.config->uninstalls,
		.woke = node_on_woke,
		.arg = n,
	};
	n->away = timer_new(daemon->base, node_on_away, n);
	n->adopting = timer_new(daemon->base, node_on_adopting, n);
	if (!n->away || !n->adopting)
		return log_err(-ENOMEM, "cannot watch the node");
	node_each_state(n, node_add_kept);
	n->to_adopt = n->entries;
	timer_in_ns(n->adopting, 0);
	return 0;
}

int node_new(struct node **out, struct daemon *daemon, struct kube *kube,
	     const struct node_settings *settings)
{
	_cleanup_(node_free) struct node *n = calloc(1, sizeof(*n));
	int r;

	if (!n)
		return log_err(-ENOMEM, "cannot watch the node");
	n->settings = *settings;
	n->lock_fd = -1;
	r = node_open(n, daemon, kube);
	if (r < 0)
		return r;
	*out = TAKE_PTR(n);
	return 0;
}

/* --- closing --- */

void node_stop(struct node *n, bool wakes)
{
	struct node_entry *entry, *next;

	pod_watch_free(&n->watch);
	timer_stop(n->away);
	timer_stop(n->adopting);
	n->shared.uninstalls |= wakes; /* a pod that is mended from now on is not seated */
	HASH_ITER(hh, n->entries, entry, next)
	{
		node_pod_stop(entry->pod, wakes);
	}
}

bool node_is_settled(const struct node *n)
{
	const struct node_entry *entry;

	for (entry = n->entries; entry; entry = entry->hh.next) {
		if (!node_pod_is_settled(entry->pod))
			return false;
	}
	return true;
}

void node_free(struct node **n)
{
	struct node_entry *entry, *next;

	if (!*n)
		return;
	pod_watch_free(&(*n)->watch);
	timer_free(&(*n)->away);
	timer_free(&(*n)->adopting);
	HASH_ITER(hh, (*n)->entries, entry, next)
	{
		HASH_DEL((*n)->entries, entry);
		node_pod_free(&entry->pod);
		free(entry);
	}
	if ((*n)->daemon)
		(*n)->daemon->problem = NULL;
	kubelet_free(&(*n)->kubelet);
	kube_event_sender_free(&(*n)->events);
	closep(&(*n)->lock_fd);
	free(*n);
	*n = NULL;
}
