// SPDX-License-Identifier: MIT
#include "lib/test.h"

#include <errno.h>
#include <stdlib.h>

#include "base/util.h"

__attribute__((weak)) struct test_fixture test_around_each;
__attribute__((weak)) struct test_fixture test_around_all;

static struct test *first, **end = &first;
static size_t len;

void test_add(struct test *test)
{
	*end = test;
	end = &test->next;
	len++;
}

/* cmocka hands each function what a test's initial_state points to: the test itself. */
static int test_setup(void **state)
{
	const struct test *test = *state;

	if (test->setup)
		test->setup();
	return 0;
}

static void test_run(void **state)
{
	const struct test *test = *state;

	test->run();
}

static int test_teardown(void **state)
{
	const struct test *test = *state;

	if (test->teardown)
		test->teardown();
	return 0;
}

static int test_setup_all(void **state)
{
	(void)state;
	if (test_around_all.setup)
		test_around_all.setup();
	return 0;
}

static int test_teardown_all(void **state)
{
	(void)state;
	if (test_around_all.teardown)
		test_around_all.teardown();
	return 0;
}

int main(void)
{
	_cleanup_(freep) struct CMUnitTest *tests = calloc(len, sizeof(*tests));
	size_t i = 0;

	if (!tests)
		return 1;
	for (struct test *test = first; test; test = test->next) {
		if (!test->setup && !test->teardown) {
			test->setup = test_around_each.setup;
			test->teardown = test_around_each.teardown;
		}
		tests[i++] = (struct CMUnitTest){ test->name, test_run, test_setup, test_teardown,
						  test };
	}
	return _cmocka_run_group_tests(program_invocation_short_name, tests, len, test_setup_all,
				       test_teardown_all);
}
