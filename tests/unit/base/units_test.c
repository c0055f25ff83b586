/* SPDX-License-Identifier: MIT */
#include "unit_test.h"

#include "base/units.h"

#include <string.h>

static void sizes_are_in_the_unit_that_people_would_use(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} cases[] = {
		{ 0, "0 bytes" },          { 1, "1 byte" },
		{ 512, "512 bytes" },      { 999, "999 bytes" },
		{ 1000, "1.0 KiB" },       { 1024 * 1024 - 1, "1.0 MiB" }, /* not 1024.0 KiB */
		{ 3ull << 30, "3.0 GiB" }, { UINT64_MAX, "16.0 EiB" },
	};
	char text[SIZE_TEXT_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(size_text(cases[i].bytes, text), cases[i].text);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_are_in_the_unit_that_people_would_use),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
