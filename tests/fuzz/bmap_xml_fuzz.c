/* SPDX-License-Identifier: MIT */
/* A bmap of any bytes is refused, or keeps every promise of map.h and survives being written and
 * read again. */
#include <bmap/map.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void require(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "broken: %s\n", what);
	abort();
}

static void check_promises(const struct bmap_map *map)
{
	uint64_t blocks = 0, bytes = 0, end = 0;

	require(map->image_size_bytes <= INT64_MAX && map->block_size_bytes, "sizes");
	require(map->blocks_count == map->image_size_bytes / map->block_size_bytes +
					     (map->image_size_bytes % map->block_size_bytes != 0),
		"blocks_count");
	for (size_t i = 0; i < map->range_count; i++) {
		const struct bmap_range *range = &map->ranges[i];
		const uint8_t *digest = bmap_range_digest(map, i);

		require(range->first_block <= range->last_block, "a range has an end");
		require(!i || range->first_block > map->ranges[i - 1].last_block, "ranges rise");
		require(range->last_block < map->blocks_count, "ranges lie inside");
		require(bmap_range_begin(map, i) >= end, "bytes rise");
		end = bmap_range_end(map, i);
		require(end > bmap_range_begin(map, i) && end <= map->image_size_bytes, "bytes");
		require(!digest || map->digest_bytes, "checksums have a length");
		blocks += range->last_block - range->first_block + 1;
		bytes += end - bmap_range_begin(map, i);
	}
	require(blocks == map->mapped_blocks && bytes == bmap_mapped_bytes(map), "sums");
	require((map->digest == BMAP_DIGEST_NONE) == (map->digest_bytes == 0), "digest");
}

static void check_same(const struct bmap_map *a, const struct bmap_map *b)
{
	require(a->image_size_bytes == b->image_size_bytes &&
			a->block_size_bytes == b->block_size_bytes &&
			a->mapped_blocks == b->mapped_blocks && a->range_count == b->range_count,
		"the same after writing and reading");
	for (size_t i = 0; i < a->range_count; i++) {
		const uint8_t *x = bmap_range_digest(a, i), *y = bmap_range_digest(b, i);

		require(a->ranges[i].first_block == b->ranges[i].first_block &&
				a->ranges[i].last_block == b->ranges[i].last_block,
			"the same ranges");
		require(!x == !y && (!x || !memcmp(x, y, a->digest_bytes)), "the same checksums");
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct bmap_map *map = NULL, *again = NULL;
	struct bmap_error err = { 0 };
	char *text = NULL;
	size_t text_len;

	if (!bmap_map_parse(&map, (const char *)data, len, "fuzz.bmap", &err)) {
		require(!map && err.code != BMAP_ERR_NONE, "an error without a map");
		require(err.text[0] && !strchr(err.text, '\n'), "one line of error");
		for (const char *p = err.text; *p; p++)
			require(*p >= 0x20 && *p < 0x7f, "nothing that a terminal obeys");
		return 0;
	}
	check_promises(map);
	require(bmap_map_format(map, &text, &text_len, &err), "it can be written");
	require(text_len == strlen(text), "length");
	require(bmap_map_parse(&again, text, text_len, "again.bmap", &err), err.text);
	check_same(map, again);
	free(text);
	bmap_map_free(again);
	bmap_map_free(map);
	return 0;
}
