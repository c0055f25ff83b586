/* SPDX-License-Identifier: MIT */
#include "job/zero_parts.h"
#include "base/checked.h"
#include "base/cleanup.h"
#include "digest/zero_split.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_ROOM 256u

struct part {
	uint64_t begin, end; /* bytes */
};

/* The map that is being made. */
struct maker {
	struct bmap_map *map; /* takes its size and block size, gets the ranges */
	const struct zero_parts *parts;
	const struct extents *forced;
	size_t next_forced;
	uint64_t run_bytes;
	struct bmap_range *ranges;
	uint8_t *digests;
	size_t count, room;
	uint64_t mapped_blocks;
	struct hasher *hasher; /* NULL: no digests */
	uint64_t zeros_len; /* zeros_digest is of so many zeros; 0: none yet */
	uint8_t zeros_digest[BMAP_DIGEST_MAX_BYTES];
};

uint64_t zero_parts_stretch_bytes(uint64_t block_bytes)
{
	return max_u64(PART_STRETCH_BYTES / block_bytes, 1) * block_bytes;
}

void zero_parts_init(struct zero_parts *parts, enum bmap_digest digest, bool no_digests)
{
	*parts = (struct zero_parts){ .digest_bytes = no_digests ? 0 : digest_length(digest) };
	parts->item_bytes = sizeof(struct part) + parts->digest_bytes;
	pthread_mutex_init(&parts->lock, NULL);
}

void zero_parts_free(struct zero_parts *parts)
{
	free(parts->items);
	pthread_mutex_destroy(&parts->lock);
	*parts = (struct zero_parts){ 0 };
}

static bool grow_items(struct zero_parts *parts)
{
	size_t room = parts->room ? 2 * parts->room : FIRST_ROOM;
	uint8_t *items = reallocarray(parts->items, room, parts->item_bytes);

	if (!items)
		return false;
	parts->items = items;
	parts->room = room;
	return true;
}

void zero_parts_add(void *arg, uint64_t begin_bytes, uint64_t end_bytes, const uint8_t *digest)
{
	struct zero_parts *parts = arg;
	struct part part = { begin_bytes, end_bytes };
	uint8_t *item;

	pthread_mutex_lock(&parts->lock);
	if (parts->count == parts->room && !grow_items(parts)) {
		parts->lost = true; /* zero_parts_map() says it */
	} else {
		item = parts->items + parts->count++ * parts->item_bytes;
		memcpy(item, &part, sizeof(part));
		if (parts->digest_bytes)
			memcpy(item + sizeof(part), digest, parts->digest_bytes);
	}
	pthread_mutex_unlock(&parts->lock);
}

struct bmap_map *zero_parts_stretches(const struct bmap_map *map, struct bmap_error *err)
{
	uint64_t stretch = zero_parts_stretch_bytes(map->block_size_bytes) / map->block_size_bytes;
	struct bmap_map *cut = calloc(1, sizeof(*cut));
	size_t count = 0;

	for (size_t i = 0; i < map->range_count; i++)
		count += (size_t)(map->ranges[i].last_block / stretch -
				  map->ranges[i].first_block / stretch + 1);
	if (cut) {
		*cut = *map;
		cut->range_count = 0;
		cut->digests = cut->has_digest = NULL;
		cut->ranges = calloc(max_u64(count, 1), sizeof(*cut->ranges));
	}
	if (!cut || !cut->ranges) {
		free(cut);
		bmap_error_memory(err, "block map");
		return NULL;
	}
	for (size_t i = 0; i < map->range_count; i++) {
		uint64_t first = map->ranges[i].first_block, last = map->ranges[i].last_block;

		while (first <= last) {
			uint64_t end = min_u64(last, (first / stretch + 1) * stretch - 1);

			cut->ranges[cut->range_count++] =
				(struct bmap_range){ .first_block = first, .last_block = end };
			first = end + 1;
		}
	}
	return cut;
}

static int compare_items(const void *a, const void *b)
{
	struct part x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return x.begin < y.begin ? -1 : x.begin > y.begin;
}

static struct part part_at(const struct zero_parts *parts, size_t i)
{
	struct part part;

	memcpy(&part, parts->items + i * parts->item_bytes, sizeof(part));
	return part;
}

static bool grow_ranges(struct maker *maker)
{
	size_t room = maker->room ? 2 * maker->room : FIRST_ROOM;
	struct bmap_range *ranges = reallocarray(maker->ranges, room, sizeof(*ranges));
	uint8_t *digests = NULL;

	if (ranges)
		maker->ranges = ranges;
	if (maker->hasher) {
		digests = reallocarray(maker->digests, room, maker->parts->digest_bytes);
		if (digests)
			maker->digests = digests;
	}
	if (!ranges || (maker->hasher && !digests))
		return false;
	maker->room = room;
	return true;
}

/* begin and end: bytes, on blocks, but for the image's end. */
static bool append(struct maker *maker, uint64_t begin, uint64_t end, const uint8_t *digest)
{
	uint64_t block = maker->map->block_size_bytes;
	struct bmap_range range = { begin / block, (end - 1) / block };
	struct bmap_range *last = maker->count ? &maker->ranges[maker->count - 1] : NULL;
	size_t bytes = maker->parts->digest_bytes;

	maker->mapped_blocks += range.last_block - range.first_block + 1;
	if (last && !maker->hasher && last->last_block + 1 == range.first_block) {
		last->last_block = range.last_block;
		return true;
	}
	if (maker->count == maker->room && !grow_ranges(maker))
		return false;
	if (maker->hasher)
		memcpy(maker->digests + maker->count * bytes, digest, bytes);
	maker->ranges[maker->count++] = range;
	return true;
}

static bool append_zeros(struct maker *maker, uint64_t begin, uint64_t end)
{
	if (maker->hasher && maker->zeros_len != end - begin) {
		maker->zeros_len = end - begin;
		hasher_begin(maker->hasher);
		hasher_update_zeros(maker->hasher, end - begin);
		hasher_finish(maker->hasher, maker->zeros_digest);
	}
	return append(maker, begin, end, maker->zeros_digest);
}

/* Zeros that were looked at, in a gap between two parts. */
static bool take_zeros(struct maker *maker, uint64_t begin, uint64_t end, uint64_t gap_bytes)
{
	const struct extents *forced = maker->forced;
	uint64_t block = maker->map->block_size_bytes;

	if (begin >= end)
		return true;
	if (gap_bytes < maker->run_bytes)
		return append_zeros(maker, begin, end);
	for (; forced && maker->next_forced < forced->count; maker->next_forced++) {
		const struct bmap_range *range = &forced->ranges[maker->next_forced];
		uint64_t from = max_u64(begin, range->first_block * block);
		uint64_t to = min_u64(end, (range->last_block + 1) * block);

		if (from < to && !append_zeros(maker, from, to))
			return false;
		if ((range->last_block + 1) * block > end) /* may reach into the next ones */
			break;
	}
	return true;
}

/* Both lists rise, and each part lies in one range. */
static bool make(struct maker *maker)
{
	const struct bmap_map *map = maker->map;
	const struct zero_parts *parts = maker->parts;
	uint64_t before = 0; /* end of the last part */
	size_t next = 0;

	for (size_t i = 0; i < map->range_count; i++) {
		uint64_t at = bmap_range_begin(map, i), end = bmap_range_end(map, i);

		for (;;) {
			struct part part = { map->image_size_bytes, 0 };

			if (next < parts->count)
				part = part_at(parts, next);
			if (!take_zeros(maker, at, min_u64(part.begin, end), part.begin - before))
				return false;
			if (part.begin >= end)
				break;
			if (!append(maker, part.begin, part.end,
				    parts->items + next * parts->item_bytes + sizeof(part)))
				return false;
			at = before = part.end;
			next++;
		}
	}
	return true;
}

bool zero_parts_map(struct zero_parts *parts, struct bmap_map *map, uint64_t run_bytes,
		    const struct extents *forced, struct bmap_error *err)
{
	struct maker maker = {
		.map = map, .parts = parts, .forced = forced, .run_bytes = run_bytes
	};
	bool good;

	if (parts->lost)
		return bmap_error_memory(err, "block map");
	if (parts->digest_bytes) {
		maker.hasher = hasher_new(map->digest, err);
		if (!maker.hasher)
			return false;
	}
	if (parts->count)
		qsort(parts->items, parts->count, parts->item_bytes, compare_items);
	good = make(&maker);
	hasher_free(maker.hasher);
	if (!good) {
		free(maker.ranges);
		free(maker.digests);
		return bmap_error_memory(err, "block map");
	}
	free(map->ranges);
	free(map->digests);
	map->ranges = maker.ranges;
	map->digests = maker.digests;
	map->range_count = maker.count;
	map->mapped_blocks = maker.mapped_blocks;
	return true;
}
