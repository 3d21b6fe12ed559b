// SPDX-License-Identifier: MIT
/* One libcurl handle for each request; libcurl's multi handle shares their connections. */
#include "kube/kube.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "base/util.h"
#include "base/version.h"

/* A wake waits for the answer: short enough to try again, longer than an API server needs. */
#define KUBE_CONNECT_TIMEOUT_MS 2000L
#define KUBE_TIMEOUT_MS		5000L

struct kube {
	struct http *http;
	const struct kube_access *access;
};

struct kube_request {
	struct kube *kube;
	struct http_transfer transfer;
	CURL *easy;
	struct curl_slist *headers;
	char *url, *method, *sent;
	kube_answer_fn answer;
	kube_bytes_fn bytes; /* NULL: the body is collected */
	void *arg;
	long timeout_ms;
	char *body;
	size_t body_len;
	long retry_after_s;
	bool is_second_try, is_too_long;
	char error[CURL_ERROR_SIZE]; /* libcurl's words, "" if it has none */
};

int kube_new(struct kube **out, struct http *http, const struct kube_access *access)
{
	struct kube *k = calloc(1, sizeof(*k));

	if (!k)
		return log_err(-ENOMEM, "cannot make the API client");
	k->http = http;
	k->access = access;
	*out = k;
	return 0;
}

void kube_free(struct kube **k)
{
	free(*k);
	*k = NULL;
}

static void kube_request_free(struct kube_request **request)
{
	if (!*request)
		return;
	curl_easy_cleanup((*request)->easy);
	curl_slist_free_all((*request)->headers);
	free((*request)->url);
	free((*request)->method);
	free((*request)->sent);
	free((*request)->body);
	free(*request);
	*request = NULL;
}

/* --- while the answer comes: called by libcurl --- */

static bool kube_is_streaming(const struct kube_request *request)
{
	long status = 0;

	if (request->bytes)
		curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &status);
	return status == 200;
}

static size_t kube_on_body(char *data, size_t size, size_t count, void *arg)
{
	struct kube_request *request = arg;
	size_t len = size * count;
	char *grown;

	request->is_too_long = request->body_len + len > KUBE_BODY_MAX;
	if (request->is_too_long)
		return 0;
	grown = realloc(request->body, request->body_len + len + 1);
	if (!grown)
		return 0;
	request->body = grown;
	memcpy(request->body + request->body_len, data, len);
	request->body_len += len;
	request->body[request->body_len] = '\0';
	if (kube_is_streaming(request))
		http_want_turn(request->kube->http, &request->transfer);
	return len;
}

static size_t kube_on_header(char *data, size_t size, size_t count, void *arg)
{
	static const char name[] = "retry-after:";
	struct kube_request *request = arg;
	size_t len = size * count;
	char number[16] = "";

	if (len > sizeof(name) && strncasecmp(data, name, sizeof(name) - 1) == 0) {
		snprintf(number, sizeof(number), "%.*s", (int)(len - sizeof(name) + 1),
			 data + sizeof(name) - 1);
		/* Seconds: no API server sends the date form of RFC 9110, 10.2.3. */
		request->retry_after_s = strtol(number, NULL, 10);
	}
	if (len == strlen("\r\n") && kube_is_streaming(request))
		http_want_turn(request->kube->http, &request->transfer);
	return len;
}

/* --- sending --- */

static int kube_add_header(struct kube_request *request, const char *header)
{
	struct curl_slist *grown = curl_slist_append(request->headers, header);

	if (!grown)
		return -ENOMEM;
	request->headers = grown;
	return 0;
}

static int kube_add_headers(struct kube_request *request)
{
	_cleanup_(freep) char *authorization = NULL;
	int r = kube_access_authorization(request->kube->access, &authorization);

	curl_slist_free_all(request->headers);
	request->headers = NULL;
	if (r == 0 && authorization)
		r = kube_add_header(request, authorization);
	if (r == 0)
		r = kube_add_header(request, "Accept: application/json");
	if (r == 0) /* curl's 100-continue would cost a round trip */
		r = kube_add_header(request, "Expect:");
	if (r == 0 && request->sent) /* a PATCH changes an object, a POST makes one */
		r = kube_add_header(
			request, strcmp(request->method, "POST") == 0
					 ? "Content-Type: application/json"
					 : "Content-Type: application/strategic-merge-patch+json");
	return r;
}

static int kube_send(struct kube_request *request)
{
	const struct kube_access *access = request->kube->access;
	CURL *easy = request->easy;
	int r = kube_add_headers(request);

	if (r < 0)
		return r;
	*request->error = '\0';
	curl_easy_reset(easy);
	curl_easy_setopt(easy, CURLOPT_URL, request->url);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https");
	curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
	if (request->sent)
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->sent);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, request->headers);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "doze/" DOZE_VERSION);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, request->error);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, KUBE_CONNECT_TIMEOUT_MS);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, request->timeout_ms);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, kube_on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, request);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, kube_on_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, request);
	if (access->ca_file)
		curl_easy_setopt(easy, CURLOPT_CAINFO, access->ca_file);
	if (access->cert_file)
		curl_easy_setopt(easy, CURLOPT_SSLCERT, access->cert_file);
	if (access->key_file)
		curl_easy_setopt(easy, CURLOPT_SSLKEY, access->key_file);
	/* A CA that has been replaced must count at once, not after libcurl's 24 hours. */
	curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 0L);
	return http_start(request->kube->http, easy, &request->transfer);
}

/* --- the answer --- */

/* It was sent, and not answered. One that could not connect says nothing of other connections. */
static bool kube_waited_in_vain(const struct kube_request *request, CURLcode result)
{
	curl_off_t sent_us = 0;

	curl_easy_getinfo(request->easy, CURLINFO_PRETRANSFER_TIME_T, &sent_us);
	return result == CURLE_OPERATION_TIMEDOUT && sent_us > 0;
}

static const char *kube_transport(const struct kube_request *request, CURLcode result)
{
	if (request->is_too_long)
		return "the answer is too long";
	return *request->error ? request->error : curl_easy_strerror(result);
}

/* Whether the request is under way again, with the token and the CA as they are now. */
static bool kube_try_again(struct kube_request *request, CURLcode result, long status)
{
	if (request->is_second_try ||
	    !(result == CURLE_PEER_FAILED_VERIFICATION || (result == CURLE_OK && status == 401)))
		return false;
	request->is_second_try = true;
	request->body_len = 0;
	return kube_send(request) == 0;
}

static void kube_on_done(void *arg, CURL *easy, CURLcode result)
{
	struct kube_request *request = arg;
	struct kube_answer answer = { .body = "" };

	if (kube_waited_in_vain(request, result))
		http_break_silent(request->kube->http, (unsigned int)request->timeout_ms);
	if (result == CURLE_OK)
		curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &answer.status);
	else
		answer.transport = kube_transport(request, result);
	if (kube_try_again(request, result, answer.status))
		return;
	if (request->body) {
		answer.body = request->body;
		answer.body_len = request->body_len;
	}
	answer.retry_after_s = request->retry_after_s;
	answer.is_too_long = request->is_too_long;
	request->answer(request->arg, &answer);
	kube_request_free(&request);
}

/* The beginning, or a piece, of a body that does not end. */
static void kube_on_turn(void *arg)
{
	struct kube_request *request = arg;
	size_t len = request->body_len;
	bool goes_on;

	request->body_len = 0;
	goes_on = request->bytes(request->arg, request->body ? request->body : "", len);
	if (request->body)
		*request->body = '\0';
	if (goes_on)
		return;
	http_cancel(request->kube->http, request->easy);
	kube_on_done(request, request->easy, CURLE_WRITE_ERROR);
}

/* --- requests --- */

static struct kube_request *kube_request_new(struct kube *k, const char *path,
					     kube_answer_fn answer, void *arg)
{
	struct kube_request *request = calloc(1, sizeof(*request));

	if (!request)
		return NULL;
	*request = (struct kube_request){
		.kube = k,
		.transfer = { .done = kube_on_done, .turn = kube_on_turn, .arg = request },
		.answer = answer,
		.arg = arg,
		.timeout_ms = KUBE_TIMEOUT_MS,
		.easy = curl_easy_init(),
	};
	if (asprintf(&request->url, "%s%s", k->access->server, path) < 0)
		request->url = NULL;
	return request;
}

/* NULL: it could not be sent, and is gone. */
static struct kube_request *kube_send_first(struct kube_request *request, const char *method)
{
	request->method = strdup(method);
	if (!request->easy || !request->method || !request->url || kube_send(request) < 0)
		kube_request_free(&request);
	return request;
}

struct kube_request *kube_start(struct kube *k, const char *method, const char *path,
				const char *body, kube_answer_fn answer, void *arg)
{
	struct kube_request *request = kube_request_new(k, path, answer, arg);

	if (!request)
		return NULL;
	request->sent = body ? strdup(body) : NULL;
	if (body && !request->sent) {
		kube_request_free(&request);
		return NULL;
	}
	return kube_send_first(request, method);
}

struct kube_request *kube_start_stream(struct kube *k, const char *path, long timeout_s,
				       kube_bytes_fn bytes, kube_answer_fn answer, void *arg)
{
	struct kube_request *request = kube_request_new(k, path, answer, arg);

	if (!request)
		return NULL;
	request->bytes = bytes;
	request->timeout_ms = timeout_s * 1000;
	return kube_send_first(request, "GET");
}

void kube_cancel(struct kube_request **request)
{
	if (!*request)
		return;
	http_cancel((*request)->kube->http, (*request)->easy);
	kube_request_free(request);
}

void kube_give_up(struct kube_request **request, unsigned int waited_ms)
{
	struct http *http = (*request)->kube->http;

	kube_cancel(request);
	http_break_silent(http, waited_ms);
}

void kube_redirect(struct kube_request *request, kube_answer_fn answer, void *arg)
{
	request->answer = answer;
	request->arg = arg;
}
