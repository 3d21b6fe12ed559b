// SPDX-License-Identifier: MIT
/* One program, attached to the cgroup that pod/kubelet_place.h finds, again and again. */
#include "pod/kubelet.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "base/timer.h"
#include "base/util.h"
#include "kubelet.skel.h"
#include "pod/kubelet_place.h"

#define KUBELET_SEARCH_MIN_NS (1 * NS_PER_S)
#define KUBELET_SEARCH_MAX_NS (30 * NS_PER_S)

#define KUBELET_UNKNOWN "probes are known by what they say"

struct kubelet {
	struct kubelet_settings settings;
	struct event_base *base;
	struct datapath *datapath;
	struct kubelet_bpf *skel;
	struct timer *on_search;
	uint64_t search_ns; /* until the next search */
	int said;	    /* why the last search has failed; it is logged */
	bool is_known;

	struct bpf_link *link; /* NULL: attached nowhere; then the rest is not set */
	struct kubelet_place place;
	dev_t device;
	ino_t inode;
	int changes_fd; /* of its cgroup */
	struct event *on_change;

	int process_fd; /* -1: its process is not known */
	struct event *on_end;
};

static void kubelet_search(void *arg);

static void kubelet_unwatch(struct event **event, int *fd)
{
	if (*event)
		event_free(*event);
	*event = NULL;
	closep(fd);
	*fd = -1;
}

static void kubelet_detach(struct kubelet *k)
{
	kubelet_unwatch(&k->on_end, &k->process_fd);
	kubelet_unwatch(&k->on_change, &k->changes_fd);
	bpf_link__destroy(k->link);
	k->link = NULL;
}

/* --- losing it --- */

static void kubelet_lose(struct kubelet *k, const char *why)
{
	keys_know_kubelet(datapath_keys(k->datapath), false);
	if (k->is_known)
		log_info(why, "cgroup=%s until=\"it is found again, " KUBELET_UNKNOWN "\"",
			 k->place.directory);
	k->is_known = false;
	k->said = -ENOENT; /* the line above says that it is not there */
	k->search_ns = KUBELET_SEARCH_MIN_NS;
	kubelet_search(k);
}

/* Stays attached: a kubelet that starts there is known from its first connection on. */
static void kubelet_lose_process(struct kubelet *k, const char *why)
{
	kubelet_unwatch(&k->on_end, &k->process_fd);
	kubelet_lose(k, why);
}

static void kubelet_on_end(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	kubelet_lose_process(arg, "the kubelet has ended");
}

/* A cgroup that is made anew has the same name, and another inode. */
static bool kubelet_is_cgroup_there(const struct kubelet *k)
{
	struct stat now;

	return stat(k->place.directory, &now) == 0 && now.st_dev == k->device &&
	       now.st_ino == k->inode;
}

static void kubelet_on_change(evutil_socket_t fd, short what, void *arg)
{
	struct kubelet *k = arg;
	char events[4096];

	(void)what;
	while (read(fd, events, sizeof(events)) > 0)
		;
	if (!kubelet_is_cgroup_there(k)) {
		kubelet_detach(k);
		kubelet_lose(k, "the kubelet's cgroup is gone");
	} else if (k->process_fd >= 0 && !kubelet_place_has(k->place.directory, k->place.pid)) {
		kubelet_lose_process(k, "the kubelet has left its cgroup");
	}
}

static struct event *kubelet_watch(struct kubelet *k, int fd, event_callback_fn on_readable)
{
	struct event *event = event_new(k->base, fd, EV_READ | EV_PERSIST, on_readable, k);

	if (event)
		event_add(event, NULL);
	return event;
}

/* --- attaching --- */

/* Its parent shows that the cgroup has ended, its cgroup.events that the last process has left. */
static int kubelet_watch_cgroup(struct kubelet *k)
{
	char path[PATH_MAX + 32];

	k->changes_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (k->changes_fd < 0)
		return -errno;
	snprintf(path, sizeof(path), "%s/..", k->place.directory);
	if (inotify_add_watch(k->changes_fd, path, IN_DELETE) < 0)
		return -errno;
	snprintf(path, sizeof(path), "%s/cgroup.events", k->place.directory);
	if (inotify_add_watch(k->changes_fd, path, IN_MODIFY) < 0)
		return -errno;
	k->on_change = kubelet_watch(k, k->changes_fd, kubelet_on_change);
	return k->on_change ? 0 : -ENOMEM;
}

static int kubelet_watch_process(struct kubelet *k)
{
	kubelet_unwatch(&k->on_end, &k->process_fd);
	if (!k->place.pid)
		return 0;
	k->process_fd = (int)syscall(SYS_pidfd_open, k->place.pid, 0);
	if (k->process_fd < 0)
		return -errno;
	k->on_end = kubelet_watch(k, k->process_fd, kubelet_on_end);
	return k->on_end ? 0 : -ENOMEM;
}

static int kubelet_attach(struct kubelet *k, const struct kubelet_place *place)
{
	_cleanup_(closep) int fd = open(place->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat is;
	int r;

	if (fd < 0 || fstat(fd, &is) < 0)
		return -errno;
	k->place = *place;
	k->device = is.st_dev;
	k->inode = is.st_ino;
	k->link = bpf_program__attach_cgroup(k->skel->progs.kubelet, fd);
	if (!k->link)
		return -errno;
	r = kubelet_watch_cgroup(k);
	if (r == 0 && !kubelet_is_cgroup_there(k))
		r = -ENOENT; /* it has gone before it was watched */
	if (r < 0)
		kubelet_detach(k);
	return r;
}

static int kubelet_take(struct kubelet *k, const struct kubelet_place *place)
{
	int r = 0;

	if (k->link &&
	    (strcmp(k->place.directory, place->directory) != 0 || !kubelet_is_cgroup_there(k)))
		kubelet_detach(k);
	if (!k->link)
		r = kubelet_attach(k, place);
	if (r < 0)
		return r;
	k->place.pid = place->pid;
	r = kubelet_watch_process(k);
	if (r < 0)
		return r;
	k->is_known = true;
	keys_know_kubelet(datapath_keys(k->datapath), true);
	log_info("the kubelet's connections are known", "cgroup=%s", k->place.directory);
	return 0;
}

/* --- searching --- */

static int kubelet_find(const struct kubelet *k, struct kubelet_place *out)
{
	const char *directory = k->settings.directory;

	if (!directory)
		return kubelet_place_find(out, "/proc", k->settings.root);
	out->pid = 0;
	return (size_t)snprintf(out->directory, sizeof(out->directory), "%s", directory) <
			       sizeof(out->directory)
		       ? 0
		       : -ENAMETOOLONG;
}

/* Logs each reason once. */
static void kubelet_say(struct kubelet *k, int r)
{
	if (r == k->said)
		return;
	k->said = r;
	if (k->settings.directory)
		log_warn_err(
			r,
			"cannot tell the kubelet's connections by its cgroup '%s': " KUBELET_UNKNOWN,
			k->settings.directory);
	else if (r == -ENOTUNIQ)
		log_warn("the kubelet's cgroup is not its own, the pods or all processes are in "
			 "it as well: " KUBELET_UNKNOWN,
			 "cgroup_root=%s", k->settings.root);
	else if (r == -ENOENT || r == -EOPNOTSUPP)
		log_info("no kubelet with a cgroup v2 of its own: " KUBELET_UNKNOWN,
			 "cgroup_root=%s", k->settings.root);
	else
		log_warn_err(
			r, "cannot tell the kubelet's connections by its cgroup: " KUBELET_UNKNOWN);
}

static void kubelet_search(void *arg)
{
	struct kubelet *k = arg;
	struct kubelet_place place;
	int r = kubelet_find(k, &place);

	if (r == 0)
		r = kubelet_take(k, &place);
	if (r == 0) {
		k->said = 0;
		timer_stop(k->on_search);
		return;
	}
	kubelet_say(k, r);
	timer_in_ns(k->on_search, k->search_ns);
	k->search_ns = min_u64(2 * k->search_ns, KUBELET_SEARCH_MAX_NS);
}

/* --- opening --- */

static int kubelet_load(struct kubelet *k)
{
	int r;

	k->on_search = timer_new(k->base, kubelet_search, k);
	k->skel = kubelet_bpf__open();
	if (!k->on_search || !k->skel)
		return -ENOMEM;
	r = datapath_share_maps(k->datapath, k->skel->obj);
	return r == 0 ? kubelet_bpf__load(k->skel) : r;
}

int kubelet_new(struct kubelet **out, struct event_base *base, struct datapath *d,
		const struct kubelet_settings *settings)
{
	_cleanup_(kubelet_free) struct kubelet *k = calloc(1, sizeof(*k));
	int r = -ENOMEM;

	if (k) {
		*k = (struct kubelet){
			.settings = *settings,
			.base = base,
			.datapath = d,
			.search_ns = KUBELET_SEARCH_MIN_NS,
			.changes_fd = -1,
			.process_fd = -1,
		};
		r = kubelet_load(k);
	}
	if (r < 0)
		return log_warn_err(
			r, "cannot tell the kubelet's connections by its cgroup: " KUBELET_UNKNOWN);
	kubelet_search(k);
	if (k->said == -EOPNOTSUPP)
		return k->said;
	*out = TAKE_PTR(k);
	return 0;
}

void kubelet_free(struct kubelet **k)
{
	if (!*k)
		return;
	kubelet_detach(*k);
	keys_know_kubelet(datapath_keys((*k)->datapath), false);
	timer_free(&(*k)->on_search);
	kubelet_bpf__destroy((*k)->skel);
	free(*k);
	*k = NULL;
}
