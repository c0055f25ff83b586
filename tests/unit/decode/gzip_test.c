/* SPDX-License-Identifier: MIT */
/* Both ways to inflate, through the same tests. */
#include "decode/decoder_internal.h"
#include "decode_driver.h"
#include "unit_test.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static const struct provider {
	const char *name;
	const struct decoder_ops *ops;
} providers[] = {
	{ "zlib", &gzip_zlib_decoder },
#if HAVE_ISAL
	{ "ISA-L", &gzip_isal_decoder },
#endif
};

static const struct decode_feed feeds[] = {
	{ .input = FEED_ALL, .room = FEED_ALL },
	{ .input = FEED_LEAST, .room = FEED_RANDOM, .seed = 3, .room_max_bytes = 100 },
	{ .input = FEED_RANDOM, .room = FEED_LEAST, .seed = 5 },
	{ .input = FEED_RANDOM, .room = FEED_RANDOM, .seed = 6, .room_max_bytes = 1 },
};

/* Small memory: there are many of these. */
#define SMALL .ring_bytes = 64 * KIB, .history_max_bytes = 1, .input_max_bytes = 64 * KIB
static const struct decode_feed small_feeds[] = {
	{ SMALL, .input = FEED_ALL, .room = FEED_ALL, .room_max_bytes = 1 },
	{ SMALL, .input = FEED_LEAST, .room = FEED_LEAST, .room_max_bytes = 7 },
};

static void deflate_add(struct test_bytes *to, const uint8_t *data, size_t len, int level,
			int strategy)
{
	z_stream z = { 0 };
	uLong bound;

	assert_int_equal(deflateInit2(&z, level, Z_DEFLATED, -MAX_WBITS, 9, strategy), Z_OK);
	bound = deflateBound(&z, len) + 64;
	z.next_in = (Bytef *)data;
	z.avail_in = (uInt)len;
	z.next_out = test_bytes_room(to, bound);
	z.avail_out = (uInt)bound;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	to->len += bound - z.avail_out;
	deflateEnd(&z);
}

static void le32_add(struct test_bytes *to, uint32_t value)
{
	const uint8_t bytes[4] = { (uint8_t)value, (uint8_t)(value >> 8), (uint8_t)(value >> 16),
				   (uint8_t)(value >> 24) };

	test_bytes_add(to, bytes, 4);
}

static void trailer_add(struct test_bytes *to, const uint8_t *data, size_t len)
{
	le32_add(to, (uint32_t)crc32_z(0, data, len));
	le32_add(to, (uint32_t)len);
}

enum { HEADER_CRC = 2, EXTRA = 4, NAME = 8, COMMENT = 16 };

static void header_add(struct test_bytes *to, unsigned flags)
{
	const uint8_t fixed[10] = { 0x1F, 0x8B, 8, (uint8_t)flags, 1, 2, 3, 4, 0, 3 };
	size_t begin = to->len;
	uint32_t crc;

	test_bytes_add(to, fixed, sizeof(fixed));
	if (flags & EXTRA)
		test_bytes_add(to, "\x06\0AB\x02\0xy", 8);
	if (flags & NAME)
		test_bytes_add(to, "disk.img", 9);
	if (flags & COMMENT)
		test_bytes_add(to, "", 1);
	crc = (uint32_t)crc32_z(0, to->data + begin, to->len - begin);
	if (flags & HEADER_CRC) {
		const uint8_t low[2] = { (uint8_t)crc, (uint8_t)(crc >> 8) };

		test_bytes_add(to, low, 2);
	}
}

static void member_add(struct test_bytes *to, const uint8_t *data, size_t len, int level,
		       int strategy, unsigned flags)
{
	header_add(to, flags);
	deflate_add(to, data, len, level, strategy);
	trailer_add(to, data, len);
}

static void expect_same(const struct test_bytes *source, const uint8_t *image, size_t len)
{
	for (size_t p = 0; p < ARRAY_LEN(providers); p++)
		for (size_t i = 0; i < ARRAY_LEN(feeds); i++) {
			struct decode_result r;

			/* a byte of room at a time is for the small ones */
			if (feeds[i].room_max_bytes && feeds[i].room_max_bytes < 1000 &&
			    len > 400000)
				continue;
			r = decode_drive(providers[p].ops, source->data, source->len, image, len,
					 &feeds[i]);
			if (!r.good || !r.same)
				fail_msg("%s, feed %zu: %s", providers[p].name, i,
					 r.good ? "other bytes" : r.err.text);
		}
}

static void every_kind_of_member_decodes_to_the_original(void **state)
{
	static const struct {
		const char *why;
		enum test_image_kind kind;
		size_t len;
		int level, strategy;
	} members[] = {
		{ "no content", IMAGE_ZEROS, 0, 6, Z_DEFAULT_STRATEGY },
		{ "one byte", IMAGE_NOISE, 1, 6, Z_DEFAULT_STRATEGY },
		{ "stored blocks", IMAGE_MIXED, 300000, 0, Z_DEFAULT_STRATEGY },
		{ "stored blocks, small", IMAGE_NOISE, 9, 0, Z_DEFAULT_STRATEGY },
		{ "fast", IMAGE_MIXED, 300000, 1, Z_DEFAULT_STRATEGY },
		{ "strong", IMAGE_MIXED, 300000, 9, Z_DEFAULT_STRATEGY },
		{ "fixed codes", IMAGE_MIXED, 200000, 6, Z_FIXED },
		{ "no matches", IMAGE_MIXED, 200000, 6, Z_HUFFMAN_ONLY },
		{ "runs", IMAGE_ZEROS, 300000, 6, Z_RLE },
		{ "zeros", IMAGE_ZEROS, 3 * MIB, 6, Z_DEFAULT_STRATEGY },
		{ "long", IMAGE_MIXED, 3 * MIB, 3, Z_DEFAULT_STRATEGY },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(members); i++) {
		uint8_t *image = test_image(members[i].kind, members[i].len, (uint32_t)i);
		struct test_bytes source = { 0 };

		print_message("%s\n", members[i].why);
		member_add(&source, image, members[i].len, members[i].level, members[i].strategy,
			   0);
		expect_same(&source, image, members[i].len);
		test_bytes_free(&source);
		free(image);
	}
}

static void members_are_one_image_and_zeros_may_follow(void **state)
{
	static const size_t parts[] = { 1, 0, 100000, 13, 0, 70000, 0 };
	uint8_t *image = test_image(IMAGE_MIXED, 200000, 9);
	struct test_bytes source = { 0 };
	size_t at = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		member_add(&source, image + at, parts[i], (int)i, Z_DEFAULT_STRATEGY, 0);
		at += parts[i];
	}
	expect_same(&source, image, at);
	test_bytes_room(&source, 2000);
	source.len += 1;
	expect_same(&source, image, at);
	source.len += 1999;
	expect_same(&source, image, at);
	test_bytes_free(&source);
	free(image);
}

static void all_header_fields_are_passed_and_checked(void **state)
{
	uint8_t *image = test_image(IMAGE_MIXED, 5000, 9);

	(void)state;
	for (unsigned flags = 0; flags < 32; flags += 2) {
		struct test_bytes source = { 0 };

		member_add(&source, image, 5000, 6, Z_DEFAULT_STRATEGY, flags);
		expect_same(&source, image, 5000);
		for (size_t p = 0; p < ARRAY_LEN(providers) && (flags & HEADER_CRC); p++) {
			struct decode_result r;

			source.data[5] ^= 1; /* time stamp: only the header's CRC can tell */
			r = decode_drive(providers[p].ops, source.data, source.len, image, 5000,
					 &feeds[0]);
			source.data[5] ^= 1;
			assert_false(r.good);
			assert_non_null(strstr(r.err.text, "member header"));
		}
		test_bytes_free(&source);
	}
	free(image);
}

#define IMAGE_BYTES 500u

struct small {
	uint8_t *image;
	struct test_bytes source;
	size_t first_end;
};

static struct small small_new(void)
{
	struct small s = { .image = test_image(IMAGE_MIXED, IMAGE_BYTES, 78) };

	member_add(&s.source, s.image, 300, 6, Z_DEFAULT_STRATEGY, HEADER_CRC | EXTRA | NAME);
	s.first_end = s.source.len;
	member_add(&s.source, s.image + 300, 200, 0, Z_DEFAULT_STRATEGY, 0);
	return s;
}

static void small_free(struct small *s)
{
	test_bytes_free(&s->source);
	free(s->image);
}

static struct decode_result decode(size_t provider, size_t feed, const struct small *s,
				   const struct test_bytes *source, size_t len)
{
	return decode_drive(providers[provider].ops, source->data, len, s->image, IMAGE_BYTES,
			    &small_feeds[feed]);
}

#define FOR_EACH_WAY(p, i)                                                                         \
	for (size_t p = 0; p < ARRAY_LEN(providers); p++)                                          \
		for (size_t i = 0; i < ARRAY_LEN(small_feeds); i++)

static void a_source_cut_short_at_any_byte_fails_at_its_end(void **state)
{
	struct small s = small_new();

	(void)state;
	for (size_t len = 0; len < s.source.len; len++)
		FOR_EACH_WAY(p, i)
		{
			struct decode_result r = decode(p, i, &s, &s.source, len);

			assert_true(r.same || r.good);
			assert_int_equal(r.good, len == s.first_end);
			if (r.good)
				continue;
			assert_int_equal(r.err.offset_bytes, len);
			assert_non_null(strstr(r.err.text, "truncated"));
		}
	small_free(&s);
}

static void any_flipped_bit_fails_or_changes_nothing(void **state)
{
	struct small s = small_new();

	(void)state;
	for (size_t bit = 0; bit < s.source.len * 8; bit++) {
		s.source.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		FOR_EACH_WAY(p, i)
		{
			struct decode_result r = decode(p, i, &s, &s.source, s.source.len);

			if (r.good)
				assert_true(r.same);
		}
		s.source.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	small_free(&s);
}

static void garbage_behind_the_last_member_fails_where_it_begins(void **state)
{
	static const struct {
		const char *bytes;
		size_t len, at;
	} garbage[] = {
		{ "x", 1, 0 },
		{ "\0\0\0x", 4, 3 },
		{ "\0\x1F\x8B\x08", 4, 1 },
		{ "GARBAGE", 7, 0 },
	};
	struct small s = small_new();

	(void)state;
	for (size_t g = 0; g < ARRAY_LEN(garbage); g++) {
		struct test_bytes source = { 0 };

		test_bytes_add(&source, s.source.data, s.source.len);
		test_bytes_add(&source, garbage[g].bytes, garbage[g].len);
		FOR_EACH_WAY(p, i)
		{
			struct decode_result r = decode(p, i, &s, &source, source.len);

			assert_false(r.good);
			assert_int_equal(r.image_bytes, IMAGE_BYTES);
			assert_int_equal(r.err.offset_bytes, s.source.len + garbage[g].at);
			assert_non_null(strstr(r.err.text, "trailing garbage"));
		}
		test_bytes_free(&source);
	}
	small_free(&s);
}

static void checksum_length_and_flags_are_always_checked(void **state)
{
	static const struct {
		int from_end; /* of the last member, or -: from its begin */
		const char *says;
	} bytes[] = { { 8, "CRC-32" }, { 5, "CRC-32" }, { 4, "length" }, { 1, "length" } };
	struct small s = small_new();

	(void)state;
	for (size_t b = 0; b < ARRAY_LEN(bytes); b++) {
		uint8_t *at = s.source.data + s.source.len - bytes[b].from_end;

		*at ^= 0x10;
		FOR_EACH_WAY(p, i)
		{
			struct decode_result r = decode(p, i, &s, &s.source, s.source.len);

			assert_false(r.good);
			assert_non_null(strstr(r.err.text, bytes[b].says));
		}
		*at ^= 0x10;
	}
	for (unsigned flag = 0x20; flag <= 0x80; flag <<= 1) {
		s.source.data[3] ^= (uint8_t)flag;
		FOR_EACH_WAY(p, i)
		{
			struct decode_result r = decode(p, i, &s, &s.source, s.source.len);
			struct decoder_plan plan;

			assert_false(r.good);
			assert_non_null(strstr(r.err.text, "reserved"));
			assert_false(
				providers[p].ops->plan(s.source.data, s.source.len, &plan, NULL));
		}
		s.source.data[3] ^= (uint8_t)flag;
	}
	small_free(&s);
}

/* A member of many copies of the same deflate blocks; their matches reach back nearly as far as
 * matches can. */
#define FAR_BACK 32000u

static void repeats_add(struct test_bytes *source, unsigned times, size_t block_len)
{
	uint8_t *image = test_image(IMAGE_NOISE, block_len, 1);
	struct test_bytes block = { 0 };
	z_stream z = { 0 };
	uint32_t crc = 0, block_crc;

	for (size_t at = FAR_BACK; at < block_len; at++)
		image[at] = image[at - FAR_BACK];
	assert_int_equal(deflateInit2(&z, 1, Z_DEFLATED, -MAX_WBITS, 9, 0), Z_OK);
	z.next_in = image;
	z.avail_in = (uInt)block_len;
	z.next_out = test_bytes_room(&block, block_len / 2);
	z.avail_out = (uInt)block_len / 2;
	assert_int_equal(deflate(&z, Z_FULL_FLUSH), Z_OK);
	block.len = block_len / 2 - z.avail_out;
	deflateEnd(&z);
	header_add(source, 0);
	block_crc = (uint32_t)crc32_z(0, image, block_len);
	for (unsigned i = 0; i < times; i++) {
		test_bytes_add(source, block.data, block.len);
		crc = (uint32_t)crc32_combine(crc, block_crc, (z_off_t)block_len);
	}
	test_bytes_add(source, "\x03\0", 2); /* an empty last block */
	le32_add(source, crc);
	le32_add(source, (uint32_t)(times * (uint64_t)block_len));
	test_bytes_free(&block);
	free(image);
}

/* Libraries count in 32 bits. zlib, being slow, gets no more than a bomb. */
static void a_member_of_more_than_4_gib_decodes(void **state)
{
	const unsigned times = HAVE_ISAL ? 69 : 2;
	const size_t block_len = 63 * MIB;
	const struct decoder_ops *ops = providers[ARRAY_LEN(providers) - 1].ops;
	const struct decoder_limits limits = { .name = "x",
					       .room_max_bytes = 8 * MIB,
					       .input_max_bytes = MIB };
	struct test_bytes source = { 0 };
	uint8_t *room = malloc(8 * MIB);
	struct decoder *d = ops->open(&limits, NULL);
	enum decode_status status = DECODE_INPUT;
	struct bmap_error err = { 0 };
	struct in_span in;

	(void)state;
	repeats_add(&source, times, block_len);
	in = (struct in_span){ source.data, source.len, true };
	do {
		struct out_span out = { room, 8 * MIB };

		status = ops->step(d, &in, &out, &err);
	} while (status == DECODE_ROOM);
	if (status != DECODE_END)
		fail_msg("%s", err.text);
	assert_true(d->image_offset == times * (uint64_t)block_len);
	ops->close(d);
	test_bytes_free(&source);
	free(room);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_of_member_decodes_to_the_original),
		cmocka_unit_test(members_are_one_image_and_zeros_may_follow),
		cmocka_unit_test(all_header_fields_are_passed_and_checked),
		cmocka_unit_test(a_source_cut_short_at_any_byte_fails_at_its_end),
		cmocka_unit_test(any_flipped_bit_fails_or_changes_nothing),
		cmocka_unit_test(garbage_behind_the_last_member_fails_where_it_begins),
		cmocka_unit_test(checksum_length_and_flags_are_always_checked),
		cmocka_unit_test(a_member_of_more_than_4_gib_decodes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
