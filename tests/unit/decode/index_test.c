/* SPDX-License-Identifier: MIT */
/* Indexes at a container's end: what is good is read, and whatever is not is no index. */
#include "unit_test.h"

#include "decode/decoder_internal.h"
#include "decode_driver.h"

#include <lzma.h>
#include <stdlib.h>
#include <string.h>

#define PIECES 5u
#define PIECE_BYTES 3000u
#define BEFORE 1000u /* bytes of frames in front of a table */

static void put32(uint8_t *p, uint64_t value)
{
	for (unsigned i = 0; i < 4; i++)
		p[i] = (uint8_t)(value >> 8 * i);
}

/* Frames of so many bytes (only their place is there), and the table of them. */
struct table {
	uint8_t bytes[BEFORE + 8 + 4 * 12 + 9];
	size_t len;
};

static const uint32_t frames[4][2] = { { 100, 4096 }, { 500, 8192 }, { 12, 0 }, { 388, 1 } };

static struct table table_new(bool checksums)
{
	struct table t = { .len = BEFORE };
	size_t entry = checksums ? 12 : 8;

	put32(t.bytes + t.len, 0x184D2A5E);
	put32(t.bytes + t.len + 4, 4 * entry + 9);
	t.len += 8;
	for (size_t i = 0; i < 4; i++, t.len += entry) {
		put32(t.bytes + t.len, frames[i][0]);
		put32(t.bytes + t.len + 4, frames[i][1]);
	}
	put32(t.bytes + t.len, 4);
	t.bytes[t.len + 4] = checksums ? 0x80 : 0;
	put32(t.bytes + t.len + 5, 0x8F92EAB1);
	t.len += 9;
	return t;
}

static enum index_status read_table(const struct table *t, size_t tail, size_t *need)
{
	struct unit_index index;
	enum index_status status =
		zstd_decoder.read_index(t->bytes + t->len - tail, tail, t->len, &index, need);

	if (status == INDEX_OK) {
		assert_int_equal(index.count, 4);
		assert_int_equal(index.first_offset, 0);
		for (size_t i = 0; i < 4; i++) {
			assert_int_equal(index.units[i].source_bytes, frames[i][0]);
			assert_int_equal(index.units[i].image_bytes, frames[i][1]);
		}
	} else {
		assert_null(index.units);
	}
	free(index.units);
	return status;
}

static void a_seek_table_is_read_with_and_without_checksums(void **state)
{
	(void)state;
	for (int checksums = 0; checksums < 2; checksums++) {
		struct table t = table_new(checksums);
		size_t need = 0;

		assert_int_equal(read_table(&t, t.len, &need), INDEX_OK);
		assert_int_equal(read_table(&t, t.len - BEFORE, &need), INDEX_OK);
		assert_int_equal(read_table(&t, 9, &need), INDEX_MORE);
		assert_int_equal(need, t.len - BEFORE);
		assert_int_equal(read_table(&t, 8, &need), INDEX_NONE);
	}
}

static void a_seek_table_that_does_not_add_up_is_none(void **state)
{
	static const struct {
		size_t at; /* from the table's first byte, or backwards from its end */
		bool from_end;
		uint32_t value;
	} cases[] = {
		{ 0, false, 0x184D2A50 }, /* the frame's magic */
		{ 4, false, 40 }, /* its length */
		{ 8, false, 101 }, /* the frames are longer than what lies before */
		{ 8, false, 0xFFFFFFFF }, { 8, false, 0 }, /* a frame of nothing */
		{ 9, true, 3 }, /* frames */
		{ 9, true, 5 },           { 9, true, 0 },          { 9, true, 0x10000000 },
		{ 9, true, 0xFFFFFFFF },  { 5, true, 0x92EAB104 }, /* a reserved bit */
		{ 4, true, 0x8F92EAB0 }, /* magic */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct table t = table_new(false);
		size_t need = 0;

		put32(t.bytes + (cases[i].from_end ? t.len : BEFORE) +
			      (cases[i].from_end ? 0 - cases[i].at : cases[i].at),
		      cases[i].value);
		if (read_table(&t, t.len, &need) != INDEX_NONE)
			fail_msg("case %zu", i);
	}
}

static void a_mark_tells_a_frame_that_tells_its_size(void **state)
{
	/* Mark: 300 bytes follow. Frame: one segment, size in 2 bytes (+ 256), a checksum. */
	static const uint8_t good[20] = "\x50\x2A\x4D\x18\4\0\0\0\x2C\1\0\0"
					"\x28\xB5\x2F\xFD\x64\0\x0F";
	static const struct {
		size_t at;
		uint8_t value;
	} broken[] = {
		{ 0, 0x51 }, /* another magic */
		{ 4, 5 }, /* another length */
		{ 9, 0 }, /* with 7 in front: a frame that ends in its header */
		{ 12, 0x29 }, /* no frame */
		{ 16, 0x04 }, /* no size */
		{ 16, 0x6C }, /* a reserved bit */
	};
	struct indexed_unit unit = { 0 };
	uint8_t bad[20];

	(void)state;
	assert_true(zstd_decoder.read_mark(good, sizeof(good), &unit));
	assert_int_equal(unit.source_bytes, 312);
	assert_int_equal(unit.image_bytes, 0xF00 + 256);
	assert_int_equal(unit.fact, 0);
	for (size_t len = 0; len < 19; len++)
		assert_false(zstd_decoder.read_mark(good, len, &unit));
	for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
		memcpy(bad, good, sizeof(good));
		bad[broken[i].at] = broken[i].value;
		if (broken[i].at == 9)
			bad[8] = 7;
		if (zstd_decoder.read_mark(bad, sizeof(bad), &unit))
			fail_msg("case %zu", i);
	}
}

static struct test_bytes xz_of_pieces(const uint8_t *image)
{
	static lzma_options_lzma options;
	lzma_filter filters[] = { { LZMA_FILTER_LZMA2, &options }, { LZMA_VLI_UNKNOWN, NULL } };
	struct test_bytes to = { 0 };
	lzma_stream_flags flags = { .check = LZMA_CHECK_CRC32 };
	lzma_index *index = lzma_index_init(NULL);
	size_t at = 0, len;

	lzma_lzma_preset(&options, 0);
	len = LZMA_STREAM_HEADER_SIZE;
	assert_int_equal(lzma_stream_header_encode(&flags, test_bytes_room(&to, len)), LZMA_OK);
	to.len += len;
	for (size_t i = 0; i < PIECES; i++) {
		lzma_block block = { .check = flags.check, .filters = filters };
		size_t room = lzma_block_buffer_bound(PIECE_BYTES);
		uint8_t *out = test_bytes_room(&to, room);

		len = 0;
		assert_int_equal(lzma_block_buffer_encode(&block, NULL, image + i * PIECE_BYTES,
							  PIECE_BYTES, out, &len, room),
				 LZMA_OK);
		to.len += len;
		assert_int_equal(lzma_index_append(index, NULL, lzma_block_unpadded_size(&block),
						   block.uncompressed_size),
				 LZMA_OK);
	}
	len = (size_t)lzma_index_size(index);
	assert_int_equal(lzma_index_buffer_encode(index, test_bytes_room(&to, len), &at, len),
			 LZMA_OK);
	to.len += len;
	flags.backward_size = lzma_index_size(index);
	assert_int_equal(
		lzma_stream_footer_encode(&flags, test_bytes_room(&to, LZMA_STREAM_HEADER_SIZE)),
		LZMA_OK);
	to.len += LZMA_STREAM_HEADER_SIZE;
	lzma_index_end(index, NULL);
	return to;
}

static void the_index_of_an_xz_file_is_read_if_it_accounts_for_every_byte(void **state)
{
	uint8_t *image = test_image(IMAGE_NOISE, PIECES * PIECE_BYTES, 1);
	struct test_bytes xz = xz_of_pieces(image);
	size_t need = 0, all = xz.len, tail;
	struct unit_index index;
	uint64_t sum = 12;

	(void)state;
	assert_int_equal(xz_decoder.read_index(xz.data + all - 12, 12, all, &index, &need),
			 INDEX_MORE);
	assert_in_range(need, 13, 100);
	tail = need;
	for (int longer = 0; longer < 2; longer++, tail = all) {
		assert_int_equal(
			xz_decoder.read_index(xz.data + all - tail, tail, all, &index, &need),
			INDEX_OK);
		assert_int_equal(index.first_offset, 12);
		assert_int_equal(index.count, PIECES);
		for (size_t i = 0; i < PIECES; i++) {
			assert_int_equal(index.units[i].image_bytes, PIECE_BYTES);
			assert_true(index.units[i].fact <= index.units[i].source_bytes);
			sum += longer ? index.units[i].source_bytes : 0;
		}
		free(index.units);
	}
	assert_int_equal(sum + need, all);
	/* A second stream, padding, or a file that lost some bytes in its middle. */
	for (int more = -4; more <= 4; more += 8)
		assert_int_equal(xz_decoder.read_index(xz.data + all - need, need,
						       (uint64_t)((int64_t)all + more), &index,
						       &need),
				 INDEX_NONE);
	for (size_t i = 0; i < need * 8; i++) {
		xz.data[all - need + i / 8] ^= (uint8_t)(1 << i % 8);
		assert_int_not_equal(xz_decoder.read_index(xz.data, all, all, &index, &need),
				     INDEX_OK);
		xz.data[all - need + i / 8] ^= (uint8_t)(1 << i % 8);
	}
	test_bytes_free(&xz);
	free(image);
}

static void a_unit_is_passed_only_where_one_can_begin(void **state)
{
	static const struct decoder_limits limits = { .name = "disk.img",
						      .room_max_bytes = MIB,
						      .input_max_bytes = MIB,
						      .memory_bytes = 64 * MIB };
	static const struct indexed_unit unit = { 100, 4096, 97 };
	uint8_t *image = test_image(IMAGE_NOISE, PIECES * PIECE_BYTES, 1), out[64];
	struct test_bytes xz = xz_of_pieces(image);
	struct in_span in = { xz.data, xz.len, true };
	struct decode_unit cut;
	struct bmap_error err = { 0 };
	struct decoder *d = xz_decoder.open(&limits, &err);
	struct out_span room = { out, sizeof(out) };

	(void)state;
	/* In front of the stream's header, then behind it. */
	assert_false(xz_decoder.pass_indexed(d, &unit, &err));
	assert_int_equal(err.code, BMAP_ERR_DATA);
	assert_int_equal(xz_decoder.cut(d, &in, &cut, &err), CUT_UNIT);
	assert_true(xz_decoder.pass_indexed(d, &unit, &err));
	xz_decoder.close(d);

	d = zstd_decoder.open(&limits, &err);
	assert_true(zstd_decoder.pass_indexed(d, &unit, &err));
	/* In the middle of a skippable frame. */
	in = (struct in_span){ (const uint8_t *)"\x50\x2A\x4D\x18\x09\0\0\0abc", 11, false };
	assert_int_equal(zstd_decoder.step(d, &in, &room, &err), DECODE_INPUT);
	assert_false(zstd_decoder.pass_indexed(d, &unit, &err));
	assert_int_equal(err.code, BMAP_ERR_DATA);
	zstd_decoder.close(d);
	test_bytes_free(&xz);
	free(image);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_seek_table_is_read_with_and_without_checksums),
		cmocka_unit_test(a_seek_table_that_does_not_add_up_is_none),
		cmocka_unit_test(a_mark_tells_a_frame_that_tells_its_size),
		cmocka_unit_test(the_index_of_an_xz_file_is_read_if_it_accounts_for_every_byte),
		cmocka_unit_test(a_unit_is_passed_only_where_one_can_begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
