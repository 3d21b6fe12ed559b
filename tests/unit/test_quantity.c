// SPDX-License-Identifier: MIT
/* Durations, CPU sizes and ports: what is read, and what is refused rather than guessed. */
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/quantity.h"
#include "base/util.h"
#include "lib/test.h"

#define UNTOUCHED 77 /* what a refused text must leave in *out */

#define DAY_NS (24 * 3600 * NS_PER_S)

/* clang-format off */
static const struct {
	const char *text;
	int r;
	uint64_t ns;
} durations[] = {
	{ "0",                    0,       0 },
	{ "0s",                   0,       0 },
	{ "300ms",                0,       300 * NS_PER_MS },
	{ "1us",                  0,       NS_PER_US },
	{ "30s",                  0,       30 * NS_PER_S },
	{ "5m",                   0,       300 * NS_PER_S },
	{ "2h",                   0,       7200 * NS_PER_S },
	{ "007s",                 0,       7 * NS_PER_S },
	{ "1h30m",                0,       5400 * NS_PER_S },
	{ "1h2m3s4ms5us",         0,       3723 * NS_PER_S + 4005 * NS_PER_US },
	{ "1m1m",                 0,       120 * NS_PER_S },
	{ "1ms1m",                0,       60001 * NS_PER_MS },
	{ "1.5s",                 0,       1500 * NS_PER_MS },
	{ "0.25h",                0,       900 * NS_PER_S },
	{ "1.000000001s",         0,       NS_PER_S + 1 },
	{ "0.001us",              0,       1 },
	{ "0.0001us",             0,       0 }, /* what is left of a nanosecond is lost */
	{ "0.999999999h",         0,       3599999996400 },
	{ "1000000000000us",      0,       1000000 * NS_PER_S }, /* 11 days, in any unit */
	{ "24000h",               0,       1000 * DAY_NS },
	{ "86400000000ms",        0,       1000 * DAY_NS },
	{ "86400000000000us",     0,       1000 * DAY_NS },

	{ "24000h1us",            -ERANGE, 0 },
	{ "24001h",               -ERANGE, 0 },
	{ "24000.1h",             -ERANGE, 0 },
	{ "86400000000001us",     -ERANGE, 0 },
	{ "20000h20000h",         -ERANGE, 0 },
	{ "99999999999999999999999999999999999999s", -ERANGE, 0 },

	{ "",                     -EINVAL, 0 },
	{ "30",                   -EINVAL, 0 }, /* seconds or milliseconds? */
	{ "00",                   -EINVAL, 0 },
	{ "s",                    -EINVAL, 0 },
	{ "ms",                   -EINVAL, 0 },
	{ "-5s",                  -EINVAL, 0 },
	{ "+5s",                  -EINVAL, 0 },
	{ " 5s",                  -EINVAL, 0 },
	{ "5s ",                  -EINVAL, 0 },
	{ "5 s",                  -EINVAL, 0 },
	{ "5 parsecs",            -EINVAL, 0 },
	{ "5S",                   -EINVAL, 0 },
	{ "5d",                   -EINVAL, 0 },
	{ "5ns",                  -EINVAL, 0 },
	{ "5sec",                 -EINVAL, 0 },
	{ "1h30",                 -EINVAL, 0 },
	{ ".5s",                  -EINVAL, 0 },
	{ "1.s",                  -EINVAL, 0 },
	{ "1.5.5s",               -EINVAL, 0 },
	{ "1,5s",                 -EINVAL, 0 },
	{ "1e3s",                 -EINVAL, 0 },
	{ "0x10s",                -EINVAL, 0 },
	{ "1.0000000001s",        -EINVAL, 0 }, /* ten digits, more than are kept */
};

static const struct {
	const char *text;
	int r;
	uint32_t millicpu;
} cpus[] = {
	{ "500m",                 0,       500 },
	{ "1m",                   0,       1 },
	{ "10m",                  0,       10 },
	{ "2",                    0,       2000 },
	{ "0.25",                 0,       250 },
	{ "0.001",                0,       1 },
	{ "1.5",                  0,       1500 },
	{ "1.500000000",          0,       1500 },
	{ "2000m",                0,       2000 },
	{ "1024",                 0,       1024000 },
	{ "1024000m",             0,       1024000 },

	{ "0",                    -ERANGE, 0 }, /* to the kernel that would be no limit at all */
	{ "0m",                   -ERANGE, 0 },
	{ "0.0",                  -ERANGE, 0 },
	{ "1025",                 -ERANGE, 0 },
	{ "1024.001",             -ERANGE, 0 },
	{ "1024001m",             -ERANGE, 0 },
	{ "99999999999999999999999999999999999999", -ERANGE, 0 },

	{ "",                     -EINVAL, 0 },
	{ "m",                    -EINVAL, 0 },
	{ "-1",                   -EINVAL, 0 },
	{ "+1",                   -EINVAL, 0 },
	{ " 1",                   -EINVAL, 0 },
	{ "1 ",                   -EINVAL, 0 },
	{ "1 m",                  -EINVAL, 0 },
	{ "10mm",                 -EINVAL, 0 },
	{ "10M",                  -EINVAL, 0 },
	{ "10u",                  -EINVAL, 0 },
	{ "10%",                  -EINVAL, 0 },
	{ "1.5m",                 -EINVAL, 0 }, /* finer than can be set */
	{ "0.0005",               -EINVAL, 0 },
	{ ".5",                   -EINVAL, 0 },
	{ "1.",                   -EINVAL, 0 },
	{ "1e3",                  -EINVAL, 0 },
};

/* As an API server sends them; what is finer than 1m rounds up, as it does there. */
static const struct {
	const char *text;
	int r;
	int64_t millicpu;
} kube_cpus[] = {
	{ "0",                    0,       0 },
	{ "0m",                   0,       0 },
	{ "500m",                 0,       500 },
	{ "2",                    0,       2000 },
	{ "0.5",                  0,       500 },
	{ "1k",                   0,       1000000 },
	{ "1.5k",                 0,       1500000 },
	{ "1000u",                0,       1 },
	{ "1001u",                0,       2 },
	{ "1u",                   0,       1 },
	{ "1n",                   0,       1 },
	{ "1.5m",                 0,       2 },
	{ "250000000n",           0,       250 },
	{ "250000001n",           0,       251 },
	{ "5000000000n",          0,       5000 },
	{ "0.001",                0,       1 },
	{ "0.0011",               0,       2 },
	{ "0.000000001",          0,       1 },
	{ "0.5n",                 0,       1 },
	{ "1000000",              0,       1000000000 },
	{ "1000k",                0,       1000000000 },

	{ "1000001",              -ERANGE, 0 },
	{ "1001k",                -ERANGE, 0 },
	{ "1000000001m",          -ERANGE, 0 },
	{ "99999999999999999999999999999999999999", -ERANGE, 0 },

	{ "",                     -EINVAL, 0 },
	{ "m",                    -EINVAL, 0 },
	{ "-1",                   -EINVAL, 0 },
	{ " 1",                   -EINVAL, 0 },
	{ "1 ",                   -EINVAL, 0 },
	{ "1mm",                  -EINVAL, 0 },
	{ "1Ki",                  -EINVAL, 0 },
	{ "1K",                   -EINVAL, 0 },
	{ ".5",                   -EINVAL, 0 },
};

static const struct {
	const char *text;
	int r;
	uint16_t port;
	uint8_t protocol;
} ports[] = {
	{ "8080",                 0,       8080, IPPROTO_TCP },
	{ "8080/tcp",             0,       8080, IPPROTO_TCP },
	{ "53/udp",               0,       53, IPPROTO_UDP },
	{ "1",                    0,       1, IPPROTO_TCP },
	{ "65535",                0,       65535, IPPROTO_TCP },
	{ "65535/udp",            0,       65535, IPPROTO_UDP },
	{ "00080",                0,       80, IPPROTO_TCP },

	{ "0",                    -ERANGE, 0, 0 },
	{ "0/udp",                -ERANGE, 0, 0 },
	{ "65536",                -ERANGE, 0, 0 },
	{ "4294967376",           -ERANGE, 0, 0 }, /* 80, if 32 bits were all there is */
	{ "18446744073709551696", -ERANGE, 0, 0 },

	{ "",                     -EINVAL, 0, 0 },
	{ "/tcp",                 -EINVAL, 0, 0 },
	{ "http",                 -EINVAL, 0, 0 },
	{ "-1",                   -EINVAL, 0, 0 },
	{ "+80",                  -EINVAL, 0, 0 },
	{ " 80",                  -EINVAL, 0, 0 },
	{ "80 ",                  -EINVAL, 0, 0 },
	{ "80/",                  -EINVAL, 0, 0 },
	{ "80/TCP",               -EINVAL, 0, 0 },
	{ "80/tcpx",              -EINVAL, 0, 0 },
	{ "8080/sctp",            -EINVAL, 0, 0 },
	{ "80-90",                -EINVAL, 0, 0 },
	{ "80,81",                -EINVAL, 0, 0 },
	{ "0x50",                 -EINVAL, 0, 0 },
	{ "80.0",                 -EINVAL, 0, 0 },
};
/* clang-format on */

TEST(durations_are_read_whole_or_refused)
{
	for (size_t i = 0; i < ARRAY_LEN(durations); i++) {
		uint64_t ns = UNTOUCHED;
		int r = quantity_parse_duration(durations[i].text, &ns);
		uint64_t expected_ns = durations[i].r == 0 ? durations[i].ns : UNTOUCHED;

		if (r != durations[i].r || ns != expected_ns)
			fail_msg("'%s': %d, %" PRIu64 " ns", durations[i].text, r, ns);
	}
}

TEST(cpu_sizes_are_read_whole_or_refused)
{
	for (size_t i = 0; i < ARRAY_LEN(cpus); i++) {
		uint32_t millicpu = UNTOUCHED;
		int r = quantity_parse_cpu(cpus[i].text, &millicpu);
		uint32_t expected = cpus[i].r == 0 ? cpus[i].millicpu : UNTOUCHED;

		if (r != cpus[i].r || millicpu != expected)
			fail_msg("'%s': %d, %" PRIu32 "m", cpus[i].text, r, millicpu);
	}
}

TEST(cpu_sizes_of_kubernetes_are_rounded_up)
{
	for (size_t i = 0; i < ARRAY_LEN(kube_cpus); i++) {
		int64_t millicpu = UNTOUCHED;
		int r = quantity_parse_kube_cpu(kube_cpus[i].text, &millicpu);
		int64_t expected = kube_cpus[i].r == 0 ? kube_cpus[i].millicpu : UNTOUCHED;

		if (r != kube_cpus[i].r || millicpu != expected)
			fail_msg("'%s': %d, %" PRId64 "m", kube_cpus[i].text, r, millicpu);
	}
}

TEST(ports_are_read_whole_or_refused)
{
	for (size_t i = 0; i < ARRAY_LEN(ports); i++) {
		uint16_t port = UNTOUCHED;
		uint8_t protocol = UNTOUCHED;
		int r = quantity_parse_port(ports[i].text, &port, &protocol);
		bool is_right = r == ports[i].r;

		if (ports[i].r == 0)
			is_right = is_right && port == ports[i].port &&
				   protocol == ports[i].protocol;
		else
			is_right = is_right && port == UNTOUCHED && protocol == UNTOUCHED;
		if (!is_right)
			fail_msg("'%s': %d, port %u, protocol %u", ports[i].text, r, port,
				 protocol);
	}
}

TEST(every_port_is_itself)
{
	for (unsigned int i = 1; i <= UINT16_MAX; i++) {
		char text[16];
		uint16_t port = 0;
		uint8_t protocol = 0;

		snprintf(text, sizeof(text), "%u", i);
		assert_int_equal(quantity_parse_port(text, &port, &protocol), 0);
		assert_int_equal(port, i);
	}
}
