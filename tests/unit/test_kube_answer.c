// SPDX-License-Identifier: MIT
/* What an API server's error says, in one line; and how a pod finds its API server. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "kube/kube.h"
#include "lib/scratch.h"
#include "lib/test.h"

static const struct {
	const char *story;
	long status;
	const char *transport, *body;
	const char *message, *reason;
} answers[] = {
	{ "a pod that is not there", 404, NULL,
	  "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\","
	  "\"message\":\"pods \\\"web-0\\\" not found\",\"reason\":\"NotFound\","
	  "\"details\":{\"name\":\"web-0\",\"kind\":\"pods\"},\"code\":404}",
	  "pods \"web-0\" not found", "NotFound" },
	{ "a cause is more than a reason", 403, NULL,
	  "{\"kind\":\"Status\",\"message\":\"pods \\\"web-0\\\" is forbidden: node didn't have "
	  "enough allocatable resources: cpu, requested: 64000, allocatable: 3920\","
	  "\"reason\":\"Forbidden\",\"details\":{\"causes\":[{\"reason\":\"NodeCapacity\"},"
	  "{\"reason\":\"Other\"}]},\"code\":403}",
	  "pods \"web-0\" is forbidden: node didn't have enough allocatable resources: cpu, "
	  "requested: 64000, allocatable: 3920",
	  "NodeCapacity" },
	{ "a cause without a reason", 422, NULL,
	  "{\"message\":\"m\",\"reason\":\"Invalid\","
	  "\"details\":{\"causes\":[{\"field\":\"spec\"}]}}",
	  "m", "Invalid" },
	{ "causes that are none", 422, NULL,
	  "{\"message\":\"m\",\"reason\":\"Invalid\",\"details\":{\"causes\":[]}}", "m",
	  "Invalid" },
	{ "causes of another type", 422, NULL,
	  "{\"message\":\"m\",\"reason\":\"Invalid\",\"details\":{\"causes\":\"many\"}}", "m",
	  "Invalid" },
	{ "too many requests, in plain text", 429, NULL,
	  "Too many requests, please try again later.\n",
	  "Too many requests, please try again later.", "" },
	{ "a filter's error, in plain text", 500, NULL,
	  "This request caused apiserver to panic. Look in the logs for details.\n",
	  "This request caused apiserver to panic. Look in the logs for details.", "" },
	{ "a balancer's page", 502, NULL,
	  "<html>\r\n<head><title>502</title></head>\r\n</html>\r\n", "<html>", "" },
	{ "a message of several lines", 400, NULL,
	  "{\"message\":\"first\\nsecond\\r\\nthird\",\"reason\":\"Bad\\nRequest\"}", "first",
	  "Bad" },
	{ "no message", 500, NULL, "{\"code\":500}", "{\"code\":500}", "" },
	{ "a message of another type", 500, NULL, "{\"message\":7,\"reason\":[]}",
	  "{\"message\":7,\"reason\":[]}", "" },
	{ "JSON, but no object", 500, NULL, "\"panic\"", "\"panic\"", "" },
	{ "JSON that ends early", 500, NULL, "{\"message\":\"pods", "{\"message\":\"pods", "" },
	{ "nothing at all", 503, NULL, "", "", "" },
	{ "no answer", 0, "Timeout was reached", "", "Timeout was reached", "" },
	{ "no answer, after a part of it", 0, "Transferred a partial file", "{\"message\":\"x\"}",
	  "Transferred a partial file", NULL },
	{ "no answer, and no word why", 0, NULL, "", "no answer", "" },
};

TEST(an_error_says_in_one_line_what_is_wrong)
{
	for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
		const struct kube_answer answer = {
			.status = answers[i].status,
			.transport = answers[i].transport,
			.body = answers[i].body,
			.body_len = strlen(answers[i].body),
		};
		char message[KUBE_ERROR_MAX] = "?", reason[64] = "?";

		print_message("  %s\n", answers[i].story);
		kube_answer_message(&answer, message, sizeof(message));
		assert_string_equal(message, answers[i].message);
		kube_answer_reason(&answer, reason, sizeof(reason));
		if (answers[i].reason)
			assert_string_equal(reason, answers[i].reason);
	}
}

TEST(what_does_not_fit_is_cut)
{
	static const char body[] = "{\"message\":\"0123456789\",\"reason\":\"Invalid\"}";
	static const struct kube_answer answer = {
		.status = 422,
		.body = body,
		.body_len = sizeof(body) - 1,
	};
	char text[8];

	kube_answer_message(&answer, text, sizeof(text));
	assert_string_equal(text, "0123456");
	kube_answer_reason(&answer, text, 4);
	assert_string_equal(text, "Inv");
}

static char ca[64], token[64];

static void make_file(const char *path)
{
	_cleanup_(closep) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
}

static void clear_variables(void)
{
	unsetenv("KUBERNETES_SERVICE_HOST");
	unsetenv("KUBERNETES_SERVICE_PORT");
	unsetenv("KUBERNETES_SERVICE_PORT_HTTPS");
}

static void make_dir(void)
{
	scratch_make();
	snprintf(ca, sizeof(ca), "%s/ca.crt", root);
	snprintf(token, sizeof(token), "%s/token", root);
	make_file(ca);
	make_file(token);
	clear_variables();
}

static void remove_dir(void)
{
	clear_variables();
	unlink(ca);
	unlink(token);
	assert_int_equal(rmdir(root), 0);
}

/* clang-format off */
static const struct {
	const char *host, *port, *port_https;
	const char *server; /* NULL: the variables do not say */
} variables[] = {
	{ "192.0.2.1",    "443", "443",  "https://192.0.2.1:443" },
	{ "192.0.2.1",    "443", NULL,   "https://192.0.2.1:443" },
	{ "192.0.2.1",    NULL,  "6443", "https://192.0.2.1:6443" },
	{ "192.0.2.1",    "80",  "6443", "https://192.0.2.1:6443" },
	{ "192.0.2.1",    "443", "",     "https://192.0.2.1:443" },
	{ "2001:db8::1",  "443", "443",  "https://[2001:db8::1]:443" },
	{ "api.example",  "443", "443",  "https://api.example:443" },
	{ NULL,           NULL,  NULL,   NULL },
	{ NULL,           "443", "443",  NULL },
	{ "",             "443", "443",  NULL },
	{ "192.0.2.1",    NULL,  NULL,   NULL },
	{ "192.0.2.1",    "",    "",     NULL },
};
/* clang-format on */

static void set_variable(const char *name, const char *value)
{
	if (value)
		setenv(name, value, 1);
	else
		unsetenv(name);
}

TEST(the_variables_of_a_pod_name_the_server, .setup = make_dir, .teardown = remove_dir)
{
	for (size_t i = 0; i < ARRAY_LEN(variables); i++) {
		_cleanup_(kube_access_free) struct kube_access access = { 0 };
		char error[KUBE_ERROR_MAX] = "";
		int r;

		print_message("  row %zu\n", i);
		set_variable("KUBERNETES_SERVICE_HOST", variables[i].host);
		set_variable("KUBERNETES_SERVICE_PORT", variables[i].port);
		set_variable("KUBERNETES_SERVICE_PORT_HTTPS", variables[i].port_https);
		r = kube_access_in_cluster(&access, root, error);
		if (!variables[i].server) {
			assert_int_equal(r, -ENOENT);
			assert_string_equal(error, "KUBERNETES_SERVICE_HOST and _PORT are not set: "
						   "run in a pod, or give --kubeconfig");
			assert_null(access.server);
			continue;
		}
		assert_int_equal(r, 0);
		assert_string_equal(access.server, variables[i].server);
		assert_string_equal(access.ca_file, ca);
		assert_string_equal(access.token_file, token);
		assert_null(access.token);
		assert_null(access.cert_file);
	}
}

TEST(a_file_of_the_service_account_that_is_missing_is_named, .setup = make_dir,
     .teardown = remove_dir)
{
	const char *const files[] = { token, ca };

	setenv("KUBERNETES_SERVICE_HOST", "192.0.2.1", 1);
	setenv("KUBERNETES_SERVICE_PORT", "443", 1);
	/* The token first; then the CA is missing too, and is what is looked for first. */
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		_cleanup_(kube_access_free) struct kube_access access = { 0 };
		char error[KUBE_ERROR_MAX] = "", expected[KUBE_ERROR_MAX];

		assert_int_equal(unlink(files[i]), 0);
		snprintf(expected, sizeof(expected),
			 "cannot read '%s' (No such file or directory): the pod needs a service "
			 "account's token mounted",
			 files[i]);
		assert_int_equal(kube_access_in_cluster(&access, root, error), -ENOENT);
		assert_string_equal(error, expected);
	}
}

TEST(freeing_an_access_twice_does_no_harm)
{
	struct kube_access access = { .server = strdup("https://192.0.2.1") };

	kube_access_free(&access);
	assert_null(access.server);
	kube_access_free(&access);
}
