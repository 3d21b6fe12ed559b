/* SPDX-License-Identifier: MIT */
/*
 * A test in C, over cmocka. test.c has main(), which runs those of a file in their order:
 *
 *	TEST(a_pod_that_is_asleep_stays_asleep)
 *	{
 *		assert_true(...);
 *	}
 *
 * A test may have a fixture: TEST(name, .setup = scratch_make, .teardown = scratch_remove). What
 *all tests of a file need stands once in the file; either function may be NULL:
 *
 *	struct test_fixture test_around_each = { scratch_make, scratch_remove };
 *	struct test_fixture test_around_all = { rig_new, rig_free };
 */
#ifndef DOZE_TESTS_TEST_H
#define DOZE_TESTS_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct test_fixture {
	void (*setup)(void);
	void (*teardown)(void);
};

/* Those of test.c are weak and empty. */
extern struct test_fixture test_around_each, test_around_all;

struct test {
	const char *name;
	void (*run)(void);
	void (*setup)(void); /* instead of those of test_around_each */
	void (*teardown)(void);
	struct test *next;
};

/* The test is added to the end of the list, and stays there. */
void test_add(struct test *test);

#define TEST(name_, ...)                                                                           \
	static void name_(void);                                                                   \
	__attribute__((constructor)) static void test_add_##name_(void)                            \
	{                                                                                          \
		static struct test test = { .name = #name_, .run = name_, __VA_ARGS__ };           \
                                                                                                   \
		test_add(&test);                                                                   \
	}                                                                                          \
	static void name_(void)

#endif
