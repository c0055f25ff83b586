/* SPDX-License-Identifier: MIT */
/* Good lz4 sources come out as they went in, whatever their shape and however they are fed. */
#include "lz4_make.h"

/* Room for whole blocks of 4 and 8 MiB. */
#define LARGE .ring_bytes = 24 * MIB, .room_max_bytes = 8 * MIB, .input_max_bytes = 9 * MIB

static const struct decode_feed feeds[] = {
	{ .input = FEED_ALL, .room = FEED_ALL },
	{ .input = FEED_LEAST, .room = FEED_LEAST },
	{ .input = FEED_RANDOM, .room = FEED_RANDOM, .seed = 7 },
	{ .input = FEED_RANDOM, .room = FEED_LEAST, .seed = 8, .units = true },
	{ .input = FEED_ALL, .room = FEED_ALL, .units = true, .skip_checksums = true },
	{ .input = FEED_LEAST,
	  .room = FEED_RANDOM,
	  .seed = 9,
	  .units = true,
	  .skip_checksums = true },
	{ LARGE, .input = FEED_RANDOM, .room = FEED_RANDOM, .seed = 10 },
	{ LARGE, .input = FEED_ALL, .units = true, .skip_checksums = true },
	/* blocks gathered here, decoded here, and both */
	{ .input = FEED_RANDOM, .room = FEED_RANDOM, .seed = 11, .input_max_bytes = 4096 },
	{ .input = FEED_RANDOM, .room = FEED_RANDOM, .seed = 12, .room_max_bytes = 1000 },
	{ .input = FEED_RANDOM,
	  .room = FEED_RANDOM,
	  .seed = 13,
	  .input_max_bytes = 4096,
	  .room_max_bytes = 4096,
	  .units = true },
	/* no room for the history of linked blocks */
	{ .input = FEED_ALL, .room = FEED_RANDOM, .seed = 14, .history_max_bytes = 4096 },
	/* a ring that is hardly more than history and one block of 64 KiB: it wraps all the time */
	{ .input = FEED_RANDOM,
	  .room = FEED_RANDOM,
	  .seed = 15,
	  .ring_bytes = 132 * KIB,
	  .history_max_bytes = 64 * KIB,
	  .room_max_bytes = 64 * KIB },
};

static void every_shape_of_frame_decodes_to_the_original(void **state)
{
	static const struct {
		const char *why;
		enum test_image_kind kind;
		size_t len;
		struct lz4_options options;
	} shapes[] = {
		{ "no content", IMAGE_ZEROS, 0, { 4 } },
		{ "no content, all fields", IMAGE_ZEROS, 0, { 7, 0, false, true, true, true } },
		{ "one byte", IMAGE_NOISE, 1, { 4 } },
		{ "64 KiB blocks", IMAGE_MIXED, MIB + 3, { 4 } },
		{ "256 KiB blocks", IMAGE_MIXED, MIB + 3, { 5, .block_checksums = true } },
		{ "1 MiB blocks", IMAGE_MIXED, 3 * MIB + 3, { 6, .content_checksum = true } },
		{ "4 MiB blocks", IMAGE_MIXED, 9 * MIB + 3, { 7, .content_size = true } },
		{ "all fields", IMAGE_MIXED, 2 * MIB, { 4, 0, false, true, true, true } },
		{ "zeros", IMAGE_ZEROS, 9 * MIB, { 7, .content_checksum = true } },
		{ "zeros in small blocks", IMAGE_ZEROS, 2 * MIB, { 4 } },
		{ "noise, so stored", IMAGE_NOISE, MIB + 77, { 4, .block_checksums = true } },
		{ "stored", IMAGE_MIXED, MIB, { 4, .stored = true, .content_checksum = true } },
		{ "linked", IMAGE_MIXED, 3 * MIB, { 4, .linked = true } },
		{ "linked 4 MiB blocks", IMAGE_MIXED, 9 * MIB, { 7, .linked = true } },
		{ "linked zeros", IMAGE_ZEROS, 2 * MIB, { 4, .linked = true } },
		{ "linked, all fields", IMAGE_MIXED, 2 * MIB, { 4, 0, true, true, true, true } },
		{ "linked, some stored",
		  IMAGE_MIXED,
		  2 * MIB,
		  { 4, .linked = true, .store_every = 3 } },
		{ "linked short blocks", IMAGE_MIXED, MIB, { 4, 5003, .linked = true } },
		{ "linked tiny blocks", IMAGE_MIXED, 300000, { 4, 77, .linked = true } },
		{ "short blocks", IMAGE_MIXED, MIB, { 7, 5003 } },
		{ "blocks of a byte", IMAGE_MIXED, 3000, { 4, 1, .block_checksums = true } },
		{ "legacy", IMAGE_MIXED, 9 * MIB, { 0 } },
		{ "legacy, short blocks", IMAGE_MIXED, 2 * MIB, { 0, 300001 } },
		{ "legacy, noise", IMAGE_NOISE, 8 * MIB + 1, { 0 } },
		{ "legacy, zeros", IMAGE_ZEROS, 17 * MIB, { 0 } },
		{ "legacy, one byte", IMAGE_NOISE, 1, { 0 } },
		{ "legacy, no content", IMAGE_NOISE, 0, { 0 } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
		struct sample s = { .image = test_image(shapes[i].kind, shapes[i].len, (uint32_t)i),
				    .len = shapes[i].len };

		print_message("%s\n", shapes[i].why);
		lz4_frame_add(&s.source, s.image, s.len, &shapes[i].options);
		expect_same(&lz4_decoder, &s, feeds, ARRAY_LEN(feeds));
		sample_free(&s);
	}
}

/* What a block's bytes give must not depend on where it came before. */
static void a_repeated_block_of_zeros_is_zeros_only_where_it_is_so_by_itself(void **state)
{
	struct sample s = { .len = 5 * 64 * KIB };
	const struct lz4_options linked = { 4, .linked = true };

	(void)state;
	s.image = calloc(1, s.len);
	memset(s.image + 2 * 64 * KIB, 'x', 100); /* zeros, zeros, others, zeros, zeros */
	lz4_frame_add(&s.source, s.image, s.len, &linked);
	expect_same(&lz4_decoder, &s, feeds, ARRAY_LEN(feeds));
	test_bytes_free(&s.source);
	lz4_frame_add(&s.source, s.image, s.len, &(const struct lz4_options){ 4 });
	expect_same(&lz4_decoder, &s, feeds, ARRAY_LEN(feeds));
	sample_free(&s);
}

static void linked_block_that_repeats_its_bytes_but_not_its_history_is_decoded_anew(void **state)
{
	/* A literal 0, then matches at offset 65535: zeros behind a block of zeros, else not. */
	static const uint8_t reach[] = { 0x1F, 0,    0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
					 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
					 0xFF, 0x10, 0x50, 0,    0,    0,    0,    0 };
	size_t len = 1 + 17 * 255 + 16 + 15 + 4 + 5, big = 64 * KIB;
	struct sample s = { .len = 2 * big + 2 * len };
	uint8_t *zeros = calloc(1, big), *letters = malloc(big);

	(void)state;
	memset(letters, 'x', big);
	s.image = calloc(1, s.len);
	memset(s.image + big + len, 'x', big);
	memset(s.image + 2 * big + len + 1, 'x', len - 6);
	s.image[2 * big + len] = 0;
	/* The match begins 65535 back from behind the literal: at the second letter. */
	lz4_header_add(&s.source, 0x40, 0x40, NULL);
	lz4_block_add(&s.source, zeros, (uint32_t)big, true, false);
	lz4_block_add(&s.source, reach, sizeof(reach), false, false);
	lz4_block_add(&s.source, letters, (uint32_t)big, true, false);
	lz4_block_add(&s.source, reach, sizeof(reach), false, false);
	le32_add(&s.source, 0);
	expect_same(&lz4_decoder, &s, feeds, ARRAY_LEN(feeds));
	free(zeros);
	free(letters);
	sample_free(&s);
}

static void frames_of_all_kinds_are_one_image(void **state)
{
	static const struct lz4_options kinds[] = {
		{ 4 }, { 0 }, { 5, .linked = true }, { 0 }, { 0 }, { 6, .content_checksum = true },
		{ 4 }, { 0 },
	};
	const size_t part = 150001;
	struct sample s = { .len = part * ARRAY_LEN(kinds) };

	(void)state;
	s.image = test_image(IMAGE_MIXED, s.len, 3);
	lz4_skippable_add(&s.source, 10, 9);
	lz4_skippable_add(&s.source, 0, 0);
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		lz4_frame_add(&s.source, s.image + i * part, part, &kinds[i]);
		if (i != 3) /* a legacy frame ends at the next one's magic too */
			lz4_skippable_add(&s.source, (unsigned)i, (uint32_t)i * 1000);
	}
	lz4_skippable_add(&s.source, 15, 2 * MIB); /* more than fits in the input at once */
	lz4_frame_add(&s.source, s.image, 0, &kinds[0]);
	lz4_skippable_add(&s.source, 15, 3);
	expect_same(&lz4_decoder, &s, feeds, ARRAY_LEN(feeds));
	sample_free(&s);
}

static uint64_t units_of(const struct sample *s, bool skip_checksums)
{
	const struct decode_feed feed = { LARGE, .units = true, .skip_checksums = skip_checksums };
	struct decode_result r =
		decode_drive(&lz4_decoder, s->source.data, s->source.len, s->image, s->len, &feed);

	assert_true(r.good && r.same);
	return r.units;
}

static void independent_blocks_become_units(void **state)
{
	static const struct {
		const char *why;
		size_t len;
		struct lz4_options options;
		uint64_t units, checked_units; /* with and without the content checksum to check */
	} cases[] = {
		{ "one a block, header, end mark", 9 * MIB, { 7 }, 3 + 2, 3 + 2 },
		{ "16 small ones together", 5 * MIB, { 4 }, 5 + 2, 5 + 2 },
		{ "short ones too",
		  MIB,
		  { 4, 1024 },
		  16 + 2,
		  16 + 2 }, /* any might have been full */
		{ "legacy, no end mark", 17 * MIB, { 0 }, 3 + 1, 3 + 1 },
		{ "not linked ones", 9 * MIB, { 7, .linked = true }, 0, 0 },
		{ "a content checksum is serial", 9 * MIB, { 7, .content_checksum = true }, 5, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct sample s = { .image = test_image(IMAGE_MIXED, cases[i].len, 4),
				    .len = cases[i].len };
		uint64_t got;

		lz4_frame_add(&s.source, s.image, s.len, &cases[i].options);
		got = units_of(&s, true);
		if (!(cases[i].options.block_bytes ? got > 2 && got < 100 : got == cases[i].units))
			fail_msg("%s: %d units", cases[i].why, (int)got);
		got = units_of(&s, false);
		if (!(cases[i].options.block_bytes ? got > 2 && got < 100
						   : got == cases[i].checked_units))
			fail_msg("%s: %d units with checksums", cases[i].why, (int)got);
		sample_free(&s);
	}
}

/* What cut() says a block will give is what decoding it gives, also for blocks no encoder makes. */
static void a_blocks_length_is_known_without_decoding_it(void **state)
{
	uint32_t random = 99;
	uint8_t *image = test_image(IMAGE_MIXED, 300000, 5), *out = malloc(300000);
	char *block = malloc((size_t)LZ4_compressBound(300000));

	(void)state;
	for (int level = 0; level < 10; level++) {
		int len = level ? LZ4_compress_HC((char *)image, block, 300000,
						  LZ4_compressBound(300000), level)
				: LZ4_compress_default((char *)image, block, 300000,
						       LZ4_compressBound(300000));
		size_t got;

		assert_true(len > 0);
		assert_true(lz4_block_length((uint8_t *)block, (size_t)len, 300000, &got));
		assert_int_equal(got, 300000);
		assert_false(lz4_block_length((uint8_t *)block, (size_t)len, 299999, &got));
		assert_false(lz4_block_length((uint8_t *)block, 0, 300000, &got));
		for (int i = 0; i < 3000; i++) { /* mostly broken: then decoding fails as well */
			size_t at = test_random(&random) % (uint32_t)len, length = 0;
			char was = block[at];
			int decoded;

			block[at] = (char)test_random(&random);
			decoded = LZ4_decompress_safe(block, (char *)out, len, 300000);
			if (decoded >= 0) {
				assert_true(lz4_block_length((uint8_t *)block, (size_t)len, 300000,
							     &length));
				assert_int_equal(length, decoded);
			}
			block[at] = was;
		}
	}
	free(image);
	free(out);
	free(block);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_shape_of_frame_decodes_to_the_original),
		cmocka_unit_test(a_repeated_block_of_zeros_is_zeros_only_where_it_is_so_by_itself),
		cmocka_unit_test(
			linked_block_that_repeats_its_bytes_but_not_its_history_is_decoded_anew),
		cmocka_unit_test(frames_of_all_kinds_are_one_image),
		cmocka_unit_test(independent_blocks_become_units),
		cmocka_unit_test(a_blocks_length_is_known_without_decoding_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
