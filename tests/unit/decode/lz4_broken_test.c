/* SPDX-License-Identifier: MIT */
/* Broken lz4 sources fail, with the reason and the place. */
#include "lz4_make.h"

/* Small memory: there are many of these. */
#define SMALL                                                                                      \
	.ring_bytes = 192 * KIB, .history_max_bytes = 64 * KIB, .room_max_bytes = 64 * KIB,        \
	.input_max_bytes = 70 * KIB
static const struct decode_feed feeds[] = {
	{ SMALL, .input = FEED_ALL, .room = FEED_ALL },
	{ SMALL, .input = FEED_LEAST, .room = FEED_LEAST },
	{ SMALL, .input = FEED_LEAST, .units = true, .skip_checksums = true },
	{ SMALL, .input = FEED_ALL, .units = true },
};
/* Where a flipped bit has to be seen: not without checksums. */
static const struct decode_feed checked_feeds[] = {
	{ SMALL, .input = FEED_ALL, .room = FEED_ALL },
	{ SMALL, .input = FEED_RANDOM, .units = true, .seed = 3 },
	{ .ring_bytes = 64 * KIB,
	  .history_max_bytes = 1,
	  .input_max_bytes = 32,
	  .room_max_bytes = 100,
	  .input = FEED_LEAST },
};

#define IMAGE_BYTES 500u

static struct sample small_new(const struct lz4_options *options)
{
	struct sample s = { .image = test_image(IMAGE_MIXED, IMAGE_BYTES, 79), .len = IMAGE_BYTES };

	lz4_skippable_add(&s.source, 1, 5);
	lz4_frame_add(&s.source, s.image, 300, options);
	lz4_frame_add(&s.source, s.image + 300, 200, options);
	return s;
}

static const struct lz4_options all_fields = { 4, 70, false, true, true, true };
static const struct lz4_options linked_fields = { 4, 70, true, true, true, true };

static void a_source_cut_short_at_any_byte_fails_at_its_end(void **state)
{
	static const struct lz4_options *const kinds[] = { &all_fields, &linked_fields };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct sample s = small_new(kinds[i]), half = { 0 };
		size_t end;

		lz4_skippable_add(&half.source, 1, 5);
		lz4_frame_add(&half.source, s.image, 300, kinds[i]);
		end = half.source.len;
		expect_truncation_fails(&lz4_decoder, &s, feeds, ARRAY_LEN(feeds), &end, 1);
		sample_free(&half);
		sample_free(&s);
	}
}

static void a_legacy_frame_cut_short_fails_but_between_blocks(void **state)
{
	const struct lz4_options legacy = { 0, 70 };
	struct sample s = { .image = test_image(IMAGE_MIXED, IMAGE_BYTES, 79), .len = IMAGE_BYTES };
	size_t ends[16], count = 0;

	(void)state;
	lz4_frame_add(&s.source, s.image, s.len, &legacy);
	for (size_t at = 4; at < s.source.len; at += 4 + load_le32(s.source.data + at))
		ends[count++] = at;
	expect_truncation_fails(&lz4_decoder, &s, feeds, ARRAY_LEN(feeds), ends, count);
	sample_free(&s);
}

static void any_flipped_bit_fails_or_changes_nothing(void **state)
{
	struct sample s = small_new(&all_fields);

	(void)state;
	expect_flips_fail_or_change_nothing(&lz4_decoder, &s, checked_feeds,
					    ARRAY_LEN(checked_feeds));
	sample_free(&s);
	s = small_new(&linked_fields);
	expect_flips_fail_or_change_nothing(&lz4_decoder, &s, checked_feeds,
					    ARRAY_LEN(checked_feeds));
	sample_free(&s);
}

static void a_header_that_is_not_for_us_is_refused_by_name(void **state)
{
	static const struct {
		uint8_t flg, bd;
		const char *says;
	} headers[] = {
		{ 0xA0, 0x40, "version of the frame format" },
		{ 0x20, 0x40, "version of the frame format" },
		{ 0x62, 0x40, "reserved bits" },
		{ 0x60, 0xC0, "reserved bits" },
		{ 0x60, 0x41, "reserved bits" },
		{ 0x60, 0x30, "block maximum" },
		{ 0x60, 0x00, "block maximum" },
		{ 0x61, 0x40, "dictionary" },
	};
	struct bmap_error err;
	struct decoder_plan plan;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
		struct test_bytes source = { 0 };

		lz4_header_add(&source, headers[i].flg, headers[i].bd, NULL);
		le32_add(&source, 0);
		expect_broken(&lz4_decoder, &source, feeds, ARRAY_LEN(feeds), 0, headers[i].says);
		assert_true(lz4_decoder.probe(source.data, source.len));
		assert_false(lz4_decoder.plan(source.data, source.len, &plan, &err));
		assert_non_null(strstr(err.text, headers[i].says));
		test_bytes_free(&source);
	}
}

struct framing { /* one block in a frame, with one thing wrong */
	const char *says;
	uint8_t flg;
	uint64_t content_bytes;
	uint8_t block[12];
	uint32_t size; /* of the block, 0: none */
	uint32_t end, checksum;
	size_t offset;
};

static void lengths_and_checksums_that_do_not_match_are_said(void **state)
{
	static const struct framing cases[] = {
		{ "more bytes than it declares", 0x68, 1, { 0x20, 'a', 'b' }, 3, 0, 0, 15 },
		{ "fewer bytes than it declares", 0x68, 3, { 0x20, 'a', 'b' }, 3, 0, 0, 22 },
		{ "fewer bytes than it declares", 0x68, 1, { 0 }, 0, 0, 0, 15 },
		{ "malformed", 0x60, 0, { 0x30, 'a', 'b' }, 3, 0, 0, 7 }, /* a literal too few */
		{ "malformed", 0x60, 0, { 0x20, 'a', 'b', 9, 0 }, 5, 0, 0, 7 }, /* ends in a match
										 */
		{ "malformed", 0x60, 0, { 0x20, 'a', 'b', 9 }, 4, 0, 0, 7 }, /* half an offset */
		{ "malformed", 0x60, 0, { 0xF0, 0xFF }, 2, 0, 0, 7 }, /* a length without end */
		{ "malformed", 0x60, 0, { 0x1F, 'a', 1, 0, 0xFF }, 5, 0, 0, 7 },
		{ "malformed", 0x60, 0, { 0x10, 'a', 3, 0, 0x50, 1, 2, 3, 4, 5 }, 10, 0, 0, 7 },
		{ "larger than the block maximum", 0x60, 0, { 0 }, 1, 65537, 0, 12 },
		{ "larger than the block maximum", 0x60, 0, { 0 }, 1, 0x80010001u, 0, 12 },
		{ "trailing garbage", 0x60, 0, { 0 }, 1, 0, 0x12345678, 16 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct framing *c = &cases[i];
		struct test_bytes source = { 0 };

		print_message("%zu\n", i);
		lz4_header_add(&source, c->flg, 0x40, c->flg & 8 ? &c->content_bytes : NULL);
		if (c->size)
			lz4_block_add(&source, c->block, c->size, false, false);
		le32_add(&source, c->end);
		if (c->checksum)
			le32_add(&source, c->checksum);
		/* By units a count is seen where the unit begins, else behind the block's end. */
		expect_broken(&lz4_decoder, &source, feeds, ARRAY_LEN(feeds), c->offset, c->says);
		test_bytes_free(&source);
	}
}

static void a_wrong_checksum_is_said_unless_it_is_not_to_be_checked(void **state)
{
	const struct lz4_options block = { 4, .block_checksums = true };
	const struct lz4_options content = { 4, .content_checksum = true };
	struct sample s = { .image = test_image(IMAGE_NOISE, 100, 1), .len = 100 };

	(void)state;
	lz4_frame_add(&s.source, s.image, s.len, &block);
	s.source.data[s.source.len - 5] ^= 1;
	expect_broken(&lz4_decoder, &s.source, feeds, ARRAY_LEN(feeds), 7, "checksum of the block");
	test_bytes_free(&s.source);
	lz4_frame_add(&s.source, s.image, s.len, &content);
	s.source.data[s.source.len - 1] ^= 1;
	expect_broken(&lz4_decoder, &s.source, checked_feeds, ARRAY_LEN(checked_feeds),
		      s.source.len - 4, "content checksum");
	expect_same(&lz4_decoder, &s, &feeds[2], 1);
	sample_free(&s);
}

static void garbage_behind_the_last_frame_fails_where_it_begins(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		unsigned block_id;
		const char *says;
	} garbage[] = {
		{ "x", 1, 4, "trailing garbage" },
		{ "\0\0\0\0", 4, 4, "trailing garbage" },
		{ "\x04\x22\x4D\x19", 4, 4, "trailing garbage" },
		{ "\x28\xB5\x2F\xFD", 4, 4, "trailing garbage" }, /* zstd */
		{ "\xFF\xFF\xFF\x7F", 4, 0, "trailing garbage" }, /* no size of a block either */
		{ "\0\0\0\0", 4, 0, "malformed" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(garbage); i++) {
		const struct lz4_options options = { garbage[i].block_id };
		struct sample s = { .image = test_image(IMAGE_MIXED, 100, 1), .len = 100 };
		size_t end;

		lz4_frame_add(&s.source, s.image, s.len, &options);
		end = s.source.len;
		test_bytes_add(&s.source, garbage[i].bytes, garbage[i].len);
		expect_broken(&lz4_decoder, &s.source, feeds, ARRAY_LEN(feeds), end,
			      garbage[i].says);
		sample_free(&s);
	}
}

static void a_source_of_skippable_frames_alone_is_no_image(void **state)
{
	struct test_bytes source = { 0 };

	(void)state;
	lz4_skippable_add(&source, 3, 100);
	expect_broken(&lz4_decoder, &source, feeds, ARRAY_LEN(feeds), source.len, "truncated");
	test_bytes_free(&source);
}

static void blocks_beyond_the_memory_limit_are_refused_naming_the_option(void **state)
{
	const struct decode_feed feed = { .memory_bytes = 2 * MIB };
	const struct lz4_options options = { 7 };
	struct sample s = { .image = test_image(IMAGE_MIXED, 100, 1), .len = 100 };
	struct decode_result r;

	(void)state;
	lz4_frame_add(&s.source, s.image, s.len, &options);
	r = decode_drive(&lz4_decoder, s.source.data, s.source.len, s.image, s.len, &feed);
	assert_false(r.good);
	assert_int_equal(r.err.code, BMAP_ERR_MEMORY);
	assert_non_null(strstr(r.err.text, "--memory"));
	sample_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_source_cut_short_at_any_byte_fails_at_its_end),
		cmocka_unit_test(a_legacy_frame_cut_short_fails_but_between_blocks),
		cmocka_unit_test(any_flipped_bit_fails_or_changes_nothing),
		cmocka_unit_test(a_header_that_is_not_for_us_is_refused_by_name),
		cmocka_unit_test(lengths_and_checksums_that_do_not_match_are_said),
		cmocka_unit_test(a_wrong_checksum_is_said_unless_it_is_not_to_be_checked),
		cmocka_unit_test(garbage_behind_the_last_frame_fails_where_it_begins),
		cmocka_unit_test(a_source_of_skippable_frames_alone_is_no_image),
		cmocka_unit_test(blocks_beyond_the_memory_limit_are_refused_naming_the_option),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
