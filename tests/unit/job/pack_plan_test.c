/* SPDX-License-Identifier: MIT */
#include "unit_test.h"

#include "job/pack_plan.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK 4096u
#define FRAME ((uint64_t)PACK_FRAME_BYTES)
#define LEAST_HOLE (256u * KIB)
#define BLOCKS(kib) ((kib)*KIB / BLOCK)
#define MAX_ITEMS 16

static struct bmap_map map_of(uint64_t size, struct bmap_range *ranges, size_t count)
{
	return (struct bmap_map){ .image_size_bytes = size,
				  .block_size_bytes = BLOCK,
				  .blocks_count = div_round_up(size, BLOCK),
				  .range_count = count,
				  .ranges = ranges };
}

/* What always holds, whatever the map. Returns how many items there were. */
static size_t check_plan(const struct bmap_map *map)
{
	struct pack_plan plan;
	struct pack_item item;
	uint64_t at = 0;
	size_t items = 0, range = 0;

	pack_plan_init(&plan, map);
	while (pack_plan_next(&plan, &item)) {
		assert_int_equal(item.hole_begin, at);
		assert_true(item.begin >= item.hole_begin && item.end >= item.begin);
		assert_true(item.end - item.begin <= FRAME);
		assert_true(item.end > item.hole_begin);
		if (items == 0) /* decoders size their room by it */
			assert_int_equal(item.end, min_u64(FRAME, map->image_size_bytes));
		else
			assert_true(item.begin == item.hole_begin ||
				    item.begin - item.hole_begin >= LEAST_HOLE);
		while (range < map->range_count && bmap_range_end(map, range) <= item.hole_begin)
			range++;
		if (range < map->range_count) /* nothing mapped is in the hole */
			assert_true(bmap_range_begin(map, range) >= item.begin ||
				    item.begin == item.hole_begin);
		while (range < map->range_count && bmap_range_end(map, range) <= item.begin)
			range++;
		assert_int_equal(item.range, range);
		if (item.begin < item.end && items) /* no frame of nothing but zeros */
			assert_true(range < map->range_count || item.end - item.begin < LEAST_HOLE);
		at = item.end;
		items++;
	}
	assert_int_equal(at, map->image_size_bytes);
	return items;
}

struct want {
	uint64_t begin, end; /* of the data; the hole is what lies before */
};

static void an_image_is_cut_where_its_ranges_end(void **state)
{
	static const struct {
		const char *why;
		uint64_t size;
		struct bmap_range ranges[8];
		size_t count;
		struct want want[MAX_ITEMS];
		size_t items;
	} cases[] = {
		{ "one byte", 1, { { 0, 0 } }, 1, { { 0, 1 } }, 1 },
		{ "all hole",
		  3 * FRAME + 5,
		  { { 0, 0 } },
		  0,
		  { { 0, FRAME }, { 3 * FRAME + 5, 3 * FRAME + 5 } },
		  2 },
		{ "no hole, and a last block that is short",
		  2 * FRAME + 700,
		  { { 0, BLOCKS(8192) } },
		  1,
		  { { 0, FRAME }, { FRAME, 2 * FRAME }, { 2 * FRAME, 2 * FRAME + 700 } },
		  3 },
		{ "a hole that is worth it, and one that is not",
		  16 * MIB,
		  { { BLOCKS(5 * KIB), BLOCKS(5 * KIB) },
		    { BLOCKS(5 * KIB + 200), BLOCKS(5 * KIB + 200) },
		    { BLOCKS(5 * KIB + 460), BLOCKS(5 * KIB + 460) } },
		  3,
		  { { 0, FRAME },
		    { 5 * MIB, 5 * MIB + 204 * KIB },
		    { 5 * MIB + 460 * KIB, 5 * MIB + 464 * KIB },
		    { 16 * MIB, 16 * MIB } },
		  4 },
		{ "small holes do not make frames longer",
		  12 * MIB,
		  { { 0, BLOCKS(6 * KIB) - 1 }, { BLOCKS(6 * KIB + 100), BLOCKS(12 * KIB) - 1 } },
		  2,
		  { { 0, FRAME }, { FRAME, 2 * FRAME }, { 2 * FRAME, 3 * FRAME } },
		  3 },
		{ "a range that goes on behind the first frame",
		  9 * MIB,
		  { { 0, 0 }, { BLOCKS(3 * KIB), BLOCKS(5 * KIB) - 1 } },
		  2,
		  { { 0, FRAME }, { FRAME, 5 * MIB }, { 9 * MIB, 9 * MIB } },
		  3 },
		{ "a small hole at the end",
		  4 * MIB + 100 * KIB,
		  { { 0, BLOCKS(4 * KIB) - 1 } },
		  1,
		  { { 0, FRAME }, { FRAME, FRAME + 100 * KIB } },
		  2 },
	};

	(void)state;
	for (size_t c = 0; c < ARRAY_LEN(cases); c++) {
		struct bmap_range ranges[8];
		struct bmap_map map = map_of(cases[c].size, ranges, cases[c].count);
		struct pack_plan plan;
		struct pack_item item;
		size_t i = 0;

		memcpy(ranges, cases[c].ranges, sizeof(ranges));
		pack_plan_init(&plan, &map);
		for (; pack_plan_next(&plan, &item); i++)
			if (i >= cases[c].items || item.begin != cases[c].want[i].begin ||
			    item.end != cases[c].want[i].end)
				fail_msg("%s: item %zu is %llu-%llu", cases[c].why, i,
					 (unsigned long long)item.begin,
					 (unsigned long long)item.end);
		assert_int_equal(i, cases[c].items);
		assert_int_equal(check_plan(&map), i);
	}
}

static void random_maps_are_covered_without_a_gap(void **state)
{
	enum { RANGES = 300 };
	struct bmap_range ranges[RANGES];

	(void)state;
	srand(7);
	for (int round = 0; round < 200; round++) {
		uint64_t block = 0, most = round % 2 ? 3000 : 90;
		struct bmap_map map;

		for (size_t i = 0; i < RANGES; i++) {
			ranges[i].first_block = block + 1 + (uint64_t)rand() % most;
			ranges[i].last_block = ranges[i].first_block + (uint64_t)rand() % most;
			block = ranges[i].last_block;
		}
		map = map_of((block + 1) * BLOCK - (uint64_t)rand() % BLOCK, ranges, RANGES);
		check_plan(&map);
	}
}

static void ranges_close_together_share_frames(void **state)
{
	enum { RANGES = 100000 };
	struct bmap_range *ranges = calloc(RANGES, sizeof(*ranges));
	struct bmap_map map = map_of(2ull * RANGES * BLOCK, ranges, RANGES);

	(void)state;
	for (size_t i = 0; i < RANGES; i++)
		ranges[i].first_block = ranges[i].last_block = 2 * i;
	assert_int_equal(check_plan(&map), div_round_up(map.image_size_bytes, FRAME));
	free(ranges);
}

static void offsets_have_64_bits(void **state)
{
	static const uint64_t sizes[] = { 32ull << 40, (1ull << 62) + 1, INT64_MAX };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		uint64_t last = (sizes[i] - 1) / BLOCK;
		struct bmap_range ranges[] = { { 0, 1 },
					       { last / 2, last / 2 + 3 },
					       { last, last } };
		struct bmap_map map = map_of(sizes[i], ranges, ARRAY_LEN(ranges));

		assert_int_equal(check_plan(&map), 3);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_image_is_cut_where_its_ranges_end),
		cmocka_unit_test(random_maps_are_covered_without_a_gap),
		cmocka_unit_test(ranges_close_together_share_frames),
		cmocka_unit_test(offsets_have_64_bits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
