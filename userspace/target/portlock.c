// SPDX-License-Identifier: MIT
/* Binds a name in the abstract namespace. */
#include "target/portlock.h"

#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/log.h"
#include "base/util.h"

int portlock_take(uint16_t port, uint8_t protocol)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const char *name = protocol == IPPROTO_UDP ? "udp" : "tcp";
	_cleanup_(closep) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	size_t len;

	if (fd < 0)
		return log_err(-errno, "cannot lock port '%u/%s'", port, name);
	/* The first byte of an abstract name is NUL. */
	len = 1 + (size_t)snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1,
				   "doze/port/%u/%s", port, name);
	if (bind(fd, (struct sockaddr *)&address,
		 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) == 0)
		return TAKE_FD(fd);
	if (errno == EADDRINUSE)
		return log_err(
			-EADDRINUSE,
			"port '%u/%s' has a gate already in this network namespace: stop the "
			"other doze first",
			port, name);
	return log_err(-errno, "cannot lock port '%u/%s'", port, name);
}
