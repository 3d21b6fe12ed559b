// SPDX-License-Identifier: MIT
/* A kubeconfig's current context: the server and the credentials in it, and what is refused. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/util.h"
#include "kube/kubeconfig.h"
#include "lib/scratch.h"
#include "lib/test.h"

static char path[64];

static void make_dir(void)
{
	scratch_make();
	snprintf(path, sizeof(path), "%s/config", root);
}

static void remove_dir(void)
{
	unlink(path);
	assert_int_equal(rmdir(root), 0);
}

struct test_fixture test_around_each = { make_dir, remove_dir };

static void fill(const char *text)
{
	_cleanup_(closep) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

/* A whole kubeconfig, but for what is in the cluster and in the user. */
#define CONFIG(cluster, user)                                                                      \
	"apiVersion: v1\n"                                                                         \
	"kind: Config\n"                                                                           \
	"current-context: here\n"                                                                  \
	"contexts:\n"                                                                              \
	"- name: there\n"                                                                          \
	"  context: {cluster: other, user: other}\n"                                               \
	"- name: here\n"                                                                           \
	"  context: {cluster: c, user: u, namespace: shop}\n"                                      \
	"clusters:\n"                                                                              \
	"- name: other\n"                                                                          \
	"  cluster: {server: 'https://198.51.100.1:6443'}\n"                                       \
	"- name: c\n"                                                                              \
	"  cluster: {" cluster "}\n"                                                               \
	"users:\n"                                                                                 \
	"- name: other\n"                                                                          \
	"  user: {token: other}\n"                                                                 \
	"- name: u\n"                                                                              \
	"  user: {" user "}\n"
#define SERVER "server: 'https://192.0.2.1:6443'"

static void assert_text(const char *text, const char *expected)
{
	if (!expected)
		assert_null(text);
	else
		assert_string_equal(text, expected);
}

static struct kube_access read_good(const char *text)
{
	struct kube_access access;
	char error[KUBE_ERROR_MAX] = "";

	fill(text);
	if (kubeconfig_read(&access, path, error) < 0)
		fail_msg("%s\n%s", error, text);
	return access;
}

static const struct {
	const char *text;
	const char *server, *ca_file, *token_file, *token, *cert_file, *key_file;
} goods[] = {
	{ CONFIG(SERVER, "token: abc"), "https://192.0.2.1:6443", NULL, NULL, "abc", NULL, NULL },
	{ CONFIG("server: 'https://[2001:db8::1]:6443/'", "token: abc"),
	  "https://[2001:db8::1]:6443", NULL, NULL, "abc", NULL, NULL },
	{ CONFIG("server: 'https://rancher.example/k8s/clusters/c-1'", "token: abc"),
	  "https://rancher.example/k8s/clusters/c-1", NULL, NULL, "abc", NULL, NULL },
	{ CONFIG(SERVER ", certificate-authority: /etc/ca.crt", "tokenFile: /run/token"),
	  "https://192.0.2.1:6443", "/etc/ca.crt", "/run/token", NULL, NULL, NULL },
	{ CONFIG(SERVER, "token: abc, tokenFile: /run/token"), "https://192.0.2.1:6443", NULL,
	  "/run/token", NULL, NULL, NULL },
	{ CONFIG(SERVER, "client-certificate: /etc/a.crt, client-key: /etc/a.key"),
	  "https://192.0.2.1:6443", NULL, NULL, NULL, "/etc/a.crt", "/etc/a.key" },
	/* what is empty is not there */
	{ CONFIG(SERVER ", certificate-authority-data: '', certificate-authority: /etc/ca.crt",
		 "token: '', tokenFile: '', client-certificate-data: '', "
		 "client-certificate: /etc/a.crt, client-key: /etc/a.key"),
	  "https://192.0.2.1:6443", "/etc/ca.crt", NULL, NULL, "/etc/a.crt", "/etc/a.key" },
	/* JSON is YAML */
	{ "{\"current-context\":\"a\",\"contexts\":[{\"name\":\"a\",\"context\":{\"cluster\":\"a\","
	  "\"user\":\"a\"}}],\"clusters\":[{\"name\":\"a\",\"cluster\":{\"server\":"
	  "\"https://192.0.2.1\"}}],\"users\":[{\"name\":\"a\",\"user\":{\"token\":\"abc\"}}]}",
	  "https://192.0.2.1", NULL, NULL, "abc", NULL, NULL },
};

TEST(the_current_context_names_server_and_credentials)
{
	for (size_t i = 0; i < ARRAY_LEN(goods); i++) {
		_cleanup_(kube_access_free) struct kube_access access = read_good(goods[i].text);

		print_message("  row %zu\n", i);
		assert_text(access.server, goods[i].server);
		assert_text(access.ca_file, goods[i].ca_file);
		assert_text(access.token_file, goods[i].token_file);
		assert_text(access.token, goods[i].token);
		assert_text(access.cert_file, goods[i].cert_file);
		assert_text(access.key_file, goods[i].key_file);
	}
}

TEST(a_relative_path_is_relative_to_the_kubeconfig)
{
	_cleanup_(kube_access_free) struct kube_access files =
		read_good(CONFIG(SERVER ", certificate-authority: pki/ca.crt",
				 "client-certificate: a.crt, client-key: ../a.key"));
	_cleanup_(kube_access_free) struct kube_access token =
		read_good(CONFIG(SERVER, "tokenFile: token"));
	char expected[128];

	snprintf(expected, sizeof(expected), "%s/pki/ca.crt", root);
	assert_string_equal(files.ca_file, expected);
	snprintf(expected, sizeof(expected), "%s/a.crt", root);
	assert_string_equal(files.cert_file, expected);
	snprintf(expected, sizeof(expected), "%s/../a.key", root);
	assert_string_equal(files.key_file, expected);
	snprintf(expected, sizeof(expected), "%s/token", root);
	assert_string_equal(token.token_file, expected);
}

TEST(a_kubeconfig_here_has_its_files_here)
{
	_cleanup_(kube_access_free) struct kube_access access = { 0 };
	_cleanup_(closep) int before = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char error[KUBE_ERROR_MAX] = "";

	fill(CONFIG(SERVER ", certificate-authority: ca.crt", "tokenFile: /run/token"));
	assert_int_equal(chdir(root), 0);
	assert_int_equal(kubeconfig_read(&access, "config", error), 0);
	assert_int_equal(fchdir(before), 0);
	assert_string_equal(access.ca_file, "./ca.crt");
}

static void assert_content(const char *file, const char *expected)
{
	_cleanup_(freep) char *text = NULL;

	assert_ptr_equal(strstr(file, "/proc/self/fd/"), file);
	/* Twice: each connection reads it from the start. */
	for (int i = 0; i < 2; i++) {
		freep(&text);
		text = NULL;
		assert_int_equal(file_read(file, &text), 0);
		assert_string_equal(text, expected);
	}
}

static void close_data(const char *file)
{
	close(atoi(file + strlen("/proc/self/fd/")));
}

/* Of each length that base64 pads differently; data wins over a path. */
TEST(data_in_the_file_can_be_read_by_a_path)
{
	_cleanup_(kube_access_free) struct kube_access access = read_good(
		CONFIG(SERVER ", certificate-authority-data: Q0EK, certificate-authority: /ca",
		       "client-certificate-data: Q0VSVAo=, client-certificate: /etc/a.crt, "
		       "client-key-data: 'S0VZUw==  '"));

	assert_content(access.ca_file, "CA\n");
	assert_content(access.cert_file, "CERT\n");
	assert_content(access.key_file, "KEYS");
	assert_true(strcmp(access.ca_file, access.cert_file) != 0);
	close_data(access.ca_file);
	close_data(access.cert_file);
	close_data(access.key_file);
}

/* clang-format off */
static const struct {
	const char *text;
	const char *error; /* %s is the path */
} bads[] = {
	{ "", "kubeconfig: '%s' has no current context" },
	{ "7", "kubeconfig: '%s' has no current context" },
	{ "- a\n- b\n", "kubeconfig: '%s' has no current context" },
	{ "apiVersion: v1\nkind: Config\n", "kubeconfig: '%s' has no current context" },
	{ "current-context: ''\ncontexts: [{name: '', context: {cluster: c}}]\n",
	  "kubeconfig: '%s' has no current context" },
	{ "current-context: here\n", "kubeconfig: '%s' has no current context" },
	{ "current-context: here\ncontexts: [{name: there, context: {cluster: c}}]\n",
	  "kubeconfig: '%s' has no current context" },
	{ "current-context: here\ncontexts: {name: here}\n",
	  "kubeconfig: '%s' has no current context" },
	{ "current-context: [here]\ncontexts: [{name: here, context: {cluster: c}}]\n",
	  "kubeconfig: '%s' has no current context" },
	{ "current-context: here\ncontexts: [7, [], {name: [here]}, {name: here}]\n",
	  "kubeconfig: '%s' has no current context" },

	{ "a: [", "kubeconfig: '%s' is no YAML" },
	{ "a: b: c", "kubeconfig: '%s' is no YAML" },
	{ "\tx", "kubeconfig: '%s' is no YAML" },
	{ "a: \x01", "kubeconfig: '%s' is no YAML" },

	{ CONFIG("x: y", "token: abc"),
	  "kubeconfig: '%s' has no https server in its current context" },
	{ CONFIG("server: 'http://192.0.2.1:8080'", "token: abc"),
	  "kubeconfig: '%s' has no https server in its current context" },
	{ CONFIG("server: '192.0.2.1:6443'", "token: abc"),
	  "kubeconfig: '%s' has no https server in its current context" },
	{ CONFIG("server: 'https://'", "token: abc"),
	  "kubeconfig: '%s' has no https server in its current context" },
	{ CONFIG("server: 'https:///'", "token: abc"),
	  "kubeconfig: '%s' has no https server in its current context" },
	{ CONFIG("server: [a]", "token: abc"),
	  "kubeconfig: '%s' has no https server in its current context" },
	{ "current-context: a\ncontexts: [{name: a, context: {cluster: a, user: a}}]\n"
	  "users: [{name: a, user: {token: abc}}]\n",
	  "kubeconfig: '%s' has no https server in its current context" },
	{ "current-context: a\ncontexts: [{name: a, context: {cluster: a, user: a}}]\n"
	  "clusters: [{name: a, cluster: {server: 'https://192.0.2.1'}}]\n",
	  "kubeconfig: '%s' has no user in its current context" },
	{ "current-context: a\ncontexts: [{name: a, context: {cluster: a}}]\n"
	  "clusters: [{name: a, cluster: {server: 'https://192.0.2.1'}}]\n"
	  "users: [{name: a, user: {token: abc}}]\n",
	  "kubeconfig: '%s' has no user in its current context" },

	{ CONFIG(SERVER, "exec: {command: aws}"),
	  "kubeconfig: '%s' logs in by a plugin: give a token or a client certificate" },
	{ CONFIG(SERVER, "exec: {command: aws}, token: abc"),
	  "kubeconfig: '%s' logs in by a plugin: give a token or a client certificate" },
	{ CONFIG(SERVER, "auth-provider: {name: gcp}"),
	  "kubeconfig: '%s' logs in by a plugin: give a token or a client certificate" },
	{ CONFIG(SERVER, ""),
	  "kubeconfig: '%s' has neither a token nor a client certificate" },
	{ CONFIG(SERVER, "username: admin, password: secret"),
	  "kubeconfig: '%s' has neither a token nor a client certificate" },
	{ CONFIG(SERVER, "token: '', client-certificate-data: ''"),
	  "kubeconfig: '%s' has neither a token nor a client certificate" },
	{ CONFIG(SERVER, "client-certificate: /etc/a.crt"),
	  "kubeconfig: '%s' has neither a token nor a client certificate" },
	{ CONFIG(SERVER, "client-key: /etc/a.key"),
	  "kubeconfig: '%s' has neither a token nor a client certificate" },
	{ CONFIG(SERVER, "client-certificate-data: 'Q0E', client-key: /etc/a.key"),
	  "kubeconfig: '%s' has a client certificate that is not base64" },
	{ CONFIG(SERVER, "client-certificate: /etc/a.crt, client-key-data: '$$$$'"),
	  "kubeconfig: '%s' has a client certificate that is not base64" },
	{ CONFIG(SERVER ", certificate-authority-data: '-----BEGIN'", "token: abc"),
	  "kubeconfig: '%s' has a certificate authority that is not base64" },
};
/* clang-format on */

TEST(what_cannot_be_used_is_refused_by_name)
{
	for (size_t i = 0; i < ARRAY_LEN(bads); i++) {
		_cleanup_(kube_access_free) struct kube_access access = { 0 };
		char error[KUBE_ERROR_MAX] = "", expected[KUBE_ERROR_MAX];
		int r;

		fill(bads[i].text);
		r = kubeconfig_read(&access, path, error);
		snprintf(expected, sizeof(expected), bads[i].error, path);
		if (r != -EINVAL || strcmp(error, expected) != 0)
			fail_msg("%d, \"%s\" for:\n%s", r, error, bads[i].text);
	}
}

TEST(a_file_that_is_not_there_is_named)
{
	_cleanup_(kube_access_free) struct kube_access access = { 0 };
	char error[KUBE_ERROR_MAX] = "", expected[KUBE_ERROR_MAX];

	snprintf(expected, sizeof(expected),
		 "kubeconfig: cannot read '%s': No such file or directory", path);
	assert_int_equal(kubeconfig_read(&access, path, error), -ENOENT);
	assert_string_equal(error, expected);
	assert_null(access.server);
}

/* Each byte ends in an error or in less than the whole, and never in a token cut short. */
TEST(a_kubeconfig_cut_at_any_byte_does_no_harm)
{
	static const char text[] = CONFIG(SERVER ", certificate-authority: /ca.crt",
					  "token: 'abcdefgh'");

	for (size_t len = 0; len < sizeof(text) - 1; len++) {
		_cleanup_(kube_access_free) struct kube_access access = { 0 };
		_cleanup_(freep) char *cut = strndup(text, len);
		char error[KUBE_ERROR_MAX] = "";
		int r;

		fill(cut);
		r = kubeconfig_read(&access, path, error);
		if (len == sizeof(text) - 2)
			assert_int_equal(r, 0); /* the newline alone is missing */
		else if (r != -EINVAL || !*error)
			fail_msg("%d after %zu bytes", r, len);
	}
}
