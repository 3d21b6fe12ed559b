// SPDX-License-Identifier: MIT
/* Prefixes as people write them: what is read, what is refused, and who is in it. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/cidr.h"
#include "base/util.h"
#include "lib/test.h"

/* clang-format off */
static const struct {
	const char *text;
	const char *formatted; /* NULL: as text */
	uint8_t prefix_len;
} good[] = {
	{ "192.0.2.0/24",                 NULL,                  120 },
	{ "192.0.2.7",                    "192.0.2.7/32",        128 },
	{ "192.0.2.7/32",                 NULL,                  128 },
	{ "192.0.2.6/31",                 NULL,                  127 },
	{ "10.0.0.0/8",                   NULL,                  104 },
	{ "128.0.0.0/1",                  NULL,                  97 },
	{ "0.0.0.0/0",                    NULL,                  96 },
	{ "0.0.0.0",                      "0.0.0.0/32",          128 },
	{ "255.255.255.255",              "255.255.255.255/32",  128 },
	{ "2001:db8::/32",                NULL,                  32 },
	{ "2001:db8::1",                  "2001:db8::1/128",     128 },
	{ "2001:DB8:0:0:0::1/128",        "2001:db8::1/128",     128 },
	{ "2001:db8:8000::/33",           NULL,                  33 },
	{ "::/0",                         NULL,                  0 },
	{ "::",                           "::/128",              128 },
	{ "::1",                          "::1/128",             128 },
	{ "8000::/1",                     NULL,                  1 },
	{ "fe80::/10",                    NULL,                  10 },
	{ "2001:db8:1:2:3:4:5:6",         "2001:db8:1:2:3:4:5:6/128", 128 },
	{ "2001:db8:1111:2222:3333:4444:255.255.255.255/128",
	  "2001:db8:1111:2222:3333:4444:ffff:ffff/128",          128 },
	/* The same address, written twice. */
	{ "::ffff:192.0.2.7",             "192.0.2.7/32",        128 },
	{ "::ffff:192.0.2.0/120",         "192.0.2.0/24",        120 },
	{ "::ffff:c000:200/120",          "192.0.2.0/24",        120 },
	{ "::ffff:0:0/96",                "0.0.0.0/0",           96 },
};

#define NONE "is neither an address nor a prefix such as 10.0.0.0/8"
#define LEN4 "has a prefix length that is not 0 to 32"
#define LEN6 "has a prefix length that is not 0 to 128"
#define BITS "has bits behind its prefix: which one is meant?"

static const struct {
	const char *text, *wrong;
} bad[] = {
	{ "",                       NONE },
	{ "/",                      NONE },
	{ "/8",                     NONE },
	{ "10",                     NONE },
	{ "10/8",                   NONE },
	{ "10.0.0/8",               NONE },
	{ "10.0.0.0.0/8",           NONE },
	{ "256.0.0.0/8",            NONE },
	{ "10.0.0.0x/8",            NONE },
	{ " 10.0.0.0/8",            NONE },
	{ "10.0.0.0 /8",            NONE },
	{ "010.0.0.0/8",            NONE }, /* octal, to some */
	{ "0x0a.0.0.0/8",           NONE },
	{ "localhost",              NONE },
	{ "10.0.0.0,192.0.2.0",     NONE },
	{ ":",                      NONE },
	{ ":::/0",                  NONE },
	{ "2001:db8::1::2",         NONE },
	{ "2001:db8:1:2:3:4:5:6:7", NONE },
	{ "2001:db8::12345",        NONE },
	{ "2001:db8::g",            NONE },
	{ "fe80::1%eth0",           NONE },
	{ "[2001:db8::1]",          NONE },
	{ "2001:db8:1111:2222:3333:4444:255.255.255.2555", NONE },
	{ "00000000000000000000000000000000000000000000000000000000000000:1", NONE },
	{ "10.0.0.0/",              LEN4 },
	{ "10.0.0.0/33",            LEN4 },
	{ "10.0.0.0/128",           LEN4 },
	{ "10.0.0.0/-8",            LEN4 },
	{ "10.0.0.0/+8",            LEN4 },
	{ "10.0.0.0/ 8",            LEN4 },
	{ "10.0.0.0/8 ",            LEN4 },
	{ "10.0.0.0/08",            LEN4 },
	{ "10.0.0.0/00",            LEN4 },
	{ "10.0.0.0/8/8",           LEN4 },
	{ "10.0.0.0/255.0.0.0",     LEN4 },
	{ "10.0.0.0/264",           LEN4 }, /* 8, if 8 bits were all there is */
	{ "10.0.0.0/4294967304",    LEN4 },
	{ "2001:db8::/",            LEN6 },
	{ "2001:db8::/129",         LEN6 },
	{ "2001:db8::/0x20",        LEN6 },
	{ "2001:db8::/999",         LEN6 },
	{ "2001:db8::/1000",        LEN6 },
	{ "10.0.0.1/8",             BITS },
	{ "192.0.2.7/31",           BITS },
	{ "192.0.2.128/24",         BITS },
	{ "0.0.0.1/0",              BITS },
	{ "128.0.0.0/0",            BITS },
	{ "2001:db8::1/32",         BITS },
	{ "2001:db8::1/127",        BITS },
	{ "2001:db9::/31",          BITS },
	{ "::1/0",                  BITS },
	{ "::ffff:10.0.0.0/8",      BITS }, /* of 128, as it is written */
	{ "::ffff:0:0/95",          BITS },
};

static const struct {
	const char *prefix, *address;
	bool is_in;
} members[] = {
	{ "192.0.2.0/24",   "192.0.2.0",           true },
	{ "192.0.2.0/24",   "192.0.2.255",         true },
	{ "192.0.2.0/24",   "192.0.3.0",           false },
	{ "192.0.2.0/24",   "192.0.1.255",         false },
	{ "192.0.2.6/31",   "192.0.2.7",           true },
	{ "192.0.2.6/31",   "192.0.2.8",           false },
	{ "192.0.2.7",      "192.0.2.7",           true },
	{ "192.0.2.7",      "192.0.2.6",           false },
	{ "192.0.2.128/25", "192.0.2.127",         false },
	{ "192.0.2.128/25", "192.0.2.128",         true },
	{ "0.0.0.0/0",      "255.255.255.255",     true },
	{ "0.0.0.0/0",      "::ffff:192.0.2.1",    true },
	{ "0.0.0.0/0",      "2001:db8::1",         false }, /* every address of IPv4 */
	{ "0.0.0.0/0",      "::192.0.2.1",         false },
	{ "::/0",           "2001:db8::1",         true },
	{ "::/0",           "192.0.2.1",           true },
	{ "2001:db8::/32",  "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", true },
	{ "2001:db8::/32",  "2001:db9::",          false },
	{ "2001:db8::/33",  "2001:db8:7fff::",     true },
	{ "2001:db8::/33",  "2001:db8:8000::",     false },
	{ "2001:db8::1",    "2001:db8::1",         true },
	{ "2001:db8::1",    "2001:db8::2",         false },
};
/* clang-format on */

static struct gate_addr addr_of(const char *text)
{
	struct gate_addr addr = { .bytes = { [10] = 0xff, 0xff } };

	if (strchr(text, ':'))
		assert_int_equal(inet_pton(AF_INET6, text, addr.bytes), 1);
	else
		assert_int_equal(inet_pton(AF_INET, text, addr.bytes + 12), 1);
	return addr;
}

TEST(prefixes_are_read_whole)
{
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		const char *expected = good[i].formatted ? good[i].formatted : good[i].text;
		char text[CIDR_TEXT_MAX], addr[CIDR_TEXT_MAX];
		struct gate_addr begin;
		struct cidr c;
		const char *wrong;

		memset(&c, 0xff, sizeof(c));
		wrong = cidr_parse(good[i].text, &c);
		if (wrong)
			fail_msg("'%s' %s", good[i].text, wrong);
		snprintf(addr, sizeof(addr), "%.*s", (int)strcspn(good[i].text, "/"), good[i].text);
		begin = addr_of(addr);
		if (c.prefix_len != good[i].prefix_len ||
		    memcmp(&c.addr, &begin, sizeof(begin)) != 0)
			fail_msg("'%s' is of length %u, or at another address", good[i].text,
				 c.prefix_len);
		cidr_format(&c, text);
		assert_string_equal(text, expected);
	}
}

TEST(what_is_wrong_is_told)
{
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct cidr c;
		const char *wrong = cidr_parse(bad[i].text, &c);

		if (!wrong || strcmp(wrong, bad[i].wrong) != 0)
			fail_msg("'%s' %s", bad[i].text, wrong ? wrong : "was taken");
	}
}

TEST(every_length_is_read_as_it_is_written)
{
	for (unsigned int len = 0; len <= 128; len++) {
		char text[CIDR_TEXT_MAX], again[CIDR_TEXT_MAX];
		struct cidr c;

		snprintf(text, sizeof(text), "::/%u", len);
		assert_null(cidr_parse(text, &c));
		assert_int_equal(c.prefix_len, len);
		cidr_format(&c, again);
		assert_string_equal(again, text);
		snprintf(text, sizeof(text), "0.0.0.0/%u", len);
		if (len > 32) {
			assert_non_null(cidr_parse(text, &c));
			continue;
		}
		assert_null(cidr_parse(text, &c));
		assert_int_equal(c.prefix_len, 96 + len);
		cidr_format(&c, again);
		assert_string_equal(again, text);
	}
}

TEST(the_longest_text_fits)
{
	static const char longest[] = "abcd:abcd:abcd:abcd:abcd:abcd:abcd:abcd/128";
	char text[CIDR_TEXT_MAX];
	struct cidr c;

	assert_null(cidr_parse(longest, &c));
	cidr_format(&c, text);
	assert_string_equal(text, longest);
	assert_null(cidr_parse("abcd:abcd:abcd:abcd:abcd:abcd:255.255.255.255/128", &c));
}

TEST(addresses_are_in_their_prefixes_only)
{
	for (size_t i = 0; i < ARRAY_LEN(members); i++) {
		struct gate_addr addr = addr_of(members[i].address);
		struct cidr c;

		assert_null(cidr_parse(members[i].prefix, &c));
		if (cidr_contains(&c, &addr) != members[i].is_in)
			fail_msg("%s in %s", members[i].address, members[i].prefix);
	}
}

/* A bit in front of the prefix decides, one behind it does not. */
TEST(each_bit_of_the_prefix_counts)
{
	for (unsigned int len = 0; len <= 128; len++) {
		struct cidr c = { .prefix_len = (uint8_t)len };

		for (unsigned int bit = 0; bit < 128; bit++) {
			struct gate_addr addr = { 0 };

			addr.bytes[bit / 8] = (uint8_t)(0x80 >> bit % 8);
			assert_int_equal(cidr_contains(&c, &addr), bit >= len);
		}
	}
}

TEST(an_address_alone_contains_itself_only)
{
	struct gate_addr addr = addr_of("192.0.2.7"), other = addr_of("192.0.2.6");
	struct cidr c = cidr_of(&addr);
	char text[CIDR_TEXT_MAX];

	cidr_format(&c, text);
	assert_string_equal(text, "192.0.2.7/32");
	assert_true(cidr_contains(&c, &addr));
	assert_false(cidr_contains(&c, &other));
}
