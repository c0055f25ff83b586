/* SPDX-License-Identifier: MIT */
#include "decode/lzop_internal.h"
#include "decode_feeds.h"

#include <lzo/lzo1x.h>
#include <zlib.h>

static const struct decode_feed feeds[] = {
	{ .input = FEED_ALL, .room = FEED_ALL },
	{ .input = FEED_LEAST, .room = FEED_LEAST },
	{ .input = FEED_RANDOM, .room = FEED_RANDOM, .seed = 7 },
	{ .input = FEED_RANDOM, .seed = 8, .units = true },
	{ .input = FEED_LEAST, .units = true },
	/* blocks gathered here, decoded here, and both */
	{ .input = FEED_RANDOM, .room = FEED_RANDOM, .seed = 11, .input_max_bytes = 4096 },
	{ .input = FEED_RANDOM, .room = FEED_RANDOM, .seed = 12, .room_max_bytes = 1000 },
	{ .input = FEED_RANDOM,
	  .room = FEED_RANDOM,
	  .seed = 13,
	  .input_max_bytes = 512,
	  .room_max_bytes = 4096,
	  .units = true },
};

/* Small memory: there are many of these. */
#define SMALL                                                                                      \
	.ring_bytes = 64 * KIB, .history_max_bytes = 1, .input_max_bytes = 64 * KIB,               \
	.room_max_bytes = 64 * KIB
static const struct decode_feed small_feeds[] = {
	{ SMALL, .input = FEED_ALL, .room = FEED_ALL },
	{ SMALL, .input = FEED_LEAST, .room = FEED_LEAST },
	{ SMALL, .input = FEED_LEAST, .units = true },
};

#define FLAG_EXTRA 0x40u
#define FLAG_HEADER_CRC 0x1000u

struct file_options {
	uint32_t flags;
	size_t block_bytes; /* 0: 256 KiB */
	bool old; /* version 0.90, with fewer fields */
	uint8_t method; /* 0: 1 */
	uint16_t needed; /* version, 0: 0.94 */
	const char *name;
};

static void be32_add(struct test_bytes *to, uint32_t value)
{
	uint8_t bytes[4] = { (uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
			     (uint8_t)value };

	test_bytes_add(to, bytes, sizeof(bytes));
}

static void be16_add(struct test_bytes *to, uint32_t value)
{
	uint8_t bytes[2] = { (uint8_t)(value >> 8), (uint8_t)value };

	test_bytes_add(to, bytes, sizeof(bytes));
}

static void byte_add(struct test_bytes *to, uint8_t value)
{
	test_bytes_add(to, &value, 1);
}

static uint32_t checksum(bool crc, const uint8_t *data, size_t len)
{
	return (uint32_t)(crc ? crc32(0, data, (uInt)len) : adler32(1, data, (uInt)len));
}

static void header_add(struct test_bytes *to, const struct file_options *o)
{
	const char *name = o->name ? o->name : "";
	bool crc = o->flags & FLAG_HEADER_CRC;
	size_t at;

	test_bytes_add(to, "\x89LZO\0\r\n\x1A\n", 9);
	at = to->len;
	be16_add(to, o->old ? 0x0900 : 0x1040);
	be16_add(to, 0x20A0);
	if (!o->old)
		be16_add(to, o->needed ? o->needed : 0x0940);
	byte_add(to, o->method ? o->method : 1);
	if (!o->old)
		byte_add(to, 5);
	be32_add(to, o->flags);
	be32_add(to, 0100644);
	be32_add(to, 1234567890);
	if (!o->old)
		be32_add(to, 0);
	byte_add(to, (uint8_t)strlen(name));
	test_bytes_add(to, name, strlen(name));
	be32_add(to, checksum(crc, to->data + at, to->len - at));
	if (!(o->flags & FLAG_EXTRA))
		return;
	at = to->len;
	be32_add(to, 5);
	test_bytes_add(to, "extra", 5);
	be32_add(to, checksum(crc, to->data + at, to->len - at));
}

static void block_add(struct test_bytes *to, const uint8_t *image, size_t len, uint32_t flags)
{
	static uint8_t work[LZO1X_1_MEM_COMPRESS];
	uint8_t *room = malloc(len + len / 16 + 67);
	lzo_uint got = 0;

	assert_int_equal(lzo1x_1_compress(image, len, room, &got, work), LZO_E_OK);
	if (got >= len) {
		memcpy(room, image, len);
		got = len;
	}
	be32_add(to, (uint32_t)len);
	be32_add(to, (uint32_t)got);
	if (flags & LZOP_ADLER32_D)
		be32_add(to, checksum(false, image, len));
	if (flags & LZOP_CRC32_D)
		be32_add(to, checksum(true, image, len));
	if (got < len && (flags & LZOP_ADLER32_C))
		be32_add(to, checksum(false, room, got));
	if (got < len && (flags & LZOP_CRC32_C))
		be32_add(to, checksum(true, room, got));
	test_bytes_add(to, room, got);
	free(room);
}

static void file_add(struct test_bytes *to, const uint8_t *image, size_t len,
		     const struct file_options *o)
{
	size_t step = o->block_bytes ? o->block_bytes : 256 * KIB;

	header_add(to, o);
	for (size_t at = 0; at < len; at += step)
		block_add(to, image + at, (size_t)min_u64(step, len - at), o->flags);
	be32_add(to, 0);
}

static void every_shape_of_file_decodes_to_the_original(void **state)
{
	static const struct {
		const char *why;
		enum test_image_kind kind;
		size_t len;
		struct file_options options;
	} shapes[] = {
		{ "no content", IMAGE_ZEROS, 0, { 0 } },
		{ "one byte", IMAGE_NOISE, 1, { 0 } },
		{ "no checksum", IMAGE_MIXED, 2 * MIB + 3, { 0, .name = "disk.img" } },
		{ "Adler-32", IMAGE_MIXED, 2 * MIB, { LZOP_ADLER32_D } },
		{ "Adler-32 of both", IMAGE_MIXED, MIB, { LZOP_ADLER32_D | LZOP_ADLER32_C } },
		{ "CRC-32 of both", IMAGE_MIXED, MIB, { LZOP_CRC32_D | LZOP_CRC32_C } },
		{ "all checksums", IMAGE_MIXED, MIB, { LZOP_CHECKSUMS | FLAG_HEADER_CRC } },
		{ "stored, all checksums", IMAGE_NOISE, MIB, { LZOP_CHECKSUMS } },
		{ "stored, of the compressed only", IMAGE_NOISE, MIB, { LZOP_ADLER32_C } },
		{ "zeros", IMAGE_ZEROS, 3 * MIB, { LZOP_ADLER32_D } },
		{ "extra field", IMAGE_MIXED, 9000, { FLAG_EXTRA } },
		{ "extra field, CRC-32", IMAGE_MIXED, 9000, { FLAG_EXTRA | FLAG_HEADER_CRC } },
		{ "old", IMAGE_MIXED, 9000, { LZOP_ADLER32_D, .old = true } },
		{ "large blocks", IMAGE_MIXED, 5 * MIB, { LZOP_ADLER32_D, 3 * MIB } },
		{ "tiny blocks", IMAGE_MIXED, 100000, { LZOP_ADLER32_D, 77 } },
		{ "LZO1X-999", IMAGE_MIXED, 9000, { 0, .method = 3 } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
		struct sample s = { .image = test_image(shapes[i].kind, shapes[i].len, (uint32_t)i),
				    .len = shapes[i].len };

		print_message("%s\n", shapes[i].why);
		file_add(&s.source, s.image, s.len, &shapes[i].options);
		expect_same(&lzop_decoder, &s, feeds, ARRAY_LEN(feeds));
		sample_free(&s);
	}
}

#define IMAGE_BYTES 500u

static struct sample small_new(size_t *first_end)
{
	static const struct file_options first = { LZOP_CHECKSUMS | FLAG_EXTRA, 100, .name = "a" };
	static const struct file_options second = { LZOP_ADLER32_D | FLAG_HEADER_CRC };
	struct sample s = { .image = test_image(IMAGE_MIXED, IMAGE_BYTES, 79), .len = IMAGE_BYTES };

	file_add(&s.source, s.image, 300, &first);
	*first_end = s.source.len;
	file_add(&s.source, s.image + 300, 200, &second);
	return s;
}

static void files_behind_each_other_are_one_image(void **state)
{
	size_t end;
	struct sample s = small_new(&end);

	(void)state;
	expect_same(&lzop_decoder, &s, feeds, ARRAY_LEN(feeds));
	sample_free(&s);
}

static void blocks_become_units_of_a_mebibyte(void **state)
{
	const struct file_options options = { LZOP_ADLER32_D };
	const struct decode_feed feed = { .units = true };
	struct sample s = { .image = test_image(IMAGE_MIXED, 5 * MIB + 1, 1), .len = 5 * MIB + 1 };
	struct decode_result r;

	(void)state;
	file_add(&s.source, s.image, s.len, &options);
	r = decode_drive(&lzop_decoder, s.source.data, s.source.len, s.image, s.len, &feed);
	assert_true(r.good && r.same);
	assert_int_equal(r.units, 6 + 2); /* header and end mark */
	sample_free(&s);
}

static void a_source_cut_short_at_any_byte_fails_at_its_end(void **state)
{
	size_t end;
	struct sample s = small_new(&end);

	(void)state;
	expect_truncation_fails(&lzop_decoder, &s, small_feeds, ARRAY_LEN(small_feeds), &end, 1);
	sample_free(&s);
}

static void any_flipped_bit_fails_or_changes_nothing(void **state)
{
	size_t end;
	struct sample s = small_new(&end);

	(void)state;
	expect_flips_fail_or_change_nothing(&lzop_decoder, &s, small_feeds, ARRAY_LEN(small_feeds));
	sample_free(&s);
}

static void a_header_that_is_not_for_us_is_refused_by_name(void **state)
{
	static const struct {
		struct file_options options;
		const char *says;
	} headers[] = {
		{ { 0x0400 }, "several parts" },
		{ { 0x0800 }, "filters" },
		{ { .method = 4 }, "other than LZO1X" },
		{ { .method = 128 }, "other than LZO1X" },
		{ { .needed = 0x1050 }, "newer version" },
	};
	struct decoder_plan plan;
	struct bmap_error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
		struct test_bytes source = { 0 };

		header_add(&source, &headers[i].options);
		be32_add(&source, 0);
		expect_broken(&lzop_decoder, &source, small_feeds, ARRAY_LEN(small_feeds), 0,
			      headers[i].says);
		assert_false(lzop_decoder.plan(source.data, source.len, &plan, &err));
		assert_non_null(strstr(err.text, headers[i].says));
		test_bytes_free(&source);
	}
}

static void wrong_lengths_are_refused_where_they_stand(void **state)
{
	static const struct {
		uint32_t image, data;
		const char *bytes, *says; /* bytes: at least 4, with the string's end */
	} blocks[] = {
		{ 0xFFFFFFFF, 1, "x\0\0", "several parts" },
		{ 64 * MIB + 1, 1, "x\0\0", "more than 64 MiB" },
		{ 10, 11, "x\0\0", "larger compressed" },
		{ 10, 0, "x\0\0", "without data" },
		{ 10, 4, "\x11\0\0\x55", "malformed" },
		{ 10, 3, "\x11\0\0", "fewer bytes" }, /* an end mark alone */
		{ 4, 3,
		  "\x16"
		  "abcde",
		  "malformed" },
	};
	const struct file_options options = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(blocks); i++) {
		struct test_bytes source = { 0 };
		size_t at;

		header_add(&source, &options);
		at = source.len;
		be32_add(&source, blocks[i].image);
		be32_add(&source, blocks[i].data);
		test_bytes_add(&source, blocks[i].bytes, min_u64(blocks[i].data, 4));
		be32_add(&source, 0);
		expect_broken(&lzop_decoder, &source, small_feeds, ARRAY_LEN(small_feeds), at,
			      blocks[i].says);
		test_bytes_free(&source);
	}
}

static void garbage_behind_the_last_file_fails_where_it_begins(void **state)
{
	static const char *const garbage[] = { "x", "\x89LZP", "LZO" };
	size_t end;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(garbage); i++) {
		struct sample s = small_new(&end);

		end = s.source.len;
		test_bytes_add(&s.source, garbage[i], strlen(garbage[i]));
		expect_broken(&lzop_decoder, &s.source, small_feeds, ARRAY_LEN(small_feeds), end,
			      "trailing garbage");
		sample_free(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_shape_of_file_decodes_to_the_original),
		cmocka_unit_test(files_behind_each_other_are_one_image),
		cmocka_unit_test(blocks_become_units_of_a_mebibyte),
		cmocka_unit_test(a_source_cut_short_at_any_byte_fails_at_its_end),
		cmocka_unit_test(any_flipped_bit_fails_or_changes_nothing),
		cmocka_unit_test(a_header_that_is_not_for_us_is_refused_by_name),
		cmocka_unit_test(wrong_lengths_are_refused_where_they_stand),
		cmocka_unit_test(garbage_behind_the_last_file_fails_where_it_begins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
