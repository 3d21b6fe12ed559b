// SPDX-License-Identifier: MIT
/* The command line and the environment: what they set, which of them wins, what is refused. */
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "config/config.h"
#include "config/config_print.h"
#include "lib/test.h"

#define ARGS_MAX 80

/* Enough of the rest for a test of one flag. */
#define PORT	"-p", "8080"
#define COMMAND "--", "sleep", "9"
#define POD	"--pod-name", "web-0", "--pod-namespace", "shop"

struct variable {
	const char *name;
	const char *value; /* none that is the default */
};

/* clang-format off */
static const struct variable run_variables[] = {
	{ "DOZE_PORT", "8080,53/udp" },
	{ "DOZE_INTERFACE", "eth0, lo" },
	{ "DOZE_IDLE_AFTER", "500ms" },
	{ "DOZE_WAKE_TIMEOUT", "5s" },
	{ "DOZE_ASLEEP", "throttle" },
	{ "DOZE_ASLEEP_CPU", "20m" },
	{ "DOZE_HOOK", "tc" },
	{ "DOZE_REPLAY", "off" },
	{ "DOZE_READY", "http:/healthz?full=1" },
	{ "DOZE_LOG_LEVEL", "debug" },
	{ "DOZE_BUSY_MAX", "20m" },
	{ "DOZE_SLEEP_WITH_CONNECTIONS", "no" },
	{ "DOZE_MIN_AWAKE", "0s" },
	{ "DOZE_IDLE_MAX", "7s" },
	{ "DOZE_STAY_AWAKE", "Mon-Fri 08:00-18:00; Sat,Sun 10:00-11:30" },
	{ "DOZE_PROBES", "pass" },
	{ "DOZE_PROBE_SOURCE", "192.0.2.1,2001:db8::/64" },
	{ "DOZE_PROBE_PORT", "9000,9001" },
	{ "DOZE_PROBE_HTTPS", "9443" },
	{ "DOZE_IGNORE_SOURCE", "198.51.100.0/24" },
	{ "DOZE_IGNORE_HTTP", "GET /healthz,HEAD /" },
	{ "DOZE_LISTEN", "127.0.0.1:9090" },
	{ "DOZE_SOCKET", "none" },
	{ "DOZE_PID", "1234" },
};

static const struct variable sidecar_variables[] = {
	{ "DOZE_PORT", "8080,53/udp" },
	{ "DOZE_INTERFACE", "eth0, lo" },
	{ "DOZE_IDLE_AFTER", "500ms" },
	{ "DOZE_WAKE_TIMEOUT", "5s" },
	{ "DOZE_ASLEEP_CPU", "20m" },
	{ "DOZE_HOOK", "tc" },
	{ "DOZE_REPLAY", "off" },
	{ "DOZE_LOG_LEVEL", "debug" },
	{ "DOZE_BUSY_MAX", "20m" },
	{ "DOZE_SLEEP_WITH_CONNECTIONS", "no" },
	{ "DOZE_MIN_AWAKE", "0s" },
	{ "DOZE_IDLE_MAX", "7s" },
	{ "DOZE_STAY_AWAKE", "Mon-Fri 08:00-18:00; Sat,Sun 10:00-11:30" },
	{ "DOZE_PROBES", "pass" },
	{ "DOZE_PROBE_SOURCE", "192.0.2.1,2001:db8::/64" },
	{ "DOZE_PROBE_PORT", "9000,9001" },
	{ "DOZE_PROBE_HTTPS", "9443" },
	{ "DOZE_IGNORE_SOURCE", "198.51.100.0/24" },
	{ "DOZE_IGNORE_HTTP", "GET /healthz,HEAD /" },
	{ "DOZE_LISTEN", "127.0.0.1:9090" },
	{ "DOZE_SOCKET", "none" },
	{ "DOZE_CONTAINERS", "app,cache" },
	{ "DOZE_OWN_CONTAINER", "sleeper" },
	{ "DOZE_POD_NAME", "web-0" },
	{ "DOZE_POD_NAMESPACE", "shop" },
	{ "DOZE_POD_UID", "5c6eb96d-0661" },
	{ "DOZE_STATE_FILE", "/state/doze.json" },
	{ "DOZE_KUBECONFIG", "kube.conf" },
	{ "DOZE_SERVICE_ACCOUNT_DIR", "/token" },
};
/* clang-format on */

static void set_variables(const struct variable *variables, size_t len)
{
	for (size_t i = 0; i < len; i++)
		setenv(variables[i].name, variables[i].value, 1);
}

static void forget_environment(void)
{
	for (size_t i = 0; i < ARRAY_LEN(run_variables); i++)
		unsetenv(run_variables[i].name);
	for (size_t i = 0; i < ARRAY_LEN(sidecar_variables); i++)
		unsetenv(sidecar_variables[i].name);
	unsetenv("POD_NAME");
	unsetenv("POD_NAMESPACE");
	unsetenv("POD_UID");
}

struct test_fixture test_around_each = { forget_environment, forget_environment };

/* One run of config_parse(), with what it may point into. */
struct parsed {
	struct config config;
	char *argv[ARGS_MAX + 2];
	char error[CONFIG_ERROR_MAX];
	int r;
};

static void parsed_free(struct parsed *p)
{
	config_free(&p->config);
}

/* args ends with NULL. */
static void parse(struct parsed *p, enum config_command command, const char *const *args)
{
	int argc = 1;

	memset(p, 0, sizeof(*p));
	p->argv[0] = (char *)"doze";
	for (; args[argc - 1]; argc++)
		p->argv[argc] = (char *)args[argc - 1];
	p->r = config_parse(&p->config, command, argc, p->argv, p->error);
	if (p->r < 0)
		assert_int_not_equal(p->error[0], '\0');
}

#define ARGS(...)	      ((const char *const[]){ __VA_ARGS__, NULL })
#define PARSE(p, ...)	      parse((p), CONFIG_RUN, ARGS(__VA_ARGS__))
#define PARSE_SIDECAR(p, ...) parse((p), CONFIG_SIDECAR, ARGS(__VA_ARGS__))

static void expect_ok(const struct parsed *p)
{
	if (p->r != 0)
		fail_msg("refused: %s", p->error);
}

static void expect_error(const struct parsed *p, const char *error)
{
	assert_int_equal(p->r, -EINVAL);
	assert_string_equal(p->error, error);
}

TEST(a_port_and_a_command_are_enough)
{
	_cleanup_(parsed_free) struct parsed p;
	const struct config *c = &p.config;

	PARSE(&p, PORT, COMMAND);
	expect_ok(&p);
	assert_int_equal(c->ports.len, 1);
	assert_int_equal(c->ports.of[0].port, 8080);
	assert_int_equal(c->ports.of[0].protocol, IPPROTO_TCP);
	assert_int_equal(c->interfaces.len, 0);
	assert_true(c->target.idle_ns == 300 * NS_PER_S);
	assert_true(c->target.wake_timeout_ns == 30 * NS_PER_S);
	assert_int_equal(c->asleep, CONFIG_ASLEEP_DEFAULT);
	assert_int_equal(c->asleep_millicpu, 10);
	assert_int_equal(c->gate.hook, HOOKS_AUTO);
	assert_true(c->gate.can_replay);
	assert_int_equal(c->target.ready.kind, READY_LISTENS);
	assert_int_equal(c->log_level, LOG_LEVEL_INFO);
	assert_int_equal(c->pid, 0);
	assert_string_equal(c->command[0], "sleep");
	assert_string_equal(c->command[1], "9");
	assert_null(c->command[2]);
	assert_false(c->wants_help);
}

/* As run_variables and sidecar_variables have it; what both have. */
static void expect_shared_settings(const struct config *c)
{
	assert_int_equal(c->ports.len, 2);
	assert_int_equal(c->ports.of[0].port, 8080);
	assert_int_equal(c->ports.of[0].protocol, IPPROTO_TCP);
	assert_int_equal(c->ports.of[1].port, 53);
	assert_int_equal(c->ports.of[1].protocol, IPPROTO_UDP);
	assert_int_equal(c->interfaces.len, 2);
	assert_string_equal(c->interfaces.of[0], "eth0");
	assert_string_equal(c->interfaces.of[1], "lo");
	assert_true(c->target.idle_ns == 500 * NS_PER_MS);
	assert_true(c->target.wake_timeout_ns == 5 * NS_PER_S);
	assert_int_equal(c->asleep_millicpu, 20);
	assert_int_equal(c->gate.hook, HOOKS_TC);
	assert_false(c->gate.can_replay);
	assert_int_equal(c->log_level, LOG_LEVEL_DEBUG);
	assert_null(c->command);
}

static void expect_run_settings(const struct config *c)
{
	expect_shared_settings(c);
	assert_int_equal(c->asleep, CONFIG_ASLEEP_THROTTLE);
	assert_int_equal(c->target.ready.kind, READY_HTTP);
	assert_string_equal(c->target.ready.path, "/healthz?full=1");
	assert_int_equal(c->pid, 1234);
}

static void expect_sidecar_settings(const struct config *c)
{
	expect_shared_settings(c);
	assert_int_equal(c->containers.len, 2);
	assert_string_equal(c->containers.of[0], "app");
	assert_string_equal(c->containers.of[1], "cache");
	assert_string_equal(c->own_container, "sleeper");
	assert_string_equal(c->pod_name, "web-0");
	assert_string_equal(c->pod_namespace, "shop");
	assert_string_equal(c->state_file, "/state/doze.json");
	assert_string_equal(c->kubeconfig, "kube.conf");
	assert_string_equal(c->service_account_dir, "/token");
}

TEST(every_flag_of_run_sets_its_setting)
{
	_cleanup_(parsed_free) struct parsed p;

	PARSE(&p, "--port", "8080", "--port=53/udp", "--interface", "eth0", "--interface=lo",
	      "--idle-after", "500ms", "--wake-timeout=5s", "--asleep", "throttle",
	      "--asleep-cpu=20m", "--hook", "tc", "--replay=off", "--ready", "http:/healthz?full=1",
	      "--log-level=debug", "--pid", "1234");
	expect_ok(&p);
	expect_run_settings(&p.config);
}

TEST(every_flag_of_sidecar_sets_its_setting)
{
	_cleanup_(parsed_free) struct parsed p;

	PARSE_SIDECAR(&p, "--port", "8080", "--port=53/udp", "--interface", "eth0",
		      "--interface=lo", "--idle-after", "500ms", "--wake-timeout=5s",
		      "--asleep-cpu=20m", "--hook", "tc", "--replay=off", "--log-level=debug",
		      "--containers", "app", "--containers=cache", "--own-container", "sleeper",
		      "--pod-name=web-0", "--pod-namespace", "shop", "--state-file",
		      "/state/doze.json", "--kubeconfig=kube.conf", "--service-account-dir",
		      "/token");
	expect_ok(&p);
	expect_sidecar_settings(&p.config);
}

/* They are copies: the environment may change. */
TEST(every_flag_has_a_variable)
{
	_cleanup_(parsed_free) struct parsed p, q;

	set_variables(run_variables, ARRAY_LEN(run_variables));
	parse(&p, CONFIG_RUN, (const char *const[]){ NULL });
	forget_environment();
	expect_ok(&p);
	expect_run_settings(&p.config);

	set_variables(sidecar_variables, ARRAY_LEN(sidecar_variables));
	parse(&q, CONFIG_SIDECAR, (const char *const[]){ NULL });
	forget_environment();
	expect_ok(&q);
	expect_sidecar_settings(&q.config);
}

TEST(a_variable_of_another_command_is_not_looked_at)
{
	_cleanup_(parsed_free) struct parsed p;

	setenv("DOZE_STATE_FILE", "not absolute", 1);
	PARSE(&p, PORT, COMMAND);
	expect_ok(&p);
}

TEST(a_sidecar_needs_only_the_names_of_its_pod)
{
	_cleanup_(parsed_free) struct parsed p;
	const struct config *c = &p.config;

	setenv("POD_NAME", "web-0", 1);
	setenv("POD_NAMESPACE", "shop", 1);
	parse(&p, CONFIG_SIDECAR, (const char *const[]){ NULL });
	setenv("POD_NAME", "other", 1);
	setenv("POD_NAMESPACE", "other", 1);
	expect_ok(&p);
	assert_string_equal(c->pod_name, "web-0");
	assert_string_equal(c->pod_namespace, "shop");
	assert_int_equal(c->ports.len, 0);
	assert_int_equal(c->containers.len, 0);
	assert_int_equal(c->asleep_millicpu, 10);
	assert_string_equal(c->own_container, "doze");
	assert_string_equal(c->state_file, "/var/lib/doze/state.json");
	assert_string_equal(c->service_account_dir,
			    "/var/run/secrets/kubernetes.io/serviceaccount");
	assert_null(c->kubeconfig);
	assert_null(c->pod_uid);
}

TEST(a_sidecar_may_know_the_uid_of_its_pod)
{
	_cleanup_(parsed_free) struct parsed variable, flag, wrong;

	setenv("POD_UID", "5c6eb96d-0661", 1);
	parse(&variable, CONFIG_SIDECAR, ARGS(POD));
	expect_ok(&variable);
	assert_string_equal(variable.config.pod_uid, "5c6eb96d-0661");
	parse(&flag, CONFIG_SIDECAR, ARGS(POD, "--pod-uid=5c6e"));
	expect_ok(&flag);
	assert_string_equal(flag.config.pod_uid, "5c6e");
	setenv("POD_UID", "../secret", 1);
	parse(&wrong, CONFIG_SIDECAR, ARGS(POD));
	assert_int_equal(wrong.r, -EINVAL);
	assert_non_null(strstr(wrong.error, "POD_UID"));
}

TEST(a_flag_wins_over_its_variable)
{
	_cleanup_(parsed_free) struct parsed p;

	setenv("DOZE_IDLE_AFTER", "1m", 1);
	setenv("DOZE_REPLAY", "off", 1);
	setenv("DOZE_READY", "http:/healthz", 1);
	setenv("DOZE_HOOK", "xdp", 1);
	PARSE(&p, PORT, "--idle-after", "2m", "--replay", "on", "--ready", "none", COMMAND);
	expect_ok(&p);
	assert_true(p.config.target.idle_ns == 120 * NS_PER_S);
	assert_true(p.config.gate.can_replay);
	assert_int_equal(p.config.target.ready.kind, READY_NONE);
	assert_int_equal(p.config.gate.hook, HOOKS_XDP);
}

TEST(a_list_of_flags_replaces_that_of_the_environment)
{
	_cleanup_(parsed_free) struct parsed p, q;

	setenv("DOZE_PORT", "80,81,82", 1);
	setenv("DOZE_INTERFACE", "eth0,eth1", 1);
	setenv("DOZE_CONTAINERS", "app,cache", 1);
	PARSE(&p, "-p", "81", "-p", "90", COMMAND);
	PARSE_SIDECAR(&q, POD, "--containers", "cache");
	expect_ok(&p);
	expect_ok(&q);
	assert_int_equal(p.config.ports.len, 2);
	assert_int_equal(p.config.ports.of[0].port, 81);
	assert_int_equal(p.config.ports.of[1].port, 90);
	assert_int_equal(p.config.interfaces.len, 2);
	assert_int_equal(q.config.ports.len, 3);
	assert_int_equal(q.config.containers.len, 1);
	assert_string_equal(q.config.containers.of[0], "cache");
}

TEST(an_empty_variable_is_none)
{
	_cleanup_(parsed_free) struct parsed p;

	for (size_t i = 0; i < ARRAY_LEN(run_variables); i++)
		setenv(run_variables[i].name, "", 1);
	PARSE(&p, PORT, COMMAND);
	expect_ok(&p);
	assert_true(p.config.target.idle_ns == 300 * NS_PER_S);
	assert_int_equal(p.config.ports.len, 1);
}

TEST(a_list_in_a_variable_may_have_spaces_and_empty_items)
{
	_cleanup_(parsed_free) struct parsed p;

	setenv("DOZE_PORT", " 80, 81 ,,82,", 1);
	PARSE(&p, COMMAND);
	expect_ok(&p);
	assert_int_equal(p.config.ports.len, 3);
	assert_int_equal(p.config.ports.of[2].port, 82);
}

TEST(the_last_of_a_repeated_flag_counts)
{
	_cleanup_(parsed_free) struct parsed p;

	PARSE(&p, PORT, "--idle-after", "1s", "--idle-after", "2s", COMMAND);
	expect_ok(&p);
	assert_true(p.config.target.idle_ns == 2 * NS_PER_S);
}

TEST(a_port_may_be_watched_for_tcp_and_udp)
{
	_cleanup_(parsed_free) struct parsed p;

	PARSE(&p, "-p", "53/tcp", "-p", "53/udp", COMMAND);
	expect_ok(&p);
	assert_int_equal(p.config.ports.len, 2);
	assert_int_equal(p.config.ports.of[0].protocol, IPPROTO_TCP);
	assert_int_equal(p.config.ports.of[1].protocol, IPPROTO_UDP);
	assert_string_equal(config_protocol_name(p.config.ports.of[0].protocol), "tcp");
	assert_string_equal(config_protocol_name(p.config.ports.of[1].protocol), "udp");
}

/* clang-format off */
static const struct {
	const char *args[ARGS_MAX];
	size_t command; /* index of the command in args */
} commands[] = {
	{ { PORT, "sleep", "9" }, 2 },
	{ { PORT, "--", "sleep", "9" }, 3 },
	/* Flags behind the command are its own, also those that we know. */
	{ { PORT, "--", "server", "-p", "9090", "--help" }, 3 },
	{ { PORT, "server", "-p", "9090", "--idle-after", "never" }, 2 },
	{ { PORT, "--", "--odd-name", "-h" }, 3 },
	{ { PORT, "--", "env", "--", "server" }, 3 },
	{ { PORT, "env", "--", "server" }, 2 },
	{ { PORT, "-", "x" }, 2 },
	{ { "-p8080", "--idle-after=1s", "sleep" }, 2 },
};
/* clang-format on */

TEST(what_follows_the_command_belongs_to_it)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		const char *const *expected = commands[i].args + commands[i].command;
		_cleanup_(parsed_free) struct parsed p;
		size_t n = 0;

		parse(&p, CONFIG_RUN, commands[i].args);
		expect_ok(&p);
		assert_int_equal(p.config.ports.len, 1);
		for (; expected[n] && p.config.command[n]; n++)
			assert_string_equal(p.config.command[n], expected[n]);
		assert_ptr_equal(expected[n], p.config.command[n]);
	}
}

TEST(help_asks_for_nothing_else)
{
	_cleanup_(parsed_free) struct parsed p, q, r;

	PARSE(&p, "--help");
	PARSE(&q, "-h");
	PARSE(&r, PORT, "-h", "--no-such-flag");
	expect_ok(&p);
	expect_ok(&q);
	expect_ok(&r);
	assert_true(p.config.wants_help && q.config.wants_help && r.config.wants_help);
}

/* getopt keeps its place in static variables, also in the middle of "-hp". */
TEST(one_parse_leaves_nothing_for_the_next)
{
	for (int i = 0; i < 3; i++) {
		_cleanup_(parsed_free) struct parsed p, q, r;

		PARSE(&p, "-hp", "1", "2", "3");
		assert_true(p.config.wants_help);
		PARSE(&q, PORT, "--idle-after", "5 parsecs");
		assert_int_equal(q.r, -EINVAL);
		PARSE(&r, "-p", "81", "-i", "lo", COMMAND);
		expect_ok(&r);
		assert_int_equal(r.config.ports.len, 1);
		assert_int_equal(r.config.ports.of[0].port, 81);
		assert_int_equal(r.config.interfaces.len, 1);
		assert_string_equal(r.config.command[0], "sleep");
	}
}

/* clang-format off */
static const struct {
	const char *args[8];
	const char *error;
} refused[] = {
	{ { NULL }, "no port to watch: add -p PORT, such as -p 8080" },
	{ { COMMAND }, "no port to watch: add -p PORT, such as -p 8080" },
	{ { PORT },
	  "nothing to run: add -- COMMAND, or --pid PID for a process that runs already" },
	{ { PORT, "--" },
	  "nothing to run: add -- COMMAND, or --pid PID for a process that runs already" },
	{ { PORT, "--pid", "1", COMMAND }, "both a command and --pid are given: choose one" },

	{ { "--no-such-flag", PORT, COMMAND }, "unknown flag '--no-such-flag'" },
	{ { "--no-such-flag=1", PORT, COMMAND }, "unknown flag '--no-such-flag=1'" },
	{ { PORT, "-x", COMMAND }, "unknown flag '-x'" },
	{ { PORT, "-xyz", COMMAND }, "unknown flag '-xyz'" },
	{ { "-?", PORT, COMMAND }, "unknown flag '-?'" },
	{ { "-:", PORT, COMMAND }, "unknown flag '-:'" },
	{ { "--help=me" }, "unknown flag '--help=me'" },
	{ { PORT, "--re", "tcp", COMMAND }, "unknown flag '--re'" }, /* ready or replay? */

	{ { "-p" }, "flag '-p' needs a value" },
	{ { PORT, "-p" }, "flag '-p' needs a value" },
	{ { "--port" }, "flag '--port' needs a value" },
	{ { PORT, "--idle-after" }, "flag '--idle-after' needs a value" },
	{ { PORT, "-i" }, "flag '-i' needs a value" },

	{ { "-p", "0", COMMAND }, "--port: '0' is not a port from 1 to 65535" },
	{ { "-p", "65536", COMMAND }, "--port: '65536' is not a port from 1 to 65535" },
	{ { "-p", "8080/sctp", COMMAND },
	  "--port: '8080/sctp' is not a port such as 8080 or 53/udp" },
	{ { "-p", "http", COMMAND }, "--port: 'http' is not a port such as 8080 or 53/udp" },
	{ { "-p", "80,81", COMMAND }, "--port: '80,81' is not a port such as 8080 or 53/udp" },
	{ { "-p", "", COMMAND }, "--port: '' is not a port such as 8080 or 53/udp" },
	{ { "--port=", COMMAND }, "--port: '' is not a port such as 8080 or 53/udp" },
	{ { "-p", "--", "sleep" }, "--port: '--' is not a port such as 8080 or 53/udp" },
	{ { PORT, PORT, COMMAND }, "--port: '8080' is given twice; name each port once" },
	{ { PORT, "-p", "8080/tcp", COMMAND },
	  "--port: '8080/tcp' is given twice; name each port once" },

	{ { PORT, "-i", "", COMMAND },
	  "--interface: '' is not the name of an interface, such as eth0" },
	{ { PORT, "-i", "sixteen-letters-", COMMAND },
	  "--interface: 'sixteen-letters-' is not the name of an interface, such as eth0" },
	{ { PORT, "-i", "lo", "-ilo" },
	  "--interface: 'lo' is given twice; name each interface once" },

	{ { PORT, "--idle-after", "5 parsecs" },
	  "--idle-after: '5 parsecs' is not a duration such as 30s or 5m" },
	{ { PORT, "--idle-after=30", COMMAND },
	  "--idle-after: '30' is not a duration such as 30s or 5m" },
	{ { PORT, "--idle-after", "99ms" },
	  "--idle-after: '99ms' is too short; 100ms is the least" },
	{ { PORT, "--idle-after", "0" }, "--idle-after: '0' is too short; 100ms is the least" },
	{ { PORT, "--idle-after", "24001h" }, "--idle-after: '24001h' is longer than 1000 days" },
	{ { PORT, "--wake-timeout", "soon" },
	  "--wake-timeout: 'soon' is not a duration such as 30s or 5m" },
	{ { PORT, "--wake-timeout", "9ms" },
	  "--wake-timeout: '9ms' is too short; 10ms is the least" },
	{ { PORT, "--wake-timeout", "24001h" },
	  "--wake-timeout: '24001h' is longer than 1000 days" },

	{ { PORT, "--asleep", "suspend" }, "--asleep: 'suspend' is neither freeze nor throttle" },
	{ { PORT, "--asleep", "Freeze" }, "--asleep: 'Freeze' is neither freeze nor throttle" },
	{ { PORT, "--asleep-cpu", "9m" },
	  "--asleep-cpu: '9m' is too little; the kernel's smallest quota is 10m" },
	{ { PORT, "--asleep-cpu", "0" },
	  "--asleep-cpu: \'0\' is out of range; "
	  "zero would mean no limit, and 1024 CPUs are the most" },
	{ { PORT, "--asleep-cpu", "1025" },
	  "--asleep-cpu: \'1025\' is out of range; "
	  "zero would mean no limit, and 1024 CPUs are the most" },
	{ { PORT, "--asleep-cpu", "10%" },
	  "--asleep-cpu: '10%' is not an amount of CPU such as 10m or 0.5" },

	{ { PORT, "--hook", "xpd" }, "--hook: 'xpd' is none of auto, tcx, tc, xdp" },
	{ { PORT, "--replay", "yes" }, "--replay: 'yes' is neither on nor off" },
	{ { PORT, "--ready", "udp" },
	  "--ready: 'udp' is none of tcp, none, or http:/PATH such as http:/healthz" },
	{ { PORT, "--ready", "http:healthz" },
	  "--ready: 'http:healthz' is none of tcp, none, or http:/PATH such as http:/healthz" },
	{ { PORT, "--ready", "http:/a b" },
	  "--ready: 'http:/a b' is none of tcp, none, or http:/PATH such as http:/healthz" },
	{ { PORT, "--ready", "http:/a\r\nHost:" },
	  "--ready: 'http:/a\r\nHost:' is none of tcp, none, or http:/PATH such as http:/healthz" },

	{ { PORT, "--pid", "0" }, "--pid: '0' is not a process id such as 1234" },
	{ { PORT, "--pid", "-1" }, "--pid: '-1' is not a process id such as 1234" },
	{ { PORT, "--pid", " 1" }, "--pid: ' 1' is not a process id such as 1234" },
	{ { PORT, "--pid", "12x" }, "--pid: '12x' is not a process id such as 1234" },
	{ { PORT, "--pid", "" }, "--pid: '' is not a process id such as 1234" },
	{ { PORT, "--pid", "2147483648" }, "--pid: '2147483648' is not a process id such as 1234" },
	{ { PORT, "--pid", "99999999999999999999" },
	  "--pid: '99999999999999999999' is not a process id such as 1234" },
	{ { PORT, "--log-level", "trace" },
	  "--log-level: 'trace' is none of debug, info, warn, error" },
	{ { PORT, "--containers", "app" }, "unknown flag '--containers'" },
};

static const struct {
	const char *args[8];
	const char *error;
} refused_sidecars[] = {
	{ { NULL }, "no pod: set POD_NAME from the downward API (metadata.name)" },
	{ { "--pod-name", "web-0" },
	  "no namespace: set POD_NAMESPACE from the downward API (metadata.namespace)" },
	{ { POD, COMMAND }, "doze sidecar takes no command: its target is the pod" },
	{ { POD, "--pid", "1" }, "unknown flag '--pid'" },
	{ { POD, "--containers", "" }, "--containers: '' is not the name of a container" },
	{ { POD, "--containers", "a,b" }, "--containers: 'a,b' is not the name of a container" },
	{ { POD, "--own-container", "Doze" },
	  "--own-container: 'Doze' is not the name of a container" },
	{ { "--pod-name", "web/0" }, "--pod-name: 'web/0' is not the name of a pod" },
	{ { "--pod-name", "-web" }, "--pod-name: '-web' is not the name of a pod" },
	{ { "--pod-name", "../x" }, "--pod-name: '../x' is not the name of a pod" },
	{ { "--pod-namespace", "a?b" }, "--pod-namespace: 'a?b' is not the name of a namespace" },
	{ { POD, "--state-file", "state" }, "--state-file: 'state' is not an absolute path" },
	{ { POD, "--state-file", "" }, "--state-file: '' is not an absolute path" },
	{ { POD, "--kubeconfig", "" }, "--kubeconfig: '' is not a path" },
	{ { POD, "--service-account-dir", "." },
	  "--service-account-dir: '.' is not an absolute path" },
};

static const struct {
	const char *name, *value, *error;
} refused_variables[] = {
	{ "DOZE_PORT", "80,0,81", "DOZE_PORT: '0' is not a port from 1 to 65535" },
	{ "DOZE_PORT", "80,80", "DOZE_PORT: '80' is given twice; name each port once" },
	{ "DOZE_PORT", "80;81", "DOZE_PORT: '80;81' is not a port such as 8080 or 53/udp" },
	{ "DOZE_IDLE_AFTER", "5 parsecs",
	  "DOZE_IDLE_AFTER: '5 parsecs' is not a duration such as 30s or 5m" },
	{ "DOZE_WAKE_TIMEOUT", "1ms", "DOZE_WAKE_TIMEOUT: '1ms' is too short; 10ms is the least" },
	{ "DOZE_ASLEEP", "off", "DOZE_ASLEEP: 'off' is neither freeze nor throttle" },
	{ "DOZE_ASLEEP_CPU", "1m",
	  "DOZE_ASLEEP_CPU: '1m' is too little; the kernel's smallest quota is 10m" },
	{ "DOZE_READY", "http:/a,b c",
	  "DOZE_READY: 'http:/a,b c' is none of tcp, none, or http:/PATH such as http:/healthz" },
	{ "DOZE_REPLAY", "true", "DOZE_REPLAY: 'true' is neither on nor off" },
	{ "DOZE_INTERFACE", "eth0,,eth0",
	  "DOZE_INTERFACE: 'eth0' is given twice; name each interface once" },
	{ "DOZE_HOOK", "any", "DOZE_HOOK: 'any' is none of auto, tcx, tc, xdp" },
	{ "DOZE_PID", "init", "DOZE_PID: 'init' is not a process id such as 1234" },
	{ "DOZE_LOG_LEVEL", "3", "DOZE_LOG_LEVEL: '3' is none of debug, info, warn, error" },
};
/* clang-format on */

TEST(what_is_wrong_is_said_with_its_value)
{
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		_cleanup_(parsed_free) struct parsed p;

		parse(&p, CONFIG_RUN, refused[i].args);
		expect_error(&p, refused[i].error);
	}
	for (size_t i = 0; i < ARRAY_LEN(refused_sidecars); i++) {
		_cleanup_(parsed_free) struct parsed p;

		parse(&p, CONFIG_SIDECAR, refused_sidecars[i].args);
		expect_error(&p, refused_sidecars[i].error);
	}
}

TEST(what_is_wrong_in_the_environment_is_said_with_its_variable)
{
	for (size_t i = 0; i < ARRAY_LEN(refused_variables); i++) {
		_cleanup_(parsed_free) struct parsed p;

		setenv(refused_variables[i].name, refused_variables[i].value, 1);
		PARSE(&p, COMMAND);
		unsetenv(refused_variables[i].name);
		expect_error(&p, refused_variables[i].error);
	}
}

TEST(a_list_holds_as_many_as_there_is_room_for)
{
	char ports[CONFIG_PORTS_MAX + 1][8], names[CONFIG_INTERFACES_MAX + 1][8];
	const char *port_args[CONFIG_PORTS_MAX + 6] = { 0 };
	const char *name_args[CONFIG_INTERFACES_MAX + 6] = { 0 };
	_cleanup_(parsed_free) struct parsed p, q, r, s;

	for (size_t i = 0; i <= CONFIG_PORTS_MAX; i++) {
		snprintf(ports[i], sizeof(ports[i]), "-p%zu", 1000 + i);
		port_args[i] = ports[i];
	}
	for (size_t i = 0; i <= CONFIG_INTERFACES_MAX; i++) {
		snprintf(names[i], sizeof(names[i]), "-iv%zu", i);
		name_args[i] = names[i];
	}
	parse(&p, CONFIG_RUN, port_args);
	expect_error(&p, "--port: '1064' is one port too many; at most 64 are possible");
	parse(&q, CONFIG_RUN, name_args);
	expect_error(&q, "--interface: 'v64' is one interface too many; at most 64 are possible");

	port_args[CONFIG_PORTS_MAX] = "sleep";
	parse(&r, CONFIG_RUN, port_args);
	expect_ok(&r);
	assert_int_equal(r.config.ports.len, CONFIG_PORTS_MAX);
	name_args[CONFIG_INTERFACES_MAX] = "-p80";
	name_args[CONFIG_INTERFACES_MAX + 1] = "sleep";
	parse(&s, CONFIG_RUN, name_args);
	expect_ok(&s);
	assert_int_equal(s.config.interfaces.len, CONFIG_INTERFACES_MAX);
}

TEST(a_value_that_is_too_long_for_the_error_is_cut)
{
	_cleanup_(parsed_free) struct parsed p;
	char value[2 * CONFIG_ERROR_MAX];

	memset(value, 'x', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	PARSE(&p, "--idle-after", value);
	assert_int_equal(p.r, -EINVAL);
	assert_int_equal(strlen(p.error), CONFIG_ERROR_MAX - 1);
}

static void expect_help(enum config_command command, const struct variable *variables, size_t len)
{
	_cleanup_(freep) char *help = NULL;
	size_t help_len;
	FILE *out = open_memstream(&help, &help_len);

	assert_non_null(out);
	config_print_flags(out, command);
	fclose(out);
	for (size_t i = 0; i < len; i++) {
		if (!strstr(help, variables[i].name))
			fail_msg("%s is not in the help", variables[i].name);
	}
	assert_non_null(strstr(help, "-p, --port PORT   (DOZE_PORT, separated by commas)\n"));
	assert_non_null(strstr(help, "\n    -h, --help\n"));
}

TEST(the_help_names_every_variable)
{
	expect_help(CONFIG_RUN, run_variables, ARRAY_LEN(run_variables));
	expect_help(CONFIG_SIDECAR, sidecar_variables, ARRAY_LEN(sidecar_variables));
}

static size_t lines_of(void (*print)(FILE *out, enum config_command command),
		       enum config_command command)
{
	_cleanup_(freep) char *text = NULL;
	size_t len, lines = 0;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	print(out, command);
	fclose(out);
	for (size_t i = 0; i < len; i++)
		lines += text[i] == '\n';
	return lines;
}

TEST(the_flags_that_most_people_need_fit_one_screen)
{
	/* Of 40 lines: the command and the usage need some as well. */
	assert_in_range(lines_of(config_print_common, CONFIG_RUN), 1, 32);
	assert_in_range(lines_of(config_print_common, CONFIG_SIDECAR), 1, 32);
	assert_in_range(lines_of(config_print_common, CONFIG_NODE), 1, 32);
	assert_true(lines_of(config_print_flags, CONFIG_RUN) > 60);
}

static size_t count(const char *text, const char *word)
{
	size_t n = 0;

	for (; (text = strstr(text, word)); text++)
		n++;
	return n;
}

TEST(the_reference_has_each_setting_with_its_variable_and_its_annotation)
{
	_cleanup_(freep) char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	config_print_reference(out, CONFIG_PRINT_MARKDOWN);
	fclose(out);
	assert_int_equal(count(text, "### `-p, --port PORT`\n"), 1);
	assert_int_equal(count(text, "### `--idle-after DURATION`\n"), 1);
	assert_int_equal(count(text, "annotation doze.dev/idle-after;"), 1);
	assert_int_equal(count(text, "### `--asleep "), 1); /* although a pod has other words */
	for (size_t i = 0; i < ARRAY_LEN(run_variables); i++)
		assert_true(count(text, run_variables[i].name) > 0);
	assert_int_equal(count(text, "DOZE_GROUP"), 0); /* it is an annotation alone */
	assert_int_equal(count(text, "annotation doze.dev/group\n"), 1);
}

TEST(idleness_has_its_defaults)
{
	_cleanup_(parsed_free) struct parsed p, patient = { 0 };

	PARSE(&p, PORT, COMMAND);
	expect_ok(&p);
	assert_true(p.config.target.activity.busy.max_ms == 900 * 1000);
	assert_true(p.config.target.activity.busy.sleeps_with_connections);
	assert_true(p.config.target.awake_min_ns == 10 * NS_PER_S);
	assert_true(p.config.target.idle_max_ns == 2400 * NS_PER_S);
	assert_int_equal(p.config.target.probes, GATE_PROBES_ANSWER);
	assert_int_equal(p.config.schedules.len + p.config.probe_sources.len +
				 p.config.ignored_sources.len + p.config.ignored_http.len +
				 p.config.probe_ports.len + p.config.https_ports.len,
			 0);
	assert_null(p.config.listen);
	assert_null(p.config.socket);
	/* An idle time of hours needs no other flag beside it. */
	PARSE(&patient, PORT, "--idle-after=2h", COMMAND);
	expect_ok(&patient);
	assert_true(patient.config.target.activity.busy.max_ms == 7200 * 1000);
}

TEST(probes_are_named_by_flags)
{
	_cleanup_(parsed_free) struct parsed p;
	const struct config *c = &p.config;

	PARSE(&p, PORT, "--probes=pass", "--probe-source=10.0.0.1", "--probe-source=fd00::/8",
	      "--ignore-source=10.0.0.0/8", "--ignore-http=GET /healthz", "--ignore-http=HEAD /",
	      "--probe-port=9000", "--probe-https=8443", "--busy-max=0s", "--listen=[::1]:9090",
	      "--socket=/run/d.sock", COMMAND);
	expect_ok(&p);
	assert_int_equal(c->target.probes, GATE_PROBES_PASS);
	assert_int_equal(c->probe_sources.len, 2);
	assert_int_equal(c->probe_sources.of[0].prefix_len, 128);
	assert_int_equal(c->probe_sources.of[1].prefix_len, 8);
	assert_int_equal(c->ignored_sources.len, 1);
	assert_int_equal(c->ignored_sources.of[0].prefix_len, 104);
	assert_int_equal(c->ignored_http.len, 2);
	assert_string_equal(c->ignored_http.of[0].prefix, "/healthz");
	assert_int_equal(c->ignored_http.of[1].method_len, 4);
	assert_int_equal(c->probe_ports.of[0], 9000);
	assert_int_equal(c->https_ports.of[0], 8443);
	assert_true(c->target.activity.busy.max_ms == 0);
	assert_string_equal(c->listen, "[::1]:9090");
	assert_string_equal(c->socket, "/run/d.sock");
}

TEST(who_wakes_and_what_does_not_count_are_named_by_flags)
{
	_cleanup_(parsed_free) struct parsed p, usual;

	PARSE(&p, PORT, "--wake-from=10.0.0.0/8", "--wake-from=fd00::/8", "--ignore-pings=yes",
	      "--probes=wake", COMMAND);
	expect_ok(&p);
	assert_int_equal(p.config.wake_sources.len, 2);
	assert_int_equal(p.config.wake_sources.of[0].prefix_len, 104);
	assert_true(p.config.target.activity.ignores_pings);
	PARSE(&usual, PORT, COMMAND);
	expect_ok(&usual);
	assert_int_equal(usual.config.wake_sources.len, 0);
	assert_false(usual.config.target.activity.ignores_pings);
}

TEST(lists_of_idleness_have_separators_of_their_own)
{
	_cleanup_(parsed_free) struct parsed p;

	setenv("DOZE_STAY_AWAKE", "Mon,Tue 08:00-18:00 ; 22:00-02:00;", 1);
	setenv("DOZE_IGNORE_HTTP", "GET /a, GET /b", 1);
	setenv("DOZE_PROBE_SOURCE", "10.0.0.1, 10.0.0.2 10.0.0.3", 1);
	setenv("DOZE_PROBE_AGENT", "Prometheus/, Edge Health Probe", 1);
	PARSE(&p, PORT, COMMAND);
	expect_ok(&p);
	assert_int_equal(p.config.probe_agents.len, 2);
	assert_string_equal(p.config.probe_agents.of[1], "Edge Health Probe");
	assert_int_equal(p.config.schedules.len, 2);
	assert_int_equal(p.config.schedules.of[0].days, 3);
	assert_int_equal(p.config.ignored_http.len, 2);
	assert_string_equal(p.config.ignored_http.of[1].prefix, "/b");
	assert_int_equal(p.config.probe_sources.len, 3);
}

/* clang-format off */
static const struct {
	const char *flags[3];
	const char *error;
} wrong_idleness[] = {
	{ { "--busy-max=1" }, "--busy-max: '1' is not a duration such as 30s or 5m" },
	{ { "--sleep-with-connections=maybe" }, "--sleep-with-connections: 'maybe' is neither yes nor no" },
	{ { "--idle-max=50ms" }, "--idle-max: '50ms' is too short; 100ms is the least" },
	{ { "--probes=ignore" }, "--probes: 'ignore' is none of answer, pass, wake" },
	{ { "--probe-source=10.0.0.0/33" }, "--probe-source: '10.0.0.0/33' has a prefix length that is not 0 to 32" },
	{ { "--probe-source=node" }, "--probe-source: 'node' is neither an address nor a prefix such as 10.0.0.0/8" },
	{ { "--wake-from=10.0.0.1/8" }, "--wake-from: '10.0.0.1/8' has bits behind its prefix: which one is meant?" },
	{ { "--wake-from=::1", "--wake-from=::1" }, "--wake-from: '::1' is given twice; name each source once" },
	{ { "--ignore-pings=maybe" }, "--ignore-pings: 'maybe' is neither yes nor no" },
	{ { "--ignore-source=10.0.0.1/8" }, "--ignore-source: '10.0.0.1/8' has bits behind its prefix: which one is meant?" },
	{ { "--probe-source=::1", "--probe-source=::1" }, "--probe-source: '::1' is given twice; name each source once" },
	{ { "--probe-source=::1", "--ignore-source=::1" }, "--ignore-source: '::1' is both a --probe-source and an --ignore-source" },
	{ { "--ignore-http=/healthz" }, "--ignore-http: '/healthz' is not a method and a path such as GET /healthz" },
	{ { "--ignore-http=GET healthz" }, "--ignore-http: 'GET healthz' is not a method and a path such as GET /healthz" },
	{ { "--probe-agent=" }, "--probe-agent: '' is not the beginning of a User-Agent such as Prometheus/" },
	{ { "--probe-agent= a" }, "--probe-agent: ' a' is not the beginning of a User-Agent such as Prometheus/" },
	{ { "--probe-agent=a\tb" }, "--probe-agent: 'a\tb' is not the beginning of a User-Agent such as Prometheus/" },
	{ { "--probe-agent=a", "--probe-agent=a" }, "--probe-agent: 'a' is given twice; name each agent once" },
	{ { "--probe-port=53/udp" }, "--probe-port: '53/udp' is not a TCP port from 1 to 65535" },
	{ { "--probe-https=0" }, "--probe-https: '0' is not a TCP port from 1 to 65535" },
	{ { "--probe-port=1", "--probe-port=1" }, "--probe-port: '1' is given twice; name each port once" },
	{ { "--listen=9090" }, "--listen: '9090' is not an address and a port, such as 127.0.0.1:9090 or :9090" },
	{ { "--listen=localhost:9090" }, "--listen: 'localhost:9090' is not an address and a port, such as 127.0.0.1:9090 or :9090" },
	{ { "--listen=::1:9090" }, "--listen: '::1:9090' is not an address and a port, such as 127.0.0.1:9090 or :9090" },
	{ { "--listen=127.0.0.1:0" }, "--listen: '127.0.0.1:0' is not an address and a port, such as 127.0.0.1:9090 or :9090" },
	{ { "--socket=doze.sock" }, "--socket: 'doze.sock' is neither an absolute path nor none" },
	{ { "--idle-after=2s", "--idle-max=1s" }, "--idle-max: '1000ms' is shorter than --idle-after, '2000ms'" },
	{ { "--idle-after=2s", "--busy-max=1s" }, "--busy-max: '1000ms' is shorter than --idle-after, '2000ms': no connection would ever be busy" },
	{ { "--probes=wake", "--ignore-source=::1" }, "--ignore-source: '::1/128' contradicts --probes 'wake', by which every packet is a client's" },
	{ { "--probes=wake", "--probe-source=10.0.0.1" }, "--probe-source: '10.0.0.1/32' contradicts --probes 'wake', by which every packet is a client's" },
};
/* clang-format on */

TEST(what_is_wrong_with_idleness_is_said_with_its_value)
{
	for (size_t i = 0; i < ARRAY_LEN(wrong_idleness); i++) {
		_cleanup_(parsed_free) struct parsed p;
		const char *second = wrong_idleness[i].flags[1];

		PARSE(&p, PORT, wrong_idleness[i].flags[0], second ? second : "--replay=on",
		      COMMAND);
		expect_error(&p, wrong_idleness[i].error);
	}
}

/* As a node's flags have it: the rest is every pod's own. */
static void defaults_of_a_node(struct parsed *p)
{
	parse(p, CONFIG_NODE,
	      ARGS("--node-name=n1", "--idle-after=1m", "--busy-max=20m",
		   "--probe-source=10.0.0.1"));
	expect_ok(p);
}

static int annotate(struct config *out, const struct config *defaults, const char *name,
		    const char *value, char error[CONFIG_ERROR_MAX])
{
	const struct config_annotation one = { name, value };

	*error = '\0';
	return config_from_annotations(out, defaults, &one, 1, error);
}

TEST(an_annotation_wins_over_the_nodes_flag)
{
	_cleanup_(parsed_free) struct parsed node;
	_cleanup_(config_free) struct config pod = { 0 };
	char error[CONFIG_ERROR_MAX];
	char list[] = "8080, 53/udp";
	const struct config_annotation annotations[] = {
		{ "doze.dev/enabled", "true" },
		{ "doze.dev/full", "{}" },
		{ "doze.dev/cpu-max", "1" },
		{ "doze.dev/idle-after", "5s" },
		{ "doze.dev/port", list },
		{ "doze.dev/asleep", "throttle" },
		{ "doze.dev/containers", "app,cache" },
		{ "doze.dev/stay-awake", "Mon 08:00-09:00; 22:00-23:00" },
		{ "doze.dev/probe-source", "192.0.2.1" },
	};

	defaults_of_a_node(&node);
	assert_int_equal(config_from_annotations(&pod, &node.config, annotations,
						 ARRAY_LEN(annotations), error),
			 0);
	memset(list, 'x', sizeof(list) - 1); /* it may be gone by now */
	assert_true(pod.target.idle_ns == 5 * NS_PER_S);
	assert_true(pod.target.idle_max_ns == 40 * NS_PER_S);
	assert_true(pod.target.activity.busy.max_ms == 1200 * 1000);
	assert_int_equal(pod.ports.len, 2);
	assert_int_equal(pod.ports.of[1].port, 53);
	assert_int_equal(pod.asleep, CONFIG_ASLEEP_THROTTLE);
	assert_int_equal(pod.containers.len, 2);
	assert_string_equal(pod.containers.of[1], "cache");
	assert_int_equal(pod.schedules.len, 2);
	assert_int_equal(pod.probe_sources.len, 1);
	/* And the node's are as they were. */
	assert_true(node.config.target.idle_ns == 60 * NS_PER_S);
	assert_int_equal(node.config.probe_sources.len, 1);
}

TEST(without_annotations_the_nodes_flags_count)
{
	_cleanup_(parsed_free) struct parsed node;
	_cleanup_(config_free) struct config pod = { 0 };
	char error[CONFIG_ERROR_MAX];

	defaults_of_a_node(&node);
	assert_int_equal(config_from_annotations(&pod, &node.config, NULL, 0, error), 0);
	assert_true(pod.target.idle_ns == 60 * NS_PER_S &&
		    pod.target.idle_max_ns == 480 * NS_PER_S);
	assert_true(pod.target.activity.busy.max_ms == 1200 * 1000);
}

TEST(a_pod_asks_for_no_more_than_the_administrator_allows)
{
	static const struct {
		const char *name, *value, *error;
	} rows[] = {
		{ "doze.dev/idle-after", "1s", "" },
		{ "doze.dev/idle-after", "999ms",
		  "doze.dev/idle-after: '999ms' is shorter than this node allows: "
		  "--least-idle-after '1000ms'" },
		{ "doze.dev/wake-timeout", "2m", "" },
		{ "doze.dev/wake-timeout", "24h",
		  "doze.dev/wake-timeout: '86400000ms' is longer than this node allows: "
		  "--most-wake-timeout '120000ms'" },
		{ "doze.dev/group", "shop", "" }, /* the node's own flags are beyond its bounds */
	};
	_cleanup_(parsed_free) struct parsed node;

	parse(&node, CONFIG_NODE,
	      ARGS("--node-name=n1", "--idle-after=500ms", "--wake-timeout=10m",
		   "--least-idle-after=1s", "--most-wake-timeout=2m"));
	expect_ok(&node);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_(config_free) struct config pod = { 0 };
		char error[CONFIG_ERROR_MAX];
		int r = annotate(&pod, &node.config, rows[i].name, rows[i].value, error);

		assert_int_equal(r, *rows[i].error ? -EINVAL : 0);
		assert_string_equal(error, rows[i].error);
	}
}

static bool has_host_port(const char *listed, uint16_t port)
{
	_cleanup_(parsed_free) struct parsed node;

	setenv("DOZE_HOST_PORTS", listed, 1);
	parse(&node, CONFIG_NODE, ARGS("--node-name=n1"));
	unsetenv("DOZE_HOST_PORTS");
	expect_ok(&node);
	return config_has_host_port(&node.config, port);
}

TEST(the_nodes_own_ports_that_pods_may_have_are_ports_and_ranges)
{
	static const struct {
		const char *listed;
		uint16_t port;
		bool has;
	} rows[] = {
		{ "", 10250, true },
		{ "none", 10250, false },
		{ "10250", 10250, true },
		{ "10250", 10251, false },
		{ "80,9000-9100", 8999, false },
		{ "80,9000-9100", 9000, true },
		{ "80,9000-9100", 9100, true },
		{ "80,9000-9100", 9101, false },
		{ "80,9000-9100", 80, true },
		{ "1-65535", 65535, true },
		{ "8080-8080", 8080, true },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(has_host_port(rows[i].listed, rows[i].port), rows[i].has);
}

TEST(a_wrong_range_of_ports_is_quoted)
{
	static const char *const wrong[] = { "0",	 "65536", "9100-9000", "9000-",	 "-9000",
					     "8080/tcp", "http",  "1-2-3",     "123456", "any" };

	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		_cleanup_(parsed_free) struct parsed node;
		char expected[CONFIG_ERROR_MAX];

		parse(&node, CONFIG_NODE, ARGS("--node-name=n1", "--host-ports", wrong[i]));
		assert_int_equal(node.r, -EINVAL);
		snprintf(
			expected, sizeof(expected),
			"--host-ports: '%s' is not a port such as 8080, a range such as 9000-9100, "
			"or none",
			wrong[i]);
		assert_string_equal(node.error, expected);
	}
}

/* Eight times the idle time is the default as well, but here it has been said. */
TEST(what_the_node_says_stays_when_the_pods_idle_time_is_another)
{
	_cleanup_(parsed_free) struct parsed node;
	_cleanup_(config_free) struct config pod = { 0 };
	char error[CONFIG_ERROR_MAX];

	parse(&node, CONFIG_NODE,
	      ARGS("--node-name=n1", "--idle-after=1m", "--idle-max=8m", "--busy-max=15m"));
	expect_ok(&node);
	assert_int_equal(annotate(&pod, &node.config, "doze.dev/idle-after", "5s", error), 0);
	assert_true(pod.target.idle_max_ns == 480 * NS_PER_S);
	assert_true(pod.target.activity.busy.max_ms == 900 * 1000);
	assert_true(pod.target.activity.busy.idle_ms == 5000);
}

/* clang-format off */
static const struct {
	const char *name, *value, *error;
} wrong_annotations[] = {
	{ "doze.dev/idle-after", "5 parsecs", "doze.dev/idle-after: '5 parsecs' is not a duration such as 30s or 5m" },
	{ "doze.dev/idle-after", "", "doze.dev/idle-after: '' is not a duration such as 30s or 5m" },
	{ "doze.dev/idel-after", "5s", "doze.dev/idel-after: '5s': there is no such setting" },
	{ "doze.dev/", "5s", "doze.dev/: '5s': there is no such setting" },
	{ "doze.dev/kubeconfig", "/etc/kube", "doze.dev/kubeconfig: '/etc/kube': there is no such setting" },
	{ "doze.dev/listen", ":80", "doze.dev/listen: ':80': there is no such setting" },
	{ "doze.dev/host-ports", "8080", "doze.dev/host-ports: '8080': there is no such setting" },
	{ "doze.dev/port", "80,70000", "doze.dev/port: '70000' is not a port from 1 to 65535" },
	{ "doze.dev/idle-max", "1s", "--idle-max: '1000ms' is shorter than --idle-after, '60000ms'" },
	{ "doze.dev/probes", "wake", "--probe-source: '10.0.0.1/32' contradicts --probes 'wake', by which every packet is a client's" },
};
/* clang-format on */

TEST(a_wrong_annotation_is_quoted)
{
	_cleanup_(parsed_free) struct parsed node;

	defaults_of_a_node(&node);
	for (size_t i = 0; i < ARRAY_LEN(wrong_annotations); i++) {
		_cleanup_(config_free) struct config pod = { 0 };
		char error[CONFIG_ERROR_MAX];

		assert_int_equal(annotate(&pod, &node.config, wrong_annotations[i].name,
					  wrong_annotations[i].value, error),
				 -EINVAL);
		assert_string_equal(error, wrong_annotations[i].error);
	}
}
