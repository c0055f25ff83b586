/* SPDX-License-Identifier: MIT */
#include "job/range_reads.h"
#include "base/checked.h"

#include <stdlib.h>
#include <string.h>

#include "unit_test.h"

#define BLOCK 4096u

static struct bmap_map map_of(struct bmap_range *ranges, size_t count, uint64_t size,
			      uint64_t block)
{
	return (struct bmap_map){ .image_size_bytes = size,
				  .block_size_bytes = block,
				  .blocks_count = div_round_up(size, block),
				  .range_count = count,
				  .ranges = ranges,
				  .digest = BMAP_DIGEST_SHA256,
				  .digest_bytes = 32 };
}

/* Next read of ranges: every byte of every range once, in order within a range. */
static void expect_read_is_next(const struct read_share *share, const struct range_read *read,
				uint64_t *passed, size_t max_bytes)
{
	const struct bmap_map *map = share->map;
	uint64_t at = read->begin;
	size_t range = read->first_range;

	assert_true(read->begin < read->end);
	assert_true(align_up(read->end, READ_ALIGN_BYTES) -
			    align_down(read->begin, READ_ALIGN_BYTES) <=
		    max_bytes);
	while (at < read->end) {
		uint64_t begin = bmap_range_begin(map, range), end = bmap_range_end(map, range);

		assert_int_equal(at, begin + passed[range]);
		at = min_u64(end, read->end);
		passed[range] = at - begin;
		assert_true(at == end || at % READ_ALIGN_BYTES == 0);
		range = read_share_find(share, range + 1, map->range_count, read->is_long);
		if (at < end || range == map->range_count)
			break;
		assert_true(!read->is_long || bmap_range_begin(map, range) >= read->end);
		at = bmap_range_begin(map, range);
	}
	assert_true(at >= read->end);
}

/* Deals all out to workers that take turns at random; returns the number of reads. */
static size_t deal(const struct bmap_map *map, bool only_with_digest, unsigned workers,
		   size_t max_bytes)
{
	struct read_share share;
	struct read_cursor *cursors = calloc(workers, sizeof(*cursors));
	uint64_t *passed = calloc(map->range_count + 1, sizeof(*passed)), total = 0;
	unsigned left = workers;
	size_t reads = 0;

	assert_true(read_share_init(&share, map, only_with_digest, UINT64_MAX, workers, NULL));
	for (unsigned i = 0; i < workers; i++)
		read_cursor_init(&cursors[i], &share, max_bytes);
	while (left) {
		unsigned i = (unsigned)rand() % left;
		struct range_read read;

		if (read_cursor_next(&cursors[i], &read)) {
			expect_read_is_next(&share, &read, passed, max_bytes);
			reads++;
		} else
			cursors[i] = cursors[--left];
	}
	for (size_t i = 0; i < map->range_count; i++) {
		uint64_t len = bmap_range_end(map, i) - bmap_range_begin(map, i);
		bool wanted = !only_with_digest || bmap_range_digest(map, i);

		assert_int_equal(passed[i], wanted ? len : 0);
		total += passed[i];
	}
	assert_int_equal(share.total_bytes, total);
	assert_int_equal(share.left_bytes, 0);
	read_share_end(&share);
	free(cursors);
	free(passed);
	return reads;
}

static void every_byte_is_dealt_out_once(void **state)
{
	static const size_t read_bytes[] = { 65536, 131072, 1048576 };
	static const uint64_t blocks[] = { 512, 1024, 4096, 65536, 1000 };

	(void)state;
	srand(7);
	for (int round = 0; round < 200; round++) {
		struct bmap_range ranges[300];
		uint8_t digests[300 * 32], has[38];
		size_t count = 1 + (size_t)rand() % 300;
		uint64_t block = blocks[rand() % 5], next = (uint64_t)(rand() % 3), size;
		struct bmap_map map;

		for (size_t i = 0; i < count; i++) {
			uint64_t len = rand() % 20   ? 1 + rand() % 8
				       : rand() % 10 ? 1 + rand() % 5000
						     : 1 + rand() % 100000;

			ranges[i].first_block = next;
			ranges[i].last_block = next + len - 1;
			next += len + 1 + (uint64_t)(rand() % 4 ? rand() % 3 : rand() % 1000);
		}
		size = (ranges[count - 1].last_block + 1) * block - (uint64_t)rand() % block;
		map = map_of(ranges, count, size, block);
		for (size_t i = 0; i < sizeof(has); i++)
			has[i] = (uint8_t)rand();
		map.digests = digests;
		map.has_digest = has;
		deal(&map, rand() % 2, 1 + (unsigned)rand() % 5, read_bytes[rand() % 3]);
	}
}

static void small_ranges_share_a_read(void **state)
{
	struct bmap_range ranges[128];
	struct bmap_map map;

	(void)state;
	/* A block, a gap of a block, ...: 1 MiB, which is one read a batch. */
	for (size_t i = 0; i < 128; i++)
		ranges[i] = (struct bmap_range){ 2 * i, 2 * i };
	map = map_of(ranges, 128, 256 * BLOCK, BLOCK);
	assert_int_equal(deal(&map, false, 1, MIB), 2);
	/* Gaps of 64 KiB are not read. */
	for (size_t i = 0; i < 128; i++)
		ranges[i] = (struct bmap_range){ 17 * i, 17 * i };
	map = map_of(ranges, 128, 128 * 17 * BLOCK, BLOCK);
	assert_int_equal(deal(&map, false, 1, MIB), 128);
}

static void the_longest_range_comes_first(void **state)
{
	/* Of 4 GiB, in blocks of 1 MiB. */
	struct bmap_range ranges[] = { { 0, 99 }, { 101, 101 }, { 200, 499 }, { 1000, 4095 } };
	static const size_t order[] = { 3, 2, 0 };
	struct bmap_map map = map_of(ranges, ARRAY_LEN(ranges), (uint64_t)4 << 30, MIB);
	struct read_share share;
	struct read_cursor cursors[4];
	struct range_read read;

	(void)state;
	assert_true(read_share_init(&share, &map, false, UINT64_MAX, 4, NULL));
	for (size_t i = 0; i < 4; i++) {
		read_cursor_init(&cursors[i], &share, MIB);
		assert_true(read_cursor_next(&cursors[i], &read));
		assert_int_equal(read.first_range, i < 3 ? order[i] : 1);
		assert_int_equal(read.is_long, i < 3);
	}
	read_share_end(&share);
}

static void nothing_to_deal_out_is_no_error(void **state)
{
	struct bmap_range range = { 0, 3 };
	struct bmap_map map = map_of(&range, 1, 4 * BLOCK, BLOCK);

	(void)state;
	assert_int_equal(deal(&map, true, 3, MIB), 0); /* no range has a digest */
	map.range_count = 0;
	assert_int_equal(deal(&map, false, 3, MIB), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_byte_is_dealt_out_once),
		cmocka_unit_test(small_ranges_share_a_read),
		cmocka_unit_test(the_longest_range_comes_first),
		cmocka_unit_test(nothing_to_deal_out_is_no_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
