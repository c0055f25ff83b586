/* SPDX-License-Identifier: MIT */
#include "bmap/reader_internal.h"

#include "base/checked.h"

#include <inttypes.h>

static bool check_sizes(const struct bmap_map *map, const char *name, struct bmap_error *err);
static bool check_ranges(const struct bmap_map *map, const char *name, struct bmap_error *err);

bool map_check(const struct bmap_map *map, const char *name, struct bmap_error *err)
{
	return check_sizes(map, name, err) && check_ranges(map, name, err);
}

void map_trim(struct bmap_map *map)
{
	size_t good = 0;
	struct bmap_error ignored;

	/* With a count that is not the file's: that one is not what offsets are made of. */
	if (map->block_size_bytes)
		map->blocks_count = div_round_up(map->image_size_bytes, map->block_size_bytes);
	if (check_sizes(map, "", &ignored))
		while (good < map->range_count && map->ranges[good].last_block < map->blocks_count)
			good++;
	map->range_count = good;
}

static bool check_sizes(const struct bmap_map *map, const char *name, struct bmap_error *err)
{
	uint64_t blocks, end;

	if (!map->image_size_bytes || map->image_size_bytes > INT64_MAX)
		return bmap_error_set(err, BMAP_ERR_MAP,
				      "%s: ImageSize is %" PRIu64 " bytes, which no image can have",
				      name, map->image_size_bytes);
	if (!map->block_size_bytes)
		return bmap_error_set(err, BMAP_ERR_MAP, "%s: BlockSize is 0", name);
	blocks = div_round_up(map->image_size_bytes, map->block_size_bytes);
	if (!checked_mul(blocks, map->block_size_bytes, &end))
		return bmap_error_set(err, BMAP_ERR_MAP, "%s: BlockSize %" PRIu64 " is too large",
				      name, map->block_size_bytes);
	if (blocks != map->blocks_count)
		return bmap_error_set(err, BMAP_ERR_MAP,
				      "%s: BlocksCount is %" PRIu64 ", but ImageSize %" PRIu64
				      " and BlockSize %" PRIu64 " make %" PRIu64 " blocks",
				      name, map->blocks_count, map->image_size_bytes,
				      map->block_size_bytes, blocks);
	return true;
}

static bool check_ranges(const struct bmap_map *map, const char *name, struct bmap_error *err)
{
	uint64_t sum = 0; /* cannot overflow: ranges do not overlap and end below 2^63 */

	if (map->range_count) {
		const struct bmap_range *last = &map->ranges[map->range_count - 1];

		if (last->last_block >= map->blocks_count)
			return bmap_error_set(
				err, BMAP_ERR_MAP,
				"%s: range %" PRIu64 "-%" PRIu64
				" lies beyond the image, which has %" PRIu64 " blocks",
				name, last->first_block, last->last_block, map->blocks_count);
	}
	for (size_t i = 0; i < map->range_count; i++)
		sum += map->ranges[i].last_block - map->ranges[i].first_block + 1;
	if (sum != map->mapped_blocks)
		return bmap_error_set(err, BMAP_ERR_MAP,
				      "%s: MappedBlocksCount is %" PRIu64
				      ", but the ranges have %" PRIu64 " blocks",
				      name, map->mapped_blocks, sum);
	return true;
}
