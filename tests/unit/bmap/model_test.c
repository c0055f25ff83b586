/* SPDX-License-Identifier: MIT */
#include "unit_test.h"

#include "base/checked.h"

#include <bmap/map.h>
#include <stdlib.h>
#include <string.h>

static void offsets_end_with_the_image(void **state)
{
	struct bmap_range ranges[] = { { 0, 2 }, { 5, 5 }, { 100, 171 } };
	static const struct {
		uint64_t image_size, begin, end, mapped;
		const char *why;
	} cases[] = {
		{ 171 * 4096 + 700, 100 * 4096, 171 * 4096 + 700, 75 * 4096 + 700, "short last" },
		{ 172 * 4096, 100 * 4096, 172 * 4096, 76 * 4096, "whole last block" },
		{ 200 * 4096 + 1, 100 * 4096, 172 * 4096, 76 * 4096, "last block not mapped" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct bmap_map map = { .image_size_bytes = cases[i].image_size,
					.block_size_bytes = 4096,
					.mapped_blocks = 76,
					.range_count = ARRAY_LEN(ranges),
					.ranges = ranges };

		assert_int_equal(bmap_range_begin(&map, 0), 0);
		assert_int_equal(bmap_range_end(&map, 0), 3 * 4096);
		assert_int_equal(bmap_range_begin(&map, 2), cases[i].begin);
		assert_int_equal(bmap_range_end(&map, 2), cases[i].end);
		assert_int_equal(bmap_mapped_bytes(&map), cases[i].mapped);
	}
}

static void a_map_without_ranges_maps_nothing(void **state)
{
	struct bmap_map map = { .image_size_bytes = 5, .block_size_bytes = 4096 };

	(void)state;
	assert_int_equal(bmap_mapped_bytes(&map), 0);
}

static void digests_are_found_by_range(void **state)
{
	struct bmap_range ranges[9] = { { 0, 0 } };
	uint8_t digests[9 * 2] = { 0 }, has[2] = { 0x02, 0x01 };
	struct bmap_map map = { .range_count = 9, .ranges = ranges, .digest_bytes = 2 };

	(void)state;
	assert_null(bmap_range_digest(&map, 8));
	map.digests = digests;
	assert_ptr_equal(bmap_range_digest(&map, 0), digests);
	assert_ptr_equal(bmap_range_digest(&map, 8), digests + 16);
	map.has_digest = has;
	assert_null(bmap_range_digest(&map, 0));
	assert_ptr_equal(bmap_range_digest(&map, 1), digests + 2);
	assert_null(bmap_range_digest(&map, 7));
	assert_ptr_equal(bmap_range_digest(&map, 8), digests + 16);
}

static void free_takes_null_and_whole_maps(void **state)
{
	struct bmap_map *map = calloc(1, sizeof(*map));

	(void)state;
	assert_non_null(map);
	map->ranges = malloc(1);
	map->digests = malloc(1);
	map->has_digest = malloc(1);
	bmap_map_free(map);
	bmap_map_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(offsets_end_with_the_image),
		cmocka_unit_test(a_map_without_ranges_maps_nothing),
		cmocka_unit_test(digests_are_found_by_range),
		cmocka_unit_test(free_takes_null_and_whole_maps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
