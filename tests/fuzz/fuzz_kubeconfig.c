// SPDX-License-Identifier: MIT
/*
 * Fuzzes the reader of kubeconfigs, through a file in memory. The first byte of an input
 * chooses what the rest is: the text itself, or choices in the grammar below.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/util.h"
#include "grammar.h"
#include "kube/kubeconfig.h"

#define FUZZ_CHECK(claim)                                                                          \
	do {                                                                                       \
		if (!(claim))                                                                      \
			__builtin_trap();                                                          \
	} while (0)

static const struct grammar_rule rules[] = {
	{ 'K',
	  { "current-context: $n\ncontexts: [$x]\nclusters: [$y]\nusers: [$z]\n",
	    "current-context: $v\ncontexts: $v\nclusters: $v\nusers: $v\n",
	    "users: [$z]\ncurrent-context: $n\ncontexts: [$x]\nclusters: &c [$y]\nmore: *c\n",
	    "$v" } },
	{ 'n', { "a", "b", "''", "\"\\0\"" } },
	{ 'x',
	  { "{name: $n, context: {cluster: $n, user: $n}}",
	    "{name: $n, context: {cluster: $n, user: $n}}, $x", "{name: $v, context: $v}, $x",
	    "$v" } },
	{ 'y',
	  { "{name: $n, cluster: {server: $s, $c}}", "{name: $n, cluster: {server: $s, $c}}, $y",
	    "{name: $v, cluster: $v}, $y", "$v" } },
	{ 's', { "'https://192.0.2.1'", "'https://a/'", "https://", "'http://a'", "$v" } },
	{ 'c',
	  { "x: y", "certificate-authority: $p", "certificate-authority-data: $d",
	    "certificate-authority: $p, certificate-authority-data: $d" } },
	{ 'z',
	  { "{name: $n, user: {$u}}", "{name: $n, user: {$u}}, $z", "{name: $v, user: $v}, $z",
	    "$v" } },
	{ 'u', { "token: $t", "$w, $u", "" } },
	{ 'w',
	  { "token: $t", "tokenFile: $p", "client-certificate: $p", "client-key: $p",
	    "client-certificate-data: $d", "client-key-data: $d", "exec: {command: x}",
	    "auth-provider: $v", "username: x" } },
	{ 't', { "abc", "''", "$v" } },
	{ 'p', { "/etc/a", "a", "../a", "''", "/proc/self/fd/0", "$v" } },
	{ 'd',
	  { "AAAA", "Q0VSVAo=", "Q0VSVA==", "'AA== '", "QQ", "'%%%%'", "''", "'===='", "$v" } },
	{ 'v',
	  { "null", "~", "7", "x", "[]", "{}", "[a, [b]]", "{a: {b: c}}", "'x: y'", "!!str 7",
	    "&a b", "*a" } },
	{ 0 },
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int fuzz_file(const void *text, size_t len)
{
	int fd = memfd_create("kubeconfig", MFD_CLOEXEC);

	FUZZ_CHECK(fd >= 0 && write(fd, text, len) == (ssize_t)len);
	return fd;
}

/* Data becomes a file that stays open until the process ends, which here is too late. */
static void fuzz_close(const char *path, int first)
{
	int fd;

	if (path && sscanf(path, "/proc/self/fd/%d", &fd) == 1 && fd > first)
		close(fd);
}

static void fuzz_check_access(const struct kube_access *a)
{
	FUZZ_CHECK(strncmp(a->server, "https://", 8) == 0);
	FUZZ_CHECK(a->token || a->token_file || (a->cert_file && a->key_file));
	FUZZ_CHECK(!a->token || *a->token);
	FUZZ_CHECK(!a->ca_file || *a->ca_file == '/');
	FUZZ_CHECK(!a->token_file || *a->token_file == '/');
	FUZZ_CHECK(!a->cert_file || *a->cert_file == '/');
	FUZZ_CHECK(!a->key_file || *a->key_file == '/');
}

static void fuzz_read(const void *text, size_t len)
{
	_cleanup_(kube_access_free) struct kube_access access = { 0 };
	_cleanup_(closep) int fd = fuzz_file(text, len);
	char path[64], error[KUBE_ERROR_MAX] = "";
	int r;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	r = kubeconfig_read(&access, path, error);
	FUZZ_CHECK(r == 0 || (r == -EINVAL && strstr(error, path)));
	if (r == 0)
		fuzz_check_access(&access);
	fuzz_close(access.ca_file, fd);
	fuzz_close(access.cert_file, fd);
	fuzz_close(access.key_file, fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct grammar g;

	if (size < 1)
		return 0;
	if (!(data[0] & 1)) {
		fuzz_read(data + 1, size - 1);
		return 0;
	}
	g.rules = rules;
	g.data = data + 1;
	g.end = data + size;
	g.len = 0;
	grammar_expand(&g, "$K");
	fuzz_read(g.out, g.len);
	return 0;
}
