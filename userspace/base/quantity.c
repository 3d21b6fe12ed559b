// SPDX-License-Identifier: MIT
/* Parses durations, CPU sizes and ports; whole strings only, no rest is ignored. */
#include "base/quantity.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

#include "base/util.h"

#define QUANTITY_DURATION_MAX_NS (1000 * 24 * 3600 * NS_PER_S)
#define QUANTITY_MILLICPU_MAX	 (1024 * 1000)

/* More microseconds than 1000 days have; a thousand times as much still fits into a uint64_t. */
#define QUANTITY_WHOLE_MAX UINT64_C(1000000000000000)

#define QUANTITY_KUBE_CPU_MAX 1000000

/* A decimal number as an integer and billionths of it, both without rounding. */
struct quantity_number {
	uint64_t whole;
	uint64_t billionths;
};

static bool quantity_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Moves *text behind the number. */
static int quantity_parse_number(const char **text, struct quantity_number *out)
{
	const char *c = *text;
	uint64_t unit = NS_PER_S / 10;

	*out = (struct quantity_number){ 0 };
	if (!quantity_is_digit(*c))
		return -EINVAL;
	for (; quantity_is_digit(*c); c++) {
		out->whole = out->whole * 10 + (uint64_t)(*c - '0');
		if (out->whole > QUANTITY_WHOLE_MAX)
			return -ERANGE;
	}
	if (*c == '.') {
		if (!quantity_is_digit(*++c))
			return -EINVAL;
		for (; quantity_is_digit(*c); c++, unit /= 10) {
			if (unit == 0)
				return -EINVAL;
			out->billionths += unit * (uint64_t)(*c - '0');
		}
	}
	*text = c;
	return 0;
}

static const struct {
	const char *name;
	uint64_t ns;
} quantity_units[] = {
	/* Before "m", which is the beginning of "ms". */
	{ "ms", NS_PER_MS },	{ "us", NS_PER_US },	  { "s", NS_PER_S },
	{ "m", 60 * NS_PER_S }, { "h", 3600 * NS_PER_S },
};

static uint64_t quantity_parse_unit(const char **text)
{
	for (size_t i = 0; i < ARRAY_LEN(quantity_units); i++) {
		size_t len = strlen(quantity_units[i].name);

		if (strncmp(*text, quantity_units[i].name, len) == 0) {
			*text += len;
			return quantity_units[i].ns;
		}
	}
	return 0;
}

int quantity_parse_duration(const char *text, uint64_t *ns_out)
{
	uint64_t total_ns = 0;
	bool is_zero = strcmp(text, "0") == 0;

	if (*text == '\0')
		return -EINVAL;
	while (*text && !is_zero) {
		struct quantity_number n;
		uint64_t unit_ns;
		int r = quantity_parse_number(&text, &n);

		if (r < 0)
			return r;
		unit_ns = quantity_parse_unit(&text);
		if (!unit_ns)
			return -EINVAL;
		if (n.whole > QUANTITY_DURATION_MAX_NS / unit_ns)
			return -ERANGE;
		/* unit_ns is a multiple of 1000: nothing overflows, and less than 1 ns is lost. */
		total_ns += n.whole * unit_ns + n.billionths * (unit_ns / 1000) / (NS_PER_S / 1000);
		if (total_ns > QUANTITY_DURATION_MAX_NS)
			return -ERANGE;
	}
	*ns_out = total_ns;
	return 0;
}

int quantity_parse_cpu(const char *text, uint32_t *millicpu_out)
{
	struct quantity_number n;
	uint64_t millicpu;
	int r = quantity_parse_number(&text, &n);

	if (r < 0)
		return r;
	if (strcmp(text, "m") == 0) {
		if (n.billionths)
			return -EINVAL;
		millicpu = n.whole;
	} else if (*text == '\0') {
		if (n.billionths % (NS_PER_S / 1000))
			return -EINVAL;
		millicpu = n.whole * 1000 + n.billionths / (NS_PER_S / 1000);
	} else {
		return -EINVAL;
	}
	if (millicpu == 0 || millicpu > QUANTITY_MILLICPU_MAX)
		return -ERANGE;
	*millicpu_out = (uint32_t)millicpu;
	return 0;
}

/* The suffixes of apimachinery's resource.Quantity, in billionths of a CPU. */
static const struct {
	const char *suffix;
	uint64_t billionths;
} quantity_cpu_units[] = {
	{ "n", 1 }, { "u", 1000 }, { "m", 1000000 }, { "", NS_PER_S }, { "k", 1000 * NS_PER_S },
};

int quantity_parse_kube_cpu(const char *text, int64_t *millicpu_out)
{
	struct quantity_number n;
	int r = quantity_parse_number(&text, &n);

	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_LEN(quantity_cpu_units); i++) {
		uint64_t unit = quantity_cpu_units[i].billionths, billionths;

		if (strcmp(text, quantity_cpu_units[i].suffix) != 0)
			continue;
		if (n.whole > QUANTITY_KUBE_CPU_MAX * NS_PER_S / unit)
			return -ERANGE;
		/*
		 * In millionths first, because the product of two billions would overflow. Rounding
		 * up on the way never passes a multiple of 1m, so the result is the same.
		 */
		billionths = (n.billionths + 999) / 1000 * unit;
		billionths = n.whole * unit + (billionths + 999999) / 1000000;
		*millicpu_out = (int64_t)((billionths + 999999) / 1000000);
		return 0;
	}
	return -EINVAL;
}

int quantity_parse_port(const char *text, uint16_t *port_out, uint8_t *protocol_out)
{
	uint32_t port = 0;
	uint8_t protocol;

	if (!quantity_is_digit(*text))
		return -EINVAL;
	for (; quantity_is_digit(*text); text++) {
		port = port * 10 + (uint32_t)(*text - '0');
		if (port > UINT16_MAX)
			return -ERANGE;
	}
	if (*text == '\0' || strcmp(text, "/tcp") == 0)
		protocol = IPPROTO_TCP;
	else if (strcmp(text, "/udp") == 0)
		protocol = IPPROTO_UDP;
	else
		return -EINVAL;
	if (port == 0)
		return -ERANGE;
	*port_out = (uint16_t)port;
	*protocol_out = protocol;
	return 0;
}
