// SPDX-License-Identifier: MIT
/*
 * Fuzzes the judges of first bytes. The first byte of an input chooses the rules, the second what
 * stands in front of the rest: nothing, the beginning of a probe, or HTTP/2 frames, whose
 * lengths are made right, so that a fuzzer gets past them.
 */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "probe/caller.h"

#define FUZZ_BYTES_MAX (CALLER_BYTES_MAX + 100)
#define FUZZ_STEPS     24

#define FUZZ_CHECK(claim)                                                                          \
	do {                                                                                       \
		if (!(claim))                                                                      \
			__builtin_trap();                                                          \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_PREFACE  "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define FUZZ_SETTINGS "\0\0\0\4\0\0\0\0\0"

static const struct {
	const char *bytes;
	size_t len;
	bool has_frames;
} fuzz_starts[] = {
#define FUZZ_START(text) text, sizeof(text) - 1
	{ FUZZ_START(""), false },
	{ FUZZ_START("GET /healthz HTTP/1.1\r\n"), false },
	{ FUZZ_START("GET / HTTP/1.1\r\nUser-Agent: kube-probe/1.30\r\nConnection: close\r\n"),
	  false },
	{ FUZZ_START("\x16\x03\x01"), false },
	{ FUZZ_START(FUZZ_PREFACE), false },
	{ FUZZ_START(FUZZ_PREFACE FUZZ_SETTINGS), true },
	/* A hello of which 40 bytes of extensions are to come. */
	{ FUZZ_START("\x16\3\1\0\x57\1\0\0\x53\3\3"
		     "0123456789abcdef0123456789abcdef\0\0\2\x13\1\1\0\0\x28"),
	  false },
	/* A probe by gRPC up to its DATA frame. */
	{ FUZZ_START(FUZZ_PREFACE FUZZ_SETTINGS "\0\0\x55\1\4\0\0\0\1\x83\x86\1\1a"
						"\x04\x1c/grpc.health.v1.Health/Check"
						"\x0f\x10\x10"
						"application/grpc"
						"\x0f\x2b\x0fkube-probe/1.30"
						"\0\2te\x08trailers"),
	  true },
};

static struct caller_rules fuzz_rules(uint8_t choice)
{
	static const char *const checkers[] = { "a" };
	static const struct caller_path paths[] = { { "GET", 3, "/health" }, { "POST", 4, "/" } };

	return (struct caller_rules){
		.knows_kubelet = choice & 1,
		.knows_checkers = choice & 2,
		.has_https = choice & 4,
		.checkers = checkers,
		.checkers_len = choice >> 5 & 1,
		.paths = paths,
		.paths_len = choice >> 3 & 3 ? (choice >> 3 & 3) - 1 : 0,
	};
}

/* From memory of just that length, so that the address sanitizer sees each read beyond it. */
static enum caller_kind fuzz_judge(const uint8_t *bytes, size_t len,
				   const struct caller_rules *rules)
{
	_cleanup_(freep) uint8_t *copy = malloc(len ? len : 1);
	enum caller_kind kind;

	FUZZ_CHECK(copy);
	memcpy(copy, bytes, len);
	kind = caller_judge(copy, len, rules);
	FUZZ_CHECK(kind <= CALLER_CLIENT && *caller_kind_name(kind));
	FUZZ_CHECK(kind != CALLER_UNDECIDED || len < CALLER_BYTES_MAX);
	FUZZ_CHECK(kind >= CALLER_CLIENT || len <= CALLER_BYTES_MAX);
	return kind;
}

/* Without a rule there is no probe; and a rule makes no client of one. */
static void fuzz_with_fewer_rules(const uint8_t *bytes, size_t len,
				  const struct caller_rules *rules, enum caller_kind kind)
{
	struct caller_rules none = { .has_https = rules->has_https };
	struct caller_rules all = *rules;
	enum caller_kind of_none = fuzz_judge(bytes, len, &none);

	FUZZ_CHECK(of_none == CALLER_UNDECIDED || of_none == CALLER_CLIENT);
	FUZZ_CHECK(len < CALLER_BYTES_MAX || of_none == CALLER_CLIENT);
	all.knows_kubelet = all.knows_checkers = all.has_https = true;
	if (kind < CALLER_CLIENT && kind != CALLER_UNDECIDED)
		FUZZ_CHECK(fuzz_judge(bytes, len, &all) == kind);
}

/* Byte by byte up to some of the input's length, then in steps. */
static void fuzz_prefixes(const uint8_t *bytes, size_t len, const struct caller_rules *rules)
{
	enum caller_kind before = CALLER_UNDECIDED;
	size_t step = len / FUZZ_STEPS + 1;

	for (size_t i = len % step; i <= len; i += step) {
		enum caller_kind kind = fuzz_judge(bytes, i, rules);

		/* More bytes undo no client, and make no other probe of one. */
		FUZZ_CHECK(before < CALLER_CLIENT || kind == before);
		FUZZ_CHECK(before == CALLER_UNDECIDED || kind == before || kind >= CALLER_CLIENT);
		before = kind;
	}
	fuzz_with_fewer_rules(bytes, len, rules, before);
}

/* Two bytes of the input are type and flags, the third the length, and then come so many. */
static size_t fuzz_put_frames(uint8_t *out, size_t room, const uint8_t *data, size_t size)
{
	size_t at = 0;

	while (size >= 4 && room - at >= 9 + (size_t)data[2]) {
		size_t len = min_u64(data[2], size - 4);
		const uint8_t head[9] = { 0, 0, (uint8_t)len, data[0], data[1], 0, 0, 0, data[3] };

		memcpy(out + at, head, sizeof(head));
		memcpy(out + at + sizeof(head), data + 4, len);
		at += sizeof(head) + len;
		data += 4 + len;
		size -= 4 + len;
	}
	return at;
}

static void fuzz_path(const uint8_t *data, size_t size)
{
	_cleanup_(freep) char *text = strndup((const char *)data, size);
	struct caller_path path = { .method_len = 77 };
	int r;

	FUZZ_CHECK(text);
	r = caller_parse_path(text, &path);
	FUZZ_CHECK(r == 0 || (r == -EINVAL && path.method_len == 77));
	if (r < 0)
		return;
	FUZZ_CHECK(path.method == text && path.method_len >= 1 && path.method_len <= 16);
	FUZZ_CHECK(path.prefix == text + path.method_len + 1 && *path.prefix == '/');
	FUZZ_CHECK(strlen(path.prefix) + path.method_len + 1 == strlen(text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t bytes[FUZZ_BYTES_MAX];
	struct caller_rules rules;
	size_t start, len;

	fuzz_path(data, size);
	if (size < 2)
		return 0;
	rules = fuzz_rules(data[0]);
	start = data[1] % ARRAY_LEN(fuzz_starts);
	data += 2;
	size -= 2;
	len = fuzz_starts[start].len;
	memcpy(bytes, fuzz_starts[start].bytes, len);
	if (fuzz_starts[start].has_frames) {
		len += fuzz_put_frames(bytes + len, sizeof(bytes) - len, data, size);
	} else {
		size = min_u64(size, sizeof(bytes) - len);
		memcpy(bytes + len, data, size);
		len += size;
	}
	fuzz_prefixes(bytes, len, &rules);
	return 0;
}
