// SPDX-License-Identifier: MIT
/* Whose socket is broken when a server is silent. */
#include <arpa/inet.h>
#include <event2/event.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/http.h"
#include "base/util.h"
#include "lib/test.h"

static struct {
	struct event_base *base;
	struct http *http;
	struct sockaddr_in address; /* of a listener whose queue is full: nobody gets in */
	int listener, first;
} rig;

static int rig_connect(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&rig.address, sizeof(rig.address)), 0);
	return fd;
}

static void rig_open(void)
{
	socklen_t len = sizeof(rig.address);

	rig.base = event_base_new();
	assert_int_equal(http_new(&rig.http, rig.base, NULL), 0);
	rig.address = (struct sockaddr_in){ .sin_family = AF_INET,
					    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	rig.listener = socket(AF_INET, SOCK_STREAM, 0);
	bind(rig.listener, (struct sockaddr *)&rig.address, len);
	listen(rig.listener, 0);
	getsockname(rig.listener, (struct sockaddr *)&rig.address, &len);
	rig.first = rig_connect();
}

static void rig_close(void)
{
	http_free(&rig.http);
	event_base_free(rig.base);
	close(rig.first);
	close(rig.listener);
}

static void on_done(void *arg, CURL *easy, CURLcode result)
{
	(void)arg;
	(void)easy;
	(void)result;
}

/* A connect that is given up while it is under way; the loop runs until libcurl waits for it. */
static void give_up_a_connect(void)
{
	struct http_transfer transfer = { .done = on_done };
	CURL *easy = curl_easy_init();
	char url[64];

	snprintf(url, sizeof(url), "http://127.0.0.1:%u/", ntohs(rig.address.sin_port));
	curl_easy_setopt(easy, CURLOPT_URL, url);
	curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
	assert_int_equal(http_start(rig.http, easy, &transfer), 0);
	event_base_loop(rig.base, EVLOOP_ONCE);
	event_base_loop(rig.base, EVLOOP_NONBLOCK);
	http_cancel(rig.http, easy);
	curl_easy_cleanup(easy);
}

static void make_pair(int pair[2])
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(address);
	int listener;

	pair[0] = socket(AF_INET, SOCK_STREAM, 0);
	listener = socket(AF_INET, SOCK_STREAM, 0);
	bind(listener, (struct sockaddr *)&address, len);
	listen(listener, 1);
	getsockname(listener, (struct sockaddr *)&address, &len);
	connect(pair[0], (struct sockaddr *)&address, len);
	pair[1] = accept(listener, NULL, NULL);
	close(listener);
}

static void expect_unbroken(const int pair[2])
{
	char byte;

	assert_int_equal(send(pair[1], "x", 1, MSG_NOSIGNAL), 1);
	assert_int_equal(recv(pair[0], &byte, 1, 0), 1);
}

/* One of these pairs has the descriptor that the connect had. */
TEST(connections_of_others_are_not_broken)
{
	int pairs[4][2];

	rig_open();
	give_up_a_connect();
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
		make_pair(pairs[i]);
	http_break_silent(rig.http, 0);
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		expect_unbroken(pairs[i]);
		close(pairs[i][0]);
		close(pairs[i][1]);
	}
	rig_close();
}

/* LeakSanitizer looks. */
TEST(connects_that_failed_are_forgotten)
{
	rig_open();
	for (int i = 0; i < 10; i++)
		give_up_a_connect();
	rig_close();
}
