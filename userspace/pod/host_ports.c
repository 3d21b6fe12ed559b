// SPDX-License-Identifier: MIT
/*
 * The kernel lists the sockets that listen, each with the cgroup v2 that it was made in, and its
 * inode (sock_diag(7)). Where there is no cgroup v2, the links in /proc/PID/fd lead to the same
 * inodes; of a process of another user they can be read with CAP_DAC_READ_SEARCH alone.
 */
#include "pod/host_ports.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/inet_diag.h>
#include <linux/magic.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/netlink.h"
#include "base/util.h"
#include "cgroup/pod_place.h"
#include "config/config.h"

#define HOST_PORTS_SOCKETS_MIN 16
#define HOST_PORTS_LINK_MAX    64

struct host_ports_socket {
	unsigned long inode;
	uint64_t cgroup; /* the inode of its directory; 0: the kernel does not tell */
	struct target_port port;
	bool is_own; /* of the pod */
};

struct host_ports {
	struct host_ports_socket *sockets;
	size_t len, room;
	struct target_port asked; /* the one whose sockets are listed now */
	int r;			  /* why the processes cannot be looked at, -errno; or 0 */
	pid_t pid;		  /* the one that cannot */
};

static void host_ports_free(struct host_ports *h)
{
	free(h->sockets);
}

/* --- the sockets --- */

static int host_ports_on_attribute(const struct nlattr *attribute, void *cgroup)
{
	if (mnl_attr_get_type(attribute) == INET_DIAG_CGROUP_ID &&
	    mnl_attr_validate(attribute, MNL_TYPE_U64) == 0)
		*(uint64_t *)cgroup = mnl_attr_get_u64(attribute);
	return MNL_CB_OK;
}

static int host_ports_on_socket(const struct nlmsghdr *message, void *arg)
{
	struct host_ports *h = arg;
	const struct inet_diag_msg *found = mnl_nlmsg_get_payload(message);
	struct host_ports_socket *socket;

	if (mnl_nlmsg_get_payload_len(message) < sizeof(*found)) {
		errno = EBADMSG;
		return MNL_CB_ERROR;
	}
	if (found->id.idiag_sport != htons(h->asked.port))
		return MNL_CB_OK;
	if (h->len == h->room) {
		size_t room = h->room ? 2 * h->room : HOST_PORTS_SOCKETS_MIN;
		struct host_ports_socket *grown = realloc(h->sockets, room * sizeof(*grown));

		if (!grown)
			return MNL_CB_ERROR; /* errno is ENOMEM */
		h->sockets = grown;
		h->room = room;
	}
	socket = &h->sockets[h->len++];
	*socket = (struct host_ports_socket){ .inode = found->idiag_inode, .port = h->asked };
	mnl_attr_parse(message, sizeof(*found), host_ports_on_attribute, &socket->cgroup);
	return MNL_CB_OK;
}

/* A socket of UDP that anybody may send to is in no state, which is called CLOSE. */
static int host_ports_list(struct host_ports *h, uint8_t family)
{
	bool is_tcp = h->asked.protocol == IPPROTO_TCP;
	const struct inet_diag_req_v2 request = {
		.sdiag_family = family,
		.sdiag_protocol = h->asked.protocol,
		.idiag_states = 1U << (is_tcp ? BPF_TCP_LISTEN : BPF_TCP_CLOSE),
		.id.idiag_sport = htons(h->asked.port),
	};

	return netlink_dump(NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, &request, sizeof(request),
			    host_ports_on_socket, h);
}

static int host_ports_list_all(struct host_ports *h, const struct netns *ns,
			       const struct target_port *ports, size_t ports_len)
{
	int r = netns_enter(ns);

	if (r < 0)
		return r;
	for (size_t i = 0; i < ports_len && r == 0; i++) {
		h->asked = ports[i];
		r = host_ports_list(h, AF_INET);
		if (r == 0)
			r = host_ports_list(h, AF_INET6);
	}
	netns_leave(ns);
	return r;
}

/* --- the cgroups --- */

static bool host_ports_on_cgroup(void *arg, const char *path)
{
	struct host_ports *h = arg;
	struct stat st;

	for (size_t i = 0; stat(path, &st) == 0 && i < h->len; i++)
		h->sockets[i].is_own |= h->sockets[i].cgroup == st.st_ino;
	return true;
}

/* false: it does not tell. */
static bool host_ports_ask_cgroups(struct host_ports *h, const char *pod_dir)
{
	struct statfs fs;

	if (statfs(pod_dir, &fs) < 0 || fs.f_type != CGROUP2_SUPER_MAGIC)
		return false;
	for (size_t i = 0; i < h->len; i++) {
		if (!h->sockets[i].cgroup)
			return false;
	}
	pod_place_each_directory(pod_dir, host_ports_on_cgroup, h);
	return true;
}

/* --- the processes --- */

static void host_ports_own(struct host_ports *h, unsigned long inode)
{
	for (size_t i = 0; i < h->len; i++)
		h->sockets[i].is_own |= h->sockets[i].inode == inode;
}

static void host_ports_read_link(struct host_ports *h, int directory, const char *name)
{
	char link[HOST_PORTS_LINK_MAX] = "";
	unsigned long inode;

	if (readlinkat(directory, name, link, sizeof(link) - 1) > 0 &&
	    sscanf(link, "socket:[%lu]", &inode) == 1)
		host_ports_own(h, inode);
}

/* One that has ended meanwhile listens no more. */
static bool host_ports_on_process(void *arg, pid_t pid)
{
	struct host_ports *h = arg;
	struct dirent *entry;
	char path[64];
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	if (!dir && errno != ENOENT && errno != ESRCH) {
		h->r = -errno;
		h->pid = pid;
	}
	while (dir && (entry = readdir(dir)))
		host_ports_read_link(h, dirfd(dir), entry->d_name);
	if (dir)
		closedir(dir);
	return true;
}

/* --- the answer --- */

static int host_ports_say(char error[HOST_PORTS_ERROR_MAX], const struct target_port *port, int r)
{
	const char *who = r == -EADDRINUSE ? "somebody else listens"
					   : "no process of its containers listens";

	snprintf(error, HOST_PORTS_ERROR_MAX,
		 "the pod is in the node's network, and %s on its port '%u/%s'", who, port->port,
		 config_protocol_name(port->protocol));
	return r;
}

static int host_ports_judge(const struct host_ports *h, const struct target_port *port,
			    char error[HOST_PORTS_ERROR_MAX])
{
	size_t own = 0;

	for (size_t i = 0; i < h->len; i++) {
		const struct host_ports_socket *socket = &h->sockets[i];

		if (socket->port.port != port->port || socket->port.protocol != port->protocol)
			continue;
		if (!socket->is_own)
			return host_ports_say(error, port, -EADDRINUSE);
		own++;
	}
	return own ? 0 : host_ports_say(error, port, -EADDRNOTAVAIL);
}

int host_ports_check(const struct netns *ns, const char *pod_dir, const struct target_port *ports,
		     size_t ports_len, char error[HOST_PORTS_ERROR_MAX])
{
	_cleanup_(host_ports_free) struct host_ports h = { 0 };
	int r = host_ports_list_all(&h, ns, ports, ports_len);

	if (r < 0) {
		snprintf(error, HOST_PORTS_ERROR_MAX,
			 "the pod is in the node's network, and who listens on its ports cannot "
			 "be told: %s%s",
			 strerror(-r),
			 r == -ENOENT ? " (tcp_diag and udp_diag: modprobe udp_diag)" : "");
		return r;
	}
	if (!host_ports_ask_cgroups(&h, pod_dir))
		pod_place_each_process(pod_dir, host_ports_on_process, &h);
	if (h.r < 0) {
		snprintf(error, HOST_PORTS_ERROR_MAX,
			 "the pod is in the node's network, and what its process '%d' has open "
			 "cannot be read: %s",
			 (int)h.pid, strerror(-h.r));
		return h.r;
	}
	for (size_t i = 0; i < ports_len && r == 0; i++)
		r = host_ports_judge(&h, &ports[i], error);
	return r;
}
