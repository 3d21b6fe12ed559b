// SPDX-License-Identifier: MIT
/* One libcurl handle for each request; libcurl's multi handle shares their connections. */
#include "kube/kube.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/file.h"
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

void kube_access_free(struct kube_access *a)
{
	free(a->server);
	free(a->ca_file);
	free(a->token_file);
	free(a->token);
	free(a->cert_file);
	free(a->key_file);
	*a = (struct kube_access){ 0 };
}

static int kube_readable(char **out, const char *directory, const char *name,
			 char error[KUBE_ERROR_MAX])
{
	if (asprintf(out, "%s/%s", directory, name) < 0)
		return -ENOMEM;
	if (access(*out, R_OK) == 0)
		return 0;
	snprintf(error, KUBE_ERROR_MAX,
		 "cannot read '%s' (%s): the pod needs a service account's token mounted", *out,
		 strerror(errno));
	return -ENOENT;
}

int kube_access_in_cluster(struct kube_access *out, const char *directory,
			   char error[KUBE_ERROR_MAX])
{
	const char *host = getenv("KUBERNETES_SERVICE_HOST");
	const char *port = getenv("KUBERNETES_SERVICE_PORT_HTTPS");
	int r;

	*out = (struct kube_access){ 0 };
	if (!port || !*port)
		port = getenv("KUBERNETES_SERVICE_PORT");
	if (!host || !*host || !port || !*port) {
		snprintf(error, KUBE_ERROR_MAX,
			 "KUBERNETES_SERVICE_HOST and _PORT are not set: run in a pod, or give "
			 "--kubeconfig");
		return -ENOENT;
	}
	if (asprintf(&out->server, strchr(host, ':') ? "https://[%s]:%s" : "https://%s:%s", host,
		     port) < 0)
		return -ENOMEM;
	r = kube_readable(&out->ca_file, directory, "ca.crt", error);
	if (r == 0)
		r = kube_readable(&out->token_file, directory, "token", error);
	return r;
}

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

static void kube_request_free(struct kube_request *r)
{
	if (r->easy)
		curl_easy_cleanup(r->easy);
	curl_slist_free_all(r->headers);
	free(r->url);
	free(r->method);
	free(r->sent);
	free(r->body);
	free(r);
}

static long kube_status(const struct kube_request *r)
{
	long status = 0;

	curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
	return status;
}

static size_t kube_on_body(char *data, size_t size, size_t count, void *arg)
{
	struct kube_request *r = arg;
	size_t len = size * count;
	char *grown;

	r->is_too_long = r->body_len + len > KUBE_BODY_MAX;
	if (r->is_too_long)
		return 0;
	grown = realloc(r->body, r->body_len + len + 1);
	if (!grown)
		return 0;
	r->body = grown;
	memcpy(r->body + r->body_len, data, len);
	r->body_len += len;
	r->body[r->body_len] = '\0';
	if (r->bytes && kube_status(r) == 200)
		http_want_turn(r->kube->http, &r->transfer);
	return len;
}

/* Seconds; the date form of RFC 9110, 10.2.3 is not sent by an API server. */
static size_t kube_on_header(char *data, size_t size, size_t count, void *arg)
{
	static const char name[] = "retry-after:";
	struct kube_request *r = arg;
	size_t len = size * count;
	char number[16] = "";

	if (len > sizeof(name) && strncasecmp(data, name, sizeof(name) - 1) == 0) {
		snprintf(number, sizeof(number), "%.*s", (int)(len - sizeof(name) + 1),
			 data + sizeof(name) - 1);
		r->retry_after_s = strtol(number, NULL, 10);
	}
	if (r->bytes && len == strlen("\r\n") && kube_status(r) == 200)
		http_want_turn(r->kube->http, &r->transfer);
	return len;
}

/* The bearer header, with the token as the file has it now. */
static int kube_add_token(struct kube_request *r)
{
	const struct kube_access *access = r->kube->access;
	_cleanup_(freep) char *text = NULL;
	_cleanup_(freep) char *header = NULL;
	const char *token = access->token;
	struct curl_slist *grown;

	if (access->token_file) {
		int error = file_read(access->token_file, &text);

		if (error < 0)
			return log_err(error, "cannot read the token '%s'", access->token_file);
		text[strcspn(text, "\r\n")] = '\0';
		token = text;
	}
	if (!token)
		return 0;
	if (asprintf(&header, "Authorization: Bearer %s", token) < 0)
		return -ENOMEM;
	grown = curl_slist_append(r->headers, header);
	if (!grown)
		return -ENOMEM;
	r->headers = grown;
	return 0;
}

static int kube_add_header(struct kube_request *r, const char *header)
{
	struct curl_slist *grown = curl_slist_append(r->headers, header);

	if (!grown)
		return -ENOMEM;
	r->headers = grown;
	return 0;
}

/* A PATCH changes an object, a POST makes one. */
static const char *kube_content_type(const struct kube_request *r)
{
	return strcmp(r->method, "POST") == 0
		       ? "Content-Type: application/json"
		       : "Content-Type: application/strategic-merge-patch+json";
}

static int kube_add_headers(struct kube_request *r)
{
	int error;

	curl_slist_free_all(r->headers);
	r->headers = NULL;
	error = kube_add_header(r, "Accept: application/json");
	if (error == 0) /* curl's 100-continue would cost a round trip */
		error = kube_add_header(r, "Expect:");
	if (error == 0 && r->sent)
		error = kube_add_header(r, kube_content_type(r));
	if (error < 0)
		return error;
	return kube_add_token(r);
}

static void kube_set_access(struct kube_request *r)
{
	const struct kube_access *access = r->kube->access;

	if (access->ca_file)
		curl_easy_setopt(r->easy, CURLOPT_CAINFO, access->ca_file);
	if (access->cert_file)
		curl_easy_setopt(r->easy, CURLOPT_SSLCERT, access->cert_file);
	if (access->key_file)
		curl_easy_setopt(r->easy, CURLOPT_SSLKEY, access->key_file);
	/* A CA that has been replaced must count at once, not after libcurl's 24 hours. */
	curl_easy_setopt(r->easy, CURLOPT_CA_CACHE_TIMEOUT, 0L);
}

static int kube_send(struct kube_request *r)
{
	int error = kube_add_headers(r);

	if (error < 0)
		return error;
	curl_easy_reset(r->easy);
	curl_easy_setopt(r->easy, CURLOPT_URL, r->url);
	curl_easy_setopt(r->easy, CURLOPT_PROTOCOLS_STR, "https");
	curl_easy_setopt(r->easy, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(r->easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(r->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	curl_easy_setopt(r->easy, CURLOPT_CUSTOMREQUEST, r->method);
	if (r->sent)
		curl_easy_setopt(r->easy, CURLOPT_POSTFIELDS, r->sent);
	curl_easy_setopt(r->easy, CURLOPT_HTTPHEADER, r->headers);
	curl_easy_setopt(r->easy, CURLOPT_USERAGENT, "doze/" DOZE_VERSION);
	*r->error = '\0';
	curl_easy_setopt(r->easy, CURLOPT_ERRORBUFFER, r->error);
	curl_easy_setopt(r->easy, CURLOPT_CONNECTTIMEOUT_MS, KUBE_CONNECT_TIMEOUT_MS);
	curl_easy_setopt(r->easy, CURLOPT_TIMEOUT_MS, r->timeout_ms);
	curl_easy_setopt(r->easy, CURLOPT_WRITEFUNCTION, kube_on_body);
	curl_easy_setopt(r->easy, CURLOPT_WRITEDATA, r);
	curl_easy_setopt(r->easy, CURLOPT_HEADERFUNCTION, kube_on_header);
	curl_easy_setopt(r->easy, CURLOPT_HEADERDATA, r);
	kube_set_access(r);
	return http_start(r->kube->http, r->easy, &r->transfer);
}

static bool kube_deserves_second_try(const struct kube_request *r, CURLcode result, long status)
{
	if (r->is_second_try)
		return false;
	return result == CURLE_PEER_FAILED_VERIFICATION || (result == CURLE_OK && status == 401);
}

static void kube_on_done(void *arg, CURL *easy, CURLcode result);

/* The beginning, or a piece, of a body that does not end. */
static void kube_on_turn(void *arg)
{
	struct kube_request *r = arg;
	size_t len = r->body_len;
	bool goes_on;

	r->body_len = 0;
	goes_on = r->bytes(r->arg, r->body ? r->body : "", len);
	if (r->body)
		*r->body = '\0';
	if (goes_on)
		return;
	http_cancel(r->kube->http, r->easy);
	kube_on_done(r, r->easy, CURLE_WRITE_ERROR);
}

/* It was sent, and not answered. One that could not connect says nothing of other connections. */
static bool kube_waited_in_vain(const struct kube_request *r, CURLcode result)
{
	curl_off_t sent_us = 0;

	curl_easy_getinfo(r->easy, CURLINFO_PRETRANSFER_TIME_T, &sent_us);
	return result == CURLE_OPERATION_TIMEDOUT && sent_us > 0;
}

static const char *kube_transport(const struct kube_request *r, CURLcode result)
{
	if (r->is_too_long)
		return "the answer is too long";
	return *r->error ? r->error : curl_easy_strerror(result);
}

static void kube_on_done(void *arg, CURL *easy, CURLcode result)
{
	struct kube_request *r = arg;
	struct kube_answer answer = { .body = "", .retry_after_s = 0 };

	if (kube_waited_in_vain(r, result))
		http_break_silent(r->kube->http, (unsigned int)r->timeout_ms);
	if (result == CURLE_OK)
		curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &answer.status);
	else
		answer.transport = kube_transport(r, result);
	if (kube_deserves_second_try(r, result, answer.status)) {
		r->is_second_try = true;
		r->body_len = 0;
		if (kube_send(r) == 0)
			return;
	}
	if (r->body) {
		answer.body = r->body;
		answer.body_len = r->body_len;
	}
	answer.retry_after_s = r->retry_after_s;
	answer.is_too_long = r->is_too_long;
	r->answer(r->arg, &answer);
	kube_request_free(r);
}

static struct kube_request *kube_request_new(struct kube *k, const char *path,
					     kube_answer_fn answer, void *arg)
{
	struct kube_request *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->kube = k;
	r->answer = answer;
	r->arg = arg;
	r->timeout_ms = KUBE_TIMEOUT_MS;
	r->transfer = (struct http_transfer){
		.done = kube_on_done,
		.turn = kube_on_turn,
		.arg = r,
	};
	r->easy = curl_easy_init();
	if (asprintf(&r->url, "%s%s", k->access->server, path) < 0)
		r->url = NULL;
	return r;
}

/* NULL: it could not be sent, and is gone. */
static struct kube_request *kube_send_first(struct kube_request *r, const char *method)
{
	r->method = strdup(method);
	if (r->easy && r->method && r->url && kube_send(r) == 0)
		return r;
	kube_request_free(r);
	return NULL;
}

struct kube_request *kube_start(struct kube *k, const char *method, const char *path,
				const char *body, kube_answer_fn answer, void *arg)
{
	struct kube_request *r = kube_request_new(k, path, answer, arg);

	if (!r)
		return NULL;
	r->sent = body ? strdup(body) : NULL;
	if (body && !r->sent) {
		kube_request_free(r);
		return NULL;
	}
	return kube_send_first(r, method);
}

struct kube_request *kube_start_stream(struct kube *k, const char *path, long timeout_s,
				       kube_bytes_fn bytes, kube_answer_fn answer, void *arg)
{
	struct kube_request *r = kube_request_new(k, path, answer, arg);

	if (!r)
		return NULL;
	r->bytes = bytes;
	r->timeout_ms = timeout_s * 1000;
	return kube_send_first(r, "GET");
}

void kube_cancel(struct kube_request **r)
{
	if (!*r)
		return;
	http_cancel((*r)->kube->http, (*r)->easy);
	kube_request_free(*r);
	*r = NULL;
}

void kube_give_up(struct kube_request **r, unsigned int waited_ms)
{
	struct http *http = (*r)->kube->http;

	kube_cancel(r);
	http_break_silent(http, waited_ms);
}

void kube_redirect(struct kube_request *r, kube_answer_fn answer, void *arg)
{
	r->answer = answer;
	r->arg = arg;
}

static void kube_copy_line(char *out, size_t room, const char *text)
{
	snprintf(out, room, "%.*s", (int)strcspn(text, "\r\n"), text);
}

void kube_answer_message(const struct kube_answer *answer, char *out, size_t room)
{
	cJSON *root;
	const char *message;

	if (!answer->status) {
		kube_copy_line(out, room, answer->transport ? answer->transport : "no answer");
		return;
	}
	/* A 429 and errors of filters are plain text. */
	root = cJSON_ParseWithLength(answer->body, answer->body_len);
	message = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(root, "message"));
	kube_copy_line(out, room, message ? message : answer->body);
	cJSON_Delete(root);
}

void kube_answer_reason(const struct kube_answer *answer, char *out, size_t room)
{
	cJSON *root = cJSON_ParseWithLength(answer->body, answer->body_len);
	const cJSON *details = cJSON_GetObjectItemCaseSensitive(root, "details");
	const cJSON *causes = cJSON_GetObjectItemCaseSensitive(details, "causes");
	const char *reason = cJSON_GetStringValue(
		cJSON_GetObjectItemCaseSensitive(cJSON_GetArrayItem(causes, 0), "reason"));

	if (!reason)
		reason = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(root, "reason"));
	kube_copy_line(out, room, reason ? reason : "");
	cJSON_Delete(root);
}
