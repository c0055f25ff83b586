/* SPDX-License-Identifier: MIT */
#include "unit_test.h"

#include "cli/text.h"

#include <locale.h>
#include <regex.h>
#include <stdio.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))
#define MIB (1024ull * 1024)
#define NS_PER_S 1000000000ull

static void sizes_read_as_people_expect(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} cases[] = {
		{ 0, "0 bytes" },           { 1, "1 byte" },
		{ 999, "999 bytes" },       { 1024, "1.0 KiB" },
		{ 1536, "1.5 KiB" },        { MIB - 1, "1.0 MiB" }, /* not 1024.0 KiB */
		{ MIB, "1.0 MiB" },         { 4200000000u, "3.9 GiB" },
		{ UINT64_MAX, "16.0 EiB" },
	};
	char out[TEXT_ROOM];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		assert_string_equal(text_size(out, cases[i].bytes), cases[i].text);
}

static void times_have_minutes_but_never_hours(void **state)
{
	static const struct {
		uint64_t ns;
		const char *text;
	} cases[] = {
		{ 0, "0.0s" },
		{ 49999999, "0.0s" },
		{ 50000000, "0.1s" },
		{ 5300000000, "5.3s" },
		{ 59949999999, "59.9s" },
		{ 59960000000, "1m 00.0s" }, /* not 60.0s */
		{ 65200000000, "1m 05.2s" },
		{ 75 * 60 * NS_PER_S, "75m 00.0s" },
		{ UINT64_MAX, "307445734m 33.7s" },
	};
	char out[TEXT_ROOM];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		assert_string_equal(text_time(out, cases[i].ns), cases[i].text);
}

static void speeds_are_always_in_mib(void **state)
{
	static const struct {
		uint64_t bytes, ns;
		const char *text;
	} cases[] = {
		{ 0, 0, "0.0 MiB/sec" },
		{ 0, 1, "0.0 MiB/sec" },
		{ 1042 * MIB / 10, NS_PER_S, "104.2 MiB/sec" },
		{ 5000 * MIB, NS_PER_S, "5000.0 MiB/sec" },
		{ MIB, 0, "1000000000.0 MiB/sec" }, /* not inf */
		{ 5000, NS_PER_S, "0.005 MiB/sec" }, /* not 0.0 */
	};
	char out[TEXT_ROOM];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		assert_string_equal(text_speed(out, cases[i].bytes, cases[i].ns), cases[i].text);
}

/* LAVA waits for the closing line with these (\/ and \. as POSIX writes them). */
static void the_closing_line_matches_what_lava_waits_for(void **state)
{
	static const char *const expressions[] = {
		"copying time: [0-9ms. ]+, copying speed [0-9.]+ MiB/sec",
		"bmaptool: info: copying time: [0-9hms. ]+, copying speed [0-9.]+ [MKiBbytes]+/sec",
	};
	static const struct {
		uint64_t bytes, ns;
	} jobs[] = {
		{ 0, 0 },          { 700, 1000 },
		{ MIB, 20000000 }, { 600 * 1024, 2 * NS_PER_S },
		{ 1 << 30, 1000 }, { 900 * MIB, 61 * NS_PER_S },
		{ UINT64_MAX, 1 }, { 900 * MIB, 9000 * NS_PER_S },
		{ 1, UINT64_MAX }, { UINT64_MAX, UINT64_MAX },
	};

	(void)state;
	for (size_t e = 0; e < COUNT_OF(expressions); e++) {
		regex_t re;

		assert_int_equal(regcomp(&re, expressions[e], REG_EXTENDED | REG_NOSUB), 0);
		for (size_t i = 0; i < COUNT_OF(jobs); i++) {
			char line[200], time[TEXT_ROOM], speed[TEXT_ROOM];

			snprintf(line, sizeof(line),
				 "bmaptool: info: copying time: %s, copying speed %s",
				 text_time(time, jobs[i].ns),
				 text_speed(speed, jobs[i].bytes, jobs[i].ns));
			if (regexec(&re, line, 0, NULL, 0))
				fail_msg("'%s' does not match %s", line, expressions[e]);
		}
		regfree(&re);
	}
}

static void only_all_is_a_hundred_percent(void **state)
{
	(void)state;
	assert_int_equal(percent_of(0, 10), 0);
	assert_int_equal(percent_of(1, 3), 33);
	assert_int_equal(percent_of(999999, 1000000), 99);
	assert_int_equal(percent_of(1000000, 1000000), 100);
	assert_int_equal(percent_of(11, 10), 100);
	assert_int_equal(percent_of(UINT64_MAX - 1, UINT64_MAX), 99);
	assert_int_equal(percent_of(UINT64_MAX / 2, UINT64_MAX), 49);
}

static void names_are_cut_at_their_front_and_cannot_command_the_terminal(void **state)
{
	static const struct {
		const char *text;
		size_t columns;
		const char *shown;
	} cases[] = {
		{ "/dev/sdb", 8, "/dev/sdb" },
		{ "/dev/sdb", 40, "/dev/sdb" },
		{ "/dev/sdb", 7, ".../sdb" },
		{ "/dev/sdb", 3, "..." },
		{ "/dev/sdb", 2, ".." },
		{ "/dev/sdb", 0, "" },
		{ "", 5, "" },
		{ "a\x1b[2J\n\x7f\xc2\x9b", 20, "a?[2J??\xc2?" },
		{ "abcd\xc3\xa9z", 5, "...z" }, /* not half of the letter */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char out[64];

		assert_string_equal(text_tail(out, cases[i].columns, cases[i].text),
				    cases[i].shown);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_read_as_people_expect),
		cmocka_unit_test(times_have_minutes_but_never_hours),
		cmocka_unit_test(speeds_are_always_in_mib),
		cmocka_unit_test(the_closing_line_matches_what_lava_waits_for),
		cmocka_unit_test(only_all_is_a_hundred_percent),
		cmocka_unit_test(names_are_cut_at_their_front_and_cannot_command_the_terminal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
