/* SPDX-License-Identifier: MIT */
/* Broken zstd sources fail with the offset, and never do worse. */
#include "decode/decoder_internal.h"
#include "zstd_make.h"

#include <stdlib.h>
#include <string.h>

/* Small memory: there are many of these. */
#define SMALL                                                                                      \
	.ring_bytes = 384 * KIB, .history_max_bytes = 128 * KIB, .room_max_bytes = 160 * KIB,      \
	.input_max_bytes = 160 * KIB
static const struct decode_feed feeds[] = {
	{ SMALL, .input = FEED_ALL, .room = FEED_LEAST },
	{ SMALL, .input = FEED_LEAST, .room = FEED_LEAST },
	{ SMALL, .input = FEED_ALL, .room = FEED_LEAST, .units = true },
	{ SMALL, .input = FEED_LEAST, .room = FEED_LEAST, .units = true, .skip_checksums = true },
	{ .ring_bytes = 64 * KIB,
	  .history_max_bytes = 1,
	  .room_max_bytes = 16 * KIB,
	  .input_max_bytes = 16 * KIB,
	  .room = FEED_RANDOM }, /* the streaming call */
};

#define IMAGE_BYTES 600u

struct small { /* two frames with a skippable one between */
	uint8_t *image;
	struct test_bytes source;
	size_t first_end, second_begin;
};

static struct small small_new(bool no_size)
{
	const struct frame_options options = { .level = 3, .no_size = no_size };
	struct small s = { .image = test_image(IMAGE_MIXED, IMAGE_BYTES, 77) };

	frame_add(&s.source, s.image, 400, &options);
	s.first_end = s.source.len;
	skippable_add(&s.source, 3, 5);
	s.second_begin = s.source.len;
	frame_add(&s.source, s.image + 400, 200, &options);
	return s;
}

static void small_free(struct small *s)
{
	test_bytes_free(&s->source);
	free(s->image);
}

static struct decode_result decode(const struct test_bytes *source, size_t len,
				   const struct small *s, size_t feed)
{
	return decode_drive(&zstd_decoder, source->data, len, s->image, IMAGE_BYTES, &feeds[feed]);
}

static void a_source_cut_short_at_any_byte_fails_at_its_end(void **state)
{
	(void)state;
	for (int no_size = 0; no_size < 2; no_size++) {
		struct small s = small_new(no_size);

		for (size_t len = 0; len < s.source.len; len++) {
			/* The format cannot tell that a frame is missing. */
			bool whole = len == s.first_end || len == s.second_begin;

			for (size_t i = 0; i < ARRAY_LEN(feeds); i++) {
				struct decode_result r = decode(&s.source, len, &s, i);

				assert_int_equal(r.good, whole);
				if (whole)
					continue;
				assert_int_equal(r.err.code, BMAP_ERR_DATA);
				assert_int_equal(r.err.offset_bytes, len);
				assert_non_null(strstr(r.err.text, "truncated"));
			}
		}
		small_free(&s);
	}
}

static void any_flipped_bit_fails_or_changes_nothing(void **state)
{
	struct small s = small_new(false);

	(void)state;
	for (size_t bit = 0; bit < s.source.len * 8; bit++) {
		s.source.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		for (size_t i = 0; i < ARRAY_LEN(feeds); i++) {
			struct decode_result r = decode(&s.source, s.source.len, &s, i);

			/* Without the checksums other bytes may come out; no worse. */
			if (r.good && !feeds[i].skip_checksums)
				assert_true(r.same);
		}
		s.source.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	small_free(&s);
}

static void garbage_behind_the_last_frame_fails_where_it_begins(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
	} garbage[] = {
		{ "\0", 1 },           { "\0\0\0\0\0\0\0\0", 8 }, { "x", 1 },
		{ "\x28\xB5\x30", 3 }, { "GARBAGE", 7 },          { "\x1F\x8B\x08\0", 4 },
	};
	struct small s = small_new(false);

	(void)state;
	for (size_t g = 0; g < ARRAY_LEN(garbage); g++) {
		struct test_bytes source = { 0 };

		test_bytes_add(&source, s.source.data, s.source.len);
		test_bytes_add(&source, garbage[g].bytes, garbage[g].len);
		for (size_t i = 0; i < ARRAY_LEN(feeds); i++) {
			struct decode_result r = decode(&source, source.len, &s, i);

			assert_false(r.good);
			assert_true(r.same);
			assert_int_equal(r.image_bytes, IMAGE_BYTES);
			assert_int_equal(r.err.offset_bytes, s.source.len);
			assert_non_null(strstr(r.err.text, "trailing garbage"));
		}
		test_bytes_free(&source);
	}
	small_free(&s);
}

static void more_or_less_than_the_declared_size_fails(void **state)
{
	static const int off_by[] = { -200, -1, 1, 100 };
	struct small s = small_new(false);

	(void)state;
	assert_int_equal(s.source.data[4] >> 6, 1); /* the size has 2 bytes, from 256 up */
	for (size_t o = 0; o < ARRAY_LEN(off_by); o++) {
		unsigned declared = (unsigned)(400 - 256 + off_by[o]);

		if (400 + off_by[o] < 256)
			declared = 0;
		s.source.data[5] = (uint8_t)declared;
		s.source.data[6] = (uint8_t)(declared >> 8);
		for (size_t i = 0; i < ARRAY_LEN(feeds); i++)
			assert_false(decode(&s.source, s.source.len, &s, i).good);
	}
	small_free(&s);
}

static struct decode_result decode_bytes(const void *bytes, size_t len, size_t feed)
{
	return decode_drive(&zstd_decoder, bytes, len, (const uint8_t *)"", 0, &feeds[feed]);
}

static void what_is_not_supported_is_refused_by_name(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		const char *says;
	} refused[] = {
		{ "\x28\xB5\x2F\xFD\x01\x58\x07\x01\0\0", 10, "dictionary" },
		{ "\x28\xB5\x2F\xFD\x23\x07\0\0\0\x01\x01\0\0", 13, "dictionary" },
		{ "\x28\xB5\x2F\xFD\x08\x58\x01\0\0", 9, "reserved" },
		{ "\x27\xB5\x2F\xFD\x04\x58\x01\0\0", 9, "legacy" },
		{ "\x22\xB5\x2F\xFD\x04\x58\x01\0\0", 9, "legacy" },
		{ "\x1E\xB5\x2F\xFD\x04\x58\x01\0\0", 9, "legacy" },
	};

	(void)state;
	for (size_t n = 0; n < ARRAY_LEN(refused); n++) {
		struct decoder_plan plan;
		struct bmap_error err;

		assert_true(zstd_decoder.probe((const uint8_t *)refused[n].bytes, refused[n].len));
		assert_false(zstd_decoder.plan((const uint8_t *)refused[n].bytes, refused[n].len,
					       &plan, &err));
		assert_non_null(strstr(err.text, refused[n].says));
		for (size_t i = 0; i < ARRAY_LEN(feeds); i++) {
			struct decode_result r = decode_bytes(refused[n].bytes, refused[n].len, i);

			assert_false(r.good);
			assert_non_null(strstr(r.err.text, refused[n].says));
			assert_non_null(strstr(r.err.text, "offset 0"));
		}
	}
}

/* zstd --long=31, and single segments that claim to be huge. */
static void a_window_beyond_the_memory_limit_is_refused_naming_the_option(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		const char *says;
	} windows[] = {
		{ "\x28\xB5\x2F\xFD\x04\xA8\x01\0\0", 9, "2048 MiB" },
		{ "\x28\xB5\x2F\xFD\x04\x90\x01\0\0", 9, "256 MiB" },
		{ "\x28\xB5\x2F\xFD\xA0\0\0\0\x40\x01\0\0", 12, "1024 MiB" },
		{ "\x28\xB5\x2F\xFD\xE0\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFE\x01\0\0", 16, "MiB" },
		{ "\x28\xB5\x2F\xFD\x04\xFF\x01\0\0", 9, "3932160 MiB" },
	};

	(void)state;
	for (size_t n = 0; n < ARRAY_LEN(windows); n++)
		for (size_t i = 0; i < ARRAY_LEN(feeds); i++) {
			struct decode_result r = decode_bytes(windows[n].bytes, windows[n].len, i);

			assert_false(r.good);
			assert_int_equal(r.err.code, BMAP_ERR_MEMORY);
			assert_non_null(strstr(r.err.text, windows[n].says));
			assert_non_null(strstr(r.err.text, "--memory"));
		}
}

static void a_source_of_nothing_but_skippable_frames_is_no_image(void **state)
{
	struct test_bytes source = { 0 };

	(void)state;
	skippable_add(&source, 0, 7);
	for (size_t i = 0; i < ARRAY_LEN(feeds); i++)
		assert_false(decode_bytes(source.data, source.len, i).good);
	test_bytes_free(&source);
}

/* 128 KiB from 4 bytes, a million times over: all that it gets is the room it was given. */
static void a_bomb_fills_the_room_and_waits(void **state)
{
	static const uint8_t head[] = { 0x28, 0xB5, 0x2F, 0xFD, 0x00, 0x38 }; /* 128 KiB window */
	const struct decoder_limits limits = { .name = "x",
					       .history_max_bytes = MIB,
					       .room_max_bytes = MIB,
					       .input_max_bytes = MIB,
					       .memory_bytes = MIB };
	struct test_bytes source = { 0 };
	struct decoder *d = zstd_decoder.open(&limits, NULL);
	uint8_t *room = malloc(2 * MIB);
	struct out_span out = { room, 2 * MIB };
	struct in_span in;

	(void)state;
	test_bytes_add(&source, head, sizeof(head));
	for (int i = 0; i < 1000; i++) /* RLE block of 131072 zeros */
		test_bytes_add(&source, "\x02\x00\x10\x00", 4);
	in = (struct in_span){ source.data, source.len, false };
	assert_int_equal(zstd_decoder.step(d, &in, &out, NULL), DECODE_ROOM);
	assert_int_equal(out.room, 0);
	assert_int_equal(d->image_offset, 2 * MIB);
	zstd_decoder.close(d);
	test_bytes_free(&source);
	free(room);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_source_cut_short_at_any_byte_fails_at_its_end),
		cmocka_unit_test(any_flipped_bit_fails_or_changes_nothing),
		cmocka_unit_test(garbage_behind_the_last_frame_fails_where_it_begins),
		cmocka_unit_test(more_or_less_than_the_declared_size_fails),
		cmocka_unit_test(what_is_not_supported_is_refused_by_name),
		cmocka_unit_test(a_window_beyond_the_memory_limit_is_refused_naming_the_option),
		cmocka_unit_test(a_source_of_nothing_but_skippable_frames_is_no_image),
		cmocka_unit_test(a_bomb_fills_the_room_and_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
