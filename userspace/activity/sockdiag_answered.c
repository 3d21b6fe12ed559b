// SPDX-License-Identifier: MIT
/* Reads the cookies that bpf/sockdiag_answered.bpf.c writes. */
#include "activity/sockdiag_answered.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "sockdiag_answered.skel.h"

#define SOCKDIAG_ANSWERED_COOKIES_MIN 512

struct sockdiag_answered {
	struct sockdiag_answered_bpf *skel;
	uint64_t *cookies; /* sorted */
	size_t len, room;
};

int sockdiag_answered_new(struct sockdiag_answered **out)
{
	_cleanup_(sockdiag_answered_free) struct sockdiag_answered *answered =
		calloc(1, sizeof(*answered));
	int r;

	if (!answered)
		return -ENOMEM;
	answered->skel = sockdiag_answered_bpf__open();
	r = answered->skel ? sockdiag_answered_bpf__load(answered->skel) : -errno;
	if (r == 0)
		r = sockdiag_answered_bpf__attach(answered->skel);
	if (r < 0) {
		log_info("no BPF iterator over TCP sockets (kernel 5.9 with BTF, CAP_PERFMON): a "
			 "request that was answered within a tick may keep its target awake",
			 "error=\"%s\"", strerror(-r));
		return r;
	}
	*out = TAKE_PTR(answered);
	return 0;
}

void sockdiag_answered_free(struct sockdiag_answered **answered)
{
	if (!*answered)
		return;
	sockdiag_answered_bpf__destroy((*answered)->skel);
	free((*answered)->cookies);
	free(*answered);
	*answered = NULL;
}

/* The kernel returns whole cookies, as many as fit. */
static int sockdiag_answered_read(struct sockdiag_answered *answered, int fd)
{
	ssize_t n;

	answered->len = 0;
	do {
		if (answered->len == answered->room) {
			size_t room = answered->room ? 2 * answered->room
						     : SOCKDIAG_ANSWERED_COOKIES_MIN;
			uint64_t *grown = realloc(answered->cookies, room * sizeof(*grown));

			if (!grown)
				return -ENOMEM;
			answered->cookies = grown;
			answered->room = room;
		}
		n = read(fd, answered->cookies + answered->len,
			 (answered->room - answered->len) * sizeof(*answered->cookies));
		if (n > 0)
			answered->len += (size_t)n / sizeof(*answered->cookies);
	} while (n > 0 || (n < 0 && (errno == EINTR || errno == EAGAIN)));
	return n < 0 ? -errno : 0;
}

static int sockdiag_answered_compare(const void *left, const void *right)
{
	const uint64_t *a = left, *b = right;

	return (*a > *b) - (*a < *b);
}

int sockdiag_answered_look(struct sockdiag_answered *answered)
{
	_cleanup_(closep) int fd =
		bpf_iter_create(bpf_link__fd(answered->skel->links.sockdiag_answered));
	int r = fd < 0 ? fd : sockdiag_answered_read(answered, fd);

	if (r < 0) {
		answered->len = 0;
		return log_err(r, "cannot iterate over the TCP sockets");
	}
	qsort(answered->cookies, answered->len, sizeof(*answered->cookies),
	      sockdiag_answered_compare);
	return 0;
}

bool sockdiag_answered_has(const struct sockdiag_answered *answered, uint64_t cookie)
{
	return answered->len && bsearch(&cookie, answered->cookies, answered->len, sizeof(cookie),
					sockdiag_answered_compare);
}
