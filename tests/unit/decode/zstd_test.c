/* SPDX-License-Identifier: MIT */
/* Good zstd sources come out as they went in, whatever their shape and however they are fed. */
#include "decode/decoder_internal.h"
#include "zstd_make.h"

#include <stdlib.h>
#include <string.h>

static const struct decode_feed feeds[] = {
	{ .input = FEED_ALL, .room = FEED_ALL },
	{ .input = FEED_LEAST, .room = FEED_LEAST },
	{ .input = FEED_RANDOM, .room = FEED_RANDOM, .seed = 7 },
	{ .input = FEED_RANDOM, .room = FEED_LEAST, .seed = 8, .units = true },
	{ .input = FEED_LEAST, .room = FEED_RANDOM, .seed = 9, .units = true },
	{ .input = FEED_ALL, .room = FEED_ALL, .units = true, .skip_checksums = true },
	/* no room for any window: the streaming call */
	{ .input = FEED_RANDOM, .room = FEED_RANDOM, .seed = 10, .history_max_bytes = 1 },
	{ .input = FEED_RANDOM, .room = FEED_RANDOM, .seed = 11, .input_max_bytes = 4096 },
	/* a ring that is hardly more than the largest window here and one block */
	{ .room = FEED_RANDOM,
	  .seed = 12,
	  .ring_bytes = 1280 * KIB,
	  .history_max_bytes = 1152 * KIB,
	  .room_max_bytes = 128 * KIB },
};

static void expect_same_whatever_the_feed(const struct test_bytes *source, const uint8_t *image,
					  size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(feeds); i++) {
		struct decode_result r = decode_drive(&zstd_decoder, source->data, source->len,
						      image, len, &feeds[i]);

		if (!r.good || !r.same)
			fail_msg("feed %zu: %s", i, r.good ? "other bytes" : r.err.text);
	}
}

struct shape {
	const char *why;
	enum test_image_kind kind;
	size_t len;
	struct frame_options options;
};

static void every_shape_of_frame_decodes_to_the_original(void **state)
{
	static const struct shape shapes[] = {
		{ "no content", IMAGE_ZEROS, 0, { .level = 3 } },
		{ "no content, no size", IMAGE_ZEROS, 0, { .level = 3, .no_size = true } },
		{ "one byte", IMAGE_NOISE, 1, { .level = 3 } },
		{ "a header of every size: 1 byte", IMAGE_NOISE, 255, { .level = 3 } },
		{ "2 bytes", IMAGE_NOISE, 256, { .level = 3 } },
		{ "2 bytes, largest", IMAGE_NOISE, 65791, { .level = 3 } },
		{ "4 bytes", IMAGE_MIXED, 65792, { .level = 3 } },
		{ "RLE blocks", IMAGE_ZEROS, 1 * MIB, { .level = 3 } },
		{ "raw blocks", IMAGE_NOISE, 1 * MIB + 3, { .level = 3 } },
		{ "fast", IMAGE_MIXED, 1 * MIB, { .level = 1 } },
		{ "strong", IMAGE_MIXED, 1 * MIB, { .level = 19 } },
		{ "uncompressed literals", IMAGE_MIXED, 1 * MIB, { .level = -50 } },
		{ "no checksum", IMAGE_MIXED, 1 * MIB, { .level = 3, .no_checksum = true } },
		{ "no size", IMAGE_MIXED, 1 * MIB, { .level = 3, .no_size = true } },
		{ "small window", IMAGE_MIXED, 300000, { .level = 3, .window_log = 10 } },
		{ "block maximum below 128 KiB",
		  IMAGE_MIXED,
		  MIB,
		  { .level = 9, .window_log = 14 } },
		{ "window of 1 MiB in a ring of 4 MiB",
		  IMAGE_MIXED,
		  9 * MIB,
		  { .level = 5, .window_log = 20 } },
		{ "many tiny blocks", IMAGE_MIXED, 100000, { .level = 3, .block_bytes = 7 } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
		const struct shape *s = &shapes[i];
		uint8_t *image = test_image(s->kind, s->len, (uint32_t)i);
		struct test_bytes source = { 0 };

		print_message("%s\n", s->why);
		frame_add(&source, image, s->len, &s->options);
		expect_same_whatever_the_feed(&source, image, s->len);
		test_bytes_free(&source);
		free(image);
	}
}

static void frames_and_skippable_frames_are_one_image(void **state)
{
	static const size_t parts[] = { 1, 0, 300000, 4096, 200000, 70000 };
	const struct frame_options options = { .level = 3 };
	const struct frame_options unknown = { .level = 3, .no_size = true };
	struct test_bytes source = { 0 };
	size_t len = 0, at = 0;
	uint8_t *image;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		len += parts[i];
	image = test_image(IMAGE_MIXED, len, 3);
	skippable_add(&source, 10, 9);
	skippable_add(&source, 0, 0);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		frame_add(&source, image + at, parts[i], i == 3 ? &unknown : &options);
		at += parts[i];
		skippable_add(&source, (unsigned)i, (uint32_t)i * 1000);
	}
	skippable_add(&source, 15, 2 * MIB); /* more than fits in the input at once */
	frame_add(&source, image, 0, &options);
	skippable_add(&source, 15, 3);
	expect_same_whatever_the_feed(&source, image, len);
	test_bytes_free(&source);
	free(image);
}

static void whole_small_frames_become_units(void **state)
{
	const struct decode_feed feed = { .units = true };
	const struct frame_options options = { .level = 3 };
	const size_t part = 100000, parts = 9;
	uint8_t *image = test_image(IMAGE_MIXED, part * parts, 4);
	struct test_bytes source = { 0 };
	struct decode_result r;

	(void)state;
	for (size_t i = 0; i < parts; i++) {
		skippable_add(&source, 1, 20);
		frame_add(&source, image + i * part, part, &options);
	}
	skippable_add(&source, 1, 20);
	r = decode_drive(&zstd_decoder, source.data, source.len, image, part * parts, &feed);
	assert_true(r.good && r.same);
	assert_int_equal(r.units, parts + 1); /* and the skippable frame behind them */
	test_bytes_free(&source);
	free(image);
}

/* Else a frame of 1 MiB that arrives in pieces would be walked over and over. */
static void cutting_asks_for_input_in_growing_steps(void **state)
{
	const struct decode_feed feed = { .units = true, .input = FEED_LEAST };
	const struct frame_options options = { .level = 1, .block_bytes = 1000 };
	uint8_t *image = test_image(IMAGE_NOISE, 900000, 5);
	struct test_bytes source = { 0 };
	struct decode_result r;

	(void)state;
	frame_add(&source, image, 900000, &options);
	r = decode_drive(&zstd_decoder, source.data, source.len, image, 900000, &feed);
	assert_true(r.good && r.same);
	assert_int_equal(r.units, 1);
	assert_in_range(r.calls, 2, 30);
	test_bytes_free(&source);
	free(image);
}

static struct decoder *open_decoder(void)
{
	const struct decoder_limits limits = { .name = "x",
					       .history_max_bytes = 8 * MIB,
					       .room_max_bytes = 64 * MIB,
					       .input_max_bytes = 4 * MIB,
					       .memory_bytes = 64 * MIB };
	struct decoder *d = zstd_decoder.open(&limits, NULL);

	assert_non_null(d);
	return d;
}

static void large_frames_and_frames_of_unknown_size_are_serial_by_their_header(void **state)
{
	static const uint8_t unknown[] = { 0x28, 0xB5, 0x2F, 0xFD, 0x04, 0x58 };
	static const uint8_t large[] = { 0x28, 0xB5, 0x2F, 0xFD, 0x84, 0x58, 1, 0, 0, 2 };
	static const uint8_t fits[] = { 0x28, 0xB5, 0x2F, 0xFD, 0x84, 0x58, 0, 0, 0, 2 };
	struct in_span in = { unknown, sizeof(unknown), false };
	struct decoder *d = open_decoder();
	struct decode_unit unit;

	(void)state;
	assert_int_equal(zstd_decoder.cut(d, &in, &unit, NULL), CUT_SERIAL);
	in = (struct in_span){ large, sizeof(large), false };
	assert_int_equal(zstd_decoder.cut(d, &in, &unit, NULL), CUT_SERIAL);
	in = (struct in_span){ fits, sizeof(fits), false };
	assert_int_equal(zstd_decoder.cut(d, &in, &unit, NULL), CUT_INPUT);
	zstd_decoder.close(d);
}

/* As zstd --long=27 makes it from a pipe. */
static void a_window_of_128_mib_decodes_within_256_mib_of_memory(void **state)
{
	const struct frame_options options = {
		.level = 1, .window_log = 27, .no_size = true, .block_bytes = MIB
	};
	const struct decode_feed feed = { .input = FEED_RANDOM, .room = FEED_ALL };
	uint8_t *image = test_image(IMAGE_MIXED, 5 * MIB, 6);
	struct test_bytes source = { 0 };
	struct decoder_plan plan;
	struct decode_result r;

	(void)state;
	frame_add(&source, image, 5 * MIB, &options);
	assert_true(zstd_decoder.plan(source.data, source.len, &plan, NULL));
	assert_int_equal(plan.history_bytes, 128 * MIB);
	r = decode_drive(&zstd_decoder, source.data, source.len, image, 5 * MIB, &feed);
	if (!r.good || !r.same)
		fail_msg("%s", r.good ? "other bytes" : r.err.text);
	assert_int_equal(r.peak_history_bytes, 0);
	test_bytes_free(&source);
	free(image);
}

static void a_known_size_bounds_the_history(void **state)
{
	const struct frame_options options = { .level = 1, .window_log = 20 };
	uint8_t *image = test_image(IMAGE_MIXED, 3 * MIB, 6);
	struct test_bytes source = { 0 };
	struct decoder_plan plan;
	const struct decode_feed feed = { .room = FEED_LEAST };
	struct decode_result r;

	(void)state;
	skippable_add(&source, 0, 100);
	frame_add(&source, image, 3 * MIB, &options);
	assert_true(zstd_decoder.plan(source.data, source.len, &plan, NULL));
	assert_int_equal(plan.history_bytes, 1 * MIB);
	assert_int_equal(plan.unit_bytes, 3 * MIB);
	assert_int_equal(plan.image_bytes, 0); /* more frames may follow */
	r = decode_drive(&zstd_decoder, source.data, source.len, image, 3 * MIB, &feed);
	assert_true(r.good && r.same);
	assert_int_equal(r.peak_history_bytes, HAVE_ZSTD_BLOCKS ? 1 * MIB : 0);
	test_bytes_free(&source);
	frame_add(&source, image, 50000, &options);
	assert_true(zstd_decoder.plan(source.data, source.len, &plan, NULL));
	assert_int_equal(plan.history_bytes, 50000);
	test_bytes_free(&source);
	free(image);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_shape_of_frame_decodes_to_the_original),
		cmocka_unit_test(frames_and_skippable_frames_are_one_image),
		cmocka_unit_test(whole_small_frames_become_units),
		cmocka_unit_test(cutting_asks_for_input_in_growing_steps),
		cmocka_unit_test(
			large_frames_and_frames_of_unknown_size_are_serial_by_their_header),
		cmocka_unit_test(a_window_of_128_mib_decodes_within_256_mib_of_memory),
		cmocka_unit_test(a_known_size_bounds_the_history),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
