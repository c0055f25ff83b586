/* SPDX-License-Identifier: MIT */
#include "unit_test.h"

#include "cli/flash_json.h"
#include "cli/job_record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))
#define BAD "\xef\xbf\xbd"

static void bytes_become_utf8_and_nothing_is_lost(void **state)
{
	static const struct {
		const char *bytes, *text, *hex; /* hex NULL: nothing was replaced */
		const char *why;
	} cases[] = {
		{ "", "", NULL, "empty" },
		{ "/dev/sdb", "/dev/sdb", NULL, "ASCII" },
		{ "a\x01\x7f\"\\", "a\x01\x7f\"\\", NULL, "escaped by JSON" },
		{ "\xc3\xa4\xe2\x82\xac\xf0\x9f\x92\xbe", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x92\xbe",
		  NULL, "two, three, four bytes" },
		{ "\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf", NULL, "U+10FFFF" },
		{ "\xff", BAD, "ff", "never a byte" },
		{ "a\x80z", "a" BAD "z", "61807a", "in the middle only" },
		{ "\xc3", BAD, "c3", "ends too early" },
		{ "\xe2\x82", BAD BAD, "e282", "after two of three" },
		{ "\xe2\x82z", BAD BAD "z", "e2827a", "another character comes" },
		{ "\xc0\xaf", BAD BAD, "c0af", "longer than needed" },
		{ "\xe0\x80\xaf", BAD BAD BAD, "e080af", "longer than needed" },
		{ "\xed\xa0\x80", BAD BAD BAD, "eda080", "surrogate" },
		{ "\xf4\x90\x80\x80", BAD BAD BAD BAD, "f4908080", "above U+10FFFF" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		json_t *text = json_text(cases[i].bytes), *hex = json_text_hex(cases[i].bytes);

		assert_true(json_is_string(text));
		if (strcmp(json_string_value(text), cases[i].text))
			fail_msg("%s: '%s'", cases[i].why, json_string_value(text));
		if (!cases[i].hex)
			assert_null(hex);
		else
			assert_string_equal(json_string_value(hex), cases[i].hex);
		assert_int_equal(text_is_utf8(cases[i].bytes), !cases[i].hex);
		json_decref(text);
		json_decref(hex);
	}
	assert_true(json_is_null(json_text(NULL)));
	assert_null(json_text_hex(NULL));
}

static void expect_json(json_t *value, const char *want)
{
	char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);

	assert_non_null(text);
	assert_string_equal(text, want);
	free(text);
	json_decref(value);
}

static void times_and_speeds_are_whole_numbers(void **state)
{
	(void)state;
	expect_json(json_time(&(struct timespec){ 0, 0 }), "\"1970-01-01T00:00:00.000Z\"");
	expect_json(json_time(&(struct timespec){ 1798761599, 999999999 }),
		    "\"2026-12-31T23:59:59.999Z\"");
	expect_json(json_ms(499999), "0");
	expect_json(json_ms(500000), "1");
	expect_json(json_ms(UINT64_MAX), "18446744073710");
	expect_json(json_number(UINT64_MAX), "9223372036854775807");
	expect_json(json_number_or_null(0), "null");
	expect_json(json_speed(1000, 500000000), "2000");
	expect_json(json_speed(1000, 0), "null");
	expect_json(json_speed(UINT64_MAX, 1), "9223372036854775807");
}

static void a_list_that_lacks_an_item_is_none(void **state)
{
	json_t *list = json_append(json_append(json_array(), json_number(1)), json_text("b"));

	(void)state;
	expect_json(json_incref(list), "[1,\"b\"]");
	assert_null(json_append(list, NULL));
	assert_null(json_append(NULL, json_number(1)));
}

static void an_error_is_told_in_parts(void **state)
{
	const struct bmap_error write = { BMAP_ERR_IO, EIO, true, 1049088, "sdb: cannot write" };
	const struct bmap_error data = { BMAP_ERR_DATA, 0, true, 4096, "img: broken" };
	const struct bmap_error odd = { BMAP_ERR_IO, 9999, false, 0, "x" };

	(void)state;
	expect_json(json_error(NULL, true), "null");
	expect_json(json_error(&write, true),
		    "{\"code\":\"io\",\"errno\":5,\"errno_name\":\"EIO\",\"offset_bytes\":1049088,"
		    "\"sector\":2049,\"message\":\"sdb: cannot write\"}");
	expect_json(json_error(&data, false),
		    "{\"code\":\"data\",\"errno\":null,\"errno_name\":null,\"offset_bytes\":4096,"
		    "\"sector\":null,\"message\":\"img: broken\"}");
	expect_json(json_error(&odd, true),
		    "{\"code\":\"io\",\"errno\":9999,\"errno_name\":null,\"offset_bytes\":null,"
		    "\"sector\":null,\"message\":\"x\"}");
}

static void targets_are_counted_by_their_ends(void **state)
{
	struct bmap_target_report targets[] = { { .state = BMAP_TARGET_DONE },
						{ .state = BMAP_TARGET_INTERRUPTED },
						{ .state = BMAP_TARGET_DONE },
						{ .state = BMAP_TARGET_FAILED } };
	struct bmap_flash_result seen = { .target_count = 4, .targets = targets };
	struct bmap_flash_result unseen = { 0 };
	struct bmap_error stop = { .code = BMAP_ERR_INTERRUPTED }, other = { .code = BMAP_ERR_MAP };
	struct target_counts counts = count_targets(&seen, 4, &stop);

	(void)state;
	assert_int_equal(counts.named, 4);
	assert_int_equal(counts.good, 2);
	assert_int_equal(counts.interrupted, 1);
	assert_int_equal(counts.failed, 1);
	assert_int_equal(count_targets(&unseen, 3, &stop).interrupted, 3);
	assert_int_equal(count_targets(&unseen, 3, &other).failed, 3);
}

static void an_error_belongs_to_a_target_or_to_the_job(void **state)
{
	const struct bmap_error own = { .code = BMAP_ERR_IO, .text = "sdb: broken" };
	const struct bmap_error job = { .code = BMAP_ERR_DATA, .text = "img: broken" };
	struct bmap_target_report targets[] = {
		{ .state = BMAP_TARGET_DONE },
		{ .state = BMAP_TARGET_FAILED, .error = &own },
		{ .state = BMAP_TARGET_FAILED, .error = &job, .whole_job = true }
	};
	const struct bmap_flash_result result = { .target_count = 3, .targets = targets };

	(void)state;
	assert_true(error_is_of_a_target(&result, &own));
	assert_false(error_is_of_a_target(&result, &job));
}

static void a_device_shows_what_is_known_of_it(void **state)
{
	struct bmap_device device = { .path = "/dev/sdb",
				      .vendor = "SanDisk",
				      .serial = "4C\xff",
				      .by_path = "pci-1",
				      .size_bytes = 64,
				      .removable = true };
	const struct bmap_target_report target = { .name = "sdb",
						   .device = &device,
						   .size_bytes = 64 };

	(void)state;
	expect_json(
		json_identity(&target, 2),
		"{\"index\":2,\"target\":\"sdb\",\"size_bytes\":64,\"device\":{"
		"\"path\":\"/dev/sdb\",\"vendor\":\"SanDisk\",\"model\":null,\"serial\":\"4C" BAD
		"\",\"serial_hex\":\"3443ff\",\"transport\":null,\"by_id\":null,"
		"\"by_path\":\"pci-1\",\"usb_path\":null,\"size_bytes\":64,"
		"\"removable\":true}}");
}

static void a_job_id_is_text_of_a_line(void **state)
{
	char longest[JOB_ID_MAX_BYTES + 2];

	(void)state;
	memset(longest, 'x', sizeof(longest));
	longest[JOB_ID_MAX_BYTES + 1] = '\0';
	assert_false(job_id_is_good(longest));
	longest[JOB_ID_MAX_BYTES] = '\0';
	assert_true(job_id_is_good(longest));
	assert_true(job_id_is_good("tray 7, \xc3\xa4"));
	assert_false(job_id_is_good(""));
	assert_false(job_id_is_good("a\nb"));
	assert_false(job_id_is_good("\xff"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_become_utf8_and_nothing_is_lost),
		cmocka_unit_test(times_and_speeds_are_whole_numbers),
		cmocka_unit_test(a_list_that_lacks_an_item_is_none),
		cmocka_unit_test(an_error_is_told_in_parts),
		cmocka_unit_test(targets_are_counted_by_their_ends),
		cmocka_unit_test(an_error_belongs_to_a_target_or_to_the_job),
		cmocka_unit_test(a_device_shows_what_is_known_of_it),
		cmocka_unit_test(a_job_id_is_text_of_a_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
