// SPDX-License-Identifier: MIT
/* Fuzzes the parsers of durations, CPU sizes and ports: an input is the text, for all of them. */
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/quantity.h"
#include "base/util.h"

#define UNTOUCHED	77
#define DURATION_MAX_NS (1000 * 24 * 3600 * NS_PER_S)

#define FUZZ_CHECK(claim)                                                                          \
	do {                                                                                       \
		if (!(claim))                                                                      \
			__builtin_trap();                                                          \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_check_result(int r, bool is_untouched)
{
	FUZZ_CHECK(r == 0 || r == -EINVAL || r == -ERANGE);
	FUZZ_CHECK(r == 0 || is_untouched);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Of just that length, so that the address sanitizer sees each read beyond it. */
	_cleanup_(freep) char *text = strndup((const char *)data, size);
	uint64_t ns = UNTOUCHED;
	uint32_t millicpu = UNTOUCHED;
	int64_t kube_millicpu = UNTOUCHED;
	uint16_t port = UNTOUCHED;
	uint8_t protocol = UNTOUCHED;
	int r, kube_r;

	FUZZ_CHECK(text);
	r = quantity_parse_duration(text, &ns);
	fuzz_check_result(r, ns == UNTOUCHED);
	FUZZ_CHECK(r < 0 || ns <= DURATION_MAX_NS);

	kube_r = quantity_parse_kube_cpu(text, &kube_millicpu);
	fuzz_check_result(kube_r, kube_millicpu == UNTOUCHED);
	FUZZ_CHECK(kube_r < 0 || (kube_millicpu >= 0 && kube_millicpu <= 1000001000));
	r = quantity_parse_cpu(text, &millicpu);
	fuzz_check_result(r, millicpu == UNTOUCHED);
	FUZZ_CHECK(r < 0 || (millicpu >= 1 && millicpu <= 1024000));
	/* What people may write, an API server may send, and it means the same. */
	FUZZ_CHECK(r < 0 || (kube_r == 0 && kube_millicpu == millicpu));

	r = quantity_parse_port(text, &port, &protocol);
	fuzz_check_result(r, port == UNTOUCHED && protocol == UNTOUCHED);
	FUZZ_CHECK(r < 0 || port > 0);
	FUZZ_CHECK(r < 0 || protocol == IPPROTO_TCP || protocol == IPPROTO_UDP);
	return 0;
}
