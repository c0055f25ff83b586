/* SPDX-License-Identifier: MIT */
#include "bmap/reader_internal.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_RANGES 64

static bool reserve_range(struct bmap_map *map, size_t *capacity);
static bool add_digest(struct bmap_map *map, size_t capacity, const uint8_t *digest);

bool map_append(struct bmap_map *map, size_t *capacity, const struct bmap_range *range,
		const uint8_t *digest)
{
	if (!reserve_range(map, capacity) || !add_digest(map, *capacity, digest))
		return false;
	map->ranges[map->range_count++] = *range;
	return true;
}

static bool grow_array(void *array, size_t old_count, size_t count, size_t unit)
{
	uint8_t **p = array, *grown = reallocarray(*p, count, unit);

	if (!grown)
		return false;
	/* Zeros: ranges without a checksum leave theirs as it is. */
	memset(grown + old_count * unit, 0, (count - old_count) * unit);
	*p = grown;
	return true;
}

/* Room for one range more, its checksum and its bit, as far as the map has these arrays. */
static bool reserve_range(struct bmap_map *map, size_t *capacity)
{
	size_t count = *capacity ? *capacity + *capacity / 2 : FIRST_RANGES;

	if (map->range_count < *capacity)
		return true;
	count = (count + 7) & ~(size_t)7; /* whole bytes of bits */
	if (!grow_array(&map->ranges, *capacity, count, sizeof(*map->ranges)) ||
	    (map->digests && !grow_array(&map->digests, *capacity, count, map->digest_bytes)) ||
	    (map->has_digest && !grow_array(&map->has_digest, *capacity / 8, count / 8, 1)))
		return false;
	*capacity = count;
	return true;
}

static void set_bit(uint8_t *bits, size_t i)
{
	bits[i / 8] = (uint8_t)(bits[i / 8] | 1u << i % 8);
}

/* Puts the open range's checksum, or that it has none, in place i. Bits are kept from the first
 * range on that differs from those before it. */
static bool add_digest(struct bmap_map *map, size_t capacity, const uint8_t *digest)
{
	size_t i = map->range_count;
	bool has = digest != NULL, differs = i > 0 && has != (map->digests != NULL);

	if (has && !map->digests && !grow_array(&map->digests, 0, capacity, map->digest_bytes))
		return false;
	if (differs && !map->has_digest) {
		if (!grow_array(&map->has_digest, 0, capacity / 8, 1))
			return false;
		for (size_t before = 0; !has && before < i; before++)
			set_bit(map->has_digest, before);
	}
	if (!has)
		return true;
	memcpy(map->digests + i * map->digest_bytes, digest, map->digest_bytes);
	if (map->has_digest)
		set_bit(map->has_digest, i);
	return true;
}

void map_shrink(struct bmap_map *map, size_t capacity)
{
	size_t n = map->range_count;
	void *p;

	if (n == 0 || n == capacity)
		return;
	p = realloc(map->ranges, n * sizeof(*map->ranges));
	map->ranges = p ? p : map->ranges;
	if (map->digests) {
		p = realloc(map->digests, n * map->digest_bytes);
		map->digests = p ? p : map->digests;
	}
}
