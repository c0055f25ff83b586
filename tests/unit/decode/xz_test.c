/* SPDX-License-Identifier: MIT */
#include "decode/decoder_internal.h"
#include "decode_driver.h"
#include "unit_test.h"

#include <lzma.h>
#include <stdlib.h>
#include <string.h>

static const struct decode_feed feeds[] = {
	{ .input = FEED_ALL, .room = FEED_ALL },
	{ .input = FEED_LEAST, .room = FEED_RANDOM, .seed = 3, .room_max_bytes = 100 },
	{ .input = FEED_RANDOM, .room = FEED_LEAST, .seed = 5 },
	{ .input = FEED_ALL, .room = FEED_ALL, .units = true },
	{ .input = FEED_LEAST, .room = FEED_RANDOM, .seed = 6, .units = true },
};

/* Small memory: there are many of these. */
#define SMALL .ring_bytes = 64 * KIB, .history_max_bytes = 1, .input_max_bytes = 64 * KIB
static const struct decode_feed small_feeds[] = {
	{ SMALL, .input = FEED_ALL, .room = FEED_ALL, .room_max_bytes = 1 },
	{ SMALL, .input = FEED_LEAST, .room = FEED_LEAST, .room_max_bytes = 7 },
	{ SMALL, .input = FEED_LEAST, .room = FEED_ALL, .room_max_bytes = 32768, .units = true },
};

static void stream_add(struct test_bytes *to, const uint8_t *data, size_t len, uint32_t preset,
		       lzma_check check, uint64_t block_bytes)
{
	lzma_mt mt = { .preset = preset, .check = check, .threads = 1, .block_size = block_bytes };
	size_t bound = lzma_stream_buffer_bound(len) + 4096;
	lzma_stream lzma = LZMA_STREAM_INIT;

	if (block_bytes) /* with sizes in the block headers */
		assert_int_equal(lzma_stream_encoder_mt(&lzma, &mt), LZMA_OK);
	else
		assert_int_equal(lzma_easy_encoder(&lzma, preset, check), LZMA_OK);
	lzma.next_in = data;
	lzma.avail_in = len;
	lzma.next_out = test_bytes_room(to, bound);
	lzma.avail_out = bound;
	assert_int_equal(lzma_code(&lzma, LZMA_FINISH), LZMA_STREAM_END);
	to->len += bound - lzma.avail_out;
	lzma_end(&lzma);
}

static void expect_same(const struct test_bytes *source, const uint8_t *image, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(feeds); i++) {
		struct decode_result r =
			decode_drive(&xz_decoder, source->data, source->len, image, len, &feeds[i]);

		if (!r.good || !r.same)
			fail_msg("feed %zu: %s", i, r.good ? "other bytes" : r.err.text);
	}
}

static void every_kind_of_stream_decodes_to_the_original(void **state)
{
	static const struct {
		const char *why;
		enum test_image_kind kind;
		size_t len;
		uint32_t preset;
		lzma_check check;
		uint64_t block_bytes;
	} streams[] = {
		{ "no content", IMAGE_ZEROS, 0, 0, LZMA_CHECK_CRC64, 0 },
		{ "one byte", IMAGE_NOISE, 1, 0, LZMA_CHECK_CRC64, 0 },
		{ "zeros", IMAGE_ZEROS, 2 * MIB, 0, LZMA_CHECK_CRC32, 0 },
		{ "noise", IMAGE_NOISE, 300000, 0, LZMA_CHECK_CRC32, 0 },
		{ "no check", IMAGE_MIXED, 300000, 1, LZMA_CHECK_NONE, 0 },
		{ "SHA-256", IMAGE_MIXED, 300000, 6, LZMA_CHECK_SHA256, 0 },
		{ "blocks of zeros", IMAGE_ZEROS, 500000, 0, LZMA_CHECK_CRC64, 65536 },
		{ "several blocks", IMAGE_MIXED, 1 * MIB, 0, LZMA_CHECK_CRC64, 65536 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(streams); i++) {
		uint8_t *image = test_image(streams[i].kind, streams[i].len, (uint32_t)i);
		struct test_bytes source = { 0 };

		print_message("%s\n", streams[i].why);
		stream_add(&source, image, streams[i].len, streams[i].preset, streams[i].check,
			   streams[i].block_bytes);
		expect_same(&source, image, streams[i].len);
		test_bytes_free(&source);
		free(image);
	}
}

#define IMAGE_BYTES 500u

struct small { /* two streams, 8 bytes of padding behind each */
	uint8_t *image;
	struct test_bytes source;
	size_t first_end, last_end;
};

static struct small small_new(void)
{
	struct small s = { .image = test_image(IMAGE_MIXED, IMAGE_BYTES, 79) };

	stream_add(&s.source, s.image, 300, 0, LZMA_CHECK_CRC32, 0);
	s.first_end = s.source.len;
	test_bytes_add(&s.source, "\0\0\0\0\0\0\0\0", 8);
	stream_add(&s.source, s.image + 300, 200, 0, LZMA_CHECK_CRC64, 0);
	s.last_end = s.source.len;
	test_bytes_add(&s.source, "\0\0\0\0\0\0\0\0", 8);
	return s;
}

static void small_free(struct small *s)
{
	test_bytes_free(&s->source);
	free(s->image);
}

static struct decode_result decode(size_t feed, const struct small *s,
				   const struct test_bytes *source, size_t len)
{
	return decode_drive(&xz_decoder, source->data, len, s->image, IMAGE_BYTES,
			    &small_feeds[feed]);
}

static void streams_and_padding_are_one_image(void **state)
{
	struct small s = small_new();

	(void)state;
	expect_same(&s.source, s.image, IMAGE_BYTES);
	s.source.len -= 4;
	expect_same(&s.source, s.image, IMAGE_BYTES);
	s.source.len -= 4;
	expect_same(&s.source, s.image, IMAGE_BYTES);
	small_free(&s);
}

static bool whole_at(const struct small *s, size_t len)
{
	return len == s->first_end || len == s->first_end + 4 || len == s->first_end + 8 ||
	       len == s->last_end || len == s->last_end + 4;
}

static void a_source_cut_short_at_any_byte_fails_at_its_end(void **state)
{
	struct small s = small_new();

	(void)state;
	for (size_t len = 0; len < s.source.len; len++)
		for (size_t i = 0; i < ARRAY_LEN(small_feeds); i++) {
			struct decode_result r = decode(i, &s, &s.source, len);

			assert_int_equal(r.good, whole_at(&s, len));
			if (r.good)
				continue;
			assert_int_equal(r.err.offset_bytes, len);
			assert_non_null(strstr(r.err.text, len > s.last_end ? "padding" : ""));
		}
	small_free(&s);
}

static void any_flipped_bit_fails_or_changes_nothing(void **state)
{
	struct small s = small_new();

	(void)state;
	for (size_t bit = 0; bit < s.source.len * 8; bit++) {
		s.source.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		for (size_t i = 0; i < ARRAY_LEN(small_feeds); i++) {
			struct decode_result r = decode(i, &s, &s.source, s.source.len);

			if (r.good)
				assert_true(r.same);
		}
		s.source.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	small_free(&s);
}

static void garbage_behind_the_last_stream_fails_where_it_begins(void **state)
{
	static const struct {
		const char *bytes;
		size_t len, at;
		const char *says;
	} garbage[] = {
		{ "x", 1, 0, "trailing garbage" },
		{ "\0\0\0\0x", 5, 4, "trailing garbage" },
		{ "\0\0\0", 3, 3, "padding" },
		{ "\0\xFD"
		  "7zXZ\0",
		  7, 1, "padding" },
		{ "\xFD"
		  "7zXY\0\0\0\0\0\0\0",
		  12, 12, "trailing garbage" },
	};
	struct small s = small_new();

	(void)state;
	for (size_t g = 0; g < ARRAY_LEN(garbage); g++) {
		struct test_bytes source = { 0 };

		test_bytes_add(&source, s.source.data, s.source.len);
		test_bytes_add(&source, garbage[g].bytes, garbage[g].len);
		for (size_t i = 0; i < ARRAY_LEN(small_feeds); i++) {
			struct decode_result r = decode(i, &s, &source, source.len);

			assert_false(r.good);
			assert_int_equal(r.image_bytes, IMAGE_BYTES);
			assert_in_range(r.err.offset_bytes, s.source.len,
					s.source.len + garbage[g].at);
			assert_non_null(strstr(r.err.text, garbage[g].says));
		}
		test_bytes_free(&source);
	}
	small_free(&s);
}

static void a_dictionary_beyond_the_memory_limit_is_refused_naming_the_option(void **state)
{
	const struct decode_feed feed = { .memory_bytes = 8 * MIB };
	struct test_bytes source = { 0 };
	struct decode_result r;

	(void)state;
	stream_add(&source, (const uint8_t *)"x", 1, 6, LZMA_CHECK_CRC32, 0);
	r = decode_drive(&xz_decoder, source.data, source.len, (const uint8_t *)"x", 1, &feed);
	assert_false(r.good);
	assert_int_equal(r.err.code, BMAP_ERR_MEMORY);
	assert_non_null(strstr(r.err.text, "--memory"));
	test_bytes_free(&source);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_of_stream_decodes_to_the_original),
		cmocka_unit_test(streams_and_padding_are_one_image),
		cmocka_unit_test(a_source_cut_short_at_any_byte_fails_at_its_end),
		cmocka_unit_test(any_flipped_bit_fails_or_changes_nothing),
		cmocka_unit_test(garbage_behind_the_last_stream_fails_where_it_begins),
		cmocka_unit_test(a_dictionary_beyond_the_memory_limit_is_refused_naming_the_option),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
