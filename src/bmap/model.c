/* SPDX-License-Identifier: MIT */
#include <bmap/map.h>

#include "base/checked.h"

#include <assert.h>
#include <stdlib.h>

uint64_t bmap_range_begin(const struct bmap_map *map, size_t i)
{
	assert(i < map->range_count);
	return map->ranges[i].first_block * map->block_size_bytes;
}

uint64_t bmap_range_end(const struct bmap_map *map, size_t i)
{
	assert(i < map->range_count);
	return min_u64((map->ranges[i].last_block + 1) * map->block_size_bytes,
		       map->image_size_bytes);
}

const uint8_t *bmap_range_digest(const struct bmap_map *map, size_t i)
{
	assert(i < map->range_count);
	if (!map->digests || (map->has_digest && !(map->has_digest[i / 8] >> i % 8 & 1)))
		return NULL;
	return map->digests + i * map->digest_bytes;
}

uint64_t bmap_mapped_bytes(const struct bmap_map *map)
{
	uint64_t bytes = map->mapped_blocks * map->block_size_bytes;

	/* Ranges rise, so only the last one can hold the short last block. */
	if (map->range_count) {
		const struct bmap_range *last = &map->ranges[map->range_count - 1];

		bytes -= (last->last_block + 1) * map->block_size_bytes -
			 bmap_range_end(map, map->range_count - 1);
	}
	return bytes;
}

void bmap_map_free(struct bmap_map *map)
{
	if (!map)
		return;
	free(map->ranges);
	free(map->digests);
	free(map->has_digest);
	free(map);
}
