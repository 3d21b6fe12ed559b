// SPDX-License-Identifier: MIT
/* `doze status`: asks every doze of this machine, or those named, what it does and why. */
#include "command/cmd_status.h"

#include <curl/curl.h>
#include <errno.h>
#include <glob.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "report/server.h"
#include "report/status_json.h"

#define STATUS_EXIT_USAGE 2
#define STATUS_TIMEOUT_S  5L
#define STATUS_ANSWER_MAX (1 << 20)

struct status_answer {
	char *text;
	size_t len;
};

static void status_print_help(void)
{
	fputs("Usage: doze status [--json] [SOCKET]...\n"
	      "\n"
	      "Tells what each doze of this machine does and why: in which state its target is, why\n"
	      "it is awake, what woke it last, and when it will sleep.\n"
	      "\n"
	      "SOCKET: as --socket of doze run, sidecar or node names it. Default: every socket in\n" SERVER_DIRECTORY
	      ".\n"
	      "\n"
	      "Flags:\n\n"
	      "    --json\n"
	      "        All that is known, as JSON: an object for each doze.\n"
	      "    -h, --help\n"
	      "        This text.\n"
	      "\n"
	      "Exit status: 0; 1 if there is no doze, or one does not answer; 2 if the flags are\n"
	      "wrong.\n",
	      stdout);
}

static size_t status_on_bytes(char *bytes, size_t size, size_t n, void *arg)
{
	struct status_answer *answer = arg;
	size_t len = size * n;
	char *grown;

	if (len > STATUS_ANSWER_MAX - answer->len)
		return 0;
	grown = realloc(answer->text, answer->len + len + 1);
	if (!grown)
		return 0;
	memcpy(grown + answer->len, bytes, len);
	answer->text = grown;
	answer->len += len;
	answer->text[answer->len] = '\0';
	return len;
}

static CURLcode status_ask(const char *path, struct status_answer *answer)
{
	CURL *easy = curl_easy_init();
	CURLcode r;

	if (!easy)
		return CURLE_OUT_OF_MEMORY;
	curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, path);
	curl_easy_setopt(easy, CURLOPT_URL, "http://doze/status");
	curl_easy_setopt(easy, CURLOPT_TIMEOUT, STATUS_TIMEOUT_S);
	curl_easy_setopt(easy, CURLOPT_FAILONERROR, 1L);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, status_on_bytes);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, answer);
	r = curl_easy_perform(easy);
	curl_easy_cleanup(easy);
	return r;
}

/* NULL, or what is wrong with the answer. */
static const char *status_print(const struct status_answer *answer, bool is_json)
{
	_cleanup_(freep) char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	int r;

	if (!out)
		return "no memory";
	r = status_json_explain(out, answer->text ? answer->text : "", answer->len);
	fclose(out);
	if (r < 0)
		return "the answer is not doze's";
	puts(is_json ? answer->text : text);
	return NULL;
}

/* 0; 1, said on stderr; or -ECONNREFUSED: nobody listens there. */
static int status_show(const char *path, bool is_json)
{
	struct status_answer answer = { 0 };
	CURLcode r = status_ask(path, &answer);
	const char *wrong = r == CURLE_OK ? status_print(&answer, is_json) : curl_easy_strerror(r);

	free(answer.text);
	if (r == CURLE_COULDNT_CONNECT)
		return -ECONNREFUSED;
	if (wrong)
		fprintf(stderr, "doze status: '%s': %s\n", path, wrong);
	return wrong ? 1 : 0;
}

static int status_show_named(const char *path, bool is_json)
{
	int r = status_show(path, is_json);

	if (r == -ECONNREFUSED)
		fprintf(stderr, "doze status: '%s': nobody listens on it\n", path);
	return r != 0;
}

/* A socket that nobody listens on is of a doze that was killed. */
static int status_show_all(bool is_json)
{
	size_t answered = 0;
	glob_t found;
	int failed = 0;

	if (glob(SERVER_DIRECTORY "/*.sock", 0, NULL, &found) != 0)
		found.gl_pathc = 0;
	for (size_t i = 0; i < found.gl_pathc; i++) {
		int r = status_show(found.gl_pathv[i], is_json);

		answered += r != -ECONNREFUSED;
		failed |= r == 1;
	}
	if (found.gl_pathc)
		globfree(&found);
	if (!answered)
		fputs("doze status: no doze listens in '" SERVER_DIRECTORY "'\n", stderr);
	return failed || !answered;
}

int cmd_status(int argc, char **argv)
{
	bool is_json = false;
	int at = 1, status = 0;

	for (; at < argc && *argv[at] == '-'; at++) {
		if (strcmp(argv[at], "--help") == 0 || strcmp(argv[at], "-h") == 0) {
			status_print_help();
			return 0;
		}
		if (strcmp(argv[at], "--json") != 0) {
			fprintf(stderr,
				"doze status: unknown flag '%s' (doze status --help lists "
				"all flags)\n",
				argv[at]);
			return STATUS_EXIT_USAGE;
		}
		is_json = true;
	}
	if (at == argc)
		return status_show_all(is_json);
	for (; at < argc; at++)
		status |= status_show_named(argv[at], is_json);
	return status;
}
