/* SPDX-License-Identifier: MIT */
#include "unit_test.h"

#include "base/checked.h"
#include "encode/zstd_frames.h"

#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#define MAX_LEN (4u * MIB)

static uint32_t le32(const uint8_t *p)
{
	return p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24;
}

static void expect_frame(const uint8_t *frame, size_t frame_len, const uint8_t *data, size_t len)
{
	uint8_t *got = malloc(len);

	assert_int_equal(ZSTD_findFrameCompressedSize(frame, frame_len), frame_len);
	assert_int_equal(ZSTD_getFrameContentSize(frame, frame_len), len);
	assert_true(frame[4] & 4); /* RFC 8878 3.1.1.1.1: a content checksum */
	assert_int_equal(ZSTD_decompress(got, len, frame, frame_len), len);
	assert_memory_equal(got, data, len);
	free(got);
}

static void zeros_of_any_length_are_a_frame(void **state)
{
	static const size_t lengths[] = { 1,      2,      3,       4095,        4096,
					  4097,   131071, 131072,  131073,      131074,
					  262145, 700001, 1048576, MAX_LEN - 1, MAX_LEN };
	uint8_t *nothing = calloc(1, MAX_LEN);
	struct zero_frames zeros;
	struct bmap_error err;

	(void)state;
	assert_true(zero_frames_init(&zeros, MAX_LEN, &err));
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		/* On the heap and exactly so long: a sanitizer sees what is written past it. */
		uint8_t *frame = malloc(ZERO_FRAME_BOUND(lengths[i]));
		size_t len = zero_frame_make(&zeros, lengths[i], frame);

		assert_true(len <= ZERO_FRAME_BOUND(lengths[i]));
		assert_true(len < 200);
		expect_frame(frame, len, nothing, lengths[i]);
		/* Old versions of the program do not take RLE as the first block. */
		assert_int_not_equal(frame[9] >> 1 & 3, 1);
		frame[len - 1] ^= 1;
		assert_true(ZSTD_isError(ZSTD_decompress(nothing, MAX_LEN, frame, len)));
		free(frame);
	}
	zero_frames_end(&zeros);
	free(nothing);
}

static void pieces_become_frames_that_say_their_size(void **state)
{
	static const size_t lengths[] = { 1, 200, 4096, 65535, 131073, 1000001, MAX_LEN };
	uint8_t *data = malloc(MAX_LEN), *frame = malloc(zstd_packer_bound(MAX_LEN));
	uint8_t *other = malloc(zstd_packer_bound(MAX_LEN));
	struct bmap_error err;

	(void)state;
	srand(1);
	for (size_t i = 0; i < MAX_LEN; i++) /* half of it does not compress */
		data[i] = i / 5000 % 2 ? (uint8_t)rand() : (uint8_t)(i / 300);
	for (unsigned level = 1; level <= 7; level += 3) {
		struct zstd_packer *one = zstd_packer_new(level, &err);
		struct zstd_packer *two = zstd_packer_new(level, &err);

		for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
			size_t len, other_len, bound = zstd_packer_bound(lengths[i]);

			assert_true(
				zstd_packer_pack(one, data, lengths[i], frame, bound, &len, &err));
			expect_frame(frame, len, data, lengths[i]);
			assert_true(zstd_packer_pack(two, data, lengths[i], other, bound,
						     &other_len, &err));
			assert_int_equal(len, other_len);
			assert_memory_equal(frame, other, len);
		}
		assert_true(zstd_packer_memory_bytes(one) > 100000);
		zstd_packer_free(one);
		zstd_packer_free(two);
	}
	free(other);
	free(frame);
	free(data);
}

static void a_frame_without_room_is_an_error(void **state)
{
	uint8_t data[1000], frame[100];
	struct bmap_error err = { 0 };
	struct zstd_packer *packer = zstd_packer_new(3, &err);
	size_t len;

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * i * 31 >> 3);
	assert_false(
		zstd_packer_pack(packer, data, sizeof(data), frame, sizeof(frame), &len, &err));
	assert_non_null(strstr(err.text, "zstd"));
	zstd_packer_free(packer);
}

struct sunk {
	uint8_t bytes[200000];
	size_t len;
};

static bool sink_bytes(void *user, const uint8_t *data, size_t len, struct bmap_error *err)
{
	struct sunk *sunk = user;

	(void)err;
	assert_true(len <= sizeof(sunk->bytes) - sunk->len);
	memcpy(sunk->bytes + sunk->len, data, len);
	sunk->len += len;
	return true;
}

/* Frame i of a table with single frames, two, and a run longer than what is written at once. */
static void numbers_of(size_t i, size_t *frame_len, size_t *image_len)
{
	bool run = i >= 1000 && i < 1000 + 2100;

	*frame_len = run ? 141 : 100 + i / 2;
	*image_len = run ? 4194304 : 1 + i / 2;
}

static void the_table_has_an_entry_for_every_frame(void **state)
{
	static const size_t counts[] = { 0, 1, 2, 3, 5000 };
	struct sunk *sunk = malloc(sizeof(*sunk));
	const struct encode_sink sink = { sink_bytes, sunk };

	(void)state;
	for (size_t c = 0; c < ARRAY_LEN(counts); c++) {
		struct seek_table table = { 0 };
		struct bmap_error err;
		const uint8_t *foot;

		sunk->len = 0;
		for (size_t i = 0; i < counts[c]; i++) {
			size_t frame_len, image_len;

			numbers_of(i, &frame_len, &image_len);
			assert_true(seek_table_add(&table, frame_len, image_len, &err));
		}
		assert_true(counts[c] < 5000 || table.run_count < 3000);
		assert_true(seek_table_fits(&table));
		assert_true(seek_table_write(&table, &sink, &err));
		assert_int_equal(sunk->len, 8 + 8 * counts[c] + 9);
		assert_int_equal(le32(sunk->bytes), 0x184D2A5E);
		assert_int_equal(le32(sunk->bytes + 4), sunk->len - 8);
		for (size_t i = 0; i < counts[c]; i++) {
			size_t frame_len, image_len;

			numbers_of(i, &frame_len, &image_len);
			assert_int_equal(le32(sunk->bytes + 8 + 8 * i), frame_len);
			assert_int_equal(le32(sunk->bytes + 12 + 8 * i), image_len);
		}
		foot = sunk->bytes + sunk->len - 9;
		assert_int_equal(le32(foot), counts[c]);
		assert_int_equal(foot[4], 0);
		assert_int_equal(le32(foot + 5), 0x8F92EAB1);
		/* Decoders pass it by. */
		assert_int_equal(ZSTD_findFrameCompressedSize(sunk->bytes, sunk->len), sunk->len);
		assert_int_equal(ZSTD_decompress(sunk->bytes, 1, sunk->bytes, sunk->len), 0);
		seek_table_end(&table);
	}
	free(sunk);
}

static void more_frames_than_the_table_counts_do_not_fit(void **state)
{
	struct seek_table table = { .frames = (1u << 27) - 1 };
	struct bmap_error err;

	(void)state;
	assert_true(seek_table_add(&table, 141, 4194304, &err));
	assert_true(seek_table_fits(&table));
	assert_true(seek_table_add(&table, 141, 4194304, &err));
	assert_false(seek_table_fits(&table));
	seek_table_end(&table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(zeros_of_any_length_are_a_frame),
		cmocka_unit_test(pieces_become_frames_that_say_their_size),
		cmocka_unit_test(a_frame_without_room_is_an_error),
		cmocka_unit_test(the_table_has_an_entry_for_every_frame),
		cmocka_unit_test(more_frames_than_the_table_counts_do_not_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
