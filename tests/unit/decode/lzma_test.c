/* SPDX-License-Identifier: MIT */
#include "decode/decoder_internal.h"
#include "decode_driver.h"
#include "unit_test.h"

#include <lzma.h>
#include <stdlib.h>
#include <string.h>

#define SMALL .ring_bytes = 64 * KIB, .history_max_bytes = 1, .input_max_bytes = 64 * KIB
static const struct decode_feed feeds[] = {
	{ .input = FEED_ALL, .room = FEED_ALL },
	{ SMALL, .input = FEED_LEAST, .room = FEED_RANDOM, .seed = 3, .room_max_bytes = 100 },
	{ SMALL, .input = FEED_RANDOM, .room = FEED_LEAST, .seed = 5, .room_max_bytes = 7 },
};

static struct test_bytes pack(const uint8_t *data, size_t len, uint32_t preset)
{
	lzma_options_lzma options;
	lzma_stream lzma = LZMA_STREAM_INIT;
	struct test_bytes out = { 0 };
	size_t bound = len * 2 + 4096;

	assert_false(lzma_lzma_preset(&options, preset));
	assert_int_equal(lzma_alone_encoder(&lzma, &options), LZMA_OK);
	lzma.next_in = data;
	lzma.avail_in = len;
	lzma.next_out = test_bytes_room(&out, bound);
	lzma.avail_out = bound;
	assert_int_equal(lzma_code(&lzma, LZMA_FINISH), LZMA_STREAM_END);
	out.len += bound - lzma.avail_out;
	lzma_end(&lzma);
	return out;
}

static struct decode_result decode(const struct test_bytes *source, size_t len,
				   const uint8_t *image, size_t image_len, size_t feed)
{
	return decode_drive(&lzma_decoder, source->data, len, image, image_len, &feeds[feed]);
}

static void every_stream_decodes_to_the_original(void **state)
{
	static const struct {
		enum test_image_kind kind;
		size_t len;
		uint32_t preset;
	} streams[] = {
		{ IMAGE_NOISE, 1, 0 },
		{ IMAGE_ZEROS, MIB, 1 },
		{ IMAGE_NOISE, 100000, 6 },
		{ IMAGE_MIXED, 200000, 9 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(streams); i++) {
		uint8_t *image = test_image(streams[i].kind, streams[i].len, (uint32_t)i);
		struct test_bytes source = pack(image, streams[i].len, streams[i].preset);

		assert_ptr_equal(decoder_detect(source.data, source.len), &lzma_decoder);
		for (size_t f = 0; f < ARRAY_LEN(feeds); f++) {
			struct decode_result r =
				decode(&source, source.len, image, streams[i].len, f);

			if (!r.good || !r.same)
				fail_msg("%zu, feed %zu: %s", i, f, r.good ? "bytes" : r.err.text);
		}
		test_bytes_free(&source);
		free(image);
	}
}

static void a_stream_cut_short_or_with_garbage_behind_it_fails(void **state)
{
	uint8_t *image = test_image(IMAGE_MIXED, 20000, 9);
	struct test_bytes source = pack(image, 20000, 0);

	(void)state;
	for (size_t len = 14; len < source.len; len++)
		assert_false(decode(&source, len, image, 20000, len % ARRAY_LEN(feeds)).good);
	test_bytes_add(&source, (const uint8_t *)"x", 1);
	for (size_t f = 0; f < ARRAY_LEN(feeds); f++) {
		struct decode_result r = decode(&source, source.len, image, 20000, f);

		assert_false(r.good);
		assert_non_null(strstr(r.err.text, "trailing garbage"));
	}
	test_bytes_free(&source);
	free(image);
}

static void what_only_begins_like_one_is_not_taken_for_one(void **state)
{
	static const uint8_t good[] = { 0x5D, 0,   0,   0x80, 0,   255, 255, 255,
					255,  255, 255, 255,  255, 0,   1 };
	static const struct {
		size_t at;
		uint8_t value;
	} changes[] = { { 0, 0x5E }, { 3, 0x81 }, { 12, 0x10 }, { 13, 1 } };

	(void)state;
	assert_true(lzma_decoder.probe(good, sizeof(good)));
	assert_false(lzma_decoder.probe(good, 13));
	for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
		uint8_t head[sizeof(good)];

		memcpy(head, good, sizeof(head));
		head[changes[i].at] = changes[i].value;
		assert_false(lzma_decoder.probe(head, sizeof(head)));
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_stream_decodes_to_the_original),
		cmocka_unit_test(a_stream_cut_short_or_with_garbage_behind_it_fails),
		cmocka_unit_test(what_only_begins_like_one_is_not_taken_for_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
