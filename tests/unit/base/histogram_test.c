/* SPDX-License-Identifier: MIT */
#include "unit_test.h"

#include "base/checked.h"
#include "base/histogram.h"

#include <stdlib.h>

static struct histogram *empty(void)
{
	struct histogram *h = calloc(1, sizeof(*h));

	assert_non_null(h);
	return h;
}

static void every_number_is_told_within_one_percent(void **state)
{
	struct histogram *h = empty();

	(void)state;
	for (uint64_t value = 0; value < (uint64_t)1 << 45; value += 1 + value / 301) {
		h->total = h->sum = h->max = 0;
		histogram_add(h, value);
		h->max = UINT64_MAX; /* else that is told */
		uint64_t told = histogram_percentile(h, 1, 2);

		assert_true((told > value ? told - value : value - told) * 100 <= value);
		for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
			h->counts[i] = 0;
	}
	free(h);
}

static void buckets_follow_each_other_without_a_gap(void **state)
{
	struct histogram *h = empty();

	(void)state;
	for (size_t i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
		histogram_add(h, histogram_bucket_upto(i));
		assert_int_equal(h->counts[i], 1);
		histogram_add(h, histogram_bucket_upto(i) + 1);
		assert_int_equal(h->counts[i + 1], 1);
		h->counts[i + 1] = 0;
	}
	free(h);
}

static void percentiles_are_those_of_the_sorted_numbers(void **state)
{
	static const struct {
		uint64_t parts, per, told; /* of 1, 2, ..., 100 */
	} cases[] = { { 1, 100, 1 },  { 50, 100, 50 },    { 90, 100, 90 }, { 99, 100, 99 },
		      { 1, 1000, 1 }, { 999, 1000, 100 }, { 1, 1, 100 },   { 101, 1000, 11 } };
	struct histogram *h = empty();

	(void)state;
	assert_int_equal(histogram_percentile(h, 1, 2), 0);
	assert_int_equal(histogram_mean(h), 0);
	for (uint64_t value = 100; value >= 1; value--)
		histogram_add(h, value);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(histogram_percentile(h, cases[i].parts, cases[i].per),
				 cases[i].told);
	assert_int_equal(h->max, 100);
	assert_int_equal(histogram_mean(h), 50);
	free(h);
}

static void no_percentile_is_above_the_largest_number(void **state)
{
	static const uint64_t values[] = { 1000001, 123456789, (uint64_t)1 << 50, UINT64_MAX };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		struct histogram *h = empty();

		histogram_add(h, values[i]);
		assert_true(histogram_percentile(h, 999, 1000) <= values[i]);
		assert_int_equal(h->max, values[i]);
		free(h);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_number_is_told_within_one_percent),
		cmocka_unit_test(buckets_follow_each_other_without_a_gap),
		cmocka_unit_test(percentiles_are_those_of_the_sorted_numbers),
		cmocka_unit_test(no_percentile_is_above_the_largest_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
