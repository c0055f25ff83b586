/* SPDX-License-Identifier: MIT */
#include "decode/decoder_internal.h"
#include "decode_feeds.h"

#include <bzlib.h>

static const struct decode_feed feeds[] = {
	{ .input = FEED_ALL, .room = FEED_ALL },
	{ .input = FEED_LEAST, .room = FEED_RANDOM, .seed = 3, .room_max_bytes = 100 },
	{ .input = FEED_RANDOM, .room = FEED_LEAST, .seed = 5 },
};

/* Small memory: there are many of these. */
#define SMALL .ring_bytes = 64 * KIB, .history_max_bytes = 1, .input_max_bytes = 64 * KIB
static const struct decode_feed small_feeds[] = {
	{ SMALL, .input = FEED_ALL, .room = FEED_ALL, .room_max_bytes = 1 },
	{ SMALL, .input = FEED_LEAST, .room = FEED_LEAST, .room_max_bytes = 7 },
};

static void stream_add(struct test_bytes *to, const uint8_t *data, size_t len, int level)
{
	unsigned got = (unsigned)(len + len / 100 + 600);
	uint8_t *room = test_bytes_room(to, got);

	assert_int_equal(BZ2_bzBuffToBuffCompress((char *)room, &got, (char *)data, (unsigned)len,
						  level, 0, 0),
			 BZ_OK);
	to->len += got;
}

static void every_kind_of_stream_decodes_to_the_original(void **state)
{
	static const struct {
		const char *why;
		enum test_image_kind kind;
		size_t len;
		int level;
	} streams[] = {
		{ "no content", IMAGE_ZEROS, 0, 9 },
		{ "one byte", IMAGE_NOISE, 1, 1 },
		{ "zeros: a block of megabytes", IMAGE_ZEROS, 6 * MIB, 1 },
		{ "noise", IMAGE_NOISE, 300000, 9 },
		{ "several blocks", IMAGE_MIXED, 1 * MIB, 1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(streams); i++) {
		struct sample s = { .image = test_image(streams[i].kind, streams[i].len,
							(uint32_t)i),
				    .len = streams[i].len };

		print_message("%s\n", streams[i].why);
		stream_add(&s.source, s.image, s.len, streams[i].level);
		expect_same(&bzip2_decoder, &s, feeds, ARRAY_LEN(feeds));
		sample_free(&s);
	}
}

#define IMAGE_BYTES 500u

/* Two streams; the empty one behind them changes nothing. */
static struct sample small_new(size_t *first_end)
{
	struct sample s = { .image = test_image(IMAGE_MIXED, IMAGE_BYTES, 79), .len = IMAGE_BYTES };

	stream_add(&s.source, s.image, 300, 9);
	*first_end = s.source.len;
	stream_add(&s.source, s.image + 300, 200, 1);
	return s;
}

static void streams_behind_each_other_are_one_image(void **state)
{
	size_t end;
	struct sample s = small_new(&end);

	(void)state;
	expect_same(&bzip2_decoder, &s, feeds, ARRAY_LEN(feeds));
	stream_add(&s.source, s.image, 0, 9);
	expect_same(&bzip2_decoder, &s, feeds, ARRAY_LEN(feeds));
	sample_free(&s);
}

static void a_source_cut_short_at_any_byte_fails_at_its_end(void **state)
{
	size_t end;
	struct sample s = small_new(&end);

	(void)state;
	expect_truncation_fails(&bzip2_decoder, &s, small_feeds, ARRAY_LEN(small_feeds), &end, 1);
	sample_free(&s);
}

static void any_flipped_bit_fails_or_changes_nothing(void **state)
{
	size_t end;
	struct sample s = small_new(&end);

	(void)state;
	expect_flips_fail_or_change_nothing(&bzip2_decoder, &s, small_feeds, 1);
	sample_free(&s);
}

static void garbage_behind_the_last_stream_fails_where_it_begins(void **state)
{
	static const struct {
		const char *bytes;
		size_t len, at;
		const char *says;
	} garbage[] = {
		{ "x", 1, 0, "trailing garbage" },
		{ "\0\0\0\0", 4, 0, "trailing garbage" }, /* the tool passes it with a warning */
		{ "BZh0", 4, 0, "trailing garbage" },
		{ "BZip", 4, 0, "trailing garbage" },
		{ "BZ", 2, 2, "truncated" },
	};
	size_t end;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(garbage); i++) {
		struct sample s = small_new(&end);

		end = s.source.len;
		test_bytes_add(&s.source, garbage[i].bytes, garbage[i].len);
		expect_broken(&bzip2_decoder, &s.source, small_feeds, ARRAY_LEN(small_feeds),
			      end + garbage[i].at, garbage[i].says);
		sample_free(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_of_stream_decodes_to_the_original),
		cmocka_unit_test(streams_behind_each_other_are_one_image),
		cmocka_unit_test(a_source_cut_short_at_any_byte_fails_at_its_end),
		cmocka_unit_test(any_flipped_bit_fails_or_changes_nothing),
		cmocka_unit_test(garbage_behind_the_last_stream_fails_where_it_begins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
