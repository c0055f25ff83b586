/* SPDX-License-Identifier: MIT */
#include "unit_test.h"

#include "base/checked.h"
#include "bmap/spread.h"

#include <bmap/report.h>
#include <stdlib.h>
#include <string.h>

#define BLOCKS 40u
#define MAX_RANGES BLOCKS

struct made {
	struct bmap_map map;
	struct bmap_range ranges[MAX_RANGES];
	uint8_t digests[MAX_RANGES];
	bool mapped[BLOCKS];
};

/* Random ranges, checksums of a byte that are often the same. */
static void make(struct made *made, unsigned *seed, uint64_t block_size)
{
	*made = (struct made){ .map = { .image_size_bytes = BLOCKS * block_size - 1,
					.block_size_bytes = block_size,
					.blocks_count = BLOCKS,
					.digest = BMAP_DIGEST_SHA256,
					.digest_bytes = 1 } };
	for (uint64_t at = (uint64_t)(rand_r(seed) % 4); at < BLOCKS;) {
		uint64_t len = 1 + (uint64_t)(rand_r(seed) % 4);
		uint64_t last = min_u64(at + len, BLOCKS) - 1;

		made->digests[made->map.range_count] = (uint8_t)(rand_r(seed) % 2);
		made->ranges[made->map.range_count++] = (struct bmap_range){ at, last };
		for (uint64_t i = at; i <= last; i++)
			made->mapped[i] = true;
		at = last + 1 + (uint64_t)(rand_r(seed) % 4);
	}
	made->map.ranges = made->ranges;
	made->map.digests = made->digests;
}

/* What was told of each block. */
struct told {
	enum bmap_change change[BLOCKS];
	bool seen[BLOCKS];
	uint64_t block_size, last_end;
};

static void on_change(void *user, enum bmap_change change, uint64_t begin, uint64_t end)
{
	struct told *told = user;

	assert_true(begin < end);
	assert_true(begin >= told->last_end || change == BMAP_CHANGE_GONE);
	told->last_end = end;
	for (uint64_t i = begin / told->block_size; i * told->block_size < end; i++) {
		assert_false(told->seen[i]);
		told->seen[i] = true;
		told->change[i] = change;
	}
}

static void every_mapped_block_is_told_once_and_rightly(void **state)
{
	unsigned seed = 1;

	(void)state;
	for (int round = 0; round < 3000; round++) {
		struct made older, newer;
		struct bmap_difference d;
		struct told told = { .block_size = 512 };
		uint64_t sum = 0;

		make(&older, &seed, 512);
		make(&newer, &seed, 512);
		bmap_map_compare(&older.map, &newer.map, on_change, &told, &d);
		for (size_t i = 0; i < BLOCKS; i++) {
			assert_int_equal(told.seen[i], older.mapped[i] || newer.mapped[i]);
			if (!told.seen[i])
				continue;
			assert_int_equal(told.change[i] == BMAP_CHANGE_GONE, !newer.mapped[i]);
			if (told.change[i] == BMAP_CHANGE_NEW)
				assert_false(older.mapped[i]);
		}
		for (size_t i = 0; i < BMAP_CHANGE_COUNT; i++)
			sum += i == BMAP_CHANGE_GONE ? 0 : d.bytes[i];
		for (size_t i = 0; i < newer.map.range_count; i++)
			sum -= bmap_range_end(&newer.map, i) - bmap_range_begin(&newer.map, i);
		assert_int_equal(sum, 0);
		/* Against itself nothing is to be written. */
		bmap_map_compare(&newer.map, &newer.map, NULL, NULL, &d);
		assert_int_equal(d.to_write_bytes, 0);
		assert_int_equal(d.ranges[BMAP_CHANGE_NONE], newer.map.range_count);
	}
}

static void without_checksums_all_has_to_be_written(void **state)
{
	struct made older, newer;
	struct bmap_difference d;
	unsigned seed = 7;

	(void)state;
	make(&newer, &seed, 512);
	older = newer;
	older.map.digests = NULL;
	bmap_map_compare(&older.map, &newer.map, NULL, NULL, &d);
	assert_false(d.comparable);
	assert_int_equal(d.ranges[BMAP_CHANGE_CONTENT], newer.map.range_count);
	older = newer;
	older.map.digest = BMAP_DIGEST_SHA1;
	bmap_map_compare(&older.map, &newer.map, NULL, NULL, &d);
	assert_false(d.comparable);
}

static void other_block_sizes_are_compared_by_bytes(void **state)
{
	struct bmap_range one[] = { { 1, 2 } }, two[] = { { 2, 5 } };
	uint8_t digest[] = { 5 };
	struct bmap_map a = { .image_size_bytes = 8192,
			      .block_size_bytes = 1024,
			      .range_count = 1,
			      .ranges = one,
			      .digests = digest,
			      .digest = BMAP_DIGEST_MD5,
			      .digest_bytes = 1 };
	struct bmap_map b = { .image_size_bytes = 8192,
			      .block_size_bytes = 512,
			      .range_count = 1,
			      .ranges = two,
			      .digests = digest,
			      .digest = BMAP_DIGEST_MD5,
			      .digest_bytes = 1 };
	struct bmap_difference d;

	(void)state;
	bmap_map_compare(&a, &b, NULL, NULL, &d);
	assert_int_equal(d.bytes[BMAP_CHANGE_NONE], 2048);
	assert_int_equal(d.to_write_bytes, 0);
}

static void gaps_before_between_and_behind_count(void **state)
{
	struct bmap_range ranges[] = { { 2, 2 }, { 3, 3 }, { 6, 8 } };
	struct bmap_map map = { .image_size_bytes = 10 * 512 + 1,
				.block_size_bytes = 512,
				.range_count = 3,
				.ranges = ranges };
	struct bmap_map none = { .image_size_bytes = 700, .block_size_bytes = 512 };
	struct bmap_spread s;

	(void)state;
	assert_true(spread_of_gaps(&map, &s));
	assert_int_equal(s.count, 3);
	assert_int_equal(s.least, 513);
	assert_int_equal(s.median, 1024);
	assert_int_equal(s.most, 1024);
	assert_int_equal(s.total, 1024 + 1024 + 513);
	assert_true(spread_of_ranges(&map, &s));
	assert_int_equal(s.total, 5 * 512);
	assert_int_equal(s.median, 512);
	assert_true(spread_of_ranges(&none, &s));
	assert_int_equal(s.count, 0);
	assert_int_equal(s.most, 0);
	assert_true(spread_of_gaps(&none, &s));
	assert_int_equal(s.total, 700);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_mapped_block_is_told_once_and_rightly),
		cmocka_unit_test(without_checksums_all_has_to_be_written),
		cmocka_unit_test(other_block_sizes_are_compared_by_bytes),
		cmocka_unit_test(gaps_before_between_and_behind_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
