// SPDX-License-Identifier: MIT
/* A parser for each type of value. */
#include "config/config_value.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/quantity.h"
#include "base/util.h"
#include "config/config.h"

#define CONFIG_VALUE_MILLICPU_MIN 10
#define CONFIG_VALUE_WORDS_MAX	  256

int config_value_refuse(char *wrong, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(wrong, CONFIG_ERROR_MAX, format, args);
	va_end(args);
	return -EINVAL;
}

static int config_value_parse_switch(const struct config_setting *s, char *text, void *out,
				     char *wrong)
{
	(void)s;
	(void)text;
	(void)wrong;
	*(bool *)out = true;
	return 0;
}

static int config_value_parse_duration(const struct config_setting *s, char *text, void *out,
				       char *wrong)
{
	uint64_t least_ns = 0;
	int r = quantity_parse_duration(text, out);

	if (r == -ERANGE)
		return config_value_refuse(wrong, "is longer than 1000 days");
	if (r < 0)
		return config_value_refuse(wrong, "is not a duration such as 30s or 5m");
	if (s->least)
		quantity_parse_duration(s->least, &least_ns);
	if (*(uint64_t *)out < least_ns)
		return config_value_refuse(wrong, "is too short; %s is the least", s->least);
	return 0;
}

static int config_value_parse_duration_ms(const struct config_setting *s, char *text, void *out,
					  char *wrong)
{
	int r = config_value_parse_duration(s, text, out, wrong);

	*(uint64_t *)out /= NS_PER_MS;
	return r;
}

static int config_value_parse_cpu(const struct config_setting *s, char *text, void *out,
				  char *wrong)
{
	int r = quantity_parse_cpu(text, out);

	(void)s;
	if (r == -ERANGE)
		return config_value_refuse(wrong, "is out of range; zero would mean no limit, and "
						  "1024 CPUs are the most");
	if (r < 0)
		return config_value_refuse(wrong, "is not an amount of CPU such as 10m or 0.5");
	if (*(uint32_t *)out < CONFIG_VALUE_MILLICPU_MIN)
		return config_value_refuse(wrong, "is too little; the kernel's smallest quota is "
						  "10m");
	return 0;
}

static int config_value_parse_number(const struct config_setting *s, char *text, void *out,
				     char *wrong)
{
	unsigned long number;
	char *end;

	errno = 0;
	number = strtoul(text, &end, 10);
	if (errno || *end || !isdigit((unsigned char)*text) || number < s->least_number ||
	    number > s->most_number)
		return config_value_refuse(wrong, "is not a %s", s->noun);
	*(uint32_t *)out = (uint32_t)number;
	return 0;
}

/* "is neither on nor off", "is none of auto, tcx, tc, xdp". */
static int config_value_refuse_word(const struct config_word *words, char *wrong)
{
	char list[CONFIG_VALUE_WORDS_MAX] = "";
	size_t len = 0, count = 0;

	while (words[count].name)
		count++;
	for (size_t i = 0; i < count; i++)
		len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s",
					i == 0 ? "" : (count == 2 ? " nor " : ", "), words[i].name);
	return config_value_refuse(wrong, "is %s %s", count == 2 ? "neither" : "none of", list);
}

static int config_value_parse_choice(const struct config_setting *s, char *text, void *out,
				     char *wrong)
{
	for (const struct config_word *w = s->words; w->name; w++) {
		if (strcmp(text, w->name) == 0) {
			*(unsigned int *)out = w->value;
			return 0;
		}
	}
	return config_value_refuse_word(s->words, wrong);
}

static int config_value_parse_choice_bool(const struct config_setting *s, char *text, void *out,
					  char *wrong)
{
	unsigned int value = 0;
	int r = config_value_parse_choice(s, text, &value, wrong);

	*(bool *)out = value;
	return r;
}

/* What a URL path may hold unescaped, so that nothing can leave the request line. */
static bool config_value_is_url_path(const char *path)
{
	if (*path != '/')
		return false;
	for (; *path; path++) {
		if (!isgraph((unsigned char)*path))
			return false;
	}
	return true;
}

static int config_value_parse_ready(const struct config_setting *s, char *text, void *out,
				    char *wrong)
{
	struct ready_spec *ready = out;

	(void)s;
	if (strcmp(text, "tcp") == 0)
		ready->kind = READY_TCP;
	else if (strcmp(text, "none") == 0)
		ready->kind = READY_NONE;
	else if (strncmp(text, "http:", 5) == 0 && config_value_is_url_path(text + 5))
		*ready = (struct ready_spec){ .kind = READY_HTTP, .path = text + 5 };
	else
		return config_value_refuse(wrong, "is none of tcp, none, or http:/PATH such as "
						  "http:/healthz");
	return 0;
}

bool config_value_is_name(const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len > 253 || !isalnum((unsigned char)*name))
		return false;
	return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-.") == len;
}

static int config_value_take(char *text, bool is_right, void *out)
{
	*(const char **)out = text;
	return is_right ? 0 : -EINVAL;
}

static int config_value_parse_name(const struct config_setting *s, char *text, void *out,
				   char *wrong)
{
	if (config_value_take(text, config_value_is_name(text), out) == 0)
		return 0;
	return config_value_refuse(wrong, "is not the name of a %s", s->noun);
}

static int config_value_parse_interface(const struct config_setting *s, char *text, void *out,
					char *wrong)
{
	(void)s;
	if (config_value_take(text, *text && strlen(text) < IFNAMSIZ, out) == 0)
		return 0;
	return config_value_refuse(wrong, "is not the name of an interface, such as eth0");
}

static int config_value_parse_file(const struct config_setting *s, char *text, void *out,
				   char *wrong)
{
	(void)s;
	if (config_value_take(text, *text, out) == 0)
		return 0;
	return config_value_refuse(wrong, "is not a path");
}

static int config_value_parse_path(const struct config_setting *s, char *text, void *out,
				   char *wrong)
{
	(void)s;
	if (config_value_take(text, *text == '/', out) == 0)
		return 0;
	return config_value_refuse(wrong, "is not an absolute path");
}

static int config_value_parse_path_or_none(const struct config_setting *s, char *text, void *out,
					   char *wrong)
{
	(void)s;
	if (config_value_take(text, *text == '/' || strcmp(text, "none") == 0, out) == 0)
		return 0;
	return config_value_refuse(wrong, "is neither an absolute path nor none");
}

/* 127.0.0.1:9090, [::1]:9090, or :9090. */
static bool config_value_is_listen(const char *text)
{
	const char *colon = strrchr(text, ':');
	char host[INET6_ADDRSTRLEN + 2];
	size_t len = colon ? (size_t)(colon - text) : sizeof(host);
	struct in6_addr addr;
	uint8_t protocol;
	uint16_t port;

	if (len >= sizeof(host) || strchr(colon, '/') ||
	    quantity_parse_port(colon + 1, &port, &protocol) < 0)
		return false;
	memcpy(host, text, len);
	host[len] = '\0';
	if (len == 0 || inet_pton(AF_INET, host, &addr) == 1)
		return true;
	if (*host != '[' || host[len - 1] != ']')
		return false;
	host[len - 1] = '\0';
	return inet_pton(AF_INET6, host + 1, &addr) == 1;
}

static int config_value_parse_listen(const struct config_setting *s, char *text, void *out,
				     char *wrong)
{
	(void)s;
	if (config_value_take(text, config_value_is_listen(text), out) == 0)
		return 0;
	return config_value_refuse(wrong, "is not an address and a port, such as 127.0.0.1:9090 or "
					  ":9090");
}

static int config_value_parse_port(const struct config_setting *s, char *text, void *out,
				   char *wrong)
{
	struct target_port *port = out;
	int r = quantity_parse_port(text, &port->port, &port->protocol);

	(void)s;
	if (r == -ERANGE)
		return config_value_refuse(wrong, "is not a port from 1 to 65535");
	if (r < 0)
		return config_value_refuse(wrong, "is not a port such as 8080 or 53/udp");
	return 0;
}

static int config_value_parse_tcp_port(const struct config_setting *s, char *text, void *out,
				       char *wrong)
{
	uint8_t protocol;

	(void)s;
	if (quantity_parse_port(text, out, &protocol) == 0 && protocol == IPPROTO_TCP)
		return 0;
	return config_value_refuse(wrong, "is not a TCP port from 1 to 65535");
}

static int config_value_parse_source(const struct config_setting *s, char *text, void *out,
				     char *wrong)
{
	const char *why = cidr_parse(text, out);

	(void)s;
	return why ? config_value_refuse(wrong, "%s", why) : 0;
}

static int config_value_parse_http_path(const struct config_setting *s, char *text, void *out,
					char *wrong)
{
	(void)s;
	if (caller_parse_path(text, out) == 0)
		return 0;
	return config_value_refuse(wrong, "is not a method and a path such as GET /healthz");
}

static int config_value_parse_schedule(const struct config_setting *s, char *text, void *out,
				       char *wrong)
{
	const char *why = schedule_parse(text, out);

	(void)s;
	return why ? config_value_refuse(wrong, "%s", why) : 0;
}

#define TYPE(name, ctype, arg, between, ...)                                                       \
	const struct config_type config_value_##name = { .parse = config_value_parse_##name,       \
							 .size = sizeof(ctype),                    \
							 .argument = (arg),                        \
							 .separators = (between),                  \
							 __VA_ARGS__ };

/* clang-format off */
TYPE(switch, bool, NULL, NULL)
TYPE(duration, uint64_t, "DURATION", NULL)
TYPE(duration_ms, uint64_t, "DURATION", NULL)
TYPE(cpu, uint32_t, "CPU", NULL)
TYPE(number, uint32_t, "NUMBER", NULL)
TYPE(choice, unsigned int, NULL, NULL)
TYPE(choice_bool, bool, NULL, NULL)
TYPE(ready, struct ready_spec, "tcp|http:/PATH|none", NULL)
TYPE(name, const char *, "NAME", ", ", .is_text = true)
TYPE(interface, const char *, "NAME", ", ", .is_text = true)
TYPE(file, const char *, "PATH", NULL)
TYPE(path, const char *, "PATH", NULL)
TYPE(path_or_none, const char *, "PATH|none", NULL)
TYPE(listen, const char *, "ADDR:PORT", NULL)
TYPE(port, struct target_port, "PORT", ", ")
TYPE(tcp_port, uint16_t, "PORT", ", ")
TYPE(source, struct cidr, "CIDR", ", ")
TYPE(http_path, struct caller_path, "'METHOD /PATH'", ",", .may_repeat = true)
TYPE(schedule, struct schedule, "SCHEDULE", ";", .may_repeat = true)
/* clang-format on */

/* As CONFIG_LIST() has it. */
struct config_value_list {
	size_t len;
	char items[];
};

static struct config_value_list *config_value_list(struct config *c, size_t offset)
{
	return (struct config_value_list *)((char *)c + offset);
}

static bool config_value_is_listed(struct config *c, size_t offset, const struct config_type *type,
				   const void *item)
{
	const struct config_value_list *list = config_value_list(c, offset);

	for (size_t i = 0; i < list->len; i++) {
		const void *other = list->items + i * type->size;

		if (type->is_text ? strcmp(*(char *const *)other, *(char *const *)item) == 0
				  : memcmp(other, item, type->size) == 0)
			return true;
	}
	return false;
}

/* The items are compared with their padding, which is zero. */
static int config_value_append(struct config *c, const struct config_setting *s, char *text,
			       char *wrong)
{
	struct config_value_list *list = config_value_list(c, s->offset);
	_Alignas(uint64_t) char item[sizeof(struct schedule)] = { 0 };
	int r = s->type->parse(s, text, item, wrong);

	if (r < 0)
		return r;
	if (s->rival && config_value_is_listed(c, s->rival, s->type, item))
		return config_value_refuse(wrong, "is both a --probe-source and an "
						  "--ignore-source");
	if (!s->type->may_repeat && config_value_is_listed(c, s->offset, s->type, item))
		return config_value_refuse(wrong, "is given twice; name each %s once", s->noun);
	if (list->len == s->max)
		return config_value_refuse(wrong, "is one %s too many; at most %zu are possible",
					   s->noun, s->max);
	memcpy(list->items + list->len++ * s->type->size, item, s->type->size);
	return 0;
}

int config_value_set(struct config *c, const struct config_setting *s, char *text, char *wrong)
{
	if (s->max)
		return config_value_append(c, s, text, wrong);
	return s->type->parse(s, text, (char *)c + s->offset, wrong);
}

void config_value_forget(struct config *c, const struct config_setting *s)
{
	if (s->max)
		config_value_list(c, s->offset)->len = 0;
}
