// SPDX-License-Identifier: MIT
/* `doze status`: asks every doze of this machine, or those named, what it does and why. */
#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <glob.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "command/command.h"
#include "report/server.h"

#define CMD_STATUS_TIMEOUT_S  5L
#define CMD_STATUS_ANSWER_MAX (16 << 20)

struct cmd_status_answer {
	char *text;
	size_t len;
};

static size_t cmd_status_on_bytes(char *bytes, size_t size, size_t n, void *arg)
{
	struct cmd_status_answer *answer = arg;
	size_t len = size * n;
	char *grown;

	if (len > CMD_STATUS_ANSWER_MAX - answer->len)
		return 0;
	grown = realloc(answer->text, answer->len + len);
	if (!grown)
		return 0;
	memcpy(grown + answer->len, bytes, len);
	answer->text = grown;
	answer->len += len;
	return len;
}

static CURLcode cmd_status_ask(const char *path, const char *url, struct cmd_status_answer *answer)
{
	CURL *easy = curl_easy_init();
	CURLcode r;

	if (!easy)
		return CURLE_OUT_OF_MEMORY;
	curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, path);
	curl_easy_setopt(easy, CURLOPT_URL, url);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT, CMD_STATUS_TIMEOUT_S);
	curl_easy_setopt(easy, CURLOPT_FAILONERROR, 1L);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, cmd_status_on_bytes);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, answer);
	r = curl_easy_perform(easy);
	curl_easy_cleanup(easy);
	return r;
}

/* Anybody may listen on a socket that is named: no byte is printed that a terminal would obey. */
static void cmd_status_print(const struct cmd_status_answer *answer)
{
	for (size_t i = 0; i < answer->len; i++) {
		unsigned char c = (unsigned char)answer->text[i];

		putchar(isprint(c) || c == '\n' || c == '\t' ? c : '?');
	}
	putchar('\n');
}

/* 0; 1, said on stderr; or -ECONNREFUSED: nobody listens there. */
static int cmd_status_show(const char *path, const struct config *config)
{
	const char *url = config->is_json ? "http://doze" SERVER_STATUS_JSON
					  : "http://doze" SERVER_STATUS_TEXT;
	struct cmd_status_answer answer = { 0 }, ready = { 0 };
	CURLcode r = cmd_status_ask(path, url, &answer);

	if (r == CURLE_OK)
		cmd_status_print(&answer);
	free(answer.text);
	if (r == CURLE_COULDNT_CONNECT)
		return -ECONNREFUSED;
	if (r != CURLE_OK)
		fprintf(stderr, "doze status: '%s': %s\n", path, curl_easy_strerror(r));
	if (r == CURLE_OK && config->is_ready_asked) {
		r = cmd_status_ask(path, "http://doze" SERVER_READY, &ready);
		free(ready.text);
		if (r != CURLE_OK)
			fprintf(stderr, "doze status: '%s': it is not ready\n", path);
	}
	return r != CURLE_OK;
}

static int cmd_status_show_named(const char *path, const struct config *config)
{
	int r = cmd_status_show(path, config);

	if (r == -ECONNREFUSED)
		fprintf(stderr, "doze status: '%s': nobody listens on it\n", path);
	return r != 0;
}

/* A socket that nobody listens on is of a doze that was killed. */
static int cmd_status_show_all(const struct config *config)
{
	size_t answered = 0;
	glob_t found;
	int failed = 0;

	if (glob(SERVER_DIRECTORY "/*.sock", 0, NULL, &found) != 0)
		found.gl_pathc = 0;
	for (size_t i = 0; i < found.gl_pathc; i++) {
		int r = cmd_status_show(found.gl_pathv[i], config);

		answered += r != -ECONNREFUSED;
		failed |= r == 1;
	}
	if (found.gl_pathc)
		globfree(&found);
	if (!answered)
		fputs("doze status: no doze listens in '" SERVER_DIRECTORY "'\n", stderr);
	return failed || !answered;
}

static int cmd_status_start(const struct config *config)
{
	int status = 0;

	if (!config->command)
		return cmd_status_show_all(config);
	for (char **path = config->command; *path; path++)
		status |= cmd_status_show_named(*path, config);
	return status;
}

const struct command cmd_status = {
	.name = "status",
	.settings = CONFIG_STATUS,
	.run = cmd_status_start,
	.brief = "tell what each doze of this machine does, and why",
	.usage = "[--json] [--ready] [SOCKET]...",
	.about =
		"Tells what each doze of this machine does and why: in which state its target is, "
		"why it is awake, what woke it last, and when it will sleep. SOCKET is as --socket of "
		"doze run, sidecar or node names it. Default: every socket in " SERVER_DIRECTORY
		".",
	.exit_status =
		"Exit status: 0; 1 if there is no doze, or one does not answer, or, with --ready, "
		"one cannot do its work now; 2 if the flags are wrong.",
};
