// SPDX-License-Identifier: MIT
/*
 * Fuzzes the reader of kubeconfigs, through a file that is nowhere but in memory. The first byte of
 * an input chooses what the rest is: the text itself, or text in which each byte above 127 stands
 * for one of the words below.
 */
/* clang-format off */
/* needs: userspace/kubeconfig.c userspace/kube.c userspace/http.c userspace/file.c userspace/log.c */
/* clang-format on */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kubeconfig.h"
#include "util.h"

#define WORD_MAX 128

#define FUZZ_CHECK(claim)                                                                          \
	do {                                                                                       \
		if (!(claim))                                                                      \
			__builtin_trap();                                                          \
	} while (0)

static const char *const words[] = {
	"current-context: a\ncontexts: [{name: a, context: {cluster: a, user: a}}]\n",
	"current-context: a\n",
	"contexts: [{name: a, context: {",
	"contexts:\n- name: a\n  context:\n",
	"cluster: a",
	"user: a",
	"clusters: [{name: a, cluster: {server: 'https://a/'",
	"clusters: [{name: a, cluster: {",
	"users: [{name: a, user: {",
	"server: 'https://",
	"server: 'http://",
	"certificate-authority: ",
	"certificate-authority-data: ",
	"client-certificate: ",
	"client-certificate-data: ",
	"client-key: ",
	"client-key-data: ",
	"tokenFile: ",
	"token: ",
	"exec: {",
	"auth-provider: {",
	"AAAA",
	"Q0VSVAo=",
	"}}]\n",
	"&x ",
	"*x",
	"!!str ",
	"<<: *x",
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t fuzz_expand(char *out, const uint8_t *data, size_t size)
{
	size_t len = 0;

	for (size_t i = 0; i < size; i++) {
		const char *word = words[data[i] % ARRAY_LEN(words)];

		if (data[i] < 128) {
			out[len++] = (char)data[i];
			continue;
		}
		memcpy(out + len, word, strlen(word));
		len += strlen(word);
	}
	return len;
}

static int fuzz_file(const uint8_t *data, size_t size)
{
	_cleanup_(freep) char *wide = malloc(size * WORD_MAX + 1);
	int fd = memfd_create("kubeconfig", MFD_CLOEXEC);
	size_t len = 0;

	FUZZ_CHECK(wide && fd >= 0);
	if (data[0] & 1)
		len = fuzz_expand(wide, data + 1, size - 1);
	else
		memcpy(wide, data + 1, len = size - 1);
	FUZZ_CHECK(write(fd, wide, len) == (ssize_t)len);
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(kube_access_free) struct kube_access access = { 0 };
	_cleanup_(closep) int fd = -1;
	char path[64], error[KUBE_ERROR_MAX] = "";
	int r;

	if (size < 1)
		return 0;
	fd = fuzz_file(data, size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	r = kubeconfig_read(&access, path, error);
	FUZZ_CHECK(r == 0 || (r == -EINVAL && strstr(error, path)));
	if (r == 0)
		fuzz_check_access(&access);
	fuzz_close(access.ca_file, fd);
	fuzz_close(access.cert_file, fd);
	fuzz_close(access.key_file, fd);
	return 0;
}
