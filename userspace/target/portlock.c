// SPDX-License-Identifier: MIT
/*
 * Binds a name in the abstract namespace that nobody can foresee, behind one that names the port.
 * Whether another doze has one too is read from the kernel's list of unix sockets, with the user
 * of each: a name that everybody may bind tells nothing by itself.
 */
#include "target/portlock.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/log.h"
#include "base/netlink.h"
#include "base/util.h"

struct portlock_search {
	const char *name; /* such as doze/port/8080/tcp */
	uint64_t own_ino; /* of the socket that does not count */
	bool is_found;
};

/* Root's, or of who we are: of anybody else it is no doze. Before 5.3 the kernel does not tell. */
static bool portlock_is_trusted(const struct nlmsghdr *message)
{
	const uint32_t *uid = netlink_attribute(message, sizeof(struct unix_diag_msg),
						UNIX_DIAG_UID, sizeof(*uid));

	return !uid || *uid == 0 || *uid == geteuid();
}

/* The name alone, as a doze of version 0.1 has it, or followed by a '/'. */
static bool portlock_has_name(const struct nlmsghdr *message, const char *name)
{
	size_t len = strlen(name), found_len = 0;
	const struct nlattr *attribute;
	const char *found = NULL;

	mnl_attr_for_each(attribute, message, sizeof(struct unix_diag_msg))
	{
		if (mnl_attr_get_type(attribute) == UNIX_DIAG_NAME) {
			found = mnl_attr_get_payload(attribute);
			found_len = mnl_attr_get_payload_len(attribute);
		}
	}
	/* The first byte of an abstract name is NUL. */
	return found && found_len > len && !*found && memcmp(found + 1, name, len) == 0 &&
	       (found_len == len + 1 || found[len + 1] == '/');
}

static int portlock_on_socket(const struct nlmsghdr *message, void *arg)
{
	const struct unix_diag_msg *entry = mnl_nlmsg_get_payload(message);
	struct portlock_search *search = arg;

	if (entry->udiag_ino != search->own_ino && portlock_has_name(message, search->name) &&
	    portlock_is_trusted(message))
		search->is_found = true;
	return MNL_CB_OK;
}

/* 0: there is no other doze; -EADDRINUSE: there is one; -errno: the kernel did not list them. */
static int portlock_look(const char *name, uint64_t own_ino)
{
	struct portlock_search search = { .name = name, .own_ino = own_ino };
	const struct unix_diag_req request = {
		.sdiag_family = AF_UNIX,
		.udiag_states = UINT32_MAX,
		.udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_UID,
	};
	int r = netlink_dump(NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, &request, sizeof(request),
			     portlock_on_socket, &search);

	if (r < 0)
		return r;
	return search.is_found ? -EADDRINUSE : 0;
}

static int portlock_bind(const char *name)
{
	_cleanup_(closep) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t len = strlen(name);

	if (fd < 0)
		return -errno;
	memcpy(address.sun_path + 1, name, len);
	if (bind(fd, (struct sockaddr *)&address,
		 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

/* Two that begin in the same moment refuse each other: one gate too few, rather than too many. */
static int portlock_take_unseen(const char *name)
{
	_cleanup_(closep) int fd = -1;
	char own_name[64];
	uint64_t random;
	struct stat st;
	int r;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return -EIO;
	snprintf(own_name, sizeof(own_name), "%s/%016" PRIx64, name, random);
	fd = portlock_bind(own_name);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	r = portlock_look(name, st.st_ino);
	return r < 0 ? r : TAKE_FD(fd);
}

int portlock_take(uint16_t port, uint8_t protocol)
{
	const char *protocol_name = protocol == IPPROTO_UDP ? "udp" : "tcp";
	char name[32];
	int r;

	snprintf(name, sizeof(name), "doze/port/%u/%s", port, protocol_name);
	r = portlock_look(name, 0);
	if (r == 0)
		r = portlock_take_unseen(name);
	else if (r != -EADDRINUSE)
		r = portlock_bind(name); /* the name tells, if nothing else does */
	if (r == -EADDRINUSE)
		return log_err(r,
			       "port '%u/%s' has a gate already in this network namespace: stop "
			       "the other doze first",
			       port, protocol_name);
	return r < 0 ? log_err(r, "cannot lock port '%u/%s'", port, protocol_name) : r;
}
