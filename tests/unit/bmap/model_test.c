/* SPDX-License-Identifier: MIT */
#include "unit_test.h"

#include "base/checked.h"
#include "digest/digest.h"

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

static void the_content_digest_is_that_of_its_text(void **state)
{
	static const char text[] = "4000 md5\n0 1024 000102030405060708090a0b0c0d0e0f\n"
				   "3072 928 101112131415161718191a1b1c1d1e1f\n";
	struct bmap_range ranges[] = { { 0, 1 }, { 6, 7 } };
	uint8_t digests[32], sum[32], has[] = { 0x01 };
	struct bmap_map map = { .image_size_bytes = 4000,
				.block_size_bytes = 512,
				.digest = BMAP_DIGEST_MD5,
				.digest_bytes = 16,
				.range_count = 2,
				.ranges = ranges,
				.digests = digests };
	char want[65], got[BMAP_CONTENT_DIGEST_ROOM];
	struct bmap_error err;

	(void)state;
	for (size_t i = 0; i < sizeof(digests); i++)
		digests[i] = (uint8_t)i;
	assert_true(digest_of(BMAP_DIGEST_SHA256, text, strlen(text), sum, &err));
	digest_to_hex(sum, sizeof(sum), want);
	assert_true(bmap_map_content_digest(&map, got, &err));
	assert_string_equal(got, want);
	map.has_digest = has; /* the second has none */
	assert_false(bmap_map_content_digest(&map, got, &err));
	assert_int_equal(err.code, BMAP_ERR_NOT_FOUND);
	map.digests = NULL;
	assert_false(bmap_map_content_digest(&map, got, &err));
	assert_int_equal(err.code, BMAP_ERR_NOT_FOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(offsets_end_with_the_image),
		cmocka_unit_test(a_map_without_ranges_maps_nothing),
		cmocka_unit_test(digests_are_found_by_range),
		cmocka_unit_test(free_takes_null_and_whole_maps),
		cmocka_unit_test(the_content_digest_is_that_of_its_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
