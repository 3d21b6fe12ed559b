// SPDX-License-Identifier: MIT
/* getifaddrs(3) says what is there; rtnetlink(7) says when to ask again. */
#include "gate/interfaces.h"

#include <errno.h>
#include <event2/event.h>
#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/util.h"

#define INTERFACES_MAX 256

struct interfaces_one {
	unsigned int ifindex;
	char name[IFNAMSIZ];
};

struct interfaces {
	const struct netns *ns;
	struct interfaces_settings settings;
	struct interfaces_one used[INTERFACES_MAX];
	size_t used_len;
	int netlink_fd;
	struct event *changed;
};

static bool interfaces_is_named(const struct interfaces *i, const char *name)
{
	for (size_t n = 0; n < i->settings.names_len; n++) {
		if (strcmp(i->settings.names[n], name) == 0)
			return true;
	}
	return false;
}

static bool interfaces_has_address(const struct ifaddrs *all, const char *name)
{
	for (const struct ifaddrs *a = all; a; a = a->ifa_next) {
		if (strcmp(a->ifa_name, name) == 0 && (a->ifa_flags & IFF_UP) && a->ifa_addr &&
		    (a->ifa_addr->sa_family == AF_INET || a->ifa_addr->sa_family == AF_INET6))
			return true;
	}
	return false;
}

static bool interfaces_is_wanted(const struct interfaces *i, const struct ifaddrs *all,
				 const char *name)
{
	return i->settings.names_len ? interfaces_is_named(i, name)
				     : interfaces_has_address(all, name);
}

static bool interfaces_is_used(const struct interfaces *i, unsigned int ifindex)
{
	for (size_t n = 0; n < i->used_len; n++) {
		if (i->used[n].ifindex == ifindex)
			return true;
	}
	return false;
}

static int interfaces_use(struct interfaces *i, unsigned int ifindex, const char *name)
{
	struct interfaces_one *one = &i->used[i->used_len];
	int r;

	if (i->used_len == INTERFACES_MAX)
		return log_err(-ENOSPC, "too many interfaces: '%s' gets no gate", name);
	r = i->settings.appeared(i->settings.arg, ifindex, name);
	if (r < 0)
		return r;
	one->ifindex = ifindex;
	strncpy(one->name, name, sizeof(one->name) - 1);
	one->name[sizeof(one->name) - 1] = '\0';
	i->used_len++;
	return 0;
}

static void interfaces_forget_gone(struct interfaces *i)
{
	char name[IFNAMSIZ];

	for (size_t n = i->used_len; n-- > 0;) {
		struct interfaces_one gone = i->used[n];

		if (if_indextoname(gone.ifindex, name))
			continue;
		i->used[n] = i->used[--i->used_len];
		i->settings.gone(i->settings.arg, gone.ifindex, gone.name);
	}
}

/* The first error, after all have been tried. */
static int interfaces_use_new(struct interfaces *i, const struct ifaddrs *all)
{
	struct if_nameindex *names = if_nameindex();
	int r = 0;

	if (!names)
		return log_err(-errno, "cannot list the interfaces");
	for (const struct if_nameindex *n = names; n->if_index; n++) {
		int used = 0;

		if (!interfaces_is_used(i, n->if_index) && interfaces_is_wanted(i, all, n->if_name))
			used = interfaces_use(i, n->if_index, n->if_name);
		if (used < 0 && r == 0)
			r = used;
	}
	if_freenameindex(names);
	return r;
}

static int interfaces_scan(struct interfaces *i)
{
	struct ifaddrs *all = NULL;
	int r;

	if (getifaddrs(&all) < 0)
		return log_err(-errno, "cannot list the interfaces");
	r = interfaces_use_new(i, all);
	freeifaddrs(all);
	return r;
}

static void interfaces_rescan(struct interfaces *i)
{
	if (netns_enter(i->ns) < 0)
		return;
	interfaces_forget_gone(i);
	interfaces_scan(i); /* has logged what it could not use */
	netns_leave(i->ns);
}

static void interfaces_on_change(evutil_socket_t fd, short what, void *arg)
{
	char scratch[8192];

	(void)what;
	/* What changed does not matter, and an overrun (ENOBUFS) says no less: look again. */
	while (recv(fd, scratch, sizeof(scratch), MSG_DONTWAIT) > 0)
		continue;
	interfaces_rescan(arg);
}

static int interfaces_listen(struct interfaces *i, struct event_base *base)
{
	struct sockaddr_nl address = {
		.nl_family = AF_NETLINK,
		.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR,
	};

	i->netlink_fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	if (i->netlink_fd < 0 ||
	    bind(i->netlink_fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return log_err(-errno, "cannot watch the interfaces");
	i->changed = event_new(base, i->netlink_fd, EV_READ | EV_PERSIST, interfaces_on_change, i);
	if (!i->changed || event_add(i->changed, NULL) < 0)
		return log_err(-ENOMEM, "cannot watch the interfaces");
	return 0;
}

static int interfaces_check_names(const struct interfaces *i)
{
	for (size_t n = 0; n < i->settings.names_len; n++) {
		if (!if_nametoindex(i->settings.names[n]))
			return log_err(-ENODEV, "there is no interface '%s': ip link shows them",
				       i->settings.names[n]);
	}
	return 0;
}

static int interfaces_start(struct interfaces *i, struct event_base *base)
{
	int r = interfaces_check_names(i);

	/* Listen first: what changes after the scan is heard of. */
	if (r == 0)
		r = interfaces_listen(i, base);
	if (r == 0)
		r = interfaces_scan(i);
	if (r == 0 && i->used_len == 0)
		r = log_err(-ENODEV, "no interface is up and has an address, not even lo");
	return r;
}

int interfaces_new(struct interfaces **out, struct event_base *base, const struct netns *ns,
		   const struct interfaces_settings *settings)
{
	_cleanup_(interfaces_free) struct interfaces *i = calloc(1, sizeof(*i));
	int r;

	if (!i)
		return log_err(-ENOMEM, "cannot watch the interfaces");
	i->ns = ns;
	i->settings = *settings;
	i->netlink_fd = -1;
	r = netns_enter(ns);
	if (r < 0)
		return r;
	r = interfaces_start(i, base);
	netns_leave(ns);
	if (r < 0)
		return r;
	*out = TAKE_PTR(i);
	return 0;
}

static void interfaces_release(const struct interfaces *i)
{
	if (!i->settings.released || !i->used_len || netns_enter(i->ns) < 0)
		return;
	for (size_t n = 0; n < i->used_len; n++)
		i->settings.released(i->settings.arg, i->used[n].ifindex, i->used[n].name);
	netns_leave(i->ns);
}

void interfaces_free(struct interfaces **i)
{
	if (!*i)
		return;
	interfaces_release(*i);
	if ((*i)->changed)
		event_free((*i)->changed);
	closep(&(*i)->netlink_fd);
	free(*i);
	*i = NULL;
}
