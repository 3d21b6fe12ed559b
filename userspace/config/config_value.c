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

/* A sentence that is not the same for every setting. */
__attribute__((format(printf, 2, 3))) static const char *config_value_say(struct config_value *v,
									  const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(v->wrong, sizeof(v->wrong), format, args);
	va_end(args);
	return v->wrong;
}

static const char *config_value_parse_switch(struct config_value *v)
{
	*(bool *)v->out = true;
	return NULL;
}

static const char *config_value_parse_duration(struct config_value *v)
{
	uint64_t least_ns = 0;
	int r = quantity_parse_duration(v->text, v->out);

	if (r < 0)
		return r == -ERANGE ? "is longer than 1000 days"
				    : "is not a duration such as 30s or 5m";
	if (v->setting->least)
		quantity_parse_duration(v->setting->least, &least_ns);
	if (*(uint64_t *)v->out >= least_ns)
		return NULL;
	return config_value_say(v, "is too short; %s is the least", v->setting->least);
}

static const char *config_value_parse_duration_ms(struct config_value *v)
{
	const char *wrong = config_value_parse_duration(v);

	*(uint64_t *)v->out /= NS_PER_MS;
	return wrong;
}

static const char *config_value_parse_cpu(struct config_value *v)
{
	int r = quantity_parse_cpu(v->text, v->out);

	if (r == -ERANGE)
		return "is out of range; zero would mean no limit, and 1024 CPUs are the most";
	if (r < 0)
		return "is not an amount of CPU such as 10m or 0.5";
	return *(uint32_t *)v->out < CONFIG_VALUE_MILLICPU_MIN
		       ? "is too little; the kernel's smallest quota is 10m"
		       : NULL;
}

static const char *config_value_parse_number(struct config_value *v)
{
	unsigned long number;
	char *end;

	errno = 0;
	number = strtoul(v->text, &end, 10);
	if (errno || *end || !isdigit((unsigned char)*v->text) ||
	    number < v->setting->least_number || number > v->setting->most_number)
		return config_value_say(v, "is not a %s", v->setting->noun);
	*(uint32_t *)v->out = (uint32_t)number;
	return NULL;
}

/* "is neither on nor off", "is none of auto, tcx, tc, xdp". */
static const char *config_value_parse_choice(struct config_value *v)
{
	const struct config_word *words = v->setting->words;
	char list[CONFIG_VALUE_WORDS_MAX] = "";
	size_t len = 0, count = 0;

	for (; words[count].name; count++) {
		if (strcmp(v->text, words[count].name) == 0) {
			*(unsigned int *)v->out = words[count].value;
			return NULL;
		}
	}
	for (size_t i = 0; i < count; i++)
		len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s",
					i == 0 ? "" : (count == 2 ? " nor " : ", "), words[i].name);
	return config_value_say(v, "is %s %s", count == 2 ? "neither" : "none of", list);
}

static const char *config_value_parse_choice_bool(struct config_value *v)
{
	unsigned int value = 0;
	bool *out = v->out;
	const char *wrong;

	v->out = &value;
	wrong = config_value_parse_choice(v);
	v->out = out;
	*out = value;
	return wrong;
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

static const char *config_value_parse_ready(struct config_value *v)
{
	struct ready_spec *ready = v->out;

	if (strcmp(v->text, "tcp") == 0)
		ready->kind = READY_LISTENS;
	else if (strcmp(v->text, "none") == 0)
		ready->kind = READY_NONE;
	else if (strncmp(v->text, "http:", 5) == 0 && config_value_is_url_path(v->text + 5))
		*ready = (struct ready_spec){ .kind = READY_HTTP, .path = v->text + 5 };
	else
		return "is none of tcp, none, or http:/PATH such as http:/healthz";
	return NULL;
}

bool config_value_is_name(const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len > 253 || !isalnum((unsigned char)*name))
		return false;
	return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-.") == len;
}

static const char *config_value_take(struct config_value *v, bool is_right, const char *wrong)
{
	*(const char **)v->out = v->text;
	return is_right ? NULL : wrong;
}

static const char *config_value_parse_name(struct config_value *v)
{
	return config_value_take(v, config_value_is_name(v->text),
				 config_value_say(v, "is not the name of a %s", v->setting->noun));
}

static const char *config_value_parse_interface(struct config_value *v)
{
	return config_value_take(v, *v->text && strlen(v->text) < IFNAMSIZ,
				 "is not the name of an interface, such as eth0");
}

static const char *config_value_parse_file(struct config_value *v)
{
	return config_value_take(v, *v->text, "is not a path");
}

static const char *config_value_parse_path(struct config_value *v)
{
	return config_value_take(v, *v->text == '/', "is not an absolute path");
}

static const char *config_value_parse_path_or_none(struct config_value *v)
{
	return config_value_take(v, *v->text == '/' || strcmp(v->text, "none") == 0,
				 "is neither an absolute path nor none");
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

static const char *config_value_parse_listen(struct config_value *v)
{
	return config_value_take(v, config_value_is_listen(v->text),
				 "is not an address and a port, such as 127.0.0.1:9090 or :9090");
}

static const char *config_value_parse_port(struct config_value *v)
{
	struct target_port *port = v->out;
	int r = quantity_parse_port(v->text, &port->port, &port->protocol);

	if (r == -ERANGE)
		return "is not a port from 1 to 65535";
	return r < 0 ? "is not a port such as 8080 or 53/udp" : NULL;
}

static const char *config_value_parse_tcp_port(struct config_value *v)
{
	uint8_t protocol;
	int r = quantity_parse_port(v->text, v->out, &protocol);

	return r == 0 && protocol == IPPROTO_TCP ? NULL : "is not a TCP port from 1 to 65535";
}

static int config_value_read_port(const char *text, size_t len, uint16_t *out)
{
	char number[sizeof("65535")];
	uint8_t protocol;

	if (len >= sizeof(number) || memchr(text, '/', len))
		return -EINVAL;
	memcpy(number, text, len);
	number[len] = '\0';
	return quantity_parse_port(number, out, &protocol);
}

/* 8080, 9000-9100, or none. */
static const char *config_value_parse_port_range(struct config_value *v)
{
	struct config_port_range *range = v->out;
	size_t len = strcspn(v->text, "-");
	const char *last = v->text[len] ? v->text + len + 1 : v->text;

	*range = (struct config_port_range){ 0 };
	if (strcmp(v->text, "none") == 0 ||
	    (config_value_read_port(v->text, len, &range->first) == 0 &&
	     config_value_read_port(last, strlen(last), &range->last) == 0 &&
	     range->first <= range->last))
		return NULL;
	return "is not a port such as 8080, a range such as 9000-9100, or none";
}

static const char *config_value_parse_source(struct config_value *v)
{
	return cidr_parse(v->text, v->out);
}

static const char *config_value_parse_http_path(struct config_value *v)
{
	return caller_parse_path(v->text, v->out) == 0
		       ? NULL
		       : "is not a method and a path such as GET /healthz";
}

/* The beginning of a header's value, which has no space at either end. */
static bool config_value_is_agent(const char *text)
{
	if (!isgraph((unsigned char)*text))
		return false;
	for (; *text; text++) {
		if (!isprint((unsigned char)*text))
			return false;
	}
	return true;
}

static const char *config_value_parse_agent(struct config_value *v)
{
	return config_value_take(v, config_value_is_agent(v->text),
				 "is not the beginning of a User-Agent such as Prometheus/");
}

static const char *config_value_parse_schedule(struct config_value *v)
{
	return schedule_parse(v->text, v->out);
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
TYPE(port_range, struct config_port_range, "PORT|FIRST-LAST|none", ", ")
TYPE(source, struct cidr, "CIDR", ", ")
TYPE(http_path, struct caller_path, "'METHOD /PATH'", ",", .may_repeat = true)
TYPE(agent, const char *, "AGENT", ",", .is_text = true)
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
static const char *config_value_append(struct config *c, struct config_value *v)
{
	const struct config_setting *s = v->setting;
	struct config_value_list *list = config_value_list(c, s->offset);
	_Alignas(uint64_t) char item[sizeof(struct schedule)] = { 0 };
	const char *wrong;

	v->out = item;
	wrong = s->type->parse(v);
	if (wrong)
		return wrong;
	if (s->rival && config_value_is_listed(c, s->rival, s->type, item))
		return "is both a --probe-source and an --ignore-source";
	if (!s->type->may_repeat && config_value_is_listed(c, s->offset, s->type, item))
		return config_value_say(v, "is given twice; name each %s once", s->noun);
	if (list->len == s->max)
		return config_value_say(v, "is one %s too many; at most %zu are possible", s->noun,
					s->max);
	memcpy(list->items + list->len++ * s->type->size, item, s->type->size);
	return NULL;
}

const char *config_value_set(struct config *c, struct config_value *v)
{
	if (v->setting->max)
		return config_value_append(c, v);
	v->out = (char *)c + v->setting->offset;
	return v->setting->type->parse(v);
}

void config_value_forget(struct config *c, const struct config_setting *s)
{
	if (s->max)
		config_value_list(c, s->offset)->len = 0;
}
