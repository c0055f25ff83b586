/* SPDX-License-Identifier: MIT */
#include "bmap/spread.h"

#include "base/checked.h"

#include <stdlib.h>

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Sorts lengths and frees them. */
static void measure(uint64_t *lengths, size_t count, struct bmap_spread *spread)
{
	*spread = (struct bmap_spread){ .count = count };
	if (count) {
		qsort(lengths, count, sizeof(*lengths), compare);
		for (size_t i = 0; i < count; i++)
			spread->total += lengths[i];
		spread->least = lengths[0];
		spread->median = lengths[count / 2];
		spread->most = lengths[count - 1];
	}
	free(lengths);
}

bool spread_of_ranges(const struct bmap_map *map, struct bmap_spread *spread)
{
	uint64_t *lengths = calloc(map->range_count + 1, sizeof(*lengths));

	if (!lengths)
		return false;
	for (size_t i = 0; i < map->range_count; i++)
		lengths[i] = bmap_range_end(map, i) - bmap_range_begin(map, i);
	measure(lengths, map->range_count, spread);
	return true;
}

bool spread_of_gaps(const struct bmap_map *map, struct bmap_spread *spread)
{
	uint64_t *lengths = calloc(map->range_count + 1, sizeof(*lengths)), end = 0;
	size_t count = 0;

	if (!lengths)
		return false;
	for (size_t i = 0; i <= map->range_count; i++) {
		uint64_t begin =
			i < map->range_count ? bmap_range_begin(map, i) : map->image_size_bytes;

		if (begin > end)
			lengths[count++] = begin - end;
		if (i < map->range_count)
			end = bmap_range_end(map, i);
	}
	measure(lengths, count, spread);
	return true;
}

/* The first range that ends behind offset. */
static size_t range_behind(const struct bmap_map *map, uint64_t offset)
{
	size_t low = 0, high = map->range_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (bmap_range_end(map, middle) <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

uint64_t bmap_mapped_between(const struct bmap_map *map, uint64_t begin_bytes, uint64_t end_bytes)
{
	uint64_t sum = 0;

	for (size_t i = range_behind(map, begin_bytes); i < map->range_count; i++) {
		uint64_t from = max_u64(bmap_range_begin(map, i), begin_bytes);
		uint64_t to = min_u64(bmap_range_end(map, i), end_bytes);

		if (from >= to)
			break;
		sum += to - from;
	}
	return sum;
}
