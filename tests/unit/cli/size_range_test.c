/* SPDX-License-Identifier: MIT */
#include "unit_test.h"

#include "cli/size_range.h"

static void sizes_may_differ_by_a_percentage(void **state)
{
	static const uint64_t gib = 1 << 30;
	const struct {
		const char *text;
		uint64_t least, most; /* most 0: refused */
	} cases[] = {
		{ "31914983424", 31914983424, 31914983424 },
		{ "32G", 32 * gib, 32 * gib },
		{ "32GiB", 32 * gib, 32 * gib },
		{ "32gb", 32000000000, 32000000000 },
		{ "1KB", 1000, 1000 },
		{ "2MB", 2000000, 2000000 },
		{ "3TB", 3000000000000, 3000000000000 },
		{ "100+-5%", 95, 105 },
		{ "100\302\2615%", 95, 105 },
		{ "100\302\2615", 95, 105 },
		{ "100+/-5", 95, 105 },
		{ "1000+-0.5%", 995, 1005 },
		{ "100000+-12.125", 87875, 112125 },
		{ "100+-0", 100, 100 },
		{ "100+-100%", 0, 200 },
		{ "32GB+-10%", 28800000000, 35200000000 },
		{ "99+-1", 99, 99 }, /* rounded to what it surely may be */
		{ "18446744073709551", 18446744073709551, 18446744073709551 },
		{ "18446744073709551614", UINT64_MAX - 1, UINT64_MAX - 1 },
		{ "18446744073709551614+-5", 0, 0 },
		{ "18446744073709552KB", 0, 0 },
		{ "18446745TB", 0, 0 },
		{ "99999999999999999999GB", 0, 0 },
		{ "", 0, 0 },
		{ "G", 0, 0 },
		{ "GB", 0, 0 },
		{ "0", 0, 0 },
		{ "0GB", 0, 0 },
		{ "-1", 0, 0 },
		{ "1.5GB", 0, 0 },
		{ "32XB", 0, 0 },
		{ "32GBB", 0, 0 },
		{ "32G B", 0, 0 },
		{ "+-5%", 0, 0 },
		{ "32G+", 0, 0 },
		{ "32G+5%", 0, 0 },
		{ "32G-5%", 0, 0 },
		{ "32G+-", 0, 0 },
		{ "32G+-%", 0, 0 },
		{ "32G+-5%%", 0, 0 },
		{ "32G+-5x", 0, 0 },
		{ "32G+-.5", 0, 0 },
		{ "32G+-5.", 0, 0 },
		{ "32G+-1.2345", 0, 0 },
		{ "32G+-101", 0, 0 },
		{ "32G+-100.001", 0, 0 },
		{ "32G+-99999999999999999999", 0, 0 },
		{ "32G\302", 0, 0 },
		{ "32G\2615", 0, 0 },
		{ "00000000000000000000000000000000000001", 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t least = 0, most = 0;
		bool ok = size_range_parse(cases[i].text, &least, &most);

		if (ok != (cases[i].most != 0) || least != cases[i].least || most != cases[i].most)
			fail_msg("'%s': %d, %llu to %llu", cases[i].text, ok,
				 (unsigned long long)least, (unsigned long long)most);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_may_differ_by_a_percentage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
