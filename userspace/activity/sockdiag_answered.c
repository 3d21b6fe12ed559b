// SPDX-License-Identifier: MIT
/* Reads the cookies that bpf/answered.bpf.c writes. */
#include "activity/sockdiag_answered.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "answered.skel.h"
#include "base/log.h"
#include "base/util.h"

#define ANSWERED_COOKIES_MIN 512

struct sockdiag_answered {
	struct answered_bpf *skel;
	uint64_t *cookies; /* sorted */
	size_t len, room;
};

static int sockdiag_answered_load(struct sockdiag_answered *a)
{
	int r;

	a->skel = answered_bpf__open();
	if (!a->skel)
		return -errno;
	r = answered_bpf__load(a->skel);
	return r < 0 ? r : answered_bpf__attach(a->skel);
}

int sockdiag_answered_new(struct sockdiag_answered **out)
{
	_cleanup_(sockdiag_answered_free) struct sockdiag_answered *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return -ENOMEM;
	r = sockdiag_answered_load(a);
	if (r < 0) {
		log_info("no BPF iterator over TCP sockets (kernel 5.9 with BTF, CAP_PERFMON): a "
			 "request that was answered within a tick may keep its target awake",
			 "error=\"%s\"", strerror(-r));
		return r;
	}
	*out = TAKE_PTR(a);
	return 0;
}

void sockdiag_answered_free(struct sockdiag_answered **a)
{
	if (!*a)
		return;
	answered_bpf__destroy((*a)->skel);
	free((*a)->cookies);
	free(*a);
	*a = NULL;
}

static int sockdiag_answered_make_room(struct sockdiag_answered *a)
{
	size_t room = a->room ? 2 * a->room : ANSWERED_COOKIES_MIN;
	uint64_t *grown;

	if (a->len < a->room)
		return 0;
	grown = realloc(a->cookies, room * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	a->cookies = grown;
	a->room = room;
	return 0;
}

/* The kernel returns whole records, as many as fit. */
static int sockdiag_answered_read(struct sockdiag_answered *a, int fd)
{
	ssize_t n;
	int r;

	a->len = 0;
	do {
		r = sockdiag_answered_make_room(a);
		if (r < 0)
			return r;
		n = read(fd, a->cookies + a->len, (a->room - a->len) * sizeof(*a->cookies));
		if (n > 0)
			a->len += (size_t)n / sizeof(*a->cookies);
	} while (n > 0 || (n < 0 && (errno == EINTR || errno == EAGAIN)));
	return n < 0 ? -errno : 0;
}

static int sockdiag_answered_compare(const void *left, const void *right)
{
	uint64_t l = *(const uint64_t *)left, r = *(const uint64_t *)right;

	return (l > r) - (l < r);
}

int sockdiag_answered_look(struct sockdiag_answered *a)
{
	_cleanup_(closep) int fd = bpf_iter_create(bpf_link__fd(a->skel->links.answered));
	int r = fd < 0 ? fd : sockdiag_answered_read(a, fd);

	if (r < 0) {
		a->len = 0;
		return log_err(r, "cannot iterate over the TCP sockets");
	}
	qsort(a->cookies, a->len, sizeof(*a->cookies), sockdiag_answered_compare);
	return 0;
}

bool sockdiag_answered_has(const struct sockdiag_answered *a, uint64_t cookie)
{
	return a->len &&
	       bsearch(&cookie, a->cookies, a->len, sizeof(cookie), sockdiag_answered_compare);
}
