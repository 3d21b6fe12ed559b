// SPDX-License-Identifier: MIT
/*
 * Prints what pod_watch tells, for tests/fake/test_pod_watch.py: "put NAME VERSION", "gone UID",
 * "unreadable NAME WHY", "listed". Ends with its stdin.
 *
 *	usage: pod_watch_print KUBECONFIG NODE [SILENCE_MS [DEAD_S]]
 *
 * A watch of which nothing comes for SILENCE_MS is begun anew; a server that does not acknowledge
 * for DEAD_S, asked each second, is dead. 0: as doze has it.
 */
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/http.h"
#include "base/log.h"
#include "base/util.h"
#include "kube/kubeconfig.h"
#include "kube/pod_watch.h"

static void on_put(void *arg, struct kube_pod *pod)
{
	(void)arg;
	printf("put %s generation=%d terminating=%d\n", pod->name, (int)pod->generation,
	       pod->is_terminating);
	kube_pod_free(&pod);
}

static void on_gone(void *arg, const char *uid)
{
	(void)arg;
	printf("gone %s\n", uid);
}

static void on_unreadable(void *arg, const struct pod_watch_unreadable *pod)
{
	(void)arg;
	printf("unreadable %s %s\n", pod->name->name, pod->why);
}

static void on_refused(void *arg, const char *why)
{
	(void)arg;
	(void)why; /* it is in the log */
}

static void on_listed(void *arg)
{
	(void)arg;
	printf("listed\n");
}

static void on_stdin(evutil_socket_t fd, short what, void *arg)
{
	char byte;

	(void)what;
	if (read(fd, &byte, 1) <= 0)
		event_base_loopbreak(arg);
}

static int argument(int argc, char **argv, int i)
{
	return argc > i ? atoi(argv[i]) : 0;
}

int main(int argc, char **argv)
{
	const struct http_limits limits = {
		.keepalive_s = 1,
		.interval_s = 1,
		.unacked_ms = 1000 * argument(argc, argv, 4),
	};
	struct event_base *base = event_base_new();
	struct event *ends = event_new(base, STDIN_FILENO, EV_READ | EV_PERSIST, on_stdin, base);
	struct pod_watch_settings settings = {
		.put = on_put,
		.gone = on_gone,
		.unreadable = on_unreadable,
		.listed = on_listed,
		.refused = on_refused,
	};
	struct kube_access access = { 0 };
	char error[KUBE_ERROR_MAX] = "";
	struct pod_watch *watch = NULL;
	struct kube *kube = NULL;
	struct http *http = NULL;
	int status = 1;

	setvbuf(stdout, NULL, _IOLBF, 0);
	settings.node = argc >= 3 ? argv[2] : "";
	settings.silence_ms = (unsigned int)argument(argc, argv, 3);
	if (argc >= 3 && kubeconfig_read(&access, argv[1], error) == 0 &&
	    http_new(&http, base, limits.unacked_ms ? &limits : NULL) == 0 &&
	    kube_new(&kube, http, &access) == 0 &&
	    pod_watch_new(&watch, base, kube, &settings) == 0) {
		event_add(ends, NULL);
		event_base_dispatch(base);
		status = 0;
	}
	if (*error)
		fprintf(stderr, "%s\n", error);
	pod_watch_free(&watch);
	kube_free(&kube);
	http_free(&http);
	kube_access_free(&access);
	event_free(ends);
	event_base_free(base);
	return status;
}
