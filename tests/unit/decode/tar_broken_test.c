/* SPDX-License-Identifier: MIT */
/* Archives that nobody makes by accident: each is refused, and says why. */
#include "tar_make.h"

static void pax_file(struct test_bytes *a, const char *records)
{
	struct test_bytes r = { 0 };

	test_bytes_add(&r, records, strlen(records));
	tar_pax_add(a, 'x', &r);
	tar_file_add(a, "disk.img", "image", 5);
	tar_end_add(a);
}

static void broken_pax_headers_are_refused(void **state)
{
	static const struct {
		const char *records, *words;
	} cases[] = {
		{ "5 a=1\n", "wrong length" }, /* 6 */
		{ "7 a=1\n", "wrong length" },
		{ "a=1\n", "wrong length" },
		{ " 6 a=1\n", "wrong length" },
		{ "0 a=1\n", "wrong length" },
		{ "2 \n", "wrong length" },
		{ "99999999999999999999999999999999 a=1\n", "wrong length" },
		{ "18446744073709551622 a=1\n", "wrong length" },
		{ "-6 a=1\n", "wrong length" },
		{ "4 a\n", "without a value" },
		{ "9 size=x\n", "else than a number" },
		{ "8 size=\n", "else than a number" },
		{ "11 size=-1\n", "else than a number" },
		{ "29 size=18446744073709551616\n", "else than a number" },
		{ "28 size=9223372036854775808\n", "else than a number" },
		{ "27 size=999999999999999999\n", "truncated" },
		{ "25 GNU.sparse.realsize=5\n", NULL }, /* a map of nothing, but 5 are stored */
		{ "22 GNU.sparse.major=1\n", "without its real size" },
		{ "22 GNU.sparse.major=2\n25 GNU.sparse.realsize=9\n", "does not know" },
		{ "22 GNU.sparse.minor=2\n25 GNU.sparse.realsize=9\n", "does not know" },
		{ "23 GNU.sparse.map=0,5,\n25 GNU.sparse.realsize=5\n", "else than numbers" },
		{ "22 GNU.sparse.map=0,,\n25 GNU.sparse.realsize=5\n", "else than numbers" },
		{ "20 GNU.sparse.map=0\n25 GNU.sparse.realsize=5\n", "without its length" },
		{ "22 GNU.sparse.map=0,6\n25 GNU.sparse.realsize=6\n", "more or less data" },
		{ "22 GNU.sparse.map=1,5\n25 GNU.sparse.realsize=5\n", "behind the size" },
		{ "26 GNU.sparse.map=5,1,2,4\n25 GNU.sparse.realsize=9\n", "do not rise" },
		{ "26 GNU.sparse.map=0,3,2,2\n25 GNU.sparse.realsize=9\n", "do not rise" },
		{ "27 GNU.sparse.numbytes=100\n", "in turn" },
		{ "23 GNU.sparse.offset=1\n23 GNU.sparse.offset=1\n", "in turn" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct test_bytes a = { 0 };

		pax_file(&a, cases[i].records);
		print_message("%s", cases[i].records);
		expect_refused(&a, cases[i].words ? cases[i].words : "broken tar data at offset");
		test_bytes_free(&a);
	}
}

static void impossible_sizes_are_refused(void **state)
{
	static const struct {
		const char *why, *field; /* 12 bytes */
		char type;
		const char *words;
	} cases[] = {
		{ "no digits", "rubbish\0\0\0\0\0", '0', "no number" },
		{ "digits and more", "0000000010x\0", '0', "no number" },
		{ "negative", "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", '0',
		  "no number" },
		{ "2^63", "\x80\0\0\0\x80\0\0\0\0\0\0\0", '0', "no number" },
		{ "2^63 - 1", "\x80\0\0\0\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF", '0', "impossible" },
		{ "2^62", "\x80\0\0\0\x40\0\0\0\0\0\0\0", '0', "truncated" },
		{ "a name of 2^62", "\x80\0\0\0\x40\0\0\0\0\0\0\0", 'L', "impossible size" },
		{ "a name of 64 KiB and 1", "00000200001\0", 'L', "impossible size" },
		{ "a pax header of 8 GiB", "77777777777\0", 'x', "impossible size" },
		{ "a pax header of 8 MiB and 1", "00040000001\0", 'x', "impossible size" },
		{ "a pax header of 8 MiB", "00040000000\0", 'x', "truncated" },
		{ "a global one of 2^62", "\x80\0\0\0\x40\0\0\0\0\0\0\0", 'g', "impossible size" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct test_bytes a = { 0 };
		uint8_t *block = tar_header_add(&a, MAKE_GNU, "x", cases[i].type, 0);

		memcpy(block + 124, cases[i].field, 12);
		tar_sum(block);
		tar_file_add(&a, "disk.img", "image", 5);
		tar_end_add(&a);
		print_message("%s\n", cases[i].why);
		expect_refused(&a, cases[i].words);
		test_bytes_free(&a);
	}
}

static void endless_headers_in_front_of_an_entry_are_refused(void **state)
{
	struct test_bytes a = { 0 };

	(void)state;
	for (size_t i = 0; i < 17; i++) {
		struct test_bytes records = { 0 };

		tar_record_add(&records, "comment", "again");
		tar_pax_add(&a, "xX"[i % 2], &records);
	}
	tar_file_add(&a, "disk.img", "image", 5);
	expect_refused(&a, "too many pax headers");
	test_bytes_free(&a);
}

static void a_global_header_may_not_size_files(void **state)
{
	static const char *const keys[] = { "size", "GNU.sparse.realsize", "GNU.sparse.map" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		struct test_bytes a = { 0 }, records = { 0 };

		tar_record_add(&records, keys[i], "5");
		tar_pax_add(&a, 'g', &records);
		tar_file_add(&a, "disk.img", "image", 5);
		expect_refused(&a, "global pax header gives the size");
		test_bytes_free(&a);
	}
}

static void text_maps_that_do_not_end_are_refused(void **state)
{
	static const struct {
		const char *map, *words;
		size_t stored;
	} cases[] = {
		{ "900\n", "behind the data", 512 },
		{ "900\n", "behind the data", 1500 },
		{ "2\n0\n5\n\n", "empty line", 1024 + 512 },
		{ "\n", "empty line", 517 },
		{ "1\n0\n-5\n", "else than numbers", 517 },
		{ "1048577\n", "more than a million", 517 },
		{ "999999999999999999\n", "more than a million", 517 },
		{ "1000000000000000000\n", "else than numbers", 517 },
		{ "1\n0\n6\n", "more or less data", 517 },
		{ "1\n0\n999999999999999999\n", "behind the size", 517 },
		{ "2\n5\n1\n2\n4\n", "do not rise", 517 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct test_bytes a = { 0 }, records = { 0 };
		char map[1600] = "";

		tar_record_add(&records, "GNU.sparse.major", "1");
		tar_record_add(&records, "GNU.sparse.minor", "0");
		tar_record_add(&records, "GNU.sparse.realsize", "1000");
		tar_pax_add(&a, 'x', &records);
		tar_header_add(&a, MAKE_USTAR, "disk.img", '0', cases[i].stored);
		for (size_t at = 0; at < sizeof(map); at += 2)
			memcpy(map + at, "0\n", 2);
		memcpy(map, cases[i].map, strlen(cases[i].map));
		tar_data_add(&a, map, cases[i].stored);
		tar_end_add(&a);
		print_message("%s\n", cases[i].words);
		expect_refused(&a, cases[i].words);
		test_bytes_free(&a);
	}
}

static void maps_count_against_the_memory_limit(void **state)
{
	struct decode_feed feed = { SMALL, .room_max_bytes = 7, .memory_bytes = 16 * KIB };
	struct test_bytes a = { 0 }, records = { 0 }, map = { 0 };
	struct decode_result r;

	(void)state;
	for (unsigned i = 0; i < 2000; i++)
		test_bytes_add(&map, i ? ",1,0" : "1,0", i ? 4 : 3);
	test_bytes_add(&map, "", 1);
	tar_record_add(&records, "GNU.sparse.realsize", "1000");
	tar_record_add(&records, "GNU.sparse.map", (char *)map.data);
	tar_pax_add(&a, 'x', &records);
	tar_file_add(&a, "disk.img", "", 0);
	tar_end_add(&a);
	r = decode_drive(&tar_decoder, a.data, a.len, NULL, 0, &feed);
	assert_false(r.good);
	assert_non_null(strstr(r.err.text, "raise it with --memory"));
	feed.memory_bytes = MIB;
	assert_true(decode_drive(&tar_decoder, a.data, a.len, NULL, 0, &feed).good);
	test_bytes_free(&map);
	test_bytes_free(&a);
}

static void a_hole_of_exabytes_ends_when_its_reader_does(void **state)
{
	struct decode_feed feed = { .stop_bytes = 20 * MIB };
	struct test_bytes a = { 0 };
	struct decode_result r;
	uint8_t *block;

	(void)state;
	block = tar_header_add(&a, MAKE_GNU, "disk.img", 'S', 0);
	tar_put(block + 483, 12, 1ull << 62);
	tar_sum(block);
	r = decode_drive(&tar_decoder, a.data, a.len, NULL, 0, &feed);
	assert_true(r.stopped);
	test_bytes_free(&a);
}

static void other_broken_archives_say_what_is_wrong(void **state)
{
	struct test_bytes a = { 0 };
	uint8_t *block;

	(void)state;
	tar_end_add(&a);
	expect_refused(&a, "no regular file in the tar archive");
	a.len = 0;
	tar_header_add(&a, MAKE_USTAR, "folder", '5', 0);
	tar_end_add(&a);
	expect_refused(&a, "no regular file in the tar archive");
	a.len = 0;
	tar_file_add(&a, "disk.img", "image", 5);
	tar_header_add(&a, MAKE_V7, "old", '0', 0);
	expect_refused(&a, "offset 1024: no header, or one whose checksum does not match");
	a.len = 0;
	tar_header_add(&a, MAKE_GNU, "second half", 'M', 0);
	expect_refused(&a, "several volumes");
	a.len = 0;
	tar_header_add(&a, MAKE_USTAR, "star's own", 'S', 0);
	expect_refused(&a, "does not know");
	a.len = 0;
	block = tar_header_add(&a, MAKE_GNU, "disk.img", 'S', 0);
	memset(block + 386, 'x', 24);
	tar_sum(block);
	expect_refused(&a, "is no number");
	test_bytes_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(broken_pax_headers_are_refused),
		cmocka_unit_test(impossible_sizes_are_refused),
		cmocka_unit_test(endless_headers_in_front_of_an_entry_are_refused),
		cmocka_unit_test(a_global_header_may_not_size_files),
		cmocka_unit_test(text_maps_that_do_not_end_are_refused),
		cmocka_unit_test(maps_count_against_the_memory_limit),
		cmocka_unit_test(a_hole_of_exabytes_ends_when_its_reader_does),
		cmocka_unit_test(other_broken_archives_say_what_is_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
