/* SPDX-License-Identifier: MIT */
#include "unit_test.h"

#include "cli/bench.h"
#include "cli/command.h"
#include "cli/text.h"

#include <string.h>

static void without_a_choice_it_is_half_a_minute(void **state)
{
	char error[OPTION_ERROR_ROOM];

	(void)state;
	for (int write = 0; write < 2; write++) {
		const struct bench_choice choice = { .write = write };
		struct bench_plan plan;

		assert_true(bench_plan_make(&choice, &plan, error));
		assert_in_range(bench_plan_ns(&plan), 20000000000u, 35000000000u);
		bench_plan_free(&plan);
	}
}

static void lists_are_combined_each_with_each(void **state)
{
	const struct bench_choice choice = { "randread,read", "4K,1M", "1,64", 7, false, false };
	static const struct bmap_bench_point wanted[] = {
		{ false, true, 4096, 1, 7000 },     { false, true, 4096, 64, 7000 },
		{ false, true, 1 << 20, 1, 7000 },  { false, true, 1 << 20, 64, 7000 },
		{ false, false, 4096, 1, 7000 },    { false, false, 4096, 64, 7000 },
		{ false, false, 1 << 20, 1, 7000 }, { false, false, 1 << 20, 64, 7000 },
	};
	struct bench_plan plan;
	char error[OPTION_ERROR_ROOM];

	(void)state;
	assert_true(bench_plan_make(&choice, &plan, error));
	assert_int_equal(plan.count, COUNT_OF(wanted));
	for (size_t i = 0; i < COUNT_OF(wanted); i++) {
		assert_int_equal(plan.points[i].write, wanted[i].write);
		assert_int_equal(plan.points[i].random, wanted[i].random);
		assert_int_equal(plan.points[i].block_bytes, wanted[i].block_bytes);
		assert_int_equal(plan.points[i].depth, wanted[i].depth);
		assert_int_equal(plan.points[i].duration_ms, wanted[i].duration_ms);
	}
	bench_plan_free(&plan);
}

static void nothing_is_written_unless_that_was_asked_for(void **state)
{
	static const struct {
		struct bench_choice choice;
		bool good;
		size_t writing;
	} cases[] = {
		{ { .full = true }, true, 0 },
		{ { .ops = "read,randread" }, true, 0 },
		{ { .ops = "write" }, false, 0 },
		{ { .ops = "read,randwrite" }, false, 0 },
		{ { .ops = "read,randread", .write = true }, false, 0 },
		{ { .ops = "randread,randwrite", .depths = "1", .write = true }, true, 1 },
		{ { .depths = "1,2", .write = true }, true, 2 },
		{ { .write = true }, true, 5 },
		{ { .full = true, .write = true }, true, 2 * (7 * 7 - 2) },
	};
	char error[OPTION_ERROR_ROOM];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct bench_plan plan;
		size_t writing = 0;

		assert_int_equal(bench_plan_make(&cases[i].choice, &plan, error), cases[i].good);
		if (!cases[i].good) {
			assert_non_null(strstr(error, "--write"));
			continue;
		}
		for (size_t k = 0; k < plan.count; k++)
			writing += plan.points[k].write;
		assert_int_equal(writing, cases[i].writing);
		bench_plan_free(&plan);
	}
}

static void what_is_not_given_is_what_is_usual(void **state)
{
	static const struct {
		struct bench_choice choice;
		size_t count;
		struct bmap_bench_point first;
	} cases[] = {
		{ { "randread", NULL, NULL, 0, false, false }, 3, { false, true, 4096, 1, 3000 } },
		{ { "read", NULL, NULL, 0, false, false }, 3, { false, false, 1 << 20, 1, 3000 } },
		{ { NULL, "64K", NULL, 0, false, false }, 3, { false, false, 1 << 16, 1, 3000 } },
		{ { NULL, NULL, "16", 1, false, false }, 1, { false, false, 1 << 20, 16, 1000 } },
		/* 7 sizes at 7 depths, but for 16 MiB at 32 and 64, and 4 MiB at none */
		{ { NULL, NULL, NULL, 0, true, false },
		  2 * (7 * 7 - 2),
		  { false, false, 4096, 1, 3000 } },
		{ { "read", NULL, "1", 0, true, false }, 7, { false, false, 4096, 1, 3000 } },
	};
	char error[OPTION_ERROR_ROOM];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct bench_plan plan;

		assert_true(bench_plan_make(&cases[i].choice, &plan, error));
		assert_int_equal(plan.count, cases[i].count);
		assert_int_equal(plan.points[0].write, cases[i].first.write);
		assert_int_equal(plan.points[0].random, cases[i].first.random);
		assert_int_equal(plan.points[0].block_bytes, cases[i].first.block_bytes);
		assert_int_equal(plan.points[0].depth, cases[i].first.depth);
		assert_int_equal(plan.points[0].duration_ms, cases[i].first.duration_ms);
		bench_plan_free(&plan);
	}
}

static void a_wrong_value_is_named_with_its_option(void **state)
{
	static const struct {
		struct bench_choice choice;
		const char *option;
	} cases[] = {
		{ { .ops = "erase" }, "--op" },
		{ { .ops = "" }, "--op" },
		{ { .ops = "read," }, "--op" },
		{ { .ops = ",read" }, "--op" },
		{ { .ops = "readreadreadreadreadreadreadreadread" }, "--op" },
		{ { .block_sizes = "512" }, "--block-size" },
		{ { .block_sizes = "5000" }, "--block-size" },
		{ { .block_sizes = "17M" }, "--block-size" },
		{ { .block_sizes = "4K,x" }, "--block-size" },
		{ { .depths = "0" }, "--depth" },
		{ { .depths = "65" }, "--depth" },
		{ { .depths = "-1" }, "--depth" },
		{ { .depths = "4294967297" }, "--depth" },
		{ { .depths = "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1" }, "--depth" },
	};
	char error[OPTION_ERROR_ROOM];
	struct bench_plan plan;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		assert_false(bench_plan_make(&cases[i].choice, &plan, error));
		assert_int_equal(strncmp(error, cases[i].option, strlen(cases[i].option)), 0);
	}
}

static void latencies_have_three_digits(void **state)
{
	static const struct {
		uint64_t ns;
		const char *text;
	} cases[] = {
		{ 0, "0 ns" },          { 999, "999 ns" },        { 1000, "1.00 us" },
		{ 9994, "9.99 us" },    { 9999, "10.0 us" },      { 82100, "82.1 us" },
		{ 99990, "100 us" },    { 999499, "999 us" },     { 999600, "1.00 ms" },
		{ 5123456, "5.12 ms" }, { 1200000000, "1.20 s" }, { 4000000000000, "4000 s" },
	};
	char text[TEXT_ROOM];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		assert_string_equal(bench_latency_text(text, cases[i].ns), cases[i].text);
	assert_string_equal(bench_block_text(text, 4096), "4 KiB");
	assert_string_equal(bench_block_text(text, 16 << 20), "16 MiB");
	assert_string_equal(bench_block_text(text, 1536 << 10), "1536 KiB");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_choice_it_is_half_a_minute),
		cmocka_unit_test(lists_are_combined_each_with_each),
		cmocka_unit_test(nothing_is_written_unless_that_was_asked_for),
		cmocka_unit_test(what_is_not_given_is_what_is_usual),
		cmocka_unit_test(a_wrong_value_is_named_with_its_option),
		cmocka_unit_test(latencies_have_three_digits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
