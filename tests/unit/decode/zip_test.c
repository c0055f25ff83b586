/* SPDX-License-Identifier: MIT */
#include "decode/decoder_internal.h"
#include "zip_make.h"

static const struct decode_feed feeds[] = {
#define MEDIUM .ring_bytes = 512 * KIB, .history_max_bytes = 1, .input_max_bytes = 64 * KIB
	{ MEDIUM, .input = FEED_ALL, .room = FEED_ALL, .room_max_bytes = 256 * KIB },
	{ MEDIUM, .input = FEED_LEAST, .room = FEED_RANDOM, .seed = 3, .room_max_bytes = 1000 },
	{ MEDIUM, .input = FEED_RANDOM, .room = FEED_LEAST, .seed = 5, .room_max_bytes = 9999 },
	{ MEDIUM, .input = FEED_RANDOM, .room = FEED_RANDOM, .seed = 6, .room_max_bytes = 100 },
};

/* Small memory: there are many of these. */
#define SMALL .ring_bytes = 64 * KIB, .history_max_bytes = 1, .input_max_bytes = 64 * KIB
static const struct decode_feed small_feeds[] = {
	{ SMALL, .input = FEED_ALL, .room = FEED_ALL, .room_max_bytes = 1 },
	{ SMALL, .input = FEED_LEAST, .room = FEED_LEAST, .room_max_bytes = 7 },
};

static void expect_image(const struct test_bytes *zip, const char *member, const uint8_t *image,
			 size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(feeds); i++) {
		struct decode_feed feed = feeds[i];
		struct decode_result r;

		feed.member = member;
		r = decode_drive(&zip_decoder, zip->data, zip->len, image, len, &feed);
		if (!r.good || !r.same)
			fail_msg("feed %zu: %s", i, r.good ? "other bytes" : r.err.text);
	}
}

static void expect_refused(const struct test_bytes *zip, const char *words)
{
	for (size_t i = 0; i < ARRAY_LEN(small_feeds); i++) {
		struct decode_result r =
			decode_drive(&zip_decoder, zip->data, zip->len, NULL, 0, &small_feeds[i]);

		if (r.good || !strstr(r.err.text, words))
			fail_msg("'%s', wanted: %s", r.good ? "good" : r.err.text, words);
	}
}

static void every_kind_of_member_comes_out_whole(void **state)
{
	static const size_t lens[] = { 0, 1, 70001, 300000 };
	static const enum test_image_kind kinds[] = { IMAGE_ZEROS, IMAGE_NOISE, IMAGE_MIXED };

	(void)state;
	for (size_t l = 0; l < ARRAY_LEN(lens) * ARRAY_LEN(kinds); l++) {
		size_t len = lens[l / ARRAY_LEN(kinds)];
		uint8_t *image = test_image(kinds[l % ARRAY_LEN(kinds)], len, 4);

		for (enum zip_make_sizes sizes = 0; sizes < SIZES_COUNT; sizes++) {
			for (unsigned method = 0; method <= 8; method += 8) {
				struct zip_made m = { "disk.img", method, 0, sizes, image, len };
				struct test_bytes zip = { 0 };

				/* refused, and long runs with little to find */
				if ((sizes >= SIZES_BEHIND && !method) ||
				    (len > 100000 && sizes % 3))
					continue;
				zip = zip_make(&m, 1, sizes % 2);
				expect_image(&zip, NULL, image, len);
				test_bytes_free(&zip);
			}
		}
		free(image);
	}
}

#define TEXT(s) (const uint8_t *)s, sizeof(s) - 1

static void a_member_is_found_and_the_others_are_passed(void **state)
{
	static const struct {
		const char *wanted, *bytes, *words; /* NULL: not there */
	} cases[] = {
		{ NULL, "first", "taking 'readme', the first of 7 files: --member NAME" },
		{ "readme", "first", "" },
		{ "disk.img", "second", "" },
		{ "b/disk.img", "third", "" },
		{ "bare", "fourth", "" },
		{ "last", "last", "" },
		{ "folder", NULL, "no file 'folder' in the zip archive, which holds 'readme', " },
		{ "x", NULL, "..." },
	};
	struct zip_made members[] = {
		{ "folder/", 0, 0, SIZES_IN_FRONT, TEXT("") },
		{ "streamed folder/", 0, 0, SIZES_BEHIND, TEXT("") },
		{ "streamed folder 64/", 0, 0, SIZES_BEHIND_64_BARE, TEXT("") },
		{ "deflated folder/", 8, 0, SIZES_BEHIND_BARE, TEXT("") },
		{ "readme", 8, 0, SIZES_BEHIND, TEXT("first") },
		{ "a/disk.img", 0, 0, SIZES_IN_FRONT, TEXT("second") },
		{ "b/disk.img", 8, 0, SIZES_BEHIND_64, TEXT("third") },
		{ "bare", 8, 0, SIZES_BEHIND_BARE, TEXT("fourth") },
		{ "encrypted", 0, 1, SIZES_IN_FRONT, TEXT("somebody's") },
		{ "by xz", 95, 0, SIZES_ZIP64, TEXT("xz") },
		{ "last", 0, 0, SIZES_ZIP64, TEXT("last") },
	};
	struct test_bytes zip = zip_make(members, ARRAY_LEN(members), false);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct decode_feed feed = { SMALL, .room_max_bytes = 7, .member = cases[i].wanted };
		const char *bytes = cases[i].bytes ? cases[i].bytes : "";
		struct decode_result r =
			decode_drive(&zip_decoder, zip.data, zip.len, TEXT(""), &feed);

		assert_int_equal(r.good, cases[i].bytes != NULL);
		if (!r.good && !strstr(r.err.text, cases[i].words))
			fail_msg("'%s', wanted: %s", r.err.text, cases[i].words);
		if (r.good && strncmp(r.note, cases[i].words, strlen(cases[i].words)))
			fail_msg("'%s', wanted: %s", r.note, cases[i].words);
		if (r.good)
			expect_image(&zip, cases[i].wanted, (const uint8_t *)bytes, strlen(bytes));
	}
	test_bytes_free(&zip);
}

static void what_cannot_be_taken_is_refused_by_name(void **state)
{
	static const struct {
		struct zip_made m;
		const char *words;
	} cases[] = {
		{ { "disk.img", 8, 1, SIZES_IN_FRONT, TEXT("x") }, "is encrypted" },
		{ { "disk.img", 99, 1, SIZES_IN_FRONT, TEXT("x") }, "is encrypted" },
		{ { "disk.img", 8, 1 << 13, SIZES_IN_FRONT, TEXT("x") }, "hidden" },
		{ { "disk.img", 8, 1 << 5, SIZES_IN_FRONT, TEXT("x") }, "patch" },
		{ { "disk.img", 9, 0, SIZES_IN_FRONT, TEXT("x") }, "deflate64 (method 9)" },
		{ { "disk.img", 12, 0, SIZES_IN_FRONT, TEXT("x") }, "bzip2 (method 12)" },
		{ { "disk.img", 14, 0, SIZES_BEHIND, TEXT("x") }, "LZMA (method 14)" },
		{ { "disk.img", 93, 0, SIZES_IN_FRONT, TEXT("x") }, "zstd (method 93)" },
		{ { "disk.img", 77, 0, SIZES_IN_FRONT, TEXT("x") }, "unknown method (method 77)" },
		{ { "disk.img", 0, 0, SIZES_BEHIND, TEXT("x") },
		  "stored, and its length said only" },
		{ { "folder/", 0, 0, SIZES_IN_FRONT, TEXT("") }, "no regular file in the zip" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct zip_made m = cases[i].m;
		struct test_bytes zip = zip_make(&m, 1, false);

		expect_refused(&zip, cases[i].words);
		test_bytes_free(&zip);
	}
}

static void archives_in_volumes_and_empty_ones_are_known_and_refused(void **state)
{
	struct zip_made m = { "disk.img", 8, 0, SIZES_IN_FRONT, TEXT("image") };
	struct test_bytes good = zip_make(&m, 1, false);
	static const char *const markers[] = { "PK00", "PK\7\10" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(markers); i++) {
		struct test_bytes zip = { 0 };

		test_bytes_add(&zip, markers[i], 4);
		assert_null(decoder_detect(zip.data, zip.len));
		test_bytes_add(&zip, good.data, good.len);
		assert_ptr_equal(decoder_detect(zip.data, zip.len), &zip_decoder);
		expect_refused(&zip, "several volumes");
		test_bytes_free(&zip);
	}
	test_bytes_free(&good);
	zip_end_add(&good, 0, 0, false);
	assert_ptr_equal(decoder_detect(good.data, good.len), &zip_decoder);
	expect_refused(&good, "no regular file in the zip archive");
	test_bytes_free(&good);
}

#define IMAGE_BYTES 400u

static struct test_bytes small_zip(uint8_t *image, size_t variant)
{
	static const struct {
		unsigned method;
		enum zip_make_sizes sizes;
		bool end64;
	} variants[] = {
		{ 0, SIZES_IN_FRONT, false },
		{ 8, SIZES_ZIP64, true },
		{ 8, SIZES_BEHIND, true },
		{ 8, SIZES_BEHIND_64_BARE, false },
	};
	struct zip_made members[] = {
		{ "disk.img", variants[variant].method, 0, variants[variant].sizes, image,
		  IMAGE_BYTES },
		{ "note", 8, 0, SIZES_BEHIND_BARE, TEXT("behind") },
	};

	return zip_make(members, ARRAY_LEN(members), variants[variant].end64);
}
#define SMALL_ZIPS 4u

static void an_archive_cut_short_at_any_byte_fails_at_its_end(void **state)
{
	uint8_t *image = test_image(IMAGE_MIXED, IMAGE_BYTES, 78);

	(void)state;
	for (size_t v = 0; v < SMALL_ZIPS; v++) {
		struct test_bytes zip = small_zip(image, v);

		for (size_t len = 0; len < zip.len; len++)
			for (size_t i = 0; i < ARRAY_LEN(small_feeds); i++) {
				struct decode_result r =
					decode_drive(&zip_decoder, zip.data, len, image,
						     IMAGE_BYTES, &small_feeds[i]);

				assert_false(r.good);
				assert_int_equal(r.err.offset_bytes, len);
				assert_non_null(strstr(r.err.text, "truncated"));
			}
		test_bytes_free(&zip);
	}
	free(image);
}

static void any_flipped_bit_fails_or_changes_nothing(void **state)
{
	uint8_t *image = test_image(IMAGE_MIXED, IMAGE_BYTES, 78);

	(void)state;
	for (size_t v = 0; v < SMALL_ZIPS; v++) {
		struct test_bytes zip = small_zip(image, v);

		for (size_t bit = 0; bit < zip.len * 8; bit++) {
			struct decode_result r;

			zip.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
			r = decode_drive(&zip_decoder, zip.data, zip.len, image, IMAGE_BYTES,
					 &small_feeds[bit % 2]);
			assert_true(!r.good || r.same);
			zip.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
		test_bytes_free(&zip);
	}
	free(image);
}

static void bytes_behind_the_end_are_garbage(void **state)
{
	static const char *const garbage[] = { "x", "\0", "PK\3\4" };
	uint8_t *image = test_image(IMAGE_MIXED, IMAGE_BYTES, 78);

	(void)state;
	for (size_t g = 0; g < ARRAY_LEN(garbage); g++) {
		struct test_bytes zip = small_zip(image, g);
		size_t end = zip.len;

		test_bytes_add(&zip, garbage[g], 1);
		for (size_t i = 0; i < ARRAY_LEN(small_feeds); i++) {
			struct decode_result r = decode_drive(&zip_decoder, zip.data, zip.len,
							      image, IMAGE_BYTES, &small_feeds[i]);

			assert_false(r.good);
			assert_int_equal(r.err.offset_bytes, end);
			assert_non_null(strstr(r.err.text, "trailing garbage"));
		}
		test_bytes_free(&zip);
	}
	free(image);
}

/* Changes bytes of a good archive of one deflated member, found by their record's signature. */
static void wrong_numbers_are_refused(void **state)
{
	static const uint8_t image[2000] = "zeros, mostly";
	static const struct {
		const char *why;
		enum zip_make_sizes sizes;
		bool end64;
		const char *record; /* the last one with this signature */
		size_t at;
		const char *bytes;
		size_t len;
		const char *words;
	} cases[] = {
		{ "CRC", SIZES_IN_FRONT, false, "PK\3\4", 14, "\1\2\3\4", 4, "CRC-32" },
		{ "size too small", SIZES_IN_FRONT, false, "PK\3\4", 22, "\1\0\0\0", 4, "longer" },
		{ "size too large", SIZES_IN_FRONT, false, "PK\3\4", 22, "\0\0\1\0", 4, "shorter" },
		{ "packed too small", SIZES_IN_FRONT, false, "PK\3\4", 18, "\3\0\0\0", 4,
		  "end in the middle" },
		{ "packed too large", SIZES_IN_FRONT, false, "PK\3\4", 18, "\x30\0\0\0", 4,
		  "shorter than its header" },
		{ "zip64 of 2^63", SIZES_ZIP64, false, "PK\3\4", 30 + 8 + 5 + 4 + 7, "\x80", 1,
		  "impossible size" },
		{ "zip64 too short", SIZES_ZIP64, false, "PK\3\4", 30 + 8 + 5 + 2, "\xF", 1,
		  "too short" },
		{ "descriptor's CRC", SIZES_BEHIND, false, "PK\7\10", 4, "\1\2\3\4", 4,
		  "what stands behind" },
		{ "descriptor's size", SIZES_BEHIND_64, false, "PK\7\10", 16, "\1", 1,
		  "what stands behind" },
		{ "directory's CRC", SIZES_BEHIND, false, "PK\1\2", 16, "\1\2\3\4", 4, "the same" },
		{ "directory's size", SIZES_BEHIND, false, "PK\1\2", 24, "\1", 1, "the same" },
		{ "directory's packed", SIZES_BEHIND, false, "PK\1\2", 20, "\1", 1, "the same" },
		{ "directory's method", SIZES_BEHIND, false, "PK\1\2", 10, "\0", 1, "the same" },
		{ "directory's name", SIZES_BEHIND, false, "PK\1\2", 46, "D", 1, "the same" },
		{ "directory's offset", SIZES_BEHIND, false, "PK\1\2", 42, "\1", 1,
		  "does not list" },
		{ "directory's zip64", SIZES_BEHIND, false, "PK\1\2", 24, "\xFF\xFF\xFF\xFF", 4,
		  "the same" },
		{ "end's count", SIZES_IN_FRONT, false, "PK\5\6", 8, "\2\0\2\0", 4, "together" },
		{ "end's size", SIZES_IN_FRONT, false, "PK\5\6", 12, "\1", 1, "together" },
		{ "end's offset", SIZES_IN_FRONT, false, "PK\5\6", 16, "\1", 1, "together" },
		{ "end's volume", SIZES_IN_FRONT, false, "PK\5\6", 4, "\1", 1, "volumes" },
		{ "end64's count", SIZES_IN_FRONT, true, "PK\6\6", 24,
		  "\2\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0", 16, "together" },
		{ "end64's offset", SIZES_IN_FRONT, true, "PK\6\6", 48, "\1", 1, "together" },
		{ "end64's length", SIZES_IN_FRONT, true, "PK\6\6", 4, "\0", 1, "length" },
		{ "end64's length, huge", SIZES_IN_FRONT, true, "PK\6\6", 11, "\xFF", 1, "length" },
		{ "locator", SIZES_IN_FRONT, true, "PK\6\7", 8, "\1", 1, "points somewhere else" },
		{ "no record", SIZES_IN_FRONT, false, "PK\1\2", 0, "XX", 2, "neither a member" },
		{ "wrong place", SIZES_IN_FRONT, true, "PK\1\2", 0, "PK\6\7", 4, "wrong place" },
		{ "wrong place", SIZES_IN_FRONT, true, "PK\6\7", 0, "PK\1\2", 4, "wrong place" },
		{ "no locator", SIZES_IN_FRONT, true, "PK\6\7", 0, "PK\5\6", 4, "wrong place" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct zip_made m = { "disk.img", 8, 0, cases[i].sizes, image, sizeof(image) };
		struct test_bytes zip = zip_make(&m, 1, cases[i].end64);
		uint8_t *record = NULL;

		print_message("%s\n", cases[i].why);
		/* not the comment at the end, which looks like one */
		for (size_t at = 0; at + 4 < zip.len - 4; at++)
			if (!memcmp(zip.data + at, cases[i].record, 4))
				record = zip.data + at;
		assert_non_null(record);
		assert_memory_not_equal(record + cases[i].at, cases[i].bytes, cases[i].len);
		memcpy(record + cases[i].at, cases[i].bytes, cases[i].len);
		expect_refused(&zip, cases[i].words);
		test_bytes_free(&zip);
	}
}

static void a_bomb_of_what_is_not_wanted_takes_no_room(void **state)
{
	uint8_t *zeros = test_image(IMAGE_ZEROS, 8 * MIB, 1);
	struct zip_made members[] = {
		{ "bomb", 8, 0, SIZES_BEHIND, zeros, 8 * MIB },
		{ "disk.img", 8, 0, SIZES_BEHIND, TEXT("image") },
	};
	struct test_bytes zip = zip_make(members, ARRAY_LEN(members), false);

	(void)state;
	expect_image(&zip, "disk.img", TEXT("image"));
	test_bytes_free(&zip);
	free(zeros);
}

static void a_signed_directory_is_passed(void **state)
{
	struct zip_made m = { "disk.img", 8, 0, SIZES_BEHIND, TEXT("image") };
	struct test_bytes zip = { 0 };
	size_t begin;

	(void)state;
	zip_member_add(&zip, &m);
	begin = zip.len;
	zip_central_add(&zip, &m);
	test_bytes_add(&zip, "PK\5\5\3\0sig", 9);
	zip_end_add(&zip, begin, 1, false);
	expect_image(&zip, NULL, TEXT("image"));
	test_bytes_free(&zip);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_of_member_comes_out_whole),
		cmocka_unit_test(a_member_is_found_and_the_others_are_passed),
		cmocka_unit_test(what_cannot_be_taken_is_refused_by_name),
		cmocka_unit_test(archives_in_volumes_and_empty_ones_are_known_and_refused),
		cmocka_unit_test(an_archive_cut_short_at_any_byte_fails_at_its_end),
		cmocka_unit_test(any_flipped_bit_fails_or_changes_nothing),
		cmocka_unit_test(bytes_behind_the_end_are_garbage),
		cmocka_unit_test(wrong_numbers_are_refused),
		cmocka_unit_test(a_bomb_of_what_is_not_wanted_takes_no_room),
		cmocka_unit_test(a_signed_directory_is_passed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
