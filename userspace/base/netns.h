/* SPDX-License-Identifier: MIT */
/*
 * The network namespace of a target. We enter it only for the calls that need it, and leave at
 * once; sockets and links that were made inside belong to it for good.
 */
#ifndef DOZE_NETNS_H
#define DOZE_NETNS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct netns {
	int fd;	      /* the target's */
	int home_fd;  /* ours */
	bool is_home; /* both are the same: entering does nothing */
	uint64_t id;  /* the inode of the target's: no other has it while we keep it open */
};

#define NETNS_NONE ((struct netns){ .fd = -1, .home_fd = -1, .is_home = true })

/* Opens the namespace of a process; of ours if pid is 0. Logs its errors, -errno. */
int netns_open(struct netns *out, pid_t pid);
void netns_close(struct netns *ns);

/* Every netns_enter() that returned 0 is followed by netns_leave(). Logs its errors, -errno. */
int netns_enter(const struct netns *ns);
void netns_leave(const struct netns *ns);

/* A TCP socket made inside, which does not block. -errno. */
int netns_socket(const struct netns *ns, int family);

#endif
