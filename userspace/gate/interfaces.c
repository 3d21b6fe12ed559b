// SPDX-License-Identifier: MIT
/* rtnetlink(7) lists what is there, and says when to ask again. */
#include "gate/interfaces.h"

#include <errno.h>
#include <event2/event.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <utlist.h>

#include "base/log.h"
#include "base/netlink.h"
#include "base/timer.h"
#include "base/util.h"

/* After a scan that failed, such as without descriptors; doubled each time. */
#define INTERFACES_AGAIN_MIN_NS NS_PER_S
#define INTERFACES_AGAIN_MAX_NS (64 * NS_PER_S)

struct interfaces_link {
	unsigned int ifindex;
	char name[IFNAMSIZ];
	bool is_listed; /* by the scan that runs, or the last one */
	bool is_up, has_address;
	bool is_port; /* of a bridge or a bond, which is what packets come in by; not of a VRF */
	bool is_used; /* appeared() has taken it */
	struct interfaces_link *prev, *next;
};

struct interfaces {
	const struct netns *ns;
	struct interfaces_settings settings;
	struct interfaces_link *links;
	struct mnl_socket *changes;
	struct event *changed;
	struct timer *again;
	uint64_t again_ns; /* the next pause */
};

static struct interfaces_link *interfaces_find(struct interfaces *i, unsigned int ifindex)
{
	struct interfaces_link *link;

	DL_SEARCH_SCALAR(i->links, link, ifindex, ifindex);
	return link;
}

static bool interfaces_is_port_of(const struct nlattr *link_info, const char *kind)
{
	const struct nlattr *attribute;

	mnl_attr_for_each_nested(attribute, link_info)
	{
		if (mnl_attr_get_type(attribute) == IFLA_INFO_SLAVE_KIND &&
		    mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) == 0)
			return strcmp(mnl_attr_get_str(attribute), kind) == 0;
	}
	return false;
}

/* Packets do not come in by a VRF: until they are routed they are its port's. */
static bool interfaces_is_vrf_port(const struct nlmsghdr *message)
{
	const struct nlattr *attribute;

	mnl_attr_for_each(attribute, message, sizeof(struct ifinfomsg))
	{
		if (mnl_attr_get_type(attribute) == IFLA_LINKINFO)
			return interfaces_is_port_of(attribute, "vrf");
	}
	return false;
}

static int interfaces_on_link(const struct nlmsghdr *message, void *arg)
{
	const struct ifinfomsg *entry = mnl_nlmsg_get_payload(message);
	const char *name = netlink_attribute(message, sizeof(*entry), IFLA_IFNAME, 1);
	struct interfaces *i = arg;
	struct interfaces_link *link = interfaces_find(i, (unsigned int)entry->ifi_index);

	if (!name)
		return MNL_CB_OK;
	if (!link) {
		link = calloc(1, sizeof(*link));
		if (!link)
			return MNL_CB_ERROR; /* errno is ENOMEM */
		link->ifindex = (unsigned int)entry->ifi_index;
		DL_APPEND(i->links, link);
	}
	snprintf(link->name, sizeof(link->name), "%s", name);
	link->is_listed = true;
	link->is_up = entry->ifi_flags & IFF_UP;
	link->is_port = netlink_attribute(message, sizeof(*entry), IFLA_MASTER, sizeof(uint32_t)) &&
			!interfaces_is_vrf_port(message);
	return MNL_CB_OK;
}

static int interfaces_on_address(const struct nlmsghdr *message, void *arg)
{
	const struct ifaddrmsg *entry = mnl_nlmsg_get_payload(message);
	struct interfaces_link *link = interfaces_find(arg, entry->ifa_index);

	if (link && (entry->ifa_family == AF_INET || entry->ifa_family == AF_INET6))
		link->has_address = true;
	return MNL_CB_OK;
}

static int interfaces_list(struct interfaces *i)
{
	const struct ifinfomsg links = { .ifi_family = AF_UNSPEC };
	const struct ifaddrmsg addresses = { .ifa_family = AF_UNSPEC };
	struct interfaces_link *link;
	int r;

	DL_FOREACH(i->links, link)
	{
		link->is_listed = link->has_address = false;
	}
	r = netlink_dump(NETLINK_ROUTE, RTM_GETLINK, &links, sizeof(links), interfaces_on_link, i);
	if (r == 0)
		r = netlink_dump(NETLINK_ROUTE, RTM_GETADDR, &addresses, sizeof(addresses),
				 interfaces_on_address, i);
	return r < 0 ? log_err(r, "cannot list the interfaces") : 0;
}

static bool interfaces_is_wanted(const struct interfaces *i, const struct interfaces_link *link)
{
	for (size_t n = 0; n < i->settings.names_len; n++) {
		if (strcmp(i->settings.names[n], link->name) == 0)
			return true;
	}
	/* Without an address of its own it may still carry packets to one of another interface. */
	return !i->settings.names_len && link->is_up && (link->has_address || !link->is_port);
}

static void interfaces_forget_gone(struct interfaces *i)
{
	struct interfaces_link *link, *next;

	DL_FOREACH_SAFE(i->links, link, next)
	{
		if (link->is_listed)
			continue;
		DL_DELETE(i->links, link);
		if (link->is_used)
			i->settings.gone(i->settings.arg, link->ifindex, link->name);
		free(link);
	}
}

/* One that has gone since it was listed is no error: the next scan forgets it. */
static int interfaces_use(struct interfaces *i, struct interfaces_link *link)
{
	char name[IFNAMSIZ];
	int r = i->settings.appeared(i->settings.arg, link->ifindex, link->name);

	link->is_used = r == 0;
	return r < 0 && !if_indextoname(link->ifindex, name) && errno == ENXIO ? 0 : r;
}

/* Returns the first error, after all interfaces have been tried. */
static int interfaces_use_new(struct interfaces *i)
{
	struct interfaces_link *link;
	int first = 0;

	DL_FOREACH(i->links, link)
	{
		int r = link->is_used || !interfaces_is_wanted(i, link) ? 0
									: interfaces_use(i, link);

		first = first ? first : r;
	}
	return first;
}

static int interfaces_scan(struct interfaces *i)
{
	int r = interfaces_list(i);

	if (r < 0)
		return r;
	interfaces_forget_gone(i);
	return interfaces_use_new(i);
}

static int interfaces_scan_inside(struct interfaces *i)
{
	int r = netns_enter(i->ns);

	if (r < 0)
		return r;
	r = interfaces_scan(i); /* has logged what it could not use */
	netns_leave(i->ns);
	return r;
}

/* No other change may come that would let us look again. */
static void interfaces_scan_until_done(void *arg)
{
	struct interfaces *i = arg;

	if (interfaces_scan_inside(i) == 0) {
		timer_stop(i->again);
		i->again_ns = INTERFACES_AGAIN_MIN_NS;
		return;
	}
	timer_in_ns(i->again, i->again_ns);
	i->again_ns = min_u64(2 * i->again_ns, INTERFACES_AGAIN_MAX_NS);
}

static void interfaces_on_change(evutil_socket_t fd, short what, void *arg)
{
	char scratch[8192];

	(void)what;
	/* What has changed does not matter, not even that messages were lost (ENOBUFS). */
	while (recv(fd, scratch, sizeof(scratch), MSG_DONTWAIT) > 0)
		continue;
	interfaces_scan_until_done(arg);
}

static int interfaces_listen(struct interfaces *i, struct event_base *base)
{
	const unsigned int groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR;

	i->changes = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!i->changes || mnl_socket_bind(i->changes, groups, MNL_SOCKET_AUTOPID) < 0)
		return log_err(-errno, "cannot watch the interfaces");
	i->changed = event_new(base, mnl_socket_get_fd(i->changes), EV_READ | EV_PERSIST,
			       interfaces_on_change, i);
	i->again = timer_new(base, interfaces_scan_until_done, i);
	if (!i->changed || !i->again || event_add(i->changed, NULL) < 0)
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
	struct interfaces_link *used;
	int r = interfaces_check_names(i);

	/* Listen first, so that no change after the scan is missed. */
	if (r == 0)
		r = interfaces_listen(i, base);
	if (r == 0)
		r = interfaces_scan(i);
	DL_SEARCH_SCALAR(i->links, used, is_used, true);
	if (r == 0 && !used)
		r = log_err(-ENODEV, "no interface is up, not even lo");
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
	i->again_ns = INTERFACES_AGAIN_MIN_NS;
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

static void interfaces_release(struct interfaces *i)
{
	struct interfaces_link *link;

	if (!i->settings.released || !i->links || netns_enter(i->ns) < 0)
		return;
	DL_FOREACH(i->links, link)
	{
		if (link->is_used)
			i->settings.released(i->settings.arg, link->ifindex, link->name);
	}
	netns_leave(i->ns);
}

void interfaces_free(struct interfaces **i)
{
	struct interfaces_link *link, *next;

	if (!*i)
		return;
	interfaces_release(*i);
	DL_FOREACH_SAFE((*i)->links, link, next)
	{
		free(link);
	}
	timer_free(&(*i)->again);
	if ((*i)->changed)
		event_free((*i)->changed);
	if ((*i)->changes)
		mnl_socket_close((*i)->changes);
	free(*i);
	*i = NULL;
}
