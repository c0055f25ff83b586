/* SPDX-License-Identifier: MIT */
#include "unit_test.h"
#include "pipeline/write_window.h"
#include "base/checked.h"
#include "base/clock.h"

/* A device with a queue: each request takes its time, one after the other; the lane keeps the
 * window full, or offers only so many requests. Returns the time after count requests. */
static uint64_t run_device(struct window *window, uint64_t now, unsigned count, size_t len,
			   uint64_t each_ns, unsigned offered)
{
	uint64_t queued[256];
	unsigned first = 0, n = 0;

	while (count) {
		while (n < offered && window_allows(window, 64 * MIB, n, n * len, n, len, 1))
			queued[(first + n++) % 256] = now;
		if (n < offered)
			window_limited(window);
		now += each_ns;
		window_completed(window, len, queued[first++ % 256], now);
		n--;
		count--;
	}
	return now;
}

static void a_fast_device_gets_a_wide_window(void **state)
{
	struct window window;

	(void)state;
	window_init(&window, 0, 1024);
	assert_int_equal(window.requests, 2);
	run_device(&window, 1, 2000, 256 * KIB, NS_PER_MS / 10, 256);
	assert_int_equal(window.requests, WINDOW_MAX_REQUESTS);
}

static void a_slow_device_keeps_a_narrow_one(void **state)
{
	struct window window;

	(void)state;
	window_init(&window, 0, 128);
	run_device(&window, 1, 2000, MIB, 50 * NS_PER_MS, 256); /* 20 MiB/s */
	assert_true(window.requests <= 3);
	assert_true(window.largest <= 4);
}

static void a_device_that_becomes_slow_gets_a_narrow_one(void **state)
{
	struct window window;
	uint64_t now;

	(void)state;
	window_init(&window, 0, 1024);
	now = run_device(&window, 1, 2000, MIB, NS_PER_MS / 5, 256);
	assert_true(window.requests >= 16);
	run_device(&window, now, 400, MIB, 50 * NS_PER_MS, 256);
	assert_true(window.requests <= 3);
	assert_true(window.largest >= 16);
}

static void a_window_that_is_not_the_limit_does_not_grow(void **state)
{
	struct window window;

	(void)state;
	window_init(&window, 0, 1024);
	run_device(&window, 1, 2000, MIB, NS_PER_MS, 1);
	assert_int_equal(window.requests, 2);
}

static void tags_and_bytes_limit_it(void **state)
{
	static const struct {
		unsigned queue_tags;
		unsigned in_flight, tags_in_flight;
		size_t bytes_in_flight;
		unsigned tags;
		bool allowed;
		const char *why;
	} cases[] = {
		{ 1, 0, 0, 0, 1, true, "one request always goes" },
		{ 2, 0, 0, 0, 9, true, "also one that costs more tags than there are" },
		{ 2, 1, 1, MIB, 1, false, "a tag stays free" },
		{ 3, 1, 1, MIB, 1, true, "room for a second one" },
		{ 16, 1, 8, MIB, 8, false, "eight more would be all sixteen" },
		{ 17, 1, 8, MIB, 8, true, "one is left" },
		{ 128, 1, 1, 4 * MIB, 1, false, "half of the ring stays for the others" },
		{ 128, 1, 1, 3 * MIB, 1, true, "just" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct window window;

		window_init(&window, 0, cases[i].queue_tags);
		assert_int_equal(window_allows(&window, 8 * MIB, cases[i].in_flight,
					       cases[i].bytes_in_flight, cases[i].tags_in_flight,
					       MIB, cases[i].tags),
				 cases[i].allowed);
	}
}

static void a_fixed_window_stays(void **state)
{
	struct window window;

	(void)state;
	window_init(&window, 7, 2);
	run_device(&window, 1, 500, MIB, NS_PER_MS / 10, 256);
	assert_int_equal(window.requests, 7);
	run_device(&window, NS_PER_S, 500, MIB, 500 * NS_PER_MS, 256);
	assert_int_equal(window.requests, 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_fast_device_gets_a_wide_window),
		cmocka_unit_test(a_slow_device_keeps_a_narrow_one),
		cmocka_unit_test(a_device_that_becomes_slow_gets_a_narrow_one),
		cmocka_unit_test(a_window_that_is_not_the_limit_does_not_grow),
		cmocka_unit_test(tags_and_bytes_limit_it),
		cmocka_unit_test(a_fixed_window_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
