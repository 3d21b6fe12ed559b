// SPDX-License-Identifier: MIT
/* Asks rtnetlink(7) for the routes, and keeps those to everywhere. */
#include "pod/netns_gateways.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/address.h"
#include "base/log.h"

#define NETNS_GATEWAYS_BUFFER_LEN 32768
#define NETNS_GATEWAYS_TIMEOUT_S  1

struct netns_gateways {
	struct gate_addr *out;
	size_t len, max;
};

static bool netns_gateways_is_link_local(uint8_t family, const uint8_t *bytes)
{
	if (family == AF_INET)
		return bytes[0] == 169 && bytes[1] == 254;
	return bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80;
}

static void netns_gateways_add(struct netns_gateways *g, uint8_t family, const uint8_t *bytes)
{
	if (!netns_gateways_is_link_local(family, bytes) && g->len < g->max)
		g->out[g->len++] = address_make(family, bytes);
}

/* One message of the kernel's answer. */
static int netns_gateways_on_route(const struct nlmsghdr *message, void *arg)
{
	const struct rtmsg *route = mnl_nlmsg_get_payload(message);
	const struct nlattr *attribute;
	size_t want = route->rtm_family == AF_INET ? 4 : 16;

	if (mnl_nlmsg_get_payload_len(message) < sizeof(*route) || route->rtm_dst_len != 0 ||
	    (route->rtm_family != AF_INET && route->rtm_family != AF_INET6))
		return MNL_CB_OK;
	mnl_attr_for_each(attribute, message, sizeof(*route))
	{
		if (mnl_attr_get_type(attribute) == RTA_GATEWAY &&
		    mnl_attr_get_payload_len(attribute) == want)
			netns_gateways_add(arg, route->rtm_family, mnl_attr_get_payload(attribute));
	}
	return MNL_CB_OK;
}

static int netns_gateways_dump(struct mnl_socket *nl, uint8_t family, struct netns_gateways *g)
{
	_Alignas(struct nlmsghdr) char buffer[NETNS_GATEWAYS_BUFFER_LEN];
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct rtmsg *route;
	int r;

	request->nlmsg_type = RTM_GETROUTE;
	request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	request->nlmsg_seq = family;
	route = mnl_nlmsg_put_extra_header(request, sizeof(*route));
	route->rtm_family = family;
	if (mnl_socket_sendto(nl, request, request->nlmsg_len) < 0)
		return -errno;
	do {
		ssize_t n = mnl_socket_recvfrom(nl, buffer, sizeof(buffer));

		r = n < 0 ? -1
			  : mnl_cb_run(buffer, (size_t)n, family, 0, netns_gateways_on_route, g);
	} while (r > MNL_CB_STOP);
	return r < 0 ? -errno : 0;
}

static int netns_gateways_ask(struct netns_gateways *g)
{
	const struct timeval timeout = { .tv_sec = NETNS_GATEWAYS_TIMEOUT_S };
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	int r;

	if (!nl)
		return -errno;
	setsockopt(mnl_socket_get_fd(nl), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	r = mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0 ? -errno : 0;
	if (r == 0)
		r = netns_gateways_dump(nl, AF_INET, g);
	if (r == 0)
		r = netns_gateways_dump(nl, AF_INET6, g);
	mnl_socket_close(nl);
	return r;
}

size_t netns_gateways_list(const struct netns *ns, struct gate_addr *out, size_t max)
{
	struct netns_gateways g = { .out = out, .max = max };
	int r = netns_enter(ns);

	if (r < 0)
		return 0;
	r = netns_gateways_ask(&g);
	netns_leave(ns);
	if (r < 0)
		log_warn_err(r, "cannot list the routes: the default gateways are not known");
	return g.len;
}
